"""`pomt-ref choose`: measurements that outlive the process, curves, the choice, a picture; `bench-model` beside it."""

import csv
import io
import json
import math
import os
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from pomt_ref.choosing import Choice
from pomt_ref.cli import main
from pomt_ref.errors import CountError, OptionError, ValuesError
from pomt_ref.vision import commands, profiling
from pomt_ref.vision.curves import draw_curves
from pomt_ref.vision.digits import load_digits
from pomt_ref.vision.images import Images
from pomt_ref.vision.measurements import Measurements
from pomt_ref.vision.models import Model, load
from pomt_ref.vision.profiling import Curves, profile, token_counts
from pomt_ref.vision.reports import curves_table
from pomt_ref.vision.steps import latency_steps
from pomt_ref.vision.timing import Timing, seconds, summary

ROOT = Path(__file__).parent.parent


def lines(folder: Path) -> list[str]:
    """The measurements as they stand."""
    return (folder / "measurements.csv").read_text(encoding="utf-8").splitlines()


class TestMeasurements:
    """Rows that are there as soon as they are known."""

    def test_what_is_added_is_found_by_the_next_one(self, tmp_path: Path) -> None:
        kept = Measurements(tmp_path / "new", {"model": "a"})
        kept.add("latency", 5, 1, 0.1 + 0.2)
        kept.add("latency", 5, 0, 1e-9)
        kept.add("unreadable", "a,b.png", 0, 1.0)
        again = Measurements(tmp_path / "new", {"model": "a"})
        assert again.all("latency", 5) == [1e-9, 0.1 + 0.2]
        assert again.get("latency", 5, 2) is None
        assert again.of("unreadable") == ("a,b.png",)
        assert lines(tmp_path / "new")[0] == "quantity,of,repeat,value"

    def test_every_row_is_on_the_disk_when_it_is_added(self, tmp_path: Path) -> None:
        kept = Measurements(tmp_path, {})
        for repeat in range(3):
            kept.add("latency", 5, repeat, 1.0)
            assert len(lines(tmp_path)) == repeat + 2

    @pytest.mark.parametrize("cut", ["latency,5,1,0.2", "latency", "lat"])
    def test_row_that_was_cut_short_is_dropped(self, tmp_path: Path, cut: str) -> None:
        Measurements(tmp_path, {}).add("latency", 5, 0, 0.1)
        whole = (tmp_path / "measurements.csv").read_text()
        (tmp_path / "measurements.csv").write_text(whole + cut)
        again = Measurements(tmp_path, {})
        assert again.get("latency", 5, 1) is None
        assert (tmp_path / "measurements.csv").read_text() == whole

    @pytest.mark.parametrize(
        "line",
        [
            "latency,5,0",
            "latency,5,zero,0.1",
            "latency,5,0,fast",
            "latency,5,0,0.1,more",
            "latency,5,-1,0.1",
            "latency,none,0,0.0",
            "latency,5,0,inf",
            "images,17,0,0.0",
            "images,17,0,nan",
            "images,17,0,1.5",
            "right,17,0,-1.0",
            "agreeing,POMT,0,0.5",
            "unreadable,a.png,0,2.0",
            "weight,5,0,0.1",
        ],
    )
    def test_row_that_says_nothing_is_told(self, tmp_path: Path, line: str) -> None:
        Measurements(tmp_path, {})
        with (tmp_path / "measurements.csv").open("a") as stream:
            stream.write(f"{line}\n")
        with pytest.raises(OptionError, match=rf"rows of quantity, of, repeat, value in .*, got line 2: '{line}'"):
            Measurements(tmp_path, {})

    @pytest.mark.parametrize(
        ("row", "told"),
        [
            (b"unreadable,bad\xff.png,0,1.0\n", "bytes that are no UTF-8"),
            (b"unreadable," + 131_073 * b"a" + b",0,1.0\n", "line 2: field larger than field limit"),
        ],
    )
    def test_file_that_is_no_table_is_told(self, tmp_path: Path, row: bytes, told: str) -> None:
        Measurements(tmp_path, {})
        with (tmp_path / "measurements.csv").open("ab") as stream:
            stream.write(row)
        with pytest.raises(OptionError, match=rf"rows of quantity, of, repeat, value in .*, got {told}"):
            Measurements(tmp_path, {})

    @pytest.mark.parametrize(
        ("rows", "told"),
        [
            ([("images", 17, 4.0)], r"images,17 in .* with as many right, or fewer .*, got none"),
            ([("right", 17, 1e9), ("images", 17, 4.0)], r"as many right, or fewer .*, got 1e\+09 of 4"),
            ([("right", "POMT", 1.0), ("images", "POMT", 4.0)], r"as many agreeing, or fewer .*, got none"),
        ],
    )
    def test_counts_that_cannot_be_are_told(
        self, tmp_path: Path, rows: list[tuple[str, str | int, float]], told: str
    ) -> None:
        for quantity, of, value in rows:
            Measurements(tmp_path, {}).add(quantity, of, 0, value)
        with pytest.raises(OptionError, match=told):
            Measurements(tmp_path, {}).require_counts("right", "agreeing")

    def test_what_was_never_measured_does_not_bind(self, tmp_path: Path) -> None:
        Measurements(tmp_path, {"model": "a"})
        Measurements(tmp_path, {"model": "b"}).add("latency", 5, 0, 1.0)
        Measurements(tmp_path, {"model": "b"})
        (tmp_path / "measurements.csv").unlink()
        Measurements(tmp_path, {"model": "c"})
        assert json.loads((tmp_path / "settings.json").read_text()) == {"model": "c"}

    def test_settings_of_another_program_are_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "settings.json").write_text('{"theme": null}')
        with pytest.raises(OptionError, match=r"the model, theme of the measurements in"):
            Measurements(tmp_path, {"model": "a"})
        assert (tmp_path / "settings.json").read_text() == '{"theme": null}'

    @pytest.mark.parametrize("name", ["settings.json", "measurements.csv", ".settings.json.partial"])
    def test_folder_in_place_of_a_file_is_told(self, tmp_path: Path, name: str) -> None:
        if name == "measurements.csv":
            (tmp_path / "settings.json").write_text("{}")
        (tmp_path / name).mkdir()
        with pytest.raises(OptionError, match=r"to write to .*\(Is a directory\)"):
            Measurements(tmp_path, {})

    def test_row_that_cannot_be_written_is_told(self, tmp_path: Path) -> None:
        kept = Measurements(tmp_path, {})
        (tmp_path / "measurements.csv").unlink()
        (tmp_path / "measurements.csv").mkdir()
        with pytest.raises(OptionError, match=r"a file to write to .*measurements\.csv \(Is a directory\)"):
            kept.add("latency", 5, 0, 1.0)

    def test_other_settings_are_told(self, tmp_path: Path) -> None:
        Measurements(tmp_path, {"model": "a", "batch_size": 4}).add("latency", 5, 0, 1.0)
        with pytest.raises(OptionError, match=r"the batch_size of the measurements in .*, got batch_size=8"):
            Measurements(tmp_path, {"model": "a", "batch_size": 8})

    @pytest.mark.parametrize("text", ["{", "[1]", "null", "3", 100_000 * "[", b"\xff"])
    def test_settings_that_are_none_are_told(self, tmp_path: Path, text: str | bytes) -> None:
        (tmp_path / "settings.json").write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(OptionError, match=r"settings\.json, which is no JSON"):
            Measurements(tmp_path, {})

    def test_measurements_of_nobody_are_told(self, tmp_path: Path) -> None:
        (tmp_path / "measurements.csv").write_text("a,b\n")
        with pytest.raises(OptionError, match=r"a new folder, or one with its settings\.json"):
            Measurements(tmp_path, {})

    def test_folder_that_is_a_file_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(OptionError, match=r"a folder to write to .*, got .*file \(File exists\)"):
            Measurements(tmp_path / "file", {})


