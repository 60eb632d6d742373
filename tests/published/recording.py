"""The cases of a check, drawn once and held to many implementations: those that every check with seed 0 has."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Final, Literal

from pomt_ref.conformance import CallableSubject, as_subject, run_law
from pomt_ref.conformance.call import TimeLimitError
from pomt_ref.conformance.errors import SubjectFailedError
from pomt_ref.testing import (
    Case,
    Dtype,
    Evidence,
    InapplicableError,
    Law,
    LawViolation,
    Method,
    NotOfferedError,
    Subject,
    laws_of,
)
from pomt_ref.testing.mutants import HONEST, Mutant

QUICK: Final = 40
"""Cases a clause of ``pomt-ref check --quick``."""

WHOLE: Final = 200
"""Cases a clause of ``pomt-ref check``."""

Kind = Literal["kill", "blocked", "crash"]


@dataclass(frozen=True)
class Kill:
    """The first case of a law that an implementation fails."""

    cases: int
    kind: Kind
    by: str
    """The clause that the violation names."""


def subject_of(mutant: Mutant) -> CallableSubject:
    """The mutant, as a user's implementation would be held."""
    return as_subject(mutant.function, name=f"mutants:{mutant.name}", method=mutant.method)


@cache
def recorded(law: Law, dtype: Dtype, examples: int) -> tuple[Case, ...]:
    """The cases that show a law, as an honest implementation sees them, seed 0."""
    seen: list[Case] = []

    def check(case: Case, subject: Subject) -> Evidence:
        evidence = law.check(case, subject)
        seen.append(case)
        return evidence

    honest = subject_of(next(mutant for mutant in HONEST if mutant.method == law.method))
    row = run_law(
        replace(law, check=check), honest, dtype=dtype, examples=examples, seed=0, long=examples == WHOLE, shrink=False
    )
    if row.verdict != "conforms":
        raise AssertionError(f"false alarm: {honest.name}: {row.failure}")
    return tuple(seen)


def first_kill(law: Law, mutant: Mutant, examples: int) -> Kill | None:
    """The first case of the law that the mutant fails, and how."""
    subject = subject_of(mutant)
    for number, case in enumerate(recorded(law, mutant.dtype, examples), start=1):
        try:
            law.check(case, subject)
        except LawViolation as violation:
            return Kill(number, "kill" if violation.clause == law.clause else "blocked", violation.clause)
        except (SubjectFailedError, TimeLimitError):
            return Kill(number, "crash", law.clause)
        except (InapplicableError, NotOfferedError):
            continue
    return None


def laws(method: Method) -> list[Law]:
    """The laws of a method, each recorded once."""
    return laws_of(method)
