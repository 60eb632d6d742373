"""LIN-1 · the maximum of n variables between two planes: the relaxation that linearising POMT needs.

Letters: l and u are the bounds, d = u - l, L = max l, w₁ >= w₂ >= … the numbers max(u, L) in descending order, every
one as often as it comes. docs/bounds.md proves what is claimed here.
"""

from typing import Final, Literal, get_args

import torch
from jaxtyping import Float64
from torch import Tensor

from pomt_ref.bounds.box import CLAUSE, Box, a_box, as_numbers, real, refuse
from pomt_ref.bounds.directed import products, sum_up
from pomt_ref.bounds.linear import LinearBounds
from pomt_ref.bounds.thresholds import minimax_threshold, volume_thresholds
from pomt_ref.errors import CountError, KindError, OptionError

Upper = Literal["volume-minimax", "minimax", "parallel", "deeppoly", "maxlin", "ti-lin"]
"""Upper planes by name: least volume and then least worst gap; least worst gap; parallel to the minimax lower plane;
t = w₁, w₂ and w₃."""

Lower = Literal["volume", "minimax"]
"""Lower planes by name: least volume, least worst gap."""

GRID: Final = 2.0**52
"""Lower slopes are multiples of 1/GRID: their sums are exact, so they sum to one exactly."""

HEADS: Final = {4: 1, 1: 0}
"""Where the heads are by default: axis 1 of (batch, heads, queries, keys) and of (batch, heads, tokens, features), and
the only axis there is."""


def relax_max(
    box: Box, *, upper: Upper | float | Tensor = "volume-minimax", lower: Lower = "volume", dim: int | None = None
) -> LinearBounds:
    r"""LIN-1: a plane above and a plane below the maximum over one axis of a box, both sound without exception.

    .. math:: \lambda \cdot x \;\le\; \max_i x_i \;\le\; t + \sum_i (u_i - t)^+ \frac{x_i - l_i}{d_i}, \qquad t \ge L

    Arguments:
        box: bounds of the variables, for instance (batch, heads, queries, keys) of attention.
        upper: ``"volume-minimax"`` is the plane of least volume above the box whose worst gap is least; ``"minimax"``
            has the least worst gap of all planes; ``"parallel"`` has the slopes of the minimax lower plane, for the
            narrowest band; ``"deeppoly"``, ``"maxlin"`` and ``"ti-lin"`` are those of the literature; a number t, or
            a tensor of them (the box's shape without ``dim``), is the plane P_t itself.
        lower: ``"volume"`` takes the variable with the largest midpoint, ``"minimax"`` the λ of least worst gap.
        dim: the axis of the maximum; by default the heads of a box of four axes, and the only axis of a box of one.

    Returns:
        the two planes. Slopes lie in [0, 1], the lower ones sum to exactly one; the upper intercept is the smallest
        that is sound for its slopes, up to two roundings upward, so that even rational arithmetic finds no
        point of the box above the plane.

    Raises:
        PomtError: a t below L, for which P_t is not sound; names and axes that are not there; bounds so large that
            an intercept overflows.

    Source: P_t for t = w₁ is DeepPoly's (Singh et al. 2019), for t = w₂ MaxLin's, for t = w₃ Ti-Lin's.

    >>> box = Box(torch.tensor([0.0, 0.0]), torch.tensor([1.0, 1.0]))
    >>> bounds = relax_max(box)
    >>> bounds.upper_slopes, bounds.upper_intercept
    (tensor([0.5000, 0.5000], dtype=torch.float64), tensor(0.5000, dtype=torch.float64))
    >>> bounds.concretize()
    Box(lo=tensor(0., dtype=torch.float64), hi=tensor(1., dtype=torch.float64))
    """
    axis = axis_of_maximum("relax_max", box, dim)
    _one_of("lower", lower, get_args(Lower))
    slopes = upper_slopes("relax_max", box, upper, axis)
    weights = lower_weights(box, lower, axis)
    interval = Box(box.lo.amax(dim=axis), box.hi.amax(dim=axis))
    intercept = upper_intercept(slopes, box, axis)
    refuse("relax_max", "a finite intercept", "intercept", intercept, ~intercept.isfinite())
    return LinearBounds(
        box=box,
        dim=axis - box.lo.ndim,
        lower_slopes=weights,
        lower_intercept=torch.zeros_like(intercept),
        upper_slopes=slopes,
        upper_intercept=intercept,
        interval=interval,
    )


def axis_of_maximum(function: str, box: Box, dim: int | None) -> int:
    """The axis of the maximum of a box, counted from the front."""
    a_box(function, "box", box)
    axes = box.lo.ndim
    if dim is None:
        if axes not in HEADS:
            expected = "dim, unless the box has one axis or (batch, heads, …) four"
            raise OptionError(function, CLAUSE, expected, f"dim=None for a box of shape {(*box.shape,)}")
        return HEADS[axes]
    if isinstance(dim, bool) or not isinstance(dim, int):
        raise KindError(function, CLAUSE, "dim, an int", f"dim={dim!r}")
    if not -axes <= dim < axes:
        raise CountError(function, CLAUSE, f"{-axes} <= dim <= {axes - 1}", f"dim={dim}")
    return dim % axes


