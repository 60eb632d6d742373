"""Vectors: the same bytes on every run, right by the oracle, and judged as the laws judge; a line for every fault."""

import hashlib
import json
import random
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import jsonschema
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

import pomt_ref
from docs.examples.write_outputs import write_outputs
from pomt_ref import oracle
from pomt_ref.cli import main
from pomt_ref.conformance.schema import ASSERTIONS, mismatches
from pomt_ref.conformance.vectors import (
    Fault,
    Vector,
    VectorsError,
    VectorSet,
    completeness,
    judge_outputs,
    release,
    schema_text,
    verify,
    write,
    writing,
)
from pomt_ref.conformance.vectors.drawing import TRIES, settled, settled_case, to_bits
from pomt_ref.conformance.vectors.errors import Fault as Line
from pomt_ref.conformance.vectors.expecting import rounded_up
from pomt_ref.conformance.vectors.judging import RESULTS, judge
from pomt_ref.conformance.vectors.manifest import MANIFEST, SCHEMA
from pomt_ref.conformance.vectors.reading import wrong
from pomt_ref.conformance.vectors.release import LARGEST_SEED, Listed, clauses_of, first_seed, listed
from pomt_ref.conformance.vectors.showing import cut_line
from pomt_ref.conformance.vectors.vector import AXES
from pomt_ref.testing import (
    FAMILIES,
    PROFILES,
    Family,
    InapplicableError,
    LawViolation,
    Outcome,
    Shape,
    laws_of,
    load_captured,
    normative,
)
from tests.made_documents import mutated

ROOT: Final = Path(__file__).parent.parent

RELEASE_4: Final = "ca93cb864710fc1278e4f61a2b05a6c2d5bc88d09b5a4d10c24b009a1d9c1753"
"""SHA-256 over the checksums of all files of release 4. If this fails although nothing was meant to change, a draw
differs between machines; if the list, a family or a bound was meant to change, the release gets another number."""

FEW: Final = (
    "pomt-ties-float16-1",
    "pomt-ordinary-bfloat16-1",
    "pomt-ties-float32-1",
    "pomt-identical-tokens-float64-1",
    "pomt-contrasting-samples-float32-1",
    "topk-ordinary-float32-1",
    "evit-ordinary-float16-1",
)
"""A set that is quick to write and to read."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole release."""
    path = tmp_path_factory.mktemp("vectors") / "set"
    write(path, version="0.1.0")
    return path


@pytest.fixture(scope="module")
def whole(folder: Path) -> VectorSet:
    """The whole release, read and verified."""
    return verify(folder)


@cache
def few_of(seed: int) -> tuple[Listed, ...]:
    """The few of a release, as completeness asks for all of them: drawn once, not test after test."""
    return tuple(one for one in listed(seed) if one.name in FEW)


