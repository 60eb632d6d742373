"""The report as a page: whole, self-contained, safe, and readable without eyes and without colours."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pomt_ref.conformance import check
from pomt_ref.conformance.page import as_html
from pomt_ref.conformance.page.markup import Html, element, together
from pomt_ref.conformance.page.picture import BOTTOM, RIGHT, TOP, picture
from pomt_ref.conformance.page.scale import CLOSE, close_up, whole_scale
from pomt_ref.conformance.page.standing import Pair, Standing, standing
from pomt_ref.conformance.report import Kill, Ranking, Report
from pomt_ref.testing.mutants import FAULTS
from tests.made_reports import EXCHANGED, every_verdict, failure, report, row, wrong

EVIL = "<script>alert(1)</script> & \" ' </style></code> \x00\x1b[31m\ud800\u202e"
"""What an implementation may be called, raise and print."""

SAFE = EVIL.replace("\x00", "�").replace("\x1b", "�").replace("\ud800", "�").replace("\u202e", "�")

FINITE = st.floats(min_value=0.0, max_value=2.0)


@dataclass
class Element:
    """One element of a page."""

    tag: str
    attributes: dict[str, str]
    inside: tuple[str, ...]
    """The names of the elements around it."""
    texts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text within."""
        return "".join(self.texts)


