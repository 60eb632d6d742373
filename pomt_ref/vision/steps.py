"""Where latency jumps: the token counts at which a machine suddenly needs longer, or shorter, for one more token."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Final

from pomt_ref.vision.timing import Timing

STEEP: Final = 4.0
"""A step rises this many times as much as one count usually does."""


@dataclass(frozen=True)
class Step:
    """A jump between two neighbouring token counts."""

    below: int
    """The last token count before it."""
    above: int
    """The first token count after it."""
    ratio: float
    """Latency after it over latency before it; below one where more tokens are faster."""


def latency_steps(tokens: Sequence[int], timings: Sequence[Timing]) -> tuple[Step, ...]:
    """The jumps that are larger than the spread of both sides and than what a count usually costs.

    Arguments:
        tokens: token counts, ascending.
        timings: the latency at each of them.

    Returns:
        The steps, in order of the token count.

    >>> def exactly(seconds):
    ...     return Timing(seconds, seconds, seconds, 3)
    >>> latency_steps([1, 2, 3, 4, 5], [exactly(s) for s in (1.0, 1.1, 1.2, 2.0, 2.1)])
    (Step(below=3, above=4, ratio=1.6666666666666667),)
    """
    rises = [after.median - before.median for before, after in pairwise(timings)]
    usual = median(map(abs, rises)) if rises else 0.0
    return tuple(
        Step(tokens[place], tokens[place + 1], timings[place + 1].median / timings[place].median)
        for place, rise in enumerate(rises)
        if abs(rise) > STEEP * usual and _apart(timings[place], timings[place + 1])
    )


def _apart(one: Timing, other: Timing) -> bool:
    """Whether the middle halves of two measurements have nothing in common."""
    return one.high < other.low or other.high < one.low
