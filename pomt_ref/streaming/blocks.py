"""POMT-ATT-1, block by block: exact softmax rows of every head, and the strongest head among them.

A block of query rows holds whole rows of attention, so one product of queries and keys gives the exact softmax, the
output and the maximum over heads. Two buffers of rows x tokens are all that is held of the matrix.
"""

from collections.abc import Iterator
from typing import Final

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from pomt_ref.types import score_dtype

ROWS: Final = 256
"""Query rows a block, unless told: large enough for products at full speed, small enough for a buffer of 256 rows to
stay in a cache of megabytes at thousands of tokens; measured, see docs/performance.md."""


def spans(first: int, end: int, size: int) -> Iterator[tuple[int, int]]:
    """Where each block begins and ends; the last one may be smaller.

    >>> list(spans(1, 6, 2))
    [(1, 3), (3, 5), (5, 6)]
    """
    for start in range(first, end, size):
        yield start, min(start + size, end)


def head_attention(
    q: Float[Tensor, "rows features"],
    k: Float[Tensor, "tokens features"],
    buffer: Float[Tensor, "rows tokens"],
    *,
    scale: float,
) -> Float[Tensor, "rows tokens"]:
    r"""Whole rows of one head's attention, written into a buffer in whose dtype they are computed.

    .. math:: A_{i,\cdot} = \mathrm{softmax}(\mathrm{scale} \cdot q_i k^T)

    >>> buffer = torch.empty(1, 2)
    >>> head_attention(torch.tensor([[1.0]]), torch.tensor([[0.0], [0.0]]), buffer, scale=1.0)
    tensor([[0.5000, 0.5000]])
    """
    logits = buffer.addmm_(q.to(buffer.dtype), k.to(buffer.dtype).mT, beta=0, alpha=scale)
    return torch.softmax(logits, dim=-1, out=buffer)


def strongest_head(
    q: Float[Tensor, "heads rows features"],
    k: Float[Tensor, "heads tokens features"],
    strongest: Float[Tensor, "rows tokens"],
    spare: Float[Tensor, "rows tokens"],
    *,
    scale: float,
    v: Float[Tensor, "heads tokens values"] | None = None,
    out: Float[Tensor, "heads rows values"] | None = None,
) -> Float[Tensor, "rows tokens"]:
    r"""POMT-ATT-1, its inner part: the maximum over heads, for a block of queries; with v, the output beside it.

    .. math:: G_{i,j} = \max_h A_{h,i,j}, \qquad \mathrm{out}_{h,i} = \sum_j A_{h,i,j} v_{h,j}

    Arguments:
        q: queries of the block.
        k: all keys.
        strongest: the buffer in which G is returned.
        spare: another one, for the head at hand.
        scale: what products of queries and keys are multiplied by.
        v: all values, or None if no output is wanted.
        out: where the output goes, if it is.

    Returns:
        G, the maximum over heads; exact, as maxima do not round.
    """
    for head in range(q.shape[0]):
        attention = head_attention(q[head], k[head], spare if head else strongest, scale=scale)
        if v is not None and out is not None:
            out[head] = attention @ v[head].to(attention.dtype)
        if head:
            torch.maximum(strongest, attention, out=strongest)
    return strongest


def between_patches(block: Shaped[Tensor, "rows tokens"], *, start: int, prefix: int) -> Shaped[Tensor, "own patches"]:
    """What a block of rows has of patch queries and patch keys; nothing, if the block lies in the prefix.

    >>> between_patches(torch.tensor([[0.5, 0.5], [0.25, 0.75]]), start=0, prefix=1)
    tensor([[0.7500]])
    """
    return block[max(prefix - start, 0) :, prefix:]


def one_pass(
    q: Float[Tensor, "batch heads tokens features"],
    k: Float[Tensor, "batch heads tokens features"],
    v: Float[Tensor, "batch heads tokens values"],
    *,
    prefix: int,
    scale: float,
    rows: int,
) -> tuple[Float[Tensor, "batch heads tokens values"], Float[Tensor, "batch tokens-{prefix}"]]:
    """POMT-ATT-1 beside the output of attention, in one pass over blocks of query rows."""
    out = v.new_empty(v.shape)
    sums, strongest, spare = buffers(q, prefix=prefix, rows=rows)
    for sample in range(q.shape[0]):
        for start, stop in spans(0, q.shape[2], rows):
            block = strongest_head(
                q[sample, :, start:stop],
                k[sample],
                strongest[: stop - start],
                spare[: stop - start],
                scale=scale,
                v=v[sample],
                out=out[sample, :, start:stop],
            )
            sums[sample] += between_patches(block, start=start, prefix=prefix).sum(dim=0)
    return out, sums


def sums_alone(
    q: Float[Tensor, "batch heads tokens features"],
    k: Float[Tensor, "batch heads tokens features"],
    *,
    prefix: int,
    scale: float,
    rows: int,
) -> Float[Tensor, "batch tokens-{prefix}"]:
    """POMT-ATT-1 alone: rows of the prefix, which nothing is asked of, are not computed."""
    sums, strongest, spare = buffers(q, prefix=prefix, rows=rows)
    for sample in range(q.shape[0]):
        for start, stop in spans(prefix, q.shape[2], rows):
            own = strongest[: stop - start], spare[: stop - start]
            block = strongest_head(q[sample, :, start:stop], k[sample], *own, scale=scale)
            sums[sample] += between_patches(block, start=start, prefix=prefix).sum(dim=0)
    return sums


def buffers(
    q: Float[Tensor, "batch heads tokens features"], *, prefix: int, rows: int
) -> tuple[Float[Tensor, "batch tokens-{prefix}"], Float[Tensor, "rows tokens"], Float[Tensor, "rows tokens"]]:
    """The sums, at zero, and two buffers for rows of attention: POMT-PREC-1, in float32 or wider."""
    batch, _, tokens, _ = q.shape
    height, dtype = min(rows, tokens), score_dtype(q.dtype)
    strongest = q.new_empty(height, tokens, dtype=dtype)
    return q.new_zeros(batch, tokens - prefix, dtype=dtype), strongest, torch.empty_like(strongest)