class Page(HTMLParser):
    """A page that is read again; elements that do not close in order are an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self.open: list[Element] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        inside = tuple(each.tag for each in self.open)
        found = Element(tag, {name: value or "" for name, value in attrs}, inside)
        self.elements.append(found)
        if tag != "meta":
            self.open.append(found)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        for each in self.open:
            each.texts.append(data)

    def all(self, tag: str, **attributes: str) -> list[Element]:
        """Elements of this name, with these words among those of their attributes."""
        wanted = {name.rstrip("_").replace("_", "-"): word for name, word in attributes.items()}
        return [
            each
            for each in self.elements
            if each.tag == tag and all(word in each.attributes.get(name, "").split() for name, word in wanted.items())
        ]

    def facts(self) -> dict[str, str]:
        """The terms of all lists of them."""
        return {name.text: value.text for name, value in zip(self.all("dt"), self.all("dd"), strict=True)}

    def clause_rows(self) -> list[dict[str, str]]:
        """The cells of the clause table by column."""
        rows: list[dict[str, str]] = []
        for each in self.elements:
            if each.attributes.get("role") == "rowheader":
                rows.append({"clause": each.text})
            elif each.attributes.get("role") == "cell":
                rows[-1][each.attributes["data-label"]] = each.text
        return rows


def made_standing(**changes: Any) -> Standing:  # noqa: ANN401 -- any field
    """How the tokens of a ranking stand."""
    found = standing(replace(EXCHANGED, **changes))
    assert found is not None
    return found


def long_ranking(patches: int, **changes: Any) -> Ranking:  # noqa: ANN401 -- any field
    """Many tokens in descending score, every one kept as it should be."""
    scores = tuple(2.0 - j / patches for j in range(patches))
    keep = patches // 2
    kept = tuple(range(1, keep + 1))
    return replace(Ranking(0, 1, keep, scores, (1e-6,) * patches, kept, kept), **changes)


def pages() -> Iterator[Report]:
    """Reports of every kind."""
    yield report()
    yield every_verdict()
    yield report(certified=False, profile="bfloat16", shard="2/3", seed=0)
    for changes in (
        {"kept": None},
        {"keep": 0, "expected": (), "kept": ()},
        {"epsilon": (math.inf, 0.1, 0.1, 0.1)},
        {"epsilon": (math.inf,) * 4},
        {"epsilon": (1e300,) * 4},
        {"epsilon": (0.0,) * 4},
        {"scores": (1.0,) * 4},
        {"scores": (0.0,) * 4, "epsilon": (0.0,) * 4},
        {"scores": (math.nan, 1.0, 0.0, 0.0)},
        {"scores": (1.0, 1.0 + 2**-52, 1.0 - 2**-52, 1.0), "epsilon": (2**-53,) * 4},
    ):
        yield report(wrong(failure=failure(ranking=replace(EXCHANGED, **changes))))
    for patches in (1, 15, 300, 1025):
        yield report(wrong(failure=failure(ranking=long_ranking(patches))))


class TestWhole:
    """One self-contained page, whatever the report says."""

    @pytest.mark.parametrize("made", list(pages()), ids=lambda _: "")
    def test_page_is_well_formed_self_contained_and_accessible(self, made: Report) -> None:
        text = as_html(made)
        page = Page(text)
        assert text.startswith('<!doctype html>\n<html lang="en">')
        assert page.all("html") != []
        assert page.all("title")[0].text.startswith("kernels:prune ")
        self.assert_self_contained(text, page)
        self.assert_accessible(page)

    def assert_self_contained(self, text: str, page: Page) -> None:
        """No script, and nothing that a browser would fetch."""
        assert not re.search(r"https?:|url\(|@import|javascript:", text)
        assert not {each.tag for each in page.elements} & {"script", "link", "img", "iframe", "object", "embed", "base"}
        for each in page.elements:
            assert not {name for name in each.attributes if name.startswith("on") or name in {"src", "srcset"}}
        policy = page.all("meta", http_equiv="Content-Security-Policy")[0].attributes["content"]
        assert policy == "default-src 'none'; style-src 'unsafe-inline'"
        places = [each.attributes["id"] for each in page.elements if "id" in each.attributes]
        assert len(set(places)) == len(places)
        references = [each.attributes["href"] for each in page.all("a")]
        references += ["#" + each.attributes["aria-labelledby"] for each in page.all("article")]
        assert {link.removeprefix("#") for link in references} <= set(places)

    def assert_accessible(self, page: Page) -> None:
        """Headings in order, headers with a scope, pictures with words, marks that differ in shape."""
        levels = [int(each.tag[1]) for each in page.elements if re.fullmatch(r"h\d", each.tag)]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in pairwise(levels))
        assert all(each.attributes["scope"] in {"col", "row"} for each in page.all("th"))
        for each in page.all("svg"):
            assert each.attributes.get("aria-hidden") == "true" or len(each.attributes["aria-label"]) > 20
        assert all(each.attributes["tabindex"] == "0" for each in [*page.all("pre"), *page.all("div", class_="scroll")])

    def test_same_report_gives_the_same_page(self) -> None:
        assert as_html(every_verdict()) == as_html(every_verdict())

    def test_everything_that_others_wrote_is_escaped(self) -> None:
        told = failure(message=EVIL, snippet=EVIL, divergence=EVIL, replay=EVIL)
        made = report(
            row(statement=EVIL, source=EVIL, families={EVIL: 1}),
            wrong(failure=told, source=EVIL),
            wrong(verdict="known", reason=EVIL),
            subject=EVIL,
            device=EVIL,
            remarks=(EVIL,),
            stale=(EVIL,),
            offered=(EVIL,),
            versions={EVIL: EVIL},
        )
        text = as_html(made)
        text.encode("utf-8")
        page = Page(text)
        assert page.all("script") == []
        assert page.all("h1")[0].text == SAFE
        (message,) = (each for each in page.all("p", class_="message") if each.text == SAFE)
        assert message.inside[-1] == "article"
        assert page.all("pre")[0].text == SAFE
        assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;") == text.count("alert(1)") >= 15


class TestGlance:
    """The verdict at a glance, and what it rests on."""

    def test_verdict_is_a_word_a_sign_and_the_clauses(self) -> None:
        page = Page(as_html(every_verdict()))
        (verdict,) = page.all("section", class_="verdict")
        assert "no" in verdict.attributes["class"].split()
        assert "✗ Does not conform" in verdict.text
        assert (
            "1 clause holds; wrong: POMT-RANK-1, POMT-MAG-1; blocked: POMT-ATT-1; not shown: POMT-META-1; "
            in verdict.text
        )
        assert "known: POMT-PRUNE-2; not offered: POMT-META-7." in verdict.text
        counts = [each.text for each in page.all("li") if "verdict" in "".join(each.inside) or each.inside[-1] == "ul"]
        for told in ("✓ conforms 2", "✗ wrong 2", "⊘ blocked 1", "? not shown 1", "≈ known 1", "– not offered 1"):
            assert told in counts

    def test_conforming_and_not_certified_are_told_apart(self) -> None:
        (verdict,) = Page(as_html(report(row(), row(clause="POMT-PRUNE-2")))).all("section", class_="verdict")
        assert "yes" in verdict.attributes["class"].split()
        assert verdict.text.startswith("✓ Conforms2 clauses hold.")
        (verdict,) = Page(as_html(report(profile="float16", certified=False))).all("section", class_="verdict")
        assert verdict.text.startswith(
            "✗ Does not conform1 clause holds; the profile float16 is reported and never certified."
        )
        broken = wrong(clause="POMT-PRUNE-1", source="captured")
        (verdict,) = Page(as_html(report(row(), broken))).all("section", class_="verdict")
        assert verdict.text.startswith("✗ Does not conformno clause holds; wrong: POMT-PRUNE-1.")
        (verdict,) = Page(as_html(report(row(verdict="not offered")))).all("section", class_="verdict")
        assert verdict.text.startswith("✗ Does not conformno clause holds; not offered: POMT-PRUNE-1.")

    def test_verdict_of_a_part_is_told_as_one(self) -> None:
        (verdict,) = Page(as_html(report(shard="1/2"))).all("section", class_="verdict")
        assert verdict.text.startswith("✓ Conforms, as far as shard 1/2 goes1 clause holds.")

    def test_conditions_are_told(self) -> None:
        facts = Page(as_html(replace(every_verdict(), shard="1/2"))).facts()
        assert facts["implementation"] == "kernels:prune"
        assert facts["input"] == "float32 on cpu"
        assert facts["profile"] == "float32 (normative)"
        assert facts["seed"] == "7"
        assert facts["part"] == "shard 1/2 of the check: merge all to know the whole"
        assert facts["cases"] == "240 in 4.0 s; 40 drawn a clause"
        assert facts["first failure"] == "at case 83, after 1.1 s"
        assert facts["held as well"] == "scores, kept"
        assert facts["versions"] == "python 3.11 · torch 2.13 · numpy 2.4 · hypothesis 6.1"

    def test_what_is_not_there_is_not_told(self) -> None:
        page = Page(as_html(report()))
        assert {"part", "first failure", "held as well"} & set(page.facts()) == set()
        assert page.all("section", class_="remarks") == []
        assert [each.text for each in page.all("h2")] == ["What was checked", "Clauses"]

    def test_remarks_and_stale_lines_are_told(self) -> None:
        notes = [each.text for each in Page(as_html(every_verdict())).all("section", class_="remarks")]
        assert notes == [
            "Noticedit prints: 'hello'",
            "Listed as known deviations, and hold nowPOMT-ATT-2: M per sample",
        ]

    def test_report_without_times_shows_none(self) -> None:
        timeless = report(row(seconds=0.0), wrong(seconds=0.0, first_kill=Kill(3, 0.0)))
        page = Page(as_html(timeless))
        assert page.facts()["cases"] == "80; 40 drawn a clause"
        assert page.facts()["first failure"] == "at case 43"
        assert "seconds" not in [each.text for each in page.all("th")]
        assert not re.search(r"\d s\b", as_html(timeless).partition("</style>")[2])


class TestClauses:
    """The clause table."""

    def test_row_tells_all_of_its_clause(self) -> None:
        first, captured, *_ = Page(as_html(every_verdict())).clause_rows()
        assert first == {
            "clause": "POMT-PRUNE-1The length is P + T + 1.",
            "input": "generated",
            "cases": "40",
            "verdict": "✓ conforms",
            "order": "30 identical order2 same kept set1 admissible",
            "error / ε": "0.25",
            "seconds": "0.50",
            "families": "40 ordinary",
        }
        assert captured["input"] == "captured.safetensors"
        assert (captured["order"], captured["error / ε"]) == ("", "")

    def test_code_in_a_statement_is_code(self) -> None:
        assert "The length is <code>P + T + 1</code>." in as_html(report())

    def test_bar_is_as_long_as_the_fraction(self) -> None:
        widths = re.findall(r'style="width:(\d+%)"', as_html(report(row(attained=0.25), row(attained=1.5))))
        assert widths == ["25%", "100%"]

    def test_many_families_open_on_a_click(self) -> None:
        page = Page(as_html(every_verdict()))
        assert page.clause_rows()[2]["families"] == "3 families1 ordinary2 near ties3 balanced"
        assert page.clause_rows()[6]["families"] == ""
        assert "3 families" in [each.text for each in page.all("summary")]

    def test_input_is_a_column_only_where_it_differs(self) -> None:
        assert "input" not in Page(as_html(report())).clause_rows()[0]

    def test_blocked_row_names_what_blocks_it_and_a_part_its_number(self) -> None:
        page = Page(as_html(every_verdict()))
        assert page.clause_rows()[3]["verdict"] == "⊘ blocked by POMT-RANK-1"
        (part,) = Page(as_html(report(row(part=1), shard="1/2"))).clause_rows()
        assert part["clause"].startswith("POMT-PRUNE-1 part 2")

    def test_clause_leads_to_its_failure(self) -> None:
        page = Page(as_html(every_verdict()))
        links = [each for each in page.all("a") if "th" in each.inside]
        articles = {each.attributes["id"]: each.text for each in page.all("article")}
        assert [link.text for link in links] == ["POMT-RANK-1", "POMT-ATT-1", "POMT-PRUNE-2", "POMT-MAG-1"]
        assert len(articles) == 4
        for link in links:
            assert link.text in articles[link.attributes["href"].removeprefix("#")].partition("sample")[0]


class TestFailures:
    """For each failure what is wrong, the case, the scores, and how to see it again."""

    def test_failure_tells_case_divergence_replay_and_snippet(self) -> None:
        told = failure(divergence="order (POMT-RANK-1): place 1", replay="a folder/case-1.safetensors")
        page = Page(as_html(report(wrong(failure=told))))
        facts = page.facts()
        assert facts["smallest case"] == str(told.case)
        assert facts["first divergence"] == "order (POMT-RANK-1): place 1"
        assert facts["replay"] == "pomt-ref replay 'a folder/case-1.safetensors'"
        assert [each.text for each in page.all("pre")] == ["print('again')"]
        assert page.all("h3")[0].text == "✗ wrong POMT-RANK-1"

    def test_failure_that_says_the_same_refers_to_the_first(self) -> None:
        page = Page(as_html(every_verdict()))
        first, second, *_ = page.all("article")
        assert "print('again')" in first.text
        assert "print('again')" not in second.text
        links = [each for each in page.all("a") if each.text == "The same is shown above."]
        assert [each.attributes["href"] for each in links] == [f"#{first.attributes['id']}"]
        thrice = Page(as_html(report(wrong(), wrong(clause="POMT-ATT-1"), wrong(clause="POMT-MAG-1"))))
        links = [each for each in thrice.all("a") if each.text == "The same is shown above."]
        assert [each.attributes["href"] for each in links] == ["#failure-1", "#failure-1"]

    def test_known_deviation_tells_its_reason(self) -> None:
        known = wrong(verdict="known", reason="the copy engine")
        page = Page(as_html(report(row(), known)))
        assert [each.text for each in page.all("h2")][-1] == "Known deviations"
        assert "known: the copy engine" in page.all("article")[0].text

    def test_failure_of_captured_tensors_names_them(self) -> None:
        headings = [each.text for each in Page(as_html(every_verdict())).all("h3")]
        assert "✗ wrong POMT-MAG-1 · captured.safetensors" in headings

    def test_scores_are_drawn_explained_and_listed(self) -> None:
        page = Page(as_html(report(wrong())))
        label = page.all("svg", role="img")[0].attributes["aria-label"]
        assert label == (
            "Scores of 4 patch tokens, best first, the cut after 2: 1 kept, as by the oracle; 1 discarded, as by the "
            "oracle; 1 kept, discarded by the oracle; 1 discarded, kept by the oracle. token 3 is kept at place 1, "
            "before token 4, which is discarded."
        )
        assert (
            "The gap is 0.25; rounding explains 0.04, 6.25 times less. Error bars are ± ε: at most 0.03."
            in page.all("article")[0].text
        )
        cells = [each.text for each in page.elements if each.tag in {"th", "td"} and "details" in each.inside]
        assert cells[5:] == [
            *("2", "2", "0.03", "kept, place 0", "kept, place 0"),
            *("4", "1.25", "0.02", "kept, place 1", "discarded ≠"),
            *("3", "1", "0.02", "discarded", "kept, place 1 ≠"),
            *("1", "0.5", "0.01", "discarded", "discarded"),
        ]

    def test_close_up_that_would_show_all_again_is_left_out(self) -> None:
        two = Ranking(0, 1, 1, (1.0, 2.0), (0.1, 0.1), (2,), (1,))
        page = Page(as_html(report(wrong(failure=failure(ranking=two)))))
        assert [each.text for each in page.all("figcaption")] == ["Scores of sample 0 by the oracle"]

    def test_pair_that_is_kept_tells_both_places(self) -> None:
        page = Page(as_html(report(wrong(failure=failure(ranking=replace(EXCHANGED, kept=(4, 2)))))))
        assert "token 4 is kept at place 0, before token 2, at place 1." in page.all("svg", role="img")[0].text

    @pytest.mark.parametrize("ranking", [None, replace(EXCHANGED, scores=(math.nan, 1.0, 1.0, 1.0))])
    def test_scores_that_are_not_defined_are_told(self, ranking: Ranking | None) -> None:
        page = Page(as_html(report(wrong(failure=failure(ranking=ranking)))))
        assert "No scores are defined for this case." in page.all("article")[0].text
        assert page.all("svg") == []

    def test_output_that_cannot_be_read_is_told(self) -> None:
        page = Page(as_html(report(wrong(failure=failure(ranking=replace(EXCHANGED, kept=None))))))
        assert "not known: the output cannot be read (4)" in page.all("article")[0].text
        assert "not known" in [each.text for each in page.all("td")]

    def test_bounds_without_end_and_without_width_are_told(self) -> None:
        endless = report(wrong(failure=failure(ranking=replace(EXCHANGED, epsilon=(math.inf, 0.1, 0.1, 0.1)))))
        assert "Error bars are ± ε: a bar from edge to edge has no end." in as_html(endless)
        exact = report(wrong(failure=failure(ranking=replace(EXCHANGED, epsilon=(0.0,) * 4))))
        assert "The gap is 0.25; rounding explains 0. Error bars are ± ε: at most 0." in as_html(exact)

    def test_many_tokens_are_listed_around_what_matters(self) -> None:
        kept = (*range(1, 100), 201, *range(101, 151))
        page = Page(as_html(report(wrong(failure=failure(ranking=long_ranking(300, kept=kept))))))
        assert "The numbers: 16 of 300 tokens, at the cut and in dispute" in [each.text for each in page.all("summary")]
        listed = [each.text for each in page.all("th", scope="row") if "details" in each.inside]
        assert {"100", "201", "150", "151"} <= set(listed)
        assert len(listed) == 16
        assert [each.text for each in page.all("figcaption")] == [
            "Scores of sample 0 by the oracle",
            "Close-up of the two in the wrong order",
        ]


class TestStanding:
    """What became of every token, and which two stand the wrong way round."""

    def test_tokens_stand_by_descending_score(self) -> None:
        found = made_standing()
        assert [(token.row, token.state, token.expected, token.place) for token in found.tokens] == [
            (2, "kept", 0, 0),
            (4, "missed", 1, None),
            (3, "kept instead", None, 1),
            (1, "discarded", None, None),
        ]
        assert found.pair == Pair(first=2, second=1, gap=0.25, explained=0.04)

    def test_near_tie_is_no_pair(self) -> None:
        assert made_standing(epsilon=(0.01, 0.03, 0.2, 0.2)).pair is None
        assert made_standing(kept=None).pair is None
        assert {token.state for token in made_standing(kept=None).tokens} == {"unknown"}

    def test_equal_scores_stand_by_row(self) -> None:
        assert [token.row for token in made_standing(scores=(1.0,) * 4).tokens] == [1, 2, 3, 4]

    @pytest.mark.long
    def test_pair_is_the_one_that_the_law_names(self) -> None:
        (fault,) = (each for each in FAULTS if each.name == "mean over heads")
        (found,) = check(fault.function, clauses=["POMT-ATT-1", "POMT-RANK-1"], quick=True).failures[:1]
        named = re.search(r"keeps token (\d+) .* before token (\d+)", found.message)
        assert named is not None
        assert found.ranking is not None
        stand = standing(found.ranking)
        assert stand is not None
        assert stand.pair is not None
        pair = (stand.tokens[stand.pair.first].row, stand.tokens[stand.pair.second].row)
        assert pair == tuple(map(int, named.groups()))


class TestPicture:
    """A mark a token in descending score, its bound as an error bar, and the cut after T."""

    def drawn(self, found: Standing) -> Page:
        """All tokens."""
        return Page(picture(found, whole_scale(found), range(len(found.tokens)), title="the scores of all tokens"))

    def bars(self, page: Page) -> list[tuple[float, float, float]]:
        """Place, lower and upper end of every error bar."""
        first = (
            re.match(r"M([\d.]+),([\d.]+)V([\d.]+)", each.attributes["d"]) for each in page.all("path", class_="bar")
        )
        return [tuple(map(float, bar.groups())) for bar in first if bar is not None]  # type: ignore[misc]  # three groups

    def test_bars_stand_at_the_scores_and_are_as_long_as_the_bounds(self) -> None:
        bars = self.bars(self.drawn(made_standing(epsilon=(0.1, 0.3, 0.2, 0.2))))
        places = [place for place, _, _ in bars]
        assert places == sorted(places)
        middles = np.array([(lower + upper) / 2 for _, lower, upper in bars])
        lengths = np.array([lower - upper for _, lower, upper in bars])
        unit = (middles[3] - middles[0]) / 1.5
        assert np.allclose((middles - middles[0]) / unit, [0.0, 0.75, 1.0, 1.5], atol=1e-3)
        assert np.allclose(lengths / unit, [0.6, 0.4, 0.4, 0.2], atol=1e-3)

    def test_bound_without_end_reaches_both_edges(self) -> None:
        bars = self.bars(self.drawn(made_standing(epsilon=(math.inf, 0.01, 0.01, 0.01))))
        assert bars[3][1:] == (float(BOTTOM), float(TOP))

    def test_cut_stands_between_kept_and_discarded(self) -> None:
        for keep in range(4):
            page = self.drawn(made_standing(keep=keep))
            (cut,) = page.all("path", class_="cut")
            place = float(re.findall(r"[\d.]+", cut.attributes["d"])[0])
            places = [bar[0] for bar in self.bars(page)]
            assert sum(each < place for each in places) == keep
            assert min(abs(each - place) for each in places) > (places[1] - places[0]) / 3
            assert f"cut, T = {keep}" in [each.text for each in page.all("text")]

    def test_states_have_shapes_of_their_own(self) -> None:
        page = self.drawn(made_standing())
        marks = {each.attributes["class"]: each.attributes["d"] for each in page.all("path", class_="mark")}
        assert set(marks) == {"mark kept", "mark missed", "mark kept-instead", "mark discarded"}
        assert [("a" in marks[f"mark {state}"]) for state in ("kept", "discarded", "kept-instead", "missed")] == [
            *(True, True),
            *(False, False),
        ]
        unknown = self.drawn(made_standing(kept=None)).all("path", class_="unknown")
        assert len(unknown) == 4
        assert all("h" in each.attributes["d"] for each in unknown)

    def test_pair_is_ringed_and_named(self) -> None:
        page = self.drawn(made_standing())
        assert len(page.all("circle", class_="ring")) == 2
        names = [each.text for each in page.all("text", class_="name")]
        assert names == ["cut, T = 2", "4 discarded", "3 kept, place 1"]
        assert self.drawn(made_standing(kept=None)).all("circle") == []

    @pytest.mark.long
    def test_few_tokens_are_named_below_and_many_counted(self) -> None:
        axis = [each.text for each in self.drawn(made_standing()).all("text", class_="axis")]
        assert axis[-5:] == ["2", "4", "3", "1", "row of x, best score first"]
        many = standing(long_ranking(1025))
        assert many is not None
        page = self.drawn(many)
        assert page.all("text", class_="axis")[-1].text == "1025 patch tokens, best score first"
        assert len(page.all("path", class_="mark")) == 1025
        assert all("h" not in each.attributes["d"] for each in page.all("path", class_="bar"))

    def test_mark_tells_its_numbers(self) -> None:
        titles = [each.text for each in self.drawn(made_standing()).all("title")]
        assert titles[2] == "token 4: score 1.25 ± 0.02, discarded, kept by the oracle"

    def test_close_up_shows_the_pair_and_what_is_between(self) -> None:
        found = made_standing()
        assert found.pair is not None
        scale, ranks = close_up(found, found.pair)
        assert list(ranks) == [1, 2]
        page = Page(picture(found, scale, ranks, title="the two tokens"))
        assert len(page.all("path", class_="mark")) == 2
        assert len(page.all("path", class_="cut")) == 1

    @pytest.mark.parametrize(("first", "second", "cuts"), [(20, 10, 0), (290, 280, 0), (290, 10, 1), (152, 149, 1)])
    def test_close_up_of_many_tokens_shows_a_few(self, first: int, second: int, cuts: int) -> None:
        order = list(range(1, 301))
        order.insert(second, order.pop(first))
        found = standing(long_ranking(300, kept=tuple(order[:150])))
        assert found is not None
        pair = Pair(first, second, 0.1, 1e-6)
        scale, ranks = close_up(found, pair)
        assert {first, second} <= set(ranks)
        assert len(ranks) <= CLOSE
        page = Page(picture(replace(found, pair=pair), scale, ranks, title="the two tokens"))
        assert len(page.all("circle", class_="ring")) == 2
        assert len(page.all("path", class_="cut")) == cuts

    def test_names_at_the_edges_stay_inside(self) -> None:
        found = replace(made_standing(), pair=Pair(3, 0, 1.5, 0.04))
        anchors = [each.attributes["text-anchor"] for each in self.drawn(found).all("text", class_="name")]
        assert anchors == ["middle", "start", "end"]


class TestScale:
    """Lines at round numbers, whatever the scores."""

    @given(st.lists(st.tuples(FINITE, st.one_of(FINITE, st.just(math.inf))), min_size=1, max_size=30), st.data())
    def test_every_ranking_can_be_drawn(self, made: list[tuple[float, float]], data: st.DataObject) -> None:
        scores, epsilon = zip(*made, strict=True)
        rows = range(1, len(scores) + 1)
        keep = data.draw(st.integers(0, len(scores) - 1))
        kept = tuple(data.draw(st.permutations(rows)))[:keep]
        best = tuple(sorted(rows, key=lambda place: -scores[place - 1]))[:keep]
        found = standing(Ranking(0, 1, keep, scores, epsilon, best, kept))
        assert found is not None
        scale = whole_scale(found)
        heights = [height for height, _ in scale.ticks]
        assert 2 <= len(heights) <= 8
        assert heights == sorted(heights)
        assert heights[0] >= -1e-9
        assert heights[-1] <= 1 + 1e-9
        assert all(0 < scale.height(score) < 1 for score in scores)
        Page(as_html(report(wrong(failure=failure(ranking=Ranking(0, 1, keep, scores, epsilon, best, kept))))))

    @pytest.mark.parametrize("score", [1.5, 0.15, 15.0])
    def test_span_a_rounding_below_a_round_number_can_be_drawn(self, score: float) -> None:
        found = standing(Ranking(0, 1, 0, (score,), (math.inf,), (), ()))
        assert found is not None
        assert 2 <= len(whole_scale(found).ticks) <= 8

    def test_lines_say_the_scores(self) -> None:
        scale = whole_scale(made_standing())
        assert scale.title == "score"
        for height, said in scale.ticks:
            assert math.isclose(scale.height(float(said)), height, abs_tol=1e-9)
        assert [said for _, said in scale.ticks] == ["0.5", "1.0", "1.5", "2.0"]

    def test_small_differences_are_told_from_the_lowest_score(self) -> None:
        found = made_standing(scores=(1.0, 1.0 + 2**-40, 1.0, 1.0), epsilon=(2**-45,) * 4)
        scale = whole_scale(found)
        assert scale.title == "score − 1"
        assert [said for _, said in scale.ticks] == ["0", "+2e-13", "+4e-13", "+6e-13", "+8e-13", "+1e-12"]
        assert scale.height(1.0) < 0.2
        assert scale.height(1.0 + 2**-40) > 0.8

    @pytest.mark.parametrize("score", [0.0, 1.0])
    def test_equal_scores_without_bounds_have_a_scale(self, score: float) -> None:
        scale = whole_scale(made_standing(scores=(score,) * 4, epsilon=(0.0,) * 4))
        assert scale.height(score) == pytest.approx(0.5)

    def test_bound_that_dwarfs_the_scores_does_not_flatten_them(self) -> None:
        scale = whole_scale(made_standing(epsilon=(1e300,) * 4))
        assert scale.height(2.0) - scale.height(0.5) > 0.2


class TestMarkup:
    """Text is escaped where it is put in."""

    def test_text_is_escaped_and_elements_are_not(self) -> None:
        assert element("p", "<b>", Html("<b>"), title='"&\x00') == '<p title="&quot;&amp;�">&lt;b&gt;<b></p>'
        assert element("meta", charset="utf-8") == '<meta charset="utf-8">'
        assert element("a", id=None) == "<a></a>"
        assert together(["<", Html("<i></i>")], between=" ") == "&lt; <i></i>"
        assert RIGHT > 0
