"""POMT-MAG · how large a token's value vector is, by the strongest head.

The stage reads the values and answers with one number a token: the softmax over all tokens of a signed sum.
"""

from jaxtyping import Float
from torch import Tensor

from pomt_ref import contracts
from pomt_ref.types import Check, score_dtype


def value_sums(v: Float[Tensor, "batch heads tokens features"]) -> Float[Tensor, "batch tokens"]:
    r"""POMT-MAG-1, first half: the sum over features of the maximum over heads, for every token.

    .. math:: t_k = \sum_d \max_h v_{h,k,d}

    Arguments:
        v: the values, any sign; the prefix tokens are included.

    Returns:
        t, float32 or wider.

    >>> import torch
    >>> value_sums(torch.tensor([[[[1.0, -2.0]], [[0.5, -1.0]]]]))
    tensor([[0.]])
    """
    strongest_head = v.amax(dim=1)
    return strongest_head.sum(dim=-1, dtype=score_dtype(v.dtype))


def magnitude_score(
    v: Float[Tensor, "batch heads tokens features"], *, prefix: int = 1, check: Check = "values"
) -> Float[Tensor, "batch tokens-{prefix}"]:
    r"""POMT-MAG-1: the softmax of the value sums over all tokens; the prefix entries are dropped after it.

    .. math:: p_k = \frac{e^{t_k}}{\sum_{l=0}^{N-1} e^{t_l}}, \qquad k \ge P

    Arguments:
        v: as for :func:`value_sums`.
        prefix: number P of prefix tokens; they take their share of the softmax and get no score.
        check: ``"values"`` checks shapes and values, ``"shapes"`` shapes alone, ``"none"`` nothing.

    Returns:
        p, in [0, 1], float32 or wider; its sum is one less the share of the prefix.

    Raises:
        PomtError: values that are not finite, or whose sums are not.

    Source: arXiv 2407.05941 section 3.3; official code ``pomt/timm_patch.py``.

    >>> import torch
    >>> magnitude_score(torch.zeros(1, 2, 4, 3), prefix=1)
    tensor([[0.2500, 0.2500, 0.2500]])
    """
    contracts.options("magnitude_score", check=check)
    contracts.layer("magnitude_score", v=v, prefix=prefix, check=check)
    share = value_sums(v).softmax(dim=-1)
    contracts.finite("magnitude_score", "POMT-MAG-1", share=share, check=check)
    return share[:, prefix:]
