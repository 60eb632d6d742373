"""The page from top to bottom: the verdict at a glance, what was checked, the clauses, the failures."""

from collections.abc import Iterator
from importlib.resources import files
from typing import Final

from pomt_ref.conformance.page.clauses import clause_table
from pomt_ref.conformance.page.failures import failure_articles
from pomt_ref.conformance.page.markup import Html, element, together
from pomt_ref.conformance.page.words import MARKS, METHODS, said_verdict, timed
from pomt_ref.conformance.report import Report
from pomt_ref.testing import PROFILES

POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
"""What a browser lets the page do: nothing but style itself. No script, no network."""


def as_html(report: Report) -> str:
    """The whole report as one page; the same report gives the same page."""
    verdict = "conforms" if report.conforms else "does not conform"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"{report.subject} {verdict} · pomt-ref"),
        element("style", Html(files("pomt_ref.conformance.page").joinpath("style.css").read_text(encoding="utf-8"))),
    )
    main = element(
        "main",
        element("h1", element("code", report.subject)),
        element("p", f"held against {METHODS[report.method]}, clause by clause", class_="faint"),
        _glance(report),
        element("h2", "What was checked"),
        _conditions(report),
        *_notes(report),
        element("h2", "Clauses"),
        clause_table(report),
        *failure_articles(report),
    )
    foot = element("footer", "Written by pomt-ref check. ε is the rounding error that FLOAT-1 and FLOAT-2 allow.")
    body = element("body", main, foot)
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _glance(report: Report) -> Html:
    """The verdict: a word, a sentence, and how many rows have which."""
    word = "✓ Conforms" if report.conforms else "✗ Does not conform"
    part = f", as far as shard {report.shard} goes" if report.shard else ""
    counts: dict[str, int] = {}
    for row in report.rows:
        counts[row.verdict] = counts.get(row.verdict, 0) + 1
    tally = (
        element(
            "li",
            element("span", f"{mark} {verdict}", class_=f"badge {verdict.replace(' ', '-')}"),
            f" {counts[verdict]}",
        )
        for verdict, mark in MARKS.items()
        if verdict in counts
    )
    return element(
        "section",
        element("strong", word + part),
        element("p", said_verdict(report)),
        element("ul", *tally, class_="counts", aria_label="rows by verdict"),
        class_=f"verdict {'yes' if report.conforms else 'no'}",
        aria_label="verdict",
    )


def _conditions(report: Report) -> Html:
    """What was held against what, and what it took."""
    return element("dl", *(together([element("dt", name), element("dd", value)]) for name, value in _facts(report)))


def _facts(report: Report) -> Iterator[tuple[str, str]]:
    """By name."""
    yield "implementation", element("code", report.subject)
    yield "input", f"{report.dtype} on {report.device}"
    yield "profile", f"{report.profile} ({PROFILES[report.profile].standing})"
    yield "seed", f"{report.seed}"
    if report.shard:
        yield "part", f"shard {report.shard} of the check: merge all to know the whole"
    cases, seconds = sum(row.cases for row in report.rows), sum(row.seconds for row in report.rows)
    took = f" in {seconds:.1f} s" if timed(report) else ""
    yield "cases", f"{cases}{took}; {report.max_examples} drawn a clause"
    if kill := report.first_kill:
        after = f", after {kill.seconds:.1f} s" if timed(report) else ""
        yield "first failure", f"at case {kill.cases}{after}"
    if report.offered:
        yield "held as well", ", ".join(report.offered)
    yield "versions", " · ".join(f"{name} {version}" for name, version in report.versions.items())


def _notes(report: Report) -> Iterator[Html]:
    """What was noticed and breaks no clause, and lines of the list of known deviations that are out of date."""
    for heading, notes in (
        ("Noticed", report.remarks),
        ("Listed as known deviations, and hold now", report.stale),
    ):
        if notes:
            listed = element("ul", *(element("li", note) for note in notes))
            yield element("section", element("b", heading), listed, class_="remarks", aria_label=heading)
