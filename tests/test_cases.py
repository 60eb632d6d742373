"""Cases, the families they are made by, the strategies that draw them, and tensors captured from a real model."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Final, get_args

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample
from hypothesis.vendor.pretty import pretty
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch

from pomt_ref.errors import PomtError, ShapeError, ValuesError
from pomt_ref.testing import FAMILIES, LAWS, Captured, Case, Dtype, Law, Shape, build_case, cases, shapes
from pomt_ref.testing.captured import load_captured
from pomt_ref.testing.cases import make_case
from pomt_ref.testing.family import softmax
from pomt_ref.testing.formats import representable
from pomt_ref.testing.strategies import LARGE, PREFIXES, SMALL

DTYPES: Final[tuple[Dtype, ...]] = get_args(Dtype)
PREFIX: Final = {"prefix": "1"}
SHAPE: Final = Shape(batch=2, heads=3, tokens=7, features=4, channels=5, prefix=2, keep=2)


def law_of(clause: str, method: str = "pomt") -> Law:
    """The law of a clause."""
    return next(law for law in LAWS if (law.clause, law.method) == (clause, method))


class TestCase:
    """A case: the tensors of one pruning step, made from a family, a shape and a seed, and nothing else."""

    def test_hypothesis_tells_no_tensors(self) -> None:
        """Of a failing case it would print them all, and warn that this is expensive."""
        case = build_case(
            "ordinary", seed=0, dtype="float32", batch=1, heads=1, tokens=3, features=1, channels=1, prefix=1, keep=1
        )
        assert pretty(case) == repr(case)

    def test_shape_counts_patches_and_discarded(self) -> None:
        assert (SHAPE.patches, SHAPE.discarded) == (5, 3)

    def test_case_is_told_in_one_line(self) -> None:
        told = "batch=2 heads=3 tokens=7 features=4 channels=5 prefix=2 keep=2 seed=11 dtype=float16 (family: ties)"
        assert str(FAMILIES["ties"].build(SHAPE, seed=11, dtype="float16")) == told

    def test_case_is_made_again_from_what_is_told(self) -> None:
        case = FAMILIES["ordinary"].build(SHAPE, seed=3, dtype="bfloat16")
        again = build_case(
            "ordinary", seed=3, dtype="bfloat16", batch=2, heads=3, tokens=7, features=4, channels=5, prefix=2, keep=2
        )
        assert again.shape == case.shape
        for name in ("x", "attn", "v"):
            assert getattr(again, name).tobytes() == getattr(case, name).tobytes()

    def test_case_keeps_its_tensors_with_another_count(self) -> None:
        case = FAMILIES["ordinary"].build(SHAPE, seed=3, dtype="float32")
        assert case.keeping(0).shape.keep == 0
        assert case.keeping(0).x is case.x

    def test_case_of_one_sample_is_a_batch_of_one(self) -> None:
        case = FAMILIES["ordinary"].build(SHAPE, seed=3, dtype="float32")
        alone = case.sample(1)
        assert alone.shape.batch == 1
        assert np.array_equal(alone.attn[0], case.attn[1])
        assert np.array_equal(alone.patch_rows(0), case.x[1, 2:])

    def test_case_having_other_tensors_has_their_shape(self) -> None:
        case = FAMILIES["ordinary"].build(SHAPE, seed=3, dtype="float32")
        doubled = case.having(attn=np.repeat(case.attn, 2, axis=1), v=np.repeat(case.v, 2, axis=1))
        assert doubled.shape.heads == 6
        assert doubled.x is case.x
        assert case.having(x=case.x + 1).attn is case.attn

    def test_case_is_defined_if_patches_attend_to_patches(self) -> None:
        """M = 0: all patch-to-patch attention of the batch zero."""
        case = FAMILIES["ordinary"].build(SHAPE, seed=3, dtype="float32")
        blind = np.zeros_like(case.attn)
        blind[..., 0] = 1.0
        assert case.defined
        assert not case.having(attn=blind).defined

    def test_make_case_rounds_to_the_dtype(self) -> None:
        shape = Shape(batch=1, heads=1, tokens=2, features=1, channels=1, prefix=0, keep=1)
        third = np.full((1, 1, 2, 2), 1 / 3)
        x, v = third[0, :, :, :1], third[..., :1]
        case = make_case("by hand", shape, seed=0, dtype="float16", x=x, attn=third, v=v)
        assert {float(value) for value in (case.x[0, 0, 0], case.attn[0, 0, 0, 0], case.v[0, 0, 0, 0])} == {
            float(np.float16(1 / 3))
        }


class TestStrategies:
    """Lengths straddle algorithm switches and index widths; T is often an extreme one."""

    @settings(max_examples=60)
    @given(st.data(), st.sampled_from(["small", "mixed"]), st.integers(0, 1))
    def test_shapes_are_valid(self, data: st.DataObject, sizes: str, least_prefix: int) -> None:
        shape = data.draw(shapes(sizes="mixed" if sizes == "mixed" else "small", least_prefix=least_prefix))
        assert 0 <= shape.keep <= shape.patches - 1
        assert shape.prefix >= least_prefix
        assert shape.prefix in PREFIXES
        assert shape.patches in (*SMALL, *LARGE)
        assert sizes == "mixed" or shape.patches in SMALL

    @settings(max_examples=20)
    @given(shapes(sizes="mixed", max_patches=5))
    def test_shapes_have_no_more_patches_than_asked(self, shape: Shape) -> None:
        assert shape.patches <= 5

    @pytest.mark.long
    @pytest.mark.parametrize("patches", [1, 17, 300])
    def test_shapes_reach_sizes_on_both_sides_of_a_switch(self, patches: int) -> None:
        found = find(
            shapes(sizes="mixed"), lambda shape: shape.patches == patches, settings=settings(max_examples=2000)
        )
        assert found.patches == patches

    def test_shapes_of_small_size_never_are_large(self) -> None:
        with pytest.raises(NoSuchExample):
            find(shapes(), lambda shape: shape.patches > max(SMALL), settings=settings(max_examples=100))

    @pytest.mark.long
    @pytest.mark.parametrize("law", LAWS, ids=lambda law: f"{law.clause}-{law.method}")
    def test_cases_are_of_the_laws_families(self, law: Law) -> None:
        @settings(max_examples=4, database=None)
        @given(cases(law, dtype="float16"))
        def drawn(case: Case) -> None:
            assert case.family in law.families
            assert case.dtype == "float16"
            assert law.method == "pomt" or case.shape.prefix >= 1

        drawn()

    @pytest.mark.long
    def test_cases_do_not_depend_on_what_else_is_loaded(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Hypothesis prefers numbers from the source of loaded modules; the same seed draws the same all the same."""

        def drawn() -> list[str]:
            told: list[str] = []

            @hypothesis.seed(3)
            @settings(max_examples=250, database=None)
            @given(cases(law_of("POMT-PRUNE-2"), dtype="float32"))
            def tell(case: Case) -> None:
                told.append(str(case))

            tell()
            return told

        before = drawn()
        numbers = ", ".join(str(number) for number in range(100, 65536, 1999))
        (tmp_path / "numbers_of_a_subject.py").write_text(f"TABLE = [{numbers}]")
        monkeypatch.syspath_prepend(tmp_path)
        import_module("numbers_of_a_subject")
        assert drawn() == before


