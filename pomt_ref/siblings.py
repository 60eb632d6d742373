"""TOPK, EVIT · the sibling methods: another score and another appended row on the same ranking and gathering.

Both score a patch token by how much the class row attends to it, as a mean over heads, where POMT takes a maximum.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pomt_ref import contracts
from pomt_ref.errors import OptionError
from pomt_ref.pruning import gather, planned_keep
from pomt_ref.ranking import rank
from pomt_ref.types import Check, Pruned, score_dtype


def class_score(
    attn: Float[Tensor, "batch heads tokens tokens"], *, prefix: int = 1, class_index: int = 0
) -> Float[Tensor, "batch tokens-{prefix}"]:
    r"""TOPK-1, SIB-1: the mean over heads of the attention from the class row to every patch key.

    .. math:: s_j = \frac{1}{H} \sum_h A_{h,c,j}, \qquad j \ge P

    Arguments:
        attn: attention after softmax; rows are queries, columns are keys.
        prefix: number P of prefix tokens, at least one.
        class_index: row c of the class token, in [0, P).

    Returns:
        s, in [0, 1], float32 or wider.

    >>> class_score(torch.tensor([[[[0.5, 0.25, 0.25]] * 3, [[0.5, 0.5, 0.0]] * 3]]), prefix=1)
    tensor([[0.3750, 0.1250]])
    """
    return attn[:, :, class_index, prefix:].mean(dim=1, dtype=score_dtype(attn.dtype))


def fused_row(
    discarded: Float[Tensor, "batch discarded channels"],
    weights: Float[Tensor, "batch discarded"],
    *,
    normalise: bool = False,
) -> Float[Tensor, "batch 1 channels"]:
    r"""EVIT-1: the sum of the discarded rows weighted by their scores.

    .. math:: y = \sum_{j \text{ discarded}} s_j x_j

    Arguments:
        discarded: the discarded rows of x.
        weights: their scores.
        normalise: divide by the sum of the weights: the "weighted average" of the text. The authors' code does not.

    >>> fused_row(torch.tensor([[[4.0], [8.0]]]), torch.tensor([[0.25, 0.25]]), normalise=True)
    tensor([[[6.]]])
    """
    wide = discarded.to(weights.dtype)
    fused = (weights.unsqueeze(-1) * wide).sum(dim=1, keepdim=True)
    if normalise:
        fused = fused / weights.sum(dim=1).reshape(-1, 1, 1)
    return fused.to(discarded.dtype)


def topk_prune(
    x: Float[Tensor, "batch tokens channels"],
    attn: Float[Tensor, "batch heads tokens tokens"],
    *,
    prefix: int = 1,
    keep: int | None = None,
    remove: int | None = None,
    class_index: int = 0,
    check: Check = "values",
) -> Pruned:
    r"""TOPK-1: the P prefix rows and the T patch rows that the class row attends to most, in rank order.

    Arguments:
        x: the token sequence, N rows, the P prefix rows first.
        attn: attention after softmax; rows are queries and sum to one, columns are keys.
        prefix: number P of prefix tokens, at least one (SIB-1).
        keep: number T of patch tokens kept, 0 <= T <= N - P - 1.
        remove: number R that the sequence shrinks by, 1 <= R <= N - P; exactly one of ``keep`` and ``remove``.
        class_index: row of the class token, in [0, P).
        check: as for :func:`pomt_ref.prune`.

    Returns:
        tokens (batch, P + T, channels); the discarded rows leave no trace in them.

    Raises:
        PomtError: inputs outside the specification.

    Source: Haurum et al. 2023, arXiv 2308.04657. Deviation: the authors of POMT assume one prefix token (erratum 7).

    >>> attn = torch.tensor([[[[0.5, 0.125, 0.375]] * 3]])
    >>> topk_prune(torch.tensor([[[9.0], [1.0], [2.0]]]), attn, keep=1).tokens.flatten()
    tensor([9., 2.])
    """
    keep, scores, order = _class_order(
        "topk_prune", "TOPK-1", x, attn, prefix, keep, remove, class_index, check, appended=0
    )
    kept, discarded = order[:, :keep], order[:, keep:]
    return Pruned(torch.cat([x[:, :prefix], gather(x, kept)], dim=1), kept, discarded, scores)


def evit_prune(
    x: Float[Tensor, "batch tokens channels"],
    attn: Float[Tensor, "batch heads tokens tokens"],
    *,
    prefix: int = 1,
    keep: int | None = None,
    remove: int | None = None,
    normalise: bool = False,
    class_index: int = 0,
    check: Check = "values",
) -> Pruned:
    r"""EVIT-1: as Top-K, then one row that fuses the discarded ones by their scores.

    Arguments:
        x: the token sequence, N rows, the P prefix rows first.
        attn: attention after softmax; rows are queries and sum to one, columns are keys.
        prefix: number P of prefix tokens, at least one (SIB-1).
        keep: number T of patch tokens kept, 0 <= T <= N - P - 1.
        remove: number R that the sequence shrinks by, 1 <= R <= N - P - 1; exactly one of ``keep`` and ``remove``.
        normalise: divide the fused row by the sum of its weights.
        class_index: row of the class token, in [0, P).
        check: as for :func:`pomt_ref.prune`.

    Returns:
        tokens (batch, P + T + 1, channels).

    Raises:
        PomtError: inputs outside the specification, or weights that sum to zero where they are to be normalised.

    Source: Liang et al. 2022, arXiv 2202.07800, ``evit.py``.

    >>> attn = torch.tensor([[[[0.5, 0.125, 0.375]] * 3]])
    >>> evit_prune(torch.tensor([[[9.0], [8.0], [2.0]]]), attn, keep=1).tokens.flatten()
    tensor([9., 2., 1.])
    """
    if not isinstance(normalise, bool):
        raise OptionError("evit_prune", "EVIT-1", "normalise, a bool", f"normalise={normalise!r}")
    keep, scores, order = _class_order(
        "evit_prune", "EVIT-1", x, attn, prefix, keep, remove, class_index, check, appended=1
    )
    kept, discarded = order[:, :keep], order[:, keep:]
    weights = scores.gather(1, discarded - prefix)
    fused = fused_row(gather(x, discarded), weights, normalise=normalise)
    contracts.finite("evit_prune", "EVIT-1", fused=fused, check=check)
    return Pruned(torch.cat([x[:, :prefix], gather(x, kept), fused], dim=1), kept, discarded, scores)


def _class_order(
    function: str,
    clause: str,
    x: Float[Tensor, "batch tokens channels"],
    attn: Float[Tensor, "batch heads tokens tokens"],
    prefix: int,
    keep: int | None,
    remove: int | None,
    class_index: int,
    check: Check,
    *,
    appended: int,
) -> tuple[int, Float[Tensor, "batch patches"], Int[Tensor, "batch patches"]]:
    """Check the inputs, then T, the class scores and the order: what Top-K and EViT have in common."""
    contracts.options(function, check=check)
    contracts.layer(function, x=x, attn=attn, prefix=prefix, check=check)
    contracts.class_row(function, class_index, prefix=prefix, check=check)
    keep = planned_keep(
        function, x.shape[1], prefix=prefix, keep=keep, remove=remove, check=check, clause=clause, appended=appended
    )
    scores = class_score(attn.detach(), prefix=prefix, class_index=class_index)
    return keep, scores, rank(scores, prefix=prefix, check="none")
