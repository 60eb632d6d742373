"""How an option's number or name is read; what cannot be is told in one line by argparse."""

import argparse
from typing import Final

DIGITS: Final = 18
"""Of the largest integer that an option takes."""

DTYPES: Final = ("float16", "bfloat16", "float32", "float64")
PROFILES: Final = ("float64", "float32", "float32/float16", "float32/bfloat16", "float16", "bfloat16")
"""As in :mod:`pomt_ref.testing.rounding`, which takes too long to import here; a test holds them together."""


def positive(text: str) -> int:
    """Parse an integer above zero."""
    number = natural(text)
    if number == 0:
        raise argparse.ArgumentTypeError("expected an integer above zero, got 0")
    return number


def natural(text: str) -> int:
    """Parse an integer, zero or more."""
    if not text.isdecimal() or len(text) > DIGITS:
        raise argparse.ArgumentTypeError(f"expected an integer, zero or more, got {text[:DIGITS]!r}")
    return int(text)


def seconds(text: str) -> float:
    """Parse a duration."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"expected seconds above zero, got {text!r}")
    return seconds


def size(text: str) -> tuple[str, int]:
    """Parse ``axis=size``."""
    axis, equals, size = text.partition("=")
    if not equals or not size.isdecimal() or len(size) > DIGITS:
        raise argparse.ArgumentTypeError(f"expected axis=size, got {text!r}")
    return axis, int(size)


def share(text: str) -> float:
    """Parse a share of one."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got {text!r}")
    return number
