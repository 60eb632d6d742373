"""LIN-1 · numbers as integers in a unit of 2^-bits: exact, or rounded in a direction that is named.

Python's integers do not overflow, so nothing here is lost that is not meant to be. Exponentials and logarithms are
mpmath's, with one unit more on each side than mpmath claims to need.
"""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import chain
from math import isqrt
from typing import Any, Final, cast

import numpy as np
from jaxtyping import Float64
from mpmath import libmp  # pyright: ignore[reportMissingTypeStubs] -- it publishes none

GUARD: Final = 64
"""Digits that exponentials and logarithms are computed with beyond those asked for."""

Integers = np.ndarray[Any, np.dtype[np.object_]]
"""An array of Python integers, which do not overflow."""

Decisions = np.ndarray[Any, np.dtype[np.bool_]]
"""An array of yes and no."""


def whole(values: Any) -> Integers:  # noqa: ANN401 -- arithmetic on arrays of objects has no type of its own
    """The same array, for the type checker."""
    return cast("Integers", values)


def decisions(values: Any) -> Decisions:  # noqa: ANN401 -- as above
    """Comparisons of integers as an array of booleans."""
    return np.asarray(values, dtype=np.bool_)


def integers(values: Sequence[int]) -> Integers:
    """Python integers as an array of objects."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def ceiling(numerator: Integers, denominator: Integers | int) -> Integers:
    """Division rounded up."""
    return whole(-(-numerator // denominator))


def shifted_up(value: Any, bits: int) -> Any:  # noqa: ANN401 -- an integer or an array of them
    """Divided by 2^bits and rounded up.

    >>> shifted_up(5, 1), shifted_up(-5, 1)
    (3, -2)
    """
    return -(-value >> bits)


def digits(arrays: Iterable[Float64[np.ndarray, "..."]]) -> int:
    """The least number of bits after the binary point with which every one of these numbers is exact.

    >>> digits([np.array([0.5, 3.0]), np.array([0.125])])
    3
    """
    numbers: Iterator[float] = chain.from_iterable(array.ravel().tolist() for array in arrays)
    return max(number.as_integer_ratio()[1].bit_length() - 1 for number in numbers)


def fixed(array: Float64[np.ndarray, "..."], bits: int, *, up: bool = False) -> Integers:
    """Every number in units of 2^-bits, rounded down or up: exact where bits are no fewer than :func:`digits`."""
    pairs = [value.as_integer_ratio() for value in array.ravel().tolist()]
    if up:
        return integers([-(-(top << bits) // bottom) for top, bottom in pairs]).reshape(array.shape)
    return integers([(top << bits) // bottom for top, bottom in pairs]).reshape(array.shape)


def exponential(argument: int, bits: int) -> tuple[int, int]:
    """e^argument, both in units of 2^-bits, rounded down and up.

    >>> exponential(0, 4)
    (15, 17)
    """
    if argument < -(bits << bits):
        return 0, 1
    precision = bits + GUARD + max((2 * argument) >> bits, 0)
    value = libmp.to_fixed(libmp.mpf_exp(libmp.from_man_exp(argument, -bits), precision), bits)
    return max(int(value) - 1, 0), int(value) + 1


def exponentials_down(arguments: Integers, bits: int) -> Integers:
    """e^argument, rounded down."""
    found = [exponential(argument, bits)[0] for argument in arguments.ravel().tolist()]
    return integers(found).reshape(arguments.shape)


def exponentials_up(arguments: Integers, bits: int) -> Integers:
    """e^argument, rounded up."""
    found = [exponential(argument, bits)[1] for argument in arguments.ravel().tolist()]
    return integers(found).reshape(arguments.shape)


def logarithm(argument: int, bits: int) -> tuple[int, int]:
    """The natural logarithm of a positive number, both in units of 2^-bits, rounded down and up.

    >>> logarithm(1 << 4, 4)
    (-1, 1)
    """
    exact = libmp.from_man_exp(argument, -bits)
    value = int(libmp.to_fixed(libmp.mpf_log(exact, bits + GUARD), bits))
    return value - 1, value + 1


def root_up(square: int) -> int:
    """The least integer that is no smaller than the square root.

    >>> root_up(9), root_up(10)
    (3, 4)
    """
    root = isqrt(square)
    return root if root * root == square else root + 1


def spectral_up(matrix: Integers) -> int:
    r"""An upper bound of the spectral norm of a matrix, at most about a millionth too large.

    .. math:: \|A\|^2 \le s^2 + \|s^2 I - A^\top A - F F^\top\|_\infty \quad \text{for every } s \text{ and } F

    The matrix is rounded to 30 digits, so that products and their sums are exact in 64 bits. Floating point suggests s
    and F; what it suggests need not be right.

    >>> 3 <= spectral_up(np.array([[3 << 40, 0], [0, 1 << 40]], dtype=object)) / 2**40 < 3.00001
    True
    """
    size = root_up(int((matrix * matrix).sum()))
    shift = max(size.bit_length() - 29, 0)
    rounded = np.asarray((matrix + ((1 << shift) >> 1)) >> shift, dtype=np.int64)
    gram = rounded.T @ rounded
    values, vectors = np.linalg.eigh(gram.astype(np.float64))
    square = int(float(values[-1]) * (1 + 2.0**-20)) + 1
    factor = np.rint(vectors * np.sqrt(np.maximum(square - values, 0))).astype(np.int64)
    rest = square * np.eye(len(gram), dtype=np.int64) - gram - factor @ factor.T
    found = root_up(square + int(np.abs(rest).sum(axis=1).max()))
    return (found + root_up(matrix.size)) << shift


def exact(array: Float64[np.ndarray, "*axes"]) -> Integers:
    """Every float64 as the fraction that it is."""
    flat = np.empty(array.size, dtype=object)
    flat[:] = [Fraction(value) for value in array.ravel().tolist()]
    return flat.reshape(array.shape)
