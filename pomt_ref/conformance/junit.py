"""The report as JUnit XML, which continuous integration reads: a test case a clause."""

import re
from typing import Final
from xml.etree import ElementTree as ET

from pomt_ref.conformance.report import Report, Row

UNPRINTABLE: Final = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML has no room for."""


def as_junit(report: Report) -> str:
    """One suite; what is wrong or blocked is a failure, a known deviation and what is not offered are skipped."""
    suite = ET.Element(
        "testsuite",
        name=f"{report.subject} {report.method} {report.dtype} {report.device}",
        tests=str(len(report.rows)),
        failures=str(sum(row.verdict in {"wrong", "blocked", "not shown"} for row in report.rows)),
        errors="0",
        skipped=str(sum(row.verdict in {"known", "not offered"} for row in report.rows)),
        time=f"{sum(row.seconds for row in report.rows):.3f}",
    )
    for row in report.rows:
        suite.append(_case(row, report.subject))
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return f"<?xml version='1.0' encoding='utf-8'?>\n{ET.tostring(root, encoding='unicode')}\n"


def _case(row: Row, subject: str) -> ET.Element:
    """One clause from one source."""
    name = row.clause if row.source == "generated" else f"{row.clause} {row.source}"
    case = ET.Element("testcase", classname=_plain(subject), name=_plain(name), time=f"{row.seconds:.3f}")
    if row.verdict in {"known", "not offered"}:
        ET.SubElement(case, "skipped", message=_plain(row.reason or "not offered"))
    elif row.failure is not None:
        failure = ET.SubElement(case, "failure", message=_plain(row.failure.message), type=row.verdict)
        failure.text = _plain(f"smallest case: {row.failure.case}\n\n{row.failure.snippet}\n")
    elif row.verdict == "not shown":
        ET.SubElement(case, "failure", message="no case drawn shows the clause", type=row.verdict)
    return case


def _plain(text: str) -> str:
    """The text without characters that XML cannot hold."""
    return UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)
