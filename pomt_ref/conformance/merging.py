"""The parts of a long check joined: what all shards together found is what one run of the whole finds."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from pomt_ref.conformance.document import FORMAT, from_dict
from pomt_ref.conformance.errors import SubjectError
from pomt_ref.conformance.report import Report, Row
from pomt_ref.conformance.units import joined
from pomt_ref.testing import laws_of

SAME: Final = ("subject", "method", "dtype", "device", "profile", "seed", "max_examples", "versions")
"""What the parts of one check have in common."""


def load_report(path: Path) -> Report:
    """Read a report from JSON.

    Raises:
        SubjectError: no such file, no JSON, or no report of this format.
    """
    expected = "a report that pomt-ref check --json has written"
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise SubjectError(f"{path}", expected, f"{error}") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise SubjectError(f"{path}", expected, "something else")
    try:
        return from_dict(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SubjectError(f"{path}", expected, f"a field that is wrong or missing: {error}") from error


def merge(reports: Sequence[Report]) -> Report:
    """Join the shards of one check.

    Raises:
        SubjectError: they are not of one check, one is there twice, or one is missing.
    """
    first = reports[0]
    for report in reports[1:]:
        for name in SAME:
            if getattr(report, name) != getattr(first, name):
                got = f"{name} {getattr(first, name)} and {getattr(report, name)}"
                raise SubjectError("merge", "reports of one check", got)
    shards = sorted(report.shard for report in reports)
    count = first.shard.partition("/")[2]
    wanted = sorted(f"{number}/{count}" for number in range(1, int(count or 0) + 1)) or [""]
    if shards != wanted:
        raise SubjectError("merge", f"the shards {', '.join(wanted) or 'of one check'}", f"{', '.join(shards)}")
    rows = sorted((row for report in reports for row in report.rows), key=_place(first))
    remarks = tuple(dict.fromkeys(remark for report in reports for remark in report.remarks))
    offered = next((report.offered for report in reports if report.offered), ())
    return replace(first, rows=joined(rows), shard="", remarks=remarks, offered=offered)


def _place(report: Report) -> Any:  # noqa: ANN401 -- a key for sorting
    """The place of a row: by the specification, generated input before captured, then the part."""
    clauses = [law.clause for law in laws_of(report.method)]

    def place(row: Row) -> tuple[int, bool, int]:
        return clauses.index(row.clause), row.source != "generated", row.part

    return place
