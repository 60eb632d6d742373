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
from pomt_ref.bounds.formats import FORMATS, ROUNDED, Format
from pomt_ref.bounds.projections import Rounding, projection_rounding
from pomt_ref.bounds.softmax import softmax_bounds
from pomt_ref.bounds.steps import Arithmetic, Step

EXP_ULPS: Final = 4
"""c of FLOAT-1: an exponential is within c units roundoff of the true one."""

ARGUMENT_ROUNDINGS: Final = 3
"""κ of FLOAT-1: roundings of an exponential's argument."""


def score_margin(step: Step, sums: Box, largest: Box) -> Float64[Tensor, "batch patches"]:
    r"""FLOAT-1 over a box: how far a score in this arithmetic may be from the exact one; zero for ``"real"``.

    .. math:: \varepsilon_j = (1 + u)(E^m_j + E^p_j) + u s_j + \lambda

    Where the box is one of logits, the run computes their softmax too, in the same arithmetic: a factor of at most
    e^{±ω} on every attention, and so e^{2ω} on m. Where logits and values come from a box of tokens, the run computes
    those too, and what it rounds there counts as well.

    Arguments:
        step: its boxes and its arithmetic.
        sums: bounds of S, (batch, patches).
        largest: bounds of M, (1 or batch, 1).

    Raises:
        PomtError: the clause does not apply: sums that leave the format.
    """
    if step.arithmetic == "real":
        return torch.zeros_like(sums.lo)
    form = FORMATS[step.arithmetic]
    rounding = None if step.tokens is None else projection_rounding(step)
    relative = (sums.hi / largest.lo).clamp(max=1)
    share = softmax_bounds(step.value_sums).hi
    softmax = _softmax_of_logits(step, form, rounding)
    attention = _attention_error(relative, largest.lo, step.values.shape[2], softmax, form)
    magnitude = _magnitude_error(step, share, form, rounding)
    size = relative + share[:, step.prefix :]
    margin = ((1 + form.unit) * (attention + magnitude[:, step.prefix :]) + form.unit * size + form.tiny) * ROUNDED
    expected = "sums that the arithmetic holds"
    refuse(step.function, expected, "margin", margin, ~margin.isfinite(), clause="FLOAT-1")
    return margin


def mean_margin(
    size: Float64[Tensor, "batch channels"], *, discarded: int, arithmetic: Arithmetic
) -> Float64[Tensor, "batch channels"]:
    """FLOAT-2 over a box: how far the mean row may be from the exact one, of rows whose mean size is at most this."""
    if arithmetic == "real":
        return torch.zeros_like(size)
    form = FORMATS[arithmetic]
    growth = (1 + (discarded - 1) * form.unit) * (1 + form.unit) ** 3 - 1
    fits = discarded * size * (1 + discarded * form.unit) < form.most
    refuse("certify", "rows of x that the arithmetic can add", "size", size, ~fits, clause="FLOAT-2")
    return (growth * size + (discarded + 1) * form.tiny) * ROUNDED


def _attention_error(
    relative: Float64[Tensor, "batch patches"],
    largest: Float64[Tensor, "samples 1"],
    tokens: int,
    softmax: Float64[Tensor, ""],
    form: Format,
) -> Float64[Tensor, "batch patches"]:
    """E^m, with the error of a softmax before it."""
    patches, unit, tiny = relative.shape[1], form.unit, form.tiny
    sigma = (1 + (patches - 1) * unit) * (1 + unit) - 1
    underflow = tiny * (1 + patches * (tokens + 2))
    lost = underflow / (largest * (-softmax).exp())
    # Sizes that only add up, so that the formula is as exact as its factors, however near the two values are.
    factor = 2 * softmax + math.log1p(sigma) - torch.log1p(-(sigma + lost)) + 3 * math.log1p(unit)
    error = relative * factor.expm1() + lost / (1 - sigma - lost) * (1 + unit) ** 3 + tiny
    return torch.where(sigma + lost < 1, error, torch.inf)


def _magnitude_error(
    step: Step, share: Float64[Tensor, "batch tokens"], form: Format, rounding: Rounding | None
) -> Float64[Tensor, "batch tokens"]:
    """E^p, for all tokens, with the error of the values before it."""
    (tokens, features), unit, tiny = step.values.shape[2:], form.unit, form.tiny
    strongest = torch.maximum(step.values.lo.amax(dim=1).abs(), step.values.hi.amax(dim=1).abs())
    weight = strongest.sum(dim=-1)
    distance = step.value_sums.hi.amax(dim=1, keepdim=True) - step.value_sums.lo
    before = torch.zeros_like(weight) if rounding is None else rounding.value_sums
    tau = ((1 + (features + 1) * unit) * (1 + unit) - 1) * (weight + before) + before + tiny
    worst = tau.amax(dim=1, keepdim=True)
    omega = tau + worst + ARGUMENT_ROUNDINGS * unit * 2 * worst + _softmax_exponent(distance, tokens, unit)
    grown = (share * omega.expm1()).clamp(max=1 + 2 * unit) + (tokens + 2) * tiny
    return torch.where((1 + unit) * (weight + before).amax() < form.most, grown, torch.inf)


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


def _softmax_of_logits(step: Step, form: Format, rounding: Rounding | None) -> Float64[Tensor, ""]:
    """The exponent that a softmax of the step's logits collects, from rounded logits on; zero for a step of attention.

    Logits that are off by e each are off by 2 e where they are compared with the largest of their row.
    """
    if step.logits is None:
        return step.values.lo.new_zeros(())
    span = (step.logits.hi.amax(dim=-1) - step.logits.lo.amin(dim=-1)).max()
    before = 2 * rounding.logits if rounding is not None else torch.zeros_like(span)
    return before + _softmax_exponent(span + before, step.logits.shape[-1], form.unit)
