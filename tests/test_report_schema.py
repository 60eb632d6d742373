"""The published JSON Schema: every report satisfies it, and what is no report does not."""

import json
import math
import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, cast

import pytest
import torch
from jsonschema import Draft202012Validator
from safetensors.numpy import save_file
from torch import Tensor

from pomt_ref.conformance import Report, check
from pomt_ref.conformance.document import FORMAT, SCHEMA, as_dict, as_json, from_dict, schema, write
from pomt_ref.conformance.known import Deviation, apply_known
from pomt_ref.conformance.merging import load_report, merge
from pomt_ref.conformance.schema import ASSERTIONS, mismatches
from pomt_ref.testing import build_case
from pomt_ref.testing.mutants import Step
from tests.made_documents import mutated
from tests.made_reports import EXCHANGED, every_verdict, failure, report, row, wrong

ROOT: Final = Path(__file__).parent.parent
VALIDATOR: Final = Draft202012Validator(schema())

Change = Callable[[dict[str, Any]], object]


def narrow(x: Tensor, attn: Tensor, v: Tensor, *, prefix: int, keep: int) -> Tensor:
    """Scores in the dtype of the input."""
    sums = attn[:, :, prefix:, prefix:].mean(dim=1).sum(dim=1)
    shares = v.amax(dim=1).sum(dim=-1).softmax(dim=-1)[:, prefix:]
    order = prefix + (sums / sums.max() + shares).argsort(dim=1, descending=True)
    rows = x.gather(1, order.unsqueeze(-1).expand(-1, -1, x.shape[2]))
    mean = rows[:, keep:].mean(dim=1, keepdim=True) + 0.0
    return torch.cat([x[:, :prefix] + 0.0, rows[:, :keep] + 0.0, mean], dim=1)


def raises(*_tensors: Tensor, **_counts: int) -> Tensor:
    """What it says is no text that UTF-8 can hold."""
    raise ValueError("\ud800")


def errors(document: Any) -> list[str]:  # noqa: ANN401 -- any JSON
    """Why it is no report."""
    return [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(document)]


def reports() -> Iterator[Report]:
    """Reports of real checks: failing and not, merged and in parts, of other methods and profiles."""
    clauses = ["POMT-ATT-1", "POMT-PRUNE-2", "POMT-PRUNE-3", "POMT-META-7"]
    wrong_one = check(narrow, clauses=clauses, max_examples=20)
    yield wrong_one
    yield apply_known(wrong_one, [Deviation("POMT-PRUNE-2", "", "copy engine"), Deviation("POMT-META-7", "", "none")])
    yield check(raises, clauses=clauses, max_examples=2)
    yield check(Step(), clauses=clauses, max_examples=5)
    yield check(narrow, clauses="POMT-RANK-1", dtype="float16", max_examples=20)
    yield check(Step(), clauses="POMT-RANK-1", dtype="bfloat16", profile="bfloat16", max_examples=20)
    yield check("pomt_ref:topk_prune", method="topk", max_examples=3)
    rows = ["POMT-PRUNE-1", "POMT-PRUNE-2"]
    yield from (check(narrow, clauses=rows, max_examples=201, shard=f"{k}/4") for k in (2, 4))
    yield every_verdict()
    yield report(wrong(failure=failure(ranking=replace(EXCHANGED, epsilon=(math.inf,) * 4, kept=None))))


@pytest.fixture(scope="module")
def real() -> list[Report]:
    """All of them."""
    return list(reports())


def plain() -> dict[str, Any]:
    """A document that says everything at once."""
    return cast("dict[str, Any]", json.loads(as_json(every_verdict())))


