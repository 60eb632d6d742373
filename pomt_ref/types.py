"""The words of the project: options, and the results of a step with the shape of every field.

Axis words are the same everywhere: batch, heads, queries, keys, tokens (N, prefix included), patches (n = N - P),
keep (T), discarded (m = n - T), features (D, of one head), channels (C).
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.export import register_dataclass

Normalisation = Literal["batch", "sample"]
"""POMT-ATT-2: over what the largest attention sum is taken."""

Check = Literal["values", "shapes", "none"]
"""How strict the boundary is: shapes and values, shapes alone, or nothing (for compiled and exported code)."""


def score_dtype(dtype: torch.dtype) -> torch.dtype:
    """POMT-PREC-1: scores are computed and stored in float32 or wider, whatever the input's dtype.

    >>> score_dtype(torch.bfloat16), score_dtype(torch.float64)
    (torch.float32, torch.float64)
    """
    return torch.promote_types(dtype, torch.float32)


@dataclass(frozen=True)
class Pruned:
    """The outcome of one pruning step; indices refer to the input sequence, prefix included."""

    tokens: Float[Tensor, "batch output channels"]
    """Prefix rows, kept rows in rank order, then the appended row (none for Top-K); dtype and device of x."""
    kept: Int[Tensor, "batch keep"]
    """Input rows that were kept, best first, in [P, N)."""
    discarded: Int[Tensor, "batch discarded"]
    """The other patch rows, in rank order, in [P, N)."""
    scores: Float[Tensor, "batch patches"]
    """The score of every patch token in input order, float32 or wider."""


@dataclass(frozen=True)
class Trace:
    """Every stage of :func:`pomt_ref.prune`, by its clause, for debugging an implementation stage by stage."""

    head_maximum: Float[Tensor, "batch patches patches"]
    """POMT-ATT-1: the maximum over heads of patch-to-patch attention; rows are queries."""
    sums: Float[Tensor, "batch patches"]
    """POMT-ATT-1: S, the sum of the head maximum over queries, in [0, n]."""
    largest: Float[Tensor, "samples 1"]
    """POMT-ATT-2: M, one row for the whole batch or one a sample."""
    attention: Float[Tensor, "batch patches"]
    """POMT-ATT-2: m = S / M, in [0, 1]."""
    value_sums: Float[Tensor, "batch tokens"]
    """POMT-MAG-1: t, the sum over features of the maximum over heads, prefix included."""
    magnitude: Float[Tensor, "batch patches"]
    """POMT-MAG-1: p, the softmax of t over all tokens without its prefix entries, in [0, 1]."""
    scores: Float[Tensor, "batch patches"]
    """POMT-SCORE-1: s = m + p, in [0, 2]."""
    order: Int[Tensor, "batch patches"]
    """POMT-RANK-1: input rows, best first."""
    gap: Float[Tensor, " batch"]
    """The score of the last kept token less that of the first discarded one; infinite if none is kept."""
    kept: Int[Tensor, "batch keep"]
    """POMT-PRUNE-4: the first T of the order."""
    discarded: Int[Tensor, "batch discarded"]
    """POMT-PRUNE-4: the rest of the order."""
    mean: Float[Tensor, "batch 1 channels"]
    """POMT-PRUNE-3: the mean of the discarded rows, in x's dtype."""
    tokens: Float[Tensor, "batch output channels"]
    """POMT-PRUNE-1: the output."""


register_dataclass(Pruned)
register_dataclass(Trace)
