"""ADMISSIBLE · whether some scores within their rounding error give exactly this order of rows.

A ranking makes closeness the wrong question: one flipped near-tie moves whole rows. An output is right if every pair
of tokens that it orders the other way is closer in score than both errors together.
"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from pomt_ref.testing.violation import LawViolation

Row = Float64[np.ndarray, " channels"]


@dataclass(frozen=True)
class Reading:
    """Which patch tokens the rows of one sample's output are."""

    kept: tuple[int, ...]
    """Positions among the patch tokens, in output order."""
    discarded: tuple[int, ...]
    """The others, ascending."""
    by_index: bool = False
    """Whether the implementation said which of equal rows it took."""


@dataclass(frozen=True)
class Disorder:
    """Two patch tokens in an order that no scores within their errors give."""

    first: int
    """Ranked before ``second``, though its score is lower by more than both errors."""
    second: int
    kept: bool
    """Whether ``second`` was kept too, or discarded."""


def read_rows(
    rows: Float64[np.ndarray, "keep channels"],
    patches: Float64[np.ndarray, "patches channels"],
    scores: Float64[np.ndarray, " patches"],
    *,
    prefix: Float64[np.ndarray, "prefix channels"],
    sample: int,
) -> Reading:
    """POMT-PRUNE-2, POMT-PRUNE-4: find every kept row among the patch rows, bit for bit, each at most once.

    Equal rows cannot be told apart; the k-th of them to come out is read as the one with the k-th best score, which
    is right if any reading is.
    """
    free: dict[bytes, list[int]] = defaultdict(list)
    for position in np.argsort(scores, kind="stable").tolist():
        free[patches[position].tobytes()].append(position)
    never_kept = {row.tobytes() for row in prefix}
    kept = []
    for place, row in enumerate(rows):
        bits = row.tobytes()
        if bits not in free and bits in never_kept:
            raise LawViolation(
                "POMT-PRUNE-4",
                f"row {place} of the kept rows of sample {sample} is a prefix row: indices start after it",
            )
        if bits not in free:
            raise LawViolation(
                "POMT-PRUNE-2",
                f"row {place} of the kept rows of sample {sample} is no patch row, bit for bit; "
                f"{_nearest(patches, row)}",
            )
        if not free[bits]:
            raise LawViolation(
                "POMT-PRUNE-4", f"row {place} of the kept rows of sample {sample} comes out more often than it went in"
            )
        kept.append(free[bits].pop())
    return Reading(tuple(kept), tuple(sorted(position for class_ in free.values() for position in class_)))


def intervals(
    patches: Float64[np.ndarray, "patches channels"] | None,
    scores: Float64[np.ndarray, " patches"],
    bounds: Float64[np.ndarray, " patches"],
) -> tuple[Float64[np.ndarray, " patches"], Float64[np.ndarray, " patches"]]:
    """Where every score may lie: from the score less its bound to the score plus its bound.

    Among equal rows, the k-th best score gets the k-th largest of the lower and of the upper ends: whichever of the
    rows came out k-th, its score may lie there. Without rows, every token is told apart.
    """
    low, high = scores - bounds, scores + bounds
    if patches is None:
        return low, high
    classes: dict[bytes, list[int]] = defaultdict(list)
    for position in np.argsort(scores, kind="stable").tolist():
        classes[patches[position].tobytes()].append(position)
    for equal in classes.values():
        low[equal], high[equal] = np.sort(low[equal]), np.sort(high[equal])
    return low, high


def first_disorder(
    reading: Reading, low: Float64[np.ndarray, " patches"], high: Float64[np.ndarray, " patches"]
) -> Disorder | None:
    """POMT-RANK-1: the first token that stands too low, and the lowest of those before it; none if admissible.

    Token a may stand before token b if the lower end of b's score is not above the upper end of a's.
    """
    lowest: int | None = None
    for place, position in enumerate((*reading.kept, *reading.discarded)):
        if lowest is not None and low[position] > high[lowest]:
            return Disorder(lowest, position, kept=place < len(reading.kept))
        if place < len(reading.kept) and (lowest is None or high[position] < high[lowest]):
            lowest = position
    return None


def worst_exchange(
    reading: Reading, low: Float64[np.ndarray, " patches"], high: Float64[np.ndarray, " patches"]
) -> float:
    """FLOAT-1, attained: of all pairs that stand the other way round, the largest gap as a fraction of both errors.

    >>> reading = Reading(kept=(0,), discarded=(1,))
    >>> worst_exchange(reading, np.array([0.0, 1.0]), np.array([2.0, 3.0]))
    0.5
    """
    order = [*reading.kept, *reading.discarded]
    kept = len(reading.kept)
    with np.errstate(invalid="ignore"):  # a sample of which nothing is promised: infinite ends, and no gap
        middle, half = (low + high)[order] / 2, (high - low)[order] / 2
    before, after = slice(0, kept), np.arange(len(order))
    gap = middle[np.newaxis, :] - middle[before, np.newaxis]
    both = half[np.newaxis, :] + half[before, np.newaxis]
    exchanged = (gap > 0) & (after[np.newaxis, :] > after[before, np.newaxis])
    return float(np.divide(gap, both, out=np.zeros_like(gap), where=exchanged).max(initial=0.0))


def _nearest(patches: Float64[np.ndarray, "patches channels"], row: Row) -> str:
    """Say which patch row is closest, and where it differs."""
    with np.errstate(all="ignore"):
        distance = np.abs(patches - row).max(axis=1)
    position = int(np.nan_to_num(distance, nan=np.inf).argmin())
    expected = patches[position]
    if np.array_equal(expected, row):
        return f"patch {position} differs by the sign of a zero"
    channel = int(np.argmax(expected != row))
    return (
        f"patch {position} is nearest, with {expected[channel]:.9g} where {row[channel]:.9g} came (channel {channel})"
    )
