"""CHOOSE · how many tokens to remove, from latency and accuracy measured at several token counts."""

import math
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from numbers import Real
from operator import index
from typing import SupportsIndex, TypeVar, cast

from pomt_ref.errors import CountError, KindError, OptionError, ShapeError, ValuesError

T = TypeVar("T")


@dataclass(frozen=True)
class Choice:
    """What the utility says: run at ``tokens`` tokens, that is, remove ``remove`` of them."""

    remove: int
    """R = N - k*; zero means: do not prune."""
    tokens: int
    """k*, the token count of largest utility."""
    utility: tuple[float, ...]
    """U at every measured token count, in the order given, in [0, 1]."""


def utility(latency: Sequence[float], accuracy: Sequence[float], *, alpha: float = 0.5) -> tuple[float, ...]:
    r"""CHOOSE-1, first half: what a token count is worth, from its latency and its accuracy.

    .. math:: U(k) = \alpha \left(1 - \frac{L(k)}{\max L}\right) + (1 - \alpha) \frac{A(k)}{\max A}

    Arguments:
        latency: L, in any unit, above zero.
        accuracy: A, in any unit, zero or more, at least one above zero.
        alpha: weight of the latency, in [0, 1].

    Returns:
        U, in [0, 1].

    >>> utility([1.0, 2.0], [0.5, 1.0])
    (0.5, 0.5)
    """
    slowest, best = max(latency), max(accuracy)
    return tuple(
        alpha * (1 - time / slowest) + (1 - alpha) * share / best for time, share in zip(latency, accuracy, strict=True)
    )


def choose_remove(
    tokens: Sequence[int],
    latency: Sequence[float],
    accuracy: Sequence[float],
    *,
    alpha: float = 0.5,
    total: int | None = None,
) -> Choice:
    r"""CHOOSE-1: the R that leaves the token count of largest utility; the largest count on a tie.

    .. math:: k^* = \operatorname{argmax}_k U(k), \qquad R = N - k^*

    Arguments:
        tokens: the token counts k that were measured, prefix included, all different.
        latency: L(k), in any unit, above zero.
        accuracy: A(k), in any unit, zero or more, at least one above zero.
        alpha: weight of the latency, in [0, 1]; 0 asks for accuracy alone, 1 for latency alone.
        total: N, the token count of the unpruned model; by default the largest count measured.

    Returns:
        R, k* and U; R = 0 means that the unpruned model is best: do not prune.

    Raises:
        PomtError: curves of different lengths, no measurement, or values out of range.

    Source: arXiv 2407.05941 section 3.2. Deviation: the authors' code subtracts from N - 2, so that the deployed
    model has two tokens more than the measured one (erratum 4).

    >>> choose_remove([49, 99, 197], [1.0, 1.5, 4.0], [0.5, 0.75, 0.8]).remove
    98
    """
    tokens = [_count("tokens", count) for count in _listed("tokens", tokens)]
    latency, accuracy = _measured("latency", latency), _measured("accuracy", accuracy)
    _check_curves(tokens, latency, accuracy)
    _check_weight(alpha)
    total = max(tokens) if total is None else _count("total", total)
    if total < max(tokens):
        raise CountError("choose_remove", "CHOOSE-1", f"total >= {max(tokens)}", f"total={total}")
    worth = utility(latency, accuracy, alpha=float(alpha))
    _, chosen = max(zip(worth, tokens, strict=True))
    return Choice(remove=total - chosen, tokens=chosen, utility=worth)


def _listed(name: str, sequence: Iterable[T], *, of: str = "") -> list[T]:
    """A sequence of any kind as a list; a single number is none, a text is none, and a set has no order."""
    if isinstance(sequence, (str, bytes, bytearray, AbstractSet, Mapping)):
        raise KindError("choose_remove", "CHOOSE-1", f"{name}, a sequence{of}", f"{sequence!r}")
    try:
        return list(sequence)
    except TypeError as error:
        raise KindError("choose_remove", "CHOOSE-1", f"{name}, a sequence{of}", f"{sequence!r}") from error


def _count(name: str, count: object) -> int:
    """A token count as an int; a bool or a float is none."""
    try:
        if not isinstance(count, bool) and isinstance(count, SupportsIndex):
            return index(count)
    except TypeError:  # an array or a tensor of several numbers
        pass
    raise KindError("choose_remove", "CHOOSE-1", f"{name} of integers", f"{count!r}")


def _measured(name: str, curve: Sequence[float]) -> list[float]:
    """A curve as floats, whatever sequence it comes in; a number in words is none."""
    values = _listed(name, curve, of=" of numbers")
    try:
        if not any(isinstance(value, (str, bytes, bytearray)) for value in values):
            return [float(value) for value in values]
    except (TypeError, ValueError, OverflowError):
        pass
    raise KindError("choose_remove", "CHOOSE-1", f"{name}, a sequence of numbers", f"{curve!r}")


def _check_weight(alpha: object) -> None:
    """Reject what is no share of one."""
    # Compared before it is converted: an integer may be too large for a float.
    if not isinstance(alpha, Real) or not 0 <= cast("float", alpha) <= 1:
        raise OptionError("choose_remove", "CHOOSE-1", "0 <= alpha <= 1", f"alpha={alpha!r}")


def _check_curves(tokens: Sequence[int], latency: Sequence[float], accuracy: Sequence[float]) -> None:
    """Reject what cannot be two curves over token counts."""
    lengths = {len(tokens), len(latency), len(accuracy)}
    if len(lengths) > 1 or 0 in lengths:
        got = f"{len(tokens)} token counts, {len(latency)} latencies, {len(accuracy)} accuracies"
        raise ShapeError("choose_remove", "CHOOSE-1", "three sequences of one length, at least 1", got)
    if min(tokens) < 1 or len(set(tokens)) < len(tokens):
        raise CountError(
            "choose_remove", "CHOOSE-1", "token counts above zero, all different", f"tokens={list(tokens)}"
        )
    if not all(math.isfinite(time) and time > 0 for time in latency):
        raise ValuesError("choose_remove", "CHOOSE-1", "finite latencies above zero", f"latency={list(latency)}")
    if not all(math.isfinite(share) and share >= 0 for share in accuracy) or max(accuracy) == 0:
        expected = "finite accuracies, none negative, one above zero"
        raise ValuesError("choose_remove", "CHOOSE-1", expected, f"accuracy={list(accuracy)}")
