"""Known deviations: a list of clauses that an implementation breaks, and that its authors have decided to live with.

One a line: the clause, a family in brackets if only that one shows it, the reason. What follows a # is left out::

    POMT-META-4            M is taken over each sample, for a batch of one image a request
    POMT-PRUNE-2 [signed zeros]  -0.0 becomes 0.0 in the copy engine
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pomt_ref.conformance.errors import SubjectError
from pomt_ref.conformance.report import Report, Row
from pomt_ref.testing import FAMILIES

LINE: Final = re.compile(r"(?P<clause>[A-Z]+(?:-[A-Z]+)*-\d+)(?:\s+\[(?P<family>[^\]]*)\])?\s+(?P<reason>\S.*)")


@dataclass(frozen=True)
class Deviation:
    """One line of the list."""

    clause: str
    family: str
    """Of the smallest failing case; empty for any."""
    reason: str

    def __str__(self) -> str:
        """Read as it was written."""
        return f"{self.clause} [{self.family}]" if self.family else self.clause

    def explains(self, row: Row) -> bool:
        """Whether the row is this deviation."""
        if row.failure is None or row.clause != self.clause:
            return False
        return not self.family or row.failure.family == self.family


def load_known(path: Path, clauses: Iterable[str]) -> list[Deviation]:
    """Read the list.

    Raises:
        SubjectError: no such file, a line that is none, or a clause that the method does not have.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()  # editors of Windows begin a file with a mark
    except (OSError, UnicodeDecodeError) as error:
        raise SubjectError("--xfail", "a text file of known deviations", f"{error}") from error
    known, found = set(clauses), []
    for number, line in enumerate(lines, 1):
        text = re.sub(r"(^|\s)#.*", "", line).strip()
        if not text:
            continue
        match = LINE.fullmatch(text)
        # A reason that begins with a bracket is a family that was not closed, or that has no reason after it.
        amiss = match is None or (match["family"] is None and match["reason"].startswith("["))
        if match is None or amiss or match["clause"] not in known:
            expected = "a clause of the method, a [family] if any, and a reason"
            raise SubjectError("--xfail", expected, f"{path}:{number}: {line.strip()}")
        family = match["family"]
        if family is not None and family not in FAMILIES and not family.startswith("captured: "):
            raise SubjectError("--xfail", "a family of the report", f"{path}:{number}: [{family}]")
        found.append(Deviation(match["clause"], family or "", match["reason"]))
    return found


def apply_known(report: Report, deviations: Iterable[Deviation]) -> Report:
    """The report with its known deviations marked, and the lines that no row needs any more told.

    A line about a clause that was not checked is neither used nor stale, and in one shard no line is stale yet.
    """
    listed = list(deviations)
    rows = tuple(_marked(row, listed) for row in report.rows)
    checked = set() if report.shard else {row.clause for row in report.rows}
    stale = (
        f"{line}: {line.reason}"
        for line in listed
        if line.clause in checked and not any(line.explains(row) for row in report.rows)
    )
    return replace(report, rows=rows, stale=tuple(stale))


def _marked(row: Row, deviations: Iterable[Deviation]) -> Row:
    """The row, known if a line explains it."""
    reason = next((line.reason for line in deviations if line.explains(row)), None)
    return (
        row
        if reason is None or row.verdict not in {"wrong", "blocked"}
        else replace(row, verdict="known", reason=reason)
    )
