"""What is measured: a layer of a vision transformer, by the peer, by streaming, and by attention without the metric."""

from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from pomt_ref.streaming import prune_sums, streaming_attention
from tests.bench import peer

Layer = tuple[Tensor, Tensor, Tensor, Tensor]
"""x, q, k, v."""

FEATURES: Final = 64
"""D, as in all the usual vision transformers."""

KEPT: Final = 0.7
"""The share of the patches that is kept."""


def layer(batch: int, heads: int, tokens: int, *, seed: int, dtype: torch.dtype = torch.float32) -> Layer:
    """Tokens, queries, keys and values of a layer."""
    numbers = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, tokens, heads * FEATURES, generator=numbers, dtype=dtype)
    q, k, v = (torch.randn(batch, heads, tokens, FEATURES, generator=numbers, dtype=dtype) for _ in range(3))
    return x, q, k, v


def keep_of(x: Tensor) -> int:
    """T of a layer with one prefix token."""
    return int(KEPT * (x.shape[1] - 1))


def by_peer(x: Tensor, q: Tensor, k: Tensor, v: Tensor) -> object:
    """The whole step with the matrix."""
    return peer.whole_step(x, q, k, v, prefix=1, keep=keep_of(x))


def by_streaming(x: Tensor, q: Tensor, k: Tensor, v: Tensor) -> object:
    """The whole step without it."""
    out, sums = streaming_attention(q, k, v, prefix=1, check="shapes")
    return out, prune_sums(x, sums, v, prefix=1, keep=keep_of(x), check="shapes")


def metric(_x: Tensor, q: Tensor, k: Tensor, v: Tensor) -> object:
    """Attention with its sums."""
    return streaming_attention(q, k, v, prefix=1, check="shapes")


def flash(_x: Tensor, q: Tensor, k: Tensor, v: Tensor) -> object:
    """Attention alone, by torch's fused kernel."""
    return scaled_dot_product_attention(q, k, v)


RUNS: Final[Mapping[str, Callable[..., object]]] = {
    "peer": by_peer,
    "streaming": by_streaming,
    "metric": metric,
    "flash": flash,
}
"""By name, for a process of its own."""
