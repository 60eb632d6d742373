"""Sums that no order changes: every value as two integers, which add up exactly on however many ranks.

A float sum depends on where it is cut, and so would the ranking. An integer sum does not: the same rows give the same
sums on one rank and on a thousand, bit by bit.
"""

from typing import Final

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

BITS: Final = 40
"""Of each of the two integers; together 80 bits below the largest value, where float64 has 53."""

MOST_ROWS: Final = 2 ** (62 - BITS)
"""As many values as an int64 can add up."""


def exponent(largest: Float64[Tensor, ""]) -> int:
    """The power of two that brings values up to ``largest`` into [0, 1].

    >>> exponent(torch.tensor(0.75, dtype=torch.float64)), exponent(torch.tensor(0.1, dtype=torch.float64))
    (0, -3)
    """
    return int(torch.frexp(largest).exponent)


def column_sums(values: Float[Tensor, "batch rows patches"], *, power: int) -> Int64[Tensor, "2 batch patches"]:
    r"""The sum of every column as two integers, in units of :math:`2^{e-40}` and :math:`2^{e-80}`.

    Arguments:
        values: in :math:`[0, 2^e]`; what is smaller than :math:`2^{e-81}` counts as zero.
        power: e.

    Returns:
        The high and the low part; either may be added to those of other rows.

    >>> column_sums(torch.tensor([[[0.5], [0.25]]]), power=0)[:, 0, 0].tolist() == [3 << 38, 0]
    True
    """
    scaled = times_power(values.double(), BITS - power)
    high = scaled.floor()
    low = ((scaled - high) * 2.0**BITS).round()
    return torch.stack([high, low]).long().sum(dim=2)


def joined(parts: Int64[Tensor, "2 batch patches"], *, power: int) -> Float64[Tensor, "batch patches"]:
    """The sums as float64, each rounded in one way only.

    >>> joined(column_sums(torch.tensor([[[0.1], [0.2]]], dtype=torch.float64), power=0), power=0).item()
    0.30000000000000004
    """
    high, low = parts
    carried = high + (low >> BITS)
    rest = (low & ((1 << BITS) - 1)).double() * 2.0**-BITS
    return times_power(carried.double() + rest, power - BITS)


def times_power(values: Float64[Tensor, "*axes"], power: int) -> Float64[Tensor, "*axes"]:
    """Values times a power of two that may be no float64 itself.

    >>> times_power(torch.tensor([5e-324], dtype=torch.float64), 1074).item()
    1.0
    """
    half = power // 2
    return values * 2.0**half * 2.0 ** (power - half)
