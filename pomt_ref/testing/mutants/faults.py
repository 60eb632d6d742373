"""The mutants: plausible faults, one stage each; every law names those that it must reject."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import torch

from pomt_ref.testing.mutants import step
from pomt_ref.testing.mutants.step import ClassStep, PerPatch, Rows, Step, take, wide
from pomt_ref.testing.rounding import Dtype
from pomt_ref.testing.subject import Method


@dataclass(frozen=True)
class Mutant:
    """One faulty implementation."""

    name: str
    function: Callable[..., Any]
    method: Method = "pomt"
    dtype: Dtype = "float32"
    """The dtype in which the fault is one: some show in half precision only."""


def _sums_with(reduce: Callable[[step.Attention], torch.Tensor]) -> Callable[[step.Attention, int], PerPatch]:
    """Another reduction over heads."""
    return lambda attn, prefix: reduce(wide(attn)[:, :, prefix:, prefix:]).sum(1)


def _two_heads_of_long(attn: step.Attention) -> torch.Tensor:
    """Past 32 tokens, only two heads are read."""
    return attn.amax(1) if attn.shape[2] <= 32 else attn[:, :2].amax(1)  # noqa: PLR2004 -- the fault's own number


def _prefix_columns_in_maximum(total: PerPatch, attn: step.Attention, prefix: int) -> PerPatch:
    """M over all keys, prefix keys included."""
    every = torch.amax(wide(attn)[:, :, prefix:, :], 1).sum(1)
    return total / every.amax()


def _half_sorted(scores: PerPatch) -> step.Order:
    """Sort the first half and the second half apart."""
    middle = scores.shape[1] // 2
    halves = (step.descending(scores[:, :middle]), step.descending(scores[:, middle:]) + middle)
    return torch.cat(halves, 1)


def _eight_bits(scores: PerPatch) -> step.Order:
    """Indices that wrap past 127."""
    order = step.descending(scores).to(torch.int8).long()
    return order % scores.shape[1]


def _one_short(order: step.Order, keep: int, prefix: int) -> tuple[step.Indices, step.Indices]:
    """Keep one token less wherever any is kept."""
    return step.cut(order, max(keep - 1, 0), prefix)


def _best_twice(order: step.Order, keep: int, prefix: int) -> tuple[step.Indices, step.Indices]:
    """The best token in the place of the last one too."""
    kept, discarded = step.cut(order, keep, prefix)
    last = kept[:, :1] if keep > 1 else kept[:, :0]
    return torch.cat((kept[:, : keep - 1], last), 1) if keep > 1 else kept, discarded


def _through_half(rows: Rows) -> Rows:
    """Copies that pass through float16."""
    return rows.half().to(rows.dtype)


def _through_arithmetic(rows: Rows) -> Rows:
    """Copies by adding zero: -0.0 becomes 0.0."""
    return rows + 0.0


def _mean_of(choose: Callable[..., Rows]) -> Callable[..., Rows]:
    """The mean of other rows."""

    def mean(x: Rows, kept: step.Indices, discarded: step.Indices, prefix: int) -> Rows:
        return wide(choose(x, kept, discarded, prefix)).mean(1, keepdim=True).to(x.dtype)

    return mean


def _narrow_mean(x: Rows, kept: step.Indices, discarded: step.Indices, prefix: int) -> Rows:
    """Past 128 channels, nothing is written."""
    row = step.mean(x, kept, discarded, prefix)
    return torch.cat((row[..., :128], torch.zeros_like(row[..., 128:])), 2)


def _weighted_mean(x: Rows, _kept: step.Indices, discarded: step.Indices, _prefix: int) -> Rows:
    """A better token weighs more."""
    rows = wide(take(x, discarded))
    weights = torch.linspace(2.0, 1.0, rows.shape[1]).to(rows).reshape(1, -1, 1)
    return ((weights * rows).sum(1, keepdim=True) / weights.sum()).to(x.dtype)


def _running_sum(x: Rows, _kept: step.Indices, discarded: step.Indices, _prefix: int) -> Rows:
    """A sum that is stored in x's dtype after every row."""
    rows = take(x, discarded)
    total = torch.zeros_like(rows[:, :1])
    for row in rows.split(1, dim=1):
        total = total + row
    return total / rows.shape[1]


def _changed_in_place(x: Rows, attn: step.Attention, v: step.Values, *, prefix: int, keep: int) -> Rows:
    """A right output, and an attention that is scaled in place on the way."""
    output = Step()(x, attn, v, prefix=prefix, keep=keep)
    attn.mul_(0.5)
    return output


def _one_prefix_token(x: Rows, attn: step.Attention, v: step.Values, *, prefix: int, keep: int) -> Rows:
    """Erratum 1: the length that fits one prefix token."""
    return Step()(x, attn, v, prefix=prefix, keep=min(max(keep + prefix - 1, 0), x.shape[1] - prefix - 1))


