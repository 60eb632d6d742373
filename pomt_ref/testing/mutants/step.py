"""A second implementation of the three methods, in vectorised torch, one replaceable function a stage.

It is written apart from the reference and shares nothing with it: honest as it stands, and made wrong by replacing one
stage at a time.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

Rows = Float[Tensor, "batch _ channels"]
Attention = Float[Tensor, "batch heads tokens tokens"]
Values = Float[Tensor, "batch heads tokens features"]
PerPatch = Float[Tensor, "batch patches"]
PerToken = Float[Tensor, "batch tokens"]
Order = Int[Tensor, "batch patches"]
Indices = Int[Tensor, "batch _"]


def wide(tensor: Float[Tensor, "*axes"]) -> Float[Tensor, "*axes"]:
    """POMT-PREC-1: in float32 or wider."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def take(x: Rows, indices: Indices) -> Rows:
    """The rows of every sample at these indices."""
    return torch.stack([sample[chosen] for sample, chosen in zip(x, indices, strict=True)])


def sums(attn: Attention, prefix: int) -> PerPatch:
    """POMT-ATT-1."""
    return torch.amax(wide(attn)[:, :, prefix:, prefix:], 1).sum(1)


def relative(total: PerPatch, _attn: Attention, _prefix: int) -> PerPatch:
    """POMT-ATT-2."""
    return total / total.amax()


def value_sums(v: Values) -> PerToken:
    """POMT-MAG-1, t."""
    return torch.amax(wide(v), 1).sum(2)


def share(t: PerToken, prefix: int) -> PerPatch:
    """POMT-MAG-1, p."""
    exponentials = (t - t.amax(1, keepdim=True)).exp()
    return (exponentials / exponentials.sum(1, keepdim=True))[:, prefix:]


def combine(m: PerPatch, p: PerPatch) -> PerPatch:
    """POMT-SCORE-1."""
    return m + p


def descending(scores: PerPatch) -> Order:
    """POMT-RANK-1."""
    return torch.sort(scores, dim=1, descending=True, stable=True).indices


def cut(order: Order, keep: int, prefix: int) -> tuple[Indices, Indices]:
    """POMT-PRUNE-4: kept and discarded rows of x."""
    return order[:, :keep] + prefix, order[:, keep:] + prefix


def mean(x: Rows, _kept: Indices, discarded: Indices, _prefix: int) -> Rows:
    """POMT-PRUNE-3."""
    rows = wide(take(x, discarded))
    return (rows.sum(1, keepdim=True) / rows.shape[1]).to(x.dtype)


def assemble(prefix_rows: Rows, kept: Rows, appended: Rows) -> Rows:
    """POMT-PRUNE-1."""
    return torch.cat((prefix_rows, kept, appended), 1)


def copy(rows: Rows) -> Rows:
    """POMT-PRUNE-2."""
    return rows.clone()


@dataclass(frozen=True)
class Step:
    """POMT, one field a stage."""

    sums: Callable[[Attention, int], PerPatch] = sums
    relative: Callable[[PerPatch, Attention, int], PerPatch] = relative
    value_sums: Callable[[Values], PerToken] = value_sums
    share: Callable[[PerToken, int], PerPatch] = share
    combine: Callable[[PerPatch, PerPatch], PerPatch] = combine
    order: Callable[[PerPatch], Order] = descending
    cut: Callable[[Order, int, int], tuple[Indices, Indices]] = cut
    copy: Callable[[Rows], Rows] = copy
    mean: Callable[[Rows, Indices, Indices, int], Rows] = mean
    assemble: Callable[[Rows, Rows, Rows], Rows] = assemble

    def __call__(self, x: Rows, attn: Attention, v: Values, *, prefix: int, keep: int) -> Rows:
        """Do the step, as any third party's implementation would be called."""
        m = self.relative(self.sums(attn, prefix), attn, prefix)
        p = self.share(self.value_sums(v), prefix)
        kept, discarded = self.cut(self.order(self.combine(m, p).detach()), keep, prefix)
        appended = self.mean(x, kept, discarded, prefix)
        return self.assemble(self.copy(x[:, :prefix]), self.copy(take(x, kept)), appended)


def class_scores(attn: Attention, prefix: int) -> PerPatch:
    """TOPK-1, EVIT-1."""
    return wide(attn)[:, :, 0, prefix:].mean(1)


def fused(x: Rows, weights: PerPatch) -> Rows:
    """EVIT-1: the rows that are left, weighted."""
    return torch.einsum("bk,bkc->bc", weights, wide(x)).unsqueeze(1).to(x.dtype)


@dataclass(frozen=True)
class ClassStep:
    """Top-K, and with a fused row EViT."""

    scores: Callable[[Attention, int], PerPatch] = class_scores
    order: Callable[[PerPatch], Order] = descending
    fused: Callable[[Rows, PerPatch], Rows] | None = None

    def __call__(self, x: Rows, attn: Attention, *, prefix: int, keep: int) -> Rows:
        """Do the step."""
        scores = self.scores(attn, prefix)
        order = self.order(scores)
        kept, discarded = order[:, :keep], order[:, keep:]
        rows = [x[:, :prefix], take(x, kept + prefix)]
        if self.fused is not None:
            rows.append(self.fused(take(x, discarded + prefix), scores.gather(1, discarded)))
        return torch.cat(rows, 1)
