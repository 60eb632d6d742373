"""POMT-ATT-1 of a short sequence: attention of all heads at once, where it is no larger than two blocks of 512 tokens.

Products of many small heads are one operation, as in the plain functions; to start each of them in a loop takes a
noticeable part of the time.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from pomt_ref.streaming.blocks import patch_sums, zero_sums
from pomt_ref.types import score_dtype


def every_head(
    q: Float[Tensor, "heads rows features"],
    k: Float[Tensor, "heads tokens features"],
    buffer: Float[Tensor, "heads rows tokens"],
    *,
    scale: float,
) -> Float[Tensor, "heads rows tokens"]:
    r"""Whole rows of attention of all heads, written into a buffer in whose dtype they are computed.

    .. math:: A_{h,i,\cdot} = \mathrm{softmax}(\mathrm{scale} \cdot q_{h,i} k_h^T)

    >>> every_head(torch.tensor([[[1.0]]]), torch.tensor([[[0.0], [0.0]]]), torch.empty(1, 1, 2), scale=1.0)
    tensor([[[0.5000, 0.5000]]])
    """
    torch.baddbmm(buffer, q.to(buffer.dtype), k.to(buffer.dtype).transpose(1, 2), beta=0, alpha=scale, out=buffer)
    return torch.softmax(buffer, dim=-1, out=buffer)


def whole_pass(
    q: Float[Tensor, "batch heads tokens features"],
    k: Float[Tensor, "batch heads tokens features"],
    v: Float[Tensor, "batch heads tokens values"],
    *,
    prefix: int,
    scale: float,
) -> tuple[Float[Tensor, "batch heads tokens values"], Float[Tensor, "batch patches"]]:
    """POMT-ATT-1 beside the output of attention, a sample at a time."""
    out = torch.empty(v.shape, dtype=score_dtype(v.dtype), device=v.device)
    sums = zero_sums(q, prefix=prefix)
    buffer = head_buffer(q, rows=q.shape[2])
    for sample in range(q.shape[0]):
        attention = every_head(q[sample], k[sample], buffer, scale=scale)
        torch.bmm(attention, v[sample].to(attention.dtype), out=out[sample])
        sums[sample] = patch_sums(attention.amax(dim=0), start=0, prefix=prefix)
    return out.to(v.dtype), sums


def whole_sums(
    q: Float[Tensor, "batch heads tokens features"],
    k: Float[Tensor, "batch heads tokens features"],
    *,
    prefix: int,
    scale: float,
) -> Float[Tensor, "batch tokens-{prefix}"]:
    """POMT-ATT-1 alone: rows of the prefix, of which nothing is asked, are not computed."""
    sums = zero_sums(q, prefix=prefix)
    buffer = head_buffer(q, rows=sums.shape[1])
    for sample in range(q.shape[0]):
        attention = every_head(q[sample, :, prefix:], k[sample], buffer, scale=scale)
        sums[sample] = patch_sums(attention.amax(dim=0), start=prefix, prefix=prefix)
    return sums


def head_buffer(q: Float[Tensor, "batch heads tokens features"], *, rows: int) -> Float[Tensor, "heads {rows} tokens"]:
    """Room for rows of attention of all heads: POMT-PREC-1, in float32 or wider."""
    return torch.empty(q.shape[1], rows, q.shape[2], dtype=score_dtype(q.dtype), device=q.device)
