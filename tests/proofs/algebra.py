"""The arithmetic of one number, twice: as terms over the reals that z3 decides, and as floats to hold torch to.

The meaning of every tensor operator and the scalar specification are written once, over either. What is proved of the
terms thus rests on a table that is also run on numbers and compared with torch.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any, Final, Protocol

import z3

Scalar = Any
"""A z3 term or a Python number, by the algebra; an index is a scalar too."""


class Algebra(Protocol):
    """What the operators and the specification need to do with numbers, beyond + - * and division by a count."""

    infinity: Scalar

    def total(self, terms: Sequence[Scalar]) -> Scalar:
        """Add numbers up."""

    def maximum(self, terms: Sequence[Scalar]) -> Scalar:
        """Take the largest of at least one."""

    def exponential(self, term: Scalar) -> Scalar:
        """Raise e to a number."""

    def quotient(self, dividend: Scalar, divisor: Scalar) -> Scalar:
        """Divide by a number that may not be a constant."""

    def product(self, one: Scalar, other: Scalar) -> Scalar:
        """Multiply two numbers neither of which is a constant."""

    def before(self, one: Scalar, other: Scalar, *, wins_ties: bool) -> Scalar:
        """Whether one is larger, or equal and favoured."""

    def number_of(self, claims: Iterable[Scalar]) -> Scalar:
        """How many of the claims hold."""

    def equals(self, one: Scalar, other: Scalar) -> Scalar:
        """Whether two numbers are the same."""

    def choose(self, claim: Scalar, one: Scalar, other: Scalar) -> Scalar:
        """One if the claim holds, else the other."""

    def undefined(self, *, index: bool = False) -> Scalar:
        """A value, or an index, of which nothing is known: what lies outside an axis."""


class Symbolic:
    """Terms over the reals. Maxima are constants with axioms; exponential, product and quotient are any functions.

    A function of which nothing is assumed proves more than the real one: what holds for all functions holds for it.
    With ``exact`` quotients are those of the reals instead, and exponentials are positive.
    """

    _fresh: Final = count()

    def __init__(self, *, exact: bool = False) -> None:
        """Start without axioms."""
        self.axioms: list[z3.BoolRef] = []
        self.exact = exact
        self.infinity: Scalar = z3.Real("infinity")
        self._exponential = z3.Function("exponential", z3.RealSort(), z3.RealSort())
        self._quotient = z3.Function("quotient", z3.RealSort(), z3.RealSort(), z3.RealSort())
        self._product = z3.Function("product", z3.RealSort(), z3.RealSort(), z3.RealSort())
        self._known: dict[tuple[str, tuple[int, ...]], tuple[Scalar, list[Scalar]]] = {}

    def undefined(self, *, index: bool = False) -> Scalar:
        """Name a constant that nothing else names."""
        return (z3.Int if index else z3.Real)(f"undefined {next(self._fresh)}")

    def total(self, terms: Sequence[Scalar]) -> Scalar:
        """Add terms up."""
        return z3.Sum(*terms) if len(terms) > 1 else terms[0]

    def maximum(self, terms: Sequence[Scalar]) -> Scalar:
        """Name the maximum of a set of terms; the same set has the same name."""
        distinct = {each.get_id(): each for each in map(z3.simplify, terms)}

        def largest() -> Scalar:
            top = z3.Real(f"maximum {next(self._fresh)}")
            self.axioms += [top >= each for each in distinct.values()]
            self.axioms.append(z3.Or(*[top == each for each in distinct.values()]))
            return top

        if len(distinct) == 1:
            return next(iter(distinct.values()))
        return self._once("maximum", list(distinct.values()), largest, ordered=False)

    def exponential(self, term: Scalar) -> Scalar:
        """Apply an unknown function."""
        power = self._exponential(z3.simplify(term))
        if self.exact:
            self.axioms.append(power > 0)
        return power

    def quotient(self, dividend: Scalar, divisor: Scalar) -> Scalar:
        """Apply an unknown function; if quotients are exact, name the number that times the divisor is the dividend."""
        terms = [z3.simplify(dividend), z3.simplify(divisor)]

        def ratio() -> Scalar:
            fraction = z3.Real(f"quotient {next(self._fresh)}")
            self.axioms.append(fraction * terms[1] == terms[0])
            return fraction

        return self._once("quotient", terms, ratio, ordered=True) if self.exact else self._quotient(*terms)

    def product(self, one: Scalar, other: Scalar) -> Scalar:
        """Apply an unknown function: only whether the same numbers are multiplied is asked."""
        return self._product(one, other)

    def before(self, one: Scalar, other: Scalar, *, wins_ties: bool) -> Scalar:
        """State it."""
        return one >= other if wins_ties else one > other

    def number_of(self, claims: Iterable[Scalar]) -> Scalar:
        """Add ones and zeros."""
        return z3.Sum(z3.IntVal(0), *[z3.If(each, 1, 0) for each in claims])

    def equals(self, one: Scalar, other: Scalar) -> Scalar:
        """State it."""
        return one == other

    def choose(self, claim: Scalar, one: Scalar, other: Scalar) -> Scalar:
        """Let z3 choose, unless the claim is decided already."""
        return z3.If(claim, one, other) if isinstance(claim, z3.BoolRef) else (one if claim else other)

    def _once(self, kind: str, terms: list[Scalar], make: Any, *, ordered: bool) -> Scalar:  # noqa: ANN401 -- a closure
        """What was made of the same terms before, else what is made of them now. Kept terms keep their ids."""
        ids = [each.get_id() for each in terms]
        key = (kind, tuple(ids if ordered else sorted(ids)))
        if key not in self._known:
            self._known[key] = (make(), terms)
        return self._known[key][0]


class Numeric:
    """Python floats and ints: what torch computes in float64, up to rounding."""

    infinity: Scalar = math.inf

    def undefined(self, *, index: bool = False) -> Scalar:
        """Give what spoils every sum."""
        del index
        return math.nan

    def total(self, terms: Sequence[Scalar]) -> Scalar:
        """Add numbers up."""
        return sum(terms)

    def maximum(self, terms: Sequence[Scalar]) -> Scalar:
        """Take the largest."""
        return max(terms)

    def exponential(self, term: Scalar) -> Scalar:
        """Compute it."""
        return math.exp(term)

    def quotient(self, dividend: Scalar, divisor: Scalar) -> Scalar:
        """Divide."""
        return dividend / divisor

    def product(self, one: Scalar, other: Scalar) -> Scalar:
        """Multiply."""
        return one * other

    def before(self, one: Scalar, other: Scalar, *, wins_ties: bool) -> Scalar:
        """Compare."""
        return one > other or (wins_ties and one == other)

    def number_of(self, claims: Iterable[Scalar]) -> Scalar:
        """Count."""
        return sum(map(bool, claims))

    def equals(self, one: Scalar, other: Scalar) -> Scalar:
        """Compare."""
        return one == other

    def choose(self, claim: Scalar, one: Scalar, other: Scalar) -> Scalar:
        """Choose."""
        return one if claim else other
