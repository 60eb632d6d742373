"""Attention itself, from queries, keys and values: what POMT-ATT-1 reads, for implementations that never hold it."""

from math import exp, fsum, log

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray


def logits(
    q: Float64[NDArray[np.float64], "batch heads tokens features"],
    k: Float64[NDArray[np.float64], "batch heads tokens features"],
    *,
    scale: float,
) -> Float64[NDArray[np.float64], "batch heads tokens tokens"]:
    r"""Scaled products of queries and keys.

    .. math:: L_{h,i,j} = \mathrm{scale} \cdot \sum_d q_{h,i,d} \, k_{h,j,d}

    Arguments:
        q: queries, finite.
        k: keys, finite.
        scale: what the products are multiplied by.

    Returns:
        L: the products rounded, their sum rounded once, multiplied once.

    >>> logits(np.ones((1, 1, 1, 2)), np.array([[[[1.0, 2.0]]]]), scale=0.5).tolist()
    [[[[1.5]]]]
    """
    batch, heads, tokens, _ = q.shape
    products = np.empty((batch, heads, tokens, tokens), dtype=np.float64)
    for sample in range(batch):
        for head in range(heads):
            for query in range(tokens):
                terms = (q[sample, head, query] * k[sample, head]).tolist()
                products[sample, head, query] = [scale * fsum(each) for each in terms]
    return products


def logsumexp(
    of: Float64[NDArray[np.float64], "batch heads tokens tokens"],
) -> Float64[NDArray[np.float64], "batch heads tokens"]:
    r"""The logarithm of every row's sum of exponentials.

    .. math:: \mathrm{lse}_{h,i} = \log \sum_j e^{L_{h,i,j}}

    >>> logsumexp(np.array([[[[0.0]]]])).tolist()
    [[[0.0]]]
    """
    rows = of.reshape(-1, of.shape[-1]).tolist()
    found = [max(row) + log(fsum(exp(each - max(row)) for each in row)) for row in rows]
    return np.array(found, dtype=np.float64).reshape(of.shape[:-1])


def attention(
    of: Float64[NDArray[np.float64], "batch heads tokens tokens"],
) -> Float64[NDArray[np.float64], "batch heads tokens tokens"]:
    r"""The softmax of every row of logits: what the other clauses read.

    .. math:: A_{h,i,j} = \frac{e^{L_{h,i,j}}}{\sum_l e^{L_{h,i,l}}}

    >>> attention(np.zeros((1, 1, 2, 2))).tolist()
    [[[[0.5, 0.5], [0.5, 0.5]]]]
    """
    found = []
    for row in of.reshape(-1, of.shape[-1]).tolist():
        powers = [exp(each - max(row)) for each in row]
        total = fsum(powers)
        found.append([power / total for power in powers])
    return np.array(found, dtype=np.float64).reshape(of.shape)


def attention_output(
    attn: Float64[NDArray[np.float64], "batch heads tokens tokens"],
    v: Float64[NDArray[np.float64], "batch heads tokens values"],
) -> Float64[NDArray[np.float64], "batch heads tokens values"]:
    r"""What attention gives out: every query's average of the values.

    .. math:: o_{h,i,d} = \sum_j A_{h,i,j} v_{h,j,d}

    >>> attention_output(np.full((1, 1, 2, 2), 0.5), np.array([[[[1.0], [2.0]]]])).tolist()
    [[[[1.5], [1.5]]]]
    """
    batch, heads, tokens, features = v.shape
    out = np.empty((batch, heads, tokens, features), dtype=np.float64)
    for sample in range(batch):
        for head in range(heads):
            for query in range(tokens):
                terms = (attn[sample, head, query] * v[sample, head].T).tolist()
                out[sample, head, query] = [fsum(each) for each in terms]
    return out
