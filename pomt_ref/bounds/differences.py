"""LIN-1 · by how much one token's score parts can exceed another's: exact ranges over boxes, pair by pair.

Scores compare as s_i > s_j if and only if D_ij + M δ_ij > 0, with D the difference of attention sums, δ that of value
shares and M the largest sum. D and δ are bounded as differences: both ends of a pair cannot be extreme at once, since
they share their rows and their softmax. docs/bounds.md derives the closed forms.
"""

from typing import Final, get_args

import torch
from jaxtyping import Float64
from torch import Tensor

from pomt_ref import contracts
from pomt_ref.bounds.box import CLAUSE, Box, a_box, refuse
from pomt_ref.bounds.directed import UNIT
from pomt_ref.bounds.softmax import Exponentials, exponentials
from pomt_ref.errors import OptionError, ShapeError
from pomt_ref.types import Normalisation

ROWS_AT_ONCE: Final = 4
"""Query rows whose pairs are computed together: few enough that rows x patches x patches numbers stay in the cache."""


def attention_difference(logits: Box, *, prefix: int = 1) -> Box:
    r"""LIN-1, POMT-ATT-1: the exact range of D = S_i - S_j over a box of attention logits, for all pairs of patches.

    .. math::
        \sup D_{ij} = \sum_{r \ge P} \max_h \min\bigl(E_i y - E_j y,\; E_i y - c_h\bigr), \qquad
        E_i = e^{u_{hri}},\; E_j = e^{l_{hrj}},\; c_h = \max_{g \ne h} \inf a_{grj}

    with y the reciprocal of the softmax denominator: the largest one where E_i >= E_j, else the one where both terms
    are equal, as far as the box allows. Rows are independent, and in every row the bound is attained.

    Arguments:
        logits: (batch, heads, tokens, tokens), before the softmax over keys; rows are queries.
        prefix: number P of prefix tokens; their keys count in every denominator, their rows and columns in no sum.

    Returns:
        bounds (batch, patches, patches): row i, column j holds D_ij; zero where i = j. Rounded outward.

    Raises:
        PomtError: shapes and prefixes outside the specification.

    >>> box = Box.around(torch.tensor([[[[0.0, 0.0], [0.0, 1.0]]]]), 0.0)
    >>> attention_difference(box, prefix=0).hi
    tensor([[[ 0.0000, -0.4621],
             [ 0.4621,  0.0000]]], dtype=torch.float64)
    """
    a_box("attention_difference", "logits", logits)
    contracts.layer("attention_difference", logits=logits.lo, prefix=prefix, check="shapes")
    sup = torch.stack([_sum_over_rows(exponentials(rows), prefix) for rows in _samples(logits, prefix)])
    return antisymmetric(sup)


def value_difference(values: Box, *, prefix: int = 1) -> Box:
    r"""LIN-1, POMT-MAG-1: the exact range of δ = p_i - p_j over a box of values, for all pairs of patches.

    .. math::
        \sup \delta_{ij} = \frac{n}{Z}, \qquad n = e^{u_i} - e^{l_j}, \qquad
        Z = e^{u_i} + e^{l_j} + \sum_{k \ne i,j} e^{(n \ge 0\; ?\; l_k : u_k)}

    where l and u bound the value sums t.

    Arguments:
        values: (batch, heads, tokens, features).
        prefix: number P of prefix tokens; they take part in the softmax and in no pair.

    Returns:
        bounds (batch, patches, patches): row i, column j holds δ_ij; zero where i = j. Rounded outward.

    Raises:
        PomtError: shapes and prefixes outside the specification, value sums that overflow.

    >>> box = Box(torch.zeros(1, 1, 3, 1), torch.tensor([[[[0.0], [1.0], [0.0]]]]))
    >>> value_difference(box, prefix=0).hi[0, 1]
    tensor([0.3642, 0.0000, 0.3642], dtype=torch.float64)
    """
    a_box("value_difference", "values", values)
    contracts.layer("value_difference", v=values.lo, prefix=prefix, check="shapes")
    return share_difference(value_sum_bounds("value_difference", values), prefix=prefix)


def share_difference(value_sums: Box, *, prefix: int) -> Box:
    """POMT-MAG-1: the exact range of δ over a box of value sums t, (batch, tokens): one head, one row."""
    each = exponentials(value_sums)
    sup = torch.stack([_sum_over_rows(_row(each, sample), prefix) for sample in range(len(each.low))])
    return antisymmetric(sup)


def value_sum_bounds(function: str, values: Box) -> Box:
    """POMT-MAG-1: the exact range of t, the sum over features of the maximum over heads, rounded outward."""
    lo, hi = (_sum_features(side.amax(dim=1), sign) for side, sign in ((values.lo, -1), (values.hi, 1)))
    for name, bound in (("lo", lo), ("hi", hi)):
        refuse(function, "finite value sums", name, bound, ~bound.isfinite(), clause="POMT-MAG-1")
    return Box(lo, hi)


def attention_sum_bounds(attention: Box, *, prefix: int) -> Box:
    """POMT-ATT-1: the range of S over a box of attention (batch, heads, tokens, tokens), rounded outward.

    For a box of logits, :func:`~pomt_ref.bounds.softmax.softmax_bounds` gives the attention; both ends of S are then
    attained, since every row and every head goes its own way.
    """
    lo, hi = (side[:, :, prefix:, prefix:].amax(dim=1) for side in (attention.lo, attention.hi))
    slack = 4 * UNIT * lo.shape[1]
    return Box(lo.sum(dim=1) - slack * lo.abs().sum(dim=1), hi.sum(dim=1) + slack * hi.abs().sum(dim=1))


