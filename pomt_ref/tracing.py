"""Every stage of one pruning step by its clause, so that an implementation can be debugged stage by stage."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pomt_ref.attention import attention_sums, head_maximum, largest_sum
from pomt_ref.magnitude import magnitude_score, value_sums
from pomt_ref.pruning import gather, mean_row, prune
from pomt_ref.types import Check, Normalisation, Trace


def gap_at_cut(
    scores: Float[Tensor, "batch patches"], order: Int[Tensor, "batch patches"], *, keep: int
) -> Float[Tensor, " batch"]:
    r"""POMT-RANK-1: how far the last kept token is above the first discarded one.

    .. math:: s_{\pi(T-1)} - s_{\pi(T)}

    Arguments:
        scores: one score a patch token.
        order: positions among the patch tokens, best first.
        keep: T, less than the number of patch tokens.

    Returns:
        the gap, at least zero; zero means that the cut goes through a tie; infinite if no token is kept.

    >>> gap_at_cut(torch.tensor([[0.5, 2.0, 1.25]]), torch.tensor([[1, 2, 0]]), keep=1)
    tensor([0.7500])
    """
    if keep == 0:
        return torch.full_like(scores[:, 0], torch.inf)
    descending = scores.gather(1, order)
    return descending[:, keep - 1] - descending[:, keep]


def trace(
    x: Float[Tensor, "batch tokens channels"],
    attn: Float[Tensor, "batch heads tokens tokens"],
    v: Float[Tensor, "batch heads tokens features"],
    *,
    prefix: int = 1,
    keep: int | None = None,
    remove: int | None = None,
    normalisation: Normalisation = "batch",
    check: Check = "values",
) -> Trace:
    """POMT-PRUNE-1, stage by stage: what :func:`pomt_ref.prune` computes on its way, each under its clause.

    Arguments, errors and source are those of :func:`pomt_ref.prune`.

    Returns:
        every stage; the shapes and ranges stand at the fields of :class:`pomt_ref.Trace`.

    >>> x = torch.tensor([[[9.0], [1.0], [2.0], [6.0]]])
    >>> attn = torch.tensor([[[[0.25, 0.25, 0.25, 0.25], *3 * [[0.0, 0.5, 0.125, 0.375]]]]])
    >>> stages = trace(x, attn, torch.zeros(1, 1, 4, 2), prefix=1, keep=1)
    >>> stages.sums, stages.gap
    (tensor([[1.5000, 0.3750, 1.1250]]), tensor([0.2500]))
    """
    step = prune(x, attn, v, prefix=prefix, keep=keep, remove=remove, normalisation=normalisation, check=check)
    attn, v = attn.detach(), v.detach()
    sums = attention_sums(attn, prefix=prefix)
    largest = largest_sum(sums, normalisation=normalisation)
    order = torch.cat([step.kept, step.discarded], dim=1)
    return Trace(
        head_maximum=head_maximum(attn, prefix=prefix),
        sums=sums,
        largest=largest,
        attention=sums / largest,
        value_sums=value_sums(v),
        magnitude=magnitude_score(v, prefix=prefix, check="none"),
        scores=step.scores,
        order=order,
        gap=gap_at_cut(step.scores, order - prefix, keep=step.kept.shape[1]),
        kept=step.kept,
        discarded=step.discarded,
        mean=mean_row(gather(x, step.discarded)),
        tokens=step.tokens,
    )
