"""Real input: the small transformer, its packaged weights, the accuracy of pruned models, and the pictures."""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Literal

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from pomt_ref.errors import CountError, MissingExtraError
from pomt_ref.pruning import prune
from pomt_ref.tracing import trace
from pomt_ref.types import Pruned
from pomt_ref.vision import demo, gallery, training
from pomt_ref.vision.digits import (
    WEIGHTS,
    Accuracies,
    Digits,
    accuracy,
    accuracy_table,
    load_digits,
    load_model,
    prune_step,
    random_prune,
    share,
)
from pomt_ref.vision.vit import Block, DigitsViT, patches

KIBIBYTE = 1024


@pytest.fixture(scope="module")
def model() -> DigitsViT:
    """The packaged model."""
    return load_model()


@pytest.fixture(scope="module")
def digits() -> Digits:
    """The test digits."""
    pytest.importorskip("sklearn")
    return load_digits("test")


@pytest.fixture
def fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands see some digits of each part, where their number says nothing."""
    pytest.importorskip("sklearn")

    def some(part: Literal["train", "test"]) -> Digits:
        found = load_digits(part)
        return Digits(found.images[:96], found.labels[:96])

    for command in (demo, gallery, training):
        monkeypatch.setattr(command, "load_digits", some)


@pytest.fixture
def images() -> Tensor:
    """Six images of noise."""
    return torch.rand(6, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make packages look as if they were not installed."""

    def hide(*names: str) -> None:
        for name in names:
            monkeypatch.setitem(sys.modules, name, None)

    return hide


class TestModel:
    """A digit becomes 16 patches and a class token; a step may shorten them between two residuals (CHOOSE-3)."""

    def test_patches_are_squares_in_reading_order(self) -> None:
        image = torch.arange(64.0).reshape(1, 8, 8)
        assert patches(image)[0, 5].tolist() == [18, 19, 26, 27]

    def test_shapes(self, model: DigitsViT, images: Tensor) -> None:
        seen = model.capture(images)
        assert model(images).shape == (6, 10)
        assert seen.x.shape == (6, 17, 64)
        assert seen.attn.shape == (6, 4, 17, 17)
        assert seen.v.shape == (6, 4, 17, 16)

    def test_captured_attention_is_a_distribution_over_keys(self, model: DigitsViT, images: Tensor) -> None:
        attn = model.capture(images).attn
        torch.testing.assert_close(attn.sum(dim=3), torch.ones(6, 4, 17))
        assert (attn >= 0).all()

    def test_capture_is_what_the_forward_pass_used(self, model: DigitsViT, images: Tensor) -> None:
        received: list[tuple[Tensor, Tensor, Tensor]] = []

        def spy(x: Tensor, attn: Tensor, v: Tensor) -> Tensor:
            received.append((x, attn, v))
            return prune(x, attn, v, remove=8).tokens

        model(images, prune_step=spy)
        seen = model.capture(images)
        assert len(received) == 1
        assert all(map(torch.equal, received[0], (seen.x, seen.attn, seen.v)))

    def test_captured_values_and_attention_make_the_captured_tokens(self, model: DigitsViT, images: Tensor) -> None:
        before, at = model.capture(images, prune_after=0), model.capture(images)
        first, second, *_ = blocks(model)
        entering = before.x + first.mlp(first.mlp_norm(before.x))
        mixed = (at.attn @ at.v).transpose(1, 2).flatten(2)
        torch.testing.assert_close(at.x, entering + second.projection(mixed))

    def test_identity_step_changes_nothing(self, model: DigitsViT, images: Tensor) -> None:
        assert torch.equal(model(images, prune_step=lambda x, _attn, _v: x), model(images))

    @pytest.mark.parametrize("prune_after", range(4))
    def test_step_stands_between_the_residuals_of_its_block(
        self, model: DigitsViT, images: Tensor, prune_after: int
    ) -> None:
        """Run by hand from what was captured: pruned tokens, the block's MLP residual, the later blocks, the head."""
        seen = model.capture(images, prune_after=prune_after)
        tokens = prune(seen.x, seen.attn, seen.v, remove=8).tokens
        pruned, *rest = blocks(model)[prune_after:]
        tokens = tokens + pruned.mlp(pruned.mlp_norm(tokens))
        for later in rest:
            tokens = later(tokens)
        by_hand = model.head(model.norm(tokens[:, 0]))
        step = prune_step("POMT", 8, torch.Generator())
        assert torch.equal(model(images, prune_step=step, prune_after=prune_after), by_hand)

    @pytest.mark.parametrize("prune_after", [-1, 4])
    def test_block_that_is_not_there_is_refused(self, model: DigitsViT, images: Tensor, prune_after: int) -> None:
        with pytest.raises(CountError) as caught:
            model.capture(images, prune_after=prune_after)
        assert (
            str(caught.value) == f"DigitsViT: expected 0 <= prune_after <= 3 (CHOOSE-3), got prune_after={prune_after}"
        )

    def test_capture_leaves_no_gradient(self, images: Tensor) -> None:
        assert not DigitsViT().capture(images).x.requires_grad


