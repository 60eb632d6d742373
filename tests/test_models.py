"""A model by name, images by folder, fewer tokens by chance: what measuring a model begins with."""

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from pomt_ref.errors import CountError, DeviceError, MissingExtraError, OptionError
from pomt_ref.vision import asking
from pomt_ref.vision.digits import load_model
from pomt_ref.vision.errors import ModelError
from pomt_ref.vision.images import find_images, read_image
from pomt_ref.vision.models import Model, load
from pomt_ref.vision.shortening import random_rows, shortened
from pomt_ref.vision.vit import DigitsViT
from tests import made_models
from tests.made_models import Tiny
from tests.patched_models import patched_model


@pytest.fixture
def timm_of_one_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """A timm that knows one model, whatever is installed."""
    made = SimpleNamespace(is_model=lambda name: name == "tiny", create_model=lambda _, **__: Tiny())
    monkeypatch.setitem(sys.modules, "timm", made)


class TestLoad:
    """Every kind of name, and what cannot be measured."""

    def test_digits_are_the_packaged_transformer(self) -> None:
        model = load("digits")
        assert (model.prefix, model.tokens, model.image, len(model.blocks)) == (1, 17, (8, 8), 4)
        assert model.random_images(2).shape == (2, 8, 8)

    @pytest.mark.parametrize("attribute", ["tiny", "Tiny"])
    def test_own_model_or_what_makes_it(self, attribute: str) -> None:
        model = load(f"tests.made_models:{attribute}", dtype=torch.bfloat16)
        assert (model.prefix, model.tokens, model.image) == (1, 17, (3, 8, 8))
        assert model.logits(model.random_images(2)).dtype == torch.bfloat16

    @pytest.mark.usefixtures("timm_of_one_model")
    def test_model_of_timm_has_weights_of_its_seed(self) -> None:
        one, same, other = (load("tiny", seed=seed).module.state_dict()["head.bias"] for seed in (0, 0, 1))
        assert torch.equal(one, same)
        assert not torch.equal(one, other)

    @pytest.mark.usefixtures("timm_of_one_model")
    @pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
    def test_weights_of_a_file_are_taken(self, tmp_path: Path, suffix: str) -> None:
        weights = {name: torch.full_like(value, 0.5) for name, value in Tiny().state_dict().items()}
        file = tmp_path / f"weights{suffix}"
        write: Callable[..., None] = save_file if suffix == ".safetensors" else torch.save
        write(weights, file)
        assert load("tiny", weights=file).module.state_dict()["head.bias"].tolist() == [0.5] * 5

    @pytest.mark.usefixtures("timm_of_one_model")
    def test_weights_of_another_model_are_told(self, tmp_path: Path) -> None:
        save_file({"nothing": torch.zeros(1)}, tmp_path / "weights.safetensors")
        with pytest.raises(OptionError, match=r"expected a file with the weights of this model .* Missing key"):
            load("tiny", weights=tmp_path / "weights.safetensors")

    @pytest.mark.usefixtures("timm_of_one_model")
    def test_unknown_model_is_told(self) -> None:
        with pytest.raises(OptionError, match=r"digits, package\.module:attribute, or a model of timm .* 'vit_huge'"):
            load("vit_huge")

    def test_missing_timm_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "timm", None)
        with pytest.raises(
            MissingExtraError, match=r"the package timm is not installed; pip install 'pomt-ref\[vision\]'"
        ):
            load("vit_small_patch16_224")

    def test_timm_that_cannot_be_imported_is_told(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """As with a torchvision of another build: an error of any kind comes out of the import."""
        (tmp_path / "timm.py").write_text("raise RuntimeError('operator torchvision::nms does not exist\\nmore')")
        monkeypatch.delitem(sys.modules, "timm", raising=False)
        monkeypatch.syspath_prepend(tmp_path)
        told = r"a timm that can be imported for vit_x \(CHOOSE-2\), got RuntimeError: .*::nms does not exist"
        with pytest.raises(OptionError, match=f"{told}$"):
            load("vit_x")

    @pytest.mark.parametrize(
        ("name", "told"),
        [
            ("tests.made_models:raises", r"raises \(RuntimeError: no memory\)"),
            ("tests.made_models:no_model", r"no_model \(TypeError: 'int' object is not callable\)"),
            ("tests.made_models:dict", r"dict \(AttributeError"),
            ("no_such_package:model", r"No module named 'no_such_package'"),
            ("builtins:dict", r"builtins:dict, a dict"),
            ("tests.made_models:Shapeless", r"a model that says what it eats \(image_shape"),
            ("tests.made_models:Prefixless", r"a model with num_prefix_tokens"),
            ("tests.made_models:Blockless", r"a model with transformer blocks"),
            (
                "tests.made_models:Secretive",
                r"num_prefix_tokens from 0 to 16 .*:Secretive \(RuntimeError: not known yet",
            ),
            ("tests.made_models:Hidden", r"a model with transformer blocks .*:Hidden \(RuntimeError: not known yet"),
            ("tests.made_models:leaves", r"got tests\.made_models:leaves \(SystemExit: 3\)$"),
            ("tests.made_models:Raising", r"of the shape \(1, 3, 8, 8\) .*:Raising \(RuntimeError: cannot run on 1\)$"),
            ("tests.made_models:Pair", r"returns logits \(batch, classes\) .*:Pair, which returns a tuple"),
            ("tests.made_models:Sum", r"got .*:Sum, which returns torch.float32 of the shape \(5,\)"),
            ("tests.made_models:ByKeyword", r"first argument, not by keyword .* whose first block gets NoneType"),
            ("tests.made_models:Planes", r"first argument, not by keyword .* whose first block gets \(1, 4, 1, 4, 6\)"),
            ("tests.made_models:Idle", r"got .*:Idle, which does not run its first block"),
        ],
    )
    def test_what_cannot_be_measured_is_told(self, name: str, told: str) -> None:
        with pytest.raises(OptionError, match=told):
            load(name)

    def test_patched_model_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with patched_model(load_model(), remove=4) as patched:
            for found in (patched, patched.model):
                monkeypatch.setattr(made_models, "made", found, raising=False)
                with pytest.raises(ModelError, match=r"^choose: expected an unpatched model: .*in Block\)$"):
                    load("tests.made_models:made")

    def test_image_of_timm_is_of_the_size_that_the_model_was_made_with(self, monkeypatch: pytest.MonkeyPatch) -> None:
        model = made_models.says(image_shape=None, pretrained_cfg={"input_size": (3, 224, 224)})
        embedding = SimpleNamespace(img_size=(8, 8))
        monkeypatch.setattr(model, "patch_embed", embedding, raising=False)
        assert asking.eats(model, "made", "choose")[0] == (3, 8, 8)
        embedding.img_size = None
        assert asking.eats(model, "made", "choose")[0] == (3, 224, 224)

    @pytest.mark.parametrize(
        ("values", "told"),
        [
            ({"image_shape": 8}, r"says what it eats .* \(TypeError: 'int' object is not iterable\)"),
            ({"image_shape": ("a", 8, 8)}, r"says what it eats .* \(TypeError: 'str' object cannot be interpreted"),
            ({"image_shape": (3, 0, 8)}, r"says what it eats .* \(image_shape \(3, 0, 8\)\)"),
            ({"image_shape": (3, 10**30, 8)}, r"whose image_shape fits in memory .*:made \("),
            ({"pretrained_cfg": 3}, r"says what it eats .* \(AttributeError: 'int' object has no attribute 'get'\)"),
            ({"pretrained_cfg": {"mean": (0.5, 0.5)}}, r"says what it eats .* \(mean \(0\.5, 0\.5\), std"),
            ({"pretrained_cfg": {"mean": (float("nan"),)}}, r"says what it eats .* \(mean \(nan,\), std"),
            ({"pretrained_cfg": {"std": (0.0,)}}, r"says what it eats .* std \(0\.0,\)\)"),
            ({"num_prefix_tokens": -1}, r"num_prefix_tokens from 0 to 16 .*:made \(num_prefix_tokens = -1\)"),
            ({"num_prefix_tokens": 17}, r"num_prefix_tokens from 0 to 16 .*:made \(num_prefix_tokens = 17\)"),
            ({"num_prefix_tokens": True}, r"num_prefix_tokens from 0 to 16 .*:made \(num_prefix_tokens = True\)"),
            ({"eval": lambda: None}, r"a model that can work in torch\.float32 on cpu .*:made \(AttributeError"),
        ],
    )
    def test_what_a_model_says_of_itself_is_held_against_it(
        self, monkeypatch: pytest.MonkeyPatch, values: dict[str, object], told: str
    ) -> None:
        monkeypatch.setattr(made_models, "made", lambda: made_models.says(**values), raising=False)
        with pytest.raises(OptionError, match=told):
            load("tests.made_models:made")

    def test_memory_that_runs_out_is_no_fault_of_the_model(self) -> None:
        with pytest.raises(MemoryError, match="for 1"):
            load("tests.made_models:Greedy")

    def test_weights_of_the_digits_are_packaged(self) -> None:
        with pytest.raises(OptionError, match=r"weights with a model of timm only .*, got digits and other\.pt"):
            load("digits", weights=Path("other.pt"))

    @pytest.mark.parametrize("device", ["nonsense", "meta", *([] if torch.cuda.is_available() else ["cuda"])])
    def test_device_that_is_not_there_is_told(self, device: str) -> None:
        with pytest.raises(DeviceError, match=rf"expected a device of this machine .* device='{device}'"):
            load("digits", device=device)


@pytest.fixture
def tiny() -> Model:
    """The tiny model."""
    return load("tests.made_models:Tiny")


def paint(file: Path, *, red: int = 0, size: tuple[int, int] = (12, 8)) -> None:
    """A picture of one colour."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (red, 0, 0)).save(file)


class TestImages:
    """Folders of pictures, one a class."""

    def test_names_in_alphabetical_order_are_classes(self, tmp_path: Path, tiny: Model) -> None:
        for name in ("b/1.png", "a/x/2.jpg", "c/3.PNG", "c/notes.txt", ".hidden/4.png"):
            paint(tmp_path / name) if not name.endswith("txt") else (tmp_path / name).write_text("no image")
        found = find_images(str(tmp_path), tiny)
        assert [(file.name, label) for file, label in found.files] == [("2.jpg", 0), ("1.png", 1), ("3.PNG", 2)]
        assert len(found) == 3
        assert found.labelled

    def test_numbers_are_classes(self, tmp_path: Path, tiny: Model) -> None:
        for name in ("10/1.png", "9/2.png"):
            paint(tmp_path / name)
        assert [label for _, label in find_images(str(tmp_path), tiny).files] == [10, 9]

    def test_unreadable_images_are_named_and_left_out(self, tmp_path: Path, tiny: Model) -> None:
        paint(tmp_path / "0/a.png")
        paint(tmp_path / "0/c.png")
        (tmp_path / "0/b.png").write_bytes(b"no picture")
        (tmp_path / "1").mkdir()
        (tmp_path / "1/d.png").write_bytes((tmp_path / "0/a.png").read_bytes()[:40])
        found = find_images(str(tmp_path), tiny)
        for _ in range(2):
            shapes = [(pixels.shape, labels.tolist()) for pixels, labels in found.batches(tiny, 2)]
            assert shapes == [((1, 3, 8, 8), [0]), ((1, 3, 8, 8), [0])]
        assert [file.name for file in found.unreadable] == ["b.png", "d.png"]

    def test_batch_of_unreadable_images_is_none(self, tmp_path: Path, tiny: Model) -> None:
        (tmp_path / "0").mkdir()
        (tmp_path / "0/b.png").write_bytes(b"no picture")
        assert list(find_images(str(tmp_path), tiny).batches(tiny, 2)) == []

    def test_pixels_are_normalised_and_the_middle_is_seen(self, tmp_path: Path, tiny: Model) -> None:
        picture = np.zeros((8, 24, 3), dtype=np.uint8)
        picture[:, 8:16, 1] = 255
        Image.fromarray(picture).save(tmp_path / "wide.png")
        seen = read_image(tmp_path / "wide.png", replace(tiny, mean=(0.5, 0.25, 0.0), deviation=(0.5, 0.5, 1.0)))
        assert seen[:, 4, 4].tolist() == [-1.0, 1.5, 0.0]
        assert seen.shape == (3, 8, 8)

    @pytest.mark.parametrize("folder", ["missing", "empty"])
    def test_nothing_to_see_is_told(self, tmp_path: Path, tiny: Model, folder: str) -> None:
        (tmp_path / "empty").mkdir()
        with pytest.raises(OptionError, match=rf"expected .*images.* one folder a class.*, got .*{folder}"):
            find_images(str(tmp_path / folder), tiny)

    def test_number_that_is_no_label_is_told(self, tmp_path: Path, tiny: Model) -> None:
        paint(tmp_path / f"{2**63 - 1}/a.png")
        assert [label for _, label in find_images(str(tmp_path), tiny).files] == [2**63 - 1]
        paint(tmp_path / f"{2**63}/a.png")
        with pytest.raises(OptionError, match=rf"numbers of classes up to 9223372036854775807 .*, got .*/{2**63}$"):
            find_images(str(tmp_path), tiny)

    def test_folder_that_cannot_be_read_is_told(
        self, tmp_path: Path, tiny: Model, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(folder: Path) -> None:
            raise PermissionError(13, "Permission denied", str(folder))

        monkeypatch.setattr(Path, "iterdir", refuse)
        with pytest.raises(OptionError, match=r"a folder that can be read .*\(Permission denied\)"):
            find_images(str(tmp_path), tiny)

    @pytest.mark.parametrize("shape", [(1, 8, 8), (8, 8), (8, 8, 3)])
    @pytest.mark.parametrize("data", ["none", "."])
    def test_model_without_colours_is_told(self, tiny: Model, shape: tuple[int, ...], data: str) -> None:
        with pytest.raises(OptionError, match=r"takes images in three colours, of the shape .*, got tests.made_models"):
            find_images(data, replace(tiny, image=shape))

    def test_pipe_is_no_image(self, tmp_path: Path, tiny: Model) -> None:
        os.mkfifo(tmp_path / "f.png")
        with pytest.raises(OSError, match=r"f\.png is no regular file"):
            read_image(tmp_path / "f.png", tiny)

    @pytest.mark.long
    def test_digits_are_for_their_model(self, tiny: Model) -> None:
        with pytest.raises(OptionError, match=r"images that the model was made for .* --data 'digits'"):
            find_images("digits", tiny)
        assert len(find_images("digits", load("digits"))) == 599
        assert not find_images("none", load("digits")).labelled

    @pytest.mark.long
    def test_photographs_have_no_labels(self, tiny: Model) -> None:
        found = find_images("none", tiny)
        (pixels, _), *_ = found.batches(tiny, 8)
        assert not found.labelled
        assert pixels.shape == (8, 3, 8, 8)
        assert pixels.std() > 0.1
        assert torch.equal(pixels, next(iter(find_images("none", tiny).batches(tiny, 8)))[0])

    @pytest.mark.parametrize(
        ("package", "missing", "data"), [("PIL", "pillow", None), ("sklearn.datasets", "scikit-learn", "none")]
    )
    def test_missing_package_is_told(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny: Model, package: str, missing: str, data: str | None
    ) -> None:
        paint(tmp_path / "0/a.png")
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(MissingExtraError, match=rf"the package {missing} is not installed"):
            find_images(data or str(tmp_path), tiny)


class TestShortening:
    """CHOOSE-2: the prefix and a random subset of the patches."""

    def test_rows_are_prefix_and_a_subset_of_its_own_for_every_sample(self) -> None:
        rows = random_rows(50, 9, 5, prefix=2, generator=torch.Generator().manual_seed(3))
        assert torch.equal(rows[:, :2], torch.tensor([0, 1]).expand(50, 2))
        assert (rows.diff(dim=1) > 0).all()
        assert set(rows[:, 2:].flatten().tolist()) == set(range(2, 9))
        assert len(rows.unique(dim=0)) > 10

    @pytest.mark.parametrize("keep", [2, 10])
    def test_length_without_a_patch_is_refused(self, keep: int) -> None:
        with pytest.raises(CountError, match=rf"expected 3 <= k <= 9 tokens \(CHOOSE-2\), got k={keep}"):
            random_rows(1, 9, keep, prefix=2, generator=torch.Generator())

    def test_model_sees_the_rows_only(self) -> None:
        model = load("digits")
        seen: list[Tensor] = []
        handles = [
            block.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0])) for block in model.blocks[:1]
        ]
        pixels = model.random_images(2)
        whole = model.logits(pixels)
        rows = torch.tensor([[0, 3, 5], [0, 1, 16]])
        with shortened(model.blocks[0], rows):
            model.logits(pixels)
        handles[0].remove()
        with shortened(model.blocks[0], rows):
            short = model.logits(pixels)
        assert torch.equal(model.logits(pixels), whole), "nothing is left behind"
        assert not torch.equal(short, whole)
        expected = manual(model, seen[0], rows)
        assert torch.equal(short, expected)


def manual(model: Model, tokens: Tensor, rows: Tensor) -> Tensor:
    """The blocks on chosen rows, one sample at a time."""
    assert isinstance(model.module, DigitsViT)
    chosen = torch.stack([sample[row] for sample, row in zip(tokens, rows, strict=True)])
    with torch.inference_mode():
        for block in model.blocks:
            chosen = block(chosen)
        logits: Tensor = model.module.head(model.module.norm(chosen[:, 0]))
    return logits
