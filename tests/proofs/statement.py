"""A statement: what is proved, of which clause, by which tool, for which inputs, and the function that proves it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final


class RefutedError(Exception):
    """A statement does not hold, or no proof of it was found: either is red."""


@dataclass(frozen=True)
class Statement:
    """One line of the table."""

    name: str
    """A few words, unique: the matrix of mutants refers to it."""
    says: str
    """The theorem as a sentence."""
    clause: str
    """The clause, or clauses, of the specification that it is about."""
    tool: str
    """What decides it."""
    scope: str
    """For which sizes and values: never more than what was checked."""
    prove: Callable[[], None]
    """Raises :class:`RefutedError`, or any error of the changed code itself, unless the statement holds."""
    quick: Callable[[], None] | None = None
    """The same at fewer sizes, for the many mutants; a mutant that it rejects is one that the whole rejects."""


def refute(unless: object, why: str) -> None:
    """Raise unless the condition holds; an assertion would vanish under ``python -O``."""
    if not unless:
        raise RefutedError(why)


ALL_SIZES: Final = "all sizes"
