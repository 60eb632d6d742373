"""Images in batches that a model can take: a folder of pictures, one folder a class, or crops of two photographs."""

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from pomt_ref.errors import MissingExtraError, OptionError
from pomt_ref.vision import digits
from pomt_ref.vision.models import DIGITS, Model

if TYPE_CHECKING:
    from PIL.Image import Image

KINDS: Final = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
"""Suffixes of files that are looked at; everything else in a folder is no image."""

CROPS: Final = 32
"""Crops of photographs: enough to see a model change its mind, few enough for a processor."""


CHANNELS: Final = 3
"""Of an image in colours; and such an image has as many axes."""

LARGEST_LABEL: Final = 2**63 - 1
"""Labels are 64-bit integers."""


@dataclass
class Images:
    """Where images come from, and which of them could not be read."""

    files: tuple[tuple[Path, int], ...] = ()
    """Every file with its class."""
    ready: tuple[Float[Tensor, "images *image"], Int64[Tensor, " images"]] | None = None
    """Images that are in memory already, with their classes."""
    labelled: bool = True
    """Whether the classes mean anything."""
    unreadable: list[Path] = field(default_factory=list)
    """Filled while batches are read; each file once."""

    def __len__(self) -> int:
        """How many there are, before anything was found unreadable."""
        return len(self.files) if self.ready is None else len(self.ready[1])

    def batches(
        self, model: Model, size: int
    ) -> Iterator[tuple[Float[Tensor, "batch *image"], Int64[Tensor, " batch"]]]:
        """Images as the model takes them, and their classes, in order; what cannot be read is left out.

        Arguments:
            model: what they are for.
            size: images in a batch; the last may be smaller.
        """
        if self.ready is not None:
            images, labels = self.ready
            yield from zip(images.to(model.device, model.dtype).split(size), labels.split(size), strict=True)
            return
        for start in range(0, len(self.files), size):
            read = [
                (pixels, label)
                for file, label in self.files[start : start + size]
                for pixels in self._read(file, model)
            ]
            if read:
                pixels = torch.stack([one for one, _ in read])
                yield pixels.to(model.device, model.dtype), torch.tensor([label for _, label in read])

    def _read(self, file: Path, model: Model) -> list[Tensor]:
        """One image, or none."""
        try:
            return [read_image(file, model)]
        except Exception:  # noqa: BLE001 -- Pillow's readers of broken files raise whatever they come across
            if file not in self.unreadable:
                self.unreadable.append(file)
            return []


def one_line(file: Path) -> str:
    r"""The name of a file as it can be shown and written, whatever is in it: bytes that are no text, or a new line.

    >>> print(one_line(Path("bad\udcff.png")))
    bad\udcff.png
    """
    letters = (each if each.isprintable() else each.encode("unicode_escape").decode() for each in str(file))
    return "".join(letters)


def find_images(data: str, model: Model, *, function: str = "choose") -> Images:
    """The images that an option names.

    Arguments:
        data: a folder that has one folder a class (where all of these are called by numbers, the number is the class;
            otherwise their alphabetical order counts); ``digits``, for the packaged model; or ``none``, for images
            without labels: crops of two photographs that scikit-learn brings, or the digits for the packaged model.
        model: what will see them.
        function: whom an error names.

    Returns:
        The images.

    Raises:
        OptionError: there is no such folder, no image in it, a class that is no label, or the model takes other images.
        MissingExtraError: Pillow, or scikit-learn for the digits, is not installed.
    """
    if model.name != DIGITS and (len(model.image) != CHANNELS or model.image[0] != CHANNELS):
        expected = "a model that takes images in three colours, of the shape (3, rows, columns)"
        raise OptionError(function, "CHOOSE-2", expected, f"{model.name}, {model.image}")
    if data == "none" and model.name != DIGITS:
        crops = photographs(model)
        return Images(ready=(crops, torch.zeros(len(crops), dtype=torch.int64)), labelled=False)
    if (data == DIGITS and model.name != DIGITS) or (model.name == DIGITS and data not in {"none", DIGITS}):
        expected = "images that the model was made for (digits has its own)"
        raise OptionError(function, "CHOOSE-2", expected, f"--data {data!r}, {model.name}")
    if model.name == DIGITS:
        found = digits.load_digits("test")
        return Images(ready=(found.images, found.labels), labelled=data == DIGITS)
    folder = Path(data)
    try:
        if not data or not folder.is_dir():
            expected = "a folder of images, one folder a class, or none"
            raise OptionError(function, "CHOOSE-2", expected, f"--data {data!r}")
        files = tuple(_labelled(folder, function))
    except OSError as error:
        got = f"{error.filename} ({error.strerror})"
        raise OptionError(function, "CHOOSE-2", "a folder that can be read", got) from error
    if not files:
        raise OptionError(
            function, "CHOOSE-2", "images, one folder a class", f"none in {folder} (their names end in .png, .jpg, …)"
        )
    _pillow(function)
    return Images(files)


