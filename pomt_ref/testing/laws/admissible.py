"""ADMISSIBLE · the whole relation between an input and an output, for who has an output and nothing to call.

The laws ask one clause at a time; this asks all that one output can be asked, in the order in which it is read.
"""

from typing import Literal

from pomt_ref.testing.cases import Case
from pomt_ref.testing.evidence import Evidence
from pomt_ref.testing.formats import Profile, normative
from pomt_ref.testing.laws.fusing import require_fused
from pomt_ref.testing.laws.gathering import require_copies, require_partition, require_untouched, waived_order
from pomt_ref.testing.laws.reading import (
    Scores,
    class_scores_and_bounds,
    require_close,
    require_dtype,
    require_mean,
    require_order,
    require_shape,
    scores_and_bounds,
)
from pomt_ref.testing.subject import Method, Outcome


def require_admissible(
    case: Case,
    outcome: Outcome,
    *,
    method: Method = "pomt",
    profile: Profile | None = None,
    normalisation: Literal["batch", "sample"] = "batch",
    class_index: int = 0,
    normalise: bool = False,
) -> Evidence:
    """ADMISSIBLE: some scores, each within its rounding error of the exact one, give exactly this output.

    Arguments:
        case: what went in.
        outcome: what came out; indices and stages are optional, and are held as well.
        method: which of the three algorithms it is.
        profile: the precision in which it was computed; by default the normative one of the case's dtype.
        normalisation: of POMT: over what the largest attention sum was taken.
        class_index: of Top-K and EViT: the class row.
        normalise: of EViT: whether the fused row was divided by the sum of its weights.

    Returns:
        the grade of the order (identical, the same kept set, admissible) and the share of the allowed error used.

    Raises:
        LawViolation: it is not; the message names clause, sample, tokens, scores, gap and what rounding explains.
    """
    profile = normative(case.dtype) if profile is None else profile
    appended = 0 if method == "topk" else 1
    require_shape(case, outcome, clause="TOPK-1" if method == "topk" else "POMT-PRUNE-1", appended=appended)
    require_dtype(case, outcome)
    require_untouched(outcome)
    require_copies(case, outcome, appended=appended)
    require_partition(case, outcome, appended=appended)
    if method == "pomt":
        if not case.defined:
            return require_mean(case, outcome, waived_order(case, outcome), profile)
        scores, bounds = scores_and_bounds(case, profile, normalisation=normalisation)
        evidence = _require_scores("POMT-SCORE-1", outcome, scores, bounds)
        order = require_order("POMT-RANK-1", case, outcome, scores, bounds)
        return evidence | order.evidence | require_mean(case, outcome, order.readings, profile)
    clause = "TOPK-1" if method == "topk" else "EVIT-1"
    scores, bounds = class_scores_and_bounds(case, profile, class_index=class_index)
    evidence = _require_scores(clause, outcome, scores, bounds)
    order = require_order(clause, case, outcome, scores, bounds, appended=appended)
    if method == "topk":
        return evidence | order.evidence
    fused = require_fused(case, outcome, order.readings, scores, profile, normalise=normalise)
    return evidence | order.evidence | fused


def _require_scores(clause: str, outcome: Outcome, scores: Scores, bounds: Scores) -> Evidence:
    """The scores, where they are shown."""
    if "scores" not in outcome.stages:
        return Evidence()
    return require_close(clause, "score", outcome.stages["scores"], scores, bounds)
