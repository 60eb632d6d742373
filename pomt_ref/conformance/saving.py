"""Failing cases as files: the tensors and what they show, so that a failure can be run again anywhere."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from pomt_ref.conformance import document
from pomt_ref.conformance.errors import SubjectError
from pomt_ref.conformance.report import Failure, Report
from pomt_ref.conformance.schema import mismatches, parsed
from pomt_ref.conformance.subject import CallableSubject
from pomt_ref.testing import PROFILES, Case, Method, ProfileName, Shape, laws_of
from pomt_ref.testing.formats import representable

FORMAT: Final = "pomt_ref case 1"
"""Written into every file; another one is refused."""

AXES: Final[Mapping[str, tuple[str, ...]]] = {
    "x": ("batch", "tokens", "channels"),
    "attn": ("batch", "heads", "tokens", "tokens"),
    "v": ("batch", "heads", "tokens", "features"),
}
"""The tensors of a file, in float64."""

ABOUT: Final[Mapping[str, Any]] = {
    "type": "object",
    "required": [
        *("format", "clause", "message", "subject", "method", "device"),
        *("claims", "family", "seed", "dtype", "shape"),
    ],
    "properties": {
        "format": {"const": FORMAT},
        "clause": {"$ref": "#/$defs/identifier"},
        "message": {"type": "string"},
        "subject": {"type": "string"},
        "method": {"enum": ["pomt", "topk", "evit"]},
        "device": {"type": "string"},
        "claims": {"enum": [None, *PROFILES]},
        "family": {"type": "string"},
        "seed": {"$ref": "#/$defs/count"},
        "dtype": {"$ref": "#/$defs/dtype"},
        "shape": {
            "type": "object",
            "required": [*Shape.__dataclass_fields__],
            "additionalProperties": False,
            "properties": {
                axis: {"$ref": "#/$defs/count" if axis in {"prefix", "keep"} else "#/$defs/size"}
                for axis in Shape.__dataclass_fields__
            },
        },
    },
}
"""JSON Schema of the metadata; references are into that of the report."""


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
        SubjectError: no such file, a damaged one, none of this project, or one that says what cannot be.
    """
    expected = "a case that pomt-ref check has saved"
    try:
        with safe_open(path, framework="numpy") as file:
            about = parsed((file.metadata() or {}).get("pomt_ref", "null"))
            arrays = {name: file.get_tensor(name) for name in AXES}
    except (OSError, SafetensorError, ValueError, TypeError, AttributeError) as error:  # NumPy has no bfloat16
        raise SubjectError(f"{path}", expected, f"{error}") from error
    if not isinstance(about, Mapping) or about.get("format") != FORMAT:
        raise SubjectError(f"{path}", expected, "a file of something else")
    found = next(mismatches(about, ABOUT, document.schema(), f"{path}:"), None)
    if found is not None:
        raise SubjectError(found.where, found.expected, found.got)
    _require_possible(about, arrays, path)
    case = Case(about["family"], Shape(**about["shape"]), about["seed"], about["dtype"], **arrays)
    return Saved(
        about["clause"], case, about["subject"], about["method"], about["device"], about["claims"], about["message"]
    )


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
    arrays = {name: np.ascontiguousarray(getattr(case, name)) for name in AXES}
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
    unfinished.write_bytes(save(arrays, metadata={"pomt_ref": json.dumps(about)}))
    unfinished.replace(path)


def _require_possible(about: Mapping[str, Any], arrays: Mapping[str, np.ndarray], path: Path) -> None:
    """What a schema cannot say: counts that fit, tensors of these axes, numbers that the dtype holds."""
    axes, dtype = about["shape"], about["dtype"]
    if about["clause"] not in {law.clause for law in laws_of(about["method"])}:
        raise SubjectError(f"{path}: clause", f"a clause of {about['method']}", about["clause"])
    if axes["keep"] >= axes["tokens"] - axes["prefix"]:
        expected = f"0 <= keep < tokens - prefix = {axes['tokens'] - axes['prefix']}"
        raise SubjectError(f"{path}: shape.keep", expected, f"{axes['keep']}")
    for name, array in arrays.items():
        shape = tuple(axes[axis] for axis in AXES[name])
        if array.dtype != np.float64 or array.shape != shape:
            raise SubjectError(f"{path}: {name}", f"float64 {shape}", f"{array.dtype} {array.shape}")
        with np.errstate(over="ignore"):
            held = np.isfinite(array).all() and np.array_equal(representable(array, dtype), array)
        if not held or (name == "attn" and (array < 0).any()):
            kind = f"numbers of {dtype}{', none below zero' if name == 'attn' else ''}"
            raise SubjectError(f"{path}: {name}", kind, "others")
