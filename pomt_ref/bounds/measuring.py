"""LIN-1, measured: how far planes are from the maximum, and how much of what is true a certificate says."""

import time
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from pomt_ref.bounds.box import Box
from pomt_ref.bounds.certificate import certify
from pomt_ref.bounds.deciding import certain_order, fates
from pomt_ref.bounds.differences import attention_sum_bounds, batch_max_bounds
from pomt_ref.bounds.envelope import worst_gap
from pomt_ref.bounds.layer import AttentionLayer
from pomt_ref.bounds.limits import attacked, attacked_differences, token_sums
from pomt_ref.bounds.linear import LinearBounds
from pomt_ref.bounds.lirpa import find_lirpa, lirpa_differences
from pomt_ref.bounds.maximum import Upper, relax_max
from pomt_ref.bounds.softmax import softmax_bounds
from pomt_ref.bounds.tokens import certify_tokens

NODES: Final = 24
"""Gauss-Legendre nodes an interval: exact for products of up to 47 linear factors."""


@dataclass(frozen=True)
class Gaps:
    """How far one kind of plane is above the maximum, over many boxes, in units of w₁ - L."""

    name: str
    mean: float
    """Averaged over every box, uniformly, and over boxes."""
    worst: float
    """The largest in a box, averaged over boxes."""


@dataclass(frozen=True)
class Shares:
    """How many patches are certain, in percent, by ways of bounding; and how many an attack leaves."""

    radius: float
    intervals: float
    """Bounds of every score on its own."""
    multiplied: float
    """D from bounds of every sum on its own, M multiplied out."""
    exact: float
    """Exact ranges of D and δ."""
    limit: float
    """Patches whose fate no attack has changed: no sound certificate says more."""
    seconds: float
    """For the exact one."""


@dataclass(frozen=True)
class Drops:
    """How far D can fall below its center, over a box of tokens, relative to what an attack reaches."""

    radius: float
    intervals: float
    """By the exact range over the box of logits that the tokens allow."""
    crown: float | None
    """By auto_LiRPA's CROWN; none where the package cannot be imported."""
    planes: float
    """By linear planes, intersected with it."""
    certain_intervals: float
    """Patches whose fate the first decides, in percent."""
    certain_planes: float
    """And the second."""
    seconds: float


def attention_boxes(heads: int, *, count: int, seed: int) -> Box:
    """Boxes of one attention entry in every head, (heads, count): logits within 0.3, 16 keys a row."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(heads, count // 16, 16, generator=generator, dtype=torch.float64)
    shares = softmax_bounds(Box.around(logits, 0.3))
    return Box(shares.lo.flatten(1), shares.hi.flatten(1))


def plane_gaps(box: Box) -> list[Gaps]:
    """The planes of the literature, ours, and what no plane can be below, over boxes (variables, count)."""
    names: dict[str, Upper] = {
        "DeepPoly (t = w₁)": "deeppoly",
        "MaxLin (t = w₂)": "maxlin",
        "Ti-Lin (t = w₃)": "ti-lin",
    }
    height = box.hi.amax(dim=0) - box.lo.amax(dim=0)
    usable = height > 0
    average = mean_maximum(box)

    def gaps(name: str, bounds: LinearBounds) -> Gaps:
        mean = (bounds.upper(box.lo / 2 + box.hi / 2) - average) / height
        return Gaps(name, float(mean[usable].mean()), float((worst_gap(bounds) / height)[usable].mean()))

    rows = [gaps(name, relax_max(box, upper=upper, dim=0)) for name, upper in names.items()]
    rows.append(gaps("binary maxima, one after another", chain_of_maxima(box)))
    rows.append(gaps("volume-minimax (default)", relax_max(box, dim=0)))
    rows.append(gaps("minimax", relax_max(box, upper="minimax", dim=0)))
    return rows


def mean_maximum(box: Box) -> Float64[Tensor, " count"]:
    """The average of the maximum over a box (variables, count), by integrating its distribution piece by piece.

    Between two neighbouring bounds the distribution is a product of linear functions, which the quadrature integrates
    exactly: E max = w₁ - ∫ Π P(x_i <= s) ds.
    """
    nodes, weights = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(NODES))
    top, bottom = box.hi.amax(dim=0), box.lo.amax(dim=0)
    knots = torch.cat([box.lo, box.hi]).clamp(min=bottom).clamp(max=top).sort(dim=0).values
    start, stop = knots[:-1].unsqueeze(-1), knots[1:].unsqueeze(-1)
    s = start + (stop - start) * (nodes + 1) / 2
    lo, hi = (side.reshape(len(side), 1, -1, 1) for side in (box.lo, box.hi))
    below = ((s - lo) / (hi - lo).clamp(min=1e-300)).clamp(0, 1).prod(dim=0)
    return top - ((below * weights).sum(dim=-1) * (stop - start).squeeze(-1) / 2).sum(dim=0)


def chain_of_maxima(box: Box) -> LinearBounds:
    """The upper plane that comes of max(max(x₁, x₂), x₃) …, every binary maximum relaxed by its best plane in turn."""
    slopes, intercept = torch.zeros_like(box.lo), torch.zeros_like(box.lo[0])
    slopes[0] = 1
    lo, hi = box.lo[0], box.hi[0]
    for place in range(1, len(box.lo)):
        pair = Box(torch.stack([lo, box.lo[place]]), torch.stack([hi, box.hi[place]]))
        step = relax_max(pair, upper="maxlin", dim=0)
        slopes, intercept = slopes * step.upper_slopes[0], intercept * step.upper_slopes[0] + step.upper_intercept
        slopes[place] = step.upper_slopes[1]
        lo, hi = pair.lo.amax(dim=0), pair.hi.amax(dim=0)
    whole = relax_max(box, dim=0)
    return LinearBounds(box, whole.dim, whole.lower_slopes, whole.lower_intercept, slopes, intercept, whole.interval)


def random_step(tokens: int, heads: int, *, seed: int) -> tuple[Tensor, Tensor]:
    """Logits and values of one sample: heads that differ, keys that all queries like, 64 features."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    q, k = normal(heads, tokens, 64) + normal(heads, 1, 64), normal(heads, tokens, 64) + normal(1, tokens, 64) / 2
    return (q @ k.mT / 8 / 1.25**0.5).unsqueeze(0), 0.3 * normal(1, heads, tokens, 64)


