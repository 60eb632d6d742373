"""A vector: one pruning step with everything that an implementation of it is held against, as plain numbers."""

from dataclasses import asdict, dataclass
from typing import Final, Literal

import numpy as np
from jaxtyping import Float64, Int64, UInt8

from pomt_ref.testing import Case, Dtype, Method, Shape

Decision = Literal["forced", "ambiguous"]
"""Forced: every conforming output decides so. Ambiguous: within rounding error it may be decided either way."""

Stored = Dtype | Literal["int64", "uint8"]
"""The dtypes of tensors in the files."""


@dataclass(frozen=True)
class Cut:
    """What separates the kept tokens of one sample from the discarded ones."""

    gap: float | None
    """Score of the last token kept, less that of the first one discarded; None where T = 0."""
    allowed: float | None
    """What rounding explains of a gap: the sum of both tokens' ε; None where T = 0."""
    decision: Decision
    """Forced if every kept token's score less its ε is above every discarded token's score plus its ε."""


@dataclass(frozen=True)
class Expected:
    """What comes out of a vector's step; indices refer to the input sequence."""

    scores: Float64[np.ndarray, "batch patches"]
    """The exact score, rounded once, of every patch token in input order."""
    epsilon: Float64[np.ndarray, "batch patches"]
    """FLOAT-1: how far a score in the normative precision may be from it, rounded up to 12 bits."""
    order: Int64[np.ndarray, "batch patches"]
    """All patch tokens in descending score; equal scores by the lower index, which binds nobody."""
    kept: Int64[np.ndarray, "batch keep"]
    """The first T of the order."""
    discarded: Int64[np.ndarray, "batch discarded"]
    """The rest of the order."""
    forced: UInt8[np.ndarray, "batch keep"]
    """1 where the token of this rank has to stand before that of the next rank, 0 where they may be exchanged."""
    tokens: Float64[np.ndarray, "batch output channels"]
    """The output in rank order; its last row is rounded to the case's dtype."""
    last_row: Float64[np.ndarray, "batch channels"] | None
    """The mean or fused row before that rounding; None for Top-K, which has none."""
    last_row_bound: Float64[np.ndarray, "batch channels"] | None
    """FLOAT-2: how far a last row may be from it, rounded up to 12 bits."""
    cuts: tuple[Cut, ...]
    """One a sample."""


@dataclass(frozen=True)
class Vector:
    """One case of a set of vectors."""

    name: str
    """Its identifier, and the name of its file without the suffix."""
    method: Method
    clauses: tuple[str, ...]
    """What an output that is accepted shows to hold."""
    case: Case
    expected: Expected


AXES: Final[dict[str, str]] = {
    "x": "batch tokens channels",
    "attn": "batch heads tokens tokens",
    "v": "batch heads tokens features",
    "scores": "batch patches",
    "epsilon": "batch patches",
    "order": "batch patches",
    "kept": "batch keep",
    "discarded": "batch discarded",
    "forced": "batch keep",
    "tokens": "batch output channels",
    "last_row": "batch channels",
    "last_row_bound": "batch channels",
}
"""The tensors of a file, and their axes."""

DTYPES: Final[dict[str, Stored]] = {
    "scores": "float64",
    "epsilon": "float64",
    "order": "int64",
    "kept": "int64",
    "discarded": "int64",
    "forced": "uint8",
    "last_row": "float64",
    "last_row_bound": "float64",
}
"""Their dtypes, but for x, attn, v and tokens, which have that of the case."""


def tensor_shapes(shape: Shape, dtype: Dtype, method: Method) -> dict[str, tuple[Stored, tuple[int, ...]]]:
    """Dtype and shape of every tensor in the file of a case."""
    appended = 0 if method == "topk" else 1
    sizes = asdict(shape) | {"patches": shape.patches, "discarded": shape.discarded}
    sizes["output"] = shape.prefix + shape.keep + appended
    names = [name for name in AXES if appended or not name.startswith("last_row")]
    return {name: (DTYPES.get(name, dtype), tuple(sizes[axis] for axis in AXES[name].split())) for name in names}
