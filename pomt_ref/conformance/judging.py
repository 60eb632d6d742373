"""One law over drawn cases: every failure is shrunk, and told with the smallest case that shows it."""

import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import hypothesis
import hypothesis.errors
import numpy as np
from hypothesis import HealthCheck, Phase, Verbosity, given, settings

from pomt_ref.conformance.call import TimeLimitError
from pomt_ref.conformance.errors import SubjectFailedError
from pomt_ref.conformance.explaining import explain
from pomt_ref.conformance.report import Failure, Kill, Row, Verdict
from pomt_ref.conformance.subject import CallableSubject
from pomt_ref.testing import (
    Captured,
    Case,
    Dtype,
    Evidence,
    Grade,
    InapplicableError,
    Law,
    LawViolation,
    NotOfferedError,
    cases,
    fixed_cases,
)

FIXED_FROM: Final = 40
"""Checks of at least this many cases a clause also hold the fixed ones of :mod:`pomt_ref.testing.fixed`."""

WAVERS: Final = "answers differently on a second call; the first time:"
"""How a failure begins that a second call does not show."""

STRIDE: Final = 1_000_003
"""From the seed of one part of a long check to that of the next; a prime, so that seeds of users do not meet."""


DRAWN: Final = settings(
    database=None,
    deadline=None,
    phases=(Phase.generate, Phase.shrink),
    print_blob=False,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),  # pyright: ignore[reportArgumentType] -- it takes the enumeration for a flag
    verbosity=Verbosity.quiet,
)
"""How Hypothesis draws: the same in every run, nothing kept, and as long as it takes."""

UNSHRUNK: Final = settings(DRAWN, phases=(Phase.generate,))
"""The same, and the first failing case is told as it came."""


@dataclass
class Progress:
    """Where to tell how far a check is; the default tells nothing."""

    clause_begins: Callable[[Law, int], None] = field(default=lambda _law, _cases: None)
    case_begins: Callable[[Law, Case], None] = field(default=lambda _law, _case: None)
    case_ends: Callable[[], None] = field(default=lambda: None)
    clause_ends: Callable[[Row], None] = field(default=lambda _row: None)


def run_law(
    law: Law,
    subject: CallableSubject,
    *,
    dtype: Dtype,
    examples: int,
    seed: int,
    part: int = 0,
    long: bool = True,
    captured: Captured | None = None,
    progress: Progress | None = None,
    shrink: bool = True,
) -> Row:
    """Draw cases of one law, or captured ones alone, until one fails, and then the smallest that still does.

    Arguments:
        law: the law.
        subject: the implementation.
        dtype: of the cases.
        examples: how many cases are drawn.
        seed: the same seed draws the same cases.
        part: which part of a long check this is; each draws cases of its own.
        long: hold all fixed cases; without it the brief ones alone.
        captured: tensors to draw from in place of the families.
        progress: told of every case.
        shrink: without it the first failing case is told, which takes a fraction of the time.
    """
    progress = progress or Progress()
    progress.clause_begins(law, examples)
    tally = _Tally(progress)

    @hypothesis.seed(seed + STRIDE * part)
    @settings(DRAWN if shrink else UNSHRUNK, max_examples=examples)
    @given(cases(law, dtype=dtype, captured=captured, fixed=subject.fixed))
    def holds(case: Case) -> None:
        try:
            tally.judge(law, case, subject)
        except InapplicableError:
            hypothesis.reject()

    def hold_all() -> None:
        holds()
        if part > 0 or examples < FIXED_FROM or captured is not None:
            return
        for case in fixed_cases(law, dtype=dtype, seed=seed, long=long):
            with suppress(InapplicableError):
                tally.judge(law, case, subject)

    verdict = tally.verdict_of(hold_all)
    failure = None if tally.case is None else explain(law, tally.message, tally.case, subject, captured, tally.sample)
    row = tally.row(law, "generated" if captured is None else captured.name, verdict, failure, part)
    progress.clause_ends(row)
    return row


@dataclass
class _Tally:
    """What happened while one law was checked."""

    progress: Progress
    begin: float = field(default_factory=time.perf_counter)
    shown: int = 0
    not_offered: bool = False
    families: Counter[str] = field(default_factory=Counter)
    grades: Counter[Grade] = field(default_factory=Counter)
    evidence: Evidence = field(default_factory=Evidence)
    first_kill: Kill | None = None
    case: Case | None = None
    """The last failing case; Hypothesis runs the smallest one last."""
    message: str = ""
    sample: int = 0
    blocked_by: str | None = None

    def verdict_of(self, hold_all: Callable[[], None]) -> Verdict:
        """Judge all cases, and say what they come to."""
        try:
            hold_all()
        except (LawViolation, SubjectFailedError, TimeLimitError):
            return "wrong" if self.blocked_by is None else "blocked"
        except hypothesis.errors.Flaky:
            if self.case is None:  # no answer of the subject failed: the fault is in the law
                raise
            self.message = f"{WAVERS} {self.message}"
            self.blocked_by = None  # what wavers is at fault itself
            return "wrong"
        except hypothesis.errors.Unsatisfiable:
            return "not offered" if self.not_offered else "not shown"
        if self.shown:
            return "conforms"
        return "not offered" if self.not_offered else "not shown"

    def row(self, law: Law, source: str, verdict: Verdict, failure: Failure | None, part: int) -> Row:
        """The line of the report."""
        return Row(
            law.clause,
            law.statement,
            source,
            verdict,
            self.shown,
            dict(self.families),
            time.perf_counter() - self.begin,
            failure,
            self.blocked_by,
            dict(self.grades),
            self.evidence.attained,
            self.first_kill,
            part=part,
        )

    def judge(self, law: Law, case: Case, subject: CallableSubject) -> None:
        """Check one case, and remember how it went."""
        self.progress.case_begins(law, case)
        try:
            # NumPy's own settings: an implementation may have made warnings of it errors.
            with np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"):
                evidence = law.check(case, subject)
        except NotOfferedError:
            self.not_offered = True
            return
        except LawViolation as violation:
            if self.case is not None and violation.clause != (self.blocked_by or law.clause):
                return  # shrinking keeps to what was found: a smaller case that breaks another clause is no smaller one
            self.blocked_by = None if violation.clause == law.clause else violation.clause
            message = str(violation) if self.blocked_by is None else f"{law.clause} blocked by {violation}"
            self._fail(case, message, violation.sample)
            raise
        except (SubjectFailedError, TimeLimitError) as failed:
            self._fail(case, f"{law.clause} wrong: {failed}")
            self.blocked_by = None
            raise
        finally:
            self.progress.case_ends()
        self._count(case)
        self.evidence |= evidence
        if evidence.grade is not None:
            self.grades[evidence.grade] += 1

    def _count(self, case: Case) -> None:
        self.shown += 1
        self.families[case.family] += 1

    def _fail(self, case: Case, message: str, sample: int = 0) -> None:
        self._count(case)
        if self.first_kill is None:
            self.first_kill = Kill(self.shown, time.perf_counter() - self.begin)
        self.case, self.message, self.sample = case, message, sample
