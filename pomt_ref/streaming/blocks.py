"""POMT-ATT-1, block by block: exact softmax rows of every head, and the strongest head among them.

A block of query rows holds whole rows of attention, so one product of queries and keys gives the exact softmax, the
output and the maximum over heads. Two buffers of rows x tokens are all that is held of the matrix.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from pomt_ref.types import score_dtype


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

    >>> head_attention(torch.tensor([[1.0]]), torch.tensor([[0.0], [0.0]]), torch.empty(1, 2), scale=1.0)
    tensor([[0.5000, 0.5000]])
    """
    torch.addmm(buffer, q.to(buffer.dtype), k.to(buffer.dtype).T, beta=0, alpha=scale, out=buffer)
    return torch.softmax(buffer, dim=-1, out=buffer)


def strongest_head(
    q: Float[Tensor, "heads rows features"],
    k: Float[Tensor, "heads tokens features"],
    strongest: Float[Tensor, "rows tokens"],
    spare: Float[Tensor, "rows tokens"],
    *,
    scale: float,
) -> Float[Tensor, "rows tokens"]:
    r"""POMT-ATT-1, its inner part: the maximum over heads, for a block of queries.

    .. math:: G_{i,j} = \max_h A_{h,i,j}

    Arguments:
        q: queries of the block.
        k: all keys.
        strongest: the buffer in which G is returned.
        spare: another one, for the head at hand.
        scale: what products of queries and keys are multiplied by.

    Returns:
        G, in [0, 1]; exact, as maxima do not round.
    """
    for head, (queries, keys) in enumerate(zip(q, k, strict=True)):
        head_attention(queries, keys, spare if head else strongest, scale=scale)
        if head:
            torch.maximum(strongest, spare, out=strongest)
    return strongest


def strongest_head_and_output(
    q: Float[Tensor, "heads rows features"],
    k: Float[Tensor, "heads tokens features"],
    v: Float[Tensor, "heads tokens values"],
    out: Float[Tensor, "heads rows values"],
    strongest: Float[Tensor, "rows tokens"],
    spare: Float[Tensor, "rows tokens"],
    *,
    scale: float,
) -> Float[Tensor, "rows tokens"]:
    r"""As :func:`strongest_head`, and the output of attention beside it, into ``out`` in the dtype of the buffers.

    .. math:: \mathrm{out}_{h,i} = \sum_j A_{h,i,j} v_{h,j}
    """
    for head, (queries, keys, values, result) in enumerate(zip(q, k, v, out, strict=True)):
        attention = head_attention(queries, keys, spare if head else strongest, scale=scale)
        torch.mm(attention, values.to(attention.dtype), out=result)
        if head:
            torch.maximum(strongest, spare, out=strongest)
    return strongest


def patch_sums(
    strongest: Float[Tensor, "rows tokens"], *, start: int, prefix: int
) -> Float[Tensor, " tokens-{prefix}"]:
    r"""POMT-ATT-1, its outer part for a block that begins at a row: the sum over its patch queries, a patch key each.

    Rows of the prefix are left out; a block that lies in the prefix adds nothing.

    >>> patch_sums(torch.tensor([[0.5, 0.5], [0.25, 0.75]]), start=0, prefix=1)
    tensor([0.7500])
    """
    return strongest[max(prefix - start, 0) :, prefix:].sum(dim=0)


def one_pass(
    q: Float[Tensor, "batch heads tokens features"],
    k: Float[Tensor, "batch heads tokens features"],
    v: Float[Tensor, "batch heads tokens values"],
    *,
    prefix: int,
    scale: float,
    rows: int,
) -> tuple[Float[Tensor, "batch heads tokens values"], Float[Tensor, "batch patches"]]:
    """POMT-ATT-1 beside the output of attention, in one pass over blocks of query rows, at most N each."""
    out = torch.empty(v.shape, dtype=score_dtype(v.dtype), device=v.device)
    sums = zero_sums(q, prefix=prefix)
    strongest, spare = row_buffer(q, rows=rows), row_buffer(q, rows=rows)
    for sample in range(q.shape[0]):
        for start, stop in spans(0, q.shape[2], rows):
            queries, own = q[sample, :, start:stop], slice(stop - start)
            block = strongest_head_and_output(
                queries, k[sample], v[sample], out[sample, :, start:stop], strongest[own], spare[own], scale=scale
            )
            sums[sample] += patch_sums(block, start=start, prefix=prefix)
    return out.to(v.dtype), sums


def sums_alone(
    q: Float[Tensor, "batch heads tokens features"],
    k: Float[Tensor, "batch heads tokens features"],
    *,
    prefix: int,
    scale: float,
    rows: int,
) -> Float[Tensor, "batch tokens-{prefix}"]:
    """POMT-ATT-1 alone: rows of the prefix, of which nothing is asked, are not computed."""
    sums = zero_sums(q, prefix=prefix)
    strongest, spare = row_buffer(q, rows=rows), row_buffer(q, rows=rows)
    for sample in range(q.shape[0]):
        for start, stop in spans(prefix, q.shape[2], rows):
            queries, own = q[sample, :, start:stop], slice(stop - start)
            block = strongest_head(queries, k[sample], strongest[own], spare[own], scale=scale)
            sums[sample] += patch_sums(block, start=start, prefix=prefix)
    return sums


def zero_sums(
    q: Float[Tensor, "batch heads tokens features"], *, prefix: int
) -> Float[Tensor, "batch tokens-{prefix}"]:
    """One sum a patch key, at zero: POMT-PREC-1, in float32 or wider."""
    return torch.zeros(q.shape[0], q.shape[2] - prefix, dtype=score_dtype(q.dtype), device=q.device)


def row_buffer(q: Float[Tensor, "batch heads tokens features"], *, rows: int) -> Float[Tensor, "{rows} tokens"]:
    """Room for rows of attention: POMT-PREC-1, in float32 or wider."""
    return torch.empty(rows, q.shape[2], dtype=score_dtype(q.dtype), device=q.device)
