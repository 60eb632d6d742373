"""The report as JSON: written whole or not at all, and read again so that the parts of a long check can be joined."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

from pomt_ref.conformance.report import Failure, Kill, Ranking, Report, Row
from pomt_ref.testing import Case, Shape

FORMAT: Final = 2
"""Of the JSON; a field that goes or changes its meaning raises it, a field that comes does not."""

SCHEMA: Final = "report.schema.json"
"""The JSON Schema, beside this module."""

UNBOUNDED: Final[Mapping[str, float]] = {"scores": np.nan, "epsilon": np.inf}
"""What null stands for, in the fields of a ranking in which it may stand."""


def schema() -> dict[str, Any]:
    """The JSON Schema that every report satisfies.

    >>> schema()["properties"]["format"]
    {'const': 2}
    """
    text = files("pomt_ref.conformance").joinpath(SCHEMA).read_text(encoding="utf-8")
    return cast("dict[str, Any]", json.loads(text))


def as_dict(report: Report) -> dict[str, Any]:
    """The whole report in JSON's terms; cases are told by family, shape, seed and dtype."""
    kill = report.first_kill
    return {
        "format": FORMAT,
        "subject": report.subject,
        "conforms": report.conforms,
        "method": report.method,
        "dtype": report.dtype,
        "device": report.device,
        "profile": report.profile,
        "certified": report.certified,
        "seed": report.seed,
        "max_examples": report.max_examples,
        "shard": report.shard,
        "offered": list(report.offered),
        "remarks": list(report.remarks),
        "stale": list(report.stale),
        "versions": dict(report.versions),
        "first_kill": None if kill is None else {"cases": kill.cases, "seconds": round(kill.seconds, 3)},
        "clauses": [_row_as_dict(row) for row in report.rows],
    }


def as_json(report: Report) -> str:
    """The whole report as text; numbers that JSON has no word for are told as null."""
    return json.dumps(as_dict(report), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def from_dict(document: Mapping[str, Any]) -> Report:
    """Read a report again, as :mod:`pomt_ref.conformance.merging` does once it satisfies the schema.

    Tensors are not in it: the cases of its failures have none, and its snippets make them again.
    """
    scalars = ("subject", "method", "dtype", "device", "seed", "max_examples", "profile", "certified", "shard")
    return Report(
        **{name: document[name] for name in scalars},
        offered=tuple(document["offered"]),
        remarks=tuple(document["remarks"]),
        stale=tuple(document["stale"]),
        versions=document["versions"],
        rows=tuple(_row_from_dict(row) for row in document["clauses"]),
    )


def write(text: str, path: Path) -> None:
    """Write beside the place first, so that a reader never sees half a document.

    What is no file, such as a pipe, is written to and not replaced. Half a surrogate pair, which an implementation may
    raise and UTF-8 has no room for, becomes an escape that JSON reads as it was.
    """
    encoded = text.encode("utf-8", errors="backslashreplace")
    if path.exists() and not path.is_file():
        path.write_bytes(encoded)
        return
    path = path.resolve()  # what a link points to is replaced, and not the link
    unfinished = path.with_name(path.name + ".part")
    try:
        unfinished.write_bytes(encoded)
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


def _row_as_dict(row: Row) -> dict[str, Any]:
    """One clause."""
    kill = row.first_kill
    return {
        "clause": row.clause,
        "statement": row.statement,
        "source": row.source,
        "part": row.part,
        "verdict": row.verdict,
        "cases": row.cases,
        "families": dict(row.families),
        "grades": {str(grade): count for grade, count in row.grades.items()},
        "attained": round(row.attained, 6),
        "seconds": round(row.seconds, 3),
        "first_kill": None if kill is None else {"cases": kill.cases, "seconds": round(kill.seconds, 3)},
        "blocked_by": row.blocked_by,
        "reason": row.reason,
        "failure": None if row.failure is None else _failure_as_dict(row.failure),
    }


def _failure_as_dict(failure: Failure) -> dict[str, Any]:
    """A failure without its tensors: the snippet makes them again."""
    case, ranking = failure.case, failure.ranking
    return {
        "clause": failure.clause,
        "message": failure.message,
        "divergence": failure.divergence,
        "case": {"family": case.family, "seed": case.seed, "dtype": case.dtype, **asdict(case.shape)},
        "ranking": None if ranking is None else _ranking_as_dict(ranking),
        "snippet": failure.snippet,
        "replay": failure.replay,
    }


def _ranking_as_dict(ranking: Ranking) -> dict[str, Any]:
    """Scores as numbers; an infinite bound, or a score that is no number, as null."""
    told = asdict(ranking)
    for name in UNBOUNDED:
        told[name] = [number if np.isfinite(number) else None for number in told[name]]
    return told


def _row_from_dict(row: Mapping[str, Any]) -> Row:
    """One clause, read again; JSON may say a number that has a fraction elsewhere as a whole one."""
    kill, failure = row["first_kill"], row["failure"]
    read: dict[str, Any] = {
        "attained": float(row["attained"]),
        "seconds": float(row["seconds"]),
        "first_kill": None if kill is None else Kill(kill["cases"], float(kill["seconds"])),
        "failure": None if failure is None else _failure_from_dict(failure),
    }
    return Row(**{**row, **read})


def _failure_from_dict(failure: Mapping[str, Any]) -> Failure:
    """A failure, its case without tensors."""
    case = _case_from_dict(failure["case"])
    ranking = None if failure["ranking"] is None else _ranking_from_dict(failure["ranking"])
    told: dict[str, Any] = {**failure, "family": case.family, "case": case, "ranking": ranking}
    return Failure(**told)


def _ranking_from_dict(ranking: Mapping[str, Any]) -> Ranking:
    """The scores, null read as no number or no promise."""
    told: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in ranking.items()}
    for name, number in UNBOUNDED.items():
        told[name] = tuple(number if read is None else float(read) for read in told[name])
    return Ranking(**told)


def _case_from_dict(told: Mapping[str, Any]) -> Case:
    """What a case is called. To make it may take all memory, if the document was not written by a check."""
    axes = {axis: size for axis, size in told.items() if axis not in {"family", "seed", "dtype"}}
    nothing = np.zeros((0, 0, 0, 0))
    return Case(told["family"], Shape(**axes), told["seed"], told["dtype"], np.zeros((0, 0, 0)), nothing, nothing)
