"""LIN-1 · value sums over a box of tokens, in integers: planes of the head maximum, added up over the features."""

from typing import Final

import numpy as np

from pomt_ref.bounds.box import Box
from pomt_ref.bounds.exactlayer import Maps, as_array
from pomt_ref.bounds.fixedpoint import Integers, fixed, whole
from pomt_ref.bounds.maximum import relax_max

SLOPE_BITS: Final = 64
"""Digits of a slope: lower slopes are multiples of 2⁻⁵², and must sum to exactly one."""


def exact_value_sums(maps: Maps, values: Box, sample: int) -> tuple[Integers, Integers]:
    """The range of every value sum, (tokens,), in units of 2^-(2 digits + 64): the better of planes and of intervals.

    Slopes are suggested by :func:`~pomt_ref.bounds.maximum.relax_max`, for bounds of the values that may be wrong; the
    least intercept that is sound for them follows from the exact range of the values.
    """
    center, radius = maps.projection(2)
    low, high = whole(center - radius), whole(center + radius)
    planes = relax_max(Box(values.lo[sample], values.hi[sample]), dim=0)
    lower, upper = (fixed(as_array(slopes), SLOPE_BITS) for slopes in (planes.lower_slopes, planes.upper_slopes))
    simplex = (lower.sum(axis=0) == 1 << SLOPE_BITS) & (lower >= 0).all(axis=0)
    lower = whole(np.where(simplex, lower, 0))
    # Where the slopes are not of the simplex, the interval of the feature stands in.
    floor = np.where(simplex, 0, low.max(axis=0)) << SLOPE_BITS
    by_planes = _concretised(maps, lower, sign=-1) + floor.sum(axis=1)
    least = np.maximum(by_planes, low.max(axis=0).sum(axis=1) << SLOPE_BITS)
    by_planes = _concretised(maps, upper, sign=1) + _intercepts(upper, low, high).sum(axis=1)
    most = np.minimum(by_planes, high.max(axis=0).sum(axis=1) << SLOPE_BITS)
    return whole(least), whole(most)


def _intercepts(slopes: Integers, low: Integers, high: Integers) -> Integers:
    """The largest value of (max over heads of v) - slopes · v over a box, (tokens, features), for any slopes."""
    found = []
    for head in range(len(slopes)):
        left = -slopes
        left[head] = left[head] + (1 << SLOPE_BITS)
        found.append(np.maximum(left * low, left * high).sum(axis=0))
    return whole(np.maximum.reduce(found))


def _concretised(maps: Maps, slopes: Integers, *, sign: int) -> Integers:
    """The extreme of the sum over features of slopes · v, as one plane in the token's own channels, (tokens,)."""
    _, _, weight = maps.weights
    _, _, bias = maps.biases
    moves = sum(one @ other for one, other in zip(slopes, weight, strict=True))
    shift = sum(one @ other for one, other in zip(slopes, bias, strict=True))
    reach = (abs(moves) * maps.radius).sum(axis=1)
    return whole((moves * maps.center).sum(axis=1) + (shift << maps.digits) + sign * reach)
