"""POMT-ATT · how much every patch token is attended to, by the strongest head.

The stage reads the attention after softmax and answers with one number a patch token. It is the only stage that sees
heads x queries x keys; everything after it is linear in the tokens.
"""

from jaxtyping import Float
from torch import Tensor

from pomt_ref import contracts
from pomt_ref.types import Check, Normalisation, score_dtype


def head_maximum(
    attn: Float[Tensor, "batch heads tokens tokens"], *, prefix: int
) -> Float[Tensor, "batch tokens-{prefix} tokens-{prefix}"]:
    r"""POMT-ATT-1, first half: the strongest head between every patch query and every patch key.

    .. math:: G_{i,j} = \max_h A_{h,i,j}, \qquad i, j \ge P

    Arguments:
        attn: attention after softmax; rows are queries and sum to one, columns are keys; values in [0, 1].
        prefix: number P of prefix tokens; their rows and their columns are left out before the maximum.

    Returns:
        G, in [0, 1]; exact in every dtype.
    """
    between_patches = attn[:, :, prefix:, prefix:]
    return between_patches.amax(dim=1)


def attention_sums(
    attn: Float[Tensor, "batch heads tokens tokens"], *, prefix: int
) -> Float[Tensor, "batch tokens-{prefix}"]:
    r"""POMT-ATT-1: the sum, over patch queries, of the maximum over heads, for every patch key.

    .. math:: S_j = \sum_{i \ge P} \max_h A_{h,i,j}, \qquad j \ge P

    Arguments:
        attn: as for :func:`head_maximum`.
        prefix: as for :func:`head_maximum`.

    Returns:
        S, one sum a patch key, in [0, N - P], float32 or wider; never NaN for finite attention.

    Source: arXiv 2407.05941 section 3.3; official code ``pomt/timm_patch.py``.

    >>> import torch
    >>> attn = torch.tensor([[[[0.5, 0.5], [0.25, 0.75]], [[0.875, 0.125], [0.625, 0.375]]]])
    >>> attention_sums(attn, prefix=0)
    tensor([[1.5000, 1.2500]])
    """
    return head_maximum(attn, prefix=prefix).sum(dim=1, dtype=score_dtype(attn.dtype))


def largest_sum(
    sums: Float[Tensor, "batch patches"], *, normalisation: Normalisation = "batch"
) -> Float[Tensor, "samples 1"]:
    r"""POMT-ATT-2, first half: the largest sum of the whole batch, or of every sample.

    .. math:: M = \max S

    >>> import torch
    >>> largest_sum(torch.tensor([[1.0, 2.0], [4.0, 3.0]]), normalisation="sample")
    tensor([[2.],
            [4.]])
    """
    if normalisation == "batch":
        return sums.max().reshape(1, 1)
    return sums.max(dim=1, keepdim=True).values


def attention_score(
    attn: Float[Tensor, "batch heads tokens tokens"],
    *,
    prefix: int = 1,
    normalisation: Normalisation = "batch",
    check: Check = "values",
) -> Float[Tensor, "batch tokens-{prefix}"]:
    r"""POMT-ATT-2: the sums relative to the largest one, so that the best token scores one.

    .. math:: m_j = S_j / M, \qquad M = \max S

    Arguments:
        attn: as for :func:`head_maximum`.
        prefix: as for :func:`head_maximum`.
        normalisation: ``"batch"`` takes M over the whole batch, as the authors' code does: a sample's score then
            depends on its batch mates. ``"sample"`` takes it over each sample.
        check: ``"values"`` checks shapes and values, ``"shapes"`` shapes alone, ``"none"`` nothing.

    Returns:
        m, in [0, 1], float32 or wider; some entry of the batch (of each sample) is exactly one.

    Raises:
        PomtError: attention that is no distribution over keys, or no patch-to-patch attention at all (M = 0).

    Source: arXiv 2407.05941 section 3.3. Deviation: none in the default; erratum 5 tells what ``"batch"`` costs.

    >>> import torch
    >>> attn = torch.tensor([[[[0.5, 0.5], [0.25, 0.75]], [[0.875, 0.125], [0.625, 0.375]]]])
    >>> attention_score(attn, prefix=0)
    tensor([[1.0000, 0.8333]])
    """
    contracts.options("attention_score", normalisation=normalisation, check=check)
    contracts.layer("attention_score", attn=attn, prefix=prefix, normalisation=normalisation, check=check)
    sums = attention_sums(attn, prefix=prefix)
    return sums / largest_sum(sums, normalisation=normalisation)
