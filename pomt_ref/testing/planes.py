"""LIN-1 as checks in rational arithmetic: planes above and below a maximum over a box, held without any tolerance.

Numbers are fractions, and a float64 is one: nothing here rounds. A plane above a maximum is above it everywhere if it
is at the 2ⁿ corners, since plane less maximum is concave; one below is checked where a convex function less a plane can
be least.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise, product
from typing import Final

import numpy as np
from hypothesis import strategies as st
from jaxtyping import Float64

from pomt_ref.testing.strategies import Draw
from pomt_ref.testing.violation import LawViolation

ROUNDED: Final = Fraction(1, 10**12)
"""How far, relative to the size of a box, a plane may be from the best one: float64 slopes are off by about 1e-16."""

KINDS: Final = ("ordinary", "tied", "level", "nested", "points", "attention", "uneven")
"""Boxes: any; with some equal bounds; with one upper bound for all; each in the next; some of no width; between zero
and one; of very different widths."""


@dataclass(frozen=True)
class Variables:
    """The variables of a maximum, each between two float64."""

    low: Float64[np.ndarray, " variables"]
    high: Float64[np.ndarray, " variables"]

    @cached_property
    def lower(self) -> tuple[Fraction, ...]:
        """l."""
        return tuple(map(Fraction, self.low.tolist()))

    @cached_property
    def upper(self) -> tuple[Fraction, ...]:
        """u."""
        return tuple(map(Fraction, self.high.tolist()))

    @property
    def largest_lower(self) -> Fraction:
        """L."""
        return max(self.lower)

    @property
    def caps(self) -> list[Fraction]:
        """w₁ >= w₂ >= …, tied ones as often as they come, then L for as long as one likes (twice)."""
        raised = sorted((max(bound, self.largest_lower) for bound in self.upper), reverse=True)
        return [*raised, self.largest_lower, self.largest_lower]

    @property
    def knots(self) -> list[Fraction]:
        """L and the upper bounds above it, ascending."""
        return sorted({self.largest_lower, *(bound for bound in self.upper if bound > self.largest_lower)})

    @property
    def size(self) -> Fraction:
        """The largest absolute value of a bound: what rounding is relative to."""
        return max(*(abs(bound) for bound in (*self.lower, *self.upper)), Fraction(0))

    def corners(self) -> Iterator[tuple[Fraction, ...]]:
        """All 2ⁿ corners; fewer where bounds are equal."""
        yield from product(*((low,) if low == high else (low, high) for low, high in self._pairs()))

    def _pairs(self) -> list[tuple[Fraction, Fraction]]:
        """Both bounds of each variable."""
        return list(zip(self.lower, self.upper, strict=True))


@dataclass(frozen=True)
class Plane:
    """A plane over n variables."""

    slopes: tuple[Fraction, ...]
    intercept: Fraction

    def at(self, point: Sequence[Fraction]) -> Fraction:
        """Its height at a point."""
        return sum((a * x for a, x in zip(self.slopes, point, strict=True)), self.intercept)


def family_plane(variables: Variables, t: Fraction) -> Plane:
    """P_t, exactly: t + Σ (u - t)⁺ (x - l) / d; sound if and only if t >= L."""
    slopes = tuple(
        (high - t) / (high - low) if high > max(t, low) else Fraction(0)
        for low, high in zip(variables.lower, variables.upper, strict=True)
    )
    return Plane(slopes, t - sum((a * low for a, low in zip(slopes, variables.lower, strict=True)), Fraction(0)))


def holds_above(variables: Variables, plane: Plane) -> int:
    """LIN-1: at no corner is the maximum above the plane; answers how many corners were asked."""
    corners = list(variables.corners())
    for corner in corners:
        if plane.at(corner) < max(corner):
            short = float(max(corner) - plane.at(corner))
            raise LawViolation("LIN-1", f"upper plane {short:.3g} below the maximum at {_shown(corner)}")
    return len(corners)


def holds_below(variables: Variables, plane: Plane) -> None:
    """LIN-1: nowhere in the box is the maximum below the plane.

    For each value s of the maximum the plane (slopes not negative) is highest where every variable is as large as s
    lets it be; that height less s is concave in s and linear between the knots.
    """
    for s in variables.knots:
        point = tuple(min(bound, s) for bound in variables.upper)
        if plane.at(point) > s:
            raise LawViolation(
                "LIN-1", f"lower plane {float(plane.at(point) - s):.3g} above the maximum at {_shown(point)}"
            )


def touches(variables: Variables, plane: Plane) -> Fraction:
    """LIN-1: an upper intercept is as low as its slopes allow, up to rounding; answers by how much it is not."""
    slack = min(plane.at(corner) - max(corner) for corner in variables.corners())
    if slack > ROUNDED * variables.size:
        raise LawViolation("LIN-1", f"upper plane could be lower by {float(slack):.3g}")
    return slack


def gap_above(variables: Variables, plane: Plane) -> Fraction:
    """How far the plane is above the maximum at worst."""
    points = [(s, [min(bound, s) for bound in variables.upper]) for s in variables.knots]
    return max(plane.at(point) - s for s, point in points)


def gap_below(variables: Variables, plane: Plane) -> Fraction:
    """How far the plane is below the maximum at worst."""
    return max(max(corner) - plane.at(corner) for corner in variables.corners())


def has_least_volume(variables: Variables, plane: Plane) -> Fraction:
    """LIN-1: no P_t has less volume over the box, which for a plane is its height at the middle; answers how much."""
    middle = [(low + high) / 2 for low, high in zip(variables.lower, variables.upper, strict=True)]
    best = min(family_plane(variables, t).at(middle) for t in variables.knots)
    excess = plane.at(middle) - best
    if excess > ROUNDED * variables.size:
        raise LawViolation("LIN-1", f"volume above the least by {float(excess):.3g} a unit of base")
    return excess


def has_least_gap(variables: Variables, plane: Plane, *, among: tuple[Fraction, Fraction]) -> Fraction:
    """LIN-1: no P_t with t between two numbers has a smaller worst gap; answers how much smaller one is."""
    best, found = least_gap(variables, *among), gap_above(variables, plane)
    if found > best + ROUNDED * variables.size:
        raise LawViolation("LIN-1", f"worst gap {float(found):.6g}, expected {float(best):.6g}")
    return found - best


def least_gap(variables: Variables, least: Fraction, most: Fraction) -> Fraction:
    """The smallest worst gap of P_t for t in [least, most], by looking at every crossing of its pieces.

    Between two knots the gap of P_t where the maximum is s is linear in t; the worst gap is the largest of these lines.
    """
    ends = sorted({least, most, *(knot for knot in variables.knots if least < knot < most)})
    candidates = set(ends)
    for start, stop in pairwise(ends):
        lines = [_gaps(variables, start), _gaps(variables, stop)]
        for (a0, a1), (b0, b1) in product(zip(*lines, strict=True), repeat=2):
            if (a0 - b0) * (a1 - b1) < 0:
                candidates.add(start + (stop - start) * (a0 - b0) / (a0 - b0 - a1 + b1))
    return min(max(_gaps(variables, t)) for t in candidates)


def envelope(variables: Variables, point: Sequence[Fraction]) -> Fraction:
    """The least concave function above the maximum, as the least P_t at a point."""
    return min(family_plane(variables, t).at(point) for t in variables.knots)


@st.composite
def variables(draw: Draw, *, most: int = 6) -> Variables:
    """Boxes of one to ``most`` variables whose bounds are float64, from one seed: of every kind, simple and not."""
    count, kind = draw(st.integers(1, most)), draw(st.sampled_from(KINDS))
    generator = np.random.default_rng(100 * draw(st.integers(0, 99)) + draw(st.integers(0, 99)))
    return make_variables(kind, count, generator)


def make_variables(kind: str, count: int, generator: np.random.Generator) -> Variables:
    """A box of one of the ``KINDS``."""
    first, second = generator.normal(size=(2, count))
    match kind:
        case "tied":
            first, second = generator.integers(-2, 3, size=(2, count)) / 4
        case "level":
            second = np.full(count, np.abs(first).max())
        case "nested":
            first, second = -np.arange(1.0, count + 1) / 3, np.arange(1.0, count + 1) / 7
        case "points":
            second = np.where(generator.random(count) < 0.5, first, second)  # noqa: PLR2004 -- half of them
        case "attention":
            first = generator.dirichlet(np.full(count, 0.5))
            second = np.minimum(first * generator.uniform(1, 1.5, size=count), 1.0)
        case "uneven":
            second = first + generator.random(count) * 10.0 ** generator.integers(-15, 3, size=count)
        case _:
            pass
    return Variables(np.minimum(first, second), np.maximum(first, second))


def _gaps(variables: Variables, t: Fraction) -> list[Fraction]:
    """How far P_t is above the maximum where that is s, for every knot s."""
    plane = family_plane(variables, t)
    return [plane.at([min(bound, s) for bound in variables.upper]) - s for s in variables.knots]


def _shown(point: Sequence[Fraction]) -> str:
    """A point as a person reads it."""
    return f"({', '.join(f'{float(x):.6g}' for x in point)})"
