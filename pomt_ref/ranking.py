"""POMT-SCORE, POMT-RANK · one score a patch token, and the tokens in its descending order."""

from jaxtyping import Float, Int
from torch import Tensor

from pomt_ref import contracts
from pomt_ref.attention import attention_score
from pomt_ref.magnitude import magnitude_score
from pomt_ref.types import Check, Normalisation


def score(
    attn: Float[Tensor, "batch heads tokens tokens"],
    v: Float[Tensor, "batch heads tokens features"],
    *,
    prefix: int = 1,
    normalisation: Normalisation = "batch",
    check: Check = "values",
) -> Float[Tensor, "batch tokens-{prefix}"]:
    r"""POMT-SCORE-1: the attention score plus the value-magnitude score.

    .. math:: s_j = m_j + p_j

    Arguments:
        attn: attention after softmax; rows are queries and sum to one, columns are keys.
        v: the values, any sign.
        prefix: number P of prefix tokens; they get no score.
        normalisation: over what the largest attention sum is taken, see :func:`pomt_ref.attention_score`.
        check: ``"values"`` checks shapes and values, ``"shapes"`` shapes alone, ``"none"`` nothing.

    Returns:
        s, in [0, 2] (closed bounds: they hold in floating point too), float32 or wider.

    Raises:
        PomtError: inputs outside the specification.

    Source: arXiv 2407.05941 section 3.3.

    >>> import torch
    >>> attn = torch.tensor([[[[0.5, 0.5], [0.25, 0.75]]]])
    >>> score(attn, torch.zeros(1, 1, 2, 1), prefix=0)
    tensor([[1.1000, 1.5000]])
    """
    contracts.options("score", normalisation=normalisation, check=check)
    contracts.layer("score", attn=attn, v=v, prefix=prefix, normalisation=normalisation, check=check)
    attention = attention_score(attn, prefix=prefix, normalisation=normalisation, check="none")
    scores = attention + magnitude_score(v, prefix=prefix, check="none")
    contracts.finite("score", "POMT-SCORE-1", scores=scores, check=check)
    return scores


def rank(
    scores: Float[Tensor, "batch patches"], *, prefix: int = 0, check: Check = "values"
) -> Int[Tensor, "batch patches"]:
    r"""POMT-RANK-1: the tokens in descending score; exact ties are broken by the lower index.

    .. math:: s_{\pi(0)} \ge s_{\pi(1)} \ge \dots

    Arguments:
        scores: one score a patch token.
        prefix: added to every index: with the P of the sequence, the order refers to rows of x.
        check: ``"values"`` checks shapes and values, ``"shapes"`` shapes alone, ``"none"`` nothing.

    Returns:
        the order, a permutation of [prefix, prefix + patches) for every sample, int64. Ties are not normative for
        other implementations: any order of equal scores conforms.

    Raises:
        PomtError: scores that are not finite: they have no order.

    Deviation: the authors' ``argsort`` is not stable (erratum 6).

    >>> import torch
    >>> rank(torch.tensor([[0.5, 1.5, 0.5, 2.0]]), prefix=1)
    tensor([[4, 2, 1, 3]])
    """
    contracts.options("rank", check=check)
    contracts.scores("rank", scores, prefix=prefix, check=check)
    return scores.argsort(dim=1, descending=True, stable=True) + prefix