def batch_max_bounds(sums: Box, *, normalisation: Normalisation = "batch") -> Box:
    r"""LIN-1, POMT-ATT-2: bounds of M, the largest sum of the batch or of each sample.

    .. math:: \max_j \inf S_j \;\le\; M \;\le\; \max_j \sup S_j

    The upper end is attained. M is never bounded apart from what it divides: see
    :func:`~pomt_ref.bounds.certificate.certify`.

    Arguments:
        sums: bounds of S, (batch, patches).
        normalisation: ``"batch"`` or ``"sample"``, as for :func:`pomt_ref.attention_score`.

    Returns:
        bounds of M, (1, 1) for the batch and (batch, 1) for samples.

    Raises:
        PomtError: sums of another shape, a normalisation that is not in the list.

    >>> sums = Box(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 2.5]]))
    >>> batch_max_bounds(sums)
    Box(lo=tensor([[2.]], dtype=torch.float64), hi=tensor([[3.]], dtype=torch.float64))
    """
    a_box("batch_max_bounds", "sums", sums)
    if normalisation not in get_args(Normalisation):
        expected = f"normalisation in {get_args(Normalisation)}"
        raise OptionError("batch_max_bounds", "POMT-ATT-2", expected, f"normalisation={normalisation!r}")
    if sums.lo.ndim != 2:  # noqa: PLR2004 -- batch and patches
        raise ShapeError("batch_max_bounds", CLAUSE, "sums of shape (batch, patches)", f"{(*sums.shape,)}")
    if normalisation == "batch":
        return Box(sums.lo.max().reshape(1, 1), sums.hi.max().reshape(1, 1))
    return Box(sums.lo.amax(dim=1, keepdim=True), sums.hi.amax(dim=1, keepdim=True))


def antisymmetric(sup: Float64[Tensor, "batch patches patches"]) -> Box:
    """Suprema of differences as a box: what i can exceed j by is what j can fall short of i."""
    exact = sup.clone()
    exact.diagonal(dim1=1, dim2=2).zero_()
    # A difference from zero, so that no zero is negative.
    return Box(0 - exact.mT, exact)


def _samples(logits: Box, prefix: int) -> list[Box]:
    """The patch rows of every sample, all keys."""
    return [Box(lo[:, prefix:], hi[:, prefix:]) for lo, hi in zip(logits.lo, logits.hi, strict=True)]


def _row(each: Exponentials, sample: int) -> Exponentials:
    """One sample's value sums as a single head with a single row."""
    return Exponentials(each.low[None, None, sample], each.high[None, None, sample], each.error)


def _sum_features(strongest: Float64[Tensor, "batch tokens features"], sign: int) -> Float64[Tensor, "batch tokens"]:
    """The sum over features, moved outward by what its rounding can be."""
    return strongest.sum(dim=-1) + sign * 2 * UNIT * strongest.shape[-1] * strongest.abs().sum(dim=-1)


def _sum_over_rows(each: Exponentials, prefix: int) -> Float64[Tensor, "patches patches"]:
    """sup of Σ over rows of the strongest head of i less that of j, rounded up."""
    patches = (..., slice(prefix, None))
    low, high = each.low[patches], each.high[patches]
    with_low, with_high = high + each.others_low[patches], low + each.others_high[patches]
    least = low / with_high
    others = _largest_of_other_heads(least)
    total = low.new_zeros(low.shape[-1], low.shape[-1])
    for rows in torch.arange(low.shape[1], device=low.device).split(ROWS_AT_ONCE):
        parts = (part[:, rows] for part in (low, high, with_low, with_high, others))
        total += _strongest_head(*parts).sum(dim=0)
    # What the formula is made of is no larger than the sums of both ends; the rows add a rounding each.
    size = (high / with_low).amax(dim=0).sum(dim=0)
    slack = each.error + 4 * UNIT * low.shape[1]
    return total + 4 * slack * (size.unsqueeze(1) + size.unsqueeze(0))


def _largest_of_other_heads(
    least: Float64[Tensor, "heads rows patches"],
) -> Float64[Tensor, "heads rows patches"]:
    """c: for every head the largest, over the other heads, of the least attention; zero if there is no other."""
    if len(least) == 1:
        return torch.zeros_like(least)
    first, second = least.topk(2, dim=0).values
    strongest = least.argmax(dim=0, keepdim=True)
    heads = torch.arange(len(least), device=least.device).reshape(-1, 1, 1)
    return torch.where(heads == strongest, second, first)


def _strongest_head(
    low: Float64[Tensor, "heads rows patches"],
    high: Float64[Tensor, "heads rows patches"],
    with_low: Float64[Tensor, "heads rows patches"],
    with_high: Float64[Tensor, "heads rows patches"],
    others: Float64[Tensor, "heads rows patches"],
) -> Float64[Tensor, "rows patches patches"]:
    """sup of (max over heads of a_i) - (max over heads of a_j) in every row: the best head for i, one after another.

    With i high, j low and every other key between its bounds, y = 1 / denominator is free between 1 / with_high (of j)
    and 1 / with_low (of i). The row's value E_i y - max(E_j y, c) is concave in y.
    """
    best = low.new_full((*low.shape[1:], low.shape[2]), -torch.inf)
    for rising, falling, least, most, other in zip(high, low, with_low, with_high, others, strict=True):
        largest = (1 / least).unsqueeze(-1)
        equal = torch.where(falling > 0, torch.maximum(other / falling, 1 / most), torch.inf).unsqueeze(-2)
        up, down, c = rising.unsqueeze(-1), falling.unsqueeze(-2), other.unsqueeze(-2)
        y = torch.where(up >= down, largest, torch.minimum(equal, largest))
        torch.maximum(best, (up * y).sub_(torch.maximum(y.mul_(down), c)), out=best)
    return best
