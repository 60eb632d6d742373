"""What a check is asked for, and what it leaves behind: profiles, families, shares, known deviations, saved cases."""

import json
import os
import random
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Final, Literal

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from safetensors.torch import save_file as save_torch
from torch import Tensor

from pomt_ref.cli import main
from pomt_ref.conformance import Report, SubjectError, as_subject, check, load_subject, runner
from pomt_ref.conformance import units as units_of_work
from pomt_ref.conformance.call import TimeLimitError
from pomt_ref.conformance.document import as_dict, as_json, from_dict
from pomt_ref.conformance.explaining import explain
from pomt_ref.conformance.judging import Progress
from pomt_ref.conformance.known import Deviation, apply_known, load_known
from pomt_ref.conformance.loading import has_name, loading_of
from pomt_ref.conformance.merging import load_report, merge
from pomt_ref.conformance.report import Kill
from pomt_ref.conformance.saving import load_case
from pomt_ref.conformance.units import Plan, Shard, joined, units
from pomt_ref.testing import PROFILES, Case, InapplicableError, NotOfferedError, build_case, laws_of
from pomt_ref.testing.mutants import Step
from tests.made_documents import mutated
from tests.made_reports import every_verdict

CLAUSES: Final = ["POMT-ATT-1", "POMT-RANK-1", "POMT-PRUNE-1", "POMT-PRUNE-2"]


SCORED: Final = ["POMT-SCORE-1", "POMT-RANK-1", "POMT-PREC-1"]


def honest(x: Tensor, attn: Tensor, v: Tensor, *, prefix: int, keep: int) -> Tensor:
    """Right."""
    tokens: Tensor = Step()(x, attn, v, prefix=prefix, keep=keep)
    return tokens


def loses_signs(x: Tensor, attn: Tensor, v: Tensor, *, prefix: int, keep: int) -> Tensor:
    """Negative zeros become zeros."""
    return honest(x, attn, v, prefix=prefix, keep=keep) + 0.0


def prints(x: Tensor, attn: Tensor, v: Tensor, *, prefix: int, keep: int) -> Tensor:
    """Right, and not silent."""
    print("hello")  # noqa: T201 -- the point
    return honest(x, attn, v, prefix=prefix, keep=keep)


def stored_in(dtype: torch.dtype) -> Callable[..., Tensor]:
    """Scores computed in float32 and stored in another dtype."""
    step = Step(combine=lambda m, p: (m.to(dtype).to(m) + p.to(dtype).to(p)).to(dtype).to(m))

    def prune(x: Tensor, attn: Tensor, v: Tensor, *, prefix: int, keep: int) -> Tensor:
        tokens: Tensor = step(x, attn, v, prefix=prefix, keep=keep)
        return tokens

    return prune


def native(x: Tensor, attn: Tensor, v: Tensor, *, prefix: int, keep: int) -> Tensor:
    """All arithmetic in the dtype of the input."""
    sums = attn[:, :, prefix:, prefix:].amax(1).sum(1)
    shares = v.amax(1).sum(-1).softmax(-1)[:, prefix:]
    order = prefix + (sums / sums.max() + shares).argsort(dim=1, descending=True)
    rows = x.gather(1, order.unsqueeze(-1).expand(-1, -1, x.shape[2]))
    return torch.cat([x[:, :prefix], rows[:, :keep], rows[:, keep:].mean(dim=1, keepdim=True)], dim=1)


def tells_wrong_scores(x: Tensor, attn: Tensor, v: Tensor, *, prefix: int, keep: int) -> SimpleNamespace:
    """Right rows, and scores that are none of theirs."""
    tokens = honest(x, attn, v, prefix=prefix, keep=keep)
    return SimpleNamespace(tokens=tokens, scores=torch.zeros(len(x), x.shape[1] - prefix))


class Strange:
    """An implementation that does not let itself be compared."""

    def __call__(self, x: Tensor, attn: Tensor, v: Tensor, *, prefix: int, keep: int) -> Tensor:
        """Right."""
        return honest(x, attn, v, prefix=prefix, keep=keep)

    def __eq__(self, other: object) -> bool:
        """Not at all."""
        raise RuntimeError("no comparison")

    __hash__ = object.__hash__


strange: Final = Strange()


