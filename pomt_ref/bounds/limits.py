"""LIN-1, measured: what attacks reach. No sound certificate says more, so they show how much is left to say."""

from typing import Final

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from pomt_ref.bounds.box import Box
from pomt_ref.bounds.certificate import Certificate
from pomt_ref.bounds.layer import AttentionLayer

STRONGER_STEPS: Final = 60
"""Steps of the attack on differences; 150 steps find less than a thousandth more."""


def attacked(certificate: Certificate) -> Bool[Tensor, "batch patches"]:
    """Patches whose fate some point of the box changes: each pushed up or down, the others the other way or in part."""
    step = certificate.step
    assert step.logits is not None  # noqa: S101 -- measured on logits
    boxes = (step.logits, step.values)
    scores = _scores(boxes[0].center, boxes[1].center)
    before = _kept(scores, step.keep)
    cut = scores.sort(dim=1, descending=True).values[:, step.keep - 1 : step.keep]
    near = (scores - cut).abs().argsort(dim=1)[0]
    changed = torch.zeros_like(before)
    for patch in range(before.shape[1]):
        falls = bool(before[0, patch])
        for others in (0, 3, len(near) // 8, len(near) // 3, len(near)):
            points = [
                _pushed(box, patch + 1, near[:others] + 1, axis, falls=falls)
                for box, axis in zip(boxes, (3, 2), strict=True)
            ]
            changed |= _kept(_scores(points[0], points[1]), step.keep) != before
    return changed


def attacked_differences(box: Box, layer: AttentionLayer) -> Float64[Tensor, "1 patches patches"]:
    """The least S_i - S_j that signed gradient steps find for every pair, from the center and two random points."""
    patches = box.shape[1] - 1
    generator = torch.Generator().manual_seed(0)
    found = torch.full((1, patches, patches), torch.inf, dtype=torch.float64)
    for i in range(patches):
        for start in range(3):
            share = torch.rand(patches, *box.shape[1:], generator=generator, dtype=torch.float64)
            points = box.lo + (share if start else 0.5) * (box.hi - box.lo) * torch.ones_like(share)
            for step in range(STRONGER_STEPS + 1):
                asked = points.detach().requires_grad_()
                sums = token_sums(asked, layer)
                difference = sums[:, i] - sums.diagonal()
                found[0, i] = torch.minimum(found[0, i], difference.detach())
                (slope,) = torch.autograd.grad(difference.sum(), asked)
                length = max(0.5 * (1 - step / (0.9 * STRONGER_STEPS)), 0.01) / 2
                points = (points - length * (box.hi - box.lo) * slope.sign()).clamp(box.lo, box.hi)
    return found


def token_sums(x: Tensor, layer: AttentionLayer) -> Float64[Tensor, "batch patches"]:
    """S of tokens, one prefix token."""
    q = torch.einsum("hdc,bnc->bhnd", layer.query_weight, x) + layer.query_bias.unsqueeze(1)
    k = torch.einsum("hdc,bnc->bhnd", layer.key_weight, x) + layer.key_bias.unsqueeze(1)
    return (layer.scale * q @ k.mT).softmax(dim=-1)[:, :, 1:, 1:].amax(dim=1).sum(dim=1)


def _scores(logits: Tensor, values: Tensor) -> Float64[Tensor, "batch patches"]:
    """s at a point, one prefix token."""
    sums = logits.softmax(dim=-1)[:, :, 1:, 1:].amax(dim=1).sum(dim=1)
    return sums / sums.max() + values.amax(dim=1).sum(dim=-1).softmax(dim=-1)[:, 1:]


def _kept(scores: Float64[Tensor, "batch patches"], keep: int) -> Bool[Tensor, "batch patches"]:
    """Which patches these scores keep."""
    return torch.zeros_like(scores, dtype=torch.bool).scatter(1, scores.topk(keep, dim=1).indices, value=True)


def _pushed(box: Box, token: int, others: Tensor, axis: int, *, falls: bool) -> Tensor:
    """One token at one end, some others at the other end, the rest at the center."""
    point = box.center.clone()
    ends = (box.lo, box.hi) if falls else (box.hi, box.lo)
    for place, end in ((others, ends[1]), (torch.tensor([token]), ends[0])):
        point.index_copy_(axis, place, end.index_select(axis, place))
    return point
