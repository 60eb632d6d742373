r"""LIN-1 · the maximum over heads of planes that share their variables.

Over a box of shares the heads go their own ways. Over a box of tokens they do not: what moves one head moves the
others. For any weights α of the simplex

.. math:: \max_h f_h \;\le\; \sum_g \alpha_g f_g + \max_h \sup_x \Bigl(f_h - \sum_g \alpha_g f_g\Bigr)

and the supremum of a plane over a box is a sum. The bound is convex in α; a few steps of descent find good weights, and
whatever they are, the bound is sound.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float64
from torch import Tensor

from pomt_ref.bounds.layer import Forms
from pomt_ref.bounds.softplanes import SoftmaxPlanes, sizes

DESCENTS: Final = 30
"""Steps towards the best weights; twice as many gain less than a hundredth of the gap."""

DESCENDED_AT_ONCE: Final = 2**18
"""Slopes on ξ of all the planes whose weights are looked for together: they should stay in the cache."""


@dataclass(frozen=True)
class Planes:
    """For every target key of one row a plane in the row's logits."""

    slopes: Float64[Tensor, "targets heads keys"]
    """On the logits' deviations."""
    value: Float64[Tensor, " targets"]
    """At the center."""
    size: Float64[Tensor, " targets"]
    """What rounding is relative to."""


@dataclass(frozen=True)
class Mixture:
    """The upper planes of all heads for some targets, of which a weighted mean is looked for."""

    value: Float64[Tensor, "targets heads"]
    """At the center."""
    moves: Float64[Tensor, "targets heads tokens channels"]
    """On ξ."""
    allowed: Float64[Tensor, "targets heads"]
    """For the remainder of the logits."""


def strongest_below(forms: Forms, row: SoftmaxPlanes, query: int) -> Planes:
    """A plane below the head maximum: that of the head which is highest at the center."""
    value, head = row.lower_value.max(dim=0)
    chosen = torch.zeros_like(row.lower_value).scatter(0, head.unsqueeze(0), 1.0)
    slopes = (chosen.unsqueeze(-1) * row.lower).transpose(0, 1)
    return Planes(slopes, value, sizes(forms, row.lower, row.lower_value, query).amax(dim=0))


def strongest_above(forms: Forms, rows: Mapping[int, SoftmaxPlanes]) -> Iterator[tuple[Planes, Tensor]]:
    """For every row a plane above the head maximum, and the weights α it is made with, (targets, heads).

    The weights are chosen for the least height at the center, for as many rows together as memory allows.
    """
    waiting: list[tuple[int, Mixture]] = []
    for place, (query, row) in enumerate(rows.items(), start=1):
        waiting.append((query, _mixture(forms, row, query)))
        if place == len(rows) or sum(each.moves.numel() for _, each in waiting) >= DESCENDED_AT_ONCE:
            weights = _descend(_together([each for _, each in waiting]))
            of_rows = weights.split([len(each.value) for _, each in waiting])
            for (done, mixture), chosen in zip(waiting, of_rows, strict=True):
                planes = rows[done]
                height = _heights(mixture, chosen).amax(dim=-1)
                size = sizes(forms, planes.upper, planes.upper_value, done).sum(dim=0)
                yield Planes(chosen.unsqueeze(-1) * planes.upper.transpose(0, 1), height, size), chosen
            waiting = []


def _mixture(forms: Forms, row: SoftmaxPlanes, query: int) -> Mixture:
    """The upper planes of one row, to be mixed."""
    allowed = torch.einsum("htm,hm->th", row.upper.abs(), forms.remainder[:, query])
    return Mixture(row.upper_value.mT, _token_slopes(forms, row.upper, query), allowed)


def _together(parts: Sequence[Mixture]) -> Mixture:
    """Targets of several rows, one after another."""
    return Mixture(
        torch.cat([each.value for each in parts]),
        torch.cat([each.moves for each in parts]),
        torch.cat([each.allowed for each in parts]),
    )


def _heights(mixture: Mixture, weights: Float64[Tensor, "targets heads"]) -> Float64[Tensor, "targets heads"]:
    """For every head h, how high the plane with these weights must be at the center to stay above h."""
    mixed = torch.einsum("th,thnc->tnc", weights, mixture.moves).unsqueeze(1)
    apart = torch.eye(weights.shape[1], dtype=weights.dtype, device=weights.device) - weights.unsqueeze(1)
    rest = torch.einsum("thg,tg->th", apart.abs(), mixture.allowed)
    return mixture.value + (mixture.moves - mixed).abs().sum(dim=(2, 3)) + rest


def _descend(mixture: Mixture) -> Float64[Tensor, "targets heads"]:
    """Weights of a low plane: projected subgradient descent from the highest head alone, the best step counts."""
    value = mixture.value
    weights = torch.zeros_like(value).scatter(1, value.argmax(dim=1, keepdim=True), 1.0)
    if value.shape[1] == 1:
        return weights
    best = weights
    least = torch.full_like(value[:, :1], torch.inf)
    for step in range(DESCENTS):
        with torch.enable_grad():
            asked = weights.clone().requires_grad_()
            height = _heights(mixture, asked).amax(dim=-1, keepdim=True)
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