@pytest.fixture
def few(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A few vectors in a folder of their own, to be damaged, as if they were all of the release."""
    monkeypatch.setattr(completeness, "listed", few_of)
    path = tmp_path / "few"
    path.mkdir()
    document = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    entries = {entry["id"]: entry for entry in document["cases"]}
    document["cases"] = [entries[name] for name in FEW]
    write_manifest(path, document)
    for name in (SCHEMA, *(f"{name}.safetensors" for name in FEW)):
        shutil.copy(folder / name, path)
    return path


def write_manifest(folder: Path, document: object) -> None:
    """Another manifest."""
    (folder / MANIFEST).write_text(json.dumps(document), encoding="utf-8")


def manifest(folder: Path) -> dict[str, Any]:
    """The manifest as JSON says it."""
    document: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    return document


def rewrite(folder: Path, name: str, **tensors: Tensor | None) -> None:
    """Another file under the same name, with its checksum in the manifest: what a careless tool would make."""
    path = folder / f"{name}.safetensors"
    found = {**load_file(path), **tensors}
    with safe_open(path, framework="pt") as file:
        about = file.metadata()
    save_file({key: tensor.contiguous() for key, tensor in found.items() if tensor is not None}, path, about)
    sign(folder, name)


def sign(folder: Path, name: str) -> None:
    """Write the checksum of a file into the manifest."""
    document = manifest(folder)
    for entry in document["cases"]:
        if entry["id"] == name:
            entry["sha256"] = hashlib.sha256((folder / entry["file"]).read_bytes()).hexdigest()
    write_manifest(folder, document)


def lines(folder: Path) -> list[str]:
    """What verifying the folder says, its own path left out."""
    with pytest.raises(VectorsError) as caught:
        verify(folder)
    return [f"{fault}".replace(f"{folder}/", "") for fault in caught.value.faults]


def tokens_of(vector: Vector, kept: Sequence[Sequence[int]]) -> Outcome:
    """The output that keeps these tokens, in this order."""
    case, prefix = vector.case, vector.case.shape.prefix
    rows = []
    for sample, chosen in enumerate(kept):
        left = sorted(set(range(prefix, case.shape.tokens)) - set(chosen))
        rows.append([*case.x[sample, :prefix], *case.x[sample, list(chosen)], oracle.mean_row(case.x[sample, left])])
    return Outcome(np.array(rows), case.dtype)


def accepted(vector: Vector, outcome: Outcome) -> bool:
    """Whether an output is admissible in the normative precision."""
    try:
        judge(vector, outcome, normative(vector.case.dtype))
    except LawViolation:
        return False
    return True


class TestRelease:
    """The set is what it says: every method, dtype, family and edge, the same bytes wherever it is written."""

    @pytest.mark.long
    def test_second_run_writes_the_same_bytes(self, folder: Path, tmp_path: Path) -> None:
        assert write(tmp_path / "again", version="0.1.0") == len(list(folder.iterdir())) - 2
        for path in folder.iterdir():
            assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name

    def test_bytes_are_those_of_the_release(self, folder: Path) -> None:
        digests = "".join(entry["sha256"] for entry in manifest(folder)["cases"])
        assert hashlib.sha256(digests.encode()).hexdigest() == RELEASE_4

    def test_size_is_sensible(self, folder: Path) -> None:
        assert sum(path.stat().st_size for path in folder.iterdir()) < 3_000_000

    def test_every_method_dtype_and_family_is_there(self, whole: VectorSet) -> None:
        found = {(each.method, each.case.dtype, each.case.family) for each in whole.vectors}
        dtypes = ("float16", "bfloat16", "float32", "float64")
        absent = {("float16", "vanishing attention")} | {
            (dtype, name) for dtype in dtypes[2:] for name, family in FAMILIES.items() if family.patches.least >= 196
        }
        pomt = {(dtype, family) for dtype in dtypes for family in FAMILIES} - absent
        assert {each[1:] for each in found if each[0] == "pomt"} == pomt
        for method in ("topk", "evit"):
            assert {dtype for name, dtype, _ in found if name == method} == set(dtypes)
            small = {name for name, family in FAMILIES.items() if family.patches.least < 196} - {"vanishing attention"}
            assert {family for name, _, family in found if name == method} >= small

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
    def test_every_prefix_has_its_edges(self, whole: VectorSet, dtype: str) -> None:
        shapes = [each.case.shape for each in whole.vectors if each.method == "pomt" and each.case.dtype == dtype]
        for prefix in (0, 1, 2, 3, 5):
            mine = [shape for shape in shapes if shape.prefix == prefix]
            assert {0, 1} <= {shape.keep for shape in mine if shape.patches > 1}
            assert any(shape.discarded == 1 and shape.keep > 1 for shape in mine)
            assert any(shape.patches == 1 for shape in mine)
        assert dtype == "float64" or any(shape.tokens >= 197 for shape in shapes)

    def test_decisions_of_both_kinds_are_there(self, whole: VectorSet) -> None:
        cuts = [cut for each in whole.vectors if each.method == "pomt" for cut in each.expected.cuts]
        assert {cut.decision for cut in cuts} == {"forced", "ambiguous"}
        assert any(cut.gap == 0 for cut in cuts)  # an exact tie at the cut
        assert any(cut.gap and cut.decision == "ambiguous" for cut in cuts)  # a near one
        assert any(cut.gap is not None and 0 < cut.gap < 2.0**-30 and cut.decision == "forced" for cut in cuts)

    def test_identifiers_are_unique_and_seeds_whole_numbers_everywhere(self, whole: VectorSet) -> None:
        assert len({each.name for each in whole.vectors}) == len(whole.vectors)
        assert max(each.case.seed for each in whole.vectors) < first_seed("any", LARGEST_SEED) + 2**43 < 2**53

    def test_clauses_are_known_and_those_of_the_family_among_them(self) -> None:
        for method in ("pomt", "topk", "evit"):
            known = [law.clause for law in (*laws_of("pomt"), *laws_of(method))]
            for family in FAMILIES:
                clauses = clauses_of(method, family)
                assert set(clauses) <= set(known)
                assert list(clauses) == sorted(clauses, key=known.index)
        assert "POMT-ATT-1" in clauses_of("pomt", "disagreeing heads")

    def test_another_seed_gives_other_numbers(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        first = [next(release(seed)) for seed in (0, 1, LARGEST_SEED)]
        assert len({each.case.x.tobytes() for each in first}) == 3
        monkeypatch.setattr(writing, "release", lambda seed: [next(release(seed))])
        monkeypatch.setattr(completeness, "listed", lambda seed: [next(listed(seed))])
        write(tmp_path / "set", version="0.1.0", seed=LARGEST_SEED)
        assert verify(tmp_path / "set").seed == LARGEST_SEED

    @pytest.mark.parametrize("seed", [-1, LARGEST_SEED + 1])
    def test_seed_out_of_range_is_refused(self, seed: int) -> None:
        with pytest.raises(VectorsError, match=rf"^vectors --seed: expected 0 to 1000, got {seed}$"):
            next(release(seed))


class TestDraws:
    """A draw that another machine may round otherwise is not taken."""

    def test_unsettled_seeds_are_passed_over(self) -> None:
        half_way = np.full((1, 2, 1), 1.0 + 2.0**-11)
        even, v = np.full((1, 1, 2, 2), 0.5), np.ones((1, 1, 2, 1))

        def draw(generator: np.random.Generator, _shape: Shape) -> tuple[Any, Any, Any]:
            return (np.ones_like(half_way) if generator.random() < 0.3 else half_way), even, v

        shape = Shape(batch=1, heads=1, tokens=2, features=1, channels=1, prefix=0, keep=1)
        case = settled_case(Family("now and then", "", draw), shape, seed=0, dtype="float16")
        assert case.seed == next(seed for seed in range(99) if np.random.default_rng(seed).random() < 0.3) > 0
        never = Family("never", "", lambda _generator, _shape: (half_way, even, v))
        with pytest.raises(VectorsError, match=rf"family never, .*float16: expected a seed .*, got none of {TRIES}$"):
            settled_case(never, shape, seed=0, dtype="float16")

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
    def test_last_bits_do_not_matter(self, dtype: Any) -> None:  # noqa: ANN401 -- a literal type
        drawn = np.random.default_rng(0).normal(size=2000)
        tensor = np.array([value for value in drawn if settled(np.array([value]), dtype) is not None])
        noise = np.random.default_rng(1).uniform(-(2.0**-44), 2.0**-44, size=tensor.shape)
        one, other = settled(tensor, dtype), settled(tensor * (1 + noise), dtype)
        assert len(tensor) > 1500
        assert one is not None
        assert other is not None
        assert one.tobytes() == other.tobytes()

    def test_exact_numbers_keep_forty_bits(self) -> None:
        exact = 1.0 + 2.0**-36 * np.arange(10.0)
        kept = settled(exact, "float64")
        assert kept is not None
        assert kept.tobytes() == exact.tobytes()
        assert to_bits(np.array([-0.0, 3.0]), bits=1).tobytes() == np.array([-0.0, 4.0]).tobytes()


class TestExpectations:
    """What a vector says is what the oracle says; its decisions are those of ADMISSIBLE."""

    def test_scores_are_those_of_the_oracle_but_for_a_rounding(self, whole: VectorSet) -> None:
        for vector in whole.vectors:
            case = vector.case
            if vector.method == "pomt":
                scores = oracle.score(case.attn, case.v, prefix=case.shape.prefix)
                assert np.abs(scores - vector.expected.scores).max() <= 2.0**-50

    def test_bounds_are_rounded_up_and_hardly(self) -> None:
        bounds = np.random.default_rng(0).uniform(1e-9, 1.0, size=1000)
        raised = rounded_up(bounds)
        assert (raised > bounds).all()
        assert (raised <= bounds * (1 + 2.0**-11) * (1 + 2.0**-40)).all()
        assert raised.tobytes() == rounded_up(bounds * (1 + 2.0**-52)).tobytes()

    @pytest.mark.long
    def test_forced_pairs_may_not_be_exchanged_and_ambiguous_ones_may(self, whole: VectorSet) -> None:
        asked = {True: 0, False: 0}
        for vector in whole.vectors:
            case, expected = vector.case, vector.expected
            rows = {row.tobytes() for row in case.patch_rows(0)}
            if vector.method != "pomt" or case.shape.batch > 1 or case.shape.tokens > 40:
                continue
            if len(rows) < case.shape.patches:  # equal rows: nobody sees an exchange
                continue
            order = expected.order[0].tolist()
            for rank, forced in enumerate(expected.forced[0].tolist()):
                exchanged = [*order]
                exchanged[rank : rank + 2] = reversed(order[rank : rank + 2])
                assert accepted(vector, tokens_of(vector, [exchanged[: case.shape.keep]])) is not bool(forced)
                asked[bool(forced)] += 1
        assert min(asked.values()) > 30

    def test_cut_is_forced_if_no_token_may_cross_it(self, whole: VectorSet) -> None:
        for vector in whole.vectors:
            expected, prefix, keep = vector.expected, vector.case.shape.prefix, vector.case.shape.keep
            for sample, cut in enumerate(expected.cuts):
                order = expected.order[sample] - prefix
                scores, epsilon = expected.scores[sample][order], expected.epsilon[sample][order]
                crossing = (scores - epsilon)[:keep, np.newaxis] <= (scores + epsilon)[np.newaxis, keep:]
                assert (cut.decision == "ambiguous") == crossing.any()
                assert (cut.gap is None) == (keep == 0)
                assert keep == 0 or cut.gap == scores[keep - 1] - scores[keep]

    def test_order_descends_and_is_kept_then_discarded(self, whole: VectorSet) -> None:
        for vector in whole.vectors:
            expected, prefix = vector.expected, vector.case.shape.prefix
            assert np.array_equal(np.concatenate([expected.kept, expected.discarded], axis=1), expected.order)
            for order, scores in zip(expected.order, expected.scores, strict=True):
                ranked = [(-scores[token - prefix], token) for token in order]
                assert all(one < other for one, other in pairwise(ranked))

    def test_topk_has_no_last_row(self, whole: VectorSet) -> None:
        for vector in whole.vectors:
            appended = vector.expected.tokens.shape[1] - vector.case.shape.prefix - vector.case.shape.keep
            assert appended == (0 if vector.method == "topk" else 1)
            assert (vector.expected.last_row is None) == (vector.method == "topk")


class TestFiles:
    """Files that any reader of safetensors reads, and a manifest that its schema describes."""

    def test_library_reads_what_was_written(self, whole: VectorSet, folder: Path) -> None:
        vector = next(each for each in whole.vectors if each.name == "pomt-ordinary-bfloat16-1")
        tensors = load_file(folder / f"{vector.name}.safetensors")
        assert tensors["x"].dtype == tensors["tokens"].dtype == torch.bfloat16
        assert tensors["x"].double().numpy().tobytes() == vector.case.x.tobytes()
        assert tensors["forced"].dtype == torch.uint8
        assert tensors["order"].tolist() == vector.expected.order.tolist()

    def test_data_are_aligned_and_wide_dtypes_come_first(self, folder: Path) -> None:
        for path in folder.glob("*.safetensors"):
            data = path.read_bytes()
            length = int.from_bytes(data[:8], "little")
            header = json.loads(data[8 : 8 + length])
            del header["__metadata__"]
            assert length % 8 == 0
            offsets = [entry["data_offsets"] for entry in header.values()]
            assert [start for start, _ in offsets] == [0, *(end for _, end in offsets[:-1])]
            width = {"I64": 8, "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "U8": 1}
            assert all(
                start % width[entry["dtype"]] == 0 for entry, (start, _) in zip(header.values(), offsets, strict=True)
            )

    def test_file_can_be_given_to_a_check(self, folder: Path) -> None:
        captured = load_captured(folder / "pomt-contrasting-samples-float32-1.safetensors")
        assert captured.prefix == 1

    def test_manifest_satisfies_its_published_schema(self, folder: Path) -> None:
        schema = json.loads((folder / SCHEMA).read_text(encoding="utf-8"))
        jsonschema.Draft202012Validator.check_schema(schema)
        jsonschema.Draft202012Validator(schema).validate(manifest(folder))

    def test_every_object_of_the_schema_is_closed(self) -> None:
        for schema in subschemas(json.loads(schema_text())):
            assert ("properties" in schema) == (schema.get("additionalProperties") is False)
            assert schema.keys() <= {*ASSERTIONS, "$schema", "$defs", "$ref", "title", "description"}
            assert schema.get("required", []) == list(schema.get("properties", {}))

    @pytest.mark.long
    def test_own_validator_agrees_with_jsonschema(self, few: Path) -> None:
        schema = json.loads(schema_text())
        validator, refused = jsonschema.Draft202012Validator(schema), 0
        text = (few / MANIFEST).read_text(encoding="utf-8")
        for seed in range(200):
            document = mutated(json.loads(text), random.Random(seed))  # noqa: S311 -- a test, not a secret
            valid = validator.is_valid(document)
            assert valid == (not list(mismatches(document, schema, schema, "m")))
            refused += not valid
        assert 100 < refused < 200

    @pytest.mark.parametrize(
        ("change", "line"),
        [
            ({"format": 2}, "manifest.json: format: expected 1, got 2"),
            ({"format": True}, "manifest.json: format: expected 1, got true"),
            ({"seed": -1}, "manifest.json: seed: expected 0 or more, got -1"),
            ({"seed": 1.5}, "manifest.json: seed: expected an integer, got 1.5"),
            ({"seed": False}, "manifest.json: seed: expected an integer, got false"),
            ({"cases": []}, "manifest.json: cases: expected 1 or more items, got []"),
            ({"cases": {}}, "manifest.json: cases: expected an array, got {}"),
            ({"extra": 1}, 'manifest.json: expected no field "extra", got one'),
            (
                {"generator": "pomt_ref 1\n"},
                (
                    "manifest.json: generator: expected text of the pattern ^pomt_ref [0-9][0-9A-Za-z.+-]*$, "
                    'got "pomt_ref 1\\n"'
                ),
            ),
        ],
    )
    def test_manifest_against_its_schema_is_told(self, few: Path, change: dict[str, Any], line: str) -> None:
        write_manifest(few, manifest(few) | change)
        assert lines(few) == [f"vectors {line}"]

    @pytest.mark.parametrize(
        ("change", "line"),
        [
            ({"dtype": "float8"}, '.dtype: expected "float16" or "bfloat16" or "float32" or "float64", got "float8"'),
            ({"keep": 8}, ".keep: expected 0 <= keep < tokens - prefix = 8, got 8"),
            (
                {"cuts": [{"gap": None, "allowed": None, "decision": "forced"}] * 2},
                ".cuts: expected 1, one a sample, got 2",
            ),
            (
                {"cuts": [{"gap": "0", "allowed": 0, "decision": "forced"}]},
                '.cuts[0].gap: expected a number or null, got "0"',
            ),
            (
                {"file": "other.safetensors"},
                ".file: expected pomt-ties-float16-1.safetensors, got other.safetensors",
            ),
            ({"id": "pomt"}, ".file: expected pomt.safetensors, got pomt-ties-float16-1.safetensors"),
            (
                {"file": "../up.safetensors"},
                '.file: expected text of the pattern ^[a-z0-9][a-z0-9-]*[.]safetensors$, got "../up.safetensors"',
            ),
            ({"method": "topk", "prefix": 0}, ".prefix: expected a class token (SIB-1), got 0"),
        ],
    )
    def test_entry_that_cannot_be_is_told(self, few: Path, change: dict[str, Any], line: str) -> None:
        document = manifest(few)
        document["cases"][0] |= change
        write_manifest(few, document)
        assert lines(few) == [f"vectors manifest.json: cases[0]{line}"]

    def test_case_twice_and_fields_missing_are_all_told(self, few: Path) -> None:
        document = manifest(few)
        document["cases"].append(document["cases"][0])
        write_manifest(few, document)
        assert lines(few) == [
            "vectors manifest.json: cases[7].id: expected each case once, got pomt-ties-float16-1 again"
        ]
        del document["seed"], document["cases"][2]["keep"]
        write_manifest(few, document)
        assert lines(few) == [
            'vectors manifest.json: expected a field "seed", got none',
            'vectors manifest.json: cases[2]: expected a field "keep", got none',
        ]


def subschemas(schema: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 -- any JSON
    """Every schema in a schema."""
    yield schema
    for inner in (*schema.get("properties", {}).values(), *schema.get("$defs", {}).values()):
        yield from subschemas(inner)
    if "items" in schema:
        yield from subschemas(schema["items"])


class TestDamage:
    """A folder that is damaged or foreign: one clear line a fault, and never a traceback."""

    NAME: Final = "pomt-ties-float16-1"

    def test_missing_and_broken_manifest(self, few: Path, tmp_path: Path) -> None:
        assert "No such file" in lines(tmp_path / "nowhere")[0]
        for text, told in (
            ("", "Expecting value"),
            ('{"format": NaN}', "NaN is no number in JSON"),
            ("[" * 100_000, "nested too deep"),
            ('{"format": 1' + "0" * 5000 + "}", "an integer of 5001 digits is too large, of at most 18"),
        ):
            (few / MANIFEST).write_text(text, encoding="utf-8")
            (line,) = lines(few)
            assert line.startswith("vectors manifest.json: expected a manifest in JSON, got ")
            assert told in line
        (few / MANIFEST).write_bytes(b"\xff\xfe")
        assert "codec can't decode" in lines(few)[0]

    def test_manifest_of_something_else(self, few: Path) -> None:
        write_manifest(few, ["a", "list"])
        assert lines(few) == ['vectors manifest.json: expected an object, got ["a", "list"]']

    def test_missing_changed_and_unlisted_files(self, few: Path) -> None:
        (few / f"{self.NAME}.safetensors").unlink()
        with (few / "topk-ordinary-float32-1.safetensors").open("ab") as file:
            file.write(b"x")
        (few / "stranger.txt").touch()
        (few / SCHEMA).write_text("{}", encoding="utf-8")
        found = lines(few)
        assert found[:2] == [
            f"vectors {SCHEMA}: expected the schema of the manifest, got something else",
            "vectors stranger.txt: expected files that the manifest lists, got another one",
        ]
        assert found[2].startswith(f"vectors {self.NAME}.safetensors: expected the file of a case, got [Errno 2]")
        assert found[3].startswith("vectors topk-ordinary-float32-1.safetensors: expected SHA-256 ")
        assert len(found) == 4
        (few / SCHEMA).unlink()
        assert lines(few)[0] == f"vectors {SCHEMA}: expected the schema of the manifest, got nothing"

    def test_truncated_file_with_its_checksum(self, few: Path) -> None:
        path = few / f"{self.NAME}.safetensors"
        for length in (0, 4, 100, path.stat().st_size - 1):
            path.write_bytes(path.read_bytes()[:length])
            sign(few, self.NAME)
            (line,) = lines(few)
            assert line.startswith(f"vectors {path.name}: expected a safetensors file, got Error while deserializing")

    @pytest.mark.parametrize(
        ("tensors", "line"),
        [
            ({"forced": None}, ": forced: expected uint8 of shape [1, 4], got no such tensor"),
            ({"more": torch.zeros(1)}, ": more: expected no such tensor, got float32 of shape [1]"),
            ({"kept": torch.zeros(1, 4)}, ": kept: expected int64 of shape [1, 4], got float32 of shape [1, 4]"),
            (
                {"v": torch.full((1, 2, 9, 2), torch.nan).half()},
                ": v: expected finite input, attention that sums to one, got something else",
            ),
            (
                {"attn": torch.zeros(1, 2, 9, 9).half()},
                ": attn: expected finite input, attention that sums to one, got something else",
            ),
            ({"kept": torch.zeros(1, 4, dtype=torch.int64)}, ": kept[0, 0]: expected 2, as the oracle says, got 0"),
            (
                {"last_row": torch.full((1, 3), torch.inf).double()},
                ": last_row[0, 0]: expected 0.22669219970703125, as the oracle says, got inf",
            ),
            (
                {"epsilon": torch.zeros(1, 8).double()},
                ": epsilon[0, 0]: expected 1.2177042663097382e-06, as the oracle says, got 0.0",
            ),
        ],
    )
    def test_other_tensors_are_told(self, few: Path, tensors: dict[str, Tensor | None], line: str) -> None:
        rewrite(few, self.NAME, **tensors)
        assert lines(few) == [f"vectors {self.NAME}.safetensors{line}"]

    def test_numbers_beyond_every_format_are_told(self, few: Path) -> None:
        name = "pomt-identical-tokens-float64-1"
        v = load_file(few / f"{name}.safetensors")["v"]
        rewrite(few, name, v=torch.full_like(v, 1.7e308))
        told = f"vectors {name}.safetensors: expected input whose sums the formats hold, got larger numbers"
        assert lines(few) == [told]

    def test_metadata_of_another_case_is_told(self, few: Path) -> None:
        document = manifest(few)
        seed = document["cases"][0]["seed"]
        document["cases"][0]["seed"] = 7
        write_manifest(few, document)
        assert lines(few) == [f"vectors {self.NAME}.safetensors: metadata seed: expected 7, got {seed}"]

    def test_cuts_that_were_edited_are_told(self, few: Path) -> None:
        document = manifest(few)
        (cut,) = document["cases"][0]["cuts"]
        right = f"Cut(gap={cut['gap']}, allowed={cut['allowed']}, decision='forced')"
        for name, value in (("decision", "ambiguous"), ("gap", 0.5), ("allowed", 0.5), ("allowed", None)):
            document["cases"][0]["cuts"] = [cut | {name: value}]
            write_manifest(few, document)
            (line,) = lines(few)
            assert line.startswith(
                f"vectors {self.NAME}.safetensors: cuts[0]: expected {right}, as the oracle says, got "
            )

    @pytest.mark.long
    def test_bounds_one_step_off_are_another_machines(self, few: Path) -> None:
        tensors = load_file(few / f"{self.NAME}.safetensors")
        rewrite(few, self.NAME, epsilon=tensors["epsilon"] * (1 + 2.0**-12))
        assert verify(few).vectors[0].name == self.NAME

    def test_expected_output_that_the_laws_reject_is_told(self, few: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The laws are asked as well, not only the code that wrote the set."""
        vector = verify(few).vectors[0]
        moved = replace(vector.expected, scores=vector.expected.scores + 1.0)
        monkeypatch.setattr("pomt_ref.conformance.vectors.reading.expect", lambda _case, _method: moved)
        (line,) = wrong(replace(vector, expected=moved), Path("file"))
        assert f"{line}".startswith(
            "vectors file: expected an output that is admissible, got POMT-SCORE-1 wrong: score"
        )

    def test_fault_is_one_line_whatever_it_holds(self) -> None:
        assert f"{Fault('a', 'b', 'c' + chr(10) + ' d')}" == "vectors a: expected b, got c d"
        error = VectorsError([Line("a", "b", "c"), Line("d", "e", "f")])
        assert f"{error}".splitlines() == ["vectors a: expected b, got c", "vectors d: expected e, got f"]
        assert (error.function, error.clause, error.expected, error.got) == ("vectors", "a", "b", "c")


class TestCompleteness:
    """A set that is right in itself is held against the release that its manifest says it is."""

    NAME: Final = "pomt-ties-float16-1"

    @pytest.mark.long
    def test_missing_case_is_told(self, few: Path) -> None:
        document = manifest(few)
        del document["cases"][0]
        write_manifest(few, document)
        (few / f"{self.NAME}.safetensors").unlink()
        told = f"vectors manifest.json: cases: expected the 7 cases of release 4, got none of {self.NAME}"
        assert lines(few) == [told]
        del document["cases"][1:]
        write_manifest(few, document)
        assert lines(few)[0].endswith(" and 3 more")

    def test_release_without_a_case_is_told_as_it_is_published(self, folder: Path, tmp_path: Path) -> None:
        path = tmp_path / "set"
        shutil.copytree(folder, path)
        document = manifest(path)
        gone = document["cases"].pop(100)
        write_manifest(path, document)
        (path / gone["file"]).unlink()
        assert lines(path) == [
            f"vectors manifest.json: cases: expected the 360 cases of release 4, got none of {gone['id']}"
        ]

    def test_case_besides_is_told(self, few: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            completeness,
            "listed",
            lambda seed: (one for one in listed(seed) if one.name in FEW and one.name != self.NAME),
        )
        told = f"vectors manifest.json: cases: expected the 6 cases of release 4, got {self.NAME} besides"
        assert lines(few) == [told]

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"release": 1}, "release: expected 4, the one known here, got 1"),
            ({"seed": LARGEST_SEED + 1}, "seed: expected 0 to 1000, got 1001"),
        ],
    )
    def test_release_that_is_not_known_is_told(self, few: Path, change: dict[str, int], says: str) -> None:
        write_manifest(few, manifest(few) | change)
        assert lines(few) == [f"vectors manifest.json: {says}"]

    def test_seed_of_another_set_is_told_of_every_case(self, few: Path) -> None:
        write_manifest(few, manifest(few) | {"seed": 1})
        found = lines(few)
        assert len(found) == len(FEW)
        assert found[0].startswith(
            f"vectors {self.NAME}.safetensors: seed: expected {first_seed(self.NAME, 1)}, as in "
        )

    def test_other_clauses_are_told(self, few: Path) -> None:
        document = manifest(few)
        entry = document["cases"][0]
        entry["clauses"] = entry["clauses"][:1]
        write_manifest(few, document)
        path = few / f"{self.NAME}.safetensors"
        with safe_open(path, framework="pt") as file:
            about = file.metadata() | {"clauses": entry["clauses"][0]}
        save_file(load_file(path), path, about)
        sign(few, self.NAME)
        (told,) = lines(few)
        assert told.startswith(f"vectors {self.NAME}.safetensors: clauses: expected ")
        assert told.endswith(f", as in release 4 with this seed, got {entry['clauses'][0]}")

    def test_other_numbers_are_told(self, few: Path) -> None:
        tensors = load_file(few / f"{self.NAME}.safetensors")
        turned = ("x", "tokens", "last_row", "last_row_bound")  # the channels, everywhere: the oracle agrees
        rewrite(few, self.NAME, **{name: tensors[name].flip(-1) for name in turned})
        says = "x: expected numbers as in release 4 with this seed, got others"
        assert lines(few) == [f"vectors {self.NAME}.safetensors: {says}"]


