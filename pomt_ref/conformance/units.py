"""A check in units of work, so that machines and cores can share it: a law, where its cases come from, and a part.

The units of a check depend on what is asked for and on nothing else. A shard takes every n-th of them, and all shards
together find what one run of the whole finds.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import Any, Final

from pomt_ref.conformance.apart import Death, Task, run_apart
from pomt_ref.conformance.call import limit_after
from pomt_ref.conformance.errors import SubjectError
from pomt_ref.conformance.judging import Progress, run_law
from pomt_ref.conformance.loading import loading_of
from pomt_ref.conformance.offering import FirstCall, first_call, marked
from pomt_ref.conformance.report import Failure, Kill, Row
from pomt_ref.conformance.snippet import snippet
from pomt_ref.conformance.subject import CallableSubject
from pomt_ref.testing import FAMILIES, Captured, Dtype, Grade, Law

PART: Final = 200
"""Cases of a clause in one unit; a check of more has several units a clause."""


@dataclass(frozen=True)
class Shard:
    """One share of a check, of several."""

    number: int
    """k, from 1 to n."""
    of: int

    def __str__(self) -> str:
        """Read as ``k/n``."""
        return f"{self.number}/{self.of}"


@dataclass(frozen=True)
class Unit:
    """Up to PART cases of one law from one source."""

    law: Law
    captured: Captured | None
    part: int
    examples: int


@dataclass(frozen=True)
class Plan:
    """What every unit of a check has in common."""

    dtype: Dtype
    seed: int
    long: bool


def units(laws: Sequence[Law], captured: Captured | None, *, examples: int, shard: Shard | None) -> list[Unit]:
    """The units of a check, or those of one shard, in the order of the specification."""
    sizes = [min(PART, examples - done) for done in range(0, examples, PART)]
    whole = [
        Unit(law, source, part, size)
        for law in laws
        for source in ((None,) if captured is None or not law.any_input else (None, captured))
        for part, size in enumerate(sizes)
    ]
    return whole if shard is None else whole[shard.number - 1 :: shard.of]


def run_units(
    todo: Sequence[Unit], plan: Plan, subject: CallableSubject, *, jobs: int, apart: bool, progress: Progress
) -> tuple[tuple[str, ...], tuple[Row, ...]]:
    """What the implementation offers, and a row for every unit.

    Several jobs, or one that is apart, run in processes of their own.
    """
    if jobs == 1 and not apart:
        first = first_call(subject, plan.dtype)
        # A verdict that the first call will change is not told before.
        telling = replace(progress, clause_ends=lambda _row: None) if first.wavered else progress
        here = marked([run_unit(subject, telling, unit=unit, plan=plan) for unit in todo], first, subject)
        for row in here if first.wavered else ():
            progress.clause_ends(row)
        return first.offered, here
    found: dict[int, Any] = {}

    def ended(number: int, answer: tuple[Any, str]) -> None:
        found[number], printed = answer
        subject.watch.printed = subject.watch.printed or printed
        if number:
            progress.clause_ends(found[number])

    tasks: list[Task] = [partial(_offer, plan=plan), *(partial(_run_and_listen, unit=unit, plan=plan) for unit in todo)]
    for death in run_apart(tasks, loading_of(subject), jobs=jobs, ended=ended):
        if death.task:
            found[death.task] = row_of(death, todo[death.task - 1], plan, subject)
            progress.clause_ends(found[death.task])
    rows = [found[number] for number in range(1, len(tasks))]
    return (found[0].offered, marked(rows, found[0], subject)) if 0 in found else ((), tuple(rows))


def row_of(death: Death, unit: Unit, plan: Plan, subject: CallableSubject) -> Row:
    """An implementation that ended its process breaks the clause that it was called for.

    Raises:
        SubjectError: it did so before it was called.
    """
    if death.shape is None:
        raise SubjectError(subject.name, "an implementation that can be called", f"a process that ended ({death.how})")
    if death.late:
        limit = limit_after(subject.watch.limit, exceeded=subject.watch.exceeded)
        subject.watch.exceeded = True
        how = f"took longer than {limit:g} s, and could not be interrupted"
    else:
        how = f"ended the process ({death.how})"
    if unit.captured is None:
        case = FAMILIES[death.family].build(death.shape, seed=death.seed, dtype=plan.dtype)
    else:
        batch, keep = death.shape.batch, death.shape.keep
        case = unit.captured.build(batch=batch, keep=keep, seed=death.seed, dtype=plan.dtype)
    law = unit.law
    message = f"{law.clause} wrong: {how}; the case is the one drawn, not the smallest"
    failure = Failure(law.clause, case.family, message, case, snippet(law.clause, case, subject, unit.captured))
    source = "generated" if unit.captured is None else unit.captured.name
    families, kill = {case.family: 1}, Kill(death.cases, 0.0)
    return Row(law.clause, law.statement, source, "wrong", 1, families, 0.0, failure, first_kill=kill, part=unit.part)


def joined(rows: Iterable[Row]) -> tuple[Row, ...]:
    """One row a clause and source, of the parts that stand together."""
    return tuple(_join(list(parts)) for _, parts in groupby(rows, key=lambda row: (row.clause, row.source)))


def _join(parts: Sequence[Row]) -> Row:
    """The parts of one row: counts are added, and the first failure is told."""
    failed = [row for row in parts if row.failure is not None]
    # A known deviation in one part must not hide an unknown one in another.
    first = next((row for row in failed if row.verdict != "known"), failed[0] if failed else None)
    verdicts = [row.verdict for row in parts]
    # A part in which nothing was shown is no loss where another part shows the clause.
    shown = next((verdict for verdict in ("conforms", "not offered") if verdict in verdicts), verdicts[0])
    families: Counter[str] = Counter()
    grades: Counter[Grade] = Counter()
    for row in parts:
        families.update(row.families)
        grades.update(row.grades)
    return replace(
        parts[0] if first is None else first,
        verdict=shown if first is None else first.verdict,
        cases=sum(row.cases for row in parts),
        families=dict(families),
        grades=dict(grades),
        seconds=sum(row.seconds for row in parts),
        attained=max(row.attained for row in parts),
        first_kill=_first_kill(parts),
        part=0,
    )


def _first_kill(parts: Iterable[Row]) -> Kill | None:
    """Cases and seconds of the parts before count too."""
    cases, seconds = 0, 0.0
    for row in parts:
        if row.first_kill is not None:
            return Kill(cases + row.first_kill.cases, seconds + row.first_kill.seconds)
        cases, seconds = cases + row.cases, seconds + row.seconds
    return None


def run_unit(subject: CallableSubject, progress: Progress, *, unit: Unit, plan: Plan) -> Row:
    """One unit, here."""
    return run_law(
        unit.law,
        subject,
        dtype=plan.dtype,
        examples=unit.examples,
        seed=plan.seed,
        part=unit.part,
        long=plan.long,
        captured=unit.captured,
        progress=progress,
    )


def _offer(  # pragma: no cover -- in another process
    subject: CallableSubject, _progress: Progress, *, plan: Plan
) -> tuple[FirstCall, str]:
    """The first call, and what was printed."""
    return first_call(subject, plan.dtype), subject.watch.printed


def _run_and_listen(subject: CallableSubject, progress: Progress, *, unit: Unit, plan: Plan) -> tuple[Row, str]:
    """One unit, and what was printed."""
    return run_unit(subject, progress, unit=unit, plan=plan), subject.watch.printed
