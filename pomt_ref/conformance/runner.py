"""The check itself: every law over drawn cases; every failure shrunk; one law's failure never hides another's."""

import platform
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, get_args

import hypothesis
import numpy as np
import torch
from hypothesis import HealthCheck, Phase, Verbosity, given, settings

from pomt_ref.conformance.errors import NoTensorError, SubjectError, SubjectFailedError
from pomt_ref.conformance.report import Failure, Report, Row, Verdict
from pomt_ref.conformance.snippet import snippet
from pomt_ref.conformance.subject import OUTPUT, TorchSubject, as_subject, load_subject
from pomt_ref.testing import (
    FAMILIES,
    Captured,
    Case,
    Dtype,
    InapplicableError,
    Law,
    LawViolation,
    Method,
    NotOfferedError,
    Shape,
    cases,
    laws_of,
    long_cases,
)
from pomt_ref.testing.rounding import representable

MAX_EXAMPLES: Final = 200
"""Cases a clause by default."""

LONG_FROM: Final = 100
"""Checks of at least this many cases a clause also hold the two long sequences of :data:`pomt_ref.testing.strategies.LONG`."""

DTYPES: Final[tuple[Dtype, ...]] = get_args(Dtype)
"""The dtypes of POMT-PREC-1, by name."""


@dataclass
class Progress:
    """Where to tell how far a check is; the default tells nothing."""

    clause_begins: Callable[[Law, int], None] = field(default=lambda _law, _cases: None)
    case_ends: Callable[[], None] = field(default=lambda: None)
    clause_ends: Callable[[Row], None] = field(default=lambda _row: None)


def check(
    subject: Callable[..., Any] | str,
    *,
    dtype: torch.dtype | str = torch.float32,
    device: str = "cpu",
    method: Method = "pomt",
    max_examples: int | None = None,
    clauses: Iterable[str] | None = None,
    seed: int = 0,
    captured: Captured | None = None,
    progress: Progress | None = None,
) -> Report:
    """Hold an implementation against the specification, clause by clause.

    Arguments:
        subject: a callable ``(x, attn, v, *, prefix, keep)`` on torch tensors, or its ``package.module:attribute``.
        dtype: of the tensors that it is given: float16, bfloat16, float32 or float64.
        device: where they are.
        method: ``"pomt"``, or ``"topk"`` or ``"evit"``, which are called without v.
        max_examples: cases a clause; 200 by default.
        clauses: which clauses; all of the method by default.
        seed: the same seed draws the same cases.
        captured: tensors of a real model; laws that hold on any input are held on them too, in a row of their own.
        progress: called as the check proceeds.

    Returns:
        the report; ``report.conforms``, and ``report.failures`` with clause, family, message, case and snippet.

    Raises:
        SubjectError: the check could not run.

    >>> from pomt_ref import prune
    >>> check(prune, clauses=["POMT-PRUNE-1"], max_examples=10).conforms
    True
    """
    held = _held(subject, method, device)
    name = _dtype_name(held.name, dtype)
    laws = _chosen(held.name, method, clauses)
    _require_device(held.name, device, name)
    _require_captured(captured, method, name)
    _require_tensor(held, name)
    examples = MAX_EXAMPLES if max_examples is None else max_examples
    rows: list[Row] = []
    for law in laws:
        sources = [None] if captured is None or not law.any_input else [None, captured]
        rows.extend(
            run_law(law, held, dtype=name, examples=examples, seed=seed, captured=source, progress=progress)
            for source in sources
        )
    versions = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "hypothesis": hypothesis.__version__,
    }
    return Report(held.name, method, name, device, seed, examples, versions, tuple(rows))


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
        suppress_health_check=list(HealthCheck),
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
        for case in long_cases(law, dtype=dtype, seed=seed) if examples >= LONG_FROM and captured is None else ():
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
    row = Row(law.clause, law.statement, source, verdict, tally.shown, dict(tally.families), seconds, failure)
    progress.clause_ends(row)
    return row


def require(
    clause: str, case: Case, subject: Callable[..., Any] | str, *, method: Method = "pomt", device: str = "cpu"
) -> None:
    """Hold an implementation against one clause on one case: what a report's snippet ends with.

    Raises:
        LawViolation: the clause is broken.
        SubjectFailedError: the implementation raised, or returned what is no output.
    """
    held = _held(subject, method, device)
    for law in _chosen(held.name, method, [clause]):
        law.check(case, held)


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
            self._fail(case, str(violation))
            self.blocked_by = None if violation.clause == law.clause else violation.clause
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


def _held(subject: Callable[..., Any] | str, method: Method, device: str) -> TorchSubject:
    """The subject, imported where it is named."""
    if isinstance(subject, str):
        return load_subject(subject, method=method, device=device)
    module = getattr(subject, "__module__", None) or "__main__"
    name = getattr(subject, "__qualname__", type(subject).__name__)
    return as_subject(subject, name=f"{module}:{name}", method=method, device=device)


def _chosen(subject: str, method: Method, clauses: Iterable[str] | None) -> list[Law]:
    """The laws of these clauses, in the order of the specification."""
    laws = laws_of(method)
    known = [law.clause for law in laws]
    wanted = known if clauses is None else list(clauses)
    for clause in wanted:
        if clause not in known:
            raise SubjectError(subject, f"a clause of {method}: {', '.join(known)}", clause)
    return [law for law in laws if law.clause in wanted]


def _dtype_name(subject: str, dtype: torch.dtype | str) -> Dtype:
    """The dtype by its name, without torch's prefix."""
    for name in DTYPES:
        if str(dtype) in {name, f"torch.{name}"}:
            return name
    raise SubjectError(subject, f"a dtype in {', '.join(DTYPES)}", f"{dtype}")


def _require_device(subject: str, device: str, dtype: Dtype) -> None:
    """A device that is not there, or that cannot give back what it holds, is told before the first case."""
    try:
        torch.zeros(1, dtype=getattr(torch, dtype), device=device).cpu()
    except (RuntimeError, AssertionError, TypeError) as error:
        found = "available" if torch.cuda.is_available() else "not available"
        got = f"{str(error).splitlines()[0]} (CUDA: {found})"
        raise SubjectError(subject, f"the device {device}", got) from error


def _require_captured(captured: Captured | None, method: Method, dtype: Dtype) -> None:
    """Captured tensors that the method or the dtype has no room for are told before the first case."""
    if captured is None:
        return
    if method != "pomt" and captured.prefix == 0:
        raise SubjectError(f"{captured.path}", f"a prefix of 1 or more for {method}", "prefix 0")
    with np.errstate(over="ignore"):
        held = [representable(tensor, dtype) for tensor in (captured.x, captured.attn, captured.v)]
    if not all(np.isfinite(tensor).all() for tensor in held):
        raise SubjectError(f"{captured.path}", f"numbers within the range of {dtype}", "larger ones")


def _require_tensor(subject: TorchSubject, dtype: Dtype) -> None:
    """One ordinary call: what returns no tensor cannot be held against the laws; what raises is left to them."""
    shape = Shape(batch=2, heads=2, tokens=6, features=3, channels=4, prefix=1, keep=2)
    with suppress(SubjectFailedError):
        try:
            subject.run(FAMILIES["ordinary"].build(shape, seed=0, dtype=dtype))
        except NoTensorError as error:
            raise SubjectError(subject.name, f"a call that returns {OUTPUT}", error.kind) from error
