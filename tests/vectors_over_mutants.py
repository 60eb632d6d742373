"""The vectors alone, over every mutant and every honest variant; `nox -s vectors` runs it, for it takes long."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from pomt_ref.conformance.vectors import VectorSet, verify, write
from pomt_ref.conformance.vectors.judging import judge
from pomt_ref.testing import LawViolation, Outcome, normative
from pomt_ref.testing.mutants import FAULTS, HONEST

SEEN = 0.9
"""The share of all faults that outputs alone must show; docs/vectors.md says so."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> VectorSet:
    """The release."""
    folder = tmp_path_factory.mktemp("vectors") / "set"
    write(folder, version="0.1.0")
    return verify(folder)


def failures(function: Callable[..., Any], method: str, whole: VectorSet) -> Iterator[bool]:
    """Whether an implementation fails each vector of its method, those of few tokens first."""
    for vector in sorted(whole.vectors, key=lambda each: each.case.attn.size):
        case, shape = vector.case, vector.case.shape
        if vector.method != method:
            continue
        arrays = [case.x, case.attn, *([case.v] if method == "pomt" else [])]
        inputs = [torch.from_numpy(array.copy()).to(getattr(torch, case.dtype)) for array in arrays]
        try:
            tokens = function(*inputs, prefix=shape.prefix, keep=shape.keep)
        except Exception:  # noqa: BLE001 -- whatever it raises, it writes no output, and that is no kill
            yield False
            continue
        tokens = tokens[0] if isinstance(tokens, tuple) else tokens
        shown = Outcome(tokens.detach().double().numpy(), str(tokens.dtype).removeprefix("torch."))
        try:
            judge(vector, shown, normative(case.dtype))
        except LawViolation:
            yield True
        else:
            yield False


def test_faults_are_found_by_the_vectors_alone(whole: VectorSet) -> None:
    """An implementation that can only write files is held as well as one that can be called, but for its gradients."""
    faults = [fault for fault in FAULTS if fault.clause != "POMT-META-7"]
    missed = [fault.name for fault in faults if not any(failures(fault.function, fault.method, whole))]
    assert len(missed) <= (1 - SEEN) * len(faults), missed


def test_honest_variants_are_accepted(whole: VectorSet) -> None:
    """In every dtype, on every vector."""
    assert [each.name for each in HONEST if any(failures(each.function, each.method, whole))] == []
