"""Faults of a call: its input is changed, its output is a view, something is kept from one call to the next."""

from collections.abc import Callable
from typing import Final

import torch

from pomt_ref.testing.mutants.mutant import Mutant
from pomt_ref.testing.mutants.step import Attention, Order, PerPatch, Rows, Step, Values, descending


def _destroying(
    spoil: Callable[[Rows, Attention, Values], object], when: Callable[[Rows], bool] = lambda _x: True
) -> Callable[..., Rows]:
    """A right output, and an input that is not what it was."""

    def prune(x: Rows, attn: Attention, v: Values, *, prefix: int, keep: int) -> Rows:
        output = Step()(x, attn, v, prefix=prefix, keep=keep)
        if when(x):
            spoil(x, attn, v)
        return output

    return prune


def _view(x: Rows, attn: Attention, v: Values, *, prefix: int, keep: int) -> Rows:
    """The output is written over the input, and is its beginning."""
    output = Step()(x, attn, v, prefix=prefix, keep=keep)
    x[:, : output.shape[1]] = output
    return x[:, : output.shape[1]]


def _remembered() -> Callable[[PerPatch], Order]:
    """The first order of every shape is used again for all."""
    known: dict[torch.Size, Order] = {}
    return lambda scores: known.setdefault(scores.shape, descending(scores))


def _first_sample_of_long(x: Rows, attn: Attention, v: Values, *, prefix: int, keep: int) -> Rows:
    """Past 103 tokens, the first sample's attention and values are read for all."""
    if x.shape[1] > 103:  # noqa: PLR2004 -- the fault's own number
        attn, v = attn[:1].expand_as(attn), v[:1].expand_as(v)
    return Step()(x, attn, v, prefix=prefix, keep=keep)


def _two_samples_of_long(x: Rows, attn: Attention, v: Values, *, prefix: int, keep: int) -> Rows:
    """Past 64 tokens, a third sample and what follows it are as the first."""
    output = Step()(x, attn, v, prefix=prefix, keep=keep)
    if x.shape[1] > 64:  # noqa: PLR2004 -- the fault's own number
        output[2:] = output[:1]
    return output


CALLS: Final = tuple(
    Mutant(name, clause, description, function)
    for name, clause, description, function in (
        (
            "input changed in place",
            "POMT-PRUNE-2",
            "The attention is scaled in place.",
            _destroying(lambda _x, attn, _v: attn.mul_(0.5)),
        ),
        (
            "values changed in place",
            "POMT-PRUNE-2",
            "The values are scaled in place.",
            _destroying(lambda _x, _attn, v: v.mul_(0.5)),
        ),
        (
            "tokens changed in place",
            "POMT-PRUNE-2",
            "The tokens are scaled in place.",
            _destroying(lambda x, _attn, _v: x.mul_(0.5)),
        ),
        (
            "input of long sequences changed",
            "POMT-PRUNE-2",
            "Past 128 tokens the attention is set to zero.",
            _destroying(lambda _x, attn, _v: attn.zero_(), lambda x: x.shape[1] > 128),  # noqa: PLR2004 -- its own number
        ),
        ("output in the input's memory", "POMT-PRUNE-2", "The output is a view of x.", _view),
        ("order remembered", "POMT-RANK-1", "The first order of every shape is used again.", Step(order=_remembered())),
        (
            "two samples of long sequences",
            "POMT-PRUNE-2",
            "Past 64 tokens only two samples are pruned.",
            _two_samples_of_long,
        ),
        (
            "first sample of long sequences",
            "POMT-SCORE-1",
            "Past 103 tokens the first sample ranks all.",
            _first_sample_of_long,
        ),
    )
)
"""What a call leaves behind."""
