r"""LIN-1 · the maximum over heads of planes that share their variables.

Over a box of shares the heads go their own ways. Over a box of tokens they do not: what moves one head moves the
others. For any weights α of the simplex

.. math:: \max_h f_h \;\le\; \sum_g \alpha_g f_g + \max_h \sup_x \Bigl(f_h - \sum_g \alpha_g f_g\Bigr)

and the supremum of a plane over a box is a sum. The bound is convex in α; a few steps of descent find good weights, and
whatever they are, the bound is sound.
"""

from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float64
from torch import Tensor

from pomt_ref.bounds.layer import Forms
from pomt_ref.bounds.softplanes import SoftmaxPlanes, sizes

DESCENTS: Final = 30
"""Steps towards the best weights; twice as many gain less than a hundredth of the gap."""


@dataclass(frozen=True)
class Planes:
    """For every target key of one row a plane in the row's logits."""

    slopes: Float64[Tensor, "targets heads keys"]
    """On the logits' deviations."""
    value: Float64[Tensor, " targets"]
    """At the center."""
    size: Float64[Tensor, " targets"]
    """What rounding is relative to."""


def strongest_below(forms: Forms, row: SoftmaxPlanes, query: int) -> Planes:
    """A plane below the head maximum: that of the head which is highest at the center."""
    value, head = row.lower_value.max(dim=0)
    chosen = torch.zeros_like(row.lower_value).scatter(0, head.unsqueeze(0), 1.0)
    slopes = (chosen.unsqueeze(-1) * row.lower).transpose(0, 1)
    return Planes(slopes, value, sizes(forms, row.lower, row.lower_value, query).amax(dim=0))


def strongest_above(forms: Forms, row: SoftmaxPlanes, query: int) -> tuple[Planes, Float64[Tensor, "targets heads"]]:
    """A plane above the head maximum, and the weights α it is made with, chosen for the least height at the center."""
    slopes = row.upper.transpose(0, 1)
    moves = _token_slopes(forms, row.upper, query)
    allowed = (slopes.abs() * forms.remainder[:, query]).sum(dim=-1)
    value = row.upper_value.mT
    weights = _descend(value, moves, allowed)
    height = _heights(value, moves, allowed, weights).amax(dim=-1)
    size = sizes(forms, row.upper, row.upper_value, query).sum(dim=0)
    return Planes(weights.unsqueeze(-1) * slopes, height, size), weights


def _heights(
    value: Float64[Tensor, "targets heads"],
    moves: Float64[Tensor, "targets heads tokens channels"],
    allowed: Float64[Tensor, "targets heads"],
    weights: Float64[Tensor, "targets heads"],
) -> Float64[Tensor, "targets heads"]:
    """For every head h, how high the plane with these weights must be at the center to stay above h."""
    mixed = torch.einsum("th,thnc->tnc", weights, moves).unsqueeze(1)
    apart = torch.eye(value.shape[1], dtype=value.dtype, device=value.device) - weights.unsqueeze(1)
    return value + (moves - mixed).abs().sum(dim=(2, 3)) + torch.einsum("thg,tg->th", apart.abs(), allowed)


def _descend(
    value: Float64[Tensor, "targets heads"],
    moves: Float64[Tensor, "targets heads tokens channels"],
    allowed: Float64[Tensor, "targets heads"],
) -> Float64[Tensor, "targets heads"]:
    """Weights of a low plane: projected subgradient descent from the highest head alone, the best step counts."""
    weights = torch.zeros_like(value).scatter(1, value.argmax(dim=1, keepdim=True), 1.0)
    best = weights
    least = torch.full_like(value[:, :1], torch.inf)
    for step in range(DESCENTS):
        with torch.enable_grad():
            asked = weights.clone().requires_grad_()
            height = _heights(value, moves, allowed, asked).amax(dim=-1, keepdim=True)
            (slope,) = torch.autograd.grad(height.sum(), asked)
        height = height.detach()
        best, least = torch.where(height < least, weights, best), torch.minimum(height, least)
        slope = slope - slope.mean(dim=-1, keepdim=True)
        largest = slope.abs().amax(dim=-1, keepdim=True)
        # Scaled before it is measured: the square of a small number is none.
        slope = torch.where(largest > 0, slope / largest, 0.0)
        length = slope.norm(dim=-1, keepdim=True).clamp(min=1.0)
        weights = _onto_simplex(weights - slope / length / (step + 2))
    return best


def _onto_simplex(point: Float64[Tensor, "targets heads"]) -> Float64[Tensor, "targets heads"]:
    """The nearest point whose entries are not negative and sum to one."""
    descending = point.sort(dim=-1, descending=True).values
    counts = torch.arange(1, point.shape[-1] + 1, dtype=point.dtype, device=point.device)
    levels = (descending.cumsum(dim=-1) - 1) / counts
    place = (descending > levels).sum(dim=-1, keepdim=True) - 1
    return (point - levels.gather(-1, place)).clamp(min=0)


def _token_slopes(
    forms: Forms, slopes: Float64[Tensor, "heads targets keys"], query: int
) -> Float64[Tensor, "targets heads tokens channels"]:
    """Planes in the logits of a row as planes in ξ: through the keys, and through the query itself."""
    moves = torch.einsum("htm,hc,mc->thmc", slopes, forms.by_key[:, query], forms.radius)
    moves[:, :, query] += torch.einsum("htm,hmc->thc", slopes, forms.by_query) * forms.radius[query]
    return moves
