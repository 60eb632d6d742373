"""LIN-1 · a certificate, derived again from its boxes in exact and multiprecision arithmetic."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from jaxtyping import Bool, Float64
from torch import Tensor

from pomt_ref.bounds.box import Box
from pomt_ref.bounds.exact import bits_for, difference_sup, row_of
from pomt_ref.bounds.exacttokens import DerivedTokens, derive_tokens
from pomt_ref.bounds.fixedpoint import Integers, ceiling, digits, exact, integers, whole
from pomt_ref.bounds.replaymargins import derived_margin, refuted_means
from pomt_ref.bounds.steps import Step
from pomt_ref.errors import PomtError

Range = tuple[Float64[np.ndarray, "..."], Float64[np.ndarray, "..."]]
"""Lower and upper bounds as a certificate states them."""


@dataclass(frozen=True)
class Replay:
    """What came of checking a certificate; true if nothing was refuted."""

    orders: int
    """How many certain orders of two patches were claimed; zero where nothing could be replayed."""
    by_planes: int
    """How many of them do not follow from the boxes of logits and values, but from planes in the tokens that were found
    to be sound; zero unless the certificate is one of tokens."""
    refuted: tuple[str, ...]
    """Claims that could not be derived, for instance ``order[0, 3, 5]``, or why there is nothing to derive; empty if
    the certificate holds."""

    def __bool__(self) -> bool:
        """Whether every claim was confirmed."""
        return not self.refuted


@dataclass(frozen=True)
class Derived:
    """One sample's ranges, in a unit of its own, rounded outward."""

    sums_low: Integers
    sums_high: Integers
    attention: Integers
    """sup of D_ij."""
    values: Integers
    """sup of δ_ij."""
    one: int
    """One, in this unit."""


def replay(
    step: Step,
    *,
    order: Bool[np.ndarray, "batch patches patches"],
    kept: Bool[np.ndarray, "batch patches"],
    discarded: Bool[np.ndarray, "batch patches"],
    margin: Float64[np.ndarray, "batch patches"],
    ranges: Mapping[str, Range],
    mean: Range | None,
    weights: Float64[np.ndarray, "batch patches patches heads"] | None = None,
) -> Replay:
    """LIN-1: derive order, fates, ranges and the mean row again, and tell which claims do not follow.

    Arguments:
        step: the boxes and options, from which everything is derived.
        order: claimed: s_i > s_j at every point.
        kept: claimed: certainly kept.
        discarded: claimed: certainly discarded.
        margin: claimed: what floating-point arithmetic may add to a score.
        ranges: claimed bounds of ``attention`` (D), ``values`` (δ) and ``largest`` (M).
        mean: claimed bounds of the mean row.
        weights: of heads, for planes in the tokens; suggested, not claimed.
    """
    bits = _bits(step)
    samples = [derive(step, sample, bits) for sample in range(len(order))]
    of_boxes, refuted = samples, list[str]()
    if step.tokens is not None:
        of_tokens = [
            derive_tokens(step, None if weights is None else weights[sample], sample, bits)
            for sample in range(len(order))
        ]
        refuted += [claim for each in of_tokens for claim in each.refuted]
        samples = [_narrowed(*each) for each in zip(samples, of_tokens, strict=True)]
    tops = _tops(step, samples)
    try:
        needed = derived_margin(step, [(each.sums_low, each.sums_high) for each in samples], tops, samples[0].one)
    except (PomtError, OverflowError) as error:
        return Replay(int(order.sum()), 0, (*refuted, f"margin: {error}"))
    by_boxes, derived = (_derived_orders(step, each, needed) for each in (of_boxes, samples))
    refuted += [f"margin[{sample}, {i}]" for sample, i in np.argwhere(margin < needed)]
    refuted += _refuted_ranges(samples, tops, ranges)
    refuted += [f"order[{sample}, {i}, {j}]" for sample, i, j in np.argwhere(order & ~derived)]
    refuted += _refuted_fates(order & derived, kept, discarded, step.keep)
    if mean is not None:
        refuted += refuted_means(step, kept, discarded, mean)
    return Replay(int(order.sum()), int((order & derived & ~by_boxes).sum()), tuple(refuted))


def derive(step: Step, sample: int, bits: int) -> Derived:
    """The ranges of one sample, in units of 2^-bits."""
    one = 1 << bits
    values = _value_differences(step, sample, bits)
    if step.logits is not None:
        return _from_logits(step.logits, sample, step.prefix, values, bits)
    assert step.attention is not None  # noqa: S101 -- a step has exactly one of the two
    patches = (sample, slice(None), slice(step.prefix, None), slice(step.prefix, None))
    low, high = (exact(side[patches].amax(dim=0).cpu().numpy()).sum(axis=0) for side in _sides(step.attention))
    low, high = low * one, high * one
    down, up = low // 1, ceiling(high, np.ones_like(high))
    attention = ceiling(high[:, None] - low[None, :], np.ones((1, 1), dtype=object))
    np.fill_diagonal(attention, 0)
    return Derived(down, up, attention, values, one)


