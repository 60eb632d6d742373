"""The peer: the step in its eager form, written from the clauses, with attention of all heads held as a matrix."""

import torch
from torch import Tensor


def attention_and_sums(q: Tensor, k: Tensor, v: Tensor, *, prefix: int) -> tuple[Tensor, Tensor]:
    """POMT-ATT-1 from the matrix, and the output of attention beside it."""
    attn = ((q @ k.transpose(-2, -1)) * q.shape[-1] ** -0.5).softmax(dim=-1)
    return attn @ v, attn[:, :, prefix:, prefix:].amax(dim=1).sum(dim=1)


def order_of(sums: Tensor, v: Tensor, *, prefix: int) -> Tensor:
    """POMT-ATT-2 to POMT-RANK-1; where equal scores go, argsort decides."""
    share = v.amax(dim=1).sum(dim=-1).softmax(dim=-1)
    return (sums / sums.max() + share[:, prefix:]).argsort(dim=1, descending=True) + prefix


def gathered(x: Tensor, rows: Tensor) -> Tensor:
    """POMT-PRUNE-2 with an index for every number that is moved."""
    return x.gather(1, rows.unsqueeze(-1).expand(-1, -1, x.shape[2]))


def gather_and_mean(x: Tensor, order: Tensor, *, keep: int) -> tuple[Tensor, Tensor]:
    """POMT-PRUNE-2 and POMT-PRUNE-3: the kept rows, and the mean of the others."""
    return gathered(x, order[:, :keep]), gathered(x, order[:, keep:]).mean(dim=1, keepdim=True)


def assembled(x: Tensor, order: Tensor, *, prefix: int, keep: int) -> Tensor:
    """POMT-PRUNE-1."""
    return torch.cat([x[:, :prefix], *gather_and_mean(x, order, keep=keep)], dim=1)


def whole_step(x: Tensor, q: Tensor, k: Tensor, v: Tensor, *, prefix: int, keep: int) -> tuple[Tensor, Tensor]:
    """Attention, its output, its metric, and the pruned tokens."""
    out, sums = attention_and_sums(q, k, v, prefix=prefix)
    return out, assembled(x, order_of(sums, v, prefix=prefix), prefix=prefix, keep=keep)
