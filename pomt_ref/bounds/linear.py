"""LIN-1 · linear bounds: one plane below a function and one above it, over a box."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from pomt_ref.bounds.box import Box
from pomt_ref.bounds.directed import dot_down, dot_up


@dataclass(frozen=True, eq=False)
class LinearBounds:
    r"""LIN-1: two planes that hold a function between them, everywhere in a box.

    .. math:: a^- \cdot x + b^- \;\le\; f(x) \;\le\; a^+ \cdot x + b^+, \qquad l \le x \le u

    The axis ``dim`` counts the variables of one plane; the others count functions. For the maximum over heads the
    box has the shape of the slopes; a box that all functions share has only the axes that it needs to broadcast.
    """

    box: Box
    """Where the bounds hold."""
    dim: int
    """The axis of the variables, counted from the end."""
    lower_slopes: Float64[Tensor, "*axes"]
    """a⁻."""
    lower_intercept: Float64[Tensor, "*functions"]
    """b⁻; the axes of the slopes without ``dim``."""
    upper_slopes: Float64[Tensor, "*axes"]
    """a⁺."""
    upper_intercept: Float64[Tensor, "*functions"]
    """b⁺."""
    interval: Box
    """What is known of the function without the planes; no range is given that leaves it."""

    def lower(self, x: Float[Tensor, "..."]) -> Float64[Tensor, "..."]:
        """The lower plane at a point, in plain float64; axes of the point beyond the box's come first."""
        return (self.lower_slopes * x).sum(dim=self.dim) + self.lower_intercept

    def upper(self, x: Float[Tensor, "..."]) -> Float64[Tensor, "..."]:
        """The upper plane at a point, in plain float64; axes of the point beyond the box's come first."""
        return (self.upper_slopes * x).sum(dim=self.dim) + self.upper_intercept

    def concretize(self) -> Box:
        r"""LIN-1: the range of the function over the box: that of the planes, cut with the interval.

        .. math:: \min a^- \cdot x + b^- = \sum_{a^-_k \ge 0} a^-_k l_k + \sum_{a^-_k < 0} a^-_k u_k + b^-

        Returns:
            the range, rounded outward; never wider than ``interval``, which a plane alone may be.
        """
        return self._range.intersect(self.interval)

    @cached_property
    def _range(self) -> Box:
        """The range of the planes alone."""
        lowest = torch.where(self.lower_slopes >= 0, self.box.lo, self.box.hi)
        highest = torch.where(self.upper_slopes >= 0, self.box.hi, self.box.lo)
        lo = dot_down(self.lower_slopes, lowest, dim=self.dim, add=self.lower_intercept)
        hi = dot_up(self.upper_slopes, highest, dim=self.dim, add=self.upper_intercept)
        # A plane that touches both ends can leave lo a rounding above hi only where both are one number.
        return Box(torch.minimum(lo, hi), torch.maximum(lo, hi))
