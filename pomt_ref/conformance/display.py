"""What a person sees of a check: progress while it runs, then a table, and every failure with its smallest case."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, cast

import torch
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table

from pomt_ref.conformance.judging import Progress
from pomt_ref.conformance.report import Failure, Report, Verdict
from pomt_ref.testing import Law

COLOURS: Final[dict[Verdict, str]] = {
    "conforms": "green",
    "wrong": "bold red",
    "known": "yellow",
    "blocked": "red",
    "not offered": "dim",
    "not shown": "yellow",
}
"""How each verdict is printed on a terminal."""


@contextmanager
def show_progress(console: Console) -> Iterator[Progress]:
    """A bar a clause on a terminal; a line a clause where there is none."""
    if not console.is_terminal:
        yield Progress(
            clause_ends=lambda row: print(
                f"{row.clause:14} {row.verdict:12} {row.source}", file=console.file, flush=True
            )
        )
        return
    columns = (TextColumn("{task.description:14}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("")

        def begin(law: Law, cases: int) -> None:
            bar.reset(task, description=law.clause, total=cases)

        yield Progress(clause_begins=begin, case_ends=lambda: bar.advance(task))


def show_report(report: Report, console: Console, *, times: bool = True) -> None:
    """The table, the failures, and the verdict in one line at the end."""
    part = f" · shard {report.shard}" if report.shard else ""
    profile = f" · profile {report.profile}" if report.profile not in {"float32", "float64"} else ""
    head = f"{report.subject} · {report.method} · {report.dtype} on {report.device}{profile}{part}"
    print(head, file=console.file)
    console.print(_table(report, times=times))
    if report.offered:
        print(f"held as well, since it is returned: {', '.join(report.offered)}", file=console.file)
    for remark in report.remarks:
        print(f"noticed: {remark}", file=console.file)
    for line in report.stale:
        print(f"stale: listed as a known deviation, and holds now: {line}", file=console.file)
    wrong, seen = {row.clause for row in report.rows if row.verdict == "wrong"}, set()
    for row in report.rows:
        if row.verdict == "known":
            print(f"\n{row.clause} known: {row.reason}", file=console.file)
        elif row.failure is not None:
            said = row.failure.message.partition(" wrong: ")[2]
            _show_failure(row.failure, console, short=row.blocked_by in wrong or said in seen)
            seen.add(said)
    print(f"\n{_verdict(report, times=times)}", file=console.file)


def _show_failure(failure: Failure, console: Console, *, short: bool) -> None:
    """The message, the smallest case and the snippet; the message alone where another failure shows the same."""
    print(f"\n{failure.message}", file=console.file)
    if short:
        return
    print(f"  smallest case: {failure.case}", file=console.file)
    if failure.divergence:
        print(f"  first divergence: {failure.divergence}", file=console.file)
    if failure.replay:
        print(f"  replay: pomt-ref replay {failure.replay}", file=console.file)
    print("  paste to see it again:\n", file=console.file)
    print(failure.snippet, file=console.file)  # not indented: Python does not take it so


def _table(report: Report, *, times: bool) -> Table:
    """One line a clause."""
    table = Table()
    several = any(row.source != "generated" for row in report.rows)
    table.add_column("clause", no_wrap=True)
    if several:
        table.add_column("input", overflow="fold")  # a file may be called anything
    table.add_column("cases", justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("error / ε", justify="right", no_wrap=True)
    if times:
        table.add_column("seconds", justify="right", no_wrap=True)
    for row in report.rows:
        source = (escape(row.source),) if several else ()
        verdict = f"[{COLOURS[row.verdict]}]{row.verdict}[/]"
        attained = f"{row.attained:.2f}" if row.attained else ""
        seconds = (f"{row.seconds:.2f}",) if times else ()
        table.add_row(row.clause, *source, str(row.cases), verdict, attained, *seconds)
    return table


def _verdict(report: Report, *, times: bool) -> str:
    """The answer, and what it rests on."""
    count, seconds = sum(row.cases for row in report.rows), sum(row.seconds for row in report.rows)
    took = f"{seconds:.1f} s, " if times else ""
    basis = f"{count} cases, {took}seed {report.seed}, torch {report.versions['torch']}, CUDA: {_cuda()}"
    aside = "".join(
        f"; {told}: {names}"
        for told, verdict in (("not offered", "not offered"), ("known deviations", "known"))
        if (names := _names(report, (cast("Verdict", verdict),)))
    )
    if report.conforms and not report.rows:
        return f"{report.subject}: nothing to do in shard {report.shard}, there are more shards than work ({basis})"
    if report.conforms:
        known = {row.clause for row in report.rows if row.verdict == "known"}
        count = len({row.clause for row in report.rows if row.verdict == "conforms"} - known)
        return f"{report.subject} conforms to {count} clause{'s' if count > 1 else ''}{aside} ({basis})"
    if kill := report.first_kill:
        found = f" after {kill.seconds:.1f} s" if times else ""
        basis = f"first failure at case {kill.cases}{found}; {basis}"
    broken: tuple[Verdict, ...] = ("wrong", "blocked", "not shown")
    told = "; ".join(f"{verdict}: {names}" for verdict in broken if (names := _names(report, (verdict,))))
    if not told and not report.certified:
        told = f"nothing is wrong within the profile {report.profile}, which is reported and never certified"
    return f"{report.subject} does not conform; {told or 'no clause was shown to hold'}{aside} ({basis})"


def _names(report: Report, verdicts: tuple[Verdict, ...]) -> str:
    """The clauses with one of these verdicts."""
    return ", ".join(dict.fromkeys(row.clause for row in report.rows if row.verdict in verdicts))


def _cuda() -> str:
    """The accelerator, or the word that there is none."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "not available"