class TestTiming:
    """Medians and quartiles of single calls."""

    def test_seconds_are_those_of_a_call(self) -> None:
        assert 0.02 <= seconds(lambda: time.sleep(0.02), device=torch.device("cpu")) < 0.2

    def test_summary_of_one_is_itself(self) -> None:
        assert summary([0.5]) == Timing(0.5, 0.5, 0.5, 1)

    def test_steps_are_larger_than_the_spread(self) -> None:
        tokens = [2, 3, 4, 5, 6, 7, 8]
        medians = [1.0, 1.1, 1.2, 2.2, 2.3, 2.4, 1.2]
        calm = [Timing(middle, middle - 0.01, middle + 0.01, 5) for middle in medians]
        rough = [Timing(middle, middle - 2, middle + 2, 5) for middle in medians]
        assert [(step.below, step.above) for step in latency_steps(tokens, calm)] == [(4, 5), (7, 8)]
        assert latency_steps(tokens, calm)[1].ratio == 0.5
        assert latency_steps(tokens, rough) == ()
        assert latency_steps([5], calm[:1]) == ()


@pytest.fixture(scope="module")
def digits() -> Model:
    """The packaged model."""
    return load("digits")


@pytest.fixture(scope="module")
def few() -> Images:
    """Some images of digits, with labels."""
    found = load_digits("test")
    return Images(ready=(found.images[:64], found.labels[:64]))