class TestLoading:
    """An implementation is loaded again in another process, by its name."""

    def test_loading_loads_the_same(self) -> None:
        subject = load_subject("tests.test_checking:prints", claims="float32/float16", fixed={"heads": 2})
        again = loading_of(subject).subject()
        assert again == subject

    def test_unit_runs_in_a_process_of_its_own(self) -> None:
        (law,) = (law for law in laws_of("pomt") if law.clause == "POMT-PRUNE-1")
        load = loading_of(load_subject("tests.test_checking:prints"))
        unit = units_of_work.Unit(law, None, 0, 3)
        plan = Plan("float32", 0, long=False)
        row, printed = units_of_work._run_and_listen(load.subject(), Progress(), unit=unit, plan=plan)  # noqa: SLF001 -- the worker's side
        assert (row.verdict, row.cases, printed) == ("conforms", 3, "hello")

    def test_name_of_what_cannot_be_compared_leads_nowhere(self) -> None:
        assert not has_name(as_subject(Strange(), name="tests.test_checking:strange"))
        assert has_name(replace(as_subject(honest, name="a:b"), name="model.onnx"))

    def test_interruption_while_a_module_is_imported_is_no_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def impatient(_name: str) -> object:
            raise KeyboardInterrupt

        monkeypatch.setattr("pomt_ref.conformance.loading.import_module", impatient)
        with pytest.raises(KeyboardInterrupt):
            load_subject("pomt_slow:prune")

    def test_interruption_while_an_attribute_is_read_is_no_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Module(ModuleType):
            """A module whose attributes take long."""

            def __getattr__(self, name: str) -> object:
                """The user loses patience."""
                raise KeyboardInterrupt

        monkeypatch.setitem(sys.modules, "pomt_slow", Module("pomt_slow"))
        with pytest.raises(KeyboardInterrupt):
            load_subject("pomt_slow:prune")

    def test_failure_of_an_undefined_order_has_no_ranking(self) -> None:
        case = build_case(
            "ordinary", seed=1, dtype="float32", batch=1, heads=1, tokens=4, features=2, channels=2, prefix=1, keep=1
        )
        to_the_prefix = np.zeros_like(case.attn)
        to_the_prefix[..., 0] = 1.0
        law = laws_of("pomt")[0]
        failure = explain(law, "so", case.having(attn=to_the_prefix), as_subject(honest, name="a:b"), None, 0)
        assert (failure.ranking, failure.divergence) == (None, "")


class TestProfiles:
    """An implementation is held to the precision that it declares; only float32 and wider is normative."""

    @pytest.mark.long
    @pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
    def test_half_storage_conforms_to_the_profile_that_says_so_and_to_no_other(self, dtype: str) -> None:
        subject = stored_in(getattr(torch, dtype))
        assert not check(subject, clauses="POMT-PREC-1").conforms
        report = check(subject, profile=f"float32/{dtype}", max_examples=39, clauses=SCORED)  # type: ignore[arg-type]  # a word of the list
        assert report.conforms
        assert (report.profile, report.certified) == (f"float32/{dtype}", True)
        assert max(row.attained for row in report.rows) > 0.1
        assert sum(row.grades.get("admissible", 0) for row in report.rows) > 0, "near-ties came out the other way"

    @pytest.mark.long
    @pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
    def test_native_half_is_reported_and_never_certified(self, dtype: Literal["float16", "bfloat16"]) -> None:
        report = check(native, dtype=dtype, profile=dtype, max_examples=10, clauses=SCORED)
        assert {row.verdict for row in report.rows} <= {"conforms", "not shown"}
        assert (report.certified, report.conforms) == (False, False)

    def test_profile_of_the_specification_is_the_default(self) -> None:
        assert check(honest, max_examples=1, clauses="POMT-RANK-1").profile == "float32"
        assert check(honest, max_examples=1, clauses="POMT-RANK-1", dtype="float64").profile == "float64"
        assert list(PROFILES) == ["float64", "float32", "float32/float16", "float32/bfloat16", "float16", "bfloat16"]


class TestFamilies:
    """A report says which family failed, and a check may be of one family."""

    def test_check_of_one_family_draws_from_it_alone(self) -> None:
        report = check(honest, families="ties", max_examples=5)
        assert report.rows
        assert {family for row in report.rows for family in row.families} == {"ties"}

    def test_family_that_is_none_is_told(self) -> None:
        with pytest.raises(SubjectError, match=r"expected a family in disagreeing heads, .* got odd"):
            check(honest, families=["ties", "odd"])

    def test_family_that_no_clause_draws_from_is_told(self) -> None:
        with pytest.raises(SubjectError, match="expected a family that one of the clauses draws from, got ties"):
            check(honest, families="ties", clauses="POMT-META-3")


def without_times(report: Report) -> dict[str, Any]:
    """The report, every duration left out."""
    document = as_dict(report)
    for part in (document, *document["clauses"]):
        part.pop("seconds", None)
        if part["first_kill"] is not None:
            part["first_kill"]["seconds"] = 0
    return document


