"""The report as JUnit XML: what Jenkins, GitLab and the readers of GitHub take it for."""

from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from pomt_ref.conformance.junit import as_junit
from pomt_ref.conformance.report import Report
from tests.made_reports import every_verdict, failure, report, row, wrong

ALLOWED = {
    "testsuites": ({"testsuite"}, {"name", "time", "tests", "failures", "errors"}),
    "testsuite": (
        {"properties", "testcase", "system-out"},
        {"name", "tests", "failures", "errors", "skipped", "time"},
    ),
    "properties": ({"property"}, set()),
    "property": (set(), {"name", "value"}),
    "testcase": ({"failure", "skipped"}, {"classname", "name", "time"}),
    "failure": (set(), {"message", "type"}),
    "skipped": (set(), {"message"}),
    "system-out": (set(), set()),
}
"""Children and attributes that the schema of Jenkins (junit-10.xsd) allows, as far as they are used."""

ODD = '<a href="x">&amp;\'\x00\x1b[31m\ud800\uffff\u202e ]]> \U0001f600'
"""What an implementation may raise."""

SHOWN = '<a href="x">&amp;\'\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}[31m' + "\N{REPLACEMENT CHARACTER}" * 3
"""How its beginning is shown."""


def suite_of(report: Report) -> ET.Element:
    """The suite of a document that is read again."""
    root = ET.fromstring(as_junit(report).encode("utf-8"))  # noqa: S314 -- written a moment ago
    (suite,) = root
    return suite


def verdicts(suite: ET.Element) -> dict[str, str]:
    """What a reader makes of every case."""
    return {case.attrib["name"]: next((part.tag for part in case), "passed") for case in suite.iter("testcase")}


class TestJunit:
    """A suite a report, a test case a clause."""

    def test_every_verdict_is_what_it_means_to_a_reader(self) -> None:
        where = "pomt, float32, cpu, float32"
        assert verdicts(suite_of(every_verdict())) == {
            f"POMT-PRUNE-1 [{where}]": "passed",
            f"POMT-PRUNE-1 [{where}, captured.safetensors]": "passed",
            f"POMT-RANK-1 [{where}]": "failure",
            f"POMT-ATT-1 [{where}]": "failure",
            f"POMT-PRUNE-2 [{where}]": "skipped",
            f"POMT-MAG-1 [{where}, captured.safetensors]": "failure",
            f"POMT-META-7 [{where}]": "skipped",
            f"POMT-META-1 [{where}]": "failure",
        }

    def test_counts_are_those_of_what_is_there(self) -> None:
        suite = suite_of(every_verdict())
        counts = {name: suite.attrib[name] for name in ("tests", "failures", "errors", "skipped", "time")}
        assert counts == {"tests": "8", "failures": "4", "errors": "0", "skipped": "2", "time": "4.000"}
        assert int(counts["tests"]) == len(suite.findall("testcase"))

    @pytest.mark.parametrize("made", [report(), every_verdict()], ids=["conforms", "does not"])
    def test_nothing_is_there_that_readers_refuse(self, made: Report) -> None:
        root = ET.fromstring(as_junit(made).encode("utf-8"))  # noqa: S314 -- as above
        for element in root.iter():
            children, attributes = ALLOWED[element.tag]
            assert {child.tag for child in element} <= children
            assert set(element.attrib) <= attributes

    def test_failure_tells_the_case_and_how_to_see_it_again(self) -> None:
        told = failure(divergence="order (POMT-RANK-1): place 1", replay="cases/case-1.safetensors")
        (case,) = suite_of(report(wrong(failure=told))).iter("testcase")
        found = case.find("failure")
        assert found is not None
        assert found.attrib == {"message": told.message, "type": "wrong"}
        assert (found.text or "").splitlines() == [
            told.message,
            f"smallest case: {told.case}",
            "first divergence: order (POMT-RANK-1): place 1",
            "replay: pomt-ref replay cases/case-1.safetensors",
            "",
            "print('again')",
        ]

    def test_reasons_are_told(self) -> None:
        messages = [skipped.attrib["message"] for skipped in suite_of(every_verdict()).iter("skipped")]
        assert messages == ["the copy engine", "the implementation offers no way to ask"]
        (missing,) = suite_of(report(row(verdict="not shown", cases=0))).iter("failure")
        assert missing.attrib == {"message": "no case drawn shows the clause", "type": "not shown"}

    def test_notes_and_conditions_are_told(self) -> None:
        suite = suite_of(every_verdict())
        assert suite.findtext("system-out") == (
            "it prints: 'hello'\nholds now, though listed as a known deviation: POMT-ATT-2: M per sample"
        )
        assert suite_of(report()).find("system-out") is None
        conditions = {each.attrib["name"]: each.attrib["value"] for each in suite.iter("property")}
        assert conditions["seed"] == "7"
        assert conditions["version.torch"] == "2.13"
        assert suite.attrib["name"] == "kernels:prune pomt float32 cpu float32"

    @pytest.mark.parametrize(
        ("made", "message", "kind"),
        [
            (
                report(profile="float16", certified=False),
                "the profile float16 is reported and never certified",
                "not certified",
            ),
            (report(row(verdict="not offered", cases=0)), "no clause was shown to hold", "not shown"),
        ],
        ids=["reported profile", "nothing shown"],
    )
    def test_suite_is_red_wherever_the_check_is(self, made: Report, message: str, kind: str) -> None:
        suite = suite_of(made)
        (found,) = suite.iter("failure")
        assert found.attrib == {"message": message, "type": kind}
        assert (suite.attrib["tests"], suite.attrib["failures"]) == ("2", "1")
        assert not made.conforms

    def test_suite_is_green_where_the_check_is(self) -> None:
        assert suite_of(report()).attrib["failures"] == "0"

    def test_cases_of_shards_and_of_other_checks_have_other_names(self) -> None:
        parts = report(row(), row(part=1), shard="1/2")
        other = [
            replace(parts, dtype="float16"),
            replace(parts, device="cuda"),
            replace(parts, profile="float32/float16"),
        ]
        names = [name for made in (parts, *other) for name in verdicts(suite_of(made))]
        assert len(set(names)) == 8
        assert names[:2] == [f"POMT-PRUNE-1 [pomt, float32, cpu, float32, part {part}]" for part in (1, 2)]
        assert suite_of(parts).attrib["name"].endswith(" shard 1/2")

    def test_odd_characters_come_through_or_are_replaced(self) -> None:
        told = failure(message=ODD, snippet=ODD, divergence=ODD, replay=ODD)
        made = report(
            row(source=ODD),
            wrong(failure=told),
            wrong(verdict="known", reason=ODD),
            subject=ODD,
            remarks=(ODD,),
            versions={"torch": ODD},
        )
        suite = suite_of(made)
        (found,) = suite.iter("failure")
        assert found.attrib["message"].startswith(SHOWN)
        assert found.attrib["message"].endswith(" ]]> \U0001f600")
        assert (found.text or "").count(SHOWN) == 4
        assert suite.attrib["name"].startswith(SHOWN)
        assert all(case.attrib["classname"].startswith(SHOWN) for case in suite.iter("testcase"))
