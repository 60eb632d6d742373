"""What a type checker tells a user of the package: every use below is checked against the built wheel, and never run.

``assert_type`` states the type that a use has. A line with ``type: ignore`` is a mistake that the checker must report,
by that code and no other: an ignore that is not needed is an error itself. A shape is beyond both checkers.
"""

from collections.abc import Callable, Sequence
from typing import Literal, assert_type

import torch
from torch import Tensor

import pomt_ref
from pomt_ref import (
    Check,
    Choice,
    CountError,
    Normalisation,
    PomtError,
    Pruned,
    Trace,
    ValuesError,
    attention_score,
    choose_remove,
    evit_prune,
    magnitude_score,
    prune,
    rank,
    score,
    topk_prune,
    trace,
)


def a_step(x: Tensor, attn: Tensor, v: Tensor) -> Tensor:
    """POMT, Top-K and EViT give one type."""
    step = prune(x, attn, v, prefix=1, keep=139, normalisation="sample", check="shapes")
    assert_type(step, Pruned)
    assert_type(step.tokens, Tensor)
    assert_type(step.kept, Tensor)
    assert_type(step.discarded, Tensor)
    assert_type(step.scores, Tensor)
    assert_type(topk_prune(x, attn, remove=56, class_index=0), Pruned)
    assert_type(evit_prune(x, attn, keep=139, normalise=True), Pruned)
    return step.tokens


def stages(x: Tensor, attn: Tensor, v: Tensor) -> None:
    """Every stage is a tensor."""
    traced = trace(x, attn, v, remove=56)
    assert_type(traced, Trace)
    assert_type(traced.head_maximum, Tensor)
    assert_type(traced.gap, Tensor)
    assert_type(traced.order, Tensor)
    scores = score(attn, v, prefix=1)
    assert_type(scores, Tensor)
    assert_type(rank(scores, prefix=1), Tensor)
    assert_type(attention_score(attn) + magnitude_score(v), Tensor)


def options(normalisation: Normalisation, check: Check) -> None:
    """Options are words from a list."""
    assert_type(normalisation, Literal["batch", "sample"])
    assert_type(check, Literal["values", "shapes", "none"])


def choice(tokens: Sequence[int], curve: Sequence[float]) -> None:
    """R, and how it was found."""
    chosen = choose_remove(tokens, curve, curve, alpha=0.5, total=197)
    assert_type(chosen, Choice)
    assert_type(chosen.remove, int)
    assert_type(chosen.utility, tuple[float, ...])


def errors(x: Tensor, attn: Tensor, v: Tensor) -> str:
    """One tree, each of them also the built-in error that a caller would expect."""
    try:
        prune(x, attn, v, keep=1)
    except CountError as error:
        as_built_in: ValueError = error
        assert_type(error.clause, str)
        return f"{error.function} {as_built_in}"
    except PomtError as error:
        return error.expected + error.got
    assert_type(pomt_ref.__version__, Literal["0.1.0"])
    return ""


def as_a_callable() -> Callable[[Tensor, Tensor, Tensor], Pruned]:
    """A step with its counts filled in."""
    return lambda x, attn, v: prune(x, attn, v, keep=1)


def mistakes(x: Tensor, attn: Tensor, v: Tensor, step: Pruned, error: ValuesError) -> None:
    """What must be reported."""
    prune(x, attn)  # type: ignore[call-arg]
    prune(x, attn, v, 1, 139)  # type: ignore[call-arg]
    prune(x, attn, v, keep=1.5)  # type: ignore[arg-type]
    prune(x, attn, v, keep="1")  # type: ignore[arg-type]
    prune(x, attn, v, keep=1, normalisation="head")  # type: ignore[arg-type]
    prune(x, attn, v, keep=1, check=True)  # type: ignore[arg-type]
    prune(x, attn, v, keep=1, normalise=True)  # type: ignore[call-arg]
    prune([[1.0]], attn, v, keep=1)  # type: ignore[arg-type]
    prune(x, attn, v, prefix=None, keep=1)  # type: ignore[arg-type]
    topk_prune(x, attn, v, keep=1)  # type: ignore[call-arg, arg-type]
    topk_prune(x, attn, keep=1, normalisation="batch")  # type: ignore[call-arg]
    evit_prune(x, attn, keep=1, class_index=None)  # type: ignore[arg-type]
    trace(x, attn, v, keep=1, check="all")  # type: ignore[arg-type]
    score(attn, prefix=1)  # type: ignore[call-arg]
    rank(torch.zeros(1, 3), 1)  # type: ignore[call-arg]
    attention_score(attn, 1)  # type: ignore[call-arg]
    magnitude_score(v, normalisation="batch")  # type: ignore[call-arg]
    choose_remove([99], [1.0], accuracy="good")  # type: ignore[arg-type]
    step.tokens = x  # type: ignore[misc]
    error.clause = "POMT-ATT-1"  # type: ignore[misc]
    step.gap.sum()  # type: ignore[attr-defined]
    pomt_ref.prune_tokens(x)  # type: ignore[attr-defined]
