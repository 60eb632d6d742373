"""Faults of the rows that come out: copies, prefix, partition, and how many there are."""

from collections.abc import Callable, Sequence
from typing import Final

import torch

from pomt_ref.testing.mutants import step
from pomt_ref.testing.mutants.mutant import Mutant
from pomt_ref.testing.mutants.step import Attention, Indices, Order, Rows, Step, Values


def _one_short(order: Order, keep: int, prefix: int) -> tuple[Indices, Indices]:
    """Keep one token less wherever any is kept."""
    return step.cut(order, max(keep - 1, 0), prefix)


def _best_twice(order: Order, keep: int, prefix: int) -> tuple[Indices, Indices]:
    """The best token in the place of the last one too."""
    kept, discarded = step.cut(order, keep, prefix)
    return torch.cat((kept[:, : keep - 1], kept[:, :1]), 1) if keep > 1 else kept, discarded


def _prefix(change: Callable[[Rows], Rows]) -> Step:
    """Other prefix rows."""
    return Step(assemble=lambda prefix, kept, mean: torch.cat((change(prefix), kept, mean), 1))


def _kept(change: Callable[[Rows], Rows]) -> Step:
    """Other kept rows."""
    return Step(assemble=lambda prefix, kept, mean: torch.cat((prefix, change(kept), mean), 1))


def _rows(assemble: Callable[[Rows, Rows, Rows], Sequence[Rows]]) -> Step:
    """Other rows, or the same in another order."""
    return Step(assemble=lambda prefix, kept, mean: torch.cat(tuple(assemble(prefix, kept, mean)), 1))


def _when(long: Callable[[Rows, int], bool], change: Callable[[Rows, int], Rows]) -> Callable[..., Rows]:
    """A right output, changed where x and P are so."""

    def prune(x: Rows, attn: Attention, v: Values, *, prefix: int, keep: int) -> Rows:
        output = Step()(x, attn, v, prefix=prefix, keep=keep)
        return change(output, prefix) if long(x, prefix) else output

    return prune


def _past(rows: Rows, start: int) -> Rows:
    """Nothing is written from this row on."""
    return torch.cat((rows[:, :start], torch.zeros_like(rows[:, start:])), 1)


def _channels(rows: Rows, count: int) -> Rows:
    """Nothing is written from this channel on."""
    return torch.cat((rows[..., :count], torch.zeros_like(rows[..., count:])), 2)


def _flushed(rows: Rows) -> Rows:
    """Subnormal numbers become zero."""
    smallest = torch.finfo(rows.dtype).smallest_normal
    return torch.where(rows.abs() < smallest, torch.zeros_like(rows).copysign(rows), rows)


def _flattened(x: Rows, attn: Attention, v: Values, *, prefix: int, keep: int) -> torch.Tensor:
    """Two axes of three."""
    return Step()(x, attn, v, prefix=prefix, keep=keep).flatten(0, 1)


def _no_mean_of_one(x: Rows, attn: Attention, v: Values, *, prefix: int, keep: int) -> Rows:
    """A single discarded token gets no row."""
    output = Step()(x, attn, v, prefix=prefix, keep=keep)
    return output[:, :-1] if x.shape[1] - prefix - keep == 1 else output


def _long(x: Rows, _prefix: int) -> bool:
    """Past 128 tokens."""
    return x.shape[1] > 128  # noqa: PLR2004 -- the fault's own number


def _without_copies(output: Rows, prefix: int) -> Rows:
    """Prefix rows of zeros."""
    return torch.cat((torch.zeros_like(output[:, :prefix]), output[:, prefix:]), 1)


