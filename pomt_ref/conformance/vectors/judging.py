"""Judging outputs for the vectors that another program has written: a grade a case, or what is wrong with it."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from pomt_ref.conformance.vectors.encoding import dtype_of, unpack, widened
from pomt_ref.conformance.vectors.errors import Fault, VectorsError
from pomt_ref.conformance.vectors.vector import Vector
from pomt_ref.testing import (
    GRADES,
    Grade,
    InapplicableError,
    LawViolation,
    Outcome,
    Profile,
    normative,
    require_admissible,
)
from pomt_ref.testing.divergence import first_divergence

Result = Grade | Literal["not judged", "wrong", "missing"]
"""What becomes of a case. Not judged: the profile promises nothing for scores like these, so any order would do."""

RESULTS: Final[tuple[Result, ...]] = (*GRADES, "not judged", "wrong", "missing")
"""From the best to the worst."""

SUFFIXES: Final = (".safetensors", ".npy")
"""An output is a file of one of these, named as its case."""

BFLOAT16_BITS: Final = ("u2", "V2")
"""NumPy has no bfloat16: an array of two bytes an element is read as one where the case is in bfloat16."""


@dataclass(frozen=True)
class Judgement:
    """What became of one case."""

    vector: Vector
    result: Result
    message: str = ""
    """What is wrong, by clause; empty if nothing is."""
    divergence: str = ""
    """The first stage that is wrong, where the output shows indices or scores."""
    attained: float = 0.0
    """The worst error of an accepted output, as a fraction of what rounding explains."""


def judge_outputs(vectors: Iterable[Vector], folder: Path, *, profile: Profile | None = None) -> list[Judgement]:
    """Judge every output in a folder.

    Arguments:
        vectors: the cases that are asked for.
        folder: holds ``<case>.safetensors`` with ``tokens`` and, if you like, ``kept``, ``discarded`` and ``scores``;
            or ``<case>.npy`` with the tokens.
        profile: the precision in which they were computed; by default the normative one of each case's dtype.

    Raises:
        VectorsError: there is no such folder, no output in it, or files that cannot be read.
    """
    faults: list[Fault] = []
    found = []
    for vector in vectors:
        try:
            path = output_path(folder, vector.name)
            found.append((vector, {} if path is None else read_output(path, vector)))
        except VectorsError as error:
            faults += error.faults
    if not faults and not any(tensors for _, tensors in found):
        faults.append(Fault(f"{folder}", "outputs, each named as its case", "none"))
    if faults:
        raise VectorsError(faults)
    return [_judgement(vector, tensors, profile) for vector, tensors in found]


def output_path(folder: Path, name: str) -> Path | None:
    """The output of a case; None where there is none."""
    candidates = [folder / f"{name}{suffix}" for suffix in SUFFIXES]
    try:
        present = [path for path in candidates if path.exists()]
    except OSError as error:
        raise VectorsError([Fault(f"{folder}", "a folder that can be read", f"{error}")]) from error
    if len(present) > 1:
        raise VectorsError([Fault(f"{folder}", f"one output of {name}", " and ".join(path.name for path in present))])
    return present[0] if present else None


def read_output(path: Path, vector: Vector) -> dict[str, Tensor]:
    """The tensors of an output.

    Raises:
        VectorsError: the file is damaged, or has no tokens.
    """
    if path.suffix == ".npy":
        return {"tokens": _array(path, vector)}
    tensors, _ = unpack(path)
    if "tokens" not in tensors:
        raise VectorsError([Fault(f"{path}", "a tensor tokens", f"{', '.join(tensors) or 'no tensor'}")])
    return tensors


def judge(vector: Vector, outcome: Outcome, profile: Profile) -> tuple[Grade, float]:
    """ADMISSIBLE, and the scores within FLOAT-1 where they are shown.

    Returns:
        the grade of the order, and the share of the allowed error that was used.

    Raises:
        LawViolation: it is not.
    """
    evidence = require_admissible(vector.case, outcome, method=vector.method, profile=profile)
    assert evidence.grade is not None  # noqa: S101 -- tells the type checker that every vector has an order
    return evidence.grade, evidence.attained


def _judgement(vector: Vector, tensors: dict[str, Tensor], profile: Profile | None) -> Judgement:
    """One case."""
    if not tensors:
        return Judgement(vector, "missing")
    profile = normative(vector.case.dtype) if profile is None else profile
    try:
        outcome = _outcome(vector, tensors)
        grade, attained = judge(vector, outcome, profile)
    except LawViolation as violation:
        return Judgement(vector, "wrong", f"{violation}", _divergence(vector, tensors, profile))
    except InapplicableError:
        return Judgement(vector, "not judged")
    return Judgement(vector, grade, attained=attained)


def _outcome(vector: Vector, tensors: dict[str, Tensor]) -> Outcome:
    """The output as a law reads it."""
    tokens, clause = tensors["tokens"], "POMT-PREC-1"
    if not tokens.is_floating_point():
        raise LawViolation(clause, f"output in {dtype_of(tokens)}, expected {vector.case.dtype}")
    scores = tensors.get("scores")
    if scores is not None and not scores.is_floating_point():
        raise LawViolation(clause, f"scores in {dtype_of(scores)}, expected float32 or float64")
    return Outcome(
        widened(tokens),
        dtype_of(tokens),
        kept=_indices(tensors, "kept"),
        discarded=_indices(tensors, "discarded"),
        stages={} if scores is None else {"scores": widened(scores)},
    )


def _indices(tensors: dict[str, Tensor], name: str) -> Int64[np.ndarray, "..."] | None:
    """Offered indices; None if there are none."""
    tensor = tensors.get(name)
    if tensor is None:
        return None
    if tensor.is_floating_point() or tensor.is_complex():
        raise LawViolation("POMT-PRUNE-4", f"{name} in {dtype_of(tensor)}, expected whole numbers")
    return tensor.to(torch.int64).numpy()


def _divergence(vector: Vector, tensors: dict[str, Tensor], profile: Profile) -> str:
    """Where a wrong output of POMT first goes another way, if it shows more than its tokens."""
    if vector.method != "pomt" or not tensors.keys() & {"kept", "scores"}:
        return ""
    try:
        found = first_divergence(vector.case, _outcome(vector, tensors), profile)
    except LawViolation:  # a dtype that says it all
        return ""
    return "" if found is None else f"{found}"


def _array(path: Path, vector: Vector) -> Tensor:
    """The array of a NumPy file."""
    try:
        array = np.load(path, allow_pickle=False)
        if vector.case.dtype == "bfloat16" and array.dtype.str[1:] in BFLOAT16_BITS:
            return torch.from_numpy(np.ascontiguousarray(array).view(np.int16)).view(torch.bfloat16)
        return torch.from_numpy(np.ascontiguousarray(array, array.dtype.newbyteorder("=")))
    except (OSError, EOFError, ValueError, TypeError) as error:
        raise VectorsError([Fault(f"{path}", "an array of numbers", f"{error}")]) from error
