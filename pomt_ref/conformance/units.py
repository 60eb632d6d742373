"""A check in units of work, so that machines and cores can share it: a law, where its cases come from, and a part.

The units of a check depend on what is asked for and on nothing else. A shard takes every n-th of them, and all shards
together find what one run of the whole finds.
"""

import multiprocessing
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import groupby
from typing import Final

import torch

from pomt_ref.conformance.judging import Progress, run_law
from pomt_ref.conformance.loading import Loading, loading_of
from pomt_ref.conformance.report import Kill, Row
from pomt_ref.conformance.subject import CallableSubject
from pomt_ref.testing import Captured, Dtype, Grade, Law

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
    todo: Sequence[Unit], plan: Plan, subject: CallableSubject, *, jobs: int, progress: Progress
) -> tuple[Row, ...]:
    """Run every unit; a row each."""
    if jobs == 1:
        return tuple(_run(unit, plan, subject, progress) for unit in todo)
    found = []
    # A fresh process each: what torch and CUDA hold cannot be forked. It imports the implementation by its name.
    with multiprocessing.get_context("spawn").Pool(min(jobs, len(todo))) as pool:
        for row, printed in pool.imap(partial(_run_in_process, plan=plan, load=loading_of(subject)), todo):
            progress.clause_ends(row)
            subject.watch.printed = subject.watch.printed or printed
            found.append(row)
    return tuple(found)


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


def _run(unit: Unit, plan: Plan, subject: CallableSubject, progress: Progress) -> Row:
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


@cache
def _loaded(load: Loading) -> CallableSubject:
    """The implementation, once a process."""
    torch.set_num_threads(1)
    return load.subject()


def _run_in_process(unit: Unit, plan: Plan, load: Loading) -> tuple[Row, str]:
    """One unit, in a process that was started for it, and what was printed."""
    subject = _loaded(load)
    return _run(unit, plan, subject, Progress()), subject.watch.printed