class TestDigits:
    """The packaged weights recognise digits they have not seen; the parts of the data are fixed."""

    def test_parts_share_no_image_and_leave_none_out(self, digits: Digits) -> None:
        train = load_digits("train")
        assert (len(train.labels), len(digits.labels)) == (1198, 599)
        assert digits.labels[:4].tolist() == [0, 3, 6, 9]
        assert train.labels[:4].tolist() == [1, 2, 4, 5]
        assert (digits.images.min().item(), digits.images.max().item()) == (0, 1)

    def test_packaged_weights_are_small(self) -> None:
        assert WEIGHTS.stat().st_size <= 500 * KIBIBYTE

    def test_packaged_weights_recognise_unseen_digits(self, model: DigitsViT, digits: Digits) -> None:
        assert accuracy(model, digits) >= 0.96

    def test_missing_scikit_learn_names_the_extra(self, absent: Callable[..., None]) -> None:
        absent("sklearn", "sklearn.datasets")
        with pytest.raises(MissingExtraError) as caught:
            load_digits("test")
        assert (caught.value.function, caught.value.extra) == ("load_digits", "vision")
        assert "scikit-learn" in str(caught.value)


class TestAccuracy:
    """Every method shortens by R; POMT loses less than a random order."""

    @pytest.mark.parametrize("method", ["POMT", "Top-K", "EViT", "random", "inverted POMT"])
    @pytest.mark.parametrize("remove", [1, 8, 15])
    def test_every_method_removes_as_many_tokens(
        self, model: DigitsViT, images: Tensor, method: str, remove: int
    ) -> None:
        seen = model.capture(images)
        step = prune_step(method, remove, torch.Generator())  # type: ignore[arg-type]  # parametrize knows no Literal
        tokens = step(seen.x, seen.attn, seen.v)
        assert tokens.shape == (6, 17 - remove, 64)
        assert torch.equal(tokens[:, 0], seen.x[:, 0]), "the class token should be left alone"

    def test_random_pruning_is_a_partition_that_its_generator_decides(self, images: Tensor) -> None:
        x = DigitsViT().capture(images).x
        one, same, other = (random_prune(x, remove=8, generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2))
        together = torch.cat([one.kept, one.discarded], dim=1).sort(dim=1).values
        assert (one.kept.shape, one.discarded.shape) == ((6, 7), (6, 9))
        assert torch.equal(together, torch.arange(1, 17).expand(6, 16))
        assert torch.equal(one.kept, same.kept)
        assert not torch.equal(one.kept, other.kept)
        torch.testing.assert_close(
            one.tokens[:, -1], x.gather(1, one.discarded[..., None].expand(-1, -1, 64)).mean(dim=1)
        )

    def test_shares_are_disjoint_and_leave_no_image_out(self) -> None:
        numbered = Digits(torch.zeros(11, 8, 8), torch.arange(11))
        shares = [share(numbered, seed, 3).labels.tolist() for seed in range(3)]
        assert [len(labels) for labels in shares] == [4, 4, 3]
        assert sorted(label for labels in shares for label in labels) == list(range(11))
        assert shares[0] != [0, 3, 6, 9], "shares should be random"

    @pytest.mark.long
    def test_table_has_a_row_for_every_method_and_remove(self, model: DigitsViT, digits: Digits) -> None:
        rows = list(accuracy_table(model, digits, removes=(8,), seeds=3))
        assert [(row.method, row.remove) for row in rows] == [
            ("none", 0),
            ("POMT", 8),
            ("Top-K", 8),
            ("EViT", 8),
            ("random", 8),
            ("inverted POMT", 8),
        ]
        assert all(0 <= value <= 1 for row in rows for value in row.values)
        assert rows[0].mean == pytest.approx(accuracy(model, digits), abs=1e-3), "the mean should be that of all images"
        assert {len(row.values) for row in rows} == {3}
        unpruned, pomt, _, _, random, inverted = (row.mean for row in rows)
        assert unpruned >= pomt - 0.01
        assert pomt >= random + 0.015
        assert random >= inverted + 0.015

    def test_mean_and_deviation_are_those_of_the_seeds(self) -> None:
        row = Accuracies("POMT", 8, (0.9, 1.0, 0.8))
        assert row.mean == pytest.approx(0.9)
        assert row.deviation == pytest.approx(0.1)


