"""LIN-1 · how good a plane can be: the concave envelope of the maximum, and the worst gap of a plane."""

from typing import Literal, get_args

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from pomt_ref.bounds.box import CLAUSE, Box, a_tensor, refuse
from pomt_ref.bounds.directed import UNDERFLOW_SLACK, UNIT, up
from pomt_ref.bounds.linear import LinearBounds
from pomt_ref.bounds.maximum import axis_of_maximum, upper_intercept
from pomt_ref.bounds.thresholds import knot, sort
from pomt_ref.errors import KindError, OptionError, ShapeError, ValuesError

Side = Literal["upper", "lower"]
"""Which plane is meant."""


def max_envelope(box: Box, x: Float[Tensor, "*axes"], *, dim: int | None = None) -> Float64[Tensor, "..."]:
    r"""LIN-1: the least concave function above the maximum over a box, at a point.

    .. math:: \min_{t \in \{L\} \cup \{u_i > L\}} P_t(x)
        = L + \sum_i p_i (u_i - L), \qquad p_i = \min\Bigl(z_i,\; 1 - \sum_{u_j > u_i} p_j\Bigr)

    No sound concave bound, and so no plane, is lower anywhere. The sum fills up one unit of mass greedily, the largest
    upper bound first.

    Arguments:
        box: bounds of the variables.
        x: a point of the box, of its shape.
        dim: the axis of the maximum, as for :func:`~pomt_ref.bounds.maximum.relax_max`.

    Returns:
        the envelope, with ``dim`` left out, rounded up: never below the true one.

    Raises:
        PomtError: a point of another shape or outside the box, or widths that overflow.

    >>> box = Box(torch.tensor([0.0, 0.0]), torch.tensor([1.0, 1.0]))
    >>> max_envelope(box, torch.tensor([0.5, 0.25]))
    tensor(0.7500, dtype=torch.float64)
    """
    axis = axis_of_maximum("max_envelope", box, dim)
    a_tensor("max_envelope", "x", x)
    if x.shape != box.shape:
        raise ShapeError("max_envelope", CLAUSE, f"x of the box's shape {(*box.shape,)}", f"{(*x.shape,)}")
    if not box.contains(x):
        raise ValuesError("max_envelope", CLAUSE, "x inside the box", "a point outside, or NaN")
    each = sort(box, axis)
    raised = (x.to(torch.float64) - box.lo).movedim(axis, -1).gather(-1, each.order)
    shares = torch.where(each.above, raised / each.widths, 0.0)
    filled = shares.cumsum(dim=-1).clamp(max=1)
    taken = filled.diff(dim=-1, prepend=torch.zeros_like(filled[..., :1]))
    heights = each.caps - each.largest_lower
    base = each.largest_lower.squeeze(-1)
    tallest = heights.amax(dim=-1)
    slack = 4 * (shares.shape[-1] + 4) * (UNIT * tallest + UNDERFLOW_SLACK)
    value = base + (taken * heights).sum(dim=-1) + slack
    envelope = torch.where(tallest > 0, up(value), base)
    # A share of an infinite width would be zero, and the envelope below the maximum.
    envelope = torch.where(each.widths.isfinite().all(dim=-1), envelope, torch.nan)
    refuse("max_envelope", "a box whose widths are finite", "envelope", envelope, ~envelope.isfinite())
    return envelope


def worst_gap(bounds: LinearBounds, *, side: Side = "upper") -> Float64[Tensor, "..."]:
    r"""LIN-1: the largest distance, over the box, between the maximum and one of its planes.

    .. math::
        \sup_x \; a \cdot x + b - \max_i x_i
        \;=\; b + \max_{s \in \{L\} \cup \{u_i > L\}} \sum_i a_i \min(u_i, s) - s

    Where the maximum is s, every variable goes as high as it may. The sum is concave in s, so its largest value lies at
    the first s above which no more than one of the slopes adds up.

    Arguments:
        bounds: of a maximum, as :func:`~pomt_ref.bounds.maximum.relax_max` gives them.
        side: which plane.

    Returns:
        the gap, at least zero, in plain float64: a measure of a bound, and none itself.

    >>> from pomt_ref.bounds import relax_max
    >>> box = Box(torch.tensor([0.0, 0.0, 0.0]), torch.tensor([1.0, 1.0, 0.0]))
    >>> worst_gap(relax_max(box, upper="maxlin")), worst_gap(relax_max(box, upper="minimax"))
    (tensor(1., dtype=torch.float64), tensor(0.5000, dtype=torch.float64))
    """
    if not isinstance(bounds, LinearBounds):
        raise KindError("worst_gap", CLAUSE, "bounds, LinearBounds", type(bounds).__name__)
    if side not in get_args(Side):
        raise OptionError("worst_gap", CLAUSE, "side in ('upper', 'lower')", f"side={side!r}")
    box, axis = bounds.box, bounds.dim + bounds.box.lo.ndim
    if side == "lower":
        return (upper_intercept(bounds.lower_slopes, box, axis) - bounds.lower_intercept).clamp(min=0)
    each = sort(box, axis)
    slopes = bounds.upper_slopes.movedim(axis, -1)
    level = knot(each, slopes.gather(-1, each.order))
    height = (slopes * torch.minimum(box.hi.movedim(axis, -1), level)).sum(dim=-1) - level.squeeze(-1)
    return (bounds.upper_intercept + height).clamp(min=0)