def _narrowed(each: Derived, tokens: DerivedTokens) -> Derived:
    """What boxes say and what planes in the tokens say, whichever is more."""
    return replace(
        each,
        sums_low=whole(np.maximum(each.sums_low, tokens.sums_low)),
        sums_high=whole(np.minimum(each.sums_high, tokens.sums_high)),
        attention=whole(np.minimum(each.attention, tokens.attention)),
    )


def _bits(step: Step) -> int:
    """Digits of the unit: enough for exponentials, and for attention to be exact."""
    bits = bits_for(Fraction(max(_spread(box) for box in (step.logits, step.value_sums) if box is not None)))
    if step.attention is None:
        return bits
    return max(bits, digits(side.cpu().numpy() for side in _sides(step.attention)))


def _tops(step: Step, samples: list[Derived]) -> list[tuple[int, int]]:
    """Bounds of M: one pair for the batch, or one for each sample."""
    tops = [(max(each.sums_low), max(each.sums_high)) for each in samples]
    if step.normalisation == "batch":
        return [(max(low for low, _ in tops), max(high for _, high in tops))]
    return tops


def _derived_orders(
    step: Step, samples: list[Derived], margin: Float64[np.ndarray, "batch patches"]
) -> Bool[np.ndarray, "batch patches patches"]:
    """Which orders follow, sample by sample."""
    tops = _tops(step, samples) * (len(samples) if step.normalisation == "batch" else 1)
    return np.stack([_derived_order(*each) for each in zip(samples, tops, margin, strict=True)])


def _from_logits(logits: Box, sample: int, prefix: int, values: Integers, bits: int) -> Derived:
    """S and D of one sample from a box of logits, row by row."""
    low, high = (exact(side[sample].cpu().numpy()) for side in _sides(logits))
    queries = range(prefix, low.shape[1])
    rows = [[row_of(list(low[head, q]), list(high[head, q]), bits) for head in range(len(low))] for q in queries]
    sums_low = [np.maximum.reduce([row.least[prefix:] for row in heads]) for heads in rows]
    sums_high = [np.maximum.reduce([row.most[prefix:] for row in heads]) for heads in rows]
    attention = [difference_sup(heads, prefix) for heads in rows]
    return Derived(np.add.reduce(sums_low), np.add.reduce(sums_high), np.add.reduce(attention), values, 1 << bits)


def _value_differences(step: Step, sample: int, bits: int) -> Integers:
    """sup of δ of one sample: a softmax with one head and one row, of sums that are exact where they follow from v."""
    if step.tokens is not None:
        sums = [exact(side[sample].cpu().numpy()) for side in _sides(step.value_sums)]
    else:
        sums = [exact(side[sample].amax(dim=0).cpu().numpy()).sum(axis=1) for side in _sides(step.values)]
    low, high = (list(side) for side in sums)
    return difference_sup([row_of(low, high, bits)], step.prefix)


def _derived_order(
    each: Derived, top: tuple[int, int], margin: Float64[np.ndarray, " patches"]
) -> Bool[np.ndarray, "patches patches"]:
    """Whether D + M (δ - ε_i - ε_j) is above zero at its least, for all pairs."""
    allowed = ceiling(exact(margin) * each.one, np.ones(len(margin), dtype=object))
    share = -each.values.T - allowed[:, None] - allowed[None, :]
    scaled = np.where(share >= 0, integers([top[0]]), integers([top[1]])) * share
    decided = -each.attention.T * each.one + scaled > 0
    np.fill_diagonal(decided, val=False)
    return np.asarray(decided, dtype=bool)


def _refuted_ranges(samples: list[Derived], tops: list[tuple[int, int]], ranges: Mapping[str, Range]) -> Iterator[str]:
    """Claimed bounds of D, δ and M that are not wide enough."""
    for sample, each in enumerate(samples):
        for name, sup in (("attention", each.attention), ("values", each.values)):
            low, high = (exact(side[sample]) * each.one for side in ranges[name])
            wrong = (high < sup) | (low > -sup.T)
            yield from (f"{name}[{sample}, {i}, {j}]" for i, j in np.argwhere(wrong))
    for place, (low, high) in enumerate(tops):
        claimed_low, claimed_high = (Fraction(float(side[place, 0])) * samples[0].one for side in ranges["largest"])
        if claimed_low > low or claimed_high < high:
            yield f"largest[{place}]"


def _refuted_fates(
    order: Bool[np.ndarray, "batch patches patches"],
    kept: Bool[np.ndarray, "batch patches"],
    discarded: Bool[np.ndarray, "batch patches"],
    keep: int,
) -> Iterator[str]:
    """Claimed fates that do not follow from the confirmed orders by counting."""
    for sample, i in np.ndindex(kept.shape):
        others = [j for j in range(kept.shape[1]) if j != i]
        if kept[sample, i] and sum(not order[sample, i, j] for j in others) > keep - 1:
            yield f"kept[{sample}, {i}]"
        if discarded[sample, i] and sum(bool(order[sample, j, i]) for j in others) < keep:
            yield f"discarded[{sample}, {i}]"


def _spread(box: Box) -> float:
    """The largest difference that two entries of one row can have, as far as it matters: it may overflow."""
    return float((box.hi.amax(dim=-1) - box.lo.amin(dim=-1)).max().clamp(max=1e6))


def _sides(box: Box) -> tuple[Tensor, Tensor]:
    """Lower and upper bounds."""
    return box.lo, box.hi