class TestWriting:
    """Whole or not at all, and over nothing but an older set."""

    @pytest.fixture(autouse=True)
    def short(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """One case is enough to see how a folder is written."""
        monkeypatch.setattr(writing, "release", lambda seed: [next(release(seed))])
        monkeypatch.setattr(completeness, "listed", lambda seed: [next(listed(seed))])

    def test_older_set_is_replaced(self, tmp_path: Path) -> None:
        write(tmp_path, version="0.1.0", seed=3)
        assert write(tmp_path, version="0.1.0") == 1
        assert verify(tmp_path).seed == 0
        assert list(tmp_path.parent.glob(f"{tmp_path.name}.*")) == []

    def test_folders_on_the_way_are_made(self, tmp_path: Path) -> None:
        write(tmp_path / "a" / "b", version="0.1.0")
        assert len(verify(tmp_path / "a" / "b").vectors) == 1

    def test_link_stays_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "real")
        write(tmp_path / "link", version="0.1.0")
        assert (tmp_path / "link").is_symlink()
        assert len(verify(tmp_path / "real").vectors) == 1

    def test_work_of_somebody_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.tex").write_text("all of it", encoding="utf-8")
        with pytest.raises(VectorsError, match="a set of vectors and nothing else, got a folder that holds thesis"):
            write(tmp_path, version="0.1.0")
        (tmp_path / "thesis.tex").unlink()
        write(tmp_path, version="0.1.0")
        (tmp_path / "outputs.npy").touch()
        with pytest.raises(VectorsError, match=r"got a folder that holds outputs\.npy$"):
            write(tmp_path, version="0.1.0")

    def test_place_that_cannot_be_written_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        for path in (tmp_path / "file", tmp_path / "file" / "below"):
            with pytest.raises(VectorsError, match="expected a folder that can be written, got"):
                write(path, version="0.1.0")

    def test_interrupted_write_leaves_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def stop(_seed: int) -> Iterator[Vector]:
            yield next(release())
            raise KeyboardInterrupt

        monkeypatch.setattr(writing, "release", stop)
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path / "set", version="0.1.0")
        assert list(tmp_path.iterdir()) == []


