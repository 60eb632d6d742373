"""The first call of an implementation, before any law is held: what it returns beside its output, and if it wavers."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from pomt_ref.conformance.call import TimeLimitError
from pomt_ref.conformance.errors import NoTensorError, SubjectError, SubjectFailedError
from pomt_ref.conformance.judging import WAVERS
from pomt_ref.conformance.report import Failure, Kill, Row
from pomt_ref.conformance.snippet import snippet
from pomt_ref.conformance.subject import OUTPUT, CallableSubject
from pomt_ref.testing import FAMILIES, Case, Dtype, InapplicableError, LawViolation, Shape, require_admissible

LARGEST: Final = 2**40
"""Numbers in a tensor: more than any memory holds, and few enough for NumPy to say so itself."""


@dataclass(frozen=True)
class FirstCall:
    """One ordinary call, and what came of it."""

    case: Case
    offered: tuple[str, ...] = ()
    """What it returns beside its output, by name."""
    clause: str = ""
    """The clause that the first answer breaks and the second does not; empty if that is none in particular."""
    wavered: str = ""
    """What the first answer was, if the second one is right; empty if both are, or neither: the laws tell that."""


def first_call(subject: CallableSubject, dtype: Dtype) -> FirstCall:
    """Call it once, and once more if that went wrong: what happens in the first call alone no law would see again.

    Raises:
        SubjectError: no tensor came, which cannot be held against the laws; or its sizes leave nothing to call it with.
    """
    shape = _ordinary(subject.fixed)
    if shape.discarded < 1:
        raise SubjectError(subject.name, "sizes that leave a patch token to discard", f"{shape}")
    if shape.batch * shape.tokens * max(shape.heads * max(shape.tokens, shape.features), shape.channels) > LARGEST:
        raise SubjectError(subject.name, "sizes that memory has room for", f"{shape}")
    case = FAMILIES["ordinary"].build(shape, seed=0, dtype=dtype)
    offered, failed = _answer(subject, case)
    if isinstance(failed, NoTensorError):
        raise SubjectError(subject.name, f"a call that returns {OUTPUT}", failed.kind) from failed
    if failed is None:
        return FirstCall(case, offered)
    offered_again, failed_again = _answer(subject, case)
    if failed_again is not None:
        return FirstCall(case, offered)
    clause, told = (failed.clause, failed.message) if isinstance(failed, LawViolation) else ("", f"{failed}")
    return FirstCall(case, offered_again, clause, told)


def marked(rows: Sequence[Row], first: FirstCall, subject: CallableSubject) -> tuple[Row, ...]:
    """The rows, that of the clause wrong if the first call wavered; if it has none, the first one that holds."""
    holding = [place for place, row in enumerate(rows) if row.verdict == "conforms"]
    if not first.wavered or not holding:
        return tuple(rows)
    place = next((place for place in holding if rows[place].clause == first.clause), holding[0])
    row = rows[place]
    message = f"{WAVERS} {first.clause or row.clause} wrong: {first.wavered}"
    failure = Failure(row.clause, first.case.family, message, first.case, snippet(row.clause, first.case, subject))
    families = {**row.families, first.case.family: row.families.get(first.case.family, 0) + 1}
    wrong = replace(
        row, verdict="wrong", cases=row.cases + 1, families=families, failure=failure, first_kill=Kill(1, 0.0)
    )
    return (*rows[:place], wrong, *rows[place + 1 :])


def _answer(
    subject: CallableSubject, case: Case
) -> tuple[tuple[str, ...], LawViolation | SubjectFailedError | TimeLimitError | None]:
    """What one call returns beside its output, and what is wrong with it."""
    try:
        outcome = subject.run(case)
    except (SubjectFailedError, TimeLimitError) as failed:
        return (), failed
    rows = {"kept": outcome.kept, "discarded": outcome.discarded}
    offered = (*outcome.stages, *(name for name, indices in rows.items() if indices is not None))
    try:
        # NumPy's own settings, as while a law is held.
        with np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"), suppress(InapplicableError):
            require_admissible(case, outcome, method=subject.method, profile=subject.profile(case.dtype))
    except LawViolation as violation:
        return offered, violation
    return offered, None


def _ordinary(fixed: Mapping[str, int]) -> Shape:
    """A small shape with the sizes that are fixed, and those of the others that go with them."""
    shape = replace(Shape(batch=2, heads=2, tokens=6, features=3, channels=4, prefix=1, keep=2), **fixed)
    if "tokens" not in fixed:
        shape = replace(shape, tokens=max(shape.tokens, shape.prefix + shape.keep + 1))
    if "keep" not in fixed:
        shape = replace(shape, keep=max(min(shape.keep, shape.patches - 1), 0))
    return shape
