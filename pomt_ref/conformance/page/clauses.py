"""The table of clauses: one row a clause and input, and the way from a row to its failure."""

from collections.abc import Mapping
from itertools import cycle
from typing import Final

from pomt_ref.conformance.page.markup import Html, element, together
from pomt_ref.conformance.page.words import MARKS, timed
from pomt_ref.conformance.report import Report, Row, Verdict
from pomt_ref.testing import GRADES

FEW: Final = 2
"""Families that are named in the row itself; more of them open on a click."""


def clause_table(report: Report) -> Html:
    """Every row of the report. Columns that say the same in all rows are left out."""
    columns = ["clause", "cases", "verdict", "order", "error / ε", "seconds", "families"]
    if any(row.source != "generated" for row in report.rows):
        columns.insert(1, "input")
    if not timed(report):
        columns.remove("seconds")
    head = element(
        "tr",
        *(
            element("th", name, scope="col", role="columnheader", class_="number" if name in NUMBERS else None)
            for name in columns
        ),
        role="row",
    )
    rows = (_row(row, columns, number) for number, row in enumerate(report.rows, 1))
    return element(
        "table",
        element("caption", "One row a clause. Error / ε is the worst error of an accepted output, 1 being the limit."),
        element("thead", head, role="rowgroup"),
        element("tbody", *rows, role="rowgroup"),
        role="table",
        class_="clauses",
    )


NUMBERS: Final = frozenset({"cases", "error / ε", "seconds"})
"""Columns that are aligned to the right."""


def anchor(number: int) -> str:
    """The name of a row's failure within the page."""
    return f"failure-{number}"


def badge(verdict: Verdict) -> Html:
    """A verdict with its sign and colour."""
    return element("span", f"{MARKS[verdict]} {verdict}", class_=f"badge {verdict.replace(' ', '-')}")


def _row(row: Row, columns: list[str], number: int) -> Html:
    """One of them."""
    clause = element("b", row.clause) if row.failure is None else element("a", row.clause, href=f"#{anchor(number)}")
    part = f" part {row.part + 1}" if row.part else ""
    cells: Mapping[str, str] = {
        "input": row.source,
        "cases": str(row.cases),
        "verdict": _verdict(row),
        "order": _grades(row),
        "error / ε": _attained(row.attained),
        "seconds": f"{row.seconds:.2f}",
        "families": _families(row.families),
    }
    statement = element("span", *_prose(row.statement), class_="statement")
    told = [
        element("td", cells[name], data_label=name, role="cell", class_=_class(name))
        for name in columns
        if name != "clause"
    ]
    return element("tr", element("th", clause, part, statement, scope="row", role="rowheader"), *told, role="row")


def _prose(statement: str) -> list[str]:
    """The words of a docstring, with what it marks as code marked as code."""
    return [element("code", part) if odd else part for part, odd in zip(statement.split("``"), cycle((False, True)))]


def _class(column: str) -> str | None:
    """How a cell is laid out."""
    return "number" if column in NUMBERS else "wide" if column in {"families", "input", "order"} else None


def _verdict(row: Row) -> Html:
    """The verdict, and the clause that blocks this one."""
    by = [element("span", f" by {row.blocked_by}", class_="small")] if row.blocked_by else []
    return together([badge(row.verdict), *by])


def _grades(row: Row) -> Html:
    """How the orders of accepted outputs relate to the oracle's."""
    told = [element("li", f"{row.grades[grade]} {grade}") for grade in GRADES if row.grades.get(grade)]
    return element("ul", *told, class_="small", role="list") if told else Html("")


def _attained(attained: float) -> Html:
    """The number, and a bar as long as it says."""
    if not attained:
        return Html("")
    filled = element("span", style=f"width:{min(attained, 1.0):.0%}")
    return together([f"{attained:.2f}", element("span", filled, class_="gauge", aria_hidden="true")])


def _families(families: Mapping[str, int]) -> Html:
    """How many cases came from each family of input."""
    if not families:
        return Html("")
    told = [element("li", f"{count} {name}") for name, count in families.items()]
    listed = element("ul", *told, class_="small families", role="list")
    if len(told) <= FEW:
        return listed
    return element("details", element("summary", f"{len(told)} families"), listed, class_="small")
