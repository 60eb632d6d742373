"""What a law asks of an implementation, in NumPy terms; adapters for torch and others stand in ``conformance``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, Int64

from pomt_ref.testing.cases import Case
from pomt_ref.testing.formats import Dtype, Profile

Method = Literal["pomt", "topk", "evit"]
"""Which of the three algorithms an implementation claims to be."""


@dataclass(frozen=True)
class Outcome:
    """What an implementation answered, converted to float64 without loss."""

    tokens: Float64[np.ndarray, "..."]
    dtype: str
    """The dtype that came, by torch's name."""
    same_device: bool = True
    """Whether the output is on the device of the input."""
    changed_inputs: tuple[str, ...] = ()
    """Names of the input tensors that the call modified in place."""
    shares_memory: str = ""
    """The input that the output is a view of, if it is one."""
    kept: Int64[np.ndarray, "..."] | None = None
    """Rows of the input that were kept, where offered."""
    discarded: Int64[np.ndarray, "..."] | None = None
    """Rows of the input that were discarded, where offered."""
    stages: Mapping[str, Float64[np.ndarray, "..."]] = field(default_factory=dict)
    """Stages by their names in :class:`pomt_ref.Trace`, as far as offered: sums, attention, magnitude, scores, …"""


@dataclass(frozen=True)
class Gradients:
    """The gradient of a weighted sum of the output with respect to the inputs; None where there is none."""

    x: Float64[np.ndarray, "batch tokens channels"] | None
    attn: Float64[np.ndarray, "batch heads tokens tokens"] | None
    v: Float64[np.ndarray, "batch heads tokens features"] | None
    outcome: Outcome
    """The output that was differentiated: that of a training run."""


@runtime_checkable
class Subject(Protocol):
    """An implementation of POMT, Top-K or EViT under check."""

    @property
    def method(self) -> Method:
        """Which algorithm it claims to be."""
        ...

    def options(self) -> frozenset[str]:
        """The optional keyword arguments that it takes, such as ``normalisation``."""
        ...

    def profile(self, dtype: Dtype) -> Profile:
        """In what precision it says that it works, given inputs of this dtype."""
        ...

    def run(self, case: Case, **options: str | int | bool) -> Outcome:
        """Do the step of the case."""
        ...

    def gradients(self, case: Case, weights: Float64[np.ndarray, "batch output channels"]) -> Gradients | None:
        """Differentiate the sum of the output times ``weights``; None where the implementation offers no gradient."""
        ...
