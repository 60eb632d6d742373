"""POMT-PRUNE · one pruning step, from tensors to tokens: score, rank, gather, mean."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pomt_ref import contracts, counting
from pomt_ref.ranking import rank, score
from pomt_ref.types import Check, Normalisation, Pruned, score_dtype


def gather(
    x: Float[Tensor, "batch tokens channels"], rows: Int[Tensor, "batch chosen"]
) -> Float[Tensor, "batch chosen channels"]:
    """POMT-PRUNE-2: the chosen rows of every sample, bit-exact, in the order of the indices.

    Row r of sample b is row r + b N of all samples together.

    >>> gather(torch.tensor([[[1.0], [2.0], [3.0]]]), torch.tensor([[2, 0]]))
    tensor([[[3.],
             [1.]]])
    """
    samples = torch.arange(x.shape[0], device=x.device).unsqueeze(-1)
    return torch.embedding(x.flatten(0, 1), rows.add(samples, alpha=x.shape[1]))


def mean_row(discarded: Float[Tensor, "batch discarded channels"]) -> Float[Tensor, "batch 1 channels"]:
    r"""POMT-PRUNE-3: the arithmetic mean of the discarded rows, accumulated in at least float32.

    .. math:: y = \frac{1}{m} \sum_{j \text{ discarded}} x_j

    >>> mean_row(torch.tensor([[[1.0], [2.0]]], dtype=torch.float16))
    tensor([[[1.5000]]], dtype=torch.float16)
    """
    return discarded.mean(dim=1, keepdim=True, dtype=score_dtype(discarded.dtype)).to(discarded.dtype)


def planned_keep(
    function: str,
    tokens: int,
    *,
    prefix: int,
    keep: int | None,
    remove: int | None,
    check: Check,
    clause: str = "POMT-PRUNE-1",
    appended: int = 1,
) -> int:
    """POMT-COUNT-1: T, from exactly one of T itself (``keep``) and R (``remove``).

    >>> planned_keep("prune", 197, prefix=1, keep=None, remove=56, check="values")
    139
    """
    contracts.one_of(function, keep=keep, remove=remove)
    if remove is not None:
        contracts.remove_count(function, remove, tokens=tokens, prefix=prefix, appended=appended, check=check)
        prefix, remove = contracts.plain(prefix), contracts.plain(remove)
        return counting.kept_count(tokens, prefix=prefix, remove=remove, appended=appended)
    assert keep is not None  # noqa: S101 -- tells the type checker what one_of has just enforced
    contracts.keep_count(function, keep, tokens=tokens, prefix=prefix, clause=clause, check=check)
    return contracts.plain(keep)


def prune_by(
    function: str,
    x: Float[Tensor, "batch tokens channels"],
    scores: Float[Tensor, "batch patches"],
    *,
    prefix: int,
    keep: int,
    check: Check,
) -> Pruned:
    """POMT-PRUNE-1 once the scores are there: rank, gather, mean.

    >>> prune_by("prune", torch.tensor([[[9.0], [1.0], [2.0]]]), torch.tensor([[0.5, 1.5]]), prefix=1, keep=1,
    ...          check="values").tokens.flatten()
    tensor([9., 2., 1.])
    """
    order = rank(scores, prefix=prefix, check="none")
    rows = gather(x, order)
    mean = mean_row(rows[:, keep:])
    contracts.finite(function, "POMT-PRUNE-3", mean=mean, check=check)
    tokens = torch.cat([x[:, :prefix], rows[:, :keep], mean], dim=1)
    return Pruned(tokens, kept=order[:, :keep], discarded=order[:, keep:], scores=scores)


def prune(
    x: Float[Tensor, "batch tokens channels"],
    attn: Float[Tensor, "batch heads tokens tokens"],
    v: Float[Tensor, "batch heads tokens features"],
    *,
    prefix: int = 1,
    keep: int | None = None,
    remove: int | None = None,
    normalisation: Normalisation = "batch",
    check: Check = "values",
) -> Pruned:
    r"""POMT-PRUNE-1: the P prefix rows, the T best patch rows in rank order, and the mean of the others.

    .. math:: (x_0, \dots, x_{P-1},\; x_{\pi(0)}, \dots, x_{\pi(T-1)},\; \frac{1}{m}\sum_{k \ge T} x_{\pi(k)})

    Arguments:
        x: the token sequence, N rows, the P prefix rows first.
        attn: attention after softmax of the same layer; rows are queries and sum to one, columns are keys.
        v: the values of the same layer, any sign.
        prefix: number P of prefix tokens (class, distillation, registers); they are never pruned.
        keep: number T of patch tokens kept, 0 <= T <= N - P - 1.
        remove: number R that the sequence shrinks by, 1 <= R <= N - P - 1; exactly one of ``keep`` and ``remove``.
        normalisation: over what the largest attention sum is taken, see :func:`pomt_ref.attention_score`.
        check: ``"values"`` checks shapes and values, ``"shapes"`` shapes alone, ``"none"`` nothing: for compiled and
            exported code; T = N - P or a negative T is then the caller's fault.

    Returns:
        tokens (batch, P + T + 1, channels) in x's dtype and on x's device, kept and discarded rows of x, scores.
        Gradients flow to the kept rows and to the mean row, none to the ranking (POMT-META-7).

    Raises:
        PomtError: inputs outside the specification; the message names the clause.

    Source: arXiv 2407.05941 sections 3.3 and 3.4; official code ``pomt/timm_patch.py``.
    Deviation: errata 1 to 3 of the authors' code (lengths with P != 1, no pruning at large R, NaN mean rows).

    >>> x = torch.tensor([[[9.0], [1.0], [2.0], [6.0]]])
    >>> attn = torch.tensor([[[[0.25, 0.25, 0.25, 0.25], *3 * [[0.0, 0.5, 0.125, 0.375]]]]])
    >>> step = prune(x, attn, torch.zeros(1, 1, 4, 2), prefix=1, keep=1)
    >>> step.tokens.flatten(), step.kept, step.discarded
    (tensor([9., 1., 4.]), tensor([[1]]), tensor([[3, 2]]))
    """
    contracts.options("prune", normalisation=normalisation, check=check)
    contracts.layer("prune", x=x, attn=attn, v=v, prefix=prefix, normalisation=normalisation, check=check)
    keep = planned_keep("prune", x.shape[1], prefix=prefix, keep=keep, remove=remove, check=check)

    scores = score(attn.detach(), v.detach(), prefix=prefix, normalisation=normalisation, check="none")
    contracts.finite("prune", "POMT-SCORE-1", scores=scores, check=check)
    return prune_by("prune", x, scores, prefix=prefix, keep=keep, check=check)
