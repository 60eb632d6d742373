"""What is known of a block's attention: the matrix after softmax, or the queries and keys that it is made of.

The second never grows with N x N. Steps and proofs take either.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class QueriesKeys:
    """What attention is made of, where no matrix of it is held."""

    q: Float[Tensor, "batch heads tokens features"]
    """Queries, as the products are taken of them: behind norms and all else that the block does to them."""
    k: Float[Tensor, "batch heads tokens features"]
    """Keys, likewise."""
    scale: float
    """What products of queries and keys are multiplied by."""

    @property
    def dtype(self) -> torch.dtype:
        """Of the queries, and of the keys."""
        return self.q.dtype

    def to(self, dtype: torch.dtype) -> "QueriesKeys":
        """In another dtype; the same tensors where it is the same."""
        return QueriesKeys(self.q.to(dtype), self.k.to(dtype), self.scale)

    def detach(self) -> "QueriesKeys":
        """Without gradients."""
        return QueriesKeys(self.q.detach(), self.k.detach(), self.scale)


Attention = Tensor | QueriesKeys
"""Attention after softmax, (batch, heads, tokens, tokens), or what it is made of."""


def named(attention: Attention) -> dict[str, Tensor]:
    """Its tensors, by the names that contracts know.

    >>> one = torch.ones(1, 1, 2, 2)
    >>> list(named(one)), list(named(QueriesKeys(one, one, 1.0)))
    (['attn'], ['q', 'k'])
    """
    if isinstance(attention, QueriesKeys):
        return {"q": attention.q, "k": attention.k}
    return {"attn": attention}


def attended(
    attention: Attention, v: Float[Tensor, "batch heads tokens values"]
) -> Float[Tensor, "batch heads tokens values"]:
    r"""What attention makes of values: by torch's fused kernel, where it is given by queries and keys.

    .. math:: A v, \qquad A = \mathrm{softmax}(\mathrm{scale} \cdot q k^T)

    >>> attended(QueriesKeys(torch.zeros(1, 1, 2, 1), torch.zeros(1, 1, 2, 1), 1.0), torch.tensor([[[[1.0], [2.0]]]]))
    tensor([[[[1.5000],
              [1.5000]]]])
    """
    if isinstance(attention, QueriesKeys):
        return functional.scaled_dot_product_attention(attention.q, attention.k, v, scale=attention.scale)
    return attention.to(v.dtype) @ v
