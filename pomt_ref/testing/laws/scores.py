"""POMT-ATT, POMT-MAG, POMT-SCORE, POMT-RANK, POMT-PREC · laws of what ranks the tokens."""

from typing import Final

import numpy as np

from pomt_ref import oracle
from pomt_ref.testing import rounding
from pomt_ref.testing.cases import Case
from pomt_ref.testing.evidence import Evidence
from pomt_ref.testing.laws.law import law
from pomt_ref.testing.laws.reading import require_close, require_dtype, require_order, require_shape, scores_and_bounds
from pomt_ref.testing.subject import Subject
from pomt_ref.testing.violation import LawViolation

ORDER: Final = "POMT-RANK-1"
"""What a wrong order is blamed on where the stage of a law is offered and right."""


@law(
    "POMT-ATT-1",
    families=("disagreeing heads", "single head", "contrasting prefix", "one-hot attention"),
    kills=(
        "mean over heads",
        "first head alone",
        "eight heads at most",
        "twelve heads at most",
        "two heads of a long sequence",
        "sum over keys",
        "maximum over queries",
        "own token left out",
        "prefix rows summed",
        "sum before maximum",
    ),
    sizes="mixed",
    any_input=False,
)
def attention_sums_decide(case: Case, subject: Subject) -> Evidence:
    """S_j is the sum over patch queries of the maximum over heads of A[h, i, j], for every patch key j."""
    profile = subject.profile(case.dtype)
    scores, bounds = scores_and_bounds(case, profile)
    outcome, evidence, blamed = subject.run(case), Evidence(), "POMT-ATT-1"
    if "sums" in outcome.stages:
        expected = oracle.attention_sums(case.attn, prefix=case.shape.prefix)
        bound = rounding.sum_bound(expected, terms=case.shape.patches, profile=profile)
        evidence |= require_close("POMT-ATT-1", "attention sum", outcome.stages["sums"], expected, bound)
        blamed = ORDER
    return evidence | require_order(blamed, case, outcome, scores, bounds).evidence


@law(
    "POMT-ATT-2",
    families=(
        "contrasting samples",
        "attention to the prefix",
        "faint attention",
        "vanishing attention",
        "sample without attention",
        "compensated near ties",
    ),
    kills=(
        "maximum of each sample",
        "maximum of three samples",
        "no normalisation",
        "divided by the mean",
        "prefix columns in the maximum",
        "small number added to the divisor",
        "subnormal attention dropped",
        "maximum of 1024 keys",
    ),
    sizes="mixed",
    any_input=False,
)
def sums_are_relative_to_the_largest_of_the_batch(case: Case, subject: Subject) -> Evidence:
    """m_j = S_j / M, M = the maximum of S over the whole batch and all patch keys."""
    profile = subject.profile(case.dtype)
    scores, bounds = scores_and_bounds(case, profile)
    outcome, evidence, blamed = subject.run(case), Evidence(), "POMT-ATT-2"
    if "attention" in outcome.stages:
        sums = oracle.attention_sums(case.attn, prefix=case.shape.prefix)
        expected, bound = rounding.attention_bound(sums, profile)
        evidence |= require_close("POMT-ATT-2", "attention score", outcome.stages["attention"], expected, bound)
        largest = float(outcome.stages["attention"].max())
        if largest > 1:
            raise LawViolation("POMT-ATT-2", f"the largest attention score is {largest!r}, expected at most 1")
        blamed = ORDER
    return evidence | require_order(blamed, case, outcome, scores, bounds).evidence