def upper_threshold(function: str, box: Box, upper: Upper | float | Tensor, axis: int) -> Float64[Tensor, "..."]:
    """The t of a plane by its name, or t itself, checked; the axis of the maximum is kept."""
    if isinstance(upper, str):
        _one_of("upper", upper, get_args(Upper), function)
        third, second = volume_thresholds(box, axis)
        match upper:
            case "deeppoly":
                return box.hi.amax(dim=axis, keepdim=True)
            case "maxlin":
                return second
            case "ti-lin":
                return third
            case "minimax":
                return minimax_threshold(box, axis)
            case _:
                # The worst gap is convex in t: its minimum over [w₃, w₂] is the nearest point to its minimum over all.
                return torch.minimum(torch.maximum(minimax_threshold(box, axis), third), second)
    return _given_threshold(function, box, upper, axis)


def upper_slopes(function: str, box: Box, upper: Upper | float | Tensor, axis: int) -> Float64[Tensor, "..."]:
    """The slopes (u - t)⁺ / d of P_t, in [0, 1]; those of the minimax lower plane for ``"parallel"``."""
    if isinstance(upper, str) and upper == "parallel":
        return lower_weights(box, "minimax", axis)
    return slopes_above(box, upper_threshold(function, box, upper, axis))


def slopes_above(box: Box, threshold: Float64[Tensor, "..."]) -> Float64[Tensor, "..."]:
    """(u - t)⁺ / d, in [0, 1], and zero for a variable that is a point."""
    above = box.hi > threshold
    widths = torch.where(above, box.hi - box.lo, 1.0)
    # Halves only where the width is no number: a subnormal has no half.
    halves = (box.hi / 2 - threshold / 2) / torch.where(above, box.hi / 2 - box.lo / 2, 1.0)
    slopes = torch.where(widths.isfinite(), (box.hi - threshold) / widths, halves)
    return torch.where(above, slopes.clamp(0, 1), 0.0)


def upper_intercept(slopes: Float64[Tensor, "..."], box: Box, axis: int) -> Float64[Tensor, "..."]:
    r"""LIN-1: the least intercept that is sound for given slopes in [0, 1], rounded up.

    .. math:: b^* = \max_k \bigl(u_k - a_k (u_k - l_k)\bigr) - \sum_i a_i l_i

    Computed in plain float64 it comes out too small in one box out of fifteen.
    """
    a, lower, upper = (part.movedim(axis, 0) for part in (slopes, box.lo, box.hi))
    high, high_lost, high_slack = products(a, upper)
    low, low_lost, low_slack = products(a, lower)
    peaks = sum_up([upper, -high, -high_lost, high_slack, low, low_lost, low_slack]).amax(dim=0)
    return sum_up([peaks, *(-low), *(-low_lost), *low_slack])


def lower_weights(box: Box, lower: Lower, axis: int) -> Float64[Tensor, "..."]:
    r"""LIN-1: λ of a lower plane λ · x, a point of the simplex: it needs no intercept, and holds outside the box too.

    For ``"volume"`` all weight is on the largest midpoint. For ``"minimax"``, λᵢ = (uᵢ - t*)⁺ / dᵢ with the threshold
    of :func:`~pomt_ref.bounds.thresholds.minimax_threshold`, and the rest is on the largest lower bound.
    """
    if lower == "volume":
        chosen = (box.lo / 2 + box.hi / 2).argmax(dim=axis, keepdim=True)
        return torch.zeros_like(box.lo).scatter(axis, chosen, 1.0)
    slopes = slopes_above(box, minimax_threshold(box, axis)).movedim(axis, -1)
    # Where rounding lets them sum to more than one, the narrowest variables give way: their slopes are the least
    # certain and matter least. Multiples of 1/GRID up to one are summed without rounding.
    widest_first = (box.hi / 2 - box.lo / 2).movedim(axis, -1).argsort(dim=-1, descending=True, stable=True)
    filled = ((slopes.gather(-1, widest_first) * GRID).floor() / GRID).cumsum(dim=-1).clamp(max=1)
    weights = torch.zeros_like(slopes).scatter(-1, widest_first, filled.diff(dim=-1, prepend=0 * filled[..., :1]))
    rest = 1 - filled[..., -1:]
    holder = box.lo.movedim(axis, -1).argmax(dim=-1, keepdim=True)
    return weights.scatter_add(-1, holder, rest).movedim(-1, axis)


def _one_of(name: str, value: object, names: tuple[str, ...], function: str = "relax_max") -> None:
    """A word from a list."""
    if value not in names:
        raise OptionError(function, CLAUSE, f"{name} in {names}", f"{name}={value!r}")


def _given_threshold(function: str, box: Box, upper: float | Tensor, axis: int) -> Float64[Tensor, "..."]:
    """A threshold from the caller: one number or one a maximum, never below L."""
    largest_lower = box.lo.amax(dim=axis)
    if isinstance(upper, bool) or not real(upper):
        raise KindError(function, CLAUSE, "upper, a name, a number or a tensor of them", f"upper={upper!r}")
    given = as_numbers(function, "upper", upper, box.lo)
    if given.ndim and given.shape != largest_lower.shape:
        expected = f"upper of shape {(*largest_lower.shape,)}, the box's without its axis {axis}"
        raise OptionError(function, CLAUSE, expected, f"{(*given.shape,)}")
    threshold = given.expand_as(largest_lower)
    refuse(function, "a finite threshold", "upper", threshold, ~threshold.isfinite())
    refuse(function, "a threshold t >= L, the largest lower bound", "upper", threshold, threshold < largest_lower)
    return threshold.unsqueeze(axis)
