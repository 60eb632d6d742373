"""POMT-MAG · how large the values of every token are, by the strongest head."""

from math import exp, fsum

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray


def value_sums(
    v: Float64[NDArray[np.float64], "batch heads tokens features"],
) -> Float64[NDArray[np.float64], "batch tokens"]:
    r"""POMT-MAG-1, its first part: sum, over features, of the maximum over heads, for every token, prefix included.

    .. math:: t_k = \sum_d \max_h v_{h,k,d}

    Arguments:
        v: values of the attention, finite, of either sign; no absolute value is taken.

    Returns:
        t, one sum a token, the correctly rounded sum.

    Source: arXiv 2407.05941.

    >>> value_sums(np.array([[[[1.0, -4.0], [0.5, 2.0]], [[3.0, -2.0], [0.25, 4.0]]]])).tolist()
    [[1.0, 4.5]]
    """
    batch, heads, tokens, _ = v.shape
    sums = np.empty((batch, tokens), dtype=np.float64)
    for sample in range(batch):
        for token in range(tokens):
            largest = v[sample, 0, token]
            for head in range(1, heads):
                largest = np.maximum(largest, v[sample, head, token])
            sums[sample, token] = fsum(largest.tolist())
    return sums


def value_softmax(
    v: Float64[NDArray[np.float64], "batch heads tokens features"],
) -> Float64[NDArray[np.float64], "batch tokens"]:
    r"""POMT-MAG-1, its second part: softmax of t over all N tokens.

    The largest t is subtracted first, so that no exponential overflows and none exceeds one.

    .. math:: p_k = \frac{\exp(t_k - \max t)}{\sum_l \exp(t_l - \max t)}

    Arguments:
        v: as for :func:`value_sums`.

    Returns:
        p, in [0, 1], summing to one over the tokens of a sample within rounding.

    Source: arXiv 2407.05941.

    >>> value_softmax(np.array([[[[0.0], [0.0], [-1000.0]]]])).tolist()
    [[0.5, 0.5, 0.0]]
    """
    probabilities = []
    for sums in value_sums(v).tolist():
        largest = max(sums)
        exponentials = [exp(total - largest) for total in sums]
        divisor = fsum(exponentials)
        probabilities.append([exponential / divisor for exponential in exponentials])
    return np.array(probabilities, dtype=np.float64)


def magnitude_score(
    v: Float64[NDArray[np.float64], "batch heads tokens features"], *, prefix: int
) -> Float64[NDArray[np.float64], "batch tokens-{prefix}"]:
    r"""POMT-MAG-1: the softmax over all tokens, of which the prefix entries are dropped afterwards.

    .. math:: p_k = \operatorname{softmax}(t)_k, \qquad k \ge P

    Arguments:
        v: as for :func:`value_sums`.
        prefix: number P of prefix tokens, 0 <= P < N; they take part in the softmax.

    Returns:
        p of the patch tokens, in [0, 1]; it sums to one only where P = 0.

    Source: arXiv 2407.05941.

    >>> magnitude_score(np.array([[[[0.0], [0.0], [-1000.0]]]]), prefix=1).tolist()
    [[0.5, 0.0]]
    """
    return np.array([sample[prefix:] for sample in value_softmax(v).tolist()], dtype=np.float64)