Begun = tuple[Path, dict[str, list[str]]]
"""A folder, and the commands that wrote their settings into a folder of their name there."""


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Begun:
    """Commands that were interrupted when they had written their settings; tests copy what they left."""
    few_rounds = ["--rounds", "1", "--batch-size", "64"]
    commands = {
        "choose": ["choose", "--model", "tests.made_models:Tiny", "--tokens", "17,9", *few_rounds],
        "bench-model": ["bench-model", "--model", "digits", "--remove", "8", *few_rounds],
    }

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    folder = tmp_path_factory.mktemp("begun")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Measurements, "require_counts", interrupt)
        for name, options in commands.items():
            assert main([*options, "--output", str(folder / name)]) == 2, "the settings are written"
    return folder, commands


class TestProfile:
    """CHOOSE-1 and CHOOSE-2 on the packaged model."""

    def test_counts_go_down_from_the_whole(self, digits: Model) -> None:
        assert token_counts(digits) == tuple(range(2, 18))
        assert token_counts(digits, every=6) == (5, 11, 17)

    def test_curves_choose_as_the_clause_does(self, digits: Model, few: Images, tmp_path: Path) -> None:
        kept = Measurements(tmp_path, {})
        curves = profile(digits, few, kept, counts=[17, 3, 9], batch=32, rounds=3)
        assert curves.tokens == (3, 9, 17)
        assert [timing.runs for timing in curves.latency] == [3, 3, 3]
        assert curves.accuracy[0] < curves.accuracy[1] < curves.accuracy[2] > 0.95
        assert curves.choice is not None
        slowest = max(timing.median for timing in curves.latency)
        expected = [
            0.5 * (1 - timing.median / slowest) + 0.5 * share / max(curves.accuracy)
            for timing, share in zip(curves.latency, curves.accuracy, strict=True)
        ]
        assert curves.choice.utility == pytest.approx(expected)
        assert curves.choice.tokens == curves.tokens[max(range(3), key=lambda place: expected[place])]
        assert curves.choice.remove == 17 - curves.choice.tokens

    @pytest.mark.long
    def test_fewer_tokens_take_less_time(self, digits: Model, few: Images, tmp_path: Path) -> None:
        curves = profile(digits, few, Measurements(tmp_path, {}), counts=[2, 17], batch=64, rounds=7)
        assert curves.latency[0].median < curves.latency[1].median

    def test_without_labels_the_whole_model_is_right(self, digits: Model, few: Images, tmp_path: Path) -> None:
        unlabelled = Images(ready=few.ready, labelled=False)
        curves = profile(digits, unlabelled, Measurements(tmp_path, {}), counts=[3, 17], batch=32, rounds=1)
        assert curves.accuracy[1] == 1.0
        assert curves.accuracy[0] < 1.0

    def test_rounds_take_turns(self, digits: Model, few: Images, tmp_path: Path) -> None:
        profile(digits, few, Measurements(tmp_path, {}), counts=[3, 17], batch=8, rounds=2)
        measured = [tuple(row[:3]) for row in csv.reader(io.StringIO("\n".join(lines(tmp_path)[1:])))]
        assert measured[:4] == [
            ("latency", "3", "0"),
            ("latency", "17", "0"),
            ("latency", "3", "1"),
            ("latency", "17", "1"),
        ]

    def test_what_was_stopped_goes_on(self, digits: Model, few: Images, tmp_path: Path) -> None:
        def stop(_: str, done: int, whole: int) -> None:
            assert whole == 8
            if done == 5:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            profile(digits, few, Measurements(tmp_path, {}), counts=[3, 17], batch=8, rounds=3, progress=stop)
        before = lines(tmp_path)
        assert len(before) == 1 + 5
        profile(digits, few, Measurements(tmp_path, {}), counts=[3, 17], batch=8, rounds=3)
        after = lines(tmp_path)
        assert after[: len(before)] == before
        assert len(after) == len(set(after)) == 1 + 6 + 4
        profile(digits, few, Measurements(tmp_path, {}), counts=[3, 17], batch=8, rounds=3)
        assert lines(tmp_path) == after, "all is known: nothing is measured again"

    @pytest.mark.parametrize("counts", [[], [3], [1, 17], [3, 18], [17, 17]])
    def test_counts_without_the_whole_are_refused(
        self, digits: Model, few: Images, tmp_path: Path, counts: list[int]
    ) -> None:
        with pytest.raises(CountError, match=r"counts from 2 to 17, the last one among them, each once \(CHOOSE-2\)"):
            profile(digits, few, Measurements(tmp_path, {}), counts=counts, batch=8, rounds=1)

    def test_no_image_that_can_be_read_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "0").mkdir()
        (tmp_path / "0/broken.png").write_bytes(b"")
        images = Images(files=((tmp_path / "0/broken.png", 0),))
        model = load("tests.made_models:Tiny")
        with pytest.raises(OptionError, match=r"an image that can be read .*, got 1 that cannot: .*broken\.png"):
            profiling.predictions(model, images, 17, batch=4, seed=0)


