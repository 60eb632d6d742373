"""Faults of the mean row: other rows, other weights, other sums, and gradients that go another way."""

from collections.abc import Callable
from typing import Final

import torch

from pomt_ref.testing.mutants import step
from pomt_ref.testing.mutants.mutant import Mutant
from pomt_ref.testing.mutants.step import Attention, Indices, Rows, Step, Values, take, wide


def _of(choose: Callable[[Rows, Indices, Indices, int], Rows]) -> Step:
    """The mean of other rows."""

    def mean(x: Rows, kept: Indices, discarded: Indices, prefix: int) -> Rows:
        return wide(choose(x, kept, discarded, prefix)).mean(1, keepdim=True).to(x.dtype)

    return Step(mean=mean)


def _made(reduce: Callable[[Rows], Rows]) -> Step:
    """Something else than the mean of the discarded rows."""
    return Step(mean=lambda x, _k, d, _p: reduce(wide(take(x, d))).to(x.dtype))


def _over(count: Callable[[int, int], int]) -> Step:
    """The sum over another number, made of how many were kept and discarded."""

    def mean(x: Rows, kept: Indices, discarded: Indices, _prefix: int) -> Rows:
        total = wide(take(x, discarded)).sum(1, keepdim=True)
        return (total / count(kept.shape[1], discarded.shape[1])).to(x.dtype)

    return Step(mean=mean)


def _added(change: Callable[[Rows, Rows], Rows]) -> Step:
    """Something is added to the mean row, or taken from it."""
    return Step(mean=lambda x, k, d, p: change(step.mean(x, k, d, p), x))


def _linear(rows: Rows) -> Rows:
    """A better token weighs more."""
    weights = torch.linspace(2.0, 1.0, rows.shape[1]).to(rows).reshape(1, -1, 1)
    return (weights * rows).sum(1, keepdim=True) / weights.sum()


def _running(x: Rows, _kept: Indices, discarded: Indices, _prefix: int) -> Rows:
    """A sum that is stored in x's dtype after every row."""
    rows = take(x, discarded)
    total = torch.zeros_like(rows[:, :1])
    for row in rows.split(1, dim=1):
        total = total + row
    return total / rows.shape[1]


def _by_subtraction(x: Rows, kept: Indices, discarded: Indices, prefix: int) -> Rows:
    """All patch rows less the kept ones."""
    total = wide(x[:, prefix:]).sum(1, keepdim=True) - wide(take(x, kept)).sum(1, keepdim=True)
    return (total / discarded.shape[1]).to(x.dtype)


def _narrow(x: Rows, kept: Indices, discarded: Indices, prefix: int) -> Rows:
    """Past 128 channels, nothing is written."""
    row = step.mean(x, kept, discarded, prefix)
    return torch.cat((row[..., :128], torch.zeros_like(row[..., 128:])), 2)


def _through_the_ranking(x: Rows, attn: Attention, v: Values, *, prefix: int, keep: int) -> Rows:
    """A straight-through term that is zero forward and a gradient backward."""
    soft = v.sum(dim=(1, 2, 3)).reshape(-1, 1, 1)
    return Step()(x, attn, v, prefix=prefix, keep=keep) + (soft - soft.detach())


def _gradient_of_the_sum(x: Rows, kept: Indices, discarded: Indices, prefix: int) -> Rows:
    """The mean forward, the sum backward."""
    total = take(x, discarded).sum(1, keepdim=True)
    return step.mean(x, kept, discarded, prefix).detach() + total - total.detach()


def _no_way_back(x: Rows, attn: Attention, v: Values, *, prefix: int, keep: int) -> Rows:
    """Nothing is kept, and nothing is recorded."""
    output = Step()(x, attn, v, prefix=prefix, keep=keep)
    return output if keep else output.detach()


def _with_x_alone(x: Rows, attn: Attention, v: Values, *, prefix: int, keep: int) -> Rows:
    """Where attention asks for no gradient, nothing is recorded."""
    output = Step()(x, attn, v, prefix=prefix, keep=keep)
    return output if attn.requires_grad else output.detach()