class TestTraining:
    """The weights come from a script that writes the same bytes again."""

    @pytest.mark.usefixtures("fewer")
    def test_one_epoch_twice_writes_the_same_bytes(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        one, two = tmp_path / "new" / "one.safetensors", tmp_path / "two.safetensors"
        assert training.main(["--output", str(one), "--epochs", "1"]) == 0
        assert training.main(["--output", str(two), "--epochs", "1"]) == 0
        assert one.read_bytes() == two.read_bytes()
        assert one.stat().st_size == WEIGHTS.stat().st_size
        assert "test accuracy" in capsys.readouterr().out

    def test_surroundings_are_restored(self) -> None:
        before = torch.random.get_rng_state()
        threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
        with training.reproducible(0):
            drawn = torch.rand(1).item()
            assert torch.get_num_threads() == 1
            assert torch.are_deterministic_algorithms_enabled()
        with training.reproducible(0):
            assert torch.rand(1).item() == drawn
        assert torch.equal(torch.random.get_rng_state(), before)
        assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == (threads, deterministic)

    def test_no_epoch_is_refused(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as caught:
            training.main(["--epochs", "0"])
        assert caught.value.code == 2
        assert "expected at least 1, got 0" in capsys.readouterr().err

    def test_missing_scikit_learn_is_told_in_one_line(
        self, absent: Callable[..., None], capsys: pytest.CaptureFixture[str]
    ) -> None:
        absent("sklearn", "sklearn.datasets")
        with pytest.raises(SystemExit) as caught:
            training.main([])
        assert caught.value.code == 2
        assert capsys.readouterr().err.startswith("load_digits: ")


class TestPictures:
    """Kept patches are framed and numbered by rank, discarded ones covered."""

    def test_every_patch_is_drawn_where_it_stands(self, model: DigitsViT, images: Tensor) -> None:
        pytest.importorskip("matplotlib")
        from matplotlib.figure import Figure  # noqa: PLC0415 -- may be missing
        from matplotlib.patches import Rectangle  # noqa: PLC0415 -- may be missing

        from pomt_ref.vision.pictures import show_kept  # noqa: PLC0415 -- may be missing

        pruned = first_samples(model, images[:2], remove=8)
        axes = Figure().subplots()
        show_kept(images[1], pruned, axes=axes, sample=1, title="a digit")
        drawn = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
        covered = {place(box) for box in drawn if box.get_hatch()}
        framed = [place(box) for box in drawn if not box.get_fill()]
        assert covered == set(pruned.discarded[1].tolist())
        assert framed == pruned.kept[1].tolist(), "frames should come in the order of rank"
        assert [text.get_text() for text in axes.texts] == [str(rank) for rank in range(1, 8)]
        assert axes.get_title() == "a digit"

    def test_nothing_kept_is_drawn_too(self, model: DigitsViT, images: Tensor, tmp_path: Path) -> None:
        pytest.importorskip("matplotlib")
        from pomt_ref.vision.pictures import compare_kept  # noqa: PLC0415 -- may be missing

        pruned = first_samples(model, images[:1], remove=15)
        figure = compare_kept(images[:1], pruned, titles=[("one", "nothing")], heading="R = 15")
        figure.savefig(tmp_path / "nothing.png")
        assert (tmp_path / "nothing.png").stat().st_size > 0

    def test_missing_matplotlib_names_the_extra(
        self, absent: Callable[..., None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        absent("matplotlib", "matplotlib.axes")
        monkeypatch.delitem(sys.modules, "pomt_ref.vision.pictures", raising=False)
        with pytest.raises(MissingExtraError) as caught:
            import_module("pomt_ref.vision.pictures")
        assert (caught.value.function, caught.value.extra) == ("pictures", "plots")
        assert "matplotlib" in str(caught.value)


class TestDemo:
    """One table, the captured tensors and a picture."""

    @pytest.mark.usefixtures("fewer")
    def test_demo_writes_what_it_is_asked_for(
        self, tmp_path: Path, digits: Digits, model: DigitsViT, capsys: pytest.CaptureFixture[str]
    ) -> None:
        pytest.importorskip("matplotlib")
        captured, picture = tmp_path / "new" / "captured.safetensors", tmp_path / "digits.png"
        assert demo.main(["--seeds", "3", "--captured", str(captured), "--picture", str(picture)]) == 0
        shown = capsys.readouterr().out
        assert all(word in shown for word in ("POMT", "Top-K", "EViT", "random", "R = 12", "96 test images"))
        assert picture.stat().st_size <= 120 * KIBIBYTE
        seen = model.capture(digits.images[:64])
        with safe_open(captured, framework="pt") as stored:
            assert sorted(stored.keys()) == ["attn", "v", "x"]
            assert stored.metadata()["prefix"] == "1"
            assert "64 test digits" in stored.metadata()["source"]
            for name in ("x", "attn", "v"):
                assert torch.equal(stored.get_tensor(name), getattr(seen, name))
                assert stored.get_tensor(name).dtype == torch.float32

    @pytest.mark.usefixtures("fewer")
    def test_table_alone_writes_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert demo.main(["--seeds", "3"]) == 0
        assert "wrote" not in capsys.readouterr().out
        assert list(tmp_path.iterdir()) == []

    def test_too_few_seeds_are_refused(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as caught:
            demo.main(["--seeds", "2"])
        assert caught.value.code == 2
        assert "expected at least 3, got 2" in capsys.readouterr().err

    def test_missing_extra_is_told_in_one_line(
        self, absent: Callable[..., None], capsys: pytest.CaptureFixture[str]
    ) -> None:
        absent("sklearn", "sklearn.datasets")
        with pytest.raises(SystemExit) as caught:
            demo.main([])
        assert caught.value.code == 2
        assert capsys.readouterr().err.startswith("load_digits: ")


def blocks(model: DigitsViT) -> list[Block]:
    """The blocks of a model, with their type."""
    return [block for block in model.blocks if isinstance(block, Block)]


def first_samples(model: DigitsViT, images: Tensor, *, remove: int) -> Pruned:
    """What POMT makes of some images."""
    seen = model.capture(images)
    return prune(seen.x, seen.attn, seen.v, remove=remove)


def place(box: object) -> int:
    """The token whose patch a rectangle lies on: 4 patches a row of 2 pixels each, one prefix token."""
    left, top = box.get_xy()  # type: ignore[attr-defined]  # a matplotlib Rectangle, which may be missing
    return 1 + 4 * int((top + 0.5) // 2) + int((left + 0.5) // 2)


class TestGallery:
    """The pictures of the documentation."""

    @pytest.mark.usefixtures("fewer")
    def test_every_picture_is_drawn(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        matplotlib = pytest.importorskip("matplotlib")
        monkeypatch.setitem(matplotlib.rcParams, "savefig.dpi", 20)
        monkeypatch.setattr(gallery, "REMOVES", (8,))
        monkeypatch.setattr(gallery, "SHOWN", 1)
        monkeypatch.setattr(gallery, "DRAWN", 2)
        assert gallery.main([str(tmp_path / "new"), "--seeds", "3"]) == 0
        assert sorted(file.name for file in (tmp_path / "new").iterdir()) == [
            "accuracy.png",
            "gallery.png",
            "scores.png",
        ]

    def test_missing_package_ends_with_status_2(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def missing(_part: str) -> object:
            raise MissingExtraError("load_digits", "vision", "scikit-learn")

        monkeypatch.setattr(gallery, "load_digits", missing)
        with pytest.raises(SystemExit) as ended:
            gallery.main([str(tmp_path)])
        assert ended.value.code == 2
        assert "scikit-learn is not installed" in capsys.readouterr().err

    @pytest.mark.parametrize("name", ["accuracycurves", "curves", "scoremaps"])
    def test_pictures_say_that_they_need_matplotlib(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        for loaded in [each for each in sys.modules if each.partition(".")[0] == "matplotlib"]:
            monkeypatch.setitem(sys.modules, loaded, None)
        monkeypatch.delitem(sys.modules, f"pomt_ref.vision.{name}", raising=False)
        with pytest.raises(MissingExtraError, match=rf"{name}: the package matplotlib is not installed"):
            import_module(f"pomt_ref.vision.{name}")

    def test_scores_are_written_into_their_patches_and_kept_ones_framed(self) -> None:
        pytest.importorskip("matplotlib")
        from pomt_ref.vision.scoremaps import draw_scores  # noqa: PLC0415 -- where matplotlib is there

        model, digits = load_model(), load_digits("test")
        images = digits.images[:1]
        seen = model.capture(images)
        stages = trace(seen.x, seen.attn, seen.v, prefix=1, keep=7)
        figure = draw_scores(images, stages, titles=["a digit"], heading="scores")
        *_, scores = [axes for axes in figure.axes if axes.get_title().startswith(("attention", "magnitude", "score"))]
        assert [text.get_text() for text in scores.texts] == [f"{value:.2f}" for value in stages.scores[0].tolist()]
        assert len(scores.lines) == 7
