"""LIN-1 · the point of a box where one token is furthest below another: where the closed forms are attained."""

from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from pomt_ref.bounds.box import Box
from pomt_ref.bounds.softmax import softmax_bounds
from pomt_ref.bounds.steps import Step


@dataclass(frozen=True, eq=False)
class Extremal:
    """A point of a step's box, and how two of its tokens stand there."""

    logits: Float64[Tensor, "batch heads tokens tokens"] | None
    """The logits of the point; none if the box is one of attention."""
    attention: Float64[Tensor, "batch heads tokens tokens"]
    """The attention of the point."""
    values: Float64[Tensor, "batch heads tokens features"]
    """The values of the point."""
    difference: float
    """s_i - s_j at the point, in plain float64."""

    @property
    def reverses(self) -> bool:
        """Whether i does not come before j here: the point is a counterexample."""
        return self.difference <= 0


def extremal_point(step: Step, i: int, j: int, sample: int) -> Extremal:
    r"""LIN-1: where D_ij and δ_ij are least: j as high above i as the box allows, in every row and in the values.

    Other samples and the rows of prefix queries stay at their centers.
    """
    low, high = step.prefix + i, step.prefix + j
    values = step.values.center.clone()
    values[sample] = _extreme_values(step.values, low, high, sample)
    if step.logits is not None:
        logits = step.logits.center.clone()
        rows = Box(step.logits.lo[sample, :, step.prefix :], step.logits.hi[sample, :, step.prefix :])
        logits[sample, :, step.prefix :] = extreme_rows(rows, low, high)
        attention = logits.softmax(dim=-1)
        return Extremal(logits, attention, values, score_difference(step, attention, values, i, j, sample))
    assert step.attention is not None  # noqa: S101 -- a step has exactly one of the two
    attention = step.attention.center.clone()
    attention[sample, ..., low] = step.attention.lo[sample, ..., low]
    attention[sample, ..., high] = step.attention.hi[sample, ..., high]
    return Extremal(None, attention, values, score_difference(step, attention, values, i, j, sample))


def score_difference(
    step: Step,
    attention: Float64[Tensor, "batch heads tokens tokens"],
    values: Float64[Tensor, "batch heads tokens features"],
    i: int,
    j: int,
    sample: int,
) -> float:
    """s_i - s_j at a point, in plain float64: the clauses POMT-ATT and POMT-MAG as they stand."""
    sums = attention[:, :, step.prefix :, step.prefix :].amax(dim=1).sum(dim=1)
    largest = sums.max() if step.normalisation == "batch" else sums[sample].max()
    shares = values.amax(dim=1).sum(dim=-1).softmax(dim=-1)[:, step.prefix :]
    scores = sums[sample] / largest + shares[sample]
    return float(scores[i] - scores[j])


def extreme_rows(rows: Box, low: int, high: int) -> Float64[Tensor, "heads queries keys"]:
    """Logits of every row where (max over heads of a_high) - (max over heads of a_low) is largest.

    One head does the rising: ``high`` up, ``low`` down, the others in between, so that the denominator is the best
    one. The remaining heads hold ``low`` as small as they can.
    """
    least = softmax_bounds(rows).lo[..., low]
    points, heights = [], []
    for head in range(len(least)):
        others = torch.cat([least[:head], least[head + 1 :], torch.zeros_like(least[:1])]).amax(dim=0)
        point = rows.hi.clone()
        point[..., low] = rows.lo[..., low]
        point[head] = _risen(Box(rows.lo[head], rows.hi[head]), low, high, others)
        shares = point.softmax(dim=-1).amax(dim=0)
        points.append(point)
        heights.append(shares[:, high] - shares[:, low])
    best = torch.stack(heights).argmax(dim=0)
    return torch.stack(points)[best, :, torch.arange(len(best), device=best.device)].transpose(0, 1)


def _risen(row: Box, low: int, high: int, others: Float64[Tensor, " queries"]) -> Float64[Tensor, "queries keys"]:
    """One head's logits with ``high`` up, ``low`` down and the denominator that is best against the other heads."""
    top = row.hi.amax(dim=-1, keepdim=True)
    down, up = (row.lo - top).exp(), (row.hi - top).exp()
    rest = torch.ones(row.shape[-1], dtype=torch.bool, device=up.device)
    rest[[low, high]] = False
    pair = up[:, high] + down[:, low]
    smallest, largest = pair + down[:, rest].sum(dim=-1), pair + up[:, rest].sum(dim=-1)
    equal = torch.minimum(torch.maximum(down[:, low] / others, smallest), largest)
    wanted = torch.where(up[:, high] >= down[:, low], smallest, equal)
    room = largest - smallest
    share = torch.where(room > 0, (wanted - smallest) / room, 0.0).unsqueeze(-1)
    mixed = (down + share * (up - down)).log() + top
    # Rounding, and the logarithm of a number that underflowed, must not leave the box.
    point = torch.minimum(torch.maximum(mixed, row.lo), row.hi)
    point[:, high], point[:, low] = row.hi[:, high], row.lo[:, low]
    return point


def _extreme_values(values: Box, low: int, high: int, sample: int) -> Float64[Tensor, "heads tokens features"]:
    """Values where p_high - p_low is largest: both at their ends, the others small if the difference is positive."""
    lo, hi = values.lo[sample], values.hi[sample]
    above = hi[:, high].amax(dim=0).sum() >= lo[:, low].amax(dim=0).sum()
    point = (lo if above else hi).clone()
    point[:, high], point[:, low] = hi[:, high], lo[:, low]
    return point
