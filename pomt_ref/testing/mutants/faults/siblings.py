"""Faults of Top-K and EViT: another class row, another order, another fused row."""

from collections.abc import Callable
from typing import Final

import torch

from pomt_ref.testing.mutants import step
from pomt_ref.testing.mutants.mutant import Mutant
from pomt_ref.testing.mutants.step import Attention, ClassStep, PerPatch, Rows, wide
from pomt_ref.testing.subject import Method

Fuse = Callable[[Rows, PerPatch], Rows]


def _shared(method: Method, clause: str, fused: Fuse | None) -> tuple[Mutant, ...]:
    """The faults that both can have."""
    scores: tuple[tuple[str, str, Callable[[Attention, int], PerPatch]], ...] = (
        (
            "maximum over heads of the class row",
            "The strongest head counts.",
            lambda a, prefix: wide(a)[:, :, 0, prefix:].amax(1),
        ),
        ("first head of the class row", "Only the first head is read.", lambda a, prefix: wide(a)[:, 0, 0, prefix:]),
        (
            "class column",
            "What the class token gets, for what it gives.",
            lambda a, prefix: wide(a)[:, :, prefix:, 0].mean(1),
        ),
        ("first patch row for class row", "Row P for row 0.", lambda a, prefix: wide(a)[:, :, prefix, prefix:].mean(1)),
        ("mean over all queries", "All rows for row 0.", lambda a, prefix: wide(a)[:, :, :, prefix:].mean((1, 2))),
    )
    orders: tuple[tuple[str, str, Callable[[PerPatch], step.Order]], ...] = (
        ("ascending", "The least scores first.", lambda s: step.descending(-s)),
        ("input order", "Not sorted.", lambda s: torch.arange(s.shape[1]).expand(s.shape)),
        (
            "order of the first sample",
            "One order for the whole batch.",
            lambda s: step.descending(s[:1]).expand(s.shape),
        ),
    )
    last = ClassStep(lambda a, prefix: wide(a)[:, :, prefix - 1, prefix:].mean(1), fused=fused)
    return (
        *(Mutant(name, clause, told, ClassStep(score, fused=fused), method) for name, told, score in scores),
        *(Mutant(name, clause, told, ClassStep(order=order, fused=fused), method) for name, told, order in orders),
        Mutant("last prefix row for class row", "SIB-1", "Row P - 1 for row 0.", last, method),
    )


FUSED: Final[tuple[tuple[str, str, Fuse], ...]] = (
    (
        "fused row normalised",
        "Weights are divided by their sum.",
        lambda x, w: step.fused(x, w / w.sum(1, keepdim=True)),
    ),
    ("mean row for fused row", "Weights are equal.", lambda x, _w: wide(x).mean(1, keepdim=True).to(x.dtype)),
    ("sum for fused row", "Weights are one.", lambda x, _w: wide(x).sum(1, keepdim=True).to(x.dtype)),
    ("weights softened", "A softmax of the weights.", lambda x, w: step.fused(x, w.softmax(1))),
    ("weights in reverse", "The best discarded token weighs least.", lambda x, w: step.fused(x, w.flip(1))),
)
"""EVIT-1, its last row."""

SIBLINGS: Final = (
    *_shared("topk", "TOPK-1", None),
    *_shared("evit", "EVIT-1", step.fused),
    Mutant("row appended", "TOPK-1", "EViT's fused row, where Top-K has none.", ClassStep(fused=step.fused), "topk"),
    Mutant("no fused row", "EVIT-1", "Top-K's output, where EViT fuses.", ClassStep(), "evit"),
    *(Mutant(name, "EVIT-1", told, ClassStep(fused=fused), "evit") for name, told, fused in FUSED),
)
"""TOPK-1, EVIT-1 and SIB-1."""
