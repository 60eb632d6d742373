"""LIN-1 · what a certificate must be before it can be replayed: a step that could be asked, and claims of its shapes.

Whoever checks a certificate did not make it. What is no certificate is refuted, and nothing of it is derived again.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from pomt_ref.bounds.asking import checked_step
from pomt_ref.bounds.box import Box
from pomt_ref.bounds.layer import AttentionLayer
from pomt_ref.bounds.steps import Step
from pomt_ref.errors import PomtError


def malformed(step: Step, claims: Mapping[str, object]) -> Iterator[str]:
    """LIN-1: what of a certificate is no claim: a step outside the specification, tensors and boxes of other shapes.

    Arguments:
        step: what was asked.
        claims: the fields of the certificate by name.

    Returns:
        one line each; nothing if the certificate can be replayed.
    """
    wrong = _malformed_step(step)
    if wrong is not None:
        yield f"step: {wrong}"
        return
    batch, heads, tokens, _ = step.values.shape
    patches = tokens - step.prefix
    largest = (1 if step.normalisation == "batch" else batch, 1)
    pairs, each = (batch, patches, patches), (batch, patches)
    for name, shape in {"order": pairs, "kept": each, "discarded": each}.items():
        yield from _malformed_tensor(name, claims[name], torch.bool, shape)
    yield from _malformed_tensor("margin", claims["margin"], torch.float64, each)
    if claims["weights"] is not None:
        yield from _malformed_tensor("weights", claims["weights"], torch.float64, (*pairs, heads))
    for name, shape in {"attention": pairs, "values": pairs, "largest": largest}.items():
        yield from _malformed_box(name, claims[name], shape)
    if step.x is None and claims["mean"] is not None:
        yield "mean: of a step without x"
    if step.x is not None and claims["mean"] is not None:
        yield from _malformed_box("mean", claims["mean"], (batch, step.x.shape[2]))


def _malformed_step(step: object) -> str | None:
    """Why this cannot have been asked."""
    if not isinstance(step, Step):
        return "no Step"
    try:
        checked_step(
            "check",
            values=step.values,
            logits=step.logits,
            attention=step.attention,
            x=step.x,
            prefix=step.prefix,
            keep=step.keep,
            remove=None,
            normalisation=step.normalisation,
            arithmetic=step.arithmetic,
        )
    except PomtError as error:
        return str(error)
    sums: object = step.value_sums
    if not isinstance(sums, Box) or sums.shape != step.values.shape[:3:2]:
        return "value sums of another shape"
    return None if step.tokens is None and step.layer is None else _malformed_tokens(step)


def _malformed_tokens(step: Step) -> str | None:
    """Why a step of these values cannot come from its tokens and its layer."""
    batch, heads, tokens, features = step.values.shape
    if not isinstance(step.tokens, Box) or not isinstance(step.layer, AttentionLayer) or step.logits is None:
        return "tokens, layer and logits not together"
    if step.layer.value_weight.shape[:2] != (heads, features):
        return "a layer of other heads or features than the values"
    if step.tokens.shape != (batch, tokens, step.layer.value_weight.shape[2]):
        return "tokens of another shape than the layer and the values"
    return None


def _malformed_tensor(name: str, claim: object, dtype: torch.dtype, shape: tuple[int, ...]) -> Iterator[str]:
    """A claim that is no tensor of this dtype and shape, or not finite."""
    if not isinstance(claim, Tensor) or claim.dtype != dtype or claim.shape != shape:
        got = f"{claim.dtype} {(*claim.shape,)}" if isinstance(claim, Tensor) else type(claim).__name__
        yield f"{name}: {got}, not {dtype} {shape}"
    elif not claim.isfinite().all():
        yield f"{name}: not finite"


def _malformed_box(name: str, claim: object, shape: tuple[int, ...]) -> Iterator[str]:
    """A claim that is no box of this shape."""
    if not isinstance(claim, Box) or claim.shape != shape:
        got = str((*claim.shape,)) if isinstance(claim, Box) else type(claim).__name__
        yield f"{name}: {got}, not a Box {shape}"
