"""What the commands do, once their arguments are understood: one function a command; it returns the exit status."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import torch
from hypothesis.configuration import set_hypothesis_home_dir
from rich.console import Console

from pomt_ref.conformance import document, junit, page, runner
from pomt_ref.conformance.asked import require_device
from pomt_ref.conformance.call import TimeLimitError
from pomt_ref.conformance.display import show_progress, show_report
from pomt_ref.conformance.errors import SubjectError, SubjectFailedError
from pomt_ref.conformance.known import apply_known, load_known
from pomt_ref.conformance.merging import load_report
from pomt_ref.conformance.merging import merge as merge_reports
from pomt_ref.conformance.report import Kill, Report, Row
from pomt_ref.conformance.saving import load_case
from pomt_ref.conformance.vectors import VectorsError
from pomt_ref.conformance.vectors import commands as vectors_commands
from pomt_ref.testing import InapplicableError, LawViolation, NotOfferedError, laws_of

CONFORMS: Final = 0
"""Exit status: every clause holds."""
DOES_NOT_CONFORM: Final = 1
"""Exit status: a clause is broken."""
COULD_NOT_RUN: Final = 2
"""Exit status: there was nothing to hold against the clauses."""

WRITERS: Final[Mapping[str, Callable[[Report], str]]] = {
    "json": document.as_json,
    "junit": junit.as_junit,
    "html": page.as_html,
}
"""How a report is written to a file, by the option that names the file."""


def check(parsed: argparse.Namespace) -> int:
    """``pomt-ref check``: progress on standard error, then table and failures on standard output."""
    # Cases are small: a second thread costs more than it brings, and much more on a busy machine.
    torch.set_num_threads(1)
    _require_writable(parsed)
    # A subject is looked for where the command is given, as `python -m` does.
    sys.path.insert(0, "")
    with _nothing_left_behind(), show_progress(Console(stderr=True)) as progress:
        report = runner.check(
            parsed.subject,
            dtype=parsed.dtype,
            device=parsed.device,
            method=parsed.method,
            profile=parsed.profile,
            quick=parsed.quick,
            max_examples=parsed.max_examples,
            clauses=parsed.clause,
            families=parsed.family,
            seed=parsed.seed,
            captured=parsed.cases,
            framework=parsed.framework,
            fixed=_fixed(parsed.fix or []),
            known=parsed.xfail,
            save=parsed.save,
            time_limit=parsed.timeout,
            jobs=parsed.jobs,
            apart=parsed.apart,
            shard=parsed.shard,
            progress=progress,
        )
    return _told(report, parsed)


def _fixed(sizes: Sequence[tuple[str, int]]) -> dict[str, int]:
    """One size an axis."""
    axes = [axis for axis, _ in sizes]
    twice = [axis for axis in dict.fromkeys(axes) if axes.count(axis) > 1]
    if twice:
        raise SubjectError("--fix", "each axis once", ", ".join(f"{axis}={size}" for axis, size in sizes))
    return dict(sizes)


def replay(parsed: argparse.Namespace) -> int:
    """``pomt-ref replay``: the clause of the file on its case."""
    torch.set_num_threads(1)
    saved = load_case(parsed.file)
    subject, device = parsed.subject or saved.subject, parsed.device or saved.device
    sys.path.insert(0, "")
    print(f"{subject} · {saved.clause} · {saved.case} on {device}")
    require_device(subject, device, saved.case.dtype)
    try:
        runner.require(
            saved.clause,
            saved.case,
            subject,
            method=saved.method,
            device=device,
            claims=saved.claims,
            time_limit=parsed.timeout,
        )
    except (LawViolation, SubjectFailedError, TimeLimitError) as failed:
        print(f"it fails: {failed}")
        return DOES_NOT_CONFORM
    except InapplicableError as error:
        raise SubjectError(f"{parsed.file}", f"a case that shows {saved.clause}", "one that does not") from error
    except NotOfferedError as error:
        raise SubjectError(subject, f"an implementation that offers what {saved.clause} is about", "none") from error
    print("it holds")
    return CONFORMS


def merge(parsed: argparse.Namespace) -> int:
    """``pomt-ref merge``: the parts of a check as one report."""
    _require_writable(parsed)
    report = merge_reports([load_report(path) for path in parsed.reports])
    if parsed.xfail:
        report = apply_known(report, load_known(parsed.xfail, [law.clause for law in laws_of(report.method)]))
    return _told(report, parsed)


def vectors(parsed: argparse.Namespace) -> int:
    """``pomt-ref vectors``: write, verify or show them; every fault of a folder is a line."""
    torch.set_num_threads(1)
    try:
        return int(vectors_commands.ACTIONS[parsed.action](parsed))
    except VectorsError as error:
        for fault in error.faults:
            print(f"pomt-ref {fault}", file=sys.stderr)
        return COULD_NOT_RUN


def _told(report: Report, parsed: argparse.Namespace) -> int:
    """Show the report, write it where that is asked for, and say what it comes to."""
    report = _without_times(report) if parsed.no_times else report
    show_report(report, Console(highlight=False), times=not parsed.no_times)
    for option, written in WRITERS.items():
        path: Path | None = getattr(parsed, option)
        if path is not None:
            try:
                document.write(written(report), path)
            except OSError as error:
                raise SubjectError(f"--{option}", "a file that can be written", f"{error}") from error
            print(f"report: {path}", file=sys.stderr)
    return CONFORMS if report.conforms else DOES_NOT_CONFORM


def _without_times(report: Report) -> Report:
    """The report with every duration zero: what is left depends on the seed alone."""

    def timeless(row: Row) -> Row:
        kill = None if row.first_kill is None else Kill(row.first_kill.cases, 0.0)
        return replace(row, seconds=0.0, first_kill=kill)

    return replace(report, rows=tuple(timeless(row) for row in report.rows))


def _require_writable(parsed: argparse.Namespace) -> None:
    """Tell that a report has no place before the check runs, not after."""
    for option in WRITERS:
        path: Path | None = getattr(parsed, option)
        if path is None:
            continue
        try:
            writable = not path.is_dir() and path.parent.is_dir() and os.access(path.parent, os.W_OK)
        except OSError as error:  # a name that the system does not take
            raise SubjectError(f"--{option}", "a file that can be written", f"{error}") from error
        if not writable:
            raise SubjectError(f"--{option}", "a file that can be written", f"{path}")
    _require_apart(parsed)


def _require_apart(parsed: argparse.Namespace) -> None:
    """Tell that a report would replace another one, or what the command reads; what is no file holds several."""
    read = [
        *getattr(parsed, "reports", []),
        parsed.xfail,
        *(getattr(parsed, name, None) for name in ("cases", "subject")),
    ]
    taken = {os.path.realpath(path): "which is read" for path in read if path is not None}
    for option in WRITERS:
        path: Path | None = getattr(parsed, option)
        if path is None or (path.exists() and not path.is_file()):
            continue
        place = os.path.realpath(path)
        if place in taken:
            raise SubjectError(f"--{option}", "a file of its own", f"{path}, {taken[place]}")
        taken[place] = f"which --{option} writes"


@contextmanager
def _nothing_left_behind() -> Iterator[None]:
    """Hypothesis keeps notes in a folder .hypothesis where it runs; here they go with the command."""
    with TemporaryDirectory(prefix="pomt-ref-") as folder:
        set_hypothesis_home_dir(folder)
        try:
            yield
        finally:
            set_hypothesis_home_dir(None)