@law(
    "POMT-MAG-1",
    families=(
        "values against keys",
        "values alone",
        "negative values",
        "wide values",
        "values far below the prefix",
        "compensated near ties",
        "shares far apart",
    ),
    kills=(
        "absolute values",
        "maximum from zero",
        "mean over heads of v",
        "sum before maximum of v",
        "largest feature alone",
        "64 features at most",
        "softmax over patches",
        "exponential bare",
        "exponent cut at 20",
        "shares of a millionth at least",
        "shares below a millionth dropped",
        "maximum from -200",
    ),
    sizes="mixed",
    any_input=False,
)
def value_sums_decide(case: Case, subject: Subject) -> Evidence:
    """t_k = sum over features of max over heads of v[h, k, :]; p = softmax of t over all N tokens, prefix included."""
    profile = subject.profile(case.dtype)
    scores, bounds = scores_and_bounds(case, profile)
    outcome, evidence, blamed = subject.run(case), Evidence(), "POMT-MAG-1"
    strongest = case.v.max(axis=1)
    if "value_sums" in outcome.stages:
        terms = case.shape.features
        bound = rounding.sum_bound(np.abs(strongest).sum(axis=2), terms=terms, profile=profile)
        evidence |= require_close(
            "POMT-MAG-1", "value sum", outcome.stages["value_sums"], oracle.value_sums(case.v), bound
        )
    if "magnitude" in outcome.stages:
        share, bound = rounding.share_bound(strongest, profile=profile)
        expected, bound = share[:, case.shape.prefix :], bound[:, case.shape.prefix :]
        evidence |= require_close("POMT-MAG-1", "magnitude score", outcome.stages["magnitude"], expected, bound)
        blamed = ORDER
    return evidence | require_order(blamed, case, outcome, scores, bounds).evidence


@law(
    "POMT-SCORE-1",
    families=(
        "balanced",
        "plain parts",
        "ordinary",
        "prefix-heavy values",
        "ties",
        "distinct scores",
        "compensated near ties",
        "sample without attention",
        "vision transformer",
    ),
    kills=("attention alone", "magnitude alone", "product of scores", "magnitude doubled", "score clipped at one"),
)
def scores_are_the_sum_of_both_parts(case: Case, subject: Subject) -> Evidence:
    """s_j = m_j + p_j, so 0 ≤ s ≤ 2."""
    profile = subject.profile(case.dtype)
    scores, bounds = scores_and_bounds(case, profile)
    outcome, evidence, blamed = subject.run(case), Evidence(), "POMT-SCORE-1"
    if "scores" in outcome.stages:
        got = outcome.stages["scores"]
        evidence |= require_close("POMT-SCORE-1", "score", got, scores, bounds)
        least, most = float(got.min()), float(got.max())
        if least < 0 or most > 2:  # noqa: PLR2004 -- the clause's own bound
            raise LawViolation("POMT-SCORE-1", f"scores from {least!r} to {most!r}, expected within [0, 2]")
        blamed = ORDER
    return evidence | require_order(blamed, case, outcome, scores, bounds).evidence


@law(
    "POMT-RANK-1",
    families=("keys alone", "many tied keys", "identical tokens", "equal tokens"),
    kills=(
        "ascending",
        "ascending where nothing is recorded",
        "input order",
        "first half sorted only",
        "kept in input order",
    ),
    sizes="long",
)
def kept_rows_stand_in_descending_score(case: Case, subject: Subject) -> Evidence:
    """Tokens in descending score; any order of equal scores conforms."""
    scores, bounds = scores_and_bounds(case, subject.profile(case.dtype))
    return require_order("POMT-RANK-1", case, subject.run(case), scores, bounds).evidence


@law(
    "POMT-PREC-1",
    families=("near ties", "close sums", "compensated near ties", "small scores", "large value sums"),
    kills=(
        "output in float32",
        "scores in half precision",
        "scores in bfloat16",
        "scores in float32",
        "values of two bfloat16",
    ),
    sizes="mixed",
)
def scores_are_wide_and_output_is_not(case: Case, subject: Subject) -> Evidence:
    """Scores are in float32 or wider, in float64 for float64 inputs; the output has x's dtype and device."""
    outcome = subject.run(case)
    require_dtype(case, outcome)
    require_shape(case, outcome)
    scores, bounds = scores_and_bounds(case, subject.profile(case.dtype))
    return require_order("POMT-PREC-1", case, outcome, scores, bounds).evidence
