"""LIN-1 · sums and products that are exact until they are rounded once, in the direction that keeps a bound a bound.

Everything is float64 and works elementwise on tensors. Error-free transformations (Dekker 1971, Knuth 1969) split a
sum or a product of two numbers into its rounded value and what the rounding lost; a sum of many is distilled until what
is left over is too small to matter, and only then rounded up or down.
"""

from collections.abc import Sequence
from typing import Final

import torch
from jaxtyping import Float64
from torch import Tensor

UNIT: Final = 2.0**-53
"""u: half the distance from one to the next float64 above it."""

SPLITTER: Final = 2.0**27 + 1
"""Splits 53 bits into 26 and 27, whose products are exact (Veltkamp)."""

PRODUCT_UNDERFLOWS: Final = 2.0**-960
"""Below this the lost part of a product may be subnormal, and is no longer exact."""

UNDERFLOW_SLACK: Final = 2.0**-1060
"""More than a product below ``PRODUCT_UNDERFLOWS`` can lose."""

DISTILLATIONS: Final = 3
"""Passes over a sum. After k passes the rest is about 2⁻⁵³ᵏ of the terms; after three its own rounding is far below
that of the result."""


def up(value: Float64[Tensor, "*axes"]) -> Float64[Tensor, "*axes"]:
    """The next float64 above.

    >>> up(torch.tensor([1.0], dtype=torch.float64)) - 1.0 == 2 * UNIT
    tensor([True])
    """
    return torch.nextafter(value, torch.full_like(value, torch.inf))


def down(value: Float64[Tensor, "*axes"]) -> Float64[Tensor, "*axes"]:
    """The next float64 below."""
    return -up(-value)


def two_sum(
    one: Float64[Tensor, "*axes"], other: Float64[Tensor, "*axes"]
) -> tuple[Float64[Tensor, "*axes"], Float64[Tensor, "*axes"]]:
    """The rounded sum, and what it lost: together they are the exact sum."""
    rounded = one + other
    part = rounded - one
    return rounded, (one - (rounded - part)) + (other - part)


def two_product(
    one: Float64[Tensor, "*axes"], other: Float64[Tensor, "*axes"]
) -> tuple[Float64[Tensor, "*axes"], Float64[Tensor, "*axes"]]:
    """The rounded product, and what it lost: together they are the exact product unless it underflows."""
    rounded = one * other
    (high, low), (top, rest) = _split(one), _split(other)
    return rounded, low * rest - (((rounded - high * top) - low * top) - high * rest)


def products(
    one: Float64[Tensor, "*axes"], other: Float64[Tensor, "*axes"]
) -> tuple[Float64[Tensor, "*axes"], Float64[Tensor, "*axes"], Float64[Tensor, "*axes"]]:
    """A product, what its rounding lost, and a bound on what underflow takes from that: zero for ordinary numbers."""
    rounded, lost = two_product(one, other)
    small = (rounded.abs() < PRODUCT_UNDERFLOWS) & (one != 0) & (other != 0)
    return rounded, lost, torch.zeros_like(rounded).masked_fill(small, UNDERFLOW_SLACK)


def sum_up(terms: Sequence[Float64[Tensor, "*axes"]]) -> Float64[Tensor, "*axes"]:
    """The exact sum of the terms, rounded once, up; the sum itself wherever it is a float64.

    >>> one, tiny = torch.tensor([1.0, 2.0**-80], dtype=torch.float64)
    >>> sum_up([one, tiny]) > one, sum_up([one, tiny, -tiny]) == one
    (tensor(True), tensor(True))
    """
    parts = torch.stack(torch.broadcast_tensors(*terms))
    for _ in range(DISTILLATIONS):
        parts = _distil(parts)
    head, rest = parts[-1], parts[:-1]
    slack = (len(terms) + 4) * 2 * UNIT * rest.abs().sum(dim=0)
    rounded, lost = two_sum(head, rest.sum(dim=0) + slack)
    return torch.where(lost > 0, up(rounded), rounded)


def sum_down(terms: Sequence[Float64[Tensor, "*axes"]]) -> Float64[Tensor, "*axes"]:
    """The exact sum of the terms, rounded once, down; the sum itself wherever it is a float64."""
    return -sum_up([-term for term in terms])


def dot_up(
    one: Float64[Tensor, "*axes"], other: Float64[Tensor, "*more"], *, dim: int, add: Float64[Tensor, "*rest"]
) -> Float64[Tensor, "*rest"]:
    r"""An upper bound of a scalar product along an axis plus an addend, off by no more than float64 rounds at worst.

    .. math:: \sum_k a_k b_k + c \;\le\; \mathrm{fl} + 2 (n + 4) u \Bigl(\sum_k |a_k b_k| + |c|\Bigr)

    Unlike :func:`sum_up` it costs two passes whatever the length of the axis.
    """
    terms = one * other
    size = terms.abs().sum(dim=dim) + add.abs()
    slack = 2 * (terms.shape[dim] + 4) * UNIT * size + torch.zeros_like(size).masked_fill(size > 0, UNDERFLOW_SLACK)
    return up(terms.sum(dim=dim) + add + slack)


def dot_down(
    one: Float64[Tensor, "*axes"], other: Float64[Tensor, "*more"], *, dim: int, add: Float64[Tensor, "*rest"]
) -> Float64[Tensor, "*rest"]:
    """A lower bound of a scalar product along an axis plus an addend; see :func:`dot_up`."""
    return -dot_up(-one, other, dim=dim, add=-add)


def _split(value: Float64[Tensor, "*axes"]) -> tuple[Float64[Tensor, "*axes"], Float64[Tensor, "*axes"]]:
    """Veltkamp: two numbers of half the digits that sum to this one."""
    scaled = SPLITTER * value
    high = scaled - (scaled - value)
    return high, value - high


def _distil(parts: Float64[Tensor, "terms *axes"]) -> Float64[Tensor, "terms *axes"]:
    """Pass the running sum from term to term, each keeping what the sum lost: the exact sum stays the same."""
    running, kept = parts[0], []
    for part in parts[1:]:
        running, lost = two_sum(running, part)
        kept.append(lost)
    return torch.stack([*kept, running])