ROWS: Final = (
    *(
        Mutant(name, "POMT-PRUNE-2", description, function)
        for name, description, function in (
            ("copies through arithmetic", "Zero is added: -0.0 becomes 0.0.", Step(copy=lambda rows: rows + 0.0)),
            (
                "copies through half precision",
                "Rows pass through float16.",
                Step(copy=lambda rows: rows.half().to(rows.dtype)),
            ),
            (
                "copies through bfloat16",
                "Rows pass through bfloat16.",
                Step(copy=lambda rows: rows.bfloat16().to(rows.dtype)),
            ),
            (
                "copies that saturate",
                "What is beyond float16 is its largest number.",
                Step(copy=lambda rows: rows.clamp(-65504.0, 65504.0)),
            ),
            ("copies flushed", "Subnormal numbers become zero.", Step(copy=_flushed)),
            (
                "copies of 128 channels at most",
                "Channels past the 128th are not written.",
                Step(copy=lambda rows: _channels(rows, 128)),
            ),
            (
                "copies of 256 channels at most",
                "Channels past the 256th are not written.",
                Step(copy=lambda rows: _channels(rows, 256)),
            ),
            (
                "copies of 768 channels at most",
                "Channels past the 768th are not written.",
                Step(copy=lambda rows: _channels(rows, 768)),
            ),
            (
                "channels in fours lost",
                "The last channels of a number that 4 does not divide are not written.",
                Step(copy=lambda rows: _channels(rows, max(rows.shape[2] // 4 * 4, 1))),
            ),
            (
                "channels in sixteens lost",
                "A number of channels that 16 divides goes another way, to zeros.",
                _when(lambda x, _p: x.shape[2] % 16 == 0, lambda output, _p: output * 0),
            ),
            (
                "kept rows past 512 lost",
                "Kept rows past the 512th are not written.",
                _kept(lambda kept: _past(kept, 512)),
            ),
            (
                "kept rows scaled",
                "Kept rows are multiplied by a number close to one.",
                _kept(lambda kept: kept * 1.0000002),
            ),
            (
                "kept rows of the next sample",
                "Rows are gathered from another sample.",
                Step(copy=lambda rows: rows.roll(1, 0)),
            ),
            (
                "prefix scaled",
                "Prefix rows are multiplied by a number close to one.",
                _prefix(lambda prefix: prefix * 1.0000002),
            ),
            (
                "prefix of the first sample",
                "One sample's prefix rows for all.",
                _prefix(lambda prefix: prefix[:1].expand_as(prefix)),
            ),
            ("prefix reversed", "Prefix rows come in reverse.", _prefix(lambda prefix: prefix.flip(1))),
            (
                "class row for every prefix row",
                "Row 0 is repeated.",
                _prefix(lambda prefix: prefix[:, :1].expand_as(prefix)),
            ),
            (
                "prefix lost in long sequences",
                "Past 128 tokens the prefix rows are zero.",
                _when(_long, _without_copies),
            ),
            (
                "signs lost in long sequences",
                "Past 128 tokens zero is added.",
                _when(_long, lambda output, _p: output + 0.0),
            ),
            (
                "four prefix tokens lost",
                "Four prefix tokens, or more than five, were not thought of.",
                _when(lambda _x, prefix: prefix not in {0, 1, 2, 3, 5}, lambda output, _p: output * 0),
            ),
            (
                "prefix last",
                "Prefix rows come after the kept ones.",
                _rows(lambda prefix, kept, mean: (kept, prefix, mean)),
            ),
            (
                "mean row first",
                "The mean row comes before all.",
                _rows(lambda prefix, kept, mean: (mean, prefix, kept)),
            ),
        )
    ),
    Mutant(
        "mean row before the kept",
        "POMT-PRUNE-2",
        "The mean row comes after the prefix.",
        _rows(lambda prefix, kept, mean: (prefix, mean, kept)),
    ),
    Mutant(
        "best token twice", "POMT-PRUNE-4", "The best token stands in the last one's place too.", Step(cut=_best_twice)
    ),
    Mutant(
        "prefix offset forgotten",
        "POMT-PRUNE-4",
        "Indices of patches are taken for rows of x.",
        Step(cut=lambda order, keep, _prefix: (order[:, :keep], order[:, keep:])),
    ),
    Mutant(
        "prefix offset one too few",
        "POMT-PRUNE-4",
        "Indices begin at the last prefix row.",
        Step(cut=lambda order, keep, prefix: step.cut(order, keep, max(prefix - 1, 0))),
    ),
)
"""POMT-PRUNE-2 and POMT-PRUNE-4."""

LENGTHS: Final = tuple(
    Mutant(name, "POMT-PRUNE-1", description, function)
    for name, description, function in (
        ("no mean row", "Nothing is appended.", _rows(lambda prefix, kept, _mean: (prefix, kept))),
        (
            "mean row twice",
            "The mean is appended twice.",
            _rows(lambda prefix, kept, mean: (prefix, kept, mean, mean)),
        ),
        ("prefix pruned", "Prefix rows are left out.", _rows(lambda _prefix, kept, mean: (kept, mean))),
        (
            "samples in one row",
            "Batch and tokens are one axis.",
            _flattened,
        ),
        ("no mean of one", "A single discarded token gets no row.", _no_mean_of_one),
        ("one token too few", "T - 1 tokens are kept.", Step(cut=_one_short)),
    )
)
"""POMT-PRUNE-1: how many rows there are, and of which kinds."""
