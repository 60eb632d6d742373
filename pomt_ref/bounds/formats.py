"""FLOAT-1 · the arithmetics that a certificate can cover, and what rounding in them amounts to."""

from dataclasses import dataclass
from typing import Final

import torch

from pomt_ref.bounds.steps import Arithmetic


@dataclass(frozen=True)
class Format:
    """What the error bounds of FLOAT-1 know of an arithmetic."""

    unit: float
    """u: no result is further from the exact one than this, relatively."""
    tiny: float
    """λ: nor, where it is subnormal, than this absolutely."""
    most: float
    """The largest number."""

    def growth(self, roundings: int) -> float:
        """By how much so many roundings after one another can change a number, relatively."""
        return float((1 + self.unit) ** roundings - 1)


def _format(dtype: torch.dtype) -> Format:
    """Of one dtype."""
    info = torch.finfo(dtype)
    return Format(info.eps / 2, info.smallest_normal * info.eps / 2, info.max)


FORMATS: Final[dict[Arithmetic, Format]] = {"float32": _format(torch.float32), "float64": _format(torch.float64)}
"""The arithmetics by name; ``"real"`` rounds nothing and has none."""

ROUNDED: Final = 1 + 2.0**-40
"""Covers the float64 rounding of the error bounds themselves."""
