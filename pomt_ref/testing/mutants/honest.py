"""Honest variants: correct implementations that differ in rounding or in ties; every law must accept them."""

from collections.abc import Callable
from functools import reduce
from itertools import pairwise
from typing import Final

import torch

from pomt_ref.testing.mutants import step
from pomt_ref.testing.mutants.mutant import Mutant
from pomt_ref.testing.mutants.step import (
    Attention,
    ClassStep,
    Indices,
    PerPatch,
    PerToken,
    Rows,
    Step,
    Values,
    take,
    wide,
)

Sum = Callable[[torch.Tensor, int], torch.Tensor]
"""A sum along an axis, in some order."""

LOG2_E: Final = 1.4426950408889634
"""log₂ e."""


def _sequential(terms: torch.Tensor, dim: int) -> torch.Tensor:
    """One term after the other."""
    return reduce(torch.add, terms.unbind(dim))


def _backwards(terms: torch.Tensor, dim: int) -> torch.Tensor:
    """One term after the other, the last one first."""
    return reduce(torch.add, reversed(terms.unbind(dim)))


def _pairwise(terms: torch.Tensor, dim: int) -> torch.Tensor:
    """Halves, and halves of halves."""
    parts: list[torch.Tensor] = list(terms.unbind(dim))
    while len(parts) > 1:
        odd = parts[len(parts) // 2 * 2 :]
        parts = [one + other for one, other in zip(parts[0::2], parts[1::2], strict=False)] + odd
    return parts[0]


def _blocked(terms: torch.Tensor, dim: int) -> torch.Tensor:
    """Blocks of eight, and their sums."""
    return _sequential(torch.stack([_sequential(block, dim) for block in terms.split(8, dim)]), 0)


def _summed(total: Sum) -> Step:
    """Every sum of the step in this order."""

    def share(t: PerToken, prefix: int) -> PerPatch:
        exponentials = (t - t.amax(1, keepdim=True)).exp()
        return (exponentials / total(exponentials, 1).unsqueeze(1))[:, prefix:]

    def mean(x: Rows, _kept: Indices, discarded: Indices, _prefix: int) -> Rows:
        rows = wide(take(x, discarded))
        return (total(rows, 1) / rows.shape[1]).unsqueeze(1).to(x.dtype)

    return Step(
        sums=lambda a, prefix: total(wide(a)[:, :, prefix:, prefix:].amax(1), 1),
        value_sums=lambda v: total(wide(v).amax(1), 2),
        share=share,
        mean=mean,
    )


def _online(t: PerToken, prefix: int) -> PerPatch:
    """One pass over blocks of four, rescaled whenever a larger maximum comes."""
    blocks = t.split(4, 1)
    largest: torch.Tensor = blocks[0].amax(1, keepdim=True)
    total: torch.Tensor = (blocks[0] - largest).exp().sum(1, keepdim=True)
    for _, block in pairwise(blocks):
        larger = torch.maximum(largest, block.amax(1, keepdim=True))
        total = total * (largest - larger).exp() + (block - larger).exp().sum(1, keepdim=True)
        largest = larger
    return ((t - largest).exp() / total)[:, prefix:]


def _power_of_two(t: PerToken, prefix: int) -> PerPatch:
    """The exponential as a power of two."""
    powers = ((t - t.amax(1, keepdim=True)) * LOG2_E).exp2()
    return (powers / powers.sum(1, keepdim=True))[:, prefix:]


def _by_reciprocal(t: PerToken, prefix: int) -> PerPatch:
    """A product with one over the sum, for the quotient."""
    largest = t.amax(1, keepdim=True)
    total = (t - largest).exp().sum(1, keepdim=True)
    return ((t - largest).exp() * (1 / total))[:, prefix:]


def _welford(x: Rows, _kept: Indices, discarded: Indices, _prefix: int) -> Rows:
    """A mean that is corrected row by row."""
    rows = wide(take(x, discarded))
    average: torch.Tensor = rows[:, :1]
    for count, row in enumerate(rows.split(1, 1)[1:], start=2):
        average = average + (row - average) / count
    return average.to(x.dtype)


def _mean_by_product(x: Rows, _kept: Indices, discarded: Indices, _prefix: int) -> Rows:
    """A row of 1 / m times the rows."""
    rows = wide(take(x, discarded))
    return (torch.full((1, rows.shape[1]), 1.0 / rows.shape[1], dtype=rows.dtype) @ rows).to(x.dtype)


def _in_float64(x: Rows, attn: Attention, v: Values, *, prefix: int, keep: int) -> Rows:
    """All of it in float64, the output in x's dtype."""
    return Step()(x.double(), attn.double(), v.double(), prefix=prefix, keep=keep).to(x.dtype)


def _head_by_head(a: Attention, prefix: int) -> PerPatch:
    """A running maximum over heads."""
    heads = wide(a)[:, :, prefix:, prefix:].unbind(1)
    return reduce(torch.maximum, heads).sum(1)


HONEST: Final[tuple[Mutant, ...]] = (
    Mutant("as written", "POMT-SCORE-1", "The step itself.", Step()),
    Mutant("top-k as written", "TOPK-1", "Top-K itself.", ClassStep(), "topk"),
    Mutant("evit as written", "EVIT-1", "EViT itself.", ClassStep(fused=step.fused), "evit"),
    Mutant("sums in sequence", "POMT-PREC-1", "Every sum one term after the other.", _summed(_sequential)),
    Mutant("sums backwards", "POMT-PREC-1", "Every sum from the last term on.", _summed(_backwards)),
    Mutant("sums in pairs", "POMT-PREC-1", "Every sum in halves of halves.", _summed(_pairwise)),
    Mutant("sums in blocks", "POMT-PREC-1", "Every sum in blocks of eight.", _summed(_blocked)),
    Mutant("all in float64", "POMT-PREC-1", "Wider than it has to be.", _in_float64),
    Mutant("head by head", "POMT-ATT-1", "A running maximum over heads.", Step(sums=_head_by_head)),
    Mutant("reciprocal multiplied", "POMT-ATT-2", "Times 1 / M.", Step(relative=lambda s, _a, _p: s * (1 / s.amax()))),
    Mutant("library softmax", "POMT-MAG-1", "The softmax of torch.", Step(share=lambda t, p: t.softmax(1)[:, p:])),
    Mutant("online softmax", "POMT-MAG-1", "One pass, rescaled at every larger maximum.", Step(share=_online)),
    Mutant("power of two", "POMT-MAG-1", "exp2 of t log₂ e.", Step(share=_power_of_two)),
    Mutant("share by reciprocal", "POMT-MAG-1", "Times one over the sum of exponentials.", Step(share=_by_reciprocal)),
    Mutant("magnitude first", "POMT-SCORE-1", "p + m.", Step(combine=lambda m, p: p + m)),
    Mutant(
        "unstable sort", "POMT-RANK-1", "Ties in any order.", Step(order=lambda s: s.argsort(dim=1, descending=True))
    ),
    Mutant(
        "top-k selection",
        "POMT-RANK-1",
        "A selection for the sort.",
        Step(order=lambda s: s.topk(s.shape[1], dim=1).indices),
    ),
    Mutant(
        "ties reversed",
        "POMT-RANK-1",
        "Of equal scores the last token first.",
        Step(order=lambda s: s.shape[1] - 1 - step.descending(s.flip(1))),
    ),
    Mutant("mean by matrix product", "POMT-PRUNE-3", "A row of 1 / m times the rows.", Step(mean=_mean_by_product)),
    Mutant("mean by corrections", "POMT-PRUNE-3", "Welford's mean.", Step(mean=_welford)),
)
"""Correct variants that differ in rounding or in ties: every law must accept them in every dtype."""
