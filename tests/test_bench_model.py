"""`pomt-ref bench-model`: methods in interleaved rounds, ratios of one round, accuracy and agreement."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
import torch
from PIL import Image
from rich.console import Console
from torch import nn

from pomt_ref.cli import main
from pomt_ref.errors import OptionError
from pomt_ref.vision import comparing
from pomt_ref.vision.comparing import WHOLE, Comparison, Pruning, compare
from pomt_ref.vision.digits import load_digits
from pomt_ref.vision.images import Images
from pomt_ref.vision.measurements import Measurements
from pomt_ref.vision.models import Model, load
from pomt_ref.vision.prunings import prunings
from pomt_ref.vision.reports import comparison_table


@pytest.fixture(scope="module")
def digits() -> Model:
    """The packaged model."""
    return load("digits")


@pytest.fixture(scope="module")
def few() -> Images:
    """Some images of digits, with labels."""
    found = load_digits("test")
    return Images(ready=(found.images[:128], found.labels[:128]))


class TestMethods:
    """What each method does to the packaged model."""

    def test_every_method_shortens_and_leaves_nothing_behind(self, digits: Model) -> None:
        pixels = digits.random_images(3)
        whole = digits.logits(pixels)
        methods = prunings(digits, remove=8, layer=None, seed=0)
        assert list(methods) == ["none", "POMT", "Top-K", "EViT", "random"]
        for name, pruning in methods.items():
            with pruning():
                assert torch.equal(digits.logits(pixels), whole) == (name == "none")
            assert torch.equal(digits.logits(pixels), whole)

    def test_layer_decides(self, digits: Model) -> None:
        pixels = digits.random_images(3)
        found = []
        for layer in (0, 1, None):
            with prunings(digits, remove=8, layer=layer, seed=0)["POMT"]():
                found.append(digits.logits(pixels))
        assert torch.equal(found[1], found[2]), "a quarter of four blocks is the second"
        assert not torch.equal(found[0], found[1])


class TestCompare:
    """Rounds, ratios and opinions."""

    def run(self, model: Model, images: Images, folder: Path, *, rounds: int = 2) -> Comparison:
        methods = prunings(model, remove=8, layer=None, seed=0)
        return compare(model, images, Measurements(folder, {}), methods, remove=8, batch=32, rounds=rounds)

    @pytest.mark.long
    def test_rows_say_what_pruning_costs(self, digits: Model, few: Images, tmp_path: Path) -> None:
        found = self.run(digits, few, tmp_path)
        whole, pomt, *others = found.rows
        assert (whole.method, whole.tokens, whole.agreement, whole.ratio.median) == (WHOLE, 17, 1.0, 1.0)
        assert (pomt.tokens, [row.tokens for row in others]) == (9, [9, 9, 9])
        assert whole.accuracy is not None
        assert pomt.accuracy is not None
        assert pomt.accuracy > 0.9
        assert found.images == 128
        assert 0.9 < pomt.agreement <= 1

    @pytest.mark.long
    def test_rounds_rotate(self, digits: Model, few: Images, tmp_path: Path) -> None:
        self.run(digits, few, tmp_path)
        order = [line.split(",")[1] for line in (tmp_path / "measurements.csv").read_text().splitlines()[1:11]]
        assert order == ["none", "POMT", "Top-K", "EViT", "random", "POMT", "Top-K", "EViT", "random", "none"]

    @pytest.mark.long
    def test_nothing_is_measured_twice(self, digits: Model, few: Images, tmp_path: Path) -> None:
        first = self.run(digits, few, tmp_path)
        before = (tmp_path / "measurements.csv").read_text()
        assert self.run(digits, few, tmp_path) == first
        assert (tmp_path / "measurements.csv").read_text() == before

    def test_round_that_was_stopped_does_not_count(self, digits: Model, few: Images, tmp_path: Path) -> None:
        """Killed in its second round, and asked for one only."""
        self.run(digits, few, tmp_path, rounds=1)
        kept = Measurements(tmp_path, {})
        kept.add("latency", "POMT", 1, 1e9)
        kept.add("latency", "Top-K", 1, 1e9)
        found = self.run(digits, few, tmp_path, rounds=1)
        assert [row.latency.runs for row in found.rows] == [row.ratio.runs for row in found.rows] == [1] * 5
        assert all(row.latency.high < 1e9 for row in found.rows)

    def test_ratio_is_that_of_one_round(
        self, digits: Model, few: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A machine that is twice as slow in every second round changes no ratio."""
        slow = [1.0]
        calls = iter(range(1000))

        def told(_run: object, *, device: torch.device) -> float:
            assert device.type == "cpu"
            place = next(calls)
            slow[0] = 2.0 if (place // 2) % 2 else 1.0
            return slow[0] * (0.5 if running else 1.0)

        running: list[str] = []

        @contextmanager
        def half() -> Iterator[None]:
            running.append("half")
            yield
            running.pop()

        monkeypatch.setattr(comparing, "seconds", told)
        methods: dict[str, Pruning] = {WHOLE: nullcontext, "half": half}
        found = compare(digits, few, Measurements(tmp_path, {}), methods, remove=1, batch=64, rounds=6)
        assert found.rows[1].ratio.median == found.rows[1].ratio.low == found.rows[1].ratio.high == 0.5
        assert found.rows[1].latency.low < found.rows[1].latency.high

    @pytest.mark.long
    def test_without_labels_there_is_no_accuracy(self, digits: Model, few: Images, tmp_path: Path) -> None:
        found = self.run(digits, Images(ready=few.ready, labelled=False), tmp_path, rounds=1)
        assert [row.accuracy for row in found.rows] == [None] * 5
        assert "–" in list(comparison_table(found).columns[5].cells)
        told = StringIO()
        Console(width=80, file=told).print(comparison_table(found))
        assert "1.000 – 1.000" in told.getvalue()

    def test_images_that_cannot_be_read_are_kept_in_mind(self, tmp_path: Path) -> None:
        (tmp_path / "broken.png").write_bytes(b"")
        Image.new("RGB", (8, 8)).save(tmp_path / "whole.png")
        images = Images(files=((tmp_path / "broken.png", 0), (tmp_path / "whole.png", 0)))
        model = load("tests.made_models:Tiny")
        methods: dict[str, Pruning] = {WHOLE: nullcontext, "again": nullcontext}
        found = compare(model, images, Measurements(tmp_path / "out", {}), methods, remove=1, batch=2, rounds=1)
        assert (found.images, found.unreadable) == (1, (str(tmp_path / "broken.png"),))

    @pytest.mark.parametrize(
        ("last", "got"),
        [
            (nn.Flatten(), r"\(1, 102\)"),
            (nn.LSTM(6, 6, batch_first=True), "tuple"),
            (None, "NoneType"),
        ],
    )
    def test_last_block_without_tokens_is_told(self, tmp_path: Path, last: nn.Module | None, got: str) -> None:
        model = load("tests.made_models:Tiny")
        last = last or nn.Identity()
        model = replace(model, blocks=(model.blocks[0], last))
        if got != "NoneType":
            model.blocks[0].register_forward_hook(lambda _, __, output: (last(output), output)[1])
        methods: dict[str, Pruning] = {WHOLE: nullcontext}
        with pytest.raises(OptionError, match=rf"last block returns tokens .*, got tests\.made_models:Tiny \({got}\)"):
            compare(model, Images(), Measurements(tmp_path, {}), methods, remove=1, batch=2, rounds=1)

    def test_no_image_that_can_be_read_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "broken.png").write_bytes(b"")
        images = Images(files=((tmp_path / "broken.png", 0),))
        model = load("tests.made_models:Tiny")
        methods: dict[str, Pruning] = {WHOLE: nullcontext}
        with pytest.raises(OptionError, match=r"an image that can be read .*, got 1 that cannot: .*broken\.png"):
            compare(model, images, Measurements(tmp_path / "out", {}), methods, remove=1, batch=2, rounds=1)


