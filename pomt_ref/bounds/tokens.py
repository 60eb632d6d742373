"""LIN-1 · a certificate for a box of tokens: attention sums between planes that are concretised together.

A plane for every S_i in the logits becomes a linear form in the tokens. The difference of a lower plane of S_i and an
upper plane of S_j is concretised as one form, so that what moves both cancels. The intervals of the logits are always
at hand, and the better bound counts, pair by pair.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float64
from torch import Tensor

from pomt_ref.bounds.asking import checked_step
from pomt_ref.bounds.box import CLAUSE, Box, a_box
from pomt_ref.bounds.certificate import Certificate, decide, sum_bounds
from pomt_ref.bounds.differences import antisymmetric, value_sum_bounds
from pomt_ref.bounds.headplanes import Planes, strongest_above, strongest_below
from pomt_ref.bounds.layer import (
    FAR_BELOW,
    UNDERFLOWN,
    AttentionLayer,
    Forms,
    logit_bounds,
    logit_forms,
    projection_bounds,
)
from pomt_ref.bounds.maximum import relax_max
from pomt_ref.bounds.softplanes import step_planes
from pomt_ref.bounds.steps import Arithmetic, Step
from pomt_ref.errors import KindError, ShapeError
from pomt_ref.types import Normalisation


@dataclass(frozen=True)
class SumForms:
    """For every patch a plane below or above its attention sum, in ξ and a remainder in the logits."""

    slopes: Float64[Tensor, "patches heads queries keys"]
    """On the logits' deviations; queries are patches."""
    moves: Float64[Tensor, "patches tokens channels"]
    """The same on ξ."""
    value: Float64[Tensor, " patches"]
    """At the center."""
    size: Float64[Tensor, " patches"]
    """What rounding is relative to."""


def certify_tokens(
    tokens: Box,
    layer: AttentionLayer,
    *,
    x: Box | None = None,
    prefix: int = 1,
    keep: int | None = None,
    remove: int | None = None,
    normalisation: Normalisation = "batch",
    arithmetic: Arithmetic = "real",
) -> Certificate:
    """LIN-1: which patches one step of POMT keeps, whatever the tokens that queries, keys and values are made of.

    Arguments:
        tokens: bounds of what the layer's linear maps read, (batch, tokens, channels): in a vision transformer the
            tokens after the norm.
        layer: the linear maps.
        x: bounds of the tokens that are pruned, for the mean row; taken as independent of the rest.
        prefix: as for :func:`~pomt_ref.bounds.certificate.certify`.
        keep: as for :func:`~pomt_ref.bounds.certificate.certify`.
        remove: as for :func:`~pomt_ref.bounds.certificate.certify`.
        normalisation: as for :func:`~pomt_ref.bounds.certificate.certify`.
        arithmetic: ``"real"`` certifies the exact scores; ``"float32"`` and ``"float64"`` every run in that arithmetic
            too, from the tokens on: linear maps, products of queries and keys, softmax and step, with weights and
            tokens rounded to it.

    Returns:
        the certificate; its D is the better, pair by pair, of linear planes and of the exact
        range over the box of logits that the tokens allow. Memory grows with heads x tokens² x patches.

    Raises:
        PomtError: shapes, counts and options outside the specification, or bounds that are not finite.

    >>> layer = AttentionLayer(*(torch.tensor([[[1.0]]]),) * 3, *(torch.zeros(1, 1),) * 3)
    >>> tokens = Box.around(torch.tensor([[[0.0], [1.0], [2.0], [-1.0]]]), 0.01)
    >>> certify_tokens(tokens, layer, keep=1).kept
    tensor([[False,  True, False]])
    """
    _check_tokens(tokens, layer)
    # Weights of heads are searched for with gradients, which inference mode has not.
    with torch.inference_mode(mode=False):
        logits = logit_bounds(tokens, layer)
        step = checked_step(
            "certify_tokens",
            values=projection_bounds(tokens, layer.value_weight, layer.value_bias),
            logits=logits,
            x=x,
            prefix=prefix,
            keep=keep,
            remove=remove,
            normalisation=normalisation,
            arithmetic=arithmetic,
        )
        step = replace(step, value_sums=token_value_sums(tokens, layer), tokens=tokens, layer=layer)
        sums, difference = sum_bounds(step)
        sup = difference.hi.clone()
        lows, highs, weights = [], [], []
        for sample in range(len(tokens.lo)):
            forms = logit_forms(tokens, layer, sample)
            below, above, mixed = sum_forms(forms, step, sample)
            sup[sample] = torch.minimum(sup[sample], difference_sup(forms, below, above, step.prefix))
            lows.append(below.value - _sum_reach(forms, below, step.prefix))
            highs.append(above.value + _sum_reach(forms, above, step.prefix))
            weights.append(mixed)
        sums = sums.intersect(Box(torch.stack(lows), torch.stack(highs)))
        return replace(decide(step, sums=sums, attention=antisymmetric(sup)), weights=torch.stack(weights))


