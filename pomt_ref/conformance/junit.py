"""The report as JUnit XML, which continuous integration reads: a test case a clause.

Jenkins, GitLab and the readers of GitHub agree on little: names that are told apart, ``failure`` and ``skipped`` with a
message, counts that are right. Times of day and host names are left out, so that the same check gives the same file.
"""

from collections.abc import Iterator
from xml.etree import ElementTree as ET

from pomt_ref.conformance.printable import printable
from pomt_ref.conformance.report import Failure, Report, Row


def as_junit(report: Report) -> str:
    """One suite: what is wrong, blocked or not shown fails; a known deviation and what is not offered are skipped.

    It is red exactly if the report does not conform: where no clause says why, a test case ``conforms`` does.
    """
    cases = [_case(row, report) for row in report.rows]
    if not report.conforms and not any(case.find("failure") is not None for case in cases):
        cases.append(_unfounded(report))
    counts = {
        "tests": str(len(cases)),
        "failures": str(sum(case.find("failure") is not None for case in cases)),
        "errors": "0",
        "time": f"{sum(row.seconds for row in report.rows):.3f}",
    }
    skipped = str(sum(case.find("skipped") is not None for case in cases))
    root = ET.Element("testsuites", {"name": "pomt-ref check", **counts})
    suite = ET.SubElement(root, "testsuite", {"name": printable(_suite(report)), **counts, "skipped": skipped})
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(report):
        ET.SubElement(properties, "property", name=name, value=printable(value))
    suite.extend(cases)
    if notes := [*report.remarks, *(f"holds now, though listed as a known deviation: {line}" for line in report.stale)]:
        ET.SubElement(suite, "system-out").text = printable("\n".join(notes))
    ET.indent(root)
    return f"<?xml version='1.0' encoding='utf-8'?>\n{ET.tostring(root, encoding='unicode')}\n"


def _suite(report: Report) -> str:
    """What was checked how."""
    shard = f" shard {report.shard}" if report.shard else ""
    return f"{report.subject} {report.method} {report.dtype} {report.device} {report.profile}{shard}"


def _properties(report: Report) -> Iterator[tuple[str, str]]:
    """What it takes to run the check again."""
    for name in ("subject", "method", "dtype", "device", "profile", "seed", "max_examples", "shard"):
        yield name, str(getattr(report, name))
    for name, version in report.versions.items():
        yield f"version.{name}", version


def _case(row: Row, report: Report) -> ET.Element:
    """One clause from one source."""
    case = ET.Element("testcase", {**_name(row.clause, report, row), "time": f"{row.seconds:.3f}"})
    if row.verdict in {"known", "not offered"}:
        message = row.reason or "the implementation offers no way to ask"
        ET.SubElement(case, "skipped", message=printable(message))
    elif row.failure is not None:
        failure = ET.SubElement(case, "failure", message=printable(row.failure.message), type=row.verdict)
        failure.text = printable(_told(row.failure))
    elif row.verdict == "not shown":
        ET.SubElement(case, "failure", message="no case drawn shows the clause", type=row.verdict)
    return case


def _unfounded(report: Report) -> ET.Element:
    """What fails where every clause that was asked for holds, and the implementation does not conform all the same."""
    case = ET.Element("testcase", {**_name("conforms", report), "time": "0.000"})
    message = (
        "no clause was shown to hold"
        if report.certified
        else f"the profile {report.profile} is reported and never certified"
    )
    ET.SubElement(case, "failure", message=message, type="not certified" if not report.certified else "not shown")
    return case


def _name(name: str, report: Report, row: Row | None = None) -> dict[str, str]:
    """A name that no other check of the same implementation has: readers take equal names for the same test."""
    parts = [report.method, report.dtype, report.device, report.profile]
    if row is not None and row.source != "generated":
        parts.append(row.source)
    if row is not None and report.shard:
        parts.append(f"part {row.part + 1}")
    return {"classname": printable(report.subject), "name": printable(f"{name} [{', '.join(parts)}]")}


def _told(failure: Failure) -> str:
    """What stands below the message."""
    lines = [failure.message, f"smallest case: {failure.case}"]
    if failure.divergence:
        lines.append(f"first divergence: {failure.divergence}")
    if failure.replay:
        lines.append(f"replay: pomt-ref replay {failure.replay}")
    return "\n".join([*lines, "", failure.snippet, ""])
