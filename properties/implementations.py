"""What the laws are run over: the reference in every dtype and on every device found, its siblings, and the oracle."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import pytest
import torch
from jaxtyping import Float, Float64
from torch import Tensor

import pomt_ref
from pomt_ref import oracle
from pomt_ref.conformance import CallableSubject, from_queries
from pomt_ref.pytest_plugin import SUBJECT
from pomt_ref.streaming import StreamedStep, prune_qkv
from pomt_ref.testing import Case, Dtype, Gradients, Law, Method, Outcome, Subject, laws_of
from pomt_ref.testing.formats import Profile, normative
from pomt_ref.types import Normalisation

DTYPES: Final[tuple[Dtype, ...]] = ("float16", "bfloat16", "float32", "float64")
"""POMT-PREC-1."""

DEVICES: Final = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
"""The devices of this machine."""

FUNCTIONS: Final[Mapping[Method, Callable[..., Any]]] = {
    "pomt": pomt_ref.trace,
    "topk": pomt_ref.topk_prune,
    "evit": pomt_ref.evit_prune,
}
"""The reference; ``trace`` is ``prune`` with every stage shown, so that each is held to its clause."""


@dataclass(frozen=True)
class OracleSubject:
    """The oracle as an implementation: the laws must accept what they compare with."""

    method: Method

    def options(self) -> frozenset[str]:
        """Nothing beyond prefix and keep."""
        return frozenset()

    def profile(self, dtype: Dtype) -> Profile:
        """Float64, and better: its sums are correctly rounded."""
        return normative(dtype)

    def run(self, case: Case, **_options: str | int | bool) -> Outcome:
        """Do the step in float64."""
        prefix, keep = case.shape.prefix, case.shape.keep
        if self.method == "topk":
            step = oracle.topk_prune(case.x, case.attn, prefix=prefix, keep=keep)
        elif self.method == "evit":
            step = oracle.evit_prune(case.x, case.attn, prefix=prefix, keep=keep)
        else:
            step = oracle.prune(case.x, case.attn, case.v, prefix=prefix, keep=keep)
        stages = {"scores": step.scores, "value_sums": oracle.value_sums(case.v)} if self.method == "pomt" else {}
        return Outcome(step.tokens, "float64", kept=step.kept, discarded=step.discarded, stages=stages)

    def gradients(self, case: Case, weights: Float64[np.ndarray, "batch output channels"]) -> Gradients | None:
        """NumPy has none."""
        del case, weights
        return None


@dataclass(frozen=True)
class Implementation:
    """A subject, and the dtype that it is given."""

    name: str
    subject: Subject
    dtype: Dtype

    def __str__(self) -> str:
        """Read as the end of a test's identifier."""
        return self.name


def prune_in_blocks(
    x: Float[Tensor, "batch tokens channels"],
    q: Float[Tensor, "batch heads tokens features"],
    k: Float[Tensor, "batch heads tokens features"],
    v: Float[Tensor, "batch heads tokens values"],
    *,
    normalisation: Normalisation = "batch",
    **options: Any,  # noqa: ANN401 -- the others of prune_qkv, each of its own kind
) -> StreamedStep:
    """The step from queries and keys, in blocks so small that a case has several and a partial one."""
    rows = max(3, x.shape[1] // 5)  # in blocks of three a long sequence has half a million tiles
    return prune_qkv(x, q, k, v, rows=rows, normalisation=normalisation, **options)


STREAMED: Final[Mapping[str, Callable[..., Any]]] = {
    "one_pass": from_queries(prune_in_blocks),
    "logsumexp": from_queries(partial(prune_in_blocks, algorithm="logsumexp")),
}
"""Its algorithms."""


def implementations(method: Method) -> list[Implementation]:
    """Every implementation of a method that this project has."""
    reference = [
        Implementation(
            f"reference-{dtype}-{device}",
            CallableSubject(FUNCTIONS[method], f"pomt_ref:{FUNCTIONS[method].__name__}", method, device),
            dtype,
        )
        for device in DEVICES
        for dtype in DTYPES
    ]
    streamed = [
        Implementation(f"streamed-{name}-{dtype}", CallableSubject(function, f"streamed:{name}"), dtype)
        for name, function in STREAMED.items()
        for dtype in DTYPES[2:]
        if method == "pomt"
    ]
    return [*reference, *streamed, Implementation("oracle-float64", OracleSubject(method), "float64")]


def asked_for(config: pytest.Config) -> list[Implementation] | None:
    """The implementation that the command line names, in every dtype that it names; None if it names none."""
    subject = config.stash.get(SUBJECT, None)
    if not isinstance(subject, CallableSubject):
        return None
    dtypes: list[Dtype] = config.getoption("--pomt-dtype") or ["float32"]
    return [Implementation(f"{subject.name}-{dtype}", subject, dtype) for dtype in dtypes]


def laws_of_chapters(method: Method, *chapters: str) -> list[Law]:
    """The laws whose clauses begin with one of these words."""
    return [law for law in laws_of(method) if law.clause.startswith(chapters)]
