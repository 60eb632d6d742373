"""LIN-1 · softmax between planes in the logits of its row.

Planes are written in deviations: a logit less its value at the center of the box. The value of a plane at the center
is its intercept.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import torch
from jaxtyping import Float64
from torch import Tensor

from pomt_ref.bounds.box import Box
from pomt_ref.bounds.layer import FAR_BELOW, Forms
from pomt_ref.bounds.softmax import TINY, softmax_bounds
from pomt_ref.bounds.steps import Step

SMALLEST_SHARE: Final = 1e-280
"""Below this, and beyond its reciprocal, exponentials and logarithms say nothing: the plane is then a constant."""


@dataclass(frozen=True)
class SoftmaxPlanes:
    """One row: every head's share of every key (target) between two planes in the row's logits (keys).

    Values have room for the rounding of all that the planes are made of.
    """

    lower: Float64[Tensor, "heads targets keys"]
    """Slopes of the lower plane."""
    lower_value: Float64[Tensor, "heads targets"]
    """The lower plane at the center."""
    touch: Float64[Tensor, "heads targets"]
    """s: the share at which the lower plane touches what it is a tangent of; its value at the center without the room.
    With γ it shows whoever checks the plane how it was found."""
    mixed: Float64[Tensor, "heads targets"]
    """γ: what the lower plane takes of the weighted mean of its row's logits; zero where it knows differences only."""
    upper: Float64[Tensor, "heads targets keys"]
    """Slopes of the upper plane."""
    upper_value: Float64[Tensor, "heads targets"]
    """The upper plane at the center."""

    def of_targets(self, first: int) -> "SoftmaxPlanes":
        """The planes of the targets from this one on."""
        parts = (self.lower, self.lower_value, self.touch, self.mixed, self.upper, self.upper_value)
        return SoftmaxPlanes(*(part[:, first:] for part in parts))


def step_planes(forms: Forms, step: Step, sample: int) -> Iterator[tuple[int, SoftmaxPlanes]]:
    """The row of every patch of one sample, by its place among the tokens, with the planes of patches as targets."""
    assert step.logits is not None  # noqa: S101 -- a step of tokens has them
    logits = Box(step.logits.lo[sample], step.logits.hi[sample])
    shares = softmax_bounds(logits)
    for query in range(step.prefix, logits.shape[1]):
        of_logits, of_shares = (Box(box.lo[:, query], box.hi[:, query]) for box in (logits, shares))
        yield query, row_planes(forms, of_logits, of_shares, query).of_targets(step.prefix)


def row_planes(forms: Forms, logits: Box, shares: Box, query: int) -> SoftmaxPlanes:
    """Planes for the row of one query: the better of two ways below, with room for rounding.

    Arguments:
        forms: the logits of the sample as forms.
        logits: bounds of the row's logits, (heads, keys).
        shares: bounds of the row's attention, (heads, keys).
        query: the row.
    """
    differences = row_differences(forms, logits, query)
    lo, hi = (1 / side.exp().sum(dim=-1) for side in (differences.hi, differences.lo))
    shares = shares.intersect(Box(lo * (1 - FAR_BELOW), (hi * (1 + FAR_BELOW) + TINY).clamp(max=1)))
    center = forms.center[:, query]
    means = _means(forms, query)
    lower, lower_value = planes_below(center, differences, shares)
    upper, upper_value = planes_above(center, means.reach, shares)
    nothing = torch.zeros_like(lower_value)
    planes = SoftmaxPlanes(lower, lower_value, lower_value, nothing, upper, upper_value)
    return _with_room(forms, query, _better_below(means, planes))


def planes_below(center: Float64[Tensor, "heads keys"], differences: Box, shares: Box) -> tuple[Tensor, Tensor]:
    r"""LIN-1: planes below every share of one row: slopes (heads, targets, keys), and values at the center.

    .. math:: a_k = 1 / y, \qquad y = \sum_m e^{t_m}, \qquad t_m = \mathrm{logit}_m - \mathrm{logit}_k

    Every exponential is under its chord, so y is under a linear function, and 1 / y over its tangent there.

    Arguments:
        center: the logits at the center of the box.
        differences: bounds of t, (heads, targets, keys), as narrow as is known.
        shares: bounds of the shares, (heads, targets), for where there is no plane.
    """
    middle = center.unsqueeze(1) - center.unsqueeze(2)
    width = differences.hi - differences.lo
    rise = differences.lo.exp() * torch.where(width > 0, width.expm1() / width, 1.0)
    total = (differences.lo.exp() + rise * (middle - differences.lo)).sum(dim=-1)
    lower = _on_logits(-rise / total.unsqueeze(-1) ** 2)
    return _or_constant(lower, 1 / total, shares.lo, least=1 / total)


