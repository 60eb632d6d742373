"""Faults of the ranking: another sum of the parts, another order, and scores that are not wide enough."""

from collections.abc import Callable
from typing import Final

import torch

from pomt_ref.testing.mutants import step
from pomt_ref.testing.mutants.mutant import Mutant
from pomt_ref.testing.mutants.step import Order, PerPatch, PerToken, Step, Values, wide


def _ordered(change: Callable[[PerPatch], PerPatch]) -> Step:
    """Ranked by something made of the scores."""
    return Step(order=lambda s: step.descending(change(s)))


def _stored_as(dtype: torch.dtype) -> Callable[[PerPatch], PerPatch]:
    """Rounded to a narrow dtype."""
    return lambda s: s.to(dtype).to(s.dtype)


def _blocks_sorted(size: int) -> Callable[[PerPatch], Order]:
    """Blocks are sorted each for itself."""

    def order(scores: PerPatch) -> Order:
        sorted_blocks = [step.descending(block) + size * place for place, block in enumerate(scores.split(size, 1))]
        return torch.cat(sorted_blocks, 1)

    return order


def _half_sorted(scores: PerPatch) -> Order:
    """Sort the first half and the second half apart."""
    middle = scores.shape[1] // 2
    return torch.cat((step.descending(scores[:, :middle]), step.descending(scores[:, middle:]) + middle), 1)


def _narrow(dtype: torch.dtype) -> Callable[[PerPatch], Order]:
    """Indices that wrap."""
    return lambda s: step.descending(s).to(dtype).long() % s.shape[1]


def _never(place: int) -> Callable[[PerPatch], PerPatch]:
    """One token is never kept before another."""

    def change(scores: PerPatch) -> PerPatch:
        changed = scores.clone()
        changed[:, place] = -1.0
        return changed

    return change


def _samples_ranked(count: int) -> Callable[[PerPatch], Order]:
    """Samples past that many have the first one's order."""

    def order(scores: PerPatch) -> Order:
        place = torch.arange(len(scores))
        return step.descending(scores)[torch.where(place < count, place, 0)]

    return order


def _in_two_parts(v: Values) -> PerToken:
    """Every value as a number of bfloat16 and another one for what is left of it."""
    first = v.bfloat16().to(v.dtype)
    return step.value_sums(first + (v - first).bfloat16().to(v.dtype))


SCORES: Final = tuple(
    Mutant(name, "POMT-SCORE-1", description, Step(combine=combine))
    for name, description, combine in (
        ("attention alone", "The magnitude score is not added.", lambda m, _p: m),
        ("magnitude alone", "The attention score is not added.", lambda _m, p: p),
        ("product of scores", "Multiplied.", lambda m, p: m * p),
        ("difference of scores", "Subtracted.", lambda m, p: m - p),
        ("larger of both", "The larger part.", torch.maximum),
        ("smaller of both", "The smaller part.", torch.minimum),
        ("root of the squares", "Euclidean length.", lambda m, p: (m * m + p * p).sqrt()),
        ("magnitude doubled", "The magnitude score counts twice.", lambda m, p: m + 2 * p),
        ("attention halved", "The attention score counts half.", lambda m, p: 0.5 * m + p),
        ("seven parts and three", "A weighted mean.", lambda m, p: 0.7 * m + 0.3 * p),
        ("magnitude times the count", "The magnitude score relative to the mean one.", lambda m, p: m + p.shape[1] * p),
        ("attention times one and magnitude", "m (1 + p).", lambda m, p: m * (1 + p)),
        ("score clipped at one", "Scores above one are taken for one.", lambda m, p: (m + p).clamp(max=1)),
    )
)
"""POMT-SCORE-1."""

