"""Faults of the magnitude score: another reduction of values, another softmax."""

from collections.abc import Callable
from typing import Final

import torch

from pomt_ref.testing.mutants import step
from pomt_ref.testing.mutants.mutant import Mutant
from pomt_ref.testing.mutants.step import PerPatch, PerToken, Step, Values, wide


def _values(sums: Callable[[Values], PerToken]) -> Step:
    """Another reduction of the values."""
    return Step(value_sums=lambda v: sums(wide(v)))


def _logits(change: Callable[[PerToken], PerToken]) -> Step:
    """Another argument of the softmax."""
    return Step(share=lambda t, prefix: step.share(change(t), prefix))


def _shifted(by: Callable[[PerToken], torch.Tensor]) -> Step:
    """Another number subtracted before the exponential."""

    def share(t: PerToken, prefix: int) -> PerPatch:
        exponentials = (t - by(t)).exp()
        return (exponentials / exponentials.sum(1, keepdim=True).clamp(min=1e-30))[:, prefix:]

    return Step(share=share)


def _exponent_cut(t: PerToken, prefix: int) -> PerPatch:
    """Exponents further below zero than 20 are taken for that."""
    exponentials = (t - t.amax(1, keepdim=True)).clamp(min=-20.0).exp()
    return (exponentials / exponentials.sum(1, keepdim=True))[:, prefix:]


def _shares(change: Callable[[PerPatch], PerPatch]) -> Step:
    """Something done to the shares."""
    return Step(share=lambda t, prefix: change(step.share(t, prefix)))


def _denominator(change: Callable[[PerToken], torch.Tensor]) -> Step:
    """Another sum of exponentials."""

    def share(t: PerToken, prefix: int) -> PerPatch:
        exponentials = (t - t.amax(1, keepdim=True)).exp()
        return (exponentials / change(exponentials))[:, prefix:]

    return Step(share=share)


def _tail_of_32(exponentials: PerToken) -> torch.Tensor:
    """The last block of 32 tokens is taken for empty where it is full."""
    tokens = exponentials.shape[1]
    read = (tokens - 1) // 32 * 32 + tokens % 32
    return exponentials[:, :read].sum(1, keepdim=True).clamp(min=1e-30)


def _online_without_rescaling(t: PerToken, prefix: int) -> PerPatch:
    """Blocks of 512, whose sums are not rescaled when a later block has a larger maximum."""
    largest, total = t[:, :1], torch.zeros_like(t[:, :1])
    for block in t.split(512, 1):
        largest = torch.maximum(largest, block.amax(1, keepdim=True))
        total = total + (block - largest).exp().sum(1, keepdim=True)
    return ((t - largest).exp() / total)[:, prefix:]


def _rough_exponential(t: PerToken, prefix: int) -> PerPatch:
    """An exponential that is off by up to 1e-4 of itself."""
    exponentials = (t - t.amax(1, keepdim=True)).exp() * (1 + 1e-4 * (1e4 * t).sin())
    return (exponentials / exponentials.sum(1, keepdim=True))[:, prefix:]


def _relative(t: PerToken, prefix: int) -> PerPatch:
    """Shares over the largest of them."""
    share = step.share(t, prefix)
    return share / share.amax(1, keepdim=True).clamp(min=1e-30)