def planes_above(
    center: Float64[Tensor, "heads keys"], reach: Float64[Tensor, "heads targets"], shares: Box
) -> tuple[Tensor, Tensor]:
    r"""LIN-1: planes above every share of one row: slopes (heads, targets, keys), and values at the center.

    .. math:: \log a_k = z_k - \log \sum_m e^{z_m} \;\le\; x = \log a_k(c) + (z_k - c_k) - \sum_m a_m(c) (z_m - c_m)

    log a is concave, so under its tangent x, which is linear; exp x is under its chord over the range of x, as far as
    the share's bounds do not say more.

    Arguments:
        center: c, the logits at the center of the box.
        reach: how far x goes from its value at the center.
        shares: bounds of the shares, (heads, targets).
    """
    at_center = center.log_softmax(dim=-1)
    bottom = torch.maximum(at_center - reach, shares.lo.log())
    top = torch.minimum(at_center + reach, shares.hi.log())
    span = top - bottom
    steep = bottom.exp() * torch.where(span > 0, span.expm1() / span, 1.0)
    upper = _on_logits(-steep.unsqueeze(-1) * at_center.exp().unsqueeze(1))
    return _or_constant(upper, bottom.exp() + steep * (at_center - bottom), shares.hi, least=shares.lo)


def sizes(
    forms: Forms, slopes: Float64[Tensor, "heads targets keys"], value: Float64[Tensor, "heads targets"], query: int
) -> Float64[Tensor, "heads targets"]:
    """The sum of the sizes of all that planes are made of: what their rounding is relative to."""
    return value.abs() + torch.einsum("htm,hm->ht", slopes.abs(), forms.size[:, query])


@dataclass(frozen=True)
class Means:
    """The logits of one row relative to their mean, weighted by the shares w at the center."""

    weights: Float64[Tensor, "heads keys"]
    """w."""
    value: Float64[Tensor, "heads keys"]
    """At the center."""
    reach: Float64[Tensor, "heads keys"]
    """How far they go from there: less far than a difference to one logit."""


def _means(forms: Forms, query: int) -> Means:
    """The logits of a row relative to their mean."""
    weights = forms.center[:, query].softmax(dim=-1)
    keys = weights.shape[1]
    apart = torch.eye(keys, dtype=weights.dtype, device=weights.device) - weights.unsqueeze(1)
    value = torch.einsum("hmj,hj->hm", apart, forms.center[:, query])
    return Means(weights, value, _reach(forms, apart, value, query))


def _with_room(forms: Forms, query: int, planes: SoftmaxPlanes) -> SoftmaxPlanes:
    """Planes moved outward by what rounding can be."""
    return replace(
        planes,
        lower_value=planes.lower_value - FAR_BELOW * sizes(forms, planes.lower, planes.lower_value, query),
        upper_value=planes.upper_value + FAR_BELOW * sizes(forms, planes.upper, planes.upper_value, query),
    )


