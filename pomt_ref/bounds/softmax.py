"""LIN-1 · softmax over a box of logits: the exact range of every entry, rounded outward."""

from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float64
from torch import Tensor

from pomt_ref.bounds.box import CLAUSE, Box, a_box
from pomt_ref.bounds.directed import UNIT
from pomt_ref.errors import CountError, KindError

TINY: Final = 2.0**-1000
"""Added to an exponential's upper end and taken from its lower end, so that underflow stays inside the bounds; smaller
than anything that decides an order, and large enough to divide by."""

LARGEST_ARGUMENT: Final = 750.0
"""Exponentials of less than minus this are zero in float64, whatever else they are."""

STEPS: Final = 64
"""More roundings than a formula of this package makes on top of its sums and exponentials."""


@dataclass(frozen=True)
class Exponentials:
    """The exponentials of a box of logits, every row relative to its largest upper bound."""

    low: Float64[Tensor, "*rows keys"]
    """e^l; no larger than the true one, within ``error``."""
    high: Float64[Tensor, "*rows keys"]
    """e^u; no smaller than the true one, within ``error``."""
    error: float
    """ρ: relative error of a quotient of sums of these numbers, with a margin for the formulas that use it."""

    @property
    def others_low(self) -> Float64[Tensor, "*rows keys"]:
        """For every key the sum of e^l over the other keys."""
        return sum_of_others(self.low)

    @property
    def others_high(self) -> Float64[Tensor, "*rows keys"]:
        """For every key the sum of e^u over the other keys."""
        return sum_of_others(self.high)


def exponentials(logits: Box) -> Exponentials:
    """Both ends of every exponential, the last axis being the keys of a row.

    The difference to the row's largest is rounded by u, relatively, and an exponential is within 4 u of that of its
    argument (the c of FLOAT-1); sums and quotients add a rounding a term. Overflow cannot happen: no argument is
    positive.
    """
    top = logits.hi.amax(dim=-1, keepdim=True)
    arguments = logits.lo - top
    low = (arguments.exp() - TINY).clamp(min=0)
    high = (logits.hi - top).exp() + TINY
    span = float((-arguments).amax().clamp(max=LARGEST_ARGUMENT))
    return Exponentials(low, high, 4 * UNIT * (2 * span + low.shape[-1] + STEPS))


def sum_of_others(terms: Float64[Tensor, "*rows keys"]) -> Float64[Tensor, "*rows keys"]:
    """For every term the sum of the others, by sums from both sides: a subtraction from the total would cancel.

    >>> sum_of_others(torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64))
    tensor([6., 5., 3.], dtype=torch.float64)
    """
    nothing = torch.zeros_like(terms[..., :1])
    before = torch.cat([nothing, terms[..., :-1].cumsum(dim=-1)], dim=-1)
    after = torch.cat([nothing, terms[..., 1:].flip(-1).cumsum(dim=-1)], dim=-1).flip(-1)
    return before + after


def softmax_bounds(logits: Box, *, dim: int = -1) -> Box:
    r"""LIN-1: the range of softmax over a box of logits.

    .. math::
        \frac{e^{l_i}}{e^{l_i} + \sum_{k \ne i} e^{u_k}} \;\le\; a_i \;\le\;
        \frac{e^{u_i}}{e^{u_i} + \sum_{k \ne i} e^{l_k}}

    Both ends are attained, at corners of the box, up to rounding. Where a row spans more than about 690, exponentials
    leave float64: the ends are then sound, and may be as far off as zero and one.

    Arguments:
        logits: bounds of the logits; they may be as large as float64 holds.
        dim: the axis that sums to one.

    Returns:
        bounds of every entry in [0, 1], rounded outward.

    Raises:
        PomtError: an axis that is not there.

    >>> bounds = softmax_bounds(Box(torch.tensor([0.0, 0.0]), torch.tensor([0.0, 1.0])))
    >>> bounds.lo, bounds.hi
    (tensor([0.2689, 0.5000], dtype=torch.float64), tensor([0.5000, 0.7311], dtype=torch.float64))
    """
    a_box("softmax_bounds", "logits", logits)
    axes = logits.lo.ndim
    if isinstance(dim, bool) or not isinstance(dim, int):
        raise KindError("softmax_bounds", CLAUSE, "dim, an int", f"dim={dim!r}")
    if not -axes <= dim < axes:
        raise CountError("softmax_bounds", CLAUSE, f"{-axes} <= dim <= {axes - 1}", f"dim={dim}")
    each = exponentials(Box(logits.lo.movedim(dim, -1), logits.hi.movedim(dim, -1)))
    total = each.low + each.others_high
    # Zero only for a key that is alone in its row, however wide its bounds.
    lo = torch.where(total > 0, each.low / total, 1.0) * (1 - each.error)
    hi = (each.high / (each.high + each.others_low) * (1 + each.error)).clamp(max=1)
    return Box(lo.movedim(-1, dim), hi.movedim(-1, dim))