class TestJudging:
    """Outputs of another program: a grade a case, as the laws give it."""

    @pytest.fixture
    def vectors(self, whole: VectorSet) -> tuple[Vector, ...]:
        """A few vectors."""
        named = {vector.name: vector for vector in whole.vectors}
        return tuple(named[name] for name in FEW)

    def outputs(self, few: Path, tmp_path: Path) -> Path:
        """What the reference makes of them."""
        folder = tmp_path / "outputs"
        for subject, method in (("prune", "pomt"), ("topk_prune", "topk"), ("evit_prune", "evit")):
            write_outputs(few, folder, f"pomt_ref:{subject}", method)
        return folder

    def test_reference_is_accepted(self, few: Path, vectors: tuple[Vector, ...], tmp_path: Path) -> None:
        found = judge_outputs(vectors, self.outputs(few, tmp_path))
        assert [each.vector.name for each in found] == [vector.name for vector in vectors]
        assert {each.result for each in found} == {"identical order"}
        assert 0 < max(each.attained for each in found) <= 1

    def test_expected_outputs_are_accepted_and_near_ties_graded(
        self, vectors: tuple[Vector, ...], whole: VectorSet
    ) -> None:
        for vector in vectors:
            grade, _ = judge(vector, Outcome(vector.expected.tokens, vector.case.dtype), normative(vector.case.dtype))
            assert grade == "identical order"
        grades = set()
        for vector in whole.vectors:
            forced = vector.expected.forced
            if vector.method == "pomt" and vector.case.shape.batch == 1 and forced.size and not forced[0, -1]:
                order = vector.expected.order[0].tolist()
                keep = vector.case.shape.keep
                order[keep - 1 : keep + 1] = reversed(order[keep - 1 : keep + 1])
                if accepted(vector, tokens_of(vector, [order[:keep]])):
                    grades.add(judge(vector, tokens_of(vector, [order[:keep]]), normative(vector.case.dtype))[0])
        assert "admissible" in grades

    def change(self, few: Path, tmp_path: Path, name: str, **tensors: Tensor | None) -> Path:
        """The reference's outputs, one of them changed."""
        folder = self.outputs(few, tmp_path)
        found = {**load_file(folder / f"{name}.safetensors"), **tensors}
        save_file({k: t.contiguous() for k, t in found.items() if t is not None}, folder / f"{name}.safetensors")
        return folder

    @pytest.mark.parametrize(
        ("tensors", "message"),
        [
            ({"tokens": torch.zeros(1, 6, 3)}, "POMT-PREC-1 wrong: output in float32, expected float16"),
            (
                {"tokens": torch.zeros(1, 6, 3, dtype=torch.int64)},
                "POMT-PREC-1 wrong: output in int64, expected float16",
            ),
            (
                {"tokens": torch.zeros(1, 5, 3).half()},
                "POMT-PRUNE-1 wrong: output of shape (1, 5, 3), expected (1, 6, 3)",
            ),
            ({"kept": torch.zeros(1, 4)}, "POMT-PRUNE-4 wrong: kept in float32, expected whole numbers"),
            (
                {"kept": torch.zeros(1, 4, dtype=torch.complex64)},
                "POMT-PRUNE-4 wrong: kept in complex64, expected whole numbers",
            ),
            ({"discarded": torch.zeros(1, 3).int()}, "POMT-PRUNE-4 wrong: discarded of shape (1, 3), expected (1, 4)"),
            ({"scores": torch.zeros(1, 8).int()}, "POMT-PREC-1 wrong: scores in int32, expected float32 or float64"),
            ({"scores": torch.zeros(1, 7)}, "POMT-SCORE-1 wrong: score of shape (1, 7), expected (1, 8)"),
        ],
    )
    def test_wrong_output_is_told_by_clause(
        self, few: Path, tmp_path: Path, vectors: tuple[Vector, ...], tensors: dict[str, Tensor | None], message: str
    ) -> None:
        found = judge_outputs(vectors, self.change(few, tmp_path, TestDamage.NAME, **tensors))
        (wrong_one,) = (each for each in found if each.result == "wrong")
        assert (wrong_one.vector.name, wrong_one.message) == (TestDamage.NAME, message)

    @pytest.mark.long
    def test_first_divergence_is_told_where_stages_are_shown(
        self, few: Path, tmp_path: Path, vectors: tuple[Vector, ...]
    ) -> None:
        scores = load_file(self.outputs(few, tmp_path) / f"{TestDamage.NAME}.safetensors")["scores"]
        folder = self.change(few, tmp_path, TestDamage.NAME, scores=scores + 1, kept=None, discarded=None)
        (told,) = (each.divergence for each in judge_outputs(vectors, folder) if each.result == "wrong")
        assert told.startswith("scores (POMT-SCORE-1): scores[0, ")
        folder = self.change(few, tmp_path, TestDamage.NAME, scores=None, kept=None, discarded=None)
        (folder / "topk-ordinary-float32-1.safetensors").unlink()
        assert {each.divergence for each in judge_outputs(vectors, folder)} == {""}

    @pytest.mark.long
    def test_wrong_order_has_no_divergence_where_nothing_but_indices_agree(
        self, few: Path, tmp_path: Path, vectors: tuple[Vector, ...]
    ) -> None:
        """Rows, indices and mean belong together; nothing shown says why the order is another one."""
        vector = vectors[0]
        kept = vector.expected.order[0, ::-1][: vector.case.shape.keep].copy()
        tokens = torch.from_numpy(tokens_of(vector, [kept.tolist()]).tokens).half()
        shown = {"tokens": tokens, "kept": torch.from_numpy(kept[np.newaxis]), "scores": None, "discarded": None}
        found = judge_outputs(vectors, self.change(few, tmp_path, vector.name, **shown))
        assert found[0].message.startswith("POMT-RANK-1 wrong: sample 0 keeps token ")
        assert found[0].divergence == ""

    def test_wrong_scores_of_a_sibling_have_its_clause(
        self, few: Path, tmp_path: Path, vectors: tuple[Vector, ...]
    ) -> None:
        folder = self.change(few, tmp_path, "topk-ordinary-float32-1", scores=torch.zeros(1, 7))
        (told,) = (each for each in judge_outputs(vectors, folder) if each.result == "wrong")
        assert told.message.startswith("TOPK-1 wrong: score")
        assert told.divergence == ""

    @pytest.mark.long
    def test_profile_widens_what_is_allowed(self, few: Path, tmp_path: Path, vectors: tuple[Vector, ...]) -> None:
        scores = torch.from_numpy(vectors[0].expected.scores).half()
        folder = self.change(few, tmp_path, TestDamage.NAME, scores=scores)
        assert judge_outputs(vectors, folder)[0].result == "wrong"
        half = PROFILES["float32/float16"]
        assert judge_outputs(vectors, folder, profile=half)[0].result == "identical order"

    def test_profile_that_promises_nothing_judges_nothing(
        self, few: Path, tmp_path: Path, vectors: tuple[Vector, ...], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def promises_nothing(*_arguments: object) -> None:
            raise InapplicableError

        monkeypatch.setattr("pomt_ref.conformance.vectors.judging.judge", promises_nothing)
        found = judge_outputs(vectors, self.outputs(few, tmp_path))
        assert {each.result for each in found} == {"not judged"}

    def test_folder_that_cannot_be_read_is_told(
        self, few: Path, tmp_path: Path, vectors: tuple[Vector, ...], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        outputs = self.outputs(few, tmp_path)

        def refused(_path: Path) -> bool:
            raise PermissionError("denied")

        monkeypatch.setattr(Path, "exists", refused)
        with pytest.raises(VectorsError, match="expected a folder that can be read, got denied"):
            judge_outputs(vectors, outputs)

    def test_arrays_of_numpy_are_read(self, few: Path, tmp_path: Path, vectors: tuple[Vector, ...]) -> None:
        folder = self.outputs(few, tmp_path)
        for path in sorted(folder.iterdir()):
            tokens = load_file(path)["tokens"]
            path.unlink()
            array = tokens.view(torch.int16).numpy().view("V2") if tokens.dtype == torch.bfloat16 else tokens.numpy()
            big = array.astype(array.dtype.newbyteorder(">")) if array.dtype.kind == "f" else array
            np.save(path.with_suffix(".npy"), big)
        assert {each.result for each in judge_outputs(vectors, folder)} == {"identical order"}
        path = folder / "pomt-ordinary-bfloat16-1.npy"
        np.save(path, np.load(path).view(np.uint16))
        assert {each.result for each in judge_outputs(vectors, folder)} == {"identical order"}

    @pytest.mark.parametrize(
        ("name", "content", "told"),
        [
            ("x.safetensors", b"", "a safetensors file, got Error while deserializing header"),
            ("x.npy", b"", "an array of numbers, got "),
            ("x.npy", b"\x93NUMPY", "an array of numbers, got "),
            ("x.npy", np.array([object()]), "an array of numbers, got Object arrays cannot be loaded"),
            ("x.npy", np.array(["a"]), "an array of numbers, got can't convert np.ndarray"),
        ],
    )
    def test_unreadable_output_is_told(
        self, tmp_path: Path, vectors: tuple[Vector, ...], name: str, content: object, told: str
    ) -> None:
        path = tmp_path / f"{TestDamage.NAME}{Path(name).suffix}"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            np.save(path, np.asarray(content), allow_pickle=True)
        with pytest.raises(VectorsError) as caught:
            judge_outputs(vectors, tmp_path)
        assert f"{caught.value}".startswith(f"vectors {path}: expected {told}")

    def test_file_without_tokens_two_files_and_none(
        self, few: Path, tmp_path: Path, vectors: tuple[Vector, ...]
    ) -> None:
        folder = self.change(few, tmp_path, TestDamage.NAME, tokens=None)
        topk = "topk-ordinary-float32-1"
        np.save(folder / f"{topk}.npy", np.zeros(1))
        with pytest.raises(VectorsError) as caught:
            judge_outputs(vectors, folder)
        assert sorted(f"{fault}" for fault in caught.value.faults) == [
            f"vectors {folder}/{TestDamage.NAME}.safetensors: expected a tensor tokens, got discarded, kept, scores",
            f"vectors {folder}: expected one output of {topk}, got {topk}.safetensors and {topk}.npy",
        ]
        save_file({}, folder / f"{TestDamage.NAME}.safetensors")
        with pytest.raises(VectorsError, match="expected a tensor tokens, got no tensor"):
            judge_outputs(vectors, folder)
        for nowhere in (few / "nowhere", tmp_path / "empty"):
            with pytest.raises(VectorsError, match=r"expected outputs, each named as its case, got none$"):
                judge_outputs(vectors, nowhere)


class TestCommand:
    """``pomt-ref vectors``: what it prints, and how it ends."""

    def test_write_and_verify(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(writing, "release", lambda seed: [next(release(seed))])
        monkeypatch.setattr(completeness, "listed", lambda seed: [next(listed(seed))])
        folder = tmp_path / "set"
        assert main(["vectors", "write", f"{folder}", "--seed", "3"]) == 0
        assert capsys.readouterr().out == f"{folder}: 1 cases written, seed 3\n"
        assert main(["vectors", "verify", f"{folder}"]) == 0
        about = f"release 4, seed 3, pomt_ref {pomt_ref.__version__}"
        assert capsys.readouterr().out == f"{folder}: 1 cases, complete and right ({about})\n"
        assert manifest(folder)["generator"] == f"pomt_ref {pomt_ref.__version__}"

    def test_every_fault_is_a_line_and_the_status_two(self, few: Path, capsys: pytest.CaptureFixture[str]) -> None:
        document = manifest(few)
        del document["seed"], document["format"]
        write_manifest(few, document)
        for action in ("verify", "show"):
            assert main(["vectors", action, f"{few}"]) == 2
            assert capsys.readouterr().err.splitlines() == [
                f'pomt-ref vectors {few}/manifest.json: expected a field "format", got none',
                f'pomt-ref vectors {few}/manifest.json: expected a field "seed", got none',
            ]
        (few / MANIFEST).unlink()
        assert main(["vectors", "write", f"{few}"]) == 2
        assert "got a folder that holds " in capsys.readouterr().err

    def test_outputs_are_shown_by_family_and_dtype(
        self, few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        outputs = tmp_path / "outputs"
        write_outputs(few, outputs, "docs.examples.mean_over_heads:prune")
        assert main(["vectors", "verify", f"{few}", "--outputs", f"{outputs}", "--method", "pomt"]) == 1
        out = capsys.readouterr().out
        assert "│ ties                │ 1 WRONG │          │ 1 WRONG │         │" in out
        assert (
            "pomt-ties-float16-1: POMT-RANK-1 wrong: sample 0 keeps token 4 (score 0.999821595) before token 2" in out
        )
        assert out.splitlines()[-1].startswith("5 cases: ")
        assert main(["vectors", "verify", f"{few}", "--outputs", f"{outputs}", "--dtype", "bfloat16"]) == 1
        assert capsys.readouterr().out.splitlines()[-1].startswith("1 cases: 1 wrong; worst accepted error 0.00")

    def test_missing_outputs_and_divergence_are_told(
        self, few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        outputs = tmp_path / "outputs"
        write_outputs(few, outputs, "pomt_ref:prune")
        tensors = load_file(outputs / f"{TestDamage.NAME}.safetensors")
        save_file(tensors | {"scores": tensors["scores"] + 1}, outputs / f"{TestDamage.NAME}.safetensors")
        arguments = ["vectors", "verify", f"{few}", "--outputs", f"{outputs}", "--profile", "float32"]
        assert main(arguments) == 1
        out = capsys.readouterr().out
        assert "\n  first divergence: scores (POMT-SCORE-1): scores[0, " in out
        assert "\nmissing: topk-ordinary-float32-1, evit-ordinary-float16-1\n" in out
        for path in sorted(outputs.iterdir())[1:]:
            path.unlink()
        assert main(arguments) == 1
        assert " and 3 more\n" in capsys.readouterr().out

    @pytest.mark.long
    def test_names_are_whole_on_a_terminal_of_80_columns(
        self, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "80")
        assert main(["vectors", "show", str(folder)]) == 0
        shown = capsys.readouterr().out
        assert {entry["id"] for entry in manifest(folder)["cases"]} <= set(shown.split())
        assert max(map(len, shown.splitlines())) <= 80
        assert shown.splitlines()[-1] == "360 cases · release 4, seed 0 · pomt_ref 0.1.0"

    def test_list_and_case_are_shown(self, folder: Path, few: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["vectors", "show", f"{few}"]) == 0
        out = capsys.readouterr().out
        assert "pomt-contrasting-samples-float32-1" in out
        assert out.splitlines()[-1] == "7 cases · release 4, seed 0 · pomt_ref 0.1.0"
        assert main(["vectors", "show", f"{folder}", "pomt-ordinary-float16-22"]) == 0
        out = capsys.readouterr().out
        assert "family: ordinary" in out
        assert out.count("…") == 2
        assert "mean row of the 68 discarded: " in out
        assert main(["vectors", "show", f"{folder}", "pomt-ordinary-float16-2"]) == 0
        assert "sample 0: nothing is kept: the kept set is forced" in capsys.readouterr().out
        assert main(["vectors", "show", f"{folder}", "topk-balanced-float16-1"]) == 0
        assert "row of the" not in capsys.readouterr().out
        assert main(["vectors", "show", f"{folder}", "evit-ties-float16-1"]) == 0
        assert "fused row of the" in capsys.readouterr().out

    def test_long_kept_and_short_kept_are_shown_to_their_ends(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        names = [each["id"] for each in manifest(folder)["cases"] if each["shape"]["tokens"] == 306]
        assert main(["vectors", "show", f"{folder}", *names]) == 0
        assert capsys.readouterr().out.count("…") == 1

    def test_case_that_is_none_and_one_that_is_wrong(self, few: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["vectors", "show", f"{few}", "nothing"]) == 2
        assert capsys.readouterr().err == f"pomt-ref vectors show: expected a case of {few}/{MANIFEST}, got nothing\n"
        rewrite(few, TestDamage.NAME, kept=torch.full((1, 4), 99))
        assert main(["vectors", "show", f"{few}", TestDamage.NAME]) == 2
        assert "kept[0, 0]: expected 2, as the oracle says, got 99" in capsys.readouterr().err

    def test_words_of_a_cut(self, whole: VectorSet) -> None:
        told = {cut_line(cut).rpartition(" ")[2] for each in whole.vectors for cut in each.expected.cuts}
        assert told == {"forced", "ambiguous"}


class TestReader:
    """The reader in JavaScript: under sixty lines, on its own, and its outputs are accepted."""

    READER: Final = ROOT / "docs" / "examples" / "vectors.mjs"

    def test_it_is_short_and_needs_nothing(self) -> None:
        source = self.READER.read_text(encoding="utf-8").splitlines()
        assert len(source) < 60
        assert [line for line in source if "import" in line] == [
            'import { mkdirSync, readFileSync, writeFileSync } from "node:fs";'
        ]

    @pytest.mark.long
    @pytest.mark.skipif(shutil.which("node") is None, reason="no node on this machine")
    def test_its_outputs_are_accepted(self, folder: Path, whole: VectorSet, tmp_path: Path) -> None:
        node = shutil.which("node")
        assert node is not None
        subprocess.run([node, self.READER, folder, tmp_path / "outputs"], check=True, timeout=60)
        found = judge_outputs(whole.vectors, tmp_path / "outputs")
        assert {each.result for each in found} <= {"identical order", "same kept set", "admissible"}


class TestPage:
    """What docs/vectors.md says of a set is so."""

    PAGE: Final = (ROOT / "docs" / "vectors.md").read_text(encoding="utf-8")

    def test_every_field_tensor_and_verdict_is_explained(self) -> None:
        words = set(re.findall(r"`(\w+)`", self.PAGE))
        fields = {name for schema in subschemas(json.loads(schema_text())) for name in schema.get("properties", {})}
        assert fields | set(AXES) <= words
        assert all(f"\n| {result} |" in self.PAGE for result in RESULTS)

    def test_figures_are_those_of_the_release(self, folder: Path) -> None:
        sizes = [path.stat().st_size for path in folder.iterdir()]
        assert f"It is {len(sizes) - 2}\nfiles and {sum(sizes) / 1e6:.1f} MB." in self.PAGE

    def test_shown_case_is_as_shown(
        self, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "80")
        assert main(["vectors", "show", f"{folder}", "pomt-one-hot-attention-bfloat16-1"]) == 0
        shown = "\n".join(line.rstrip() for line in capsys.readouterr().out.splitlines())
        assert f"vectors show vectors pomt-one-hot-attention-bfloat16-1\n{shown}\n```" in self.PAGE
