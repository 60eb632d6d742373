"""POMT-PRUNE-1 from queries, keys and values: a step that never holds the attention matrix."""

from dataclasses import dataclass
from typing import Final, Literal, get_args

from jaxtyping import Float
from torch import Tensor

from pomt_ref import contracts
from pomt_ref.attention import largest_sum
from pomt_ref.errors import DeviceError, OptionError
from pomt_ref.magnitude import magnitude_score
from pomt_ref.pruning import planned_keep, prune_by
from pomt_ref.streaming import boundary, operators
from pomt_ref.streaming.fused import is_fused, logsumexp
from pomt_ref.types import Check, Normalisation, Pruned

Algorithm = Literal["one pass", "logsumexp"]
"""How attention sums are computed: whole rows in blocks, or tiles beside the logsumexp of a fused kernel."""

ASKED: Final = ("auto", *get_args(Algorithm))
"""What a caller may ask for."""


@dataclass(frozen=True)
class StreamedStep(Pruned):
    """A pruned step, and how its attention sums were computed."""

    sums: Float[Tensor, "batch patches"]
    """POMT-ATT-1: S, float32 or wider."""
    algorithm: Algorithm
    """What was chosen, or asked for."""


def prune_qkv(
    x: Float[Tensor, "batch tokens channels"],
    q: Float[Tensor, "batch heads tokens features"],
    k: Float[Tensor, "batch heads tokens features"],
    v: Float[Tensor, "batch heads tokens values"],
    *,
    prefix: int = 1,
    keep: int | None = None,
    remove: int | None = None,
    scale: float | None = None,
    rows: int | None = None,
    algorithm: Literal["auto", "one pass", "logsumexp"] = "auto",
    normalisation: Normalisation = "batch",
    check: Check = "values",
) -> StreamedStep:
    """POMT-PRUNE-1: the step of :func:`pomt_ref.prune` from what attention is made of, in O(N) memory.

    Arguments:
        x: the token sequence, N rows, the P prefix rows first.
        q: queries of the same layer.
        k: its keys.
        v: its values, any sign.
        prefix: number P of prefix tokens; they are never pruned.
        keep: number T of patch tokens kept, 0 <= T <= N - P - 1.
        remove: number R that the sequence shrinks by, 1 <= R <= N - P - 1; exactly one of ``keep`` and ``remove``.
        scale: what products of queries and keys are multiplied by; one over the root of the features unless told.
        rows: query rows a block, or the side of a tile; fewer need less memory.
        algorithm: ``"one pass"`` computes whole rows; ``"logsumexp"`` runs torch's fused kernel and then tiles;
            ``"auto"`` is the second on CUDA, where the fused kernel takes the queries, and the first elsewhere.
        normalisation: over what the largest attention sum is taken, see :func:`pomt_ref.attention_score`.
        check: ``"values"`` checks shapes and values, ``"shapes"`` shapes alone, ``"none"`` options alone.

    Returns:
        the step, its attention sums, and the algorithm that was chosen. Gradients flow to the kept rows and to the
        mean row, none to the ranking (POMT-META-7).

    Raises:
        PomtError: inputs outside the specification, products that overflow, or memory that runs out: the message then
            says which ``rows`` to choose.

    Source: arXiv 2407.05941 sections 3.3 and 3.4.

    >>> import torch
    >>> x, q = torch.tensor([[[9.0], [1.0], [2.0], [6.0]]]), torch.zeros(1, 1, 4, 2)
    >>> k, v = torch.tensor([[[[0.0], [1.0], [3.0], [2.0]]]]).expand(1, 1, 4, 2), torch.zeros(1, 1, 4, 2)
    >>> step = prune_qkv(x, q + 1, k, v, prefix=1, keep=1)
    >>> step.tokens.flatten(), step.kept, step.algorithm
    (tensor([9.0000, 2.0000, 3.5000]), tensor([[2]]), 'one pass')
    """
    contracts.options("prune_qkv", normalisation=normalisation, check=check)
    rows = boundary.rows_of("prune_qkv", rows)
    contracts.layer("prune_qkv", x=x, q=q, k=k, v=v, prefix=prefix, check=check)
    keep = planned_keep("prune_qkv", x.shape[1], prefix=prefix, keep=keep, remove=remove, check=check)
    scale = boundary.scale_of("prune_qkv", scale, features=q.shape[-1], dtype=q.dtype)
    chosen = choose("prune_qkv", algorithm, q)
    sums = attention_sums_by(chosen, q.detach(), k.detach(), prefix=prefix, scale=scale, rows=rows)
    contracts.finite("prune_qkv", "POMT-ATT-1", sums=sums, check=check)
    scores = score_sums("prune_qkv", sums, v, prefix=prefix, normalisation=normalisation, check=check)
    step = prune_by("prune_qkv", x, scores, prefix=prefix, keep=keep, check=check)
    return StreamedStep(step.tokens, step.kept, step.discarded, step.scores, sums, chosen)


