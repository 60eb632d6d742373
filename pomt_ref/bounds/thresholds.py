"""LIN-1 · the thresholds of planes above a maximum: the variables in order, and the t that are best.

Letters as in :mod:`pomt_ref.bounds.maximum`.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from pomt_ref.bounds.box import Box


@dataclass(frozen=True)
class Sorted:
    """The variables of a maximum in descending order of their upper bounds, the axis of the maximum last."""

    order: Tensor
    """Which variable stands where."""
    largest_lower: Float64[Tensor, "*functions 1"]
    """L."""
    caps: Float64[Tensor, "*functions variables"]
    """w: the upper bounds, none below L, in descending order."""
    widths: Float64[Tensor, "*functions variables"]
    """d, and one where w = L: such a variable has no part in the upper plane."""
    reach: Float64[Tensor, "*functions variables"]
    """(L - l) / d, in [0, 1]; zero where w = L."""
    above: Tensor
    """Where u > L."""


def sort(box: Box, axis: int) -> Sorted:
    """The variables in descending order of their upper bounds, with what both planes need of them."""
    lower, upper = box.lo.movedim(axis, -1), box.hi.movedim(axis, -1)
    largest_lower = lower.amax(dim=-1, keepdim=True)
    caps, order = torch.maximum(upper, largest_lower).sort(dim=-1, descending=True, stable=True)
    bottom = lower.gather(-1, order)
    above = caps > largest_lower
    widths = torch.where(above, caps - bottom, 1.0)
    # Halves, where the width of a box as wide as the format is no number; not elsewhere: a subnormal has no half.
    halves = (largest_lower / 2 - bottom / 2) / (caps / 2 - bottom / 2)
    reach = torch.where(above, torch.where(widths.isfinite(), (largest_lower - bottom) / widths, halves), 0.0)
    return Sorted(order, largest_lower, caps, widths, reach, above)


def minimax_threshold(box: Box, axis: int) -> Float64[Tensor, "..."]:
    r"""LIN-1: the t of least worst gap, which is also the threshold of the minimax lower plane.

    .. math::
        t^* = \arg\min_t \; t - L + \sum_i \frac{(L - l_i)(u_i - t)^+}{d_i}
        \quad\text{subject to}\quad \sum_i \frac{(u_i - t)^+}{d_i} \le 1

    The sum in the constraint is the largest over prefixes of the sorted variables, so the least feasible t is the
    largest of n quotients; the unconstrained minimum lies at the first knot where the reaches above it sum to at most
    one. The objective is convex, so t* is the larger of the two.

    Returns:
        t*, in [L, w₁], with the axis of the maximum kept.
    """
    each = sort(box, axis)
    narrowest = torch.where(each.above, each.widths, torch.inf).amin(dim=-1, keepdim=True)
    weights = torch.where(each.above, narrowest / each.widths, 0.0)
    mass = weights.cumsum(dim=-1)
    level = ((weights * each.caps).cumsum(dim=-1) - narrowest) / mass
    feasible = torch.where(each.above, level, -torch.inf).amax(dim=-1, keepdim=True)
    return torch.maximum(torch.maximum(feasible, knot(each, each.reach)), each.largest_lower).movedim(-1, axis)


def knot(each: Sorted, weights: Float64[Tensor, "..."]) -> Float64[Tensor, "..."]:
    """The least of L and the caps above which no more than one of the weights adds up."""
    within = (weights.cumsum(dim=-1) <= 1) & each.above
    place = within.cumprod(dim=-1).sum(dim=-1, keepdim=True)
    return torch.cat([each.caps, each.largest_lower], dim=-1).gather(-1, place)


def volume_thresholds(box: Box, axis: int) -> tuple[Float64[Tensor, "..."], Float64[Tensor, "..."]]:
    """LIN-1: w₃ and w₂, between which P_t has the least volume; tied upper bounds count as often as they come."""
    each = sort(box, axis)
    caps = torch.cat([each.caps, each.largest_lower, each.largest_lower], dim=-1)
    return caps[..., 2:3].movedim(-1, axis), caps[..., 1:2].movedim(-1, axis)