class TestShares:
    """A long check may be split between machines and between cores: together they find what one run finds."""

    def test_units_are_shared_without_rest(self) -> None:
        laws = laws_of("pomt")
        whole = units(laws, None, examples=450, shard=None)
        assert [unit.examples for unit in whole[:3]] == [200, 200, 50]
        shares = [units(laws, None, examples=450, shard=Shard(number, 4)) for number in (1, 2, 3, 4)]
        assert sorted(map(id, laws)) == sorted({id(unit.law) for unit in whole})
        assert sum(map(len, shares)) == len(whole)
        told = {(unit.law.clause, unit.part) for share in shares for unit in share}
        assert told == {(unit.law.clause, unit.part) for unit in whole}

    @pytest.mark.long
    def test_shards_together_are_the_whole(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        clauses = ["POMT-PRUNE-1", "POMT-PRUNE-2"]
        options: dict[str, Any] = {"clauses": clauses, "max_examples": 61, "seed": 2}
        monkeypatch.setattr(units_of_work, "PART", 20)
        whole = check(loses_signs, **options)
        parts = []
        for number in (2, 3, 1):
            path = tmp_path / f"{number}.json"
            path.write_text(as_json(check(loses_signs, shard=f"{number}/3", **options)))
            parts.append(load_report(path))
        assert [part.shard for part in parts] == ["2/3", "3/3", "1/3"]
        assert without_times(merge(parts)) == without_times(whole)
        assert whole.rows[1].verdict == "wrong"

    @pytest.mark.long
    @pytest.mark.usefixtures("forked")
    def test_jobs_find_what_one_process_finds(self) -> None:
        options: dict[str, Any] = {"clauses": CLAUSES, "max_examples": 12}
        ended: list[str] = []
        progress = Progress(clause_ends=lambda row: ended.append(row.clause))
        one = check("tests.test_checking:prints", **options)
        two = check("tests.test_checking:prints", jobs=2, progress=progress, **options)
        assert without_times(one) == without_times(two)
        assert sorted(ended) == sorted(CLAUSES)
        assert two.remarks == ("it prints: 'hello'",)

    def test_jobs_need_a_name_to_import_by(self) -> None:
        with pytest.raises(SubjectError, match="expected a name to import it by, or one job, got a callable without"):
            check(stored_in(torch.float16), jobs=2, clauses="POMT-PRUNE-1")

    @pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "a/b", "1/2/3", "", "１/２", "01/2", "1/02", "1/1234567890"])
    def test_shard_that_is_none_is_told(self, shard: str) -> None:
        with pytest.raises(SubjectError, match="expected a shard k/n with 1 <= k <= n, got"):
            check(honest, shard=shard)

    def test_share_without_work_breaks_nothing(self, capsys: pytest.CaptureFixture[str]) -> None:
        options = ["--clause", "POMT-PRUNE-1", "--max-examples", "2", "--no-save"]
        assert main(["check", "tests.test_checking:prints", *options, "--shard", "2/3"]) == 0
        assert "nothing to do in shard 2/3, there are more shards than work" in capsys.readouterr().out

    def test_axis_that_is_fixed_twice_is_told(self, capsys: pytest.CaptureFixture[str]) -> None:
        fixed = ["--fix", "tokens=5", "--fix", "tokens=6"]
        assert main(["check", "tests.test_checking:prints", *fixed]) == 2
        assert "check --fix: expected each axis once, got tokens=5, tokens=6" in capsys.readouterr().err

    @pytest.mark.parametrize("limit", [0.0, -1.0, 1e300, float("nan"), float("inf")])
    def test_time_limit_that_no_clock_counts_is_told(self, limit: float) -> None:
        says = f"expected a time_limit of 0.001 to 1,000,000 seconds, got {limit}"
        with pytest.raises(SubjectError, match=f"{re.escape(says)}$"):
            check(honest, time_limit=limit)

    def test_jobs_that_are_none_are_told(self) -> None:
        with pytest.raises(SubjectError, match="expected jobs of 1 to 1024, got 0"):
            check(honest, jobs=0)

    def test_merge_tells_what_does_not_belong_together(self) -> None:
        one, two = (check(honest, clauses="POMT-PRUNE-1", max_examples=2, shard=f"{k}/2") for k in (1, 2))
        for reports, says in [
            ([one, replace(two, seed=9)], "expected reports of one check, got seed 0 and 9"),
            ([one], "expected the shards 1/2, 2/2, got 1/2"),
            ([one, one, two], "expected the shards 1/2, 2/2, got 1/2, 1/2, 2/2"),
            ([replace(one, shard=""), two], "expected the shards of one check, got a report of no shard, 2/2"),
            ([one, replace(two, shard="")], "expected the shards 1/2, 2/2, got a report of no shard, 1/2"),
        ]:
            with pytest.raises(SubjectError) as caught:
                merge(reports)
            assert str(caught.value) == f"check reports: {says}"

    def test_parts_joined_tell_an_unknown_deviation_before_a_known_one(self) -> None:
        row = check(loses_signs, clauses="POMT-PRUNE-2", max_examples=20, seed=2).rows[0]
        (row_of_both,) = joined([replace(row, verdict="known", part=0), replace(row, part=1)])
        assert row_of_both.verdict == "wrong"
        silent = replace(row, verdict="not shown", failure=None, first_kill=None, cases=0)
        (shown,) = joined([silent, replace(silent, verdict="conforms", cases=3, part=1)])
        assert (shown.verdict, shown.cases) == ("conforms", 3)

    def test_first_kill_counts_what_came_before(self) -> None:
        row = check(loses_signs, clauses="POMT-PRUNE-2", max_examples=20, seed=2).rows[0]
        right = replace(row, verdict="conforms", failure=None, first_kill=None, cases=10, seconds=1.0)
        wrong = replace(row, first_kill=Kill(2, 0.5))
        (both,) = joined([right, wrong])
        assert both.first_kill == Kill(12, 1.5)
        report = replace(check(honest, clauses="POMT-PRUNE-2", max_examples=1), rows=(right, wrong))
        assert report.first_kill == Kill(12, 1.5)


SIGNLESS: Final = "tests.test_checking:loses_signs"
FAILING: Final = ("clauses", 2, "failure")