def prune_sums(
    x: Float[Tensor, "batch tokens channels"],
    sums: Float[Tensor, "batch tokens-{prefix}"],
    v: Float[Tensor, "batch heads tokens values"],
    *,
    prefix: int = 1,
    keep: int | None = None,
    remove: int | None = None,
    normalisation: Normalisation = "batch",
    check: Check = "values",
) -> Pruned:
    """POMT-PRUNE-1: the step of :func:`pomt_ref.prune`, from attention sums that are there already.

    Arguments:
        x: the token sequence, N rows, the P prefix rows first.
        sums: S of POMT-ATT-1, one a patch key, in the dtype of scores, as ``streaming_attention`` returns them.
        v: the values of the same layer, any sign.
        prefix: number P of prefix tokens; they are never pruned.
        keep: number T of patch tokens kept, 0 <= T <= N - P - 1.
        remove: number R that the sequence shrinks by, 1 <= R <= N - P - 1; exactly one of ``keep`` and ``remove``.
        normalisation: over what the largest attention sum is taken, see :func:`pomt_ref.attention_score`.
        check: ``"values"`` checks shapes and values, ``"shapes"`` shapes alone, ``"none"`` options alone.

    Returns:
        as :func:`pomt_ref.prune`.

    Raises:
        PomtError: inputs outside the specification.

    >>> import torch
    >>> x, v = torch.tensor([[[9.0], [1.0], [2.0], [6.0]]]), torch.zeros(1, 1, 4, 2)
    >>> prune_sums(x, torch.tensor([[0.5, 1.5, 1.0]]), v, prefix=1, keep=1).tokens.flatten()
    tensor([9.0000, 2.0000, 3.5000])
    """
    contracts.options("prune_sums", normalisation=normalisation, check=check)
    contracts.layer("prune_sums", x=x, v=v, prefix=prefix, check=check)
    boundary.sums("prune_sums", sums, x=x, prefix=prefix, check=check)
    keep = planned_keep("prune_sums", x.shape[1], prefix=prefix, keep=keep, remove=remove, check=check)
    scores = score_sums("prune_sums", sums.detach(), v, prefix=prefix, normalisation=normalisation, check=check)
    return prune_by("prune_sums", x, scores, prefix=prefix, keep=keep, check=check)


def score_sums(
    function: str,
    sums: Float[Tensor, "batch patches"],
    v: Float[Tensor, "batch heads tokens values"],
    *,
    prefix: int,
    normalisation: Normalisation,
    check: Check,
) -> Float[Tensor, "batch patches"]:
    """POMT-SCORE-1, once the attention sums are there: their share of the largest one, plus magnitude.

    >>> import torch
    >>> sums, v = torch.tensor([[0.5, 1.0]]), torch.zeros(1, 1, 4, 2)
    >>> score_sums("prune_sums", sums, v, prefix=2, normalisation="batch", check="values")
    tensor([[0.7500, 1.2500]])
    """
    boundary.some_attention(function, sums, normalisation=normalisation, check=check)
    attention = sums / largest_sum(sums, normalisation=normalisation)
    scores = attention + magnitude_score(v.detach(), prefix=prefix, check="none")
    contracts.finite(function, "POMT-SCORE-1", scores=scores, check=check)
    return scores


def choose(function: str, algorithm: object, q: Float[Tensor, "batch heads tokens features"]) -> Algorithm:
    """The algorithm that is asked for, or the one for the device of the queries.

    On a CPU the one pass takes one product a head where the other takes three; on CUDA the fused kernel is faster.
    """
    match algorithm:
        case "auto":
            return "logsumexp" if q.device.type == "cuda" and is_fused(q) else "one pass"
        case "one pass":
            return "one pass"
        case "logsumexp" if is_fused(q):
            return "logsumexp"
        case "logsumexp":
            got = f"{q.shape[-1]} features in {q.dtype} on {q.device.type}"
            raise DeviceError(function, "POMT-ATT-1", "queries that a fused kernel of torch takes", got)
        case _:
            raise OptionError(function, "POMT-ATT-1", f"algorithm in {ASKED}", f"algorithm={algorithm!r}")


def attention_sums_by(
    algorithm: Algorithm,
    q: Float[Tensor, "batch heads tokens features"],
    k: Float[Tensor, "batch heads tokens features"],
    *,
    prefix: int,
    scale: float,
    rows: int | None,
) -> Float[Tensor, "batch tokens-{prefix}"]:
    """POMT-ATT-1 by either algorithm; both are exact but for their rounding."""
    sums: Tensor
    if algorithm == "one pass":
        sums = operators.attention_sums(q, k, prefix, scale, rows)
    else:
        lse = logsumexp(q, k, scale=scale)
        sums = operators.attention_sums_from_lse(q, k, lse, prefix, scale, rows)
    return sums