def _unpruned_at_zero(x: Rows, attn: step.Attention, v: step.Values, *, prefix: int, keep: int) -> Rows:
    """Erratum 2: where no patch token is kept, the input comes back as it is."""
    if keep == 0:
        return x
    return Step()(x, attn, v, prefix=prefix, keep=keep)


def _through_the_ranking(x: Rows, attn: step.Attention, v: step.Values, *, prefix: int, keep: int) -> Rows:
    """A straight-through term that is zero forward and a gradient backward."""
    soft = v.sum(dim=(1, 2, 3)).reshape(-1, 1, 1)
    return Step()(x, attn, v, prefix=prefix, keep=keep) + (soft - soft.detach())


def _stored_as(dtype: torch.dtype) -> Callable[[PerPatch, PerPatch], PerPatch]:
    """Scores that are rounded to a narrow dtype."""
    return lambda m, p: (m + p).to(dtype).to(m.dtype)


def _class_faults(method: Method, fused: Callable[[Rows, PerPatch], Rows] | None) -> tuple[Mutant, ...]:
    """The faults that Top-K and EViT can have in common."""
    return (
        Mutant(
            "maximum over heads of the class row",
            ClassStep(lambda a, prefix: wide(a)[:, :, 0, prefix:].amax(1), fused=fused),
            method,
        ),
        Mutant(
            "last prefix row for class row",
            ClassStep(lambda a, prefix: wide(a)[:, :, prefix - 1, prefix:].mean(1), fused=fused),
            method,
        ),
        Mutant("ascending", ClassStep(order=lambda s: step.descending(-s), fused=fused), method),
        Mutant("input order", ClassStep(order=lambda s: torch.arange(s.shape[1]).expand(s.shape), fused=fused), method),
    )


