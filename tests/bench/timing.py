"""Times by turns: every contestant once a round, the order turned round by round, ratios taken within a round."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median, quantiles
from time import perf_counter

Thunk = Callable[[], object]


@dataclass(frozen=True)
class Spread:
    """A median, and the quartiles around it."""

    median: float
    low: float
    high: float
    rounds: int

    def times(self, factor: float) -> "Spread":
        """In another unit."""
        return Spread(self.median * factor, self.low * factor, self.high * factor, self.rounds)


def spread_of(values: list[float]) -> Spread:
    """The median and the quartiles.

    >>> spread_of([3.0, 1.0, 2.0])
    Spread(median=2.0, low=1.5, high=2.5, rounds=3)
    """
    low, middle, high = quantiles(values, method="inclusive") if len(values) > 1 else values * 3
    assert middle == median(values)
    return Spread(middle, low, high, len(values))


def by_turns(contestants: Mapping[str, Thunk], *, rounds: int, repeat: int = 1) -> dict[str, list[float]]:
    """Seconds of every contestant in every round, after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    names = list(contestants)
    for turn in range(rounds + 1):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            start = perf_counter()
            for _ in range(repeat):
                contestants[name]()
            elapsed = (perf_counter() - start) / repeat
            if turn:
                seconds[name].append(elapsed)
    return seconds


def ratio(one: list[float], other: list[float]) -> Spread:
    """One over the other, round by round."""
    return spread_of([a / b for a, b in zip(one, other, strict=True)])
