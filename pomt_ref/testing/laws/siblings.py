"""TOPK, EVIT, SIB · laws of the sibling methods, on the same rows and orders."""

import numpy as np
from jaxtyping import Float64

from pomt_ref import oracle
from pomt_ref.testing import rounding
from pomt_ref.testing.admissible import Reading
from pomt_ref.testing.cases import Case
from pomt_ref.testing.evidence import Evidence
from pomt_ref.testing.laws.law import law
from pomt_ref.testing.laws.reading import (
    Scores,
    class_scores_and_bounds,
    require_close,
    require_order,
    require_shape,
)
from pomt_ref.testing.rounding import Profile
from pomt_ref.testing.subject import Outcome, Subject

_FAMILIES = ("ordinary", "contrasting prefix", "disagreeing heads", "contrasting tokens", "signed zeros", "ties")
_KILLS = ("maximum over heads of the class row", "last prefix row for class row", "ascending", "input order")


@law("TOPK-1", families=_FAMILIES, kills=_KILLS, method="topk", sizes="mixed")
def topk_keeps_what_the_class_row_attends_to(case: Case, subject: Subject) -> Evidence:
    """score = mean over heads of A[h, class row, patch keys]; the output is the prefix and the T best in rank order."""
    outcome = subject.run(case)
    require_shape(case, outcome, clause="TOPK-1", appended=0)
    scores, bounds = class_scores_and_bounds(case, subject.profile(case.dtype))
    return require_order("TOPK-1", case, outcome, scores, bounds, appended=0).evidence


@law(
    "EVIT-1",
    families=_FAMILIES,
    kills=(*_KILLS, "fused row normalised", "mean row for fused row"),
    method="evit",
    sizes="mixed",
)
def evit_fuses_the_discarded_by_their_scores(case: Case, subject: Subject) -> Evidence:
    """The same score; then one fused row, the sum over the discarded of score times x."""
    outcome = subject.run(case)
    require_shape(case, outcome, clause="EVIT-1")
    profile = subject.profile(case.dtype)
    scores, bounds = class_scores_and_bounds(case, profile)
    order = require_order("EVIT-1", case, outcome, scores, bounds)
    evidence = order.evidence | require_fused(case, outcome, order.readings, scores, profile, normalise=False)
    lightest = np.sort(scores, axis=1)[:, : case.shape.discarded].sum(axis=1)
    if "normalise" in subject.options() and lightest.all():  # weights that sum to zero have no average
        outcome = subject.run(case, normalise=True)
        require_shape(case, outcome, clause="EVIT-1")
        order = require_order("EVIT-1", case, outcome, scores, bounds)
        evidence |= order.evidence | require_fused(case, outcome, order.readings, scores, profile, normalise=True)
    return evidence


@law("SIB-1", families=("contrasting prefix",), kills=("last prefix row for class row",), method="topk")
def topk_class_row_is_row_zero(case: Case, subject: Subject) -> Evidence:
    """The class row is row 0 by default; ``class_index`` says otherwise."""
    return _require_class_row(case, subject, appended=0)


@law("SIB-1", families=("contrasting prefix",), kills=("last prefix row for class row",), method="evit")
def evit_class_row_is_row_zero(case: Case, subject: Subject) -> Evidence:
    """The class row is row 0 by default; ``class_index`` says otherwise."""
    return _require_class_row(case, subject, appended=1)


def _require_class_row(case: Case, subject: Subject, *, appended: int) -> Evidence:
    """Rank by row 0, and by every other prefix row where the subject takes a class_index."""
    profile = subject.profile(case.dtype)
    scores, bounds = class_scores_and_bounds(case, profile)
    evidence = require_order("SIB-1", case, subject.run(case), scores, bounds, appended=appended).evidence
    if "class_index" in subject.options():
        for row in range(case.shape.prefix):
            scores, bounds = class_scores_and_bounds(case, profile, class_index=row)
            outcome = subject.run(case, class_index=row)
            evidence |= require_order("SIB-1", case, outcome, scores, bounds, appended=appended).evidence
    return evidence


def require_fused(
    case: Case, outcome: Outcome, found: list[Reading], scores: Scores, profile: Profile, *, normalise: bool
) -> Evidence:
    """EVIT-1: the last row is the fused one, within the rounding of its products and sums."""
    evidence = Evidence()
    for sample, reading in enumerate(found):
        discarded = list(reading.discarded)
        rows, weights = case.patch_rows(sample)[discarded], scores[sample, discarded]
        expected = oracle.fused_row(rows, weights, normalise=normalise)
        bound = _fused_bound(case, rows, weights, profile, normalise=normalise)
        what = f"fused row of sample {sample}"
        evidence |= require_close("EVIT-1", what, outcome.tokens[sample, -1], expected, bound)
    return evidence


def _fused_bound(
    case: Case,
    rows: Float64[np.ndarray, "discarded channels"],
    weights: Float64[np.ndarray, " discarded"],
    profile: Profile,
    *,
    normalise: bool,
) -> Float64[np.ndarray, " channels"]:
    """A score is a mean of H terms; then its product with x, the sum, and normalised a sum of scores and a quotient."""
    stored = rounding.FORMATS[case.dtype]
    unit, tiny = profile.arithmetic.unit, profile.arithmetic.tiny
    score = (1 + (case.shape.heads - 1) * unit) * (1 + unit) ** 2
    relative = score * (1 + unit) * (1 + (len(rows) - 1) * unit)
    total = weights.sum() if normalise else 1.0
    if normalise:
        relative *= score * (1 + (len(rows) - 1) * unit) * (1 + unit) / (1 - 2 * (case.shape.heads + len(rows)) * unit)
    products = np.abs(weights[:, np.newaxis] * rows).sum(axis=0) / total
    lost = tiny * (np.abs(rows).sum(axis=0) + 2 * len(rows)) * (2 / total)
    bound: Float64[np.ndarray, " channels"] = (
        (relative * (1 + stored.unit) - 1 + rounding.ORACLE) * products + lost + stored.tiny
    )
    return bound