FAULTS: Final[tuple[Mutant, ...]] = (
    Mutant("mean over heads", Step(sums=_sums_with(lambda a: a.mean(1)))),
    Mutant("sum over heads", Step(sums=_sums_with(lambda a: a.sum(1)))),
    Mutant("first head alone", Step(sums=_sums_with(lambda a: a[:, 0]))),
    Mutant("last head forgotten", Step(sums=_sums_with(lambda a: a[:, : max(1, a.shape[1] - 1)].amax(1)))),
    Mutant(
        "heads weighted",
        Step(sums=_sums_with(lambda a: (a * torch.arange(1, a.shape[1] + 1).reshape(-1, 1, 1)).amax(1))),
    ),
    Mutant("eight heads at most", Step(sums=_sums_with(lambda a: a[:, :8].amax(1)))),
    Mutant("twelve heads at most", Step(sums=_sums_with(lambda a: a[:, :12].amax(1)))),
    Mutant("two heads of a long sequence", Step(sums=_sums_with(_two_heads_of_long))),
    Mutant("maximum over queries", Step(sums=lambda a, prefix: wide(a)[:, :, prefix:, prefix:].amax((1, 2)))),
    Mutant("own token left out", Step(sums=_sums_with(lambda a: a.amax(1) * (1 - torch.eye(a.shape[2]).to(a))))),
    Mutant("sum over keys", Step(sums=lambda a, prefix: wide(a)[:, :, prefix:, prefix:].amax(1).sum(2))),
    Mutant("prefix rows summed", Step(sums=lambda a, prefix: wide(a)[:, :, :, prefix:].amax(1).sum(1))),
    Mutant("sum before maximum", Step(sums=lambda a, prefix: wide(a)[:, :, prefix:, prefix:].sum(2).amax(1))),
    Mutant("maximum of each sample", Step(relative=lambda s, _a, _p: s / s.amax(1, keepdim=True))),
    Mutant("first sample for all", Step(relative=lambda s, _a, _p: s / s[:1].amax())),
    Mutant("maximum of three samples", Step(relative=lambda s, _a, _p: s / s[:3].amax())),
    Mutant("no normalisation", Step(relative=lambda s, _a, _p: s)),
    Mutant("divided by the mean", Step(relative=lambda s, _a, _p: s / s.mean())),
    Mutant("prefix columns in the maximum", Step(relative=_prefix_columns_in_maximum)),
    Mutant("small number added to the divisor", Step(relative=lambda s, _a, _p: s / (s.amax() + 1e-6))),
    Mutant("absolute values", Step(value_sums=lambda v: wide(v).abs().amax(1).sum(2))),
    Mutant("squares of values", Step(value_sums=lambda v: wide(v).square().amax(1).sum(2))),
    Mutant("maximum from zero", Step(value_sums=lambda v: wide(v).clamp(min=0).amax(1).sum(2))),
    Mutant("mean over heads of v", Step(value_sums=lambda v: wide(v).mean(1).sum(2))),
    Mutant("sum before maximum of v", Step(value_sums=lambda v: wide(v).sum(3).amax(1))),
    Mutant("largest feature alone", Step(value_sums=lambda v: wide(v).amax((1, 3)))),
    Mutant("64 features at most", Step(value_sums=lambda v: step.value_sums(v[..., :64]))),
    Mutant("softmax over patches", Step(share=lambda t, prefix: t[:, prefix:].softmax(1))),
    Mutant("exponential bare", Step(share=lambda t, prefix: (t.exp() / t.exp().sum(1, keepdim=True))[:, prefix:])),
    Mutant("attention alone", Step(combine=lambda m, _p: m)),
    Mutant("magnitude alone", Step(combine=lambda _m, p: p)),
    Mutant("product of scores", Step(combine=lambda m, p: m * p)),
    Mutant("magnitude doubled", Step(combine=lambda m, p: m + 2 * p)),
    Mutant("score clipped at one", Step(combine=lambda m, p: (m + p).clamp(max=1))),
    Mutant("position added", Step(combine=lambda m, p: m + p - 0.5 * torch.arange(m.shape[1]) / m.shape[1])),
    Mutant("scores in half precision", Step(combine=_stored_as(torch.float16))),
    Mutant("scores in bfloat16", Step(combine=_stored_as(torch.bfloat16))),
    Mutant("scores in float32", Step(combine=_stored_as(torch.float32)), dtype="float64"),
    Mutant("ascending", Step(order=lambda s: step.descending(-s))),
    Mutant("input order", Step(order=lambda s: torch.arange(s.shape[1]).expand(s.shape))),
    Mutant("kept in input order", Step(cut=lambda o, keep, p: (o[:, :keep].sort(1).values + p, o[:, keep:] + p))),
    Mutant("first tokens win", Step(order=lambda s: step.descending(s.round(decimals=1)))),
    Mutant("first half sorted only", Step(order=_half_sorted)),
    Mutant("index in 8 bits", Step(order=_eight_bits)),
    Mutant("one token too few", Step(cut=_one_short)),
    Mutant("best token twice", Step(cut=_best_twice)),
    Mutant("prefix offset forgotten", Step(cut=lambda order, keep, _prefix: (order[:, :keep], order[:, keep:]))),
    Mutant("copies through arithmetic", Step(copy=_through_arithmetic)),
    Mutant("copies through half precision", Step(copy=_through_half)),
    Mutant("mean of all patches", Step(mean=_mean_of(lambda x, _k, _d, prefix: x[:, prefix:]))),
    Mutant("mean of the kept", Step(mean=_mean_of(lambda x, k, d, _p: take(x, k if k.shape[1] else d)))),
    Mutant(
        "mean with the prefix", Step(mean=_mean_of(lambda x, _k, d, prefix: torch.cat((x[:, :prefix], take(x, d)), 1)))
    ),
    Mutant("mean weighted by rank", Step(mean=_weighted_mean)),
    Mutant(
        "mean of one row too few", Step(mean=_mean_of(lambda x, _k, d, _p: take(x, d[:, : max(1, d.shape[1] - 1)])))
    ),
    Mutant("mean of 300 rows at most", Step(mean=_mean_of(lambda x, _k, d, _p: take(x, d[:, :300])))),
    Mutant("mean of 128 channels at most", Step(mean=_narrow_mean)),
    Mutant("class row added to the mean", Step(mean=lambda x, k, d, p: step.mean(x, k, d, p) + x[:, :1] / 64)),
    Mutant("sum for mean", Step(mean=lambda x, _k, d, _p: wide(take(x, d)).sum(1, keepdim=True).to(x.dtype))),
    Mutant("running sum in dtype", Step(mean=_running_sum), dtype="float16"),
    Mutant("mean detached", Step(mean=lambda x, k, d, p: step.mean(x, k, d, p).detach())),
    Mutant(
        "gradient of the sum",
        Step(
            mean=lambda x, k, d, p: step.mean(x, k, d, p).detach() + (s := take(x, d).sum(1, keepdim=True)) - s.detach()
        ),
    ),
    Mutant("gradient through the ranking", _through_the_ranking),
    Mutant("no mean row", Step(assemble=lambda prefix, kept, _mean: torch.cat((prefix, kept), 1))),
    Mutant("prefix pruned", Step(assemble=lambda _prefix, kept, mean: torch.cat((kept, mean), 1))),
    Mutant("prefix scaled", Step(assemble=lambda prefix, kept, mean: torch.cat((prefix * 1.0000002, kept, mean), 1))),
    Mutant("output in float32", Step(assemble=lambda *rows: torch.cat(rows, 1).float()), dtype="bfloat16"),
    Mutant("length of one prefix token", _one_prefix_token),
    Mutant("nothing pruned when nothing is kept", _unpruned_at_zero),
    Mutant("input changed in place", _changed_in_place),
    *_class_faults("topk", None),
    *_class_faults("evit", step.fused),
    Mutant("fused row normalised", ClassStep(fused=lambda x, w: step.fused(x, w / w.sum(1, keepdim=True))), "evit"),
    Mutant("mean row for fused row", ClassStep(fused=lambda x, _w: wide(x).mean(1, keepdim=True).to(x.dtype)), "evit"),
)
"""Every mutant; names are unique within a method."""
