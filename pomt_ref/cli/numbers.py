"""How an option's number or name is read; what cannot be is told in one line by argparse."""

import argparse
from collections.abc import Callable
from typing import Final

DIGITS: Final = 18
"""Of the largest integer that an option takes."""

SHORTEST: Final = 0.001
LONGEST: Final = 1e6
"""Seconds, eleven days: as in :mod:`pomt_ref.conformance.call`, like the following."""

DTYPES: Final = ("float16", "bfloat16", "float32", "float64")
PROFILES: Final = ("float64", "float32", "float32/float16", "float32/bfloat16", "float16", "bfloat16")
"""As in :mod:`pomt_ref.testing.formats`, which takes too long to import here; a test holds them together."""


def positive(text: str) -> int:
    """Parse an integer above zero."""
    number = natural(text)
    if number == 0:
        raise argparse.ArgumentTypeError("expected an integer above zero, got 0")
    return number


def at_most(largest: int) -> Callable[[str], int]:
    """The parser of an integer above zero that goes no further than this."""

    def parse(text: str) -> int:
        number = positive(text)
        if number > largest:
            raise argparse.ArgumentTypeError(f"expected an integer of 1 to {largest}, got {number}")
        return number

    return parse


def natural(text: str) -> int:
    """Parse an integer, zero or more."""
    if not text.isdecimal() or len(text) > DIGITS:
        raise argparse.ArgumentTypeError(f"expected an integer, zero or more, {_got(text, text)}")
    return int(text)


def seconds(text: str) -> float:
    """Parse a duration."""
    number = _real(text)
    if not SHORTEST <= number <= LONGEST:
        raise argparse.ArgumentTypeError(f"expected seconds from {SHORTEST:g} to {LONGEST:,.0f}, got {text!r}")
    return number


def size(text: str) -> tuple[str, int]:
    """Parse ``axis=size``."""
    axis, equals, size = text.partition("=")
    if not equals or not size.isdecimal() or len(size) > DIGITS:
        raise argparse.ArgumentTypeError(f"expected axis=size, an integer, zero or more, {_got(text, size)}")
    return axis, int(size)


def share(text: str) -> float:
    """Parse a share of one."""
    number = _real(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got {text!r}")
    return number


def _got(text: str, number: str) -> str:
    """What came in place of a number, its beginning if it is long, and whether it has too many digits."""
    limit = f"of {DIGITS} digits at most, " if number.isdecimal() else ""
    shown = text if len(text) <= 2 * DIGITS else f"{text[: 2 * DIGITS]}…"
    return f"{limit}got {shown!r}"


def _real(text: str) -> float:
    """A number, or one that no range holds."""
    try:
        return float(text)
    except ValueError:
        return float("nan")
