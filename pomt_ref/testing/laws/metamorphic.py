"""POMT-META · laws that relate two runs: what a change of the input may change in the output, and what it may not."""

from dataclasses import asdict, replace

import numpy as np
from jaxtyping import Float64

from pomt_ref.testing import formats, rounding
from pomt_ref.testing.building import build_case
from pomt_ref.testing.cases import Case, Shape
from pomt_ref.testing.evidence import Evidence
from pomt_ref.testing.laws.admissible import require_admissible
from pomt_ref.testing.laws.law import law
from pomt_ref.testing.laws.reading import (
    kept_rows,
    readings,
    require_close,
    require_order,
    require_shape,
    scores_and_bounds,
    separated,
    under,
)
from pomt_ref.testing.subject import Outcome, Subject
from pomt_ref.testing.violation import InapplicableError, LawViolation, NotOfferedError


@law(
    "POMT-META-1",
    families=("ordinary", "balanced", "distinct scores"),
    kills=("input order", "first tokens win", "position added"),
)
def permuting_patch_tokens_permutes_scores(case: Case, subject: Subject) -> Evidence:
    """Permuting the patch tokens leaves the output the same, when scores are distinct."""
    prefix, patches = case.shape.prefix, case.shape.patches
    order = np.random.default_rng(case.seed).permutation(patches) + prefix
    order = np.concatenate([np.arange(prefix), order])
    permuted = case.having(x=case.x[:, order], attn=case.attn[:, :, order][..., order], v=case.v[:, :, order])
    return _require_same(
        "POMT-META-1", case, permuted, subject, f"with the tokens of x, attn and v in the order {order.tolist()}"
    )


@law(
    "POMT-META-2",
    families=("disagreeing heads", "ordinary", "distinct scores"),
    kills=("first head alone", "last head forgotten", "heads weighted"),
)
def permuting_heads_changes_nothing(case: Case, subject: Subject) -> Evidence:
    """Permuting the heads changes nothing."""
    order = np.roll(np.arange(case.shape.heads), 1)
    permuted = case.having(attn=case.attn[:, order], v=case.v[:, order])
    return _require_same("POMT-META-2", case, permuted, subject, f"with the heads in the order {order.tolist()}")


@law(
    "POMT-META-3",
    families=("dyadic values",),
    kills=("absolute values", "maximum from zero", "squares of values"),
    any_input=False,
)
def adding_a_constant_to_every_value_sum_changes_nothing(case: Case, subject: Subject) -> Evidence:
    """Adding a constant to every t leaves p unchanged: here a whole number to every value."""
    constant = (-3.0, -2.0, 1.0, 2.0)[case.seed % 4]
    return _require_same(
        "POMT-META-3", case, case.having(v=case.v + constant), subject, f"with {constant:g} added to v"
    )


@law(
    "POMT-META-4",
    families=("contrasting samples",),
    kills=("maximum of each sample", "first sample for all"),
    any_input=False,
)
def batch_mates_count_in_a_batch_and_not_in_a_sample(case: Case, subject: Subject) -> Evidence:
    """``normalisation="sample"`` makes a batch equal to its samples run alone; ``"batch"`` does not."""
    profile = subject.profile(case.dtype)
    scores, bounds = scores_and_bounds(case, profile)
    evidence = require_order("POMT-META-4", case, subject.run(case), scores, bounds).evidence
    for sample in range(case.shape.batch):
        alone = case.sample(sample)
        if alone.defined:
            scores, bounds = scores_and_bounds(alone, profile)
            evidence |= require_order("POMT-META-4", alone, subject.run(alone), scores, bounds).evidence
    if "normalisation" in subject.options() and all(case.sample(b).defined for b in range(case.shape.batch)):
        outcome = subject.run(case, normalisation="sample")
        with under("POMT-META-4"):
            evidence |= require_admissible(case, outcome, profile=profile, normalisation="sample")
    return evidence


@law(
    "POMT-META-5",
    families=("disagreeing heads", "ordinary", "values alone", "distinct scores"),
    kills=("mean over heads", "sum over heads", "mean over heads of v"),
)
def duplicating_a_head_changes_nothing(case: Case, subject: Subject) -> Evidence:
    """Duplicating a head changes nothing."""
    heads = list(range(case.shape.heads))
    place, head = divmod(case.seed, len(heads))
    place %= len(heads) + 1  # at any: who loses the last head of an odd number may not lose the copy alone
    again = [*heads[:place], head, *heads[place:]]
    changed = case.having(attn=case.attn[:, again], v=case.v[:, again])
    return _require_same("POMT-META-5", case, changed, subject, f"with head {head} once more, at place {place}")


@law(
    "POMT-META-6",
    families=("contrasting tokens",),
    kills=("mean with the prefix", "class row added to the mean"),
    any_input=False,
)
def prefix_rows_of_x_influence_no_other_row(case: Case, subject: Subject) -> Evidence:
    """The prefix rows of x never influence another row."""
    x = case.x.copy()
    x[:, : case.shape.prefix] *= -2
    return _require_same("POMT-META-6", case, case.having(x=x), subject, "with the prefix rows of x times -2")


