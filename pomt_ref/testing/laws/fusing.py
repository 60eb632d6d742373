"""EVIT-1 · what is asked of the fused row."""

import numpy as np
from jaxtyping import Float64

from pomt_ref import oracle
from pomt_ref.testing import formats, rounding
from pomt_ref.testing.admissible import Reading
from pomt_ref.testing.cases import Case
from pomt_ref.testing.evidence import Evidence
from pomt_ref.testing.formats import Profile
from pomt_ref.testing.laws.reading import Scores, require_close
from pomt_ref.testing.subject import Outcome


def require_fused(
    case: Case, outcome: Outcome, found: list[Reading], scores: Scores, profile: Profile, *, normalise: bool
) -> Evidence:
    """EVIT-1: the last row is the fused one, within the rounding of its products and sums."""
    evidence = Evidence()
    for sample, reading in enumerate(found):
        discarded = list(reading.discarded)
        rows, weights = case.patch_rows(sample)[discarded], scores[sample, discarded]
        expected = oracle.fused_row(rows, weights, normalise=normalise)
        bound = fused_bound(case, rows, weights, profile, normalise=normalise)
        what = f"fused row of sample {sample}"
        evidence |= require_close("EVIT-1", what, outcome.tokens[sample, -1], expected, bound)
    return evidence


def fused_bound(
    case: Case,
    rows: Float64[np.ndarray, "discarded channels"],
    weights: Float64[np.ndarray, " discarded"],
    profile: Profile,
    *,
    normalise: bool,
) -> Float64[np.ndarray, " channels"]:
    """A score is a mean of H terms; then its product with x, the sum, and normalised a sum of scores and a quotient."""
    stored = formats.FORMATS[case.dtype]
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
