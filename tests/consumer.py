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
    attention,
    attention_score,
    choose_remove,
    counting,
    evit_prune,
    magnitude,
    magnitude_score,
    prune,
    pruning,
    rank,
    score,
    siblings,
    topk_prune,
    trace,
    tracing,
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


def inner(x: Tensor, attn: Tensor, v: Tensor, rows: Tensor) -> None:
    """The functions that are one stage each, and the counts."""
    assert_type(attention.head_maximum(attn, prefix=1), Tensor)
    assert_type(attention.attention_sums(attn, prefix=1), Tensor)
    assert_type(attention.largest_sum(x, normalisation="sample"), Tensor)
    assert_type(magnitude.value_sums(v), Tensor)
    assert_type(pruning.gather(x, rows), Tensor)
    assert_type(pruning.mean_row(x), Tensor)
    assert_type(pruning.planned_keep("prune", 5, prefix=1, keep=1, remove=None, check="values"), int)
    assert_type(siblings.class_score(attn, class_index=0), Tensor)
    assert_type(siblings.fused_row(x, rows, normalise=True), Tensor)
    assert_type(tracing.gap_at_cut(x, rows, keep=1), Tensor)
    assert_type(counting.kept_count(5, prefix=1, remove=1, appended=1), int)
    assert_type(counting.removed_count(5, prefix=1, keep=1, appended=1), int)
    assert_type(counting.discarded_count(5, prefix=1, keep=1), int)
    assert_type(counting.output_length(prefix=1, keep=1, appended=1), int)


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
    return pomt_ref.__version__


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


def mistakes_in_stages(x: Tensor, attn: Tensor, v: Tensor) -> None:
    """What must be reported of the scores."""
    attention.head_maximum(attn, 1)  # type: ignore[call-arg]
    attention.head_maximum(attn, prefix=1.5)  # type: ignore[arg-type]
    attention.attention_sums(attn, 1)  # type: ignore[call-arg]
    attention.attention_sums(attn, prefix=1.5)  # type: ignore[arg-type]
    attention.largest_sum(x, "sample")  # type: ignore[call-arg]
    attention.largest_sum(x, normalisation="values")  # type: ignore[arg-type]
    attention_score(attn, prefix=1.5)  # type: ignore[arg-type]
    attention_score(attn, normalisation="values")  # type: ignore[arg-type]
    attention_score(attn, check="batch")  # type: ignore[arg-type]
    magnitude_score(v, 1)  # type: ignore[call-arg]
    magnitude_score(v, prefix=1.5)  # type: ignore[arg-type]
    magnitude_score(v, check="batch")  # type: ignore[arg-type]
    magnitude.value_sums([1.0])  # type: ignore[arg-type]


def mistakes_in_order(x: Tensor, attn: Tensor, v: Tensor) -> None:
    """The same of score and rank."""
    score(attn, v, 1)  # type: ignore[call-arg]
    score(attn, v, prefix=1.5)  # type: ignore[arg-type]
    score(attn, v, normalisation="values")  # type: ignore[arg-type]
    score(attn, v, check="batch")  # type: ignore[arg-type]
    rank(x, prefix=1.5)  # type: ignore[arg-type]
    rank(x, check="batch")  # type: ignore[arg-type]


def mistakes_in_steps(x: Tensor, attn: Tensor, v: Tensor) -> None:
    """The same of prune and trace."""
    prune(x, attn, v, prefix=1.5, keep=1)  # type: ignore[arg-type]
    prune(x, attn, v, remove=1.5)  # type: ignore[arg-type]
    trace(x, attn, v, 1, 1)  # type: ignore[call-arg]
    trace(x, attn, v, prefix=1.5, keep=1)  # type: ignore[arg-type]
    trace(x, attn, v, keep=1.5)  # type: ignore[arg-type]
    trace(x, attn, v, remove=1.5)  # type: ignore[arg-type]
    trace(x, attn, v, keep=1, normalisation="values")  # type: ignore[arg-type]


