"""Words and signs that several parts of the page have in common."""

from collections.abc import Mapping
from typing import Final

from pomt_ref.conformance.report import Report, Verdict
from pomt_ref.testing import Method

METHODS: Final[Mapping[Method, str]] = {"pomt": "POMT", "topk": "Top-K", "evit": "EViT"}
"""As their authors write them."""

MARKS: Final[Mapping[Verdict, str]] = {
    "conforms": "✓",
    "wrong": "✗",
    "blocked": "⊘",
    "not shown": "?",
    "known": "≈",
    "not offered": "–",
}
"""A sign a verdict, so that none is told by its colour alone; in the order in which they are counted."""


def timed(report: Report) -> bool:
    """Whether durations are in the report; ``--no-times`` makes all of them zero."""
    return any(row.seconds for row in report.rows)


def many(count: int, noun: str) -> str:
    """A count and its noun.

    >>> many(1, "clause"), many(2, "clause")
    ('1 clause', '2 clauses')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def said_verdict(report: Report) -> str:
    """The verdict in a sentence, with the clauses that it rests on."""
    told = {
        verdict: list(dict.fromkeys(row.clause for row in report.rows if row.verdict == verdict)) for verdict in MARKS
    }
    broken = {*told["wrong"], *told["blocked"], *told["not shown"], *told["known"]}
    holds = [clause for clause in told["conforms"] if clause not in broken]
    parts = [f"{many(len(holds), 'clause')} {'holds' if len(holds) == 1 else 'hold'}" if holds else "no clause holds"]
    named: tuple[Verdict, ...] = ("wrong", "blocked", "not shown", "known", "not offered")
    parts += [f"{verdict}: {', '.join(told[verdict])}" for verdict in named if told[verdict]]
    if not report.certified:
        parts.append(f"the profile {report.profile} is reported and never certified")
    return "; ".join(parts) + "."
