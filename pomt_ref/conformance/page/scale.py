"""The scale of a picture of scores: which of them it shows, and where a score stands on it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pomt_ref.conformance.page.standing import Pair, Standing, Token

DECIMALS: Final = 6
"""Finer scales tell the distance from a score, not the score."""

ROOM: Final = 0.14
"""Above the best and below the worst score, as a fraction: a mark and its name fit in."""

LEAST: Final = 1e-300
"""Room on both sides at least: far above where floats end, far below every score that is not zero."""

CLOSE: Final = 14
"""Tokens in a close-up at most, and tokens whose rows are named below the picture."""


@dataclass(frozen=True)
class Scale:
    """From a score to a height."""

    title: str
    """What is shown: the score, or its distance from the base."""
    base: float
    """What is taken off every score first, so that small differences are not lost."""
    low: float
    """The score at the lower edge, less the base."""
    high: float
    """The score at the upper edge, less the base."""
    ticks: tuple[tuple[float, str], ...]
    """Where a line is drawn, in [0, 1], and what it says."""

    def height(self, score: float) -> float:
        """In [0, 1] from the lower to the upper edge; what lies beyond an edge, an infinite bound too, is on it.

        >>> Scale("score", 0.0, 1.0, 3.0, ()).height(2.0)
        0.5
        """
        return min(1.0, max(0.0, (score - self.base - self.low) / (self.high - self.low)))


def whole_scale(standing: Standing) -> Scale:
    """The scale that has room for all scores, and for their bounds as far as these do not dwarf the scores."""
    scores = [token.score for token in standing.tokens]
    low, high = min(scores), max(scores)
    reach = max((token.epsilon for token in standing.tokens if math.isfinite(token.epsilon)), default=0.0)
    spread = high - low
    margin = min(reach, spread or abs(high) or 1.0)
    return _scale(low, high, margin + ROOM * (spread + 2 * margin))


def close_up(standing: Standing, pair: Pair) -> tuple[Scale, Sequence[int]]:
    """The scale that has just room for the two tokens and their bounds, and the ranks of the tokens to be shown."""
    first, second = standing.tokens[pair.first], standing.tokens[pair.second]
    low, high = first.score - first.epsilon, second.score + second.epsilon
    scale = _scale(low, high, (high - low) / 4)
    shown = [rank for rank, token in enumerate(standing.tokens) if 0 < scale.height(token.score) < 1]
    if len(shown) > CLOSE:
        near = CLOSE // 2 // 2
        shown = [rank for rank in shown if min(abs(rank - pair.first), abs(rank - pair.second)) <= near]
    return scale, shown


def widest(tokens: Sequence[Token]) -> float:
    """The largest bound of these tokens."""
    return max(token.epsilon for token in tokens)


def _scale(low: float, high: float, margin: float) -> Scale:
    """From one score to another, with room on both sides, and three to six lines."""
    margin = max(margin or abs(high) / 10 or 1.0, LEAST)
    span = high - low + 2 * margin
    power = 10.0 ** math.floor(math.log10(span / 3))
    # The logarithm rounds: just below a power of ten it may give that power, and then none of these fits but the last.
    step = next(power * factor for factor in (5, 2, 1, 0.5) if power * factor <= span / 3)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    fine = decimals > DECIMALS
    base = low if fine else 0.0
    bottom, top = low - base - margin, high - base + margin
    numbers = range(math.ceil(bottom / step), math.floor(top / step) + 1)
    said = [(f"{n * step:+.0e}" if n else "0") if fine else f"{n * step:.{decimals}f}" for n in numbers]
    heights = [(n * step - bottom) / (top - bottom) for n in numbers]
    title = f"score − {base:.9g}" if fine else "score"
    return Scale(title, base, bottom, top, tuple(zip(heights, said, strict=True)))