def token_value_sums(tokens: Box, layer: AttentionLayer) -> Box:
    """LIN-1, POMT-MAG-1: bounds of t, by planes of the head maximum that are added up before they are concretised.

    The deviations of one token are common to all its features, so the slopes of the features are summed first.
    """
    values = projection_bounds(tokens, layer.value_weight, layer.value_bias)
    planes = relax_max(values)
    lo = _concretised(tokens, layer, planes.lower_slopes, planes.lower_intercept, sign=-1)
    hi = _concretised(tokens, layer, planes.upper_slopes, planes.upper_intercept, sign=1)
    return Box(lo, hi).intersect(value_sum_bounds("certify_tokens", values))


def sum_forms(
    forms: Forms, step: Step, sample: int
) -> tuple[SumForms, SumForms, Float64[Tensor, "patches patches heads"]]:
    """A lower and an upper plane of S for every patch of one sample, summed up row by row, and the weights of heads."""
    rows = dict(step_planes(forms, step, sample))
    below = [strongest_below(forms, row, query) for query, row in rows.items()]
    above, weights = zip(*strongest_above(forms, rows), strict=True)
    return _summed(forms, below, step.prefix), _summed(forms, above, step.prefix), torch.stack(weights)


def difference_sup(forms: Forms, below: SumForms, above: SumForms, prefix: int) -> Float64[Tensor, "patches patches"]:
    """sup of S_i - S_j by the upper plane of i less the lower plane of j, as one form, rounded up."""
    rows = []
    for i in range(len(above.value)):
        reach = (above.moves[i] - below.moves).abs().sum(dim=(1, 2))
        rest = torch.einsum("jhqm,hqm->j", (above.slopes[i] - below.slopes).abs(), forms.remainder[:, prefix:])
        slack = 4 * FAR_BELOW * (above.size[i] + below.size)
        rows.append(above.value[i] - below.value + reach + rest + slack)
    return torch.stack(rows)


def _summed(forms: Forms, rows: Sequence[Planes], prefix: int) -> SumForms:
    """The planes of all rows added up, for the patches."""
    slopes = torch.stack([row.slopes for row in rows], dim=2)
    through_keys = torch.einsum("jhqm,hqc->jmc", slopes, forms.by_key[:, prefix:])
    through_queries = torch.einsum("jhqm,hmc->jqc", slopes, forms.by_query)
    through_keys[:, prefix:] += through_queries
    value = torch.stack([row.value for row in rows]).sum(dim=0)
    size = torch.stack([row.size for row in rows]).sum(dim=0)
    return SumForms(slopes, through_keys * forms.radius, value, size)


def _sum_reach(forms: Forms, planes: SumForms, prefix: int) -> Float64[Tensor, " patches"]:
    """How far the plane of every sum goes from its value at the center."""
    rest = torch.einsum("jhqm,hqm->j", planes.slopes.abs(), forms.remainder[:, prefix:])
    return planes.moves.abs().sum(dim=(1, 2)) + rest + 4 * FAR_BELOW * planes.size


def _concretised(
    tokens: Box,
    layer: AttentionLayer,
    slopes: Float64[Tensor, "batch heads tokens features"],
    intercept: Float64[Tensor, "batch tokens features"],
    *,
    sign: int,
) -> Float64[Tensor, "batch tokens"]:
    """The extreme of the sum over features of planes in v, as a plane in the token's own channels."""
    weight = torch.einsum("bhnd,hdc->bnc", slopes, layer.value_weight)
    shift = torch.einsum("bhnd,hd->bn", slopes, layer.value_bias) + intercept.sum(dim=-1)
    ends = torch.where(sign * weight >= 0, tokens.hi, tokens.lo)
    largest = torch.maximum(tokens.lo.abs(), tokens.hi.abs())
    size = torch.einsum("bhnd,hdc,bnc->bn", slopes.abs(), layer.value_weight.abs(), largest)
    size = size + torch.einsum("bhnd,hd->bn", slopes.abs(), layer.value_bias.abs()) + intercept.abs().sum(dim=-1)
    return (weight * ends).sum(dim=-1) + shift + sign * FAR_BELOW * (size + UNDERFLOWN)


def _check_tokens(tokens: Box, layer: AttentionLayer) -> None:
    """A box of tokens that the layer can read."""
    a_box("certify_tokens", "tokens", tokens)
    if not isinstance(layer, AttentionLayer):
        raise KindError("certify_tokens", CLAUSE, "layer, an AttentionLayer", type(layer).__name__)
    channels = layer.query_weight.shape[2]
    if tokens.lo.ndim != 3 or tokens.shape[2] != channels:  # noqa: PLR2004 -- batch, tokens and channels
        expected = f"tokens of shape (batch, tokens, {channels})"
        raise ShapeError("certify_tokens", CLAUSE, expected, f"{(*tokens.shape,)}")
