"""Faults of the relative attention: another divisor than the largest sum of the batch."""

from collections.abc import Callable
from typing import Final

import torch

from pomt_ref.testing.mutants import step
from pomt_ref.testing.mutants.mutant import Mutant
from pomt_ref.testing.mutants.step import Attention, PerPatch, Step, wide


def _divided(divisor: Callable[[PerPatch], torch.Tensor | float]) -> Step:
    """Another divisor."""
    return Step(relative=lambda s, _a, _p: s / divisor(s))


def _subnormal_dropped(a: Attention, prefix: int) -> PerPatch:
    """Attention below the least normal number of the format that is worked in is set to zero."""
    wider = wide(a)
    return step.sums(torch.where(wider < torch.finfo(wider.dtype).smallest_normal, 0.0, wider), prefix)


def _prefix_columns(s: PerPatch, a: Attention, prefix: int) -> PerPatch:
    """M over all keys, prefix keys included."""
    return s / torch.amax(wide(a)[:, :, prefix:, :], 1).sum(1).amax()


def _prefix_rows(s: PerPatch, a: Attention, prefix: int) -> PerPatch:
    """M of sums over all queries, prefix queries included."""
    return s / torch.amax(wide(a)[:, :, :, prefix:], 1).sum(1).amax()


def _undefined_without_attention(s: PerPatch, _a: Attention, _prefix: int) -> PerPatch:
    """Each sample by its own maximum, and then back: a sample of zeros becomes NaN."""
    own = s.amax(1, keepdim=True)
    return s / own * (own / s.amax())


def _two_by_two(s: PerPatch, _a: Attention, _prefix: int) -> PerPatch:
    """What fits a block is normalised together."""
    together = 2 if s.shape[1] > 64 else len(s)  # noqa: PLR2004 -- the fault's own number
    return torch.cat([samples / samples.amax() for samples in s.split(together)])


NORMALISATION: Final = tuple(
    Mutant(name, "POMT-ATT-2", description, function)
    for name, description, function in (
        ("maximum of each sample", "M of every sample for itself.", _divided(lambda s: s.amax(1, keepdim=True))),
        ("first sample for all", "M of the first sample.", _divided(lambda s: s[:1].amax())),
        ("last sample for all", "M of the last sample.", _divided(lambda s: s[-1:].amax())),
        ("maximum of three samples", "M of the first three samples.", _divided(lambda s: s[:3].amax())),
        ("maximum of eight samples", "M of the first eight samples.", _divided(lambda s: s[:8].amax())),
        (
            "maximum of two long samples",
            "M of every two samples, past 64 tokens.",
            Step(relative=_two_by_two),
        ),
        ("mean of the maxima", "The samples' maxima are averaged.", _divided(lambda s: s.amax(1).mean())),
        (
            "maximum of each token",
            "M of every token over the batch.",
            _divided(lambda s: s.amax(0, keepdim=True).clamp(min=1e-30)),
        ),
        (
            "first half for the maximum",
            "M of the first half of the tokens.",
            _divided(lambda s: s[:, : (s.shape[1] + 1) // 2].amax()),
        ),
        ("maximum of 1024 keys", "M of the first 1024 keys.", _divided(lambda s: s[:, :1024].amax())),
        (
            "last token out of the maximum",
            "M without the last token.",
            _divided(lambda s: s[:, : max(1, s.shape[1] - 1)].amax()),
        ),
        ("no normalisation", "Sums are taken as they are.", _divided(lambda _s: 1.0)),
        (
            "divided by the count",
            "The mean over queries is not divided by anything more.",
            _divided(lambda s: float(s.shape[1])),
        ),
        ("divided by the sum", "Scores of a sample sum to one.", _divided(lambda s: s.sum(1, keepdim=True))),
        ("divided by the mean", "The mean sum for the largest.", _divided(lambda s: s.mean())),
        ("divided by the norm", "The Euclidean norm for the maximum.", _divided(lambda s: s.norm())),
        (
            "shifted to begin at zero",
            "The least sum is subtracted too.",
            Step(relative=lambda s, _a, _p: (s - s.amin()) / (s.amax() - s.amin()).clamp(min=1e-30)),
        ),
        ("softmax of the sums", "A softmax for the division.", Step(relative=lambda s, _a, _p: s.softmax(1))),
        ("root of the relative sums", "A root is drawn.", Step(relative=lambda s, _a, _p: (s / s.amax()).sqrt())),
        ("prefix columns in the maximum", "M over prefix keys too.", Step(relative=_prefix_columns)),
        ("prefix rows in the maximum", "M over prefix queries too.", Step(relative=_prefix_rows)),
        ("small number added to the divisor", "1e-6 is added to M.", _divided(lambda s: s.amax() + 1e-6)),
        ("tiny number added to the divisor", "1e-8 is added to M.", _divided(lambda s: s.amax() + 1e-8)),
        ("divisor of one at least", "M below one is taken for one.", _divided(lambda s: s.amax().clamp(min=1.0))),
        (
            "divisor of a millionth at least",
            "M below 1e-6 is taken for it.",
            _divided(lambda s: s.amax().clamp(min=1e-6)),
        ),
        (
            "subnormal attention dropped",
            "Attention below the least normal number is set to zero, which of a faint layer is much.",
            Step(sums=_subnormal_dropped),
        ),
        (
            "not a number without attention",
            "A sample of zeros is divided by its own maximum.",
            Step(relative=_undefined_without_attention),
        ),
    )
)
"""POMT-ATT-2."""