@law(
    "POMT-META-7",
    families=("ordinary", "balanced"),
    kills=(
        "mean detached",
        "no gradient without kept rows",
        "gradient through the ranking",
        "gradient of the sum",
        "gradient of attention asked for",
        "gradient through bfloat16",
        "gradient of a plain sum",
    ),
)
def gradients_flow_to_kept_rows_and_mean(case: Case, subject: Subject) -> Evidence:
    """Gradients flow to the prefix rows, the kept rows and the mean row, and none to the ranking."""
    if any(len({row.tobytes() for row in rows}) < len(rows) for rows in case.x[:, case.shape.prefix :]):
        raise InapplicableError
    shape = case.shape
    outcome = subject.run(case)
    found = readings(case, outcome, np.zeros((shape.batch, shape.patches)))
    size = (shape.batch, shape.prefix + shape.keep + 1, shape.channels)
    weights = _upstream(case, size)
    gradients = subject.gradients(case, weights)
    if gradients is None:
        _require_no_gradient_elsewhere(case, subject)
        raise NotOfferedError
    with under("POMT-META-7"):  # a training run gives what any run gives
        require_admissible(case, replace(gradients.outcome, changed_inputs=()), profile=subject.profile(case.dtype))
    expected, bound = np.zeros_like(case.x), np.zeros_like(case.x)
    for sample, reading in enumerate(found):
        rows = np.array([*range(shape.prefix), *(shape.prefix + j for j in reading.kept)], dtype=np.int64)
        expected[sample, rows] = weights[sample, :-1]
        others = shape.prefix + np.array(reading.discarded, dtype=np.int64)
        expected[sample, others] = weights[sample, -1] / shape.discarded
        bound[sample, others] = _quotient_bound(expected[sample, others], case, subject)
    got = np.zeros_like(case.x) if gradients.x is None else gradients.x
    evidence = require_close("POMT-META-7", "gradient of x", got, expected, bound)
    for name, gradient in (("attn", gradients.attn), ("v", gradients.v)):
        if gradient is not None and gradient.any():
            raise LawViolation("POMT-META-7", f"the output has a gradient with respect to {name}, expected none")
    return evidence


def _upstream(case: Case, size: tuple[int, int, int]) -> Float64[np.ndarray, "batch output channels"]:
    """What comes in with the gradient: whole numbers of more digits than bfloat16 has, or ones, as of a plain sum."""
    if case.seed % 4 == 3:  # noqa: PLR2004 -- the last of four
        return np.ones(size)
    largest = 8 if case.dtype == "bfloat16" else 1000
    return np.random.default_rng(case.seed).integers(-largest, largest + 1, size=size).astype(np.float64)


def _require_no_gradient_elsewhere(case: Case, subject: Subject) -> None:
    """Who offers a gradient for one case offers it for all: some kept rows or none, few tokens or many."""
    for keep in (2, 0):
        shape = Shape(batch=1, heads=2, tokens=5, features=2, channels=2, prefix=1, keep=keep)
        small = build_case("ordinary", seed=0, dtype=case.dtype, **asdict(shape))
        if subject.gradients(small, np.ones((1, keep + 2, 2))) is not None:
            raise LawViolation("POMT-META-7", f"the output has no gradient, as it has for {shape}")


def _require_same(clause: str, case: Case, changed: Case, subject: Subject, change: str) -> Evidence:
    """The rows after the prefix are the same, where scores are far enough apart for that to be asked."""
    evidence = Evidence()
    for one in (case, changed):
        if not separated(one, *scores_and_bounds(one, subject.profile(case.dtype))):
            raise InapplicableError
    before, after = subject.run(case), subject.run(changed)
    require_shape(case, before)
    require_shape(changed, after)
    for sample in range(case.shape.batch):
        old, new = kept_rows(case, before, sample), kept_rows(changed, after, sample)
        if old.tobytes() != new.tobytes():
            place = int(np.argwhere((old != new).any(axis=1))[0, 0]) if (old != new).any() else 0
            raise LawViolation(clause, f"kept row {place} of sample {sample} is another one {change}")
        evidence |= _require_same_mean(clause, case, subject, before, after, sample, change)
    return evidence


def _require_same_mean(
    clause: str, case: Case, subject: Subject, before: Outcome, after: Outcome, sample: int, change: str
) -> Evidence:
    """The same rows have the same mean, within both runs' FLOAT-2."""
    reading = readings(case, before, np.zeros((case.shape.batch, case.shape.patches)))[sample]
    rows = case.patch_rows(sample)[list(reading.discarded)]
    bound = rounding.mean_bound(rows, profile=subject.profile(case.dtype), dtype=case.dtype)
    what = f"{change}, mean row of sample {sample}"
    return require_close(clause, what, after.tokens[sample, -1], before.tokens[sample, -1], 2 * bound)


def _quotient_bound(
    quotient: Float64[np.ndarray, "*axes"], case: Case, subject: Subject
) -> Float64[np.ndarray, "*axes"]:
    """A weight over m: two roundings a row, for a mean that is updated row by row, and two for the store."""
    stored, unit = formats.FORMATS[case.dtype], subject.profile(case.dtype).arithmetic.unit
    relative = (1 + unit) ** (2 * case.shape.discarded + 2) * (1 + stored.unit) ** 2 - 1 + rounding.ORACLE
    bound: Float64[np.ndarray, "*axes"] = np.abs(quotient) * relative + stored.tiny
    return bound
