"""Does an implementation conform? The check, its subjects and its report."""

from pomt_ref.conformance.errors import SubjectError, SubjectFailedError
from pomt_ref.conformance.graph import load_graph
from pomt_ref.conformance.judging import Progress, run_law
from pomt_ref.conformance.loading import as_subject, load_subject
from pomt_ref.conformance.queries import from_queries, queries_and_keys
from pomt_ref.conformance.report import Failure, Report, Row, Verdict
from pomt_ref.conformance.runner import MAX_EXAMPLES, check, require
from pomt_ref.conformance.subject import CallableSubject

__all__ = [
    "MAX_EXAMPLES",
    "CallableSubject",
    "Failure",
    "Progress",
    "Report",
    "Row",
    "SubjectError",
    "SubjectFailedError",
    "Verdict",
    "as_subject",
    "check",
    "from_queries",
    "load_graph",
    "load_subject",
    "queries_and_keys",
    "require",
    "run_law",
]