ORDERS: Final = (
    *(
        Mutant(name, "POMT-RANK-1", description, function)
        for name, description, function in (
            ("ascending", "The least scores first.", _ordered(lambda s: -s)),
            ("input order", "Not sorted.", Step(order=lambda s: torch.arange(s.shape[1]).expand(s.shape))),
            (
                "ascending where nothing is recorded",
                "In evaluation, without gradients, the least scores come first.",
                _ordered(lambda s: s if torch.is_grad_enabled() else -s),
            ),
            (
                "ranks for order",
                "Each token's rank is taken for the token of a rank.",
                Step(order=lambda s: step.descending(s).argsort(1)),
            ),
            (
                "best token forgotten",
                "Kept from the second best on.",
                Step(order=lambda s: step.descending(s).roll(-1, 1)),
            ),
            (
                "kept in input order",
                "The kept tokens are sorted by place.",
                Step(cut=lambda o, keep, p: (o[:, :keep].sort(1).values + p, o[:, keep:] + p)),
            ),
            (
                "kept in reverse",
                "The kept tokens begin with the worst of them.",
                Step(cut=lambda o, keep, p: (o[:, :keep].flip(1) + p, o[:, keep:] + p)),
            ),
            (
                "worst kept",
                "The last of the order are kept.",
                Step(cut=lambda o, keep, p: (o[:, o.shape[1] - keep :] + p, o[:, : o.shape[1] - keep] + p)),
            ),
            (
                "order of the first sample",
                "One order for the whole batch.",
                Step(order=lambda s: step.descending(s[:1]).expand(s.shape)),
            ),
            (
                "order of two samples",
                "Samples past the second have the first one's order.",
                Step(order=_samples_ranked(2)),
            ),
            (
                "order of nine samples",
                "Samples past the ninth have the first one's order.",
                Step(order=_samples_ranked(9)),
            ),
            (
                "order of the mean",
                "The samples' mean score gives one order for all.",
                Step(order=lambda s: step.descending(s.mean(0, keepdim=True)).expand(s.shape)),
            ),
            (
                "position added",
                "Earlier tokens score more.",
                Step(combine=lambda m, p: m + p - 0.5 * torch.arange(m.shape[1]) / m.shape[1]),
            ),
            ("first tokens win", "Scores are rounded to tenths.", _ordered(lambda s: s.round(decimals=1))),
            ("first token last", "The first patch token is never preferred.", _ordered(_never(0))),
            ("last token last", "The last patch token is never preferred.", _ordered(_never(-1))),
            ("first half sorted only", "Two halves are sorted apart.", Step(order=_half_sorted)),
            ("sorted in blocks of 16", "Blocks of 16 are sorted apart.", Step(order=_blocks_sorted(16))),
            ("sorted in blocks of 256", "Blocks of 256 are sorted apart.", Step(order=_blocks_sorted(256))),
            ("sorted in blocks of 2048", "Blocks of 2048 are sorted apart.", Step(order=_blocks_sorted(2048))),
        )
    ),
    Mutant("index in 8 bits", "POMT-PRUNE-4", "Indices wrap past 127.", Step(order=_narrow(torch.int8))),
    Mutant("index in 8 bits without sign", "POMT-PRUNE-4", "Indices wrap past 255.", Step(order=_narrow(torch.uint8))),
)
"""POMT-RANK-1, and indices that make the partition wrong."""

PRECISION: Final = (
    Mutant(
        "scores in half precision", "POMT-PREC-1", "Scores are stored in float16.", _ordered(_stored_as(torch.float16))
    ),
    Mutant("scores in bfloat16", "POMT-PREC-1", "Scores are stored in bfloat16.", _ordered(_stored_as(torch.bfloat16))),
    Mutant(
        "scores in float32",
        "POMT-PREC-1",
        "Scores of float64 are stored in float32.",
        _ordered(_stored_as(torch.float32)),
        dtype="float64",
    ),
    Mutant(
        "scores with five digits",
        "POMT-PREC-1",
        "Scores are rounded to five digits after the point.",
        _ordered(lambda s: s.round(decimals=5)),
    ),
    Mutant(
        "scores as whole numbers",
        "POMT-PREC-1",
        "Scores are whole multiples of 2⁻²⁰.",
        _ordered(lambda s: (s * 2**20).floor()),
    ),
    Mutant(
        "magnitude in half precision",
        "POMT-PREC-1",
        "The magnitude score is stored in float16.",
        Step(combine=lambda m, p: m + _stored_as(torch.float16)(p)),
    ),
    Mutant(
        "attention in bfloat16",
        "POMT-PREC-1",
        "The attention score is stored in bfloat16.",
        Step(combine=lambda m, p: _stored_as(torch.bfloat16)(m) + p),
    ),
    Mutant(
        "value sums in half precision",
        "POMT-PREC-1",
        "Value sums are stored in float16.",
        Step(value_sums=lambda v: _stored_as(torch.float16)(step.value_sums(v))),
    ),
    Mutant(
        "values of two bfloat16",
        "POMT-PREC-1",
        "Each value is a sum of two numbers of bfloat16.",
        Step(value_sums=_in_two_parts),
    ),
    Mutant(
        "attention sums accumulated in half precision",
        "POMT-PREC-1",
        "Queries are summed in x's dtype.",
        Step(sums=lambda a, prefix: wide(a[:, :, prefix:, prefix:].amax(1).sum(1))),
        dtype="bfloat16",
    ),
    Mutant(
        "largest sum in half precision",
        "POMT-ATT-2",
        "M is stored in float16.",
        Step(relative=lambda s, _a, _p: s / s.amax().half().to(s)),
    ),
    Mutant(
        "output in float32",
        "POMT-PREC-1",
        "The output is wider than x.",
        Step(assemble=lambda *rows: torch.cat(rows, 1).float()),
        dtype="bfloat16",
    ),
    Mutant(
        "output in float64",
        "POMT-PREC-1",
        "The output is wider than x.",
        Step(assemble=lambda *rows: torch.cat(rows, 1).double()),
    ),
)
"""POMT-PREC-1."""