def _upstream(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[..., Rows]:
    """The step, and something done to the gradient that comes in."""

    def step(x: Rows, attn: Attention, v: Values, *, prefix: int, keep: int) -> Rows:
        output = Step()(x, attn, v, prefix=prefix, keep=keep)
        if output.requires_grad:
            output.register_hook(change)
        return output

    return step


MEANS: Final = (
    *(
        Mutant(name, "POMT-PRUNE-3", description, function)
        for name, description, function in (
            ("mean of all patches", "Kept rows count too.", _of(lambda x, _k, _d, prefix: x[:, prefix:])),
            ("mean of all tokens", "Kept rows and prefix rows count too.", _of(lambda x, _k, _d, _p: x)),
            (
                "mean of the kept",
                "The kept rows for the others.",
                _of(lambda x, k, d, _p: take(x, k if k.shape[1] else d)),
            ),
            (
                "mean with the prefix",
                "Prefix rows count too.",
                _of(lambda x, _k, d, prefix: torch.cat((x[:, :prefix], take(x, d)), 1)),
            ),
            (
                "mean with the last kept",
                "The worst kept row counts too.",
                _of(lambda x, k, d, _p: take(x, torch.cat((k[:, -1:], d), 1))),
            ),
            (
                "mean of one row too few",
                "The worst row does not count.",
                _of(lambda x, _k, d, _p: take(x, d[:, : max(1, d.shape[1] - 1)])),
            ),
            (
                "mean without the best discarded",
                "The best discarded row does not count.",
                _of(lambda x, _k, d, _p: take(x, d[:, d.shape[1] > 1 :])),
            ),
            (
                "mean of 128 rows at most",
                "Rows past the 128th do not count.",
                _of(lambda x, _k, d, _p: take(x, d[:, :128])),
            ),
            (
                "mean of 300 rows at most",
                "Rows past the 300th do not count.",
                _of(lambda x, _k, d, _p: take(x, d[:, :300])),
            ),
            (
                "mean of 1024 rows at most",
                "Rows past the 1024th do not count.",
                _of(lambda x, _k, d, _p: take(x, d[:, :1024])),
            ),
            ("mean of 128 channels at most", "Channels past the 128th are not written.", Step(mean=_narrow)),
            ("mean weighted by rank", "A better token weighs more.", _made(_linear)),
            ("sum for mean", "Not divided.", _made(lambda rows: rows.sum(1, keepdim=True))),
            (
                "maximum for mean",
                "The largest number of every channel.",
                _made(lambda rows: rows.amax(1, keepdim=True)),
            ),
            (
                "median for mean",
                "The middle number of every channel.",
                _made(lambda rows: rows.median(1, keepdim=True).values),
            ),
            ("best discarded for mean", "The first discarded row stands for all.", _made(lambda rows: rows[:, :1])),
            ("root mean square", "Without sign.", _made(lambda rows: rows.square().mean(1, keepdim=True).sqrt())),
            (
                "mean of the batch",
                "The samples' rows are averaged together.",
                _made(lambda rows: rows.mean((0, 1), keepdim=True).expand(len(rows), 1, -1)),
            ),
            (
                "mean over channels",
                "Channels are averaged too.",
                _made(lambda rows: rows.mean((1, 2), keepdim=True).expand(-1, 1, rows.shape[2])),
            ),
            ("divided by all patches", "The sum over n.", _over(lambda kept, discarded: kept + discarded)),
            ("divided by the kept", "The sum over T.", _over(lambda kept, _discarded: max(kept, 1))),
            ("divided by one more", "The sum over m + 1.", _over(lambda _kept, discarded: discarded + 1)),
            ("divided by one less", "The sum over m - 1.", _over(lambda _kept, discarded: max(discarded - 1, 1))),
            (
                "class row added to the mean",
                "A little of row 0 is added.",
                _added(lambda mean, x: mean + x[:, :1] / 64),
            ),
            (
                "mean through half precision",
                "The mean passes through float16.",
                _added(lambda mean, _x: mean.half().to(mean.dtype)),
            ),
            (
                "count in half precision",
                "The number of rows is one of float16, which past 2048 holds no odd one.",
                _over(lambda _kept, discarded: int(torch.tensor(discarded).half())),
            ),
            ("mean by subtraction", "The kept rows' sum is taken from the sum of all.", Step(mean=_by_subtraction)),
        )
    ),
    Mutant(
        "running sum in dtype",
        "POMT-PRUNE-3",
        "The sum is stored in x's dtype after every row.",
        Step(mean=_running),
        dtype="float16",
    ),
    Mutant(
        "sum in bfloat16",
        "POMT-PRUNE-3",
        "The sum is stored in x's dtype after every row.",
        Step(mean=_running),
        dtype="bfloat16",
    ),
)
"""POMT-PRUNE-3."""

GRADIENTS: Final = (
    *(
        Mutant(name, "POMT-META-7", description, function)
        for name, description, function in (
            ("mean detached", "No gradient flows to the discarded rows.", _added(lambda mean, _x: mean.detach())),
            (
                "copies detached",
                "No gradient flows to prefix and kept rows.",
                Step(copy=lambda rows: rows.detach().clone()),
            ),
            ("gradient of the sum", "The mean forward, the sum backward.", Step(mean=_gradient_of_the_sum)),
            ("no gradient without kept rows", "Of T = 0 there is no way back.", _no_way_back),
            ("gradient through the ranking", "A term that is zero forward has a gradient.", _through_the_ranking),
            ("gradient of attention asked for", "Where x alone asks for a gradient, there is none.", _with_x_alone),
            (
                "gradient through bfloat16",
                "What comes in is rounded to bfloat16.",
                _upstream(lambda gradient: gradient.bfloat16().to(gradient.dtype)),
            ),
            (
                "gradient of a plain sum",
                "What comes in is read as if it lay there whole.",
                _upstream(lambda gradient: gradient if gradient.is_contiguous() else torch.zeros_like(gradient)),
            ),
        )
    ),
)
"""POMT-META-7."""
