"""How the relaxation of a maximum is handed to the rational checks: tensors in, fractions out."""

from collections.abc import Sequence
from fractions import Fraction

import torch
from torch import Tensor

from pomt_ref.bounds import Box, LinearBounds
from pomt_ref.testing.planes import Plane, Variables


def fractions(tensor: Tensor) -> tuple[Fraction, ...]:
    """Every float64 as the fraction that it is."""
    return tuple(map(Fraction, tensor.tolist()))


def box_of(variables: Variables) -> Box:
    """The same box as tensors; its bounds are float64, so nothing is lost."""
    return Box(torch.from_numpy(variables.low), torch.from_numpy(variables.high))


def tensor_of(values: Sequence[Fraction]) -> Tensor:
    """Fractions that are float64 as a tensor."""
    return torch.tensor([float(value) for value in values], dtype=torch.float64)


def upper_plane(bounds: LinearBounds) -> Plane:
    """The upper plane, exactly."""
    return Plane(fractions(bounds.upper_slopes), Fraction(bounds.upper_intercept.item()))


def lower_plane(bounds: LinearBounds) -> Plane:
    """The lower plane, exactly."""
    return Plane(fractions(bounds.lower_slopes), Fraction(bounds.lower_intercept.item()))
