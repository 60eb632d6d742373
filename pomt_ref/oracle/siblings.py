"""TOPK and EVIT · the two siblings, on the class row's attention instead of POMT's score."""

from math import fsum

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from .pruning import Pruned, fused_row
from .ranking import rank


def class_score(
    attn: Float64[NDArray[np.float64], "batch heads tokens tokens"], *, prefix: int, class_index: int = 0
) -> Float64[NDArray[np.float64], "batch tokens-{prefix}"]:
    r"""TOPK-1, EVIT-1, SIB-1: the mean over heads of the class row's attention to every patch key.

    .. math:: s_j = \frac{1}{H} \sum_h A_{h,c,j}, \qquad j \ge P

    Arguments:
        attn: attention after softmax, in [0, 1]; rows are queries and sum to one, columns are keys.
        prefix: number P of prefix tokens, 1 <= P < N.
        class_index: row c of the class token, one of the prefix tokens: 0 <= c < P.

    Returns:
        s, in [0, 1], one score a patch key.

    Raises:
        ValueError: there is no such class row.

    Source: arXiv 2308.04657 (Top-K); arXiv 2202.07800, ``evit.py`` (EViT).

    >>> attn = np.array([[[[0.5, 0.25, 0.25]] * 3, [[0.25, 0.0, 0.75]] * 3]])
    >>> class_score(attn, prefix=1).tolist()
    [[0.125, 0.5]]
    """
    if not 0 <= class_index < prefix:
        raise ValueError(
            f"class_score: expected prefix >= 1 and 0 <= class_index < prefix (SIB-1), got {prefix=}, {class_index=}"
        )
    return np.array(
        [
            [fsum(key) / len(key) for key in zip(*heads, strict=True)]
            for heads in attn[:, :, class_index, prefix:].tolist()
        ],
        dtype=np.float64,
    )


def topk_prune(
    x: Float64[NDArray[np.float64], "batch tokens channels"],
    attn: Float64[NDArray[np.float64], "batch heads tokens tokens"],
    *,
    prefix: int,
    keep: int,
    class_index: int = 0,
) -> Pruned:
    r"""TOPK-1: the P prefix rows and the T best patch rows in rank order; nothing stands for the others.

    .. math:: y = [x_0, \dots, x_{P-1},\; x_{P+\pi(0)}, \dots, x_{P+\pi(T-1)}]

    Arguments:
        x: the token sequence; its rows are copied bit by bit.
        attn: as for :func:`class_score`.
        prefix: as for :func:`class_score`.
        keep: number T of patch tokens kept, 0 <= T <= n - 1.
        class_index: as for :func:`class_score`.

    Returns:
        tokens of length P + T, kept, discarded and scores.

    Raises:
        ValueError: ``keep`` is out of its range, or there is no such class row.

    Source: arXiv 2308.04657.

    >>> attn = np.array([[[[0.5, 0.25, 0.25]] * 3, [[0.25, 0.0, 0.75]] * 3]])
    >>> topk_prune(np.array([[[9.0], [1.0], [2.0]]]), attn, prefix=1, keep=1).tokens.tolist()
    [[[9.0], [2.0]]]
    """
    scores = class_score(attn, prefix=prefix, class_index=class_index)
    kept, discarded = rank(scores, prefix=prefix, keep=keep)
    samples = []
    for sample in range(x.shape[0]):
        prefix_rows = [x[sample, token] for token in range(prefix)]
        kept_rows = [x[sample, token] for token in kept[sample]]
        samples.append([*prefix_rows, *kept_rows])
    return Pruned(np.array(samples, dtype=np.float64), kept, discarded, scores)


def evit_prune(
    x: Float64[NDArray[np.float64], "batch tokens channels"],
    attn: Float64[NDArray[np.float64], "batch heads tokens tokens"],
    *,
    prefix: int,
    keep: int,
    normalise: bool = False,
    class_index: int = 0,
) -> Pruned:
    r"""EVIT-1: the P prefix rows, the T best patch rows in rank order, one fused row weighted by the scores.

    .. math:: f_c = \sum_{k \in D} s_k x_{k,c}, \qquad f_c / \sum_{k \in D} s_k \text{ if normalised}

    Arguments:
        x: the token sequence; prefix and kept rows are copied bit by bit.
        attn: as for :func:`class_score`.
        prefix: as for :func:`class_score`.
        keep: number T of patch tokens kept, 0 <= T <= n - 1.
        normalise: divide the fused row by the sum of its weights, as EViT's text says and its code does not.
        class_index: as for :func:`class_score`.

    Returns:
        tokens of length P + T + 1, kept, discarded and scores. With ``normalise`` and discarded weights that are all
        zero the clause defines nothing and the fused row is NaN.

    Raises:
        ValueError: ``keep`` is out of its range, or there is no such class row.

    Source: arXiv 2202.07800, ``evit.py``.

    >>> attn = np.array([[[[0.5, 0.25, 0.25]] * 3, [[0.25, 0.0, 0.75]] * 3]])
    >>> evit_prune(np.array([[[9.0], [1.0], [2.0]]]), attn, prefix=1, keep=1).tokens.tolist()
    [[[9.0], [2.0], [0.125]]]
    """
    scores = class_score(attn, prefix=prefix, class_index=class_index)
    kept, discarded = rank(scores, prefix=prefix, keep=keep)
    samples = []
    for sample in range(x.shape[0]):
        prefix_rows = [x[sample, token] for token in range(prefix)]
        kept_rows = [x[sample, token] for token in kept[sample]]
        weights = scores[sample, discarded[sample] - prefix]
        fused = fused_row(x[sample, discarded[sample]], weights, normalise=normalise)
        samples.append([*prefix_rows, *kept_rows, fused])
    return Pruned(np.array(samples, dtype=np.float64), kept, discarded, scores)
