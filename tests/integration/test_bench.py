"""The bench measures what it says: turns, ratios within a turn, peaks of memory, goals, and what it writes."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from time import sleep
from typing import Final, cast

import pytest
import torch

from pomt_ref import Pruned
from tests.bench import around, floors, layers, memory, models, peer, subjects, table
from tests.bench.__main__ import ALLOCATORS
from tests.bench.result import Figure
from tests.bench.timing import Spread, Thunk, by_turns, ratio, spread_of

FIGURE: Final = Figure("time / peer", "N = 7", "default", "ratio", Spread(0.4, 0.3, 0.5, 9), 0.45)


class TestTiming:
    """Every contestant has its turn once a round, and ratios are taken within a round."""

    def test_turns_are_turned(self) -> None:
        seen: list[str] = []
        contestants: dict[str, Thunk] = {name: lambda name=name: seen.append(name) for name in "abc"}  # type: ignore[misc]
        seconds = by_turns(contestants, rounds=2)
        assert "".join(seen) == "abc" + "bca" + "cab"
        assert {name: len(each) for name, each in seconds.items()} == {"a": 2, "b": 2, "c": 2}

    def test_time_is_that_of_one_call(self) -> None:
        seconds = by_turns({"slow": lambda: sleep(0.02), "quick": lambda: None}, rounds=3, repeat=2)
        assert 0.02 <= min(seconds["slow"]) < 0.1
        assert ratio(seconds["slow"], seconds["quick"]).median > 10

    def test_ratio_is_taken_within_rounds(self) -> None:
        assert ratio([1.0, 20.0, 3.0], [2.0, 10.0, 3.0]) == Spread(1.0, 0.75, 1.5, 3)
        assert spread_of([5.0]) == Spread(5.0, 5.0, 5.0, 1)
        assert Spread(1.0, 0.5, 2.0, 3).times(4) == Spread(4.0, 2.0, 8.0, 3)


class TestMemory:
    """Extra memory is the peak beyond what there was, of a process of its own."""

    @pytest.mark.skipif(sys.platform != "linux", reason="the peak is read as Linux counts it")
    def test_peak_is_that_of_the_call(self) -> None:
        size = 64 * 2**20
        memory.peak_of(lambda: torch.zeros(1))  # what is loaded on first use
        assert size <= memory.peak_of(lambda: torch.zeros(size, dtype=torch.uint8)) < 1.1 * size
        assert memory.peak_of(lambda: None) < size / 8

    @pytest.mark.skipif(sys.platform != "linux", reason="as above")
    def test_streaming_holds_no_matrix(self) -> None:
        matrix = 4 * 1024 * 1024 * 4
        assert memory.extra_memory("peer", tokens=1024, heads=4) > 2 * matrix
        assert memory.extra_memory("streaming", tokens=1024, heads=4) < matrix


class TestSubjects:
    """What is compared computes the same."""

    def test_peer_and_streaming_are_the_same_step(self) -> None:
        x, q, k, v = subjects.layer(2, 3, 60, seed=1)
        theirs, tokens = peer.whole_step(x, q, k, v, prefix=1, keep=subjects.keep_of(x))
        out, step = cast("tuple[torch.Tensor, Pruned]", subjects.by_streaming(x, q, k, v))
        assert torch.allclose(out, theirs, atol=1e-6)
        assert torch.equal(step.tokens, tokens)
        assert torch.allclose(cast("torch.Tensor", subjects.flash(x, q, k, v)), theirs, atol=1e-6)
        by_peer, _ = cast("tuple[torch.Tensor, torch.Tensor]", subjects.by_peer(x, q, k, v))
        assert torch.equal(by_peer, theirs)

    def test_parts_of_the_floor_are_those_of_the_pass(self) -> None:
        assert list(floors.parts(20, dtype=torch.float32)) == [
            *("queries and keys", "exponentials", "softmax", "attention and values", "maximum over heads")
        ]
        for part in floors.parts(20, dtype=torch.float32).values():
            assert isinstance(part(), torch.Tensor)
        assert floors.blocks(197, 12, dtype=torch.float32) == 12
        assert floors.blocks(16384, 12, dtype=torch.float32) == 12 * 16384 / 256

    def test_figures_of_a_small_layer(self) -> None:
        plan = replace(layers.SHORT, rounds=1, long=(40,), step=((2, 30, 8),))
        figures = layers.measure(plan, "retained")
        assert len({each.key for each in figures}) == len(figures)
        assert all(each.spread.median > 0 for each in figures)
        assert {each.group for each in figures if each.goal} == {
            "time / peer", "with metric / without", "time / floor", "gather and mean / peer", "step from scores / peer",
        }  # fmt: skip

    def test_figures_around_a_layer(self) -> None:
        figures = [*around.checking(1, 8), *around.boundary(1), *around.start_up(1)]
        assert {each.group for each in figures if each.goal} == {
            "checking / arrays drawn", "boundary / none", "start-up / import torch",
        }  # fmt: skip
        assert set(ALLOCATORS) == {"default", "retained"}


class TestTable:
    """What a run leaves behind: JSON that reads back, a table with goals and the last result, a picture."""

    def test_goals(self) -> None:
        assert FIGURE.reached
        assert not replace(FIGURE, goal=0.35).reached
        assert not replace(FIGURE, at_least=True).reached
        assert replace(FIGURE, goal=None).reached is None

    def test_line_shows_goal_and_last_result(self) -> None:
        before = {FIGURE.key: replace(FIGURE, spread=Spread(0.2, 0.2, 0.2, 9))}
        assert table.line(FIGURE, before) == "| N = 7 | default | 0.40 | 0.30 to 0.50 | 9 | ≤ 0.45 | yes | 2.00 |"
        other = Figure("memory", "N = 7", "", "MiB", Spread(120.0, 120.0, 120.0, 1), 100)
        assert table.line(other, before) == "| N = 7 |  | 120 MiB |  | 1 | ≤ 100 | **no** |  |"
        fast = Figure("rate", "seeds", "", "cases/s", Spread(42.0, 40.0, 44.0, 3), 30, at_least=True)
        assert table.line(fast, {}) == "| seeds |  | 42.0 cases/s | 40.0 to 44.0 | 3 | ≥ 30 | yes |  |"

    def test_run_is_written_and_read_again(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        page, picture = tmp_path / "page.md", tmp_path / "picture.png"
        parts = {name: replace(part, numbers=tmp_path / f"{name}.json") for name, part in table.PARTS.items()}
        for name, value in (("PAGE", page), ("PICTURE", picture), ("PARTS", parts)):
            monkeypatch.setattr(table, name, value)
        layer, model = parts["layer"], parts["model"]
        page.write_text(f"# By hand\n\n{layer.mark}old", encoding="utf-8")
        extra = Figure("extra memory", "streaming, N = 7", "", "MiB", Spread(3.0, 3.0, 3.0, 1))
        table.write("layer", [FIGURE, extra], [FIGURE], "2026-11-25")
        assert table.read(layer.numbers) == [FIGURE, extra]
        assert json.loads(layer.numbers.read_text(encoding="utf-8"))["machine"]["threads"] == "1"
        first = page.read_text(encoding="utf-8")
        assert first.startswith(f"# By hand\n\n{layer.mark}\n## Measured on 2026-11-25\n")
        assert "| N = 7 | default | 0.40 | 0.30 to 0.50 | 9 | ≤ 0.45 | yes | 1.00 |" in first
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert table.read(tmp_path / "none.json") == []
        picture.unlink()
        table.write("model", [FIGURE], [], "2026-11-26")
        table.write("model", [extra], [], "2026-11-27")
        text = page.read_text(encoding="utf-8")
        assert text.startswith(f"{first}\n{model.mark}\n## A model, measured on 2026-11-27\n"), "the rest stays"
        assert "2026-11-26" not in text
        assert table.read(model.numbers) == [extra]
        assert not picture.exists()
        table.write("layer", [FIGURE, extra], [FIGURE], "2026-11-25")
        assert page.read_text(encoding="utf-8") == text


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read as Linux counts it")
class TestModels:
    """A whole model: unpatched, patched, and patched without the matrix."""

    def test_figures_of_a_small_model(self) -> None:
        figures = models.measure(replace(models.SHORT, rounds=1))
        assert len({each.key for each in figures}) == len(figures) == 16
        assert all(each.spread.median > 0 for each in figures if each.unit == "ms")
        assert models.Size().words == "N = 1370, R = 342 in block 6 of 24"

    def test_matrix_is_what_streaming_saves(self) -> None:
        size = models.Size(image=392, channels=64, depth=2, heads=8)
        matrix = 8 * 785**2 * 4
        assert models.extra_memory(size, "patched", "returned") > 2 * matrix
        assert models.extra_memory(size, "patched, streaming", "returned") < matrix / 2

    def test_ways_share_their_weights_and_nothing_else(self) -> None:
        size = models.SHORT
        model, image = models.plain_model(size), models.image_for(size)
        with torch.inference_mode():
            whole = model(image)
            for way in models.WAYS:
                twin = models.with_weights_of(model)
                models.patched_by(way, twin, size)
                own, shared = list(twin.parameters()), list(model.parameters())
                assert all(one is other for one, other in zip(own, shared, strict=True))
                assert torch.equal(twin(image), whole) == (way == "unpatched")
            assert torch.equal(model(image), whole)
