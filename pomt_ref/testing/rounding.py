"""FLOAT · how far an honest implementation may be from the real numbers, and no further.

A law compares with the float64 oracle and allows exactly these bounds: no tolerance is chosen by hand.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from jaxtyping import Float64

Dtype = Literal["float16", "bfloat16", "float32", "float64"]
"""The floating dtypes of POMT-PREC-1, by torch's names."""

ORACLE: Final = 2.0**-44
"""Relative rounding of the float64 oracle itself, added to every bound: 2⁹ units roundoff, for up to 512 steps that
round; its sums are correctly rounded, so that is generous."""

EXP_ULPS: Final = 4
"""c: an exponential is within c units roundoff of the true one. CUDA documents 2 ulp for expf, SLEEF 1 ulp."""

ARGUMENT_ROUNDINGS: Final = 3
"""κ: roundings of the exponential's argument: the subtraction, and a multiplication by log₂ e rounded twice."""


Scores = Float64[np.ndarray, "batch patches"]


@dataclass(frozen=True)
class Format:
    """One floating-point format."""

    unit: float
    """u: half the distance from one to the next number above it."""
    tiny: float
    """λ: half the smallest subnormal number."""
    largest: float
    """Ω: the largest finite number."""


FORMATS: Final[dict[Dtype, Format]] = {
    "float16": Format(2.0**-11, 2.0**-25, 65504.0),
    "bfloat16": Format(2.0**-8, 2.0**-134, 2.0**127 * (2 - 2.0**-7)),
    "float32": Format(2.0**-24, 2.0**-150, 2.0**127 * (2 - 2.0**-23)),
    "float64": Format(2.0**-53, 0.0, float(np.finfo(np.float64).max)),
}
"""IEEE 754 binary16, bfloat16, binary32 and binary64. Half the smallest binary64 subnormal is no float64: zero here,
and ORACLE covers it."""


Standing = Literal["normative", "declared", "reported"]
"""What a profile is worth: normative ones conform to POMT-PREC-1; a declared one is a second class of its own, with
scores stored in half precision; a reported one accumulates in half precision and is never certified."""

ProfileName = Literal["float64", "float32", "float32/float16", "float32/bfloat16", "float16", "bfloat16"]
"""Arithmetic / storage; one word where both are the same."""


@dataclass(frozen=True)
class Profile:
    """In what precision an implementation works."""

    name: ProfileName
    standing: Standing
    arithmetic: Format
    """Of sums, quotients and exponentials: u_a, λ_a, Ω_a."""
    storage: Format
    """Of stored scores: u_s, λ_s, Ω_s."""


def _profile(name: ProfileName, standing: Standing) -> Profile:
    """The profile that a name says."""
    arithmetic, _, storage = name.partition("/")
    by_name = {str(dtype): form for dtype, form in FORMATS.items()}
    return Profile(name, standing, by_name[arithmetic], by_name[storage or arithmetic])


PROFILES: Final[dict[ProfileName, Profile]] = {
    "float64": _profile("float64", "normative"),
    "float32": _profile("float32", "normative"),
    "float32/float16": _profile("float32/float16", "declared"),
    "float32/bfloat16": _profile("float32/bfloat16", "declared"),
    "float16": _profile("float16", "reported"),
    "bfloat16": _profile("bfloat16", "reported"),
}
"""Every profile by its name, the most exact first."""


def normative(dtype: Dtype) -> Profile:
    """POMT-PREC-1: scores in float32, whatever the input; float64 inputs stay float64.

    >>> normative("bfloat16").name
    'float32'
    """
    return PROFILES["float64" if dtype == "float64" else "float32"]


def representable(array: Float64[np.ndarray, "*axes"], dtype: Dtype) -> Float64[np.ndarray, "*axes"]:
    """The values of ``dtype`` nearest to these, as float64; converting them to ``dtype`` is then exact.

    >>> representable(np.array([1.0 / 3.0]), "bfloat16")
    array([0.33398438])
    """
    if dtype == "float64":
        return array
    nearest: Float64[np.ndarray, "*axes"]
    if dtype == "bfloat16":
        bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
        rounded = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
        nearest = (rounded & np.uint32(0xFFFF0000)).view(np.float32).astype(np.float64)
    else:
        nearest = array.astype(np.dtype(dtype)).astype(np.float64)
    return nearest


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
    share = exponentials / exponentials.sum(axis=1, keepdims=True)

    tau = ((1 + (features + 1) * unit) * (1 + storage.unit) - 1 + ORACLE) * weight + storage.tiny
    omega = softmax_growth(tau, distance, profile=profile)
    with np.errstate(over="ignore", invalid="ignore"):
        grown = np.where(share > 0, share * np.expm1(omega), 0.0)
    allowed = np.minimum(grown, 1 + 2 * storage.unit) + (tokens + 1) * arithmetic.tiny + storage.tiny
    fits = (1 + storage.unit) * weight.max() < storage.largest
    return share, np.where(fits, allowed, np.inf)
