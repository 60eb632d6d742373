"""Failing cases as files: the tensors and what they show, so that a failure can be run again anywhere."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, cast, get_args

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from pomt_ref.conformance.errors import SubjectError
from pomt_ref.conformance.report import Failure, Report
from pomt_ref.conformance.subject import CallableSubject
from pomt_ref.testing import PROFILES, Case, Dtype, Method, ProfileName, Shape

FORMAT: Final = "pomt_ref case 1"
"""Written into every file; another one is refused."""


@dataclass(frozen=True)
class Saved:
    """A failing case, and which implementation failed it how."""

    clause: str
    case: Case
    subject: str
    method: Method
    device: str
    claims: ProfileName | None
    message: str


def save_failures(report: Report, subject: CallableSubject, folder: Path) -> Report:
    """Write every failing case into the folder, and say in the report where; or that it cannot be written."""
    rows = []
    for row in report.rows:
        if row.failure is None:
            rows.append(row)
            continue
        path = folder / f"case-{_digest(row.failure, subject)}.safetensors"
        try:
            _write(row.failure, subject, path)
        except OSError as error:
            remark = f"the failing cases are not saved: {error}"
            return replace(report, remarks=(*report.remarks, remark))
        rows.append(replace(row, failure=replace(row.failure, replay=str(path))))
    return replace(report, rows=tuple(rows))


def load_case(path: Path) -> Saved:
    """Read a failing case again.

    Raises:
        SubjectError: no such file, a damaged one, or none of this project.
    """
    expected = "a case that pomt-ref check has saved"
    try:
        with safe_open(path, framework="numpy") as file:
            about = json.loads((file.metadata() or {}).get("pomt_ref", "null"))
            arrays = {name: file.get_tensor(name) for name in ("x", "attn", "v")}
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        raise SubjectError(f"{path}", expected, f"{error}") from error
    if not isinstance(about, Mapping) or about.get("format") != FORMAT:
        raise SubjectError(f"{path}", expected, "a file of something else")
    try:
        return _read(about, arrays)
    except (KeyError, TypeError, ValueError) as error:
        raise SubjectError(f"{path}", expected, f"a field that is wrong or missing: {error}") from error


def _digest(failure: Failure, subject: CallableSubject) -> str:
    """Eight digits that tell one failure from another, the same in every run."""
    told = f"{subject.name} {subject.method} {subject.device} {subject.claims} {failure.clause} {failure.case}"
    return hashlib.sha256(told.encode()).hexdigest()[:8]


def _write(failure: Failure, subject: CallableSubject, path: Path) -> None:
    """The tensors in float64, which holds every dtype, and all else as metadata."""
    case = failure.case
    about = {
        "format": FORMAT,
        "clause": failure.clause,
        "message": failure.message,
        "subject": subject.name,
        "method": subject.method,
        "device": subject.device,
        "claims": subject.claims,
        "family": case.family,
        "seed": case.seed,
        "dtype": case.dtype,
        "shape": asdict(case.shape),
    }
    arrays = {name: np.ascontiguousarray(getattr(case, name)) for name in ("x", "attn", "v")}
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
    unfinished.write_bytes(save(arrays, metadata={"pomt_ref": json.dumps(about)}))
    unfinished.replace(path)


def _read(about: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Saved:
    """What the metadata say, checked where a wrong word would go unnoticed."""
    shape = Shape(**about["shape"])
    axes = asdict(shape)
    named = {"x": "batch tokens channels", "attn": "batch heads tokens tokens", "v": "batch heads tokens features"}
    for name, array in arrays.items():
        if array.dtype != np.float64 or array.shape != tuple(axes[axis] for axis in named[name].split()):
            raise ValueError(f"{name} is {array.dtype} {array.shape}")
    if about["dtype"] not in get_args(Dtype) or about["method"] not in get_args(Method):
        raise ValueError(f"{about['dtype']}, {about['method']}")
    if about["claims"] is not None and about["claims"] not in PROFILES:
        raise ValueError(f"{about['claims']}")
    case = Case(about["family"], shape, about["seed"], cast("Dtype", about["dtype"]), **arrays)
    return Saved(
        about["clause"], case, about["subject"], about["method"], about["device"], about["claims"], about["message"]
    )
