"""Faults of the attention sums: another reduction over heads, over queries."""

from collections.abc import Callable
from typing import Final

import torch

from pomt_ref.testing.mutants import step
from pomt_ref.testing.mutants.mutant import Mutant
from pomt_ref.testing.mutants.step import Attention, PerPatch, Step, wide

Reduce = Callable[[torch.Tensor], torch.Tensor]


def _heads(reduce: Reduce) -> Step:
    """Another reduction over heads, between patches."""
    return Step(sums=lambda a, prefix: reduce(wide(a)[:, :, prefix:, prefix:]).sum(1))


def _queries(reduce: Reduce) -> Step:
    """Another reduction over queries, of the maximum over heads."""
    return Step(sums=lambda a, prefix: reduce(wide(a)[:, :, prefix:, prefix:].amax(1)))


def _up_to(count: int) -> Reduce:
    """Only so many heads are read."""
    return lambda a: a[:, :count].amax(1)


def _two_heads_past(tokens: int) -> Reduce:
    """Of a longer sequence, only two heads are read."""
    return lambda a: a.amax(1) if a.shape[2] <= tokens else a[:, :2].amax(1)


def _whole_blocks(size: int) -> Reduce:
    """Queries in the last, incomplete block are lost."""
    return lambda g: g[:, : g.shape[1] // size * size].sum(1) if g.shape[1] >= size else g.sum(1)


def _tail(size: int) -> Reduce:
    """The last block is taken for empty where it is full."""
    return lambda g: g[:, : (g.shape[1] - 1) // size * size + g.shape[1] % size].sum(1)


def _renormalised(a: torch.Tensor) -> torch.Tensor:
    """Rows between patches are made to sum to one again."""
    return (a / a.sum(3, keepdim=True).clamp(min=1e-30)).amax(1)


def _faint_dropped(a: Attention, prefix: int) -> PerPatch:
    """Attention below one in a hundred is set to zero."""
    return step.sums(torch.nn.functional.threshold(wide(a), 0.01, 0.0), prefix)


def _transposed(a: Attention, prefix: int) -> PerPatch:
    """Queries for keys, before the prefix is cut off."""
    return wide(a).transpose(2, 3)[:, :, prefix:, prefix:].amax(1).sum(1)


SUMS: Final = tuple(
    Mutant(name, "POMT-ATT-1", description, function)
    for name, description, function in (
        ("mean over heads", "Heads are averaged.", _heads(lambda a: a.mean(1))),
        ("sum over heads", "Heads are summed.", _heads(lambda a: a.sum(1))),
        ("minimum over heads", "The weakest head counts.", _heads(lambda a: a.amin(1))),
        ("median over heads", "The middle head counts.", _heads(lambda a: a.median(1).values)),
        ("norm over heads", "Heads are added as squares, under a root.", _heads(lambda a: a.norm(dim=1))),
        ("first head alone", "Only the first head is read.", _heads(lambda a: a[:, 0])),
        (
            "first head forgotten",
            "Heads are read from the second on.",
            _heads(lambda a: a[:, a.shape[1] > 1 :].amax(1)),
        ),
        (
            "last head forgotten",
            "The last of several heads is not read.",
            _heads(lambda a: a[:, : max(1, a.shape[1] - 1)].amax(1)),
        ),
        (
            "heads weighted",
            "Later heads weigh more.",
            _heads(lambda a: (a * torch.arange(1, a.shape[1] + 1).reshape(-1, 1, 1)).amax(1)),
        ),
        ("eight heads at most", "Heads past the eighth are not read.", _heads(_up_to(8))),
        ("twelve heads at most", "Heads past the twelfth are not read.", _heads(_up_to(12))),
        ("sixteen heads at most", "Heads past the sixteenth are not read.", _heads(_up_to(16))),
        (
            "last head of fours lost",
            "The last head of a number that 4 divides is not read.",
            _heads(lambda a: a[:, : a.shape[1] - (a.shape[1] % 4 == 0)].amax(1)),
        ),
        (
            "heads in pairs past eight",
            "Of more than eight heads, the last of an odd number is not read.",
            _heads(lambda a: a[:, : a.shape[1] // 2 * 2 if a.shape[1] > 8 else None].amax(1)),  # noqa: PLR2004 -- its own
        ),
        ("two heads of a long sequence", "Past 32 tokens, two heads are read.", _heads(_two_heads_past(32))),
        ("two heads of a picture", "Past 101 tokens, two heads are read.", _heads(_two_heads_past(101))),
        (
            "maximum over queries",
            "The strongest query counts.",
            Step(sums=lambda a, p: wide(a)[:, :, p:, p:].amax((1, 2))),
        ),
        ("norm over queries", "Queries are added as squares, under a root.", _queries(lambda g: g.norm(dim=1))),
        (
            "own token left out",
            "A token's attention to itself does not count.",
            _queries(lambda g: g.sum(1) - g.diagonal(dim1=1, dim2=2)),
        ),
        (
            "own token twice",
            "A token's attention to itself counts twice.",
            _queries(lambda g: g.sum(1) + g.diagonal(dim1=1, dim2=2)),
        ),
        ("sum over keys", "Keys are summed in place of queries.", _queries(lambda g: g.sum(2))),
        ("attention transposed", "Rows are taken for keys, columns for queries.", Step(sums=_transposed)),
        (
            "later queries alone",
            "Only queries after the key are read, as if causal.",
            _queries(lambda g: g.tril().sum(1)),
        ),
        (
            "first query forgotten",
            "The first patch row is left out.",
            _queries(lambda g: g[:, g.shape[1] > 1 :].sum(1)),
        ),
        (
            "last query forgotten",
            "The last patch row is left out.",
            _queries(lambda g: g[:, : max(1, g.shape[1] - 1)].sum(1)),
        ),
        ("last block of 16 queries lost", "An incomplete block of 16 rows is not read.", _queries(_whole_blocks(16))),
        ("last block of 64 queries lost", "An incomplete block of 64 rows is not read.", _queries(_whole_blocks(64))),
        (
            "last block of 128 queries lost when full",
            "A complete last block of 128 rows is taken for empty.",
            _queries(_tail(128)),
        ),
        (
            "last block of 512 queries lost when full",
            "A complete last block of 512 rows is taken for empty.",
            _queries(_tail(512)),
        ),
        ("256 queries at most", "Rows past the 256th are not read.", _queries(lambda g: g[:, :256].sum(1))),
        (
            "prefix rows summed",
            "Prefix queries count too.",
            Step(sums=lambda a, p: wide(a)[:, :, :, p:].amax(1).sum(1)),
        ),
        (
            "class row alone left out",
            "Of the prefix, only row 0 is left out.",
            Step(sums=lambda a, p: wide(a)[:, :, min(p, 1) :, p:].amax(1).sum(1)),
        ),
        (
            "class row for patch rows",
            "The attention of row 0 counts alone.",
            Step(sums=lambda a, p: wide(a)[:, :, 0, p:].amax(1)),
        ),
        (
            "sum before maximum",
            "The strongest head of the sums.",
            Step(sums=lambda a, p: wide(a)[:, :, p:, p:].sum(2).amax(1)),
        ),
        ("rows normalised again", "Rows between patches are made to sum to one.", _heads(_renormalised)),
        (
            "softmax twice",
            "The softmax is taken of what is attention already.",
            Step(sums=lambda a, p: step.sums(wide(a).softmax(3), p)),
        ),
        ("attention squared", "Squares are summed.", Step(sums=lambda a, p: step.sums(wide(a).square(), p))),
        (
            "faint attention dropped",
            "Attention below 0.01 counts as none.",
            Step(sums=_faint_dropped),
        ),
    )
)
"""POMT-ATT-1."""
