"""The parts of a long check joined: what all shards together found is what one run of the whole finds."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from pomt_ref.conformance.document import FORMAT, from_dict, schema
from pomt_ref.conformance.errors import SubjectError
from pomt_ref.conformance.report import Report, Row
from pomt_ref.conformance.schema import Mismatch, mismatches, parsed
from pomt_ref.conformance.units import joined
from pomt_ref.testing import laws_of

SAME: Final = ("subject", "method", "dtype", "device", "profile", "seed", "max_examples", "versions")
"""What the parts of one check have in common."""


def load_report(path: Path) -> Report:
    """Read a report from JSON.

    Raises:
        SubjectError: no such file, no JSON, no report of this format, or one that says what cannot be.
    """
    expected = "a report that pomt-ref check --json has written"
    try:
        document = parsed(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise SubjectError(f"{path}", expected, f"{error}") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise SubjectError(f"{path}", expected, "something else")
    root = schema()
    found = [*mismatches(document, root, root, f"{path}:")] or [*_impossible(document, f"{path}:")]
    if found:
        raise SubjectError(found[0].where, found[0].expected, found[0].got)
    return from_dict(document)


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
                raise SubjectError("reports", "reports of one check", got)
    shards = sorted(report.shard for report in reports)
    count = int(first.shard.partition("/")[2] or 0)
    # Of more shards than there are reports some are missing, and there may be more than memory has room for.
    wanted = sorted(f"{number}/{count}" for number in range(1, min(count, len(shards) + 1) + 1)) or [""]
    if shards != wanted:
        told = f"{', '.join(wanted)}{', …' if count > len(wanted) else ''}"
        got = ", ".join(shard or "a report of no shard" for shard in shards)
        raise SubjectError("reports", f"the shards {told or 'of one check'}", got)
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


def _impossible(document: Any, where: str) -> Iterator[Mismatch]:  # noqa: ANN401 -- any JSON
    """What a schema cannot say: clauses that the method has, counts that fit, scores of the tokens that there are."""
    clauses = [law.clause for law in laws_of(document["method"])]
    for place, row in enumerate(document["clauses"]):
        here = f"{where} clauses[{place}]"
        if row["clause"] not in clauses:
            yield Mismatch(f"{here}.clause", f"a clause of {document['method']}", row["clause"])
        if row["failure"] is not None:
            yield from _impossible_failure(row["failure"], f"{here}.failure")


def _impossible_failure(failure: Any, where: str) -> Iterator[Mismatch]:  # noqa: ANN401 -- any JSON
    """The same of a failing case and its ranking."""
    case, ranking = failure["case"], failure["ranking"]
    prefix, keep, tokens = case["prefix"], case["keep"], case["tokens"]
    if keep >= tokens - prefix:
        yield Mismatch(f"{where}.case.keep", f"0 <= keep < tokens - prefix = {tokens - prefix}", f"{keep}")
    if ranking is not None:
        if ranking["sample"] >= case["batch"]:
            yield Mismatch(f"{where}.ranking.sample", f"less than {case['batch']}, the batch", f"{ranking['sample']}")
        for name in ("prefix", "keep"):
            if ranking[name] != case[name]:
                yield Mismatch(f"{where}.ranking.{name}", f"{case[name]}, as in the case", f"{ranking[name]}")
        yield from _impossible_rows(ranking, range(prefix, tokens), keep, f"{where}.ranking")


def _impossible_rows(ranking: Any, patches: range, keep: int, where: str) -> Iterator[Mismatch]:  # noqa: ANN401 -- any JSON
    """A score a patch token, and T rows of patch tokens."""
    lengths = {"scores": len(patches), "epsilon": len(patches), "expected": keep, "kept": keep}
    for name, length in lengths.items():
        if ranking[name] is not None and len(ranking[name]) != length:
            yield Mismatch(f"{where}.{name}", f"{length} numbers", f"{len(ranking[name])}")
    for name in ("expected", "kept"):
        strange = [row for row in ranking[name] or () if row not in patches]
        if strange:
            yield Mismatch(f"{where}.{name}", f"rows from {patches.start} to {patches.stop - 1}", f"{strange[0]}")
