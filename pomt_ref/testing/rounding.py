"""FLOAT · how far an honest implementation may be from the real numbers, and no further.

A law compares with the float64 oracle and allows exactly these bounds: no tolerance is chosen by hand.
"""

from typing import Final

import numpy as np
from jaxtyping import Float64

from pomt_ref.testing.formats import FORMATS, Dtype, Profile

ORACLE: Final = 2.0**-44
"""Relative rounding of the float64 oracle itself, added to every bound: 2⁹ units roundoff, for up to 512 steps that
round; its sums are correctly rounded, so that is generous."""

EXP_ULPS: Final = 4
"""c: an exponential is within c units roundoff of the true one. CUDA documents 2 ulp for expf, SLEEF 1 ulp."""

ARGUMENT_ROUNDINGS: Final = 3
"""κ: roundings of the exponential's argument: the subtraction, and a multiplication by log₂ e rounded twice."""


Scores = Float64[np.ndarray, "batch patches"]


def sum_bound(
    total: Float64[np.ndarray, "*axes"], *, terms: int, profile: Profile, roundings: int = 0
) -> Float64[np.ndarray, "*axes"]:
    r"""FLOAT-1, σ: a sum of numbers of absolute sum ``total``, in any order, then stored.

    .. math:: [(1 + (k - 1) u_a)(1 + u_a)^r (1 + u_s) - 1] \cdot \sum |a| + \lambda_s

    Arguments:
        total: the sum of the absolute values.
        terms: k, how many of them.
        profile: the precision.
        roundings: r, further operations on the sum, such as the two of a mean.
    """
    growth = _growth(terms, profile, roundings) * (1 + profile.storage.unit) - 1
    return (growth + ORACLE) * total + profile.storage.tiny


def score_bound(
    sums: Float64[np.ndarray, "batch patches"],
    strongest_values: Float64[np.ndarray, "batch tokens features"],
    *,
    prefix: int,
    profile: Profile,
) -> Float64[np.ndarray, "batch patches"]:
    r"""FLOAT-1: how far a score may be from the real one.

    .. math:: |\hat s_j - s_j| \le \varepsilon_j = (1 + u_s)(E^m_j + E^p_j) + u_s s_j + \lambda_s

    Round to nearest; maxima are exact; sums in any order; exponentials within c u_a of an argument that is off by
    κ u_a. docs/specification.md derives it.

    Arguments:
        sums: S of the whole batch.
        strongest_values: w, the maximum of v over heads, prefix tokens included.
        prefix: P.
        profile: the precision.

    Returns:
        ε, infinite where the bound does not apply (M = 0, or sums that leave the format).
    """
    storage = profile.storage
    relative, allowed = attention_bound(sums, profile)
    share, share_allowed = _magnitude_bound(strongest_values, profile)
    score = relative + share[:, prefix:]
    parts = allowed + share_allowed[:, prefix:]
    # The oracle rounds the exponent of p too, which _magnitude_bound allows for; one is a score's own size.
    bound: Scores = (1 + storage.unit) * parts + storage.unit * score + storage.tiny + ORACLE * (score + 1)
    return bound


def share_bound(
    strongest_values: Float64[np.ndarray, "batch tokens features"], *, profile: Profile
) -> tuple[Float64[np.ndarray, "batch tokens"], Float64[np.ndarray, "batch tokens"]]:
    r"""FLOAT-1, E^p: the softmax of the sums over features, and how far a computed share may be from it.

    Arguments:
        strongest_values: w, the maximum of v over heads; or value sums that are taken as they are, with one feature.
        profile: the precision.

    Returns:
        p of all tokens, and its bound, infinite where nothing is promised.
    """
    share, allowed = _magnitude_bound(strongest_values, profile)
    return share, allowed + ORACLE * (share + 1)


def mean_bound(
    rows: Float64[np.ndarray, "rows channels"], *, profile: Profile, dtype: Dtype
) -> Float64[np.ndarray, " channels"]:
    r"""FLOAT-2: how far the mean row, stored in ``dtype``, may be from the real one.

    .. math:: |\hat y - y| \le [(1 + (m - 1) u_a)(1 + u_a)^2 (1 + u_s) - 1] \bar{|x|} + m \lambda_a + \lambda_s

    Returns:
        the bound, infinite where m · mean |x| leaves the arithmetic's format: the clause is then waived.
    """
    arithmetic, stored = profile.arithmetic, FORMATS[dtype]
    count = len(rows)
    with np.errstate(over="ignore"):
        average = np.abs(rows / count).sum(axis=0)
        growth = _growth(count, profile, 2) * (1 + stored.unit) - 1
        bound = (growth + ORACLE) * average + count * arithmetic.tiny + stored.tiny
        fits = count * average * (1 + count * arithmetic.unit) < arithmetic.largest
    return np.where(fits, bound, np.inf)


