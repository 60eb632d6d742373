"""One law over drawn cases: every failure is shrunk, and told with the smallest case that shows it."""

import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import hypothesis.errors
from hypothesis import HealthCheck, Phase, Verbosity, given, settings

from pomt_ref.conformance.errors import SubjectFailedError
from pomt_ref.conformance.report import Failure, Row, Verdict
from pomt_ref.conformance.snippet import snippet
from pomt_ref.conformance.subject import TorchSubject
from pomt_ref.testing import (
    Captured,
    Case,
    Dtype,
    InapplicableError,
    Law,
    LawViolation,
    NotOfferedError,
    cases,
    fixed_cases,
)

FIXED_FROM: Final = 100
"""Checks of at least this many cases a clause also hold the fixed ones of :mod:`pomt_ref.testing.fixed`."""


@dataclass
class Progress:
    """Where to tell how far a check is; the default tells nothing."""

    clause_begins: Callable[[Law, int], None] = field(default=lambda _law, _cases: None)
    case_ends: Callable[[], None] = field(default=lambda: None)
    clause_ends: Callable[[Row], None] = field(default=lambda _row: None)


def run_law(
    law: Law,
    subject: TorchSubject,
    *,
    dtype: Dtype,
    examples: int,
    seed: int,
    captured: Captured | None = None,
    progress: Progress | None = None,
    shrink: bool = True,
) -> Row:
    """Draw cases of one law, or captured ones alone, until one fails, and then the smallest that still does.

    Without ``shrink`` the first failing case is told, which takes a fraction of the time.
    """
    progress = progress or Progress()
    progress.clause_begins(law, examples)
    tally = _Tally(progress)

    @hypothesis.seed(seed)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink) if shrink else (Phase.generate,),
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),  # pyright: ignore[reportArgumentType] -- it takes the enumeration for a flag
        verbosity=Verbosity.quiet,
    )
    @given(cases(law, dtype=dtype, captured=captured))
    def holds(case: Case) -> None:
        try:
            tally.judge(law, case, subject)
        except InapplicableError:
            hypothesis.reject()

    def hold_all() -> None:
        holds()
        for case in fixed_cases(law, dtype=dtype, seed=seed) if examples >= FIXED_FROM and captured is None else ():
            with suppress(InapplicableError):
                tally.judge(law, case, subject)

    begin = time.perf_counter()
    verdict = tally.verdict_of(hold_all)
    failure = None
    if tally.case is not None:
        code = snippet(law.clause, tally.case, subject, captured)
        failure = Failure(law.clause, tally.case.family, tally.message, tally.case, code)
    seconds = time.perf_counter() - begin
    source = "generated" if captured is None else captured.name
    row = Row(
        law.clause,
        law.statement,
        source,
        verdict,
        tally.shown,
        dict(tally.families),
        seconds,
        failure,
        tally.blocked_by,
    )
    progress.clause_ends(row)
    return row


@dataclass
class _Tally:
    """What happened while one law was checked."""

    progress: Progress
    shown: int = 0
    not_offered: bool = False
    families: Counter[str] = field(default_factory=Counter)
    case: Case | None = None
    """The last failing case; Hypothesis runs the smallest one last."""
    message: str = ""
    blocked_by: str | None = None

    def verdict_of(self, hold_all: Callable[[], None]) -> Verdict:
        """Judge all cases, and say what they come to."""
        try:
            hold_all()
        except (LawViolation, SubjectFailedError):
            return "wrong" if self.blocked_by is None else "blocked"
        except hypothesis.errors.Flaky:
            if self.case is None:  # no answer of the subject failed: the fault is in the law
                raise
            self.message = f"answers differently on a second call; the first time: {self.message}"
            self.blocked_by = None  # what wavers is at fault itself
            return "wrong"
        except hypothesis.errors.Unsatisfiable:
            return "not shown"
        if self.shown:
            return "conforms"
        return "not offered" if self.not_offered else "not shown"

    def judge(self, law: Law, case: Case, subject: TorchSubject) -> None:
        """Check one case, and remember how it went."""
        try:
            law.check(case, subject)
        except NotOfferedError:
            self.not_offered = True
            return
        except LawViolation as violation:
            self.blocked_by = None if violation.clause == law.clause else violation.clause
            self._fail(case, str(violation) if self.blocked_by is None else f"{law.clause} blocked by {violation}")
            raise
        except SubjectFailedError as failed:
            self._fail(case, f"{law.clause} wrong: {failed}")
            self.blocked_by = None
            raise
        finally:
            self.progress.case_ends()
        self._count(case)

    def _count(self, case: Case) -> None:
        self.shown += 1
        self.families[case.family] += 1

    def _fail(self, case: Case, message: str) -> None:
        self._count(case)
        self.case, self.message = case, message
