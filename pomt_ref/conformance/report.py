"""What a check found: a row a clause, and for every failure the smallest case and a snippet that shows it again."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from pomt_ref.testing import Case

Verdict = Literal["conforms", "wrong", "blocked", "not offered", "not shown"]
"""Blocked: the output breaks another clause, named in the message, and cannot be read far enough to judge this one.
Not offered: the implementation has no such option (a gradient, say). Not shown: no case drawn shows the clause."""


@dataclass(frozen=True)
class Failure:
    """One broken clause, on the smallest case found."""

    clause: str
    family: str
    message: str
    case: Case
    snippet: str
    """Python that builds the case, calls the implementation and raises the same violation."""


@dataclass(frozen=True)
class Row:
    """What was found of one clause."""

    clause: str
    statement: str
    source: str
    """``generated``, or the name of the captured tensors."""
    verdict: Verdict
    cases: int
    """Cases that showed the clause, failing and shrunk ones included."""
    families: dict[str, int]
    """How many of them came from each family."""
    seconds: float
    failure: Failure | None = None
    blocked_by: str | None = None
    """The clause that keeps this one from being judged, where the verdict is ``blocked``."""


@dataclass(frozen=True)
class Report:
    """What was found of all clauses."""

    subject: str
    method: str
    dtype: str
    device: str
    seed: int
    max_examples: int
    offered: tuple[str, ...]
    """What the implementation returns beside its output: stages, kept, discarded. They are held as well."""
    versions: dict[str, str]
    rows: tuple[Row, ...]

    @property
    def conforms(self) -> bool:
        """No clause is broken or blocked, and at least one was shown to hold."""
        verdicts = {row.verdict for row in self.rows}
        return "conforms" in verdicts and not verdicts & {"wrong", "blocked", "not shown"}

    @property
    def failures(self) -> tuple[Failure, ...]:
        """The smallest case of every clause that is broken or blocked."""
        return tuple(row.failure for row in self.rows if row.failure is not None)

    def as_json(self) -> str:
        """The whole report as JSON; cases are told by family, shape, seed and dtype."""
        rows = [
            {
                "clause": row.clause,
                "statement": row.statement,
                "source": row.source,
                "verdict": row.verdict,
                "cases": row.cases,
                "families": row.families,
                "seconds": round(row.seconds, 3),
                "failure": None if row.failure is None else _failure_as_dict(row.failure),
            }
            for row in self.rows
        ]
        head = {
            "subject": self.subject,
            "conforms": self.conforms,
            "method": self.method,
            "dtype": self.dtype,
            "device": self.device,
            "seed": self.seed,
            "max_examples": self.max_examples,
            "offered": self.offered,
            "versions": self.versions,
        }
        return json.dumps({**head, "clauses": rows}, indent=2) + "\n"

    def write_json(self, path: Path) -> None:
        """Write the JSON beside its place first, so that a reader never sees half a report.

        What is no file, such as a pipe, is written to and not replaced.
        """
        if path.exists() and not path.is_file():
            path.write_text(self.as_json(), encoding="utf-8")
            return
        path = path.resolve()  # what a link points to is replaced, and not the link
        unfinished = path.with_name(path.name + ".part")
        unfinished.write_text(self.as_json(), encoding="utf-8")
        unfinished.replace(path)


def _failure_as_dict(failure: Failure) -> dict[str, object]:
    """A failure without its tensors: the snippet makes them again."""
    case = failure.case
    told = {"family": case.family, "seed": case.seed, "dtype": case.dtype, **asdict(case.shape)}
    return {"clause": failure.clause, "message": failure.message, "case": told, "snippet": failure.snippet}