class TestCommand:
    """`pomt-ref bench-model` as a user gives it."""

    def test_digits_are_compared(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        command = ["bench-model", "--model", "digits", "--remove", "8", "--rounds", "2", "--batch-size", "64"]
        assert main([*command, "--output", str(tmp_path)]) == 0
        shown = capsys.readouterr().out
        assert all(word in shown for word in ("none", "POMT", "Top-K", "EViT", "random", "accuracy, on 599 images"))
        document = json.loads((tmp_path / "comparison.json").read_text())
        assert [row["method"] for row in document["methods"]] == ["none", "POMT", "Top-K", "EViT", "random"]
        assert document["remove"] == 8
        assert document["machine"]["torch"] == torch.__version__

    def test_file_that_cannot_be_written_is_told(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "comparison.json").mkdir()
        command = ["bench-model", "--model", "digits", "--remove", "8", "--rounds", "1", "--batch-size", "64"]
        assert main([*command, "--output", str(tmp_path)]) == 2
        shown = capsys.readouterr()
        assert "Top-K" in shown.out
        assert shown.err.startswith("pomt-ref bench-model: expected a file to write to (CHOOSE-2), got ")

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            (["--remove", "16"], "pomt-ref bench-model: patch at layer 1: expected 0 <= remove <= 15"),
            (["--remove", "8", "--layer", "4"], "layer"),
            (["--remove", "8", "--device", "nonsense"], "bench-model: expected a device of this machine"),
            (
                ["--remove", "8", "--data", "nowhere"],
                "bench-model: expected images that the model was made for (digits has",
            ),
        ],
    )
    def test_what_cannot_be_ends_with_status_2(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], told: str
    ) -> None:
        assert main(["bench-model", "--model", "digits", "--output", str(tmp_path), *options]) == 2
        assert told in capsys.readouterr().err
