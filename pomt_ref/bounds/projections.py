"""LIN-1, FLOAT-1 · what a run rounds before the step: the linear maps of a layer, and the products of queries and keys.

Scalar products may be added up in any order, fused or not, and the scale of the logits may go to queries, to keys or to
their products. Each of n products meets no more than n roundings, one for the bias, and one each for its factors where
weights and tokens are themselves rounded to the arithmetic. Products of shortened factors (TF32, bfloat16) are not in
this arithmetic.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from pomt_ref.bounds.box import Box
from pomt_ref.bounds.formats import FORMATS, Format
from pomt_ref.bounds.layer import AttentionLayer
from pomt_ref.bounds.steps import Step


@dataclass(frozen=True)
class Rounding:
    """How far what a run computes is from what the layer says, over the whole box."""

    logits: Float64[Tensor, ""]
    """Of any logit."""
    value_sums: Float64[Tensor, "batch tokens"]
    """Of t, from the values alone: the largest of the heads, added up over the features."""


def projection_rounding(step: Step) -> Rounding:
    """The rounding of a step of tokens in its arithmetic; infinite where something may overflow."""
    form = FORMATS[step.arithmetic]
    assert step.tokens is not None  # noqa: S101 -- the caller has asked
    assert step.layer is not None  # noqa: S101 -- it comes with the tokens
    layer = step.layer
    (q, q_error), (k, k_error) = (
        _projected(form, step.tokens, weight, bias)
        for weight, bias in ((layer.query_weight, layer.query_bias), (layer.key_weight, layer.key_bias))
    )
    values, v_error = _projected(form, step.tokens, layer.value_weight, layer.value_bias)
    sums = torch.where((values + v_error).amax() < form.most, v_error.amax(dim=1).sum(dim=-1), torch.inf)
    return Rounding(_logit_error(form, layer, (q, q_error), (k, k_error)), sums)


def _projected(
    form: Format,
    tokens: Box,
    weight: Float64[Tensor, "heads features channels"],
    bias: Float64[Tensor, "heads features"],
) -> tuple[Float64[Tensor, "batch heads tokens features"], Float64[Tensor, "batch heads tokens features"]]:
    """The largest size of a linear map of the tokens, and how far a run may be from it."""
    channels = weight.shape[2]
    largest = torch.maximum(tokens.lo.abs(), tokens.hi.abs())
    shift = bias.abs().reshape(1, bias.shape[0], 1, -1)
    size = torch.einsum("hdc,bnc->bhnd", weight.abs(), largest) + shift
    factors = largest.sum(dim=-1).reshape(len(largest), 1, -1, 1) + weight.abs().sum(dim=-1).unsqueeze(1)
    lost = 2 * form.tiny * (factors + channels + 2)
    return size, form.growth(channels + 4) * size + lost


def _logit_error(
    form: Format, layer: AttentionLayer, queries: tuple[Tensor, Tensor], keys: tuple[Tensor, Tensor]
) -> Float64[Tensor, ""]:
    """How far any logit of a run may be from the exact one: from the errors of its factors, and from its own."""
    (q, q_error), (k, k_error) = queries, keys
    features, scale = q.shape[3], max(layer.scale, 1.0)
    whole = (q + q_error) @ (k + k_error).mT
    inherited = q_error @ (k + k_error).mT + q @ k_error.mT
    factors = (q + q_error).sum(dim=-1).unsqueeze(3) + (k + k_error).sum(dim=-1).unsqueeze(2)
    lost = 2 * form.tiny * (factors + features + 2)
    error = layer.scale * (inherited + form.growth(features + 6) * whole) + scale * lost
    fits = all(float(size.amax()) < form.most for size in (whole, q + q_error, k + k_error))
    return error.amax() if fits else torch.full_like(error.amax(), torch.inf)