def run(*arguments: str | Path | float) -> int:
    """The command with two rounds at two token counts."""
    return main(["choose", "--rounds", "2", "--batch-size", "16", *map(str, arguments)])


class TestCommand:
    """`pomt-ref choose` as a user gives it."""

    @pytest.mark.parametrize("counts", ["5", "17,17", "1,17"])
    def test_counts_that_are_refused_write_nothing(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], counts: str
    ) -> None:
        assert run("--model", "digits", "--tokens", counts, "--output", tmp_path / "out") == 2
        assert "expected token counts from 2 to 17, the last one among them, each once" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()

    def test_digits_are_measured_and_drawn(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        folder = tmp_path / "out"
        assert run("--model", "digits", "--tokens", "17,9,5", "--output", folder, "--threads", 1) == 0
        shown = capsys.readouterr().out
        assert shown.startswith("digits (its weights), 17 tokens, batches of 16, float32; device cpu")
        assert "accuracy, on 599 images" in shown
        document = json.loads((folder / "choice.json").read_text())
        assert document["settings"]["counts"] == [5, 9, 17]
        assert [each["tokens"] for each in document["curves"]] == [5, 9, 17]
        assert document["choice"]["remove"] == 17 - document["choice"]["tokens"]
        assert f"R = {document['choice']['remove']}" in shown
        assert document["images"] == {"count": 599, "labelled": True, "unreadable": []}
        with Image.open(folder / "curves.png") as picture:
            assert picture.size == (800, 850)

    def test_accuracy_alone_asks_for_the_whole(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert run("--model", "tests.made_models:tiny", "--tokens", "17,9", "--alpha", 0, "--output", tmp_path) == 0
        assert "R = 0: do not prune (alpha = 0)" in capsys.readouterr().out

    @pytest.mark.long
    def test_folder_of_images_and_what_is_wrong_with_it(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for label in range(5):
            (tmp_path / f"images/{label}").mkdir(parents=True)
            Image.new("RGB", (9, 9), (50 * label, 0, 0)).save(tmp_path / f"images/{label}/a.png")
        (tmp_path / "images/0/broken.png").write_bytes(b"broken")
        (tmp_path / "images/0" / os.fsdecode(b"bad\xff.png")).write_bytes(b"broken")
        (tmp_path / "images/0/two\nlines.png").write_bytes(b"broken")
        os.mkfifo(tmp_path / "images/0/f.png")
        options = ("--model", "tests.made_models:Tiny", "--data", tmp_path / "images", "--tokens", "17,9")
        for _ in range(2):
            assert run(*options, "--output", tmp_path / "out") == 0
            shown = capsys.readouterr().out
            assert "accuracy, on 5 images" in shown
            assert "4 could not be read: " in shown
            assert all(name in shown for name in ("broken.png", r"bad\udcff.png", r"two\nlines.png", "f.png"))

    def test_without_an_image_that_is_right_nothing_is_chosen(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "images/99").mkdir(parents=True)
        Image.new("RGB", (9, 9)).save(tmp_path / "images/99/a.png")
        (tmp_path / "images/99/broken.png").write_bytes(b"broken")
        options = ("--model", "tests.made_models:tiny", "--data", tmp_path / "images", "--tokens", "17,9")
        assert run(*options, "--output", tmp_path / "out") == 2
        shown = capsys.readouterr()
        assert "no R can be chosen: no image was classified right" in shown.out
        assert "accuracy, on 1 images\n1 could not be read: " in shown.out
        assert "–" in shown.out
        expected = "an image that is classified right (CHOOSE-1), got 0 of 1 at every token count: no R can be chosen"
        assert shown.err == f"pomt-ref choose: expected {expected}\n"
        document = json.loads((tmp_path / "out/choice.json").read_text())
        assert document["choice"] is None
        assert [(each["accuracy"], each["utility"]) for each in document["curves"]] == [(0.0, None)] * 2
        assert document["images"]["unreadable"] == [str(tmp_path / "images/99/broken.png")]
        assert len(lines(tmp_path / "out")) == 1 + 4 + 4 + 1
        assert not (tmp_path / "out/curves.png").exists()

    @pytest.mark.parametrize(
        "name",
        [
            "choice.json",
            pytest.param(".choice.json.partial", marks=pytest.mark.long),
            "curves.png",
            pytest.param(".curves.png.partial", marks=pytest.mark.long),
        ],
    )
    def test_file_that_cannot_be_written_takes_nothing_away(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
    ) -> None:
        (tmp_path / name).mkdir()
        assert run("--model", "tests.made_models:tiny", "--tokens", "17,9", "--output", tmp_path) == 2
        shown = capsys.readouterr()
        assert "R = " in shown.out
        assert shown.err.startswith("pomt-ref choose: expected a file to write to (CHOOSE-2), got ")
        assert len(shown.err.splitlines()) == 1
        assert len(lines(tmp_path)) == 1 + 4 + 4

    @pytest.mark.parametrize(
        ("file", "content"),
        [
            ("settings.json", b"[1]"),
            ("settings.json", b"null"),
            ("settings.json", 100_000 * b"["),
            ("measurements.csv", b"latency,17,0,0.0\n"),
            ("measurements.csv", b"latency,17,-1,0.5\n"),
            ("measurements.csv", b"images,17,0,0.0\n"),
            ("measurements.csv", b"images,17,0,nan\n"),
            ("measurements.csv", b"images,17,0,32.0\n"),
            ("measurements.csv", b"right,17,0,1e9\nimages,17,0,32.0\n"),
            ("measurements.csv", b"unreadable,\xff.png,0,1.0\n"),
            ("measurements.csv", 131_073 * b"a" + b",17,0,1.0\n"),
        ],
    )
    def test_damaged_folder_is_told_and_left_as_it_is(
        self, tmp_path: Path, begun: Begun, capsys: pytest.CaptureFixture[str], file: str, content: bytes
    ) -> None:
        folders, commands = begun
        for name, options in commands.items():
            folder = shutil.copytree(folders / name, tmp_path / name)
            (folder / file).write_bytes(content)
            assert main([*options, "--output", str(folder)]) == 2
            told = capsys.readouterr().err
            assert str(folder / file) in told
            assert len(told.splitlines()) == 1
            assert (folder / file).read_bytes() == content

    def test_without_matplotlib_there_is_no_picture(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for name in [name for name in sys.modules if name == "pomt_ref.vision.curves" or name.startswith("matplotlib")]:
            monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.delitem(sys.modules, "pomt_ref.vision.curves", raising=False)
        assert run("--model", "digits", "--tokens", "17,9", "--output", tmp_path) == 0
        shown = capsys.readouterr()
        assert "no picture: curves: the package matplotlib is not installed" in shown.err
        assert "curves.png" not in shown.out

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            (["--model", "digits", "--device", "nonsense"], "choose: expected a device of this machine"),
            (
                ["--model", "tests.made_models:tiny", "--data", "nowhere"],
                "expected a folder of images, one folder a class",
            ),
            (
                ["--model", "tests.made_models:tiny", "--data", ""],
                "one folder a class, or none (CHOOSE-2), got --data ''",
            ),
            (["--model", "digits", "--data", "tests"], "(digits has its own) (CHOOSE-2), got --data 'tests', digits"),
            (["--model", "digits", "--tokens", "9"], "expected token counts from 2 to 17"),
            (["--model", "no.such:model"], "No module named 'no'"),
            (["--model", "tests.made_models:leaves"], "got tests.made_models:leaves (SystemExit: 3)"),
            (["--model", "tests.made_models:Raising"], "got tests.made_models:Raising (RuntimeError: cannot run on 1)"),
            (["--model", "tests.made_models:Rigid", "--tokens", "9,17"], "got tests.made_models:Rigid (RuntimeError"),
            (["--model", "digits", "--device", "meta"], "choose: expected a device of this machine"),
        ],
    )
    def test_what_cannot_be_measured_ends_with_status_2(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], told: str
    ) -> None:
        assert run(*options, "--output", tmp_path) == 2
        shown = capsys.readouterr().err
        assert told in shown
        assert len(shown.splitlines()) == 1
        assert "fault of this program" not in shown

    @pytest.mark.parametrize("option", [["--alpha", "2"], ["--alpha", "x"], ["--tokens", "a"], ["--rounds", "0"]])
    def test_numbers_out_of_range_are_told(self, capsys: pytest.CaptureFixture[str], option: list[str]) -> None:
        with pytest.raises(SystemExit) as ended:
            run("--model", "digits", *option)
        assert ended.value.code == 2
        assert f"{option[0]}: expected" in capsys.readouterr().err


class TestPicture:
    """The three curves."""

    def test_choice_and_steps_are_marked(self) -> None:
        tokens = tuple(range(2, 30))
        medians = [t + (20.0 if t > 12 else 0.0) for t in tokens]
        latency = tuple(Timing(middle, middle - 0.1, middle + 0.1, 5) for middle in medians)
        accuracy = tuple(1 - math.exp(-t / 5) for t in tokens)
        curves = Curves(
            tokens, latency, accuracy, labelled=False, images=32, unreadable=(), choice=Choice(17, 12, accuracy)
        )
        figure = draw_curves(curves, title="a model", note="a note")
        above, middle, _ = figure.axes
        assert [text.get_text() for text in above.texts] == ["12→13: ×2.75"]
        assert middle.get_ylabel() == "agreement with\nthe whole model (%)"
        legend = above.get_legend()
        assert legend is not None
        (label,) = (text.get_text() for text in legend.get_texts())
        assert label == "R = 17: 12 of 29 tokens"
        table = curves_table(curves)
        assert table.columns[4].header == "agreement (%)"
        assert next(iter(table.columns[0].cells)) == "29"
        assert "12" in list(table.columns[0].cells)
        with pytest.raises(ValuesError, match=r"draw_curves: expected curves with a choice \(CHOOSE-1\), got none"):
            draw_curves(replace(curves, choice=None), title="nothing chosen")
        said = commands._choice(curves, alpha=0.5)  # noqa: SLF001 -- what a machine chooses is its own affair
        assert said == "R = 17: 12 of 29 tokens, 0.24 of the latency (alpha = 0.5)"
