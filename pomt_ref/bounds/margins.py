"""LIN-1, FLOAT-1, FLOAT-2 · what floating-point arithmetic may add, over a whole box.

A certificate over the real numbers says how the exact scores stand. A run in floating point computes others: by no
more than the ε of FLOAT-1 each, and an order is certain for it if the scores are further apart than both. ε grows
with every quantity that it is made of, so over a box each is taken at its largest.
"""

import math
from typing import Final

import torch
from jaxtyping import Float64
from torch import Tensor

from pomt_ref.bounds.box import Box, refuse
from pomt_ref.bounds.softmax import softmax_bounds
from pomt_ref.bounds.steps import Arithmetic, Step

FORMATS: Final = {"float32": torch.finfo(torch.float32), "float64": torch.finfo(torch.float64)}
"""The arithmetics by name."""

EXP_ULPS: Final = 4
"""c of FLOAT-1: an exponential is within c units roundoff of the true one."""

ARGUMENT_ROUNDINGS: Final = 3
"""κ of FLOAT-1: roundings of an exponential's argument."""

ROUNDED: Final = 1 + 2.0**-40
"""Covers the float64 rounding of the bounds themselves."""


def score_margin(step: Step, sums: Box, largest: Box) -> Float64[Tensor, "batch patches"]:
    r"""FLOAT-1 over a box: how far a score in this arithmetic may be from the exact one; zero for ``"real"``.

    .. math:: \varepsilon_j = (1 + u)(E^m_j + E^p_j) + u s_j + \lambda

    Where the box is one of logits, the run computes their softmax too, in the same arithmetic: a factor of at most
    e^{±ω} on every attention, and so e^{2ω} on m.

    Arguments:
        step: its boxes and its arithmetic.
        sums: bounds of S, (batch, patches).
        largest: bounds of M, (1 or batch, 1).

    Raises:
        PomtError: the clause does not apply: sums that leave the format.
    """
    if step.arithmetic == "real":
        return torch.zeros_like(sums.lo)
    info = FORMATS[step.arithmetic]
    unit, tiny = info.eps / 2, info.smallest_normal * info.eps / 2
    softmax = sums.lo.new_zeros(())
    if step.logits is not None:
        softmax = _softmax_exponent(_span(step.logits), step.logits.shape[-1], unit)
    relative = (sums.hi / largest.lo).clamp(max=1)
    share = softmax_bounds(step.value_sums).hi
    attention = _attention_error(relative, largest.lo, step.values.shape[2], softmax, unit, tiny)
    magnitude = _magnitude_error(step, share, unit, tiny, info.max)
    size = relative + share[:, step.prefix :]
    margin = ((1 + unit) * (attention + magnitude[:, step.prefix :]) + unit * size + tiny) * ROUNDED
    refuse("certify", "sums that the arithmetic holds", "margin", margin, ~margin.isfinite(), clause="FLOAT-1")
    return margin


def mean_margin(
    size: Float64[Tensor, "batch channels"], *, discarded: int, arithmetic: Arithmetic
) -> Float64[Tensor, "batch channels"]:
    """FLOAT-2 over a box: how far the mean row may be from the exact one, of rows whose mean size is at most this."""
    if arithmetic == "real":
        return torch.zeros_like(size)
    info = FORMATS[arithmetic]
    unit, tiny = info.eps / 2, info.smallest_normal * info.eps / 2
    growth = (1 + (discarded - 1) * unit) * (1 + unit) ** 3 - 1
    fits = discarded * size * (1 + discarded * unit) < info.max
    refuse("certify", "rows of x that the arithmetic can add", "size", size, ~fits, clause="FLOAT-2")
    return (growth * size + (discarded + 1) * tiny) * ROUNDED


def _attention_error(
    relative: Float64[Tensor, "batch patches"],
    largest: Float64[Tensor, "samples 1"],
    tokens: int,
    softmax: Float64[Tensor, ""],
    unit: float,
    tiny: float,
) -> Float64[Tensor, "batch patches"]:
    """E^m, with the error of a softmax before it."""
    patches = relative.shape[1]
    sigma = (1 + (patches - 1) * unit) * (1 + unit) - 1
    underflow = tiny * (1 + patches * (tokens + 2))
    lost = underflow / (largest * (-softmax).exp())
    grown = relative * (2 * softmax).exp() * (1 + sigma) + lost
    error = grown / (1 - sigma - lost) * (1 + unit) ** 3 - relative + tiny
    return torch.where(sigma + lost < 1, error, torch.inf)


def _magnitude_error(
    step: Step, share: Float64[Tensor, "batch tokens"], unit: float, tiny: float, most: float
) -> Float64[Tensor, "batch tokens"]:
    """E^p, for all tokens."""
    tokens, features = step.values.shape[2:]
    strongest = torch.maximum(step.values.lo.amax(dim=1).abs(), step.values.hi.amax(dim=1).abs())
    weight = strongest.sum(dim=-1)
    distance = step.value_sums.hi.amax(dim=1, keepdim=True) - step.value_sums.lo
    tau = ((1 + (features + 1) * unit) * (1 + unit) - 1) * weight + tiny
    worst = tau.amax(dim=1, keepdim=True)
    omega = tau + worst + ARGUMENT_ROUNDINGS * unit * 2 * worst + _softmax_exponent(distance, tokens, unit)
    grown = (share * omega.expm1()).clamp(max=1 + 2 * unit) + (tokens + 2) * tiny
    return torch.where((1 + unit) * weight.amax() < most, grown, torch.inf)


def _softmax_exponent(distance: Float64[Tensor, "*axes"], tokens: int, unit: float) -> Float64[Tensor, "*axes"]:
    """ω of FLOAT-1 without the error of the value sums: what a softmax of exact arguments collects in its exponent."""
    return (
        ARGUMENT_ROUNDINGS * unit * distance
        - math.log(tokens) * math.log1p(-ARGUMENT_ROUNDINGS * unit)
        - 2 * math.log1p(-EXP_ULPS * unit)
        + (tokens - 1) * unit / (1 - (tokens - 1) * unit)
        - 2 * math.log1p(-unit)
        + unit
    )


def _span(logits: Box) -> Float64[Tensor, ""]:
    """The largest difference of two logits of a row."""
    return (logits.hi.amax(dim=-1) - logits.lo.amin(dim=-1)).max()