def stored(path: Path, tensors: Mapping[str, np.ndarray] | None = None, *, prefix: Mapping[str, str] = PREFIX) -> Path:
    """A file of three samples, two heads, five tokens; tensors given replace its own, empty ones drop it."""
    random = np.random.default_rng(0)
    attn = softmax(random.normal(size=(3, 2, 5, 5)))
    own = {"x": random.normal(size=(3, 5, 4)), "attn": attn, "v": random.normal(size=(3, 2, 5, 3))}
    arrays = {name: array.astype(np.float32) for name, array in {**own, **(tensors or {})}.items() if array.size}
    save_file(arrays, path, metadata=dict(prefix))
    return path


class TestCaptured:
    """Captured tensors: the x, attn and v of a real model, as one more input family."""

    @pytest.fixture
    def captured(self, tmp_path: Path) -> Captured:
        """Three samples."""
        return load_captured(stored(tmp_path / "layer.safetensors"))

    def test_load_captured_reads_tensors_prefix_and_name(self, captured: Captured) -> None:
        assert captured.name == "captured: layer.safetensors"
        assert captured.prefix == 1
        assert (captured.x.shape, captured.attn.shape, captured.v.shape) == ((3, 5, 4), (3, 2, 5, 5), (3, 2, 5, 3))
        assert {array.dtype for array in (captured.x, captured.attn, captured.v)} == {np.dtype(np.float64)}

    def test_captured_case_takes_consecutive_samples_round_the_end(self, captured: Captured) -> None:
        case = captured.build(batch=2, keep=1, seed=5, dtype="float16")
        assert (case.family, case.dtype, case.seed) == (captured.name, "float16", 5)
        assert case.shape == Shape(batch=2, heads=2, tokens=5, features=3, channels=4, prefix=1, keep=1)
        assert np.array_equal(case.x, representable(captured.x[[2, 0]], "float16"))

    def test_captured_case_keeps_at_most_all_but_one_patch(self, captured: Captured) -> None:
        assert captured.build(batch=1, keep=300, seed=0, dtype="float32").shape.keep == 3

    @settings(max_examples=10, database=None)
    @given(st.data())
    def test_cases_with_captured_tensors_are_captured_ones(self, data: st.DataObject) -> None:
        random = np.random.default_rng(0)
        x, attn, v = random.normal(size=(2, 4, 3)), np.full((2, 1, 4, 4), 0.25), random.normal(size=(2, 1, 4, 2))
        captured = Captured(Path("some.safetensors"), 1, x, attn, v)
        case = data.draw(cases(law_of("POMT-RANK-1"), dtype="float64", captured=captured))
        assert case.family == "captured: some.safetensors"
        assert all(row.tobytes() in {own.tobytes() for own in x} for row in case.x)

    def refused(self, path: Path, kind: type[PomtError]) -> str:
        """What is said of a file; always one line that names it."""
        with pytest.raises(kind) as caught:
            load_captured(path)
        message = str(caught.value)
        assert str(path) in message
        assert "\n" not in message
        return message.replace(str(path), "FILE")

    def test_load_captured_tells_a_missing_file(self, tmp_path: Path) -> None:
        assert self.refused(tmp_path / "none.safetensors", ValuesError).startswith(
            "load_captured: expected a safetensors file with the tensors x, attn and v in float16, float32 or float64 "
            "(POMT-PRUNE-1), got FILE: "
        )

    @pytest.mark.parametrize("content", [b"", b"no tensors here", b"\x08\0\0\0\0\0\0\0not json"])
    def test_load_captured_tells_a_damaged_file(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "damaged.safetensors"
        path.write_bytes(content)
        assert "expected a safetensors file with the tensors x, attn and v" in self.refused(path, ValuesError)

    @pytest.mark.parametrize("name", ["x", "attn", "v"])
    def test_load_captured_tells_a_missing_tensor(self, tmp_path: Path, name: str) -> None:
        path = stored(tmp_path / "layer.safetensors", {name: np.empty(0)})
        assert name in self.refused(path, ValuesError)

    def test_load_captured_tells_a_dtype_that_numpy_lacks(self, tmp_path: Path) -> None:
        path = tmp_path / "brain.safetensors"
        brain = {name: torch.ones(2, 2, dtype=torch.bfloat16) for name in ("x", "attn", "v")}
        save_torch(brain, path, metadata={"prefix": "1"})
        assert "in float16, float32 or float64" in self.refused(path, ValuesError)

    @pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.int64, torch.bool, torch.complex64])
    def test_load_captured_tells_a_dtype_that_is_none_of_a_layer(self, tmp_path: Path, dtype: torch.dtype) -> None:
        path = tmp_path / "odd.safetensors"
        save_torch({name: torch.ones(2, 2).to(dtype) for name in ("x", "attn", "v")}, path, metadata={"prefix": "1"})
        assert "in float16, float32 or float64" in self.refused(path, ValuesError)

    def test_load_captured_tells_a_sample_without_patch_attention(self, tmp_path: Path) -> None:
        """POMT-ATT-2: alone it would have M = 0, of which the specification says nothing."""
        attn = np.full((3, 2, 5, 5), 0.2)
        attn[1] = np.eye(5)[0]
        message = self.refused(stored(tmp_path / "layer.safetensors", {"attn": attn}), ValuesError)
        assert message == (
            "load_captured: expected some patch-to-patch attention above zero in every sample (POMT-ATT-2), "
            "got FILE: none in sample 1"
        )

    def test_load_captured_tells_sums_beyond_float32(self, tmp_path: Path) -> None:
        path = stored(tmp_path / "layer.safetensors", {"x": np.full((3, 5, 4), 3e38)})
        assert self.refused(path, ValuesError) == (
            "load_captured: expected sums over tokens that float32 holds (FLOAT-2), got FILE: larger ones"
        )

    @pytest.mark.parametrize(
        "metadata", [{"samples": "3"}, {"prefix": ""}, {"prefix": "-1"}, {"prefix": "1234567890"}, {"prefix": "²"}]
    )
    def test_load_captured_tells_a_missing_prefix(self, tmp_path: Path, metadata: dict[str, str]) -> None:
        path = stored(tmp_path / "layer.safetensors", prefix=metadata)
        message = f"load_captured: expected metadata prefix, an integer (POMT-PRUNE-1), got FILE: {metadata}"
        assert self.refused(path, ValuesError) == message

    def test_load_captured_tells_a_file_without_metadata(self, tmp_path: Path) -> None:
        path = tmp_path / "bare.safetensors"
        save_file({name: np.ones((1, 1, 1, 1), np.float32) for name in ("x", "attn", "v")}, path)
        assert "metadata prefix, an integer" in self.refused(path, ValuesError)

    @pytest.mark.parametrize(
        ("name", "shape"),
        [
            ("x", (3, 5)),
            ("x", (3, 6, 4)),
            ("x", (2, 5, 4)),
            ("attn", (3, 5, 5)),
            ("attn", (3, 2, 5, 4)),
            ("v", (3, 1, 5, 3)),
            ("v", (3, 2, 4, 3)),
        ],
    )
    def test_load_captured_tells_shapes_that_disagree(self, tmp_path: Path, name: str, shape: tuple[int, ...]) -> None:
        message = self.refused(stored(tmp_path / "layer.safetensors", {name: np.ones(shape)}), ShapeError)
        assert message.startswith(
            "load_captured: expected x (samples, tokens, channels), attn (samples, heads, tokens, tokens), "
            "v (samples, heads, tokens, features) (POMT-PRUNE-1), got FILE: x "
        )
        assert f"{name} {shape}" in message

    def test_load_captured_tells_a_prefix_that_leaves_no_patch(self, tmp_path: Path) -> None:
        message = self.refused(stored(tmp_path / "layer.safetensors", prefix={"prefix": "5"}), ShapeError)
        assert message.endswith("got FILE: x (3, 5, 4), attn (3, 2, 5, 5), v (3, 2, 5, 3), prefix 5")

    def test_load_captured_tells_an_empty_tensor(self, tmp_path: Path) -> None:
        path = tmp_path / "empty.safetensors"
        shapes_of = {"x": (3, 5, 0), "attn": (3, 2, 5, 5), "v": (3, 2, 5, 3)}
        save_file({name: np.ones(shape, np.float32) for name, shape in shapes_of.items()}, path, {"prefix": "1"})
        assert "x (3, 5, 0)" in self.refused(path, ShapeError)

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    @pytest.mark.parametrize("name", ["x", "attn", "v"])
    def test_load_captured_tells_numbers_that_are_none(self, tmp_path: Path, name: str, value: float) -> None:
        shapes_of = {"x": (3, 5, 4), "attn": (3, 2, 5, 5), "v": (3, 2, 5, 3)}
        path = stored(tmp_path / "layer.safetensors", {name: np.full(shapes_of[name], value)})
        assert self.refused(path, ValuesError) == (
            "load_captured: expected finite tensors (POMT-PRUNE-1), got FILE: a NaN or an infinity"
        )

    @pytest.mark.parametrize("row", [[0.5, 0.5, 0.5, -0.5, 0.0], [0.5, 0.0, 0.0, 0.0, 0.0], [3.0, 1.0, 0.0, 1.0, 2.0]])
    def test_load_captured_tells_attention_before_softmax(self, tmp_path: Path, row: list[float]) -> None:
        path = stored(tmp_path / "layer.safetensors", {"attn": np.broadcast_to(row, (3, 2, 5, 5)).copy()})
        assert self.refused(path, ValuesError).startswith(
            "load_captured: expected attn after softmax: no negative entry, rows that sum to 1 (POMT-ATT-1), got FILE: "
        )
