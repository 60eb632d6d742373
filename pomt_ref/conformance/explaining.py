"""A failing case explained: the snippet that shows it again, the first stage that diverges, and the scores at stake."""

from contextlib import suppress

import numpy as np

from pomt_ref import oracle
from pomt_ref.conformance.call import TimeLimitError
from pomt_ref.conformance.errors import SubjectFailedError
from pomt_ref.conformance.report import Failure, Ranking
from pomt_ref.conformance.snippet import snippet
from pomt_ref.conformance.subject import CallableSubject
from pomt_ref.testing import Captured, Case, InapplicableError, Law, LawViolation, NotOfferedError, Outcome
from pomt_ref.testing.divergence import first_divergence
from pomt_ref.testing.laws.reading import class_scores_and_bounds, readings, scores_and_bounds

SILENT = (SubjectFailedError, TimeLimitError, LawViolation, NotOfferedError)
"""Why there may be nothing to explain with: no answer, or one that cannot be read."""


def explain(
    law: Law, message: str, case: Case, subject: CallableSubject, captured: Captured | None, sample: int
) -> Failure:
    """Make the failure of a law, on the smallest case found, ready to be read."""
    outcome = None
    if not subject.watch.exceeded:
        with suppress(*SILENT):
            outcome = subject.run(case)
    return Failure(
        law.clause,
        case.family,
        message,
        case,
        snippet(law.clause, case, subject, captured),
        _divergence(case, outcome, subject),
        _ranking(case, outcome, subject, sample),
    )


def _divergence(case: Case, outcome: Outcome | None, subject: CallableSubject) -> str:
    """The first stage beyond its bound, where stages or indices are shown."""
    if outcome is None or subject.method != "pomt" or not case.defined:
        return ""
    if not outcome.stages and outcome.kept is None:
        return ""
    found = first_divergence(case, outcome, subject.profile(case.dtype))
    return "" if found is None else str(found)


def _ranking(case: Case, outcome: Outcome | None, subject: CallableSubject, sample: int) -> Ranking | None:
    """The scores that decide, their bounds, and what was made of them."""
    profile = subject.profile(case.dtype)
    try:
        scores, bounds = (
            scores_and_bounds(case, profile) if subject.method == "pomt" else class_scores_and_bounds(case, profile)
        )
    except InapplicableError:
        return None
    prefix, keep = case.shape.prefix, case.shape.keep
    kept = None
    if outcome is not None:
        with suppress(LawViolation):
            appended = 0 if subject.method == "topk" else 1
            kept = tuple(prefix + j for j in readings(case, outcome, scores, appended=appended)[sample].kept)
    expected = oracle.order(scores)[sample, :keep] + prefix
    return Ranking(
        sample,
        prefix,
        keep,
        tuple(np.asarray(scores[sample]).tolist()),
        tuple(np.asarray(bounds[sample]).tolist()),
        tuple(expected.tolist()),
        kept,
    )