class TestSchema:
    """report.schema.json, format 2."""

    def test_schema_is_one(self) -> None:
        Draft202012Validator.check_schema(schema())
        assert schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert schema()["properties"]["format"] == {"const": FORMAT}

    @pytest.mark.long
    def test_every_report_satisfies_it(self, real: list[Report]) -> None:
        for made in real:
            assert errors(json.loads(as_json(made))) == []

    @pytest.mark.long
    def test_reports_are_read_again_as_they_were(self, real: list[Report]) -> None:
        for made in real:
            read = from_dict(json.loads(as_json(made)))
            assert as_dict(read)["clauses"] == as_dict(made)["clauses"]
            assert read.conforms == made.conforms

    def test_every_object_says_what_else_may_stand_in_it(self) -> None:
        def objects(part: object) -> Iterator[dict[str, Any]]:
            if isinstance(part, dict):
                if part.get("type") == "object" and ("properties" in part or "additionalProperties" in part):
                    yield part
                for inner in part.values():
                    yield from objects(inner)
            if isinstance(part, list):
                for inner in part:
                    yield from objects(inner)

        found = list(objects(schema()))
        assert len(found) == 9
        for part in found:
            assert "additionalProperties" in part
            if part["additionalProperties"] is False and "required" in part:
                assert set(part["required"]) == set(part["properties"])

    @pytest.mark.parametrize(
        ("change", "where"),
        [
            (lambda told: told.update(colour="red"), "$"),
            (lambda told: told.update(format=1), "$.format"),
            (lambda told: told.update(conforms="yes"), "$.conforms"),
            (lambda told: told.update(dtype="int8"), "$.dtype"),
            (lambda told: told.update(profile="fp8"), "$.profile"),
            (lambda told: told.update(shard="0/2"), "$.shard"),
            (lambda told: told.update(seed=-1), "$.seed"),
            (lambda told: told["versions"].update(torch=2), "$.versions.torch"),
            (lambda told: told["versions"].pop("torch"), "$.versions"),
            (lambda told: told["clauses"][0].update(verdict="fine"), "$.clauses[0].verdict"),
            (lambda told: told["clauses"][0].update(attained=1.5), "$.clauses[0].attained"),
            (lambda told: told["clauses"][0].update(clause="ATT"), "$.clauses[0].clause"),
            (lambda told: told["clauses"][0].update(note=""), "$.clauses[0]"),
            (lambda told: told["clauses"][0].update(reason="why"), "$.clauses[0].reason"),
            (lambda told: told["clauses"][0]["families"].update(ordinary=-1), "$.clauses[0].families.ordinary"),
            (lambda told: told["clauses"][0]["grades"].update(near=1), "$.clauses[0].grades"),
            (lambda told: told["clauses"][0].update(failure=told["clauses"][2]["failure"]), "$.clauses[0].failure"),
            (lambda told: told["clauses"][2].update(failure=None), "$.clauses[2].failure"),
            (lambda told: told["clauses"][2].update(first_kill={"cases": 0, "seconds": 0}), "$.clauses[2].first_kill"),
            (lambda told: told["clauses"][3].update(blocked_by=None), "$.clauses[3].blocked_by"),
            (lambda told: told["clauses"][4].update(reason=""), "$.clauses[4].reason"),
            (lambda told: told["clauses"][2]["failure"].update(message=""), "$.clauses[2].failure"),
            (lambda told: told["clauses"][2]["failure"].update(more=1), "$.clauses[2].failure"),
            (lambda told: told["clauses"][2]["failure"]["case"].update(keep=-1), "$.clauses[2].failure"),
            (lambda told: told["clauses"][2]["failure"]["case"].pop("seed"), "$.clauses[2].failure"),
            (lambda told: told["clauses"][2]["failure"]["ranking"].update(kept=[1, 1]), "$.clauses[2].failure"),
            (lambda told: told["clauses"][2]["failure"]["ranking"].update(epsilon=[-1]), "$.clauses[2].failure"),
            (lambda told: told["clauses"][2]["failure"]["ranking"].update(scores=["1"]), "$.clauses[2].failure"),
            (lambda told: told["clauses"][2]["failure"]["ranking"].update(extra=1), "$.clauses[2].failure"),
        ],
    )
    def test_what_is_no_report_does_not_satisfy_it(self, change: Change, where: str) -> None:
        document = plain()
        assert errors(document) == []
        change(document)
        assert any(error.startswith(f"{where}:") for error in errors(document)), errors(document)

    @pytest.mark.long
    def test_own_validator_agrees_with_jsonschema(self) -> None:
        refused, root = 0, schema()
        for seed in range(400):
            document = mutated(plain(), random.Random(seed))  # noqa: S311 -- a test, not a secret
            valid = VALIDATOR.is_valid(document)
            assert valid == (not list(mismatches(document, root, root, "report.json:"))), errors(document)
            refused += not valid
        assert 200 < refused < 400

    def test_value_that_is_nested_too_deep_is_told(self) -> None:
        value: list[Any] = []
        for _ in range(100_000):
            value = [value]
        (found,) = mismatches(value, {"type": "object"}, {}, "report.json:")
        assert (found.expected, found.got) == ("an object", "what is nested too deep")

    def test_own_validator_knows_every_keyword(self) -> None:
        words = {word for part in schemas(schema()) for word in part}
        assert words <= {*ASSERTIONS, "$schema", "$defs", "$ref", "title", "description"}

    @pytest.mark.long
    def test_every_field_is_needed(self) -> None:
        document = plain()
        for path in ((), ("clauses", 2), ("clauses", 2, "failure"), ("clauses", 2, "failure", "ranking")):
            for name in part_of(document, path):
                changed = deepcopy(document)
                del part_of(changed, path)[name]
                assert errors(changed) != [], f"{path} without {name}"

    def test_page_explains_every_field(self) -> None:
        text = (ROOT / "docs" / "report.md").read_text(encoding="utf-8")
        parts = [schema(), *schema()["$defs"].values()]
        names = {name for part in parts for name in part.get("properties", {})}
        assert {name for name in names if f"`{name}`" not in text} == set()

    def test_schema_lies_beside_the_package(self) -> None:
        path = ROOT / "pomt_ref" / "conformance" / SCHEMA
        assert json.loads(path.read_text(encoding="utf-8")) == schema()


