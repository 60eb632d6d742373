"""How the patch tokens of a failing case stand: by the oracle's scores, and in the implementation's output."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from pomt_ref.conformance.report import Ranking
from pomt_ref.testing.admissible import Reading, first_disorder

State = Literal["kept", "discarded", "kept instead", "missed", "unknown"]
"""Kept or discarded as the oracle does; kept where the oracle discards, and missed where it keeps, which may be right
for near-ties; unknown where the output cannot be read."""

STATES: Final[Mapping[State, str]] = {
    "kept": "kept, as by the oracle",
    "discarded": "discarded, as by the oracle",
    "kept instead": "kept, discarded by the oracle",
    "missed": "discarded, kept by the oracle",
    "unknown": "not known: the output cannot be read",
}
"""What each state says in words."""


@dataclass(frozen=True)
class Token:
    """One patch token."""

    row: int
    """Of x, prefix counted."""
    score: float
    epsilon: float
    """Infinite where nothing is promised."""
    state: State
    expected: int | None
    """Its place among the rows that the oracle keeps; None if it is discarded."""
    place: int | None
    """Its place among the rows that the implementation keeps; None if it is discarded or unknown."""


@dataclass(frozen=True)
class Pair:
    """Two tokens in an order that rounding cannot explain."""

    first: int
    """Its rank by the oracle. The implementation puts it before the other, though its score is lower."""
    second: int
    """The rank of the other; smaller, since its score is higher."""
    gap: float
    """Between the scores."""
    explained: float
    """The sum of both ε."""


@dataclass(frozen=True)
class Standing:
    """All patch tokens of one sample."""

    tokens: tuple[Token, ...]
    """The best score first."""
    keep: int
    """The cut: the oracle keeps this many of them."""
    pair: Pair | None
    """None where the order is admissible or unknown."""


def standing(ranking: Ranking) -> Standing | None:
    """Sort the tokens and name what became of each; None where a score is no number.

    >>> found = standing(Ranking(0, 1, 1, scores=(1.0, 2.0), epsilon=(0.25, 0.25), expected=(2,), kept=(1,)))
    >>> [(token.row, token.state) for token in found.tokens], found.pair
    ([(2, 'missed'), (1, 'kept instead')], Pair(first=1, second=0, gap=1.0, explained=0.5))
    """
    if not all(map(math.isfinite, ranking.scores)):
        return None
    patches = range(len(ranking.scores))
    best_first = sorted(patches, key=lambda j: (-ranking.scores[j], j))
    tokens = tuple(_token(ranking, j) for j in best_first)
    return Standing(tokens, ranking.keep, _pair(ranking, tokens))


def _token(ranking: Ranking, patch: int) -> Token:
    """One of them."""
    row = ranking.prefix + patch
    expected = ranking.expected.index(row) if row in ranking.expected else None
    place = ranking.kept.index(row) if ranking.kept is not None and row in ranking.kept else None
    state: State
    if ranking.kept is None:
        state = "unknown"
    elif place is not None:
        state = "kept" if expected is not None else "kept instead"
    else:
        state = "discarded" if expected is None else "missed"
    return Token(row, ranking.scores[patch], ranking.epsilon[patch], state, expected, place)


def _pair(ranking: Ranking, tokens: tuple[Token, ...]) -> Pair | None:
    """The first two tokens that stand the wrong way round: those that a law names as well."""
    if ranking.kept is None:
        return None
    kept = tuple(row - ranking.prefix for row in ranking.kept)
    others = tuple(j for j in range(len(ranking.scores)) if j not in kept)
    scores, bounds = np.array(ranking.scores), np.array(ranking.epsilon)
    found = first_disorder(Reading(kept, others), scores - bounds, scores + bounds)
    if found is None:
        return None
    rank = {token.row - ranking.prefix: place for place, token in enumerate(tokens)}
    gap, explained = scores[found.second] - scores[found.first], bounds[found.first] + bounds[found.second]
    return Pair(rank[found.first], rank[found.second], float(gap), float(explained))
