"""POMT-ATT · how much every patch token is attended to, by the strongest head.

Every function of the oracle answers inputs that the specification calls valid: finite, shapes that agree, at least
one head and one patch token. Checking that they are is the caller's work. Sums are :func:`math.fsum`, so each is the
exact sum rounded once.
"""

from math import fsum, nan
from typing import Literal

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

Normalisation = Literal["batch", "sample"]
"""POMT-ATT-2: where the largest sum is taken, over the whole batch (the authors' code) or over each sample."""


def head_maximum(
    attn: Float64[NDArray[np.float64], "batch heads tokens tokens"], *, prefix: int
) -> Float64[NDArray[np.float64], "batch tokens-{prefix} tokens-{prefix}"]:
    r"""POMT-ATT-1, its inner part: the attention of a patch query to a patch key in the head where it is largest.

    .. math:: G_{i,j} = \max_h A_{h,i,j}, \qquad i, j \ge P

    Arguments:
        attn: attention after softmax, in [0, 1]; rows are queries and sum to one, columns are keys.
        prefix: number P of prefix tokens, 0 <= P < N; their rows and columns are left out before the maximum.

    Returns:
        G, in [0, 1]; rows are patch queries, columns are patch keys. Exact: a maximum does not round.

    Source: arXiv 2407.05941.

    >>> attn = np.array([[[[0.5, 0.5], [0.25, 0.75]], [[0.875, 0.125], [0.625, 0.375]]]])
    >>> head_maximum(attn, prefix=0).tolist()
    [[[0.875, 0.5], [0.625, 0.75]]]
    >>> head_maximum(attn, prefix=1).tolist()
    [[[0.75]]]
    """
    batch, heads, tokens, _ = attn.shape
    strongest = np.empty((batch, tokens - prefix, tokens - prefix), dtype=np.float64)
    for sample in range(batch):
        for query in range(prefix, tokens):
            largest = attn[sample, 0, query, prefix:]
            for head in range(1, heads):
                largest = np.maximum(largest, attn[sample, head, query, prefix:])
            strongest[sample, query - prefix] = largest
    return strongest


def attention_sums(
    attn: Float64[NDArray[np.float64], "batch heads tokens tokens"], *, prefix: int
) -> Float64[NDArray[np.float64], "batch tokens-{prefix}"]:
    r"""POMT-ATT-1: sum, over patch queries, of the maximum over heads, for every patch key.

    .. math:: S_j = \sum_{i \ge P} \max_h A_{h,i,j}, \qquad j \ge P

    Arguments:
        attn: as for :func:`head_maximum`.
        prefix: as for :func:`head_maximum`.

    Returns:
        S, one sum a patch key, in [0, N - P]; the correctly rounded sum.

    Source: arXiv 2407.05941.

    >>> attn = np.array([[[[0.5, 0.5], [0.25, 0.75]], [[0.875, 0.125], [0.625, 0.375]]]])
    >>> attention_sums(attn, prefix=0).tolist()
    [[1.5, 1.25]]
    """
    return np.array(
        [[fsum(column) for column in zip(*rows.tolist(), strict=True)] for rows in head_maximum(attn, prefix=prefix)],
        dtype=np.float64,
    )


def attention_score(
    attn: Float64[NDArray[np.float64], "batch heads tokens tokens"],
    *,
    prefix: int,
    normalisation: Normalisation = "batch",
) -> Float64[NDArray[np.float64], "batch tokens-{prefix}"]:
    r"""POMT-ATT-2: the sums divided by the largest of the whole batch, or of each sample.

    .. math:: m_j = S_j / M, \qquad M = \max S

    Arguments:
        attn: as for :func:`head_maximum`.
        prefix: as for :func:`head_maximum`.
        normalisation: ``"batch"`` takes M over all samples and patch keys, ``"sample"`` over the sample's patch keys.

    Returns:
        m, in [0, 1]. Where M = 0 the clause defines nothing and every score that M divides is NaN: the whole batch
        under ``"batch"``, that sample alone under ``"sample"``.

    Raises:
        ValueError: ``normalisation`` is neither of the two.

    Source: arXiv 2407.05941; the maximum over the batch is that of the authors' code.

    >>> attn = np.array([[[[0.5, 0.5], [0.25, 0.75]], [[0.875, 0.125], [0.75, 0.25]]]])
    >>> attention_score(attn, prefix=0).tolist()
    [[1.0, 0.7692307692307693]]
    """
    return share_of_largest(attention_sums(attn, prefix=prefix), normalisation=normalisation)


def share_of_largest(
    attention_sums: Float64[NDArray[np.float64], "batch patches"], *, normalisation: Normalisation = "batch"
) -> Float64[NDArray[np.float64], "batch patches"]:
    r"""POMT-ATT-2 for sums that are known: each divided by the largest of the whole batch, or of its sample.

    .. math:: m_j = S_j / M

    Arguments:
        attention_sums: S, as :func:`attention_sums` gives them.
        normalisation: as for :func:`attention_score`.

    Returns:
        m, as for :func:`attention_score`.

    Raises:
        ValueError: ``normalisation`` is neither of the two.

    Source: arXiv 2407.05941; the maximum over the batch is that of the authors' code.

    >>> share_of_largest(np.array([[1.0, 2.0], [0.0, 0.0]]), normalisation="sample").tolist()
    [[0.5, 1.0], [nan, nan]]
    """
    if normalisation not in ("batch", "sample"):
        raise ValueError(
            f"share_of_largest: expected normalisation 'batch' or 'sample' (POMT-ATT-2), got {normalisation!r}"
        )
    samples = attention_sums.tolist()
    largest_of_sample = [max(sums) for sums in samples]
    largest_of_batch = max(largest_of_sample)
    scores = []
    for sums, largest in zip(samples, largest_of_sample, strict=True):
        divisor = largest_of_batch if normalisation == "batch" else largest
        scores.append([total / divisor if divisor > 0 else nan for total in sums])
    return np.array(scores, dtype=np.float64)
