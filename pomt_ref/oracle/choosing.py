"""CHOOSE · the number of tokens to remove, from latency and accuracy measured at several token counts."""

from collections.abc import Sequence


def utility(latency: Sequence[float], accuracy: Sequence[float], alpha: float = 0.5) -> list[float]:
    r"""CHOOSE-1: latency saved and accuracy held, each relative to its largest, weighted by alpha.

    .. math:: U(k) = \alpha \left(1 - \frac{L(k)}{\max L}\right) + (1 - \alpha) \frac{A(k)}{\max A}

    Arguments:
        latency: L, one positive figure a measured token count, in any one unit.
        accuracy: A, one figure a measured token count in the order of ``latency``, none negative and not all zero.
        alpha: weight of latency, in [0, 1].

    Returns:
        U, in [0, 1], in the order of the arguments.

    Raises:
        ValueError: ``alpha`` is out of its range, the lengths differ, or a largest figure is not positive.

    Source: arXiv 2407.05941; the authors' ``compute_r``.

    >>> utility([1.0, 4.0], [0.25, 0.5])
    [0.625, 0.5]
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"utility: expected 0 <= alpha <= 1 (CHOOSE-1), got {alpha=}")
    if max(latency) <= 0 or max(accuracy) <= 0:
        raise ValueError(f"utility: expected a positive maximum of each curve (CHOOSE-1), got {latency=}, {accuracy=}")
    slowest, best = max(latency), max(accuracy)
    return [
        alpha * (1 - time / slowest) + (1 - alpha) * (correct / best)
        for time, correct in zip(latency, accuracy, strict=True)
    ]


def choose_remove(
    tokens: Sequence[int], latency: Sequence[float], accuracy: Sequence[float], *, alpha: float = 0.5
) -> int:
    r"""CHOOSE-1: how many tokens shorter than the longest measured sequence the best one is.

    .. math:: k^* = \operatorname{argmax}_k U(k), \qquad R = N - k^*

    Arguments:
        tokens: the measured token counts k, in any order; the largest is N, the unpruned sequence.
        latency: as for :func:`utility`, in the order of ``tokens``.
        accuracy: as for :func:`utility`, in the order of ``tokens``.
        alpha: as for :func:`utility`.

    Returns:
        R, in [0, N - min k]; 0 means no pruning. The largest k wins a tie of utilities equal in float64.

    Raises:
        ValueError: as for :func:`utility`.

    Source: arXiv 2407.05941; the authors' ``compute_r``.
    Deviation: theirs gives R = 195 - k, two tokens off the model that was measured (erratum 4).

    >>> choose_remove([2, 4], [1.0, 4.0], [0.25, 0.5])
    2
    """
    utilities = utility(latency, accuracy, alpha)
    _, best_count = max(zip(utilities, tokens, strict=True))
    return max(tokens) - best_count