class TestReading:
    """A report can be read again, and what is no report is told in one line."""

    @pytest.mark.long
    def test_report_survives_json(self) -> None:
        report = check(loses_signs, clauses=CLAUSES, max_examples=20, seed=2)
        assert report.failures[0].ranking is not None
        again = from_dict(json.loads(as_json(report)))
        assert without_times(again) == without_times(report)
        assert str(again.failures[0].case) == str(report.failures[0].case)
        assert again.failures[0].case.x.size == 0  # to make them again may take all memory

    def test_captured_case_is_told_as_it_was(self) -> None:
        report = check(loses_signs, clauses="POMT-PRUNE-2", max_examples=20, seed=2)
        document = as_dict(report)
        document["clauses"][0]["failure"]["case"]["family"] = "captured: layer.safetensors"
        again = from_dict(document)
        assert str(again.failures[0].case).endswith("(family: captured: layer.safetensors)")

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("", "Expecting value"),
            ("[]", "something else"),
            ("null", "something else"),
            ('{"format": 1}', "something else"),
            ('{"format": NaN}', "NaN is no number in JSON"),
            ('{"format": 1e999}', "1e999 is too large a number"),
            (f'{{"format": {"9" * 5000}}}', "an integer of 5000 digits is too large, of at most 18"),
            ("[" * 100_000, "nested too deep"),
            ("\xff", "'utf-8' codec can't decode byte 0xff"),
        ],
    )
    def test_no_report_is_told(self, tmp_path: Path, text: str, says: str) -> None:
        path = tmp_path / "report.json"
        path.write_bytes(text.encode("latin-1"))
        with pytest.raises(SubjectError) as caught:
            load_report(path)
        expected = f"check {path}: expected a report that pomt-ref check --json has written, got {says}"
        assert str(caught.value).startswith(expected)

    def test_folder_is_no_report(self, tmp_path: Path) -> None:
        with pytest.raises(SubjectError, match="Is a directory"):
            load_report(tmp_path)

    def test_byte_order_mark_is_no_part_of_a_report(self, tmp_path: Path) -> None:
        path = tmp_path / "report.json"
        path.write_text(as_json(every_verdict()), encoding="utf-8-sig")
        assert as_json(load_report(path)) == as_json(every_verdict())

    @pytest.mark.parametrize(
        ("place", "value", "says"),
        [
            ((), None, 'expected a field "seed", got none'),
            (("subject",), 1, "subject: expected text, got 1"),
            (("seed",), 1e300, "seed: expected an integer, got 1e+300"),
            (("conforms",), 0, "conforms: expected true or false, got 0"),
            (("clauses", 0, "attained"), 1.5, "clauses[0].attained: expected 1 or less, got 1.5"),
            (("clauses", 0, "clause"), "TOPK-1", "clauses[0].clause: expected a clause of pomt, got TOPK-1"),
            (("clauses", 0, "families"), {"x\ny" * 9: -1}, f"families.{'x y' * 9}: expected 0 or more, got -1"),
            (("clauses", 0, "failure"), [], "clauses[0].failure: expected an object, got []"),
            (("clauses", 2, "failure"), None, "clauses[2].failure: expected an object, got null"),
            (("clauses", 4, "reason"), "", "clauses[4].reason: expected text of 1 or more characters"),
            (("clauses", 0, "reason"), "why", "clauses[0].reason: expected text of at most 0 characters"),
            ((*FAILING, "case", "keep"), 4, "case.keep: expected 0 <= keep < tokens - prefix = 4, got 4"),
            ((*FAILING, "case", "tokens"), 10**9, "ranking.scores: expected 999999999 numbers, got 4"),
            ((*FAILING, "ranking", "sample"), 1, "ranking.sample: expected less than 1, the batch, got 1"),
            ((*FAILING, "ranking", "prefix"), 0, "ranking.prefix: expected 1, as in the case, got 0"),
            ((*FAILING, "ranking", "scores"), [0.5], "ranking.scores: expected 4 numbers, got 1"),
            ((*FAILING, "ranking", "expected"), [2, 5], "ranking.expected: expected rows from 1 to 4, got 5"),
            ((*FAILING, "ranking", "kept"), [2, 2], "ranking.kept: expected each item once, got [2, 2]"),
            ((*FAILING, "ranking", "kept"), [[]] * 2, "ranking.kept[0]: expected an integer, got []"),
        ],
    )
    def test_field_that_is_wrong_is_told(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], place: tuple[Any, ...], value: object, says: str
    ) -> None:
        document = json.loads(as_json(every_verdict()))
        part = document
        for step in place[:-1]:
            part = part[step]
        if place:
            part[place[-1]] = value
        else:
            del document["seed"]
        path = tmp_path / "report.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        assert main(["merge", str(path)]) == 2
        told = capsys.readouterr().err
        assert told.startswith(f"pomt-ref merge {path}: ")
        assert says in told
        assert told.count("\n") == 1

    @pytest.mark.long
    def test_whatever_stands_in_a_report_is_read_or_told_in_one_line(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path, page = tmp_path / "report.json", str(tmp_path / "report.html")
        for seed in range(25):
            document = mutated(json.loads(as_json(every_verdict())), random.Random(seed))  # noqa: S311 -- a test
            path.write_text(json.dumps(document), encoding="utf-8")
            status = main(["merge", str(path), "--html", page])
            told = capsys.readouterr().err
            assert (status, told.count("\n")) in {(1, 1), (2, 1)}, document
            assert told == f"report: {page}\n" if status == 1 else told.startswith("pomt-ref merge ")
            assert "a fault of this program" not in told

    def test_whatever_is_said_of_a_case_is_read_or_told_in_one_line(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        report = check("tests.test_checking:loses_signs", clauses=CLAUSES, max_examples=20, seed=2, save=tmp_path)
        path = Path(report.failures[0].replay)
        with safe_open(path, framework="numpy") as file:
            metadata, tensors = file.metadata(), load_file(path)
        for seed in range(30):
            about = mutated(json.loads(metadata["pomt_ref"]), random.Random(seed))  # noqa: S311 -- a test
            save_file(tensors, path, metadata={"pomt_ref": json.dumps(about)})
            status = main(["replay", str(path)])
            told = capsys.readouterr().err
            assert (status, told.count("\n")) in {(0, 0), (1, 0), (2, 1)}, about
            assert "a fault of this program" not in told

    def test_shards_without_end_are_told_to_some(self) -> None:
        report = replace(every_verdict(), shard=f"1/{10**17}")
        with pytest.raises(SubjectError, match=r"the shards 1/1\d+, 2/1\d+, …, got 1/10"):
            merge([report])


class TestKnown:
    """Known deviations are listed with a reason; a line that nothing needs any more is told."""

    def listed(self, tmp_path: Path, text: str) -> Path:
        """A list."""
        path = tmp_path / "known.txt"
        path.write_text(text)
        return path

    @pytest.mark.long
    def test_known_deviation_conforms_with_its_reason(self, tmp_path: Path) -> None:
        known = self.listed(tmp_path, "# ours\n\nPOMT-PRUNE-2 [signed zeros]  the copy engine  # since 2024\n")
        report = check(loses_signs, clauses=CLAUSES, max_examples=20, seed=2, known=known)
        assert report.conforms
        assert [(row.clause, row.reason) for row in report.rows if row.verdict == "known"] == [
            ("POMT-PRUNE-2", "the copy engine")
        ]
        assert report.stale == ()

    @pytest.mark.long
    def test_line_of_another_family_explains_nothing(self, tmp_path: Path) -> None:
        known = self.listed(tmp_path, "POMT-PRUNE-2 [ordinary] it is so")
        report = check(loses_signs, clauses=CLAUSES, max_examples=20, seed=2, known=known)
        assert not report.conforms
        assert report.stale == ("POMT-PRUNE-2 [ordinary]: it is so",)

    @pytest.mark.parametrize("family", ["nofam", "", " ", "ties [odd"])
    def test_family_that_is_none_is_told(self, tmp_path: Path, family: str) -> None:
        known = self.listed(tmp_path, f"POMT-PRUNE-2 [{family}] it is so")
        with pytest.raises(SubjectError) as caught:
            load_known(known, ["POMT-PRUNE-2"])
        assert str(caught.value) == f"check --xfail: expected a family of the report, got {known}:1: [{family}]"

    def test_reason_after_a_family_may_begin_with_a_bracket(self, tmp_path: Path) -> None:
        known = self.listed(tmp_path, "POMT-PRUNE-2 [ties] [7] it is so")
        assert load_known(known, ["POMT-PRUNE-2"]) == [Deviation("POMT-PRUNE-2", "ties", "[7] it is so")]

    def test_stale_line_is_told_if_its_clause_was_checked(self, tmp_path: Path) -> None:
        known = self.listed(tmp_path, "POMT-PRUNE-1 the length\nPOMT-META-4 batches")
        report = check(honest, clauses=CLAUSES, max_examples=5, known=known)
        assert (report.conforms, report.stale) == (True, ("POMT-PRUNE-1: the length",))
        part = check(honest, clauses=CLAUSES, max_examples=5, known=known, shard="1/2")
        assert part.stale == ()

    @pytest.mark.parametrize(
        "line",
        [
            "POMT-PRUNE-9 no such clause",
            "POMT-PRUNE-2",
            "prune 2",
            "TOPK-1 another method",
            "POMT-PRUNE-2 [ties it is so",
            "POMT-PRUNE-2 [ties]",
            "POMT-PRUNE-2 [ties]it is so",
            "POMT-PRUNE-2[ties] it is so",
        ],
    )
    def test_line_that_is_none_is_told(self, tmp_path: Path, line: str) -> None:
        path = self.listed(tmp_path, f"\n{line}\n")
        with pytest.raises(SubjectError) as caught:
            load_known(path, [law.clause for law in laws_of("pomt")])
        assert str(caught.value) == (
            f"check --xfail: expected a clause of the method, a [family] if any, and a reason, got {path}:2: {line}"
        )

    def test_byte_order_mark_is_no_part_of_a_line(self, tmp_path: Path) -> None:
        (tmp_path / "known").write_text("POMT-PRUNE-2 copy engine\n", encoding="utf-8-sig")
        assert load_known(tmp_path / "known", ["POMT-PRUNE-2"]) == [Deviation("POMT-PRUNE-2", "", "copy engine")]

    def test_list_that_is_not_there_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(SubjectError, match="check --xfail: expected a text file of known deviations, got "):
            load_known(tmp_path, [])

    def test_row_that_holds_is_not_marked(self) -> None:
        report = check(honest, clauses="POMT-PRUNE-1", max_examples=2)
        marked = apply_known(report, [Deviation("POMT-PRUNE-1", "", "so")])
        assert marked.rows == report.rows


def save(folder: Path) -> Path:
    """One failing case."""
    report = check("tests.test_checking:loses_signs", clauses=CLAUSES, max_examples=20, seed=2, save=folder)
    (failure,) = report.failures
    assert failure.replay == str(next(iter(folder.iterdir())))
    return Path(failure.replay)


@pytest.fixture(scope="module")
def saved_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A failing case, which no test may change."""
    return save(tmp_path_factory.mktemp("saved") / "new" / "cases")


@pytest.fixture
def saved_case(saved_once: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    (tmp_path / "cases").mkdir()
    return Path(shutil.copy(saved_once, tmp_path / "cases"))


class TestSaving:
    """Every failure is saved as a case that can be run again."""

    @pytest.mark.long
    def test_saved_case_is_the_case(self, saved_case: Path, tmp_path: Path) -> None:
        saved = load_case(saved_case)
        case: Case = build_case(
            saved.case.family, seed=saved.case.seed, dtype=saved.case.dtype, **vars(saved.case.shape)
        )
        assert saved.case.x.tobytes() == case.x.tobytes()
        assert (saved.clause, saved.subject, saved.method) == (
            "POMT-PRUNE-2",
            "tests.test_checking:loses_signs",
            "pomt",
        )
        assert saved.message.startswith("POMT-PRUNE-2 wrong: ")
        assert save(tmp_path / "again").read_bytes() == saved_case.read_bytes()

    def test_replay_fails_as_the_check_did_and_holds_on_another(
        self, saved_case: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "path", list(sys.path))
        path = str(saved_case)
        assert main(["replay", path]) == 1
        told = capsys.readouterr().out.splitlines()
        assert told[0].startswith("tests.test_checking:loses_signs · POMT-PRUNE-2 · batch=")
        assert told[1] == f"it fails: {load_case(Path(path)).message}"
        assert main(["replay", path, "--subject", "tests.test_checking:honest", "--device", "cpu"]) == 0
        assert capsys.readouterr().out.splitlines()[1] == "it holds"
        assert main(["replay", path, "--subject", "tests.test_checking:nobody"]) == 2

    def test_folder_that_cannot_be_written_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        report = check(loses_signs, clauses="POMT-PRUNE-2", max_examples=20, seed=2, save=tmp_path / "file")
        assert [row.verdict for row in report.rows] == ["wrong"]
        assert report.remarks[0].startswith("the failing cases are not saved: ")

    def test_device_that_is_not_there_is_told(self, saved_case: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["replay", str(saved_case), "--device", "nonsense"]) == 2
        assert ": expected the device nonsense, got " in capsys.readouterr().err

    @pytest.mark.long
    def test_case_that_takes_too_long_is_told(
        self, saved_case: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:

        def late(*_arguments: object, **_named: object) -> None:
            raise TimeLimitError("took longer than 1 s")

        monkeypatch.setattr(runner, "require", late)
        assert main(["replay", str(saved_case), "--timeout", "1"]) == 1
        assert "it fails: took longer than 1 s" in capsys.readouterr().out

    @pytest.mark.long
    def test_no_case_is_told(self, tmp_path: Path, saved_case: Path, capsys: pytest.CaptureFixture[str]) -> None:
        damaged, foreign = tmp_path / "damaged.safetensors", tmp_path / "foreign.safetensors"
        damaged.write_bytes(saved_case.read_bytes()[:100])
        ones = np.ones((1, 1))
        save_file({"x": ones, "attn": ones, "v": ones}, foreign)
        for path in (tmp_path / "none", damaged, foreign):
            assert main(["replay", str(path)]) == 2
            expected = f"pomt-ref replay {path}: expected a case that pomt-ref check has saved, got "
            assert capsys.readouterr().err.startswith(expected)

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"dtype": "float8"}, 'dtype: expected "float16" or .*, got "float8"'),
            ({"method": "tome"}, 'method: expected "pomt" or "topk" or "evit", got "tome"'),
            ({"method": "evit"}, "clause: expected a clause of evit, got POMT-PRUNE-2"),
            ({"claims": "tf32"}, 'claims: expected null or .*, got "tf32"'),
            ({"shape": {"batch": 1}}, 'shape: expected a field "heads", got none'),
            ({"seed": None, "shape": None}, "seed: expected an integer, got null"),
            ({"subject": ["a", 1]}, r'subject: expected text, got \["a", 1\]'),
            ({"device": None}, "device: expected text, got null"),
            ({"clause": "ATT"}, "clause: expected text of the pattern"),
        ],
    )
    def test_case_with_a_wrong_field_is_told(self, saved_case: Path, change: dict[str, Any], says: str) -> None:
        with safe_open(saved_case, framework="numpy") as file:
            about = json.loads(file.metadata()["pomt_ref"])
        save_file(load_file(saved_case), saved_case, metadata={"pomt_ref": json.dumps(about | change)})
        with pytest.raises(SubjectError, match=f"^check {re.escape(str(saved_case))}: {says}"):
            load_case(saved_case)

    def test_counts_that_cannot_be_are_told(self, saved_case: Path) -> None:
        with safe_open(saved_case, framework="numpy") as file:
            about = json.loads(file.metadata()["pomt_ref"])
        about["shape"]["keep"] = 10**17
        save_file(load_file(saved_case), saved_case, metadata={"pomt_ref": json.dumps(about)})
        with pytest.raises(SubjectError, match=r"shape.keep: expected 0 <= keep < tokens - prefix = \d+, got 10+$"):
            load_case(saved_case)

    @pytest.mark.parametrize(
        ("name", "change", "says"),
        [
            ("x", lambda _x: np.ones((1, 1)), r"x: expected float64 \(\d+, \d+, \d+\), got float64 \(1, 1\)"),
            ("v", lambda v: v.astype(np.float32), r"v: expected float64 \(.*\), got float32 \(.*\)"),
            ("x", lambda x: x * np.nan, "x: expected numbers of float32, got others"),
            ("v", lambda v: v + 1e300, "v: expected numbers of float32, got others"),
            ("v", lambda v: v + 0.1, "v: expected numbers of float32, got others"),
            ("attn", lambda attn: -attn, "attn: expected numbers of float32, none below zero, got others"),
        ],
    )
    def test_case_with_a_wrong_tensor_is_told(
        self, saved_case: Path, name: str, change: Callable[[np.ndarray], np.ndarray], says: str
    ) -> None:
        with safe_open(saved_case, framework="numpy") as file:
            metadata = file.metadata()
        tensors = load_file(saved_case)
        save_file(tensors | {name: np.ascontiguousarray(change(tensors[name]))}, saved_case, metadata=metadata)
        with pytest.raises(SubjectError, match=f"{says}$"):
            load_case(saved_case)

    @pytest.mark.parametrize("kind", ["folder", "bfloat16", "without v"])
    def test_file_of_another_kind_is_told(self, tmp_path: Path, kind: str) -> None:
        path = tmp_path / "case.safetensors"
        if kind == "folder":
            path.mkdir()
        else:
            names = ("x", "attn") if kind == "without v" else ("x", "attn", "v")
            save_torch({name: torch.ones(2, dtype=torch.bfloat16) for name in names}, path, {"pomt_ref": "{}"})
        with pytest.raises(SubjectError, match=r"expected a case that pomt-ref check has saved, got \S"):
            load_case(path)

    def test_case_that_shows_nothing_of_its_clause_is_told(
        self, saved_case: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for error, says in [
            (InapplicableError(), f"{saved_case}: expected a case that shows POMT-PRUNE-2, got one that does not"),
            (
                NotOfferedError(),
                f"{SIGNLESS}: expected an implementation that offers what POMT-PRUNE-2 is about, got none",
            ),
        ]:
            monkeypatch.setattr(runner, "require", raising(error))
            assert main(["replay", str(saved_case)]) == 2
            assert capsys.readouterr().err == f"pomt-ref replay {says}\n"


def raising(error: Exception) -> Callable[..., None]:
    """A function that raises."""

    def raises(*_arguments: object, **_named: object) -> None:
        raise error

    return raises


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def command(*arguments: str) -> tuple[int, str, str]:
        status = main(list(arguments))
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return command


class TestCommand:
    """The options of the command reach the check, and reports are written."""

    SUBJECT: Final = "tests.test_checking:loses_signs"

    @pytest.mark.long
    def test_shards_are_merged(self, run: Run, tmp_path: Path) -> None:
        options = (
            "--max-examples",
            "20",
            "--seed",
            "2",
            "--clause",
            "POMT-PRUNE-1",
            "--clause",
            "POMT-PRUNE-2",
            "--no-times",
        )
        for number in (1, 2):
            shard = ("--shard", f"{number}/2", "--json", f"{number}.json")
            assert run("check", self.SUBJECT, *shard, *options)[0] == number - 1
        status, out, _ = run("merge", "1.json", "2.json", "--json", "both.json", "--no-times")
        assert status == 1
        whole = run("check", self.SUBJECT, "--json", "whole.json", *options)
        assert out == whole[1]
        assert (tmp_path / "both.json").read_bytes() == (tmp_path / "whole.json").read_bytes()
        assert run("check", self.SUBJECT, "--shard", "1/2", *options)[1].startswith(
            f"{self.SUBJECT} · pomt · float32 on cpu · shard 1/2\n"
        )

    def test_merge_marks_known_deviations(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "known").write_text("POMT-PRUNE-2 the copy engine\nPOMT-PRUNE-1 long ago\n")
        options = ("--max-examples", "20", "--seed", "2", "--clause", "POMT-PRUNE-1", "--clause", "POMT-PRUNE-2")
        run("check", self.SUBJECT, "--json", "whole.json", "--no-save", *options)
        assert not (tmp_path / "pomt-ref-cases").exists()
        status, out, _ = run("merge", "whole.json", "--xfail", "known", "--no-times")
        assert status == 0
        assert "\nstale: listed as a known deviation, and holds now: POMT-PRUNE-1: long ago\n" in out
        assert "\nPOMT-PRUNE-2 known: the copy engine\n" in out
        assert "conforms to 1 clause; known deviations: POMT-PRUNE-2 (" in out

    def test_failure_tells_how_to_replay_it(self, run: Run) -> None:
        _, out, _ = run("check", self.SUBJECT, "--quick", "--clause", "POMT-PRUNE-2", "--save", "cases")
        (line,) = (line for line in out.splitlines() if line.startswith("  replay: "))
        status, again, _ = run(*line.removeprefix("  replay: pomt-ref ").split())
        assert (status, "it fails: POMT-PRUNE-2 wrong" in again) == (1, True)
        assert "first failure at case " in out.splitlines()[-1]

    def test_report_is_written_as_page_and_junit(self, run: Run, tmp_path: Path) -> None:
        written = ("--html", "report.html", "--junit", "report.xml", "--json", "report.json")
        status, _, err = run("check", self.SUBJECT, "--max-examples", "3", "--clause", "POMT-PRUNE-1", *written)
        assert status == 0
        assert sorted(err.splitlines()[-3:]) == sorted(f"report: report.{kind}" for kind in ("html", "xml", "json"))
        assert all((tmp_path / f"report.{kind}").stat().st_size > 0 for kind in ("html", "xml", "json"))

    def test_profile_and_what_was_printed_are_told(self, run: Run) -> None:
        options = ("--profile", "float16", "--dtype", "float16", "--clause", "POMT-PRUNE-1", "--max-examples", "3")
        status, out, _ = run("check", "tests.test_checking:prints", *options)
        assert status == 1
        assert out.startswith("tests.test_checking:prints · pomt · float16 on cpu · profile float16\n")
        assert "\nnoticed: it prints: 'hello'\n" in out
        assert "nothing is wrong within the profile float16, which is reported and never certified" in out

    def test_time_limit_is_read(self, run: Run) -> None:
        options = ("--timeout", "5.5", "--clause", "POMT-PRUNE-1", "--max-examples", "2")
        assert run("check", "tests.test_checking:honest", *options)[0] == 0

    def test_name_that_the_system_does_not_take_is_told(self, run: Run) -> None:
        status, _, err = run("check", "tests.test_checking:honest", "--json", "r" * 300)
        assert status == 2
        assert err.startswith("pomt-ref check --json: expected a file that can be written, got ")

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (
                ("--json", "s.out", "--junit", "s.out"),
                "--junit: expected a file of its own, got s.out, which --json writes",
            ),
            (
                ("--json", "s.out", "--html", "./s.out"),
                "--html: expected a file of its own, got s.out, which --json writes",
            ),
            (
                ("--junit", "s.out", "--html", "link"),
                "--html: expected a file of its own, got link, which --junit writes",
            ),
            (("--xfail", "known", "--json", "known"), "--json: expected a file of its own, got known, which is read"),
            (("--cases", "known", "--html", "known"), "--html: expected a file of its own, got known, which is read"),
        ],
    )
    def test_report_that_would_replace_another_file_is_told(
        self, run: Run, tmp_path: Path, arguments: tuple[str, ...], says: str
    ) -> None:
        (tmp_path / "known").write_text("")
        (tmp_path / "link").symlink_to("s.out")
        assert run("check", "tests.test_checking:honest", *arguments) == (2, "", f"pomt-ref check {says}\n")
        assert run("check", "s.onnx", "--json", "s.onnx")[2].endswith(
            "expected a file of its own, got s.onnx, which is read\n"
        )
        assert not (tmp_path / "s.out").exists()

    def test_joined_report_that_would_replace_a_part_is_told(self, run: Run, tmp_path: Path) -> None:
        part = tmp_path / "a.json"
        part.write_text(as_json(every_verdict()), encoding="utf-8")
        for option in ("--json", "--junit", "--html"):
            status, out, err = run("merge", "a.json", "b.json", option, f"{part}")
            assert (status, out) == (2, "")
            assert err == f"pomt-ref merge {option}: expected a file of its own, got {part}, which is read\n"
        assert part.read_text(encoding="utf-8") == as_json(every_verdict())

    def test_what_is_no_file_holds_several_reports(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "a.json").write_text(as_json(every_verdict()), encoding="utf-8")
        status, _, err = run("merge", "a.json", "--json", os.devnull, "--junit", os.devnull)
        assert (status, err) == (1, f"report: {os.devnull}\n" * 2)

    def test_first_divergence_is_told(self, run: Run) -> None:
        options = ("--clause", "POMT-SCORE-1", "--max-examples", "5", "--no-save")
        _, out, _ = run("check", "tests.test_checking:tells_wrong_scores", *options)
        assert "\n  first divergence: scores (POMT-SCORE-1): scores[" in out

    def test_sizes_are_fixed(self, run: Run) -> None:
        options = ("--fix", "tokens=9", "--fix", "prefix=1", "--clause", "POMT-PRUNE-1", "--max-examples", "3")
        assert run("check", "tests.test_checking:honest", *options)[0] == 0

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (("--fix", "tokens"), "--fix: expected axis=size, an integer, zero or more, got 'tokens'"),
            (("--fix", "tokens=x"), "--fix: expected axis=size, an integer, zero or more, got 'tokens=x'"),
            (
                ("--fix", f"tokens={10**18}"),
                f"--fix: expected axis=size, an integer, zero or more, of 18 digits at most, got 'tokens={10**18}'",
            ),
            (("--timeout", "0"), "--timeout: expected seconds from 0.001 to 1,000,000, got '0'"),
            (("--timeout", "soon"), "--timeout: expected seconds from 0.001 to 1,000,000, got 'soon'"),
            (("--timeout", "nan"), "--timeout: expected seconds from 0.001 to 1,000,000, got 'nan'"),
        ],
    )
    def test_argument_that_is_none_is_told(
        self, run: Run, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], says: str
    ) -> None:
        with pytest.raises(SystemExit) as left:
            run("check", "a:b", *arguments)
        assert left.value.code == 2
        assert capsys.readouterr().err == f"pomt-ref check: {says} (pomt-ref check --help)\n"

    def test_report_that_cannot_be_written_in_the_end_is_told(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "access", lambda *_: True)
        monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
        options = ("--max-examples", "1", "--clause", "POMT-PRUNE-1", "--json", "report.json")
        status, _, err = run("check", "tests.test_checking:honest", *options)
        assert (status, err.splitlines()[-1]) == (
            2,
            "pomt-ref check --json: expected a file that can be written, got disk full",
        )
