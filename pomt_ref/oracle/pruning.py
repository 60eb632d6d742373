"""POMT-PRUNE · one step, from arrays to tokens: score, rank, gather, mean."""

from dataclasses import dataclass
from math import fsum, nan

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

from .attention import Normalisation
from .ranking import rank, score


@dataclass(frozen=True, eq=False)
class Pruned:
    """What one pruning step answers. Indices refer to the input sequence and stand in rank order (POMT-PRUNE-4)."""

    tokens: Float64[NDArray[np.float64], "batch shorter channels"]
    """The output sequence: prefix rows, kept rows, and the mean or fused row where the method has one."""
    kept: Int64[NDArray[np.int64], "batch kept"]
    """Indices of the T kept patch tokens, each in P .. N - 1."""
    discarded: Int64[NDArray[np.int64], "batch discarded"]
    """Indices of the m = n - T discarded patch tokens, each in P .. N - 1."""
    scores: Float64[NDArray[np.float64], "batch patches"]
    """The scores that gave the order, one a patch token, in the order of the input."""


def mean_row(
    rows: Float64[NDArray[np.float64], "discarded channels"],
) -> Float64[NDArray[np.float64], " channels"]:
    r"""POMT-PRUNE-3: the arithmetic mean of the m discarded patch rows.

    .. math:: \bar x_c = \frac{1}{m} \sum_{k \in D} x_{k,c}

    Arguments:
        rows: the discarded rows of one sample, m >= 1; their order does not matter.

    Returns:
        the mean row: the correctly rounded sum, divided once.

    Source: arXiv 2407.05941.

    >>> mean_row(np.array([[1.0, 8.0], [2.0, -8.0]])).tolist()
    [1.5, 0.0]
    """
    return np.array([fsum(channel) / len(channel) for channel in rows.T.tolist()], dtype=np.float64)


def fused_row(
    rows: Float64[NDArray[np.float64], "discarded channels"],
    weights: Float64[NDArray[np.float64], " discarded"],
    *,
    normalise: bool,
) -> Float64[NDArray[np.float64], " channels"]:
    r"""EVIT-1, its last row: the sum over the m discarded rows of score times row.

    .. math:: f_c = \sum_{k \in D} s_k x_{k,c}, \qquad f_c / \sum_{k \in D} s_k \text{ if normalised}

    Arguments:
        rows: the discarded rows of one sample, m >= 1.
        weights: their scores s, none negative, in the order of ``rows``.
        normalise: divide by the sum of the weights.

    Returns:
        the fused row: each product rounded, their sum rounded once. NaN where it is to be divided by zero.

    Source: arXiv 2202.07800, ``evit.py``.

    >>> fused_row(np.array([[1.0], [4.0]]), np.array([0.25, 0.5]), normalise=False).tolist()
    [2.25]
    >>> fused_row(np.array([[1.0], [4.0]]), np.array([0.25, 0.5]), normalise=True).tolist()
    [3.0]
    """
    scores = weights.tolist()
    fused = [fsum(weight * value for weight, value in zip(scores, channel, strict=True)) for channel in rows.T.tolist()]
    if normalise:
        divisor = fsum(scores)
        fused = [total / divisor if divisor > 0 else nan for total in fused]
    return np.array(fused, dtype=np.float64)


def prune(
    x: Float64[NDArray[np.float64], "batch tokens channels"],
    attn: Float64[NDArray[np.float64], "batch heads tokens tokens"],
    v: Float64[NDArray[np.float64], "batch heads tokens features"],
    *,
    prefix: int,
    keep: int,
    normalisation: Normalisation = "batch",
) -> Pruned:
    r"""POMT-PRUNE-1: the P prefix rows, the T best patch rows in rank order, one mean row.

    .. math:: y = [x_0, \dots, x_{P-1},\; x_{P+\pi(0)}, \dots, x_{P+\pi(T-1)},\; \bar x]

    Arguments:
        x: the token sequence. Prefix and kept rows are copied bit by bit, -0.0 too (POMT-PRUNE-2).
        attn: attention after softmax, in [0, 1]; rows are queries and sum to one, columns are keys.
        v: values of the attention, finite, of either sign.
        prefix: number P of prefix tokens, 0 <= P < N; they are never pruned.
        keep: number T of patch tokens kept, 0 <= T <= n - 1; at 0 the last row is the mean of all patch rows.
        normalisation: as for :func:`~pomt_ref.oracle.attention.attention_score`.

    Returns:
        tokens of length P + T + 1, kept, discarded and scores. Where the scores are undefined (NaN) the patch tokens
        keep the order of the input: any order conforms there.

    Raises:
        ValueError: ``keep`` or ``normalisation`` is not one of the values above.

    Source: arXiv 2407.05941.

    >>> x = np.array([[[9.0], [1.0], [2.0], [4.0]]])
    >>> v = np.array([[[[0.0], [0.0], [1.0], [0.0]]]])
    >>> pruned = prune(x, np.full((1, 1, 4, 4), 0.25), v, prefix=1, keep=1)
    >>> pruned.tokens.tolist(), pruned.kept.tolist(), pruned.discarded.tolist()
    ([[[9.0], [2.0], [2.5]]], [[2]], [[1, 3]])
    """
    scores = score(attn, v, prefix=prefix, normalisation=normalisation)
    kept, discarded = rank(scores, prefix=prefix, keep=keep)
    samples = []
    for sample in range(x.shape[0]):
        prefix_rows = [x[sample, token] for token in range(prefix)]
        kept_rows = [x[sample, token] for token in kept[sample]]
        samples.append([*prefix_rows, *kept_rows, mean_row(x[sample, discarded[sample]])])
    return Pruned(np.array(samples, dtype=np.float64), kept, discarded, scores)
