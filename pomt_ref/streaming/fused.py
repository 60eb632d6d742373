"""POMT-ATT-1 beside a fused kernel of attention: the sums from queries, keys and their logsumexp."""

from collections.abc import Callable, Mapping
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from pomt_ref import contracts
from pomt_ref.streaming import boundary, operators
from pomt_ref.streaming.tangents import refuse_tangents
from pomt_ref.types import Check, score_dtype

ALIGNMENT: Final = 16
"""Bytes that a row of queries must be a multiple of for torch's memory-efficient kernel on CUDA."""


def attention_sums_from_lse(
    q: Float[Tensor, "batch heads tokens features"],
    k: Float[Tensor, "batch heads tokens features"],
    lse: Float[Tensor, "batch heads tokens"],
    *,
    prefix: int,
    scale: float | None = None,
    rows: int | None = None,
    check: Check = "values",
) -> Float[Tensor, "batch tokens-{prefix}"]:
    r"""POMT-ATT-1: the attention sums of a layer whose logsumexp a fused kernel has returned.

    .. math:: S_j = \sum_{i \ge P} \exp \max_h \bigl(\mathrm{scale} \cdot q_{h,i} \cdot k_{h,j} - \mathrm{lse}_{h,i}
        \bigr), \qquad \mathrm{lse}_{h,i} = \log \sum_{l} \exp(\mathrm{scale} \cdot q_{h,i} \cdot k_{h,l})

    As exact as the kernel's logsumexp, whose rounding grows with the logits: beside logits of thousands in float32 use
    :func:`~pomt_ref.streaming.attention.streaming_attention`, whose error does not grow.

    Arguments:
        q: queries.
        k: keys.
        lse: the natural logarithm of every query's sum of exponentials over all keys, prefix included; float32, or
            float64 for such queries.
        prefix: number P of prefix tokens.
        scale: what the kernel multiplied its products by; one over the root of the features unless told.
        rows: the side of a tile of queries and keys; 512 unless told. A smaller one needs less memory.
        check: ``"values"`` checks shapes and values, ``"shapes"`` shapes alone, ``"none"`` options alone.

    Returns:
        S, float32 or wider. No gradient flows through it (POMT-META-7): a backward pass is an error, and so are
            inputs that carry tangents of forward mode.

    Raises:
        PomtError: inputs outside the specification, sums that no attention has (the lse is none of these queries and
            keys, at this scale), or memory that runs out.

    Source: arXiv 2407.05941 section 3.3.

    >>> q, k = torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 3, 4)
    >>> attention_sums_from_lse(q, k, torch.full((1, 2, 3), 3.0).log(), prefix=1)
    tensor([[0.6667, 0.6667]])
    """
    contracts.options("attention_sums_from_lse", check=check)
    rows = boundary.rows_of("attention_sums_from_lse", rows)
    contracts.layer("attention_sums_from_lse", q=q, k=k, lse=lse, prefix=prefix, check=check)
    boundary.lse("attention_sums_from_lse", lse, q=q, check=check)
    scale = boundary.scale_of("attention_sums_from_lse", scale, features=q.shape[-1], dtype=q.dtype)
    refuse_tangents(operators.no_tangents, q, k, lse)
    sums: Tensor = operators.attention_sums_from_lse(q, k, lse, contracts.plain(prefix), scale, rows)
    contracts.finite("attention_sums_from_lse", "POMT-ATT-1", sums=sums, check=check)
    boundary.at_most_one_a_query("attention_sums_from_lse", sums, q=q, k=k, scale=scale, check=check)
    return sums


def logsumexp(
    q: Float[Tensor, "batch heads tokens features"], k: Float[Tensor, "batch heads tokens features"], *, scale: float
) -> Float[Tensor, "batch heads tokens"]:
    """The logsumexp that torch's fused kernel of this device returns beside its output, in float32 or wider.

    >>> logsumexp(torch.zeros(1, 1, 2, 8), torch.zeros(1, 1, 2, 8), scale=1.0)
    tensor([[[0.6931, 0.6931]]])
    """
    return FUSED[q.device.type](q, k, scale)


def is_fused(q: Float[Tensor, "batch heads tokens features"]) -> bool:
    """Whether torch has a fused kernel for these queries that returns a logsumexp.

    >>> is_fused(torch.zeros(1, 1, 2, 3))
    True
    """
    if q.device.type != "cuda":
        return q.device.type in FUSED
    return q.dtype != torch.float64 and q.shape[-1] * q.dtype.itemsize % ALIGNMENT == 0


def _on_cpu(q: Tensor, k: Tensor, scale: float) -> Tensor:
    """Flash attention for CPU; keys stand for the values that nobody asks for.

    For half precision this kernel takes exponentials of about 20 bits, so it is asked in float32; and a last axis
    whose stride is not one it reads as if it were, without an error.
    """
    wide = score_dtype(q.dtype)
    queries, keys = q.to(wide).contiguous(), k.to(wide).contiguous()
    lse: Tensor
    _, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(queries, keys, keys, scale=scale)  # noqa: SLF001 -- what returns it
    return lse


def _on_cuda(q: Tensor, k: Tensor, scale: float) -> Tensor:
    """Memory-efficient attention for CUDA, whose logsumexp is padded to a multiple of 32 queries."""
    queries, keys = q.contiguous(), k.contiguous()
    fused = torch.ops.aten._scaled_dot_product_efficient_attention  # noqa: SLF001 -- as above
    lse: Tensor = fused(queries, keys, keys, attn_bias=None, compute_log_sumexp=True, scale=scale)[1]
    return lse[..., : q.shape[2]]


FUSED: Final[Mapping[str, Callable[[Tensor, Tensor, float], Tensor]]] = {"cpu": _on_cpu, "cuda": _on_cuda}
"""By the kind of device."""