MAGNITUDE: Final = tuple(
    Mutant(name, "POMT-MAG-1", description, function)
    for name, description, function in (
        (
            "values of heads in pairs",
            "Of more than three heads, the last of an odd number is not read.",
            _values(lambda v: v[:, : v.shape[1] // 2 * 2 if v.shape[1] > 3 else None].amax(1).sum(2)),  # noqa: PLR2004 -- its own
        ),
        ("mean over heads of v", "Heads are averaged.", _values(lambda v: v.mean(1).sum(2))),
        ("sum over heads of v", "Heads are summed.", _values(lambda v: v.sum((1, 3)))),
        ("minimum over heads of v", "The weakest head counts.", _values(lambda v: v.amin(1).sum(2))),
        ("first head of v alone", "Only the first head is read.", _values(lambda v: v[:, 0].sum(2))),
        ("absolute values", "Values are taken without sign.", _values(lambda v: v.abs().amax(1).sum(2))),
        ("absolute sums", "Sums are taken without sign.", _values(lambda v: v.amax(1).sum(2).abs())),
        ("squares of values", "Values are squared.", _values(lambda v: v.square().amax(1).sum(2))),
        ("norm of the values", "The Euclidean norm over features.", _values(lambda v: v.amax(1).norm(dim=2))),
        ("norm of every head", "The strongest head's Euclidean norm.", _values(lambda v: v.norm(dim=3).amax(1))),
        ("maximum from zero", "The maximum begins at zero.", _values(lambda v: v.clamp(min=0).amax(1).sum(2))),
        ("maximum from -200", "The maximum begins at -200.", _values(lambda v: v.clamp(min=-200.0).amax(1).sum(2))),
        ("sum before maximum of v", "The strongest head of the sums.", _values(lambda v: v.sum(3).amax(1))),
        ("largest feature alone", "The maximum over features.", _values(lambda v: v.amax((1, 3)))),
        ("mean over features", "Features are averaged.", _values(lambda v: v.amax(1).mean(2))),
        (
            "last feature forgotten",
            "The last of several features is not read.",
            _values(lambda v: v[..., : max(1, v.shape[3] - 1)].amax(1).sum(2)),
        ),
        (
            "64 features at most",
            "Features past the 64th are not read.",
            _values(lambda v: step.value_sums(v[..., :64])),
        ),
        (
            "80 features at most",
            "Features past the 80th are not read.",
            _values(lambda v: step.value_sums(v[..., :80])),
        ),
        (
            "96 features at most",
            "Features past the 96th are not read.",
            _values(lambda v: step.value_sums(v[..., :96])),
        ),
        (
            "features in fours lost",
            "The last features of a number that 4 does not divide are not read.",
            _values(lambda v: step.value_sums(v[..., : max(v.shape[3] // 4 * 4, 1)])),
        ),
        ("softmax over patches", "The prefix takes no share.", Step(share=lambda t, prefix: t[:, prefix:].softmax(1))),
        (
            "softmax without the class token",
            "Only prefix tokens after the first take a share.",
            Step(share=lambda t, prefix: t[:, min(prefix, 1) :].softmax(1)[:, prefix - min(prefix, 1) :]),
        ),
        (
            "softmax over the batch",
            "Samples compete for each token's place.",
            Step(share=lambda t, prefix: t.softmax(0)[:, prefix:]),
        ),
        (
            "shares of the batch",
            "All samples take their share of one.",
            Step(share=lambda t, prefix: t.flatten().softmax(0).reshape(t.shape)[:, prefix:]),
        ),
        ("temperature", "Value sums are halved.", _logits(lambda t: t / 2)),
        ("power of two for exponential", "2 to the power of t.", _logits(lambda t: t * 0.6931471805599453)),
        ("values clamped", "Value sums beyond ±10 are taken for that.", _logits(lambda t: t.clamp(-10, 10))),
        ("sign of values turned", "Small values count.", _logits(lambda t: -t)),
        ("exponential bare", "No maximum is subtracted.", _shifted(torch.zeros_like)),
        (
            "softmax maximum from -1000",
            "The maximum that is subtracted begins at -1000.",
            _shifted(lambda t: t.amax(1, keepdim=True).clamp(min=-1000.0)),
        ),
        ("maximum of the batch subtracted", "The batch's maximum for the sample's.", _shifted(lambda t: t.amax())),
        (
            "exponential without division",
            "Exponentials below the maximum, as they are.",
            _denominator(lambda _e: torch.ones(1)),
        ),
        (
            "small number added to the softmax",
            "1e-3 is added to the sum of exponentials.",
            _denominator(lambda e: e.sum(1, keepdim=True) + 1e-3),
        ),
        (
            "last block of 32 tokens lost when full",
            "A complete last block of 32 is not in the sum of exponentials.",
            _denominator(_tail_of_32),
        ),
        (
            "online softmax without rescaling",
            "Sums of blocks of 512 keep the maximum that they began with.",
            Step(share=_online_without_rescaling),
        ),
        ("exponent cut at 20", "Exponents below -20 are taken for that.", Step(share=_exponent_cut)),
        (
            "shares of a millionth at least",
            "Shares below 1e-6 are taken for that.",
            _shares(lambda p: p.clamp(min=1e-6)),
        ),
        (
            "shares below a millionth dropped",
            "Shares below 1e-6 are taken for zero.",
            _shares(lambda p: torch.where(p < 1e-6, torch.zeros_like(p), p)),  # noqa: PLR2004 -- as described
        ),
        ("rough exponential", "Exponentials are off by 1e-4.", Step(share=_rough_exponential)),
        (
            "logarithm of the share",
            "The logarithm of the softmax.",
            Step(share=lambda t, prefix: t.log_softmax(1)[:, prefix:]),
        ),
        (
            "share of the largest",
            "Shares relative to the largest.",
            Step(share=_relative),
        ),
    )
)
"""POMT-MAG-1."""
