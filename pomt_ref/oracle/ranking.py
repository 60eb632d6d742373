"""POMT-SCORE and POMT-RANK · one score a patch token, and the order it gives."""

from math import isnan

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

from .attention import Normalisation, attention_score
from .magnitude import magnitude_score


def score(
    attn: Float64[NDArray[np.float64], "batch heads tokens tokens"],
    v: Float64[NDArray[np.float64], "batch heads tokens features"],
    *,
    prefix: int,
    normalisation: Normalisation = "batch",
) -> Float64[NDArray[np.float64], "batch tokens-{prefix}"]:
    r"""POMT-SCORE-1: the attention score plus the magnitude score, for every patch token.

    .. math:: s_j = m_j + p_j

    Arguments:
        attn: attention after softmax, in [0, 1]; rows are queries and sum to one, columns are keys.
        v: values of the attention, finite, of either sign.
        prefix: number P of prefix tokens, 0 <= P < N.
        normalisation: as for :func:`~pomt_ref.oracle.attention.attention_score`.

    Returns:
        s, in [0, 2]; NaN where the attention score is undefined.

    Source: arXiv 2407.05941.

    >>> attn = np.array([[[[0.5, 0.5], [0.25, 0.75]]]])
    >>> score(attn, np.zeros((1, 1, 2, 3)), prefix=0).tolist()
    [[1.1, 1.5]]
    """
    by_attention = attention_score(attn, prefix=prefix, normalisation=normalisation).tolist()
    by_magnitude = magnitude_score(v, prefix=prefix).tolist()
    return np.array(
        [
            [attended + large for attended, large in zip(*sample, strict=True)]
            for sample in zip(by_attention, by_magnitude, strict=True)
        ],
        dtype=np.float64,
    )


def order(scores: Float64[NDArray[np.float64], "batch patches"]) -> Int64[NDArray[np.int64], "batch patches"]:
    r"""POMT-RANK-1: the patch tokens in descending score, exact ties by the lower index.

    .. math:: s_{\pi(0)} \ge s_{\pi(1)} \ge \dots, \qquad s_{\pi(a)} = s_{\pi(a+1)} \Rightarrow \pi(a) < \pi(a+1)

    Arguments:
        scores: one score a patch token. Undefined ones (NaN) come last, by the lower index.

    Returns:
        pi, a permutation of 0 .. n - 1 a sample: positions among the patch tokens, without the prefix offset.

    Source: the project's own specification; the authors' ``argsort`` leaves ties in any order (erratum 6).
    Deviation: none, but the order of ties binds the reference only; any order of equal scores conforms.

    >>> order(np.array([[0.5, 2.0, 0.5, 1.0]])).tolist()
    [[1, 3, 0, 2]]
    """
    return np.array(
        [
            sorted(range(len(sample)), key=lambda patch: (isnan(sample[patch]), -sample[patch], patch))
            for sample in scores.tolist()
        ],
        dtype=np.int64,
    )


def rank(
    scores: Float64[NDArray[np.float64], "batch patches"], *, prefix: int, keep: int
) -> tuple[Int64[NDArray[np.int64], "batch {keep}"], Int64[NDArray[np.int64], "batch patches-{keep}"]]:
    r"""POMT-PRUNE-4: the T best patch tokens and the others, as indices into the input sequence.

    .. math:: K = \{P + \pi(a) : a < T\}, \qquad D = \{P + \pi(a) : T \le a < n\}

    Arguments:
        scores: one score a patch token.
        prefix: number P of prefix tokens, the offset added.
        keep: number T of patch tokens kept, 0 <= T <= n - 1.

    Returns:
        kept and discarded, both in rank order: disjoint, and together all the patch tokens.

    Raises:
        ValueError: ``keep`` is out of its range, so that nothing would be discarded.

    Source: arXiv 2407.05941.

    >>> kept, discarded = rank(np.array([[0.5, 2.0, 0.5, 1.0]]), prefix=1, keep=2)
    >>> kept.tolist(), discarded.tolist()
    ([[2, 4]], [[1, 3]])
    """
    patches = scores.shape[1]
    if not 0 <= keep < patches:
        raise ValueError(
            f"rank: expected 0 <= keep <= {patches - 1} (POMT-COUNT-1), got keep={keep} (patches={patches}, {prefix=})"
        )
    ranked = order(scores) + prefix
    return ranked[:, :keep], ranked[:, keep:]
