"""FLOAT · floating-point formats, and the profiles in which an implementation may work."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from jaxtyping import Float64

Dtype = Literal["float16", "bfloat16", "float32", "float64"]
"""The floating dtypes of POMT-PREC-1, by torch's names."""


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