def schemas(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every schema in a schema."""
    yield schema
    inner = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values()]
    inner += [*schema.get("oneOf", ()), *schema.get("allOf", ())]
    inner += [schema[word] for word in ("if", "then", "else", "items", "additionalProperties") if schema.get(word)]
    for part in inner:
        yield from schemas(part)


def part_of(document: dict[str, Any], path: tuple[str | int, ...]) -> dict[str, Any]:
    """The object that a path leads to."""
    part: Any = document
    for step in path:
        part = part[step]
    return cast("dict[str, Any]", part)


class TestReading:
    """What is no number in JSON, no text in UTF-8, and no tensor in a report."""

    def test_numbers_without_a_word_in_json_are_null(self) -> None:
        odd = replace(EXCHANGED, scores=(math.nan, 1.0, 1.0, 1.0), epsilon=(math.inf, 0.0, 0.0, 0.0))
        made = report(wrong(failure=failure(ranking=odd)))
        told = json.loads(as_json(made))["clauses"][0]["failure"]["ranking"]
        assert (told["scores"][0], told["epsilon"][0]) == (None, None)
        ranking = from_dict(json.loads(as_json(made))).failures[0].ranking
        assert ranking is not None
        assert math.isnan(ranking.scores[0])
        assert ranking.epsilon[0] == math.inf
        assert ranking.expected == EXCHANGED.expected

    @pytest.mark.long
    def test_failure_on_captured_tensors_is_read_again(self, tmp_path: Path) -> None:
        case = build_case(
            "ordinary", seed=1, dtype="float32", batch=2, heads=2, tokens=9, features=3, channels=4, prefix=1, keep=3
        )
        tensors = {name: getattr(case, name).astype("float32") for name in ("x", "attn", "v")}
        save_file(tensors, tmp_path / "captured.safetensors", metadata={"prefix": "1"})
        made = check(narrow, clauses="POMT-RANK-1", max_examples=10, captured=tmp_path / "captured.safetensors")
        assert [each.source for each in made.rows] == ["generated", "captured: captured.safetensors"]
        path = tmp_path / "report.json"
        write(as_json(made), path)
        read = load_report(path)
        (found,) = (each.failure for each in read.rows if each.source != "generated")
        assert found is not None
        assert (found.family, found.case.x.size) == ("captured: captured.safetensors", 0)
        assert as_dict(merge([read]))["clauses"] == as_dict(made)["clauses"]

    def test_half_a_surrogate_pair_is_written_and_read_again(self, tmp_path: Path) -> None:
        made = report(row(), subject="\ud800", remarks=("\udfff",))
        write(as_json(made), tmp_path / "report.json")
        read = load_report(tmp_path / "report.json")
        assert (read.subject, read.remarks) == ("\ud800", ("\udfff",))

    def test_report_that_cannot_be_written_leaves_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object) -> None:
            raise OSError("disk full")

        monkeypatch.setattr(Path, "replace", full)
        with pytest.raises(OSError, match="disk full"):
            write("{}", tmp_path / "report.json")
        assert list(tmp_path.iterdir()) == []