def _growth(terms: int, profile: Profile, roundings: int) -> float:
    """(1 + (k − 1) u_a)(1 + u_a)^r."""
    unit = profile.arithmetic.unit
    return float((1 + (terms - 1) * unit) * (1 + unit) ** roundings)


def attention_bound(
    sums: Float64[np.ndarray, "batch patches"], profile: Profile
) -> tuple[Float64[np.ndarray, "batch patches"], Float64[np.ndarray, "batch patches"]]:
    """FLOAT-1, E^m: the relative sums m, and how far they may be off; infinite where nothing is promised."""
    arithmetic, storage = profile.arithmetic, profile.storage
    largest = sums.max()
    sigma = (1 + (sums.shape[1] - 1) * arithmetic.unit) * (1 + storage.unit) - 1
    if largest == 0 or sigma + storage.tiny / largest >= 1:
        return np.zeros_like(sums), np.full_like(sums, np.inf)
    relative, lost = sums / largest, storage.tiny / largest
    upper = (relative * (1 + sigma) + lost) / (1 - sigma - lost) * (1 + arithmetic.unit) ** 2 * (1 + storage.unit)
    return relative, upper - relative + storage.tiny + ORACLE * relative


def softmax_growth(
    tau: Float64[np.ndarray, "*rows tokens"], distance: Float64[np.ndarray, "*rows tokens"], *, profile: Profile
) -> Float64[np.ndarray, "*rows tokens"]:
    """FLOAT-1, ω: a computed share is within a factor e^ω of the real one, where nothing underflows.

    Arguments:
        tau: how far each argument of the softmax may be off.
        distance: how far each is below the largest of its row.
        profile: the precision.
    """
    unit, tokens = profile.arithmetic.unit, tau.shape[-1]
    worst = tau.max(axis=-1, keepdims=True)
    growth: Float64[np.ndarray, "*rows tokens"] = (
        tau
        + worst
        + ARGUMENT_ROUNDINGS * unit * (distance + 2 * worst)
        - np.log(tokens) * np.log1p(-ARGUMENT_ROUNDINGS * unit)
        - 2 * np.log1p(-EXP_ULPS * unit)
        + (tokens - 1) * unit / (1 - (tokens - 1) * unit)
        - 2 * np.log1p(-unit)
        + profile.storage.unit
    )
    return growth


def _magnitude_bound(
    strongest_values: Float64[np.ndarray, "batch tokens features"], profile: Profile
) -> tuple[Float64[np.ndarray, "batch tokens"], Float64[np.ndarray, "batch tokens"]]:
    """The shares p of all tokens, and E^p of FLOAT-1."""
    arithmetic, storage = profile.arithmetic, profile.storage
    unit, features, tokens = arithmetic.unit, strongest_values.shape[2], strongest_values.shape[1]
    sums = strongest_values.sum(axis=2)
    weight = np.abs(strongest_values).sum(axis=2)
    if tokens * unit >= 1:  # so many tokens that a sum in this arithmetic keeps no digit: nothing can be promised
        return np.zeros_like(sums), np.full_like(sums, np.inf)
    distance = sums.max(axis=1, keepdims=True) - sums
    exponentials = np.exp(-distance)
    total = exponentials.sum(axis=1, keepdims=True)
    share = exponentials / total

    tau = ((1 + (features + 1) * unit) * (1 + storage.unit) - 1 + ORACLE) * weight + storage.tiny
    omega = softmax_growth(tau, distance, profile=profile)
    with np.errstate(over="ignore", invalid="ignore"):
        # A share too small for this format may still be computed as one, where its argument is as far off.
        shown = share >= np.finfo(np.float64).tiny
        grown = np.where(shown, share * np.expm1(omega), np.exp(omega - distance - np.log(total)))
    allowed = np.minimum(grown, 1 + 2 * storage.unit) + (tokens + 1) * arithmetic.tiny + storage.tiny
    fits = (1 + storage.unit) * weight.max() < storage.largest
    return share, np.where(fits, allowed, np.inf)
