"""The gradient of the one pass, by the same blocks: rows of attention are computed again, and nothing of N x N is held.

The output's gradient is that of attention. That of the sums goes to the head that is the strongest at its place, to
the first of them where several are.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from pomt_ref.streaming.blocks import head_attention, row_buffer, spans
from pomt_ref.types import score_dtype


def one_pass_gradients(
    upstream: Float[Tensor, "batch heads tokens values"],
    upstream_sums: Float[Tensor, "batch patches"],
    q: Float[Tensor, "batch heads tokens features"],
    k: Float[Tensor, "batch heads tokens features"],
    v: Float[Tensor, "batch heads tokens values"],
    *,
    prefix: int,
    scale: float,
    rows: int,
) -> tuple[
    Float[Tensor, "batch heads tokens features"],
    Float[Tensor, "batch heads tokens features"],
    Float[Tensor, "batch heads tokens values"],
]:
    r"""Attention and its sums, differentiated with respect to queries, keys and values.

    .. math:: \bar A_{h,i,j} = \bar o_{h,i} \cdot v_{h,j} + [h \text{ is the strongest at } i, j] \; \bar S_j

    Arguments:
        upstream: the gradient of the output.
        upstream_sums: the gradient of the sums; where all of it is zero, no strongest head is looked for.
        q: queries.
        k: keys.
        v: values.
        prefix: number P of prefix tokens.
        scale: what products of queries and keys are multiplied by.
        rows: query rows a block.

    Returns:
        the three gradients in the dtypes of q, k and v, accumulated in float32 or wider.
    """
    wide = score_dtype(q.dtype)
    of_q = torch.zeros(q.shape, dtype=wide, device=q.device)
    of_k = torch.zeros(k.shape, dtype=wide, device=k.device)
    of_v = torch.zeros(v.shape, dtype=wide, device=v.device)
    one, other = row_buffer(q, rows=rows), row_buffer(q, rows=rows)
    to_sums = bool(upstream_sums.any())
    for sample in range(q.shape[0]):
        keys, values = k[sample].to(wide), v[sample].to(wide)
        for start, stop in spans(0, q.shape[2], rows):
            queries, of_output = q[sample, :, start:stop].to(wide), upstream[sample, :, start:stop].to(wide)
            attention, of_attention = one[: stop - start], other[: stop - start]
            patches = slice(max(prefix - start, 0), None), slice(prefix, None)
            winner = winning_head(queries, keys, attention, of_attention, scale=scale) if to_sums else None
            for head in range(q.shape[1]):
                head_attention(queries[head], keys[head], attention, scale=scale)
                torch.mm(of_output[head], values[head].T, out=of_attention)
                if winner is not None:
                    of_attention[patches] += (winner[patches] == head) * upstream_sums[sample]
                of_v[sample, head] += attention.T @ of_output[head]
                of_logits = softmax_gradient(attention, of_attention) * scale
                of_q[sample, head, start:stop] = of_logits @ keys[head]
                of_k[sample, head] += of_logits.T @ queries[head]
    return of_q.to(q.dtype), of_k.to(k.dtype), of_v.to(v.dtype)


def winning_head(
    q: Float[Tensor, "heads rows features"],
    k: Float[Tensor, "heads tokens features"],
    strongest: Float[Tensor, "rows tokens"],
    spare: Float[Tensor, "rows tokens"],
    *,
    scale: float,
) -> Float[Tensor, "rows tokens"]:
    """The number of the strongest head at every place of a block, of the first where several are."""
    winner = torch.zeros(strongest.shape, dtype=strongest.dtype, device=strongest.device)
    head_attention(q[0], k[0], strongest, scale=scale)
    for head in range(1, q.shape[0]):
        head_attention(q[head], k[head], spare, scale=scale)
        winner.masked_fill_(spare > strongest, head)
        torch.maximum(strongest, spare, out=strongest)
    return winner


def softmax_gradient(
    attention: Float[Tensor, "rows tokens"], upstream: Float[Tensor, "rows tokens"]
) -> Float[Tensor, "rows tokens"]:
    r"""The gradient with respect to the logits of whole rows.

    .. math:: \bar L_{ij} = A_{ij} \Bigl(\bar A_{ij} - \sum_l A_{il} \bar A_{il}\Bigr)

    >>> softmax_gradient(torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 0.0]]))
    tensor([[ 0.2500, -0.2500]])
    """
    weighted = attention * upstream
    return weighted - attention * weighted.sum(dim=-1, keepdim=True)