def _better_below(means: Means, planes: SoftmaxPlanes) -> SoftmaxPlanes:
    r"""Lower planes by another way, wherever they are higher at the center.

    .. math:: a_k = e^{z_k - \log \sum_m e^{z_m}}, \qquad z_m = \mathrm{logit}_m - \sum_j w_j \, \mathrm{logit}_j

    With w the shares at the center, z moves less than a difference to one logit. The sum is under its chords, its
    logarithm under a tangent, and exp over one.
    """
    low = (means.value - means.reach).exp()
    rise = torch.where(means.reach > 0, low * (2 * means.reach).expm1() / (2 * means.reach), low)
    total = (low + rise * means.reach).sum(dim=-1, keepdim=True)
    share = means.value.exp() / total
    steep = rise / total
    itself = torch.eye(steep.shape[1], dtype=steep.dtype, device=steep.device)
    lift = steep.sum(dim=-1, keepdim=True) - 1
    below = itself - steep.unsqueeze(1) + (lift * means.weights).unsqueeze(1)
    lower = share.unsqueeze(-1) * below
    better = (share > planes.lower_value.clamp(min=SMALLEST_SHARE)) & lower.isfinite().all(dim=-1)
    return replace(
        planes,
        lower=torch.where(better.unsqueeze(-1), lower, planes.lower),
        lower_value=torch.where(better, share, planes.lower_value),
        touch=torch.where(better, share, planes.touch),
        mixed=torch.where(better, -share * lift, planes.mixed),
    )


def row_differences(forms: Forms, logits: Box, query: int) -> Box:
    """Bounds of logit m less logit k of one row, (heads, targets k, keys m): the better of forms and intervals."""
    by_query = forms.by_query * forms.radius[query]
    slopes = by_query.unsqueeze(1) - by_query.unsqueeze(2)
    own = forms.by_key[:, query] * forms.radius[query]
    slopes[:, :, query] += own.unsqueeze(1)
    slopes[:, query, :] -= own.unsqueeze(1)
    apart = _key_reach(forms, query)
    reach = slopes.abs().sum(dim=-1) + apart.unsqueeze(1) + apart.unsqueeze(2)
    center = forms.center[:, query]
    middle = center.unsqueeze(1) - center.unsqueeze(2)
    lo = torch.maximum(middle - reach, logits.lo.unsqueeze(1) - logits.hi.unsqueeze(2))
    hi = torch.minimum(middle + reach, logits.hi.unsqueeze(1) - logits.lo.unsqueeze(2))
    for bound in (lo, hi):
        bound.diagonal(dim1=1, dim2=2).zero_()
    return Box(lo, hi)


def _reach(
    forms: Forms,
    slopes: Float64[Tensor, "heads targets keys"],
    value: Float64[Tensor, "heads targets"],
    query: int,
) -> Float64[Tensor, "heads targets"]:
    """How far a plane in the logits of a row can go from its value at the center, over the box of tokens."""
    own = torch.einsum("htm,hmc->htc", slopes, forms.by_query)
    own = own + slopes[:, :, query].unsqueeze(-1) * forms.by_key[:, query].unsqueeze(1)
    apart = torch.einsum("htm,hm->ht", slopes.abs(), _key_reach(forms, query))
    return (own * forms.radius[query]).abs().sum(dim=-1) + apart + FAR_BELOW * value.abs()


def _key_reach(forms: Forms, query: int) -> Float64[Tensor, "heads keys"]:
    """How far the tokens other than the query itself, the remainder and rounding move each logit of a row."""
    reach = (forms.by_key[:, query].unsqueeze(1) * forms.radius).abs().sum(dim=-1)
    reach[:, query] = 0
    return reach + forms.remainder[:, query] + 2 * FAR_BELOW * forms.size[:, query]


def _on_logits(slopes: Float64[Tensor, "heads targets keys"]) -> Float64[Tensor, "heads targets keys"]:
    """Slopes on differences to the target as slopes on logits: the target takes the negative sum of the others."""
    result = slopes.clone()
    diagonal = result.diagonal(dim1=1, dim2=2)
    diagonal.zero_()
    diagonal.sub_(result.sum(dim=-1))
    return result


def _or_constant(
    slopes: Float64[Tensor, "heads targets keys"],
    value: Float64[Tensor, "heads targets"],
    constant: Float64[Tensor, "heads targets"],
    *,
    least: Float64[Tensor, "heads targets"],
) -> tuple[Float64[Tensor, "heads targets keys"], Float64[Tensor, "heads targets"]]:
    """The plane, or the constant where exponentials over- or underflow and there is no plane."""
    usable = slopes.isfinite().all(dim=-1) & (value.abs() <= 1 / SMALLEST_SHARE) & (least >= SMALLEST_SHARE)
    return torch.where(usable.unsqueeze(-1), slopes, 0.0), torch.where(usable, value, constant)