def certified_shares(tokens: int, heads: int, *, radius: float, seed: int) -> Shares:
    """One step, its first token a prefix, 70 % of the others kept; values move an eighth as far as logits."""
    logits, values = random_step(tokens, heads, seed=seed)
    box = Box.around(logits, radius)
    keep = int(0.7 * (tokens - 1))
    start = time.perf_counter()
    certificate = certify(logits=box, values=Box.around(values, radius / 8), keep=keep)
    seconds = time.perf_counter() - start
    sums = attention_sum_bounds(softmax_bounds(box), prefix=1)
    largest = batch_max_bounds(sums)
    apart = Box(sums.lo.unsqueeze(2) - sums.hi.unsqueeze(1), sums.hi.unsqueeze(2) - sums.lo.unsqueeze(1))
    multiplied = certain_order(apart, certificate.values, largest, certificate.margin)
    shares = softmax_bounds(certificate.step.value_sums)
    low, high = sums.lo / largest.hi + shares.lo[:, 1:], sums.hi / largest.lo + shares.hi[:, 1:]
    changed = attacked(certificate)
    if (changed & ~certificate.undetermined).any():
        raise AssertionError("an attack changed a fate that was certified")
    return Shares(
        radius,
        _percent(low.unsqueeze(2) > high.unsqueeze(1), keep),
        _percent(multiplied, keep),
        100 * certificate.share,
        100 * float((~changed).double().mean()),
        seconds,
    )


def difference_drops(*, tokens: int, heads: int, features: int, radius: float, seed: int) -> Drops:
    """A random layer of linear maps, the first token a prefix: planes, intervals and an attack."""
    generator = torch.Generator().manual_seed(seed)
    channels = heads * features
    weights = torch.randn(3, heads, features, channels, generator=generator, dtype=torch.float64) / channels**0.5
    weights[2] *= 0.3
    layer = AttentionLayer(*weights, *torch.zeros(3, heads, features, dtype=torch.float64))
    center = torch.randn(1, tokens, channels, generator=generator, dtype=torch.float64)
    center[..., 0] += 3
    box, keep = Box.around(center, radius), int(0.7 * (tokens - 1))
    start = time.perf_counter()
    certificate = certify_tokens(box, layer, keep=keep)
    seconds = time.perf_counter() - start
    step = certificate.step
    intervals = certify(logits=step.logits, values=step.values, keep=keep)
    sums = token_sums(center, layer)
    middle = sums.unsqueeze(2) - sums.unsqueeze(1)
    reached = float((middle - attacked_differences(box, layer)).sum())
    if (certificate.attention.lo < intervals.attention.lo).any():
        raise AssertionError("planes are looser than intervals")
    lirpa = find_lirpa()
    return Drops(
        radius,
        float((middle - intervals.attention.lo).sum()) / reached,
        None if lirpa is None else float((middle - lirpa_differences(lirpa, box, layer)).sum()) / reached,
        float((middle - certificate.attention.lo).sum()) / reached,
        100 * intervals.share,
        100 * certificate.share,
        seconds,
    )


def _percent(order: Bool[Tensor, "batch patches patches"], keep: int) -> float:
    """The share of patches whose fate an order decides."""
    return 100 * float((~fates(order, keep=keep).undetermined).double().mean())
