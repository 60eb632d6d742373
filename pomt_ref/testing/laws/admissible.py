"""ADMISSIBLE · the whole relation between an input and an output, for who has an output and nothing to call.

The laws ask one clause at a time; this asks all that one output can be asked, in the order in which it is read.
"""

from pomt_ref.testing.cases import Case
from pomt_ref.testing.evidence import Evidence
from pomt_ref.testing.laws.reading import (
    class_scores_and_bounds,
    require_dtype,
    require_mean,
    require_order,
    require_shape,
    scores_and_bounds,
)
from pomt_ref.testing.laws.rows import require_copies, require_partition, waived_order
from pomt_ref.testing.laws.siblings import require_fused
from pomt_ref.testing.rounding import Profile, normative
from pomt_ref.testing.subject import Method, Outcome


def require_admissible(
    case: Case, outcome: Outcome, *, method: Method = "pomt", profile: Profile | None = None
) -> Evidence:
    """ADMISSIBLE: some scores, each within its rounding error of the exact one, give exactly this output.

    Arguments:
        case: what went in.
        outcome: what came out; indices and stages are optional, and indices are held as well.
        method: which of the three algorithms it is.
        profile: the precision in which it was computed; by default the normative one of the case's dtype.

    Returns:
        the grade of the order (identical, the same kept set, admissible) and the share of the allowed error used.

    Raises:
        LawViolation: it is not; the message names clause, sample, tokens, scores, gap and what rounding explains.
    """
    profile = normative(case.dtype) if profile is None else profile
    appended = 0 if method == "topk" else 1
    require_shape(case, outcome, clause="TOPK-1" if method == "topk" else "POMT-PRUNE-1", appended=appended)
    require_dtype(case, outcome)
    require_copies(case, outcome, appended=appended)
    require_partition(case, outcome, appended=appended)
    if method == "pomt":
        if not case.defined:
            return require_mean(case, outcome, waived_order(case, outcome), profile)
        order = require_order("POMT-RANK-1", case, outcome, *scores_and_bounds(case, profile))
        return order.evidence | require_mean(case, outcome, order.readings, profile)
    scores, bounds = class_scores_and_bounds(case, profile)
    clause = "TOPK-1" if method == "topk" else "EVIT-1"
    order = require_order(clause, case, outcome, scores, bounds, appended=appended)
    if method == "topk":
        return order.evidence
    return order.evidence | require_fused(case, outcome, order.readings, scores, profile, normalise=False)
