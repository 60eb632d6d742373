"""A Triton kernel for the attention sums: a tile of keys, all heads in the inner loop, the maximum before exp.

``pomt-ref check docs.examples.triton_pomt:prune`` holds it against the reference, on a GPU (``--device cuda``) or, with
``TRITON_INTERPRET=1``, on any CPU.
"""

# The kernel is written in Triton's language, whose types are not Python's.
# pyright: basic
# pyright: reportArgumentType=false

import triton
import triton.language as tl
from torch import Tensor

from pomt_ref.conformance import from_queries
from pomt_ref.streaming import logsumexp, prune_sums
from pomt_ref.streaming.fused import is_fused
from pomt_ref.types import Pruned, score_dtype

TILE = 64
"""Queries and keys a tile."""


@triton.jit  # type: ignore[untyped-decorator]
def sums_of_a_tile_of_keys(  # type: ignore[no-untyped-def]  # noqa: ANN201, D103 -- a kernel: Triton's own language
    q, k, lse, sums, heads, tokens, prefix,  # noqa: ANN001 -- as above
    SCALE: tl.constexpr, FEATURES: tl.constexpr, WIDTH: tl.constexpr, SIDE: tl.constexpr,
):  # fmt: skip
    sample, patches = tl.program_id(1), tokens - prefix
    feature, side = tl.arange(0, WIDTH), tl.arange(0, SIDE)
    key = tl.program_id(0) * SIDE + side
    total = tl.zeros((SIDE,), sums.dtype.element_ty)
    for start in range(0, patches, SIDE):
        query = start + side
        strongest = tl.full((SIDE, SIDE), float("-inf"), sums.dtype.element_ty)
        for head in range(heads):
            row = (sample * heads + head) * tokens + prefix
            inside = feature[None, :] < FEATURES
            queries = tl.load(q + (row + query[:, None]) * FEATURES + feature[None, :],
                              mask=(query[:, None] < patches) & inside, other=0.0)  # fmt: skip
            keys = tl.load(k + (row + key[:, None]) * FEATURES + feature[None, :],
                           mask=(key[:, None] < patches) & inside, other=0.0)  # fmt: skip
            shift = tl.load(lse + row + query, mask=query < patches, other=float("inf"))
            product = tl.dot(queries, tl.trans(keys), input_precision="ieee")
            strongest = tl.maximum(strongest, product.to(strongest.dtype) * SCALE - shift[:, None])
        total += tl.sum(tl.exp(strongest), axis=0)
    tl.store(sums + sample * patches + key, total, mask=key < patches)


def attention_sums(q: Tensor, k: Tensor, lse: Tensor, *, prefix: int, scale: float) -> Tensor:
    """POMT-ATT-1, pass two: the sums, one program a tile of patch keys and a sample."""
    batch, heads, tokens, features = q.shape
    sums = q.new_empty(batch, tokens - prefix, dtype=score_dtype(q.dtype))
    grid = triton.cdiv(tokens - prefix, TILE), batch
    sums_of_a_tile_of_keys[grid](
        q.contiguous(), k.contiguous(), lse.contiguous(), sums, heads, tokens, prefix,
        SCALE=scale, FEATURES=features, WIDTH=max(16, triton.next_power_of_2(features)), SIDE=TILE,
    )  # fmt: skip
    return sums


def prune_qkv(x: Tensor, q: Tensor, k: Tensor, v: Tensor, *, prefix: int, keep: int, scale: float) -> Pruned:
    """A step: pass one is torch's fused kernel, which returns the logsumexp; pass two is the kernel above."""
    q, k = q.detach(), k.detach()
    lse = logsumexp(q, k, scale=scale) if is_fused(q) else (scale * q @ k.mT).logsumexp(dim=-1)
    sums = attention_sums(q, k, lse, prefix=prefix, scale=scale)
    return prune_sums(x, sums, v, prefix=prefix, keep=keep, check="none")


prune = from_queries(prune_qkv)
"""What the check is given."""