def read_image(file: Path, model: Model) -> Float[Tensor, "channels rows columns"]:
    """An image as the model was trained to see it: its middle, resized to the model's size, normalised.

    Raises:
        OSError: it cannot be read; of some broken files Pillow says something else.
    """
    from PIL import Image  # noqa: PLC0415 -- only a folder of images needs it

    if not file.is_file():
        raise OSError(f"{file} is no regular file")  # to open a pipe waits for ever
    with Image.open(file) as opened:
        colours = _middle(opened.convert("RGB"), model.image[-1], model.image[-2])
    pixels = torch.from_numpy(np.asarray(colours, dtype=np.float32) / 255).permute(2, 0, 1)
    mean, deviation = (torch.tensor(each)[:, None, None] for each in (model.mean, model.deviation))
    return (pixels - mean) / deviation


def photographs(model: Model, *, crops: int = CROPS, seed: int = 0) -> Float[Tensor, "images channels rows columns"]:
    """Random crops of the two photographs that scikit-learn brings, as the model takes them.

    Arguments:
        model: what will see them; it takes three channels.
        crops: how many.
        seed: of the places; the same seed crops the same.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    try:
        bring = importlib.import_module("sklearn.datasets").load_sample_image
    except ImportError as error:
        raise MissingExtraError("photographs", "vision", "scikit-learn") from error
    height, width = model.image[-2:]
    generator = torch.Generator().manual_seed(seed)
    mean, deviation = (torch.tensor(each)[:, None, None] for each in (model.mean, model.deviation))
    pictures = [
        torch.from_numpy(bring(name).copy()).permute(2, 0, 1).float() / 255 for name in ("china.jpg", "flower.jpg")
    ]
    found = []
    for crop in range(crops):
        whole = pictures[crop % 2]
        side = int(torch.randint(whole.shape[1] // 3, whole.shape[1] + 1, (1,), generator=generator))
        top, left = (int(torch.randint(size - side + 1, (1,), generator=generator)) for size in whole.shape[1:])
        piece = whole[None, :, top : top + side, left : left + side]
        resized = nn.functional.interpolate(piece, (height, width), mode="bilinear", antialias=True)
        found.append((resized[0] - mean) / deviation)
    return torch.stack(found)


def _middle(image: "Image", width: int, height: int) -> "Image":
    """Resized so that it covers the frame, and cropped to it in the middle."""
    from PIL import Image, ImageOps  # noqa: PLC0415 -- as above

    return ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC)


def _labelled(folder: Path, function: str) -> Iterator[tuple[Path, int]]:
    """Every image of every class, in the order of their names."""
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    for place, of_class in enumerate(classes):
        label = int(of_class.name) if _numbered(classes) else place
        if label > LARGEST_LABEL:
            expected = f"numbers of classes up to {LARGEST_LABEL}"
            raise OptionError(function, "CHOOSE-2", expected, f"{one_line(of_class)}")
        yield from ((file, label) for file in sorted(of_class.rglob("*")) if file.suffix.lower() in KINDS)


def _numbered(classes: Sequence[Path]) -> bool:
    """Whether folders are called by the number of their class."""
    return all(path.name.isdecimal() for path in classes)


def _pillow(function: str) -> None:
    """Refuse early where Pillow is missing."""
    if find_spec("PIL") is None:
        raise MissingExtraError(function, "vision", "pillow")
