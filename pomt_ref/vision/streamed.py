"""A step of a patched layer from queries and keys: no matrix of attention is held, whatever the method."""

import torch
from jaxtyping import Float
from torch import Tensor

from pomt_ref import contracts
from pomt_ref.errors import OptionError
from pomt_ref.ranking import rank
from pomt_ref.streaming.step import attention_sums_by, choose, prune_qkv, score_sums
from pomt_ref.types import Check, Pruned, score_dtype
from pomt_ref.vision.attending import QueriesKeys
from pomt_ref.vision.methods import Options, any_order, prune_in_order


def prune_streamed(
    options: Options,
    x: Float[Tensor, "batch tokens channels"],
    attention: QueriesKeys,
    v: Float[Tensor, "batch heads tokens features"],
    *,
    prefix: int,
    remove: int,
    check: Check,
) -> Pruned:
    """One step with R >= 1 in O(N) memory: POMT by attention sums in blocks, its siblings by one row a head.

    Where ONNX is written, ties go through TopK, and values are not checked.

    Raises:
        OptionError: POMT is written as ONNX, which does not know the operator of the sums.
        PomtError: inputs outside the specification, or memory that runs out.
    """
    exporting = torch.onnx.is_in_onnx_export()
    if exporting and options.method == "pomt":
        raise OptionError("patch", "CHOOSE-3", "streaming=False where ONNX is written", "streaming=True")
    q, k, scale = attention.q, attention.k, attention.scale
    if options.method == "pomt" and options.ties == "lower":
        normalisation = options.normalisation
        return prune_qkv(
            x, q, k, v, prefix=prefix, remove=remove, scale=scale, normalisation=normalisation, check=check
        )
    check = "none" if exporting else check
    contracts.layer("patch", x=x, q=q, k=k, v=v, prefix=prefix, check=check)
    scores = streamed_score(options, attention.detach(), v.detach(), prefix=prefix, check=check)
    through_topk = options.ties == "any" or exporting
    order = any_order(scores, prefix=prefix) if through_topk else rank(scores, prefix=prefix, check="none")
    pruned = prune_in_order(options, x, scores, order, prefix=prefix, remove=remove)
    contracts.finite("patch", "POMT-PRUNE-1", tokens=pruned.tokens, check=check)
    return pruned


def streamed_score(
    options: Options,
    attention: QueriesKeys,
    v: Float[Tensor, "batch heads tokens features"],
    *,
    prefix: int,
    check: Check,
) -> Float[Tensor, "batch tokens-{prefix}"]:
    """The score by which the method ranks (POMT-SCORE-1, TOPK-1, EVIT-1), float32 or wider."""
    if options.method == "pomt":
        algorithm = choose("patch", "auto", attention.q)
        sums = attention_sums_by(algorithm, attention.q, attention.k, prefix=prefix, scale=attention.scale, rows=None)
        return score_sums("patch", sums, v, prefix=prefix, normalisation=options.normalisation, check=check)
    row = class_attention(attention, class_index=options.class_index)
    scores = row[:, :, prefix:].mean(dim=1)
    contracts.finite("patch", "SIB-1", scores=scores, check=check)
    return scores


def class_attention(attention: QueriesKeys, *, class_index: int) -> Float[Tensor, "batch heads tokens"]:
    r"""SIB-1: what the row of the class token attends to, of every head: one row of the matrix, float32 or wider.

    .. math:: A_{h,c,\cdot} = \mathrm{softmax}(\mathrm{scale} \cdot q_{h,c} k_h^T)

    >>> q, k = torch.ones(1, 1, 2, 1), torch.tensor([[[[1.0], [4.0]]]]).log()
    >>> class_attention(QueriesKeys(q, k, 1.0), class_index=0)
    tensor([[[0.2000, 0.8000]]])
    """
    wide = score_dtype(attention.dtype)
    row = attention.q[:, :, class_index, None].to(wide)
    # Products one by one and their sums, since autocast would round a product of matrices (POMT-PREC-1).
    logits = attention.scale * (row * attention.k.to(wide)).sum(dim=-1)
    return logits.softmax(dim=-1)
