"""POMT-ATT-1 by tiles of queries and keys, where the logsumexp of every query is known: the maximum before exp.

With the logsumexp, an entry of attention is known without its row, so that a tile of any size will do. The
exponential grows with its argument, so the maximum over heads may be taken before it: N x N exponentials, not one a
head.
"""

from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from pomt_ref.streaming.blocks import spans, zero_sums

SIDE: Final = 512
"""Queries and keys a tile, unless told: two tiles of 512 x 512 in float32 are 2 MiB."""


def shifted(
    q: Float[Tensor, "heads patches features"],
    k: Float[Tensor, "heads patches features"],
    lse: Float[Tensor, "heads patches"],
    *,
    scale: float,
) -> tuple[Float[Tensor, "heads patches longer"], Float[Tensor, "heads patches longer"]]:
    r"""Queries and keys with one more feature, so that their product is the logarithm of attention.

    .. math:: (\mathrm{scale} \cdot q_i, \; -\mathrm{lse}_i) \cdot (k_j, \; 1) = \log A_{ij}

    >>> one, other = shifted(torch.tensor([[[3.0]]]), torch.tensor([[[2.0]]]), torch.tensor([[6.0]]), scale=1.0)
    >>> one @ other.mT
    tensor([[[0.]]])
    """
    queries = torch.cat([scale * q.to(lse.dtype), -lse.unsqueeze(-1)], dim=-1)
    keys = torch.cat([k.to(lse.dtype), torch.ones_like(lse.unsqueeze(-1))], dim=-1)
    return queries, keys


def strongest_in_tile(
    q: Float[Tensor, "heads queries features"],
    k: Float[Tensor, "heads keys features"],
    strongest: Float[Tensor, "queries keys"],
    spare: Float[Tensor, "queries keys"],
) -> Float[Tensor, "queries keys"]:
    r"""The maximum over heads of one tile of attention, in the buffer that is given for it.

    .. math:: \max_h \exp(q_{h,i} \cdot k_{h,j}) = \exp(\max_h q_{h,i} \cdot k_{h,j})
    """
    torch.mm(q[0], k[0].T, out=strongest)
    for head in range(1, q.shape[0]):
        torch.mm(q[head], k[head].T, out=spare)
        torch.maximum(strongest, spare, out=strongest)
    return torch.exp(strongest, out=strongest)


def sums_in_tiles(
    q: Float[Tensor, "batch heads tokens features"],
    k: Float[Tensor, "batch heads tokens features"],
    lse: Float[Tensor, "batch heads tokens"],
    *,
    prefix: int,
    scale: float,
    side: int,
) -> Float[Tensor, "batch tokens-{prefix}"]:
    """POMT-ATT-1: tiles of patch queries and patch keys, at most n on a side; their sums over queries are added up."""
    sums = zero_sums(q, prefix=prefix)
    one = torch.empty(side, side, dtype=lse.dtype, device=lse.device)
    other = torch.empty(side, side, dtype=lse.dtype, device=lse.device)
    for sample in range(q.shape[0]):
        patches = q[sample, :, prefix:], k[sample, :, prefix:], lse[sample, :, prefix:]
        queries, keys = shifted(*patches, scale=scale)
        for first, last in spans(0, sums.shape[1], side):
            for start, stop in spans(0, sums.shape[1], side):
                own = slice(stop - start), slice(last - first)
                tile = strongest_in_tile(queries[:, start:stop], keys[:, first:last], one[own], other[own])
                sums[sample, first:last] += tile.sum(dim=0)
    return sums