def mistakes_in_siblings(x: Tensor, attn: Tensor, rows: Tensor) -> None:
    """The same of Top-K and EViT."""
    topk_prune(x, attn, 1, 1)  # type: ignore[call-arg]
    topk_prune(x, attn, prefix=1.5, keep=1)  # type: ignore[arg-type]
    topk_prune(x, attn, keep=1.5)  # type: ignore[arg-type]
    topk_prune(x, attn, remove=1.5)  # type: ignore[arg-type]
    topk_prune(x, attn, keep=1, class_index=1.5)  # type: ignore[arg-type]
    topk_prune(x, attn, keep=1, check="batch")  # type: ignore[arg-type]
    evit_prune(x, attn, 1, 1)  # type: ignore[call-arg]
    evit_prune(x, attn, prefix=1.5, keep=1)  # type: ignore[arg-type]
    evit_prune(x, attn, keep=1.5)  # type: ignore[arg-type]
    evit_prune(x, attn, remove=1.5)  # type: ignore[arg-type]
    evit_prune(x, attn, keep=1, normalise=2)  # type: ignore[arg-type]
    evit_prune(x, attn, keep=1, check="batch")  # type: ignore[arg-type]
    siblings.class_score(attn, 1)  # type: ignore[call-arg]
    siblings.class_score(attn, prefix=1.5)  # type: ignore[arg-type]
    siblings.class_score(attn, class_index=1.5)  # type: ignore[arg-type]
    siblings.fused_row(x, rows, x)  # type: ignore[call-arg, arg-type]
    siblings.fused_row(x, rows, normalise=2)  # type: ignore[arg-type]


def mistakes_in_plans(x: Tensor, rows: Tensor) -> None:
    """The same of the gap and the plan."""
    tracing.gap_at_cut(x, rows, 1)  # type: ignore[call-arg]
    tracing.gap_at_cut(x, rows, keep=1.5)  # type: ignore[arg-type]
    pruning.planned_keep("prune", 5, 1, None, 1, "none")  # type: ignore[call-arg]
    pruning.planned_keep(5, 5.5, prefix=1, keep=1, remove=None, check="none")  # type: ignore[arg-type]
    pruning.planned_keep("prune", 5, prefix=1.5, keep=1, remove=None, check="none")  # type: ignore[arg-type]
    pruning.planned_keep("prune", 5, prefix=1, keep=1.5, remove=1.5, check="none")  # type: ignore[arg-type]
    pruning.planned_keep("prune", 5, prefix=1, keep=1, remove=None, check="batch")  # type: ignore[arg-type]
    pruning.planned_keep("prune", 5, prefix=1, keep=1, remove=None, check="none", clause=1)  # type: ignore[arg-type]
    pruning.planned_keep("prune", 5, prefix=1, keep=1, remove=None, check="none", appended=1.5)  # type: ignore[arg-type]


def mistakes_in_counts() -> None:
    """The same of the counts."""
    counting.kept_count(5, 1, 1)  # type: ignore[call-arg]
    counting.kept_count(5.5, prefix=1, remove=1)  # type: ignore[arg-type]
    counting.kept_count(5, prefix=1.5, remove=1)  # type: ignore[arg-type]
    counting.kept_count(5, prefix=1, remove=1.5)  # type: ignore[arg-type]
    counting.kept_count(5, prefix=1, remove=1, appended=1.5)  # type: ignore[arg-type]
    counting.removed_count(5, 1, 1)  # type: ignore[call-arg]
    counting.removed_count(5.5, prefix=1, keep=1)  # type: ignore[arg-type]
    counting.removed_count(5, prefix=1.5, keep=1)  # type: ignore[arg-type]
    counting.removed_count(5, prefix=1, keep=1.5)  # type: ignore[arg-type]
    counting.removed_count(5, prefix=1, keep=1, appended=1.5)  # type: ignore[arg-type]
    counting.discarded_count(5, 1, 1)  # type: ignore[call-arg]
    counting.discarded_count(5.5, prefix=1, keep=1)  # type: ignore[arg-type]
    counting.discarded_count(5, prefix=1.5, keep=1)  # type: ignore[arg-type]
    counting.discarded_count(5, prefix=1, keep=1.5)  # type: ignore[arg-type]
    counting.output_length(1, 1)  # type: ignore[call-arg]
    counting.output_length(prefix=1.5, keep=1)  # type: ignore[arg-type]
    counting.output_length(prefix=1, keep=1.5)  # type: ignore[arg-type]
    counting.output_length(prefix=1, keep=1, appended=1.5)  # type: ignore[arg-type]
