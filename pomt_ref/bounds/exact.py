"""LIN-1 · the ranges of softmax differences once more, in integers: what a certificate is checked with.

Numbers are integers in a unit of 2⁻¹²⁸ or less (``pomt_ref.bounds.fixedpoint``), rounded outward. No
float64 is computed here and no formula is shared with :mod:`pomt_ref.bounds.differences`: the best denominator is not
chosen by cases, all three candidates are tried.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np

from pomt_ref.bounds.fixedpoint import Integers, ceiling, exponential, integers, whole

BITS: Final = 128
"""Digits after the binary point for numbers about one."""

MOST_EXTRA_BITS: Final = 1200
"""More digits for as far as exponentials spread, up to where float64 ends and more."""


@dataclass(frozen=True)
class Row:
    """The exponentials of one softmax over a box, relative to its largest; each end rounded both ways."""

    low_down: Integers
    low_up: Integers
    high_down: Integers
    high_up: Integers
    one: int
    """One, in the unit of all numbers of a step."""

    @property
    def least_total(self) -> Integers:
        """For every key i the least denominator: i high, the others low."""
        return whole(self.low_down.sum() - self.low_down + self.high_down)

    @property
    def most_total(self) -> Integers:
        """For every key j the largest denominator: j low, the others high."""
        return whole(self.high_up.sum() - self.high_up + self.low_up)

    @property
    def least(self) -> Integers:
        """inf of every share, rounded down."""
        total = self.high_up.sum() - self.high_up + self.low_down
        # Zero only for a key that is alone in its row, whose share is one.
        alone, some = integers([self.one]), np.maximum(total, 1)
        return whole(np.where(total > 0, self.low_down * self.one // some, alone))

    @property
    def most(self) -> Integers:
        """sup of every share, rounded up."""
        return ceiling(self.high_up * self.one, self.low_down.sum() - self.low_down + self.high_up)


def bits_for(span: Fraction) -> int:
    """Digits enough for exponentials of arguments that differ by so much: a bit and a half for each unit, and BITS."""
    return BITS + min(int(span * 3 / 2) + 1, MOST_EXTRA_BITS)


def row_of(low: Sequence[Fraction], high: Sequence[Fraction], bits: int) -> Row:
    """The exponentials of a row of logits between these bounds, in units of 2^-bits."""
    top, one = max(high), 1 << bits
    # No argument is positive, so one that is rounded down has an exponential that is less than two units too small.
    ends = [[exponential(math.floor((bound - top) * one), bits) for bound in side] for side in (low, high)]
    (low_down, low_up), (high_down, high_up) = (map(integers, zip(*side, strict=True)) for side in ends)
    return Row(low_down, whole(low_up + 2), high_down, whole(high_up + 2), one=one)


def difference_sup(rows: Sequence[Row], prefix: int) -> Integers:
    """sup of (max over heads of a_i) - (max over heads of a_j) for one query, all pairs of patches, rounded up.

    With head h rising the difference is E_i y - max(E_j y, c): concave in y = 1 / denominator, so it is largest at an
    end of the range of y or where both terms are equal.
    """
    least = [row.least[prefix:] for row in rows]
    best = None
    for head, row in enumerate(rows):
        rivals = [other for place, other in enumerate(least) if place != head]
        c = np.maximum.reduce(rivals) if rivals else 0 * least[head]
        value = _head_sup(row, c, prefix)
        best = value if best is None else np.maximum(best, value)
    assert best is not None  # noqa: S101 -- a step has heads
    np.fill_diagonal(best, 0)
    return best


def _head_sup(row: Row, c: Integers, prefix: int) -> Integers:
    """sup of E_i y - max(E_j y, c) for one head: i down the rows, j along the columns."""
    up, down = row.high_up[prefix:, None], row.low_down[None, prefix:]
    least_total, most_total = row.least_total[prefix:, None], row.most_total[None, prefix:]
    # Where even the least denominator underflows, all that is known of a share is that it is no more than one.
    one = integers([row.one])
    some = np.where(least_total > 0, least_total, one)
    at_most = np.where(least_total > 0, ceiling(up * row.one, some) - np.maximum(down * row.one // some, c), one)
    at_least = ceiling(up * row.one, most_total) - np.maximum(down * row.one // most_total, c)
    best = np.minimum(np.maximum(at_most, at_least), one)
    # Where E_j y = c for some y of the range; a c of zero has it at y = 0, which no range reaches.
    crossing = (down > 0) & (c * most_total >= down * row.one) & (c * least_total <= down * row.one)
    safe = np.where(down > 0, down, 1)
    return whole(np.where(crossing, np.maximum(best, np.minimum(ceiling(up * c, safe) - c, one)), best))
