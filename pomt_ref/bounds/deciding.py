"""LIN-1 · from bounds of differences to what is certain: the order of two tokens, the fate of one, the mean row."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from pomt_ref.bounds.box import Box
from pomt_ref.bounds.directed import UNIT
from pomt_ref.bounds.margins import mean_margin
from pomt_ref.bounds.steps import Arithmetic


@dataclass(frozen=True, eq=False)
class Fates:
    """Which patches every point of a box keeps, and which it discards."""

    kept: Bool[Tensor, "batch patches"]
    """Certainly kept."""
    discarded: Bool[Tensor, "batch patches"]
    """Certainly discarded."""

    @property
    def undetermined(self) -> Bool[Tensor, "batch patches"]:
        """Neither."""
        return ~(self.kept | self.discarded)


def certain_order(
    attention: Box, values: Box, largest: Box, margin: Float64[Tensor, "batch patches"]
) -> Bool[Tensor, "batch patches patches"]:
    r"""LIN-1: whether s_i > s_j at every point, for all pairs (row i, column j).

    .. math::
        s_i > s_j \iff D_{ij} + M \delta_{ij} > 0, \qquad
        \inf \ge D^-_{ij} + \bigl(\delta^-_{ij} \ge 0\; ?\; M^- : M^+\bigr)\, \delta^-_{ij}

    M is common to both tokens, so it is multiplied out and never divided by. Strict: a tie is no order.

    Arguments:
        attention: bounds of D, (batch, patches, patches).
        values: bounds of δ, (batch, patches, patches).
        largest: bounds of M, (1 or batch, 1), above zero.
        margin: ε of every score; an order is certain if scores are further apart than both.
    """
    share = values.lo - (margin.unsqueeze(2) + margin.unsqueeze(1))
    scaled = torch.where(share >= 0, largest.lo.unsqueeze(2), largest.hi.unsqueeze(2)) * share
    slack = 8 * UNIT * (attention.lo.abs() + scaled.abs())
    # A token does not come before itself: its own difference is zero, and zero is not above zero.
    return attention.lo + scaled - slack > 0


def fates(order: Bool[Tensor, "batch patches patches"], *, keep: int) -> Fates:
    r"""LIN-1: who is kept whatever happens, and who is discarded.

    .. math::
        \text{kept: } \#\{j \ne i : \text{not } i \succ j\} \le T - 1, \qquad
        \text{discarded: } \#\{j : j \succ i\} \ge T

    >>> order = torch.tensor([[[False, True, True], [False, False, False], [False, False, False]]])
    >>> fates(order, keep=1)
    Fates(kept=tensor([[ True, False, False]]), discarded=tensor([[False,  True,  True]]))
    """
    may_come_before = order.shape[1] - 1 - order.sum(dim=2)
    surely_before = order.sum(dim=1)
    return Fates(may_come_before <= keep - 1, surely_before >= keep)


def mean_bounds(x: Box, fate: Fates, *, prefix: int, keep: int, arithmetic: Arithmetic) -> Box:
    """LIN-1, POMT-PRUNE-3: the range of the mean row, channel by channel.

    m rows are averaged: those that are certainly discarded, and as many of the undetermined ones as are missing, at
    worst the largest of them (the smallest, for the lower end).

    Arguments:
        x: bounds of the tokens, (batch, tokens, channels).
        fate: of every patch.
        prefix: number P of prefix tokens.
        keep: number T of patches kept.
        arithmetic: of the run that computes the mean.

    Returns:
        bounds (batch, channels), rounded outward.
    """
    lo, hi = x.lo[:, prefix:], x.hi[:, prefix:]
    count = lo.shape[1] - keep
    highest = largest_total(hi, fate, count) / count
    lowest = -largest_total(-lo, fate, count) / count
    size = largest_total(torch.maximum(lo.abs(), hi.abs()), fate, count) / count
    slack = 4 * UNIT * (lo.shape[1] + 4) * size + mean_margin(size, discarded=count, arithmetic=arithmetic)
    return Box(lowest - slack, highest + slack)


def largest_total(
    rows: Float64[Tensor, "batch patches channels"], fate: Fates, count: int
) -> Float64[Tensor, "batch channels"]:
    """The largest sum of ``count`` rows that include those certainly discarded and none certainly kept."""
    sure = torch.where(fate.discarded.unsqueeze(2), rows, 0.0).sum(dim=1)
    open_rows = torch.where(fate.undetermined.unsqueeze(2), rows, -torch.inf)
    descending = open_rows.sort(dim=1, descending=True).values
    missing = (count - fate.discarded.sum(dim=1)).reshape(-1, 1, 1)
    place = torch.arange(rows.shape[1], device=rows.device).reshape(1, -1, 1)
    return sure + torch.where(place < missing, descending, 0.0).sum(dim=1)
