"""Honest variants: correct implementations that differ in rounding or in ties; every law must accept them."""

from typing import Final

import torch

from pomt_ref.testing.mutants import step
from pomt_ref.testing.mutants.faults import Mutant
from pomt_ref.testing.mutants.step import ClassStep, Step, take, wide

HONEST: Final[tuple[Mutant, ...]] = (
    Mutant("as written", Step()),
    Mutant("top-k as written", ClassStep(), "topk"),
    Mutant("evit as written", ClassStep(fused=step.fused), "evit"),
    Mutant("scores in float64", Step(sums=lambda a, prefix: a.double()[:, :, prefix:, prefix:].amax(1).sum(1))),
    Mutant(
        "queries summed backwards",
        Step(sums=lambda a, prefix: wide(a)[:, :, prefix:, prefix:].amax(1).flip(1).cumsum(1)[:, -1]),
    ),
    Mutant("reciprocal multiplied", Step(relative=lambda s, _a, _p: s * (1 / s.amax()))),
    Mutant("library softmax", Step(share=lambda t, prefix: t.softmax(1)[:, prefix:])),
    Mutant(
        "power of two",
        Step(
            share=lambda t, prefix: (
                ((t - t.amax(1, keepdim=True)) * 1.4426950408889634)
                .exp2()
                .div(((t - t.amax(1, keepdim=True)) * 1.4426950408889634).exp2().sum(1, keepdim=True))[:, prefix:]
            )
        ),
    ),
    Mutant("unstable sort", Step(order=lambda s: s.argsort(dim=1, descending=True))),
    Mutant("top-k selection", Step(order=lambda s: s.topk(s.shape[1], dim=1).indices)),
    Mutant("ties reversed", Step(order=lambda s: s.shape[1] - 1 - step.descending(s.flip(1)))),
    Mutant(
        "mean by matrix product",
        Step(
            mean=lambda x, _k, d, _p: (
                torch.full((1, d.shape[1]), 1.0 / d.shape[1], dtype=wide(x).dtype) @ wide(take(x, d))
            ).to(x.dtype)
        ),
    ),
)
"""Correct variants that differ in rounding or in ties: every law must accept them in every dtype."""
