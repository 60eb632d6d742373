"""A model by name, with what measuring it needs: its blocks, its prefix, its token count and what it eats.

Three kinds of names: ``digits``, the packaged transformer; ``package.module:attribute``, a model of the user's or a
function that makes one; any other is a model of timm (extra ``vision``), with random weights unless a file is given.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pomt_ref.errors import DeviceError, MissingExtraError, OptionError
from pomt_ref.vision import digits, vit

DIGITS: Final = "digits"
"""The name of the packaged transformer."""

HALF: Final = (0.5, 0.5, 0.5)
"""Mean and standard deviation of the pixels where a model says none."""


@dataclass(frozen=True)
class Model:
    """A model in evaluation mode, without gradients, on its device."""

    name: str
    module: nn.Module
    blocks: tuple[nn.Module, ...]
    """Its transformer blocks, in order; the first argument of each is the token sequence."""
    prefix: int
    """P."""
    tokens: int
    """N at its own image size."""
    image: tuple[int, ...]
    """The shape of one image."""
    dtype: torch.dtype
    device: torch.device
    mean: tuple[float, ...] = HALF
    """Of the pixels, a channel each, that the model was trained with."""
    deviation: tuple[float, ...] = HALF
    """Of the pixels, as ``mean``."""

    def logits(self, images: Tensor) -> Tensor:
        """What the model says of a batch."""
        with torch.inference_mode():
            logits: Tensor = self.module(images)
        return logits

    def random_images(self, batch: int, *, seed: int = 0) -> Tensor:
        """Normally distributed pixels: latency does not depend on what is seen."""
        drawn = torch.randn(batch, *self.image, generator=torch.Generator().manual_seed(seed))
        return drawn.to(self.device, self.dtype)


def load(
    name: str,
    *,
    weights: Path | None = None,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    seed: int = 0,
    function: str = "choose",
) -> Model:
    """Make a model and find out what it is.

    Arguments:
        name: see the top of this module.
        weights: safetensors or a checkpoint of torch for a model of timm; without it its weights are random.
        dtype: of its parameters, and of the images it is given.
        device: where it works.
        seed: of random weights.
        function: whom an error names.

    Returns:
        The model.

    Raises:
        OptionError: there is no such model, it has no blocks that take tokens, or the weights are not its own.
        DeviceError: the device is not there.
        MissingExtraError: timm is not installed.
    """
    place = _device(device, function)
    torch.manual_seed(seed)
    module = _module(name, weights, function).requires_grad_(requires_grad=False).eval().to(place, dtype)
    image, mean, deviation = _eats(module, name, function)
    blocks = _blocks(module, name, function)
    prefix = getattr(module, "num_prefix_tokens", None)
    if not isinstance(prefix, int):
        raise OptionError(function, "CHOOSE-2", "a model with num_prefix_tokens", f"{name} ({type(module).__name__})")
    tokens = count_tokens(module, blocks[0], torch.zeros(1, *image, dtype=dtype, device=place))
    return Model(name, module, blocks, prefix, tokens, image, dtype, place, mean, deviation)


def count_tokens(module: nn.Module, block: nn.Module, images: Tensor) -> int:
    """The length of the sequence that a block receives."""
    seen: list[int] = []
    handle = block.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[1]))
    try:
        with torch.inference_mode():
            module(images)
    finally:
        handle.remove()
    return seen[0]


def _device(name: str, function: str) -> torch.device:
    """The device, if it can work."""
    try:
        torch.zeros(1, device=name)
        return torch.device(name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        told = str(error).partition("\n")[0]
        raise DeviceError(function, "CHOOSE-2", "a device of this machine", f"device={name!r} ({told})") from error


def _module(name: str, weights: Path | None, function: str) -> nn.Module:
    """The model of that name, its weights loaded."""
    if name == DIGITS or ":" in name:
        if weights is not None:
            raise OptionError(function, "CHOOSE-2", "weights with a model of timm only", f"{name} and {weights}")
        return digits.load_model() if name == DIGITS else _of_user(name, function)
    try:
        timm = importlib.import_module("timm")
    except ImportError as error:
        raise MissingExtraError(function, "vision", "timm") from error
    except Exception as error:  # such as torchvision's, where its build is not for this torch
        told = f"{type(error).__name__}: {error}".partition("\n")[0]
        expected = f"digits, package.module:attribute, or a timm that can be imported for {name}"
        raise OptionError(function, "CHOOSE-2", expected, told) from error
    if not timm.is_model(name):
        raise OptionError(function, "CHOOSE-2", "digits, package.module:attribute, or a model of timm", f"{name!r}")
    module: nn.Module = timm.create_model(name, pretrained=False)
    if weights is not None:
        _load_weights(module, weights, function)
    return module


def _of_user(name: str, function: str) -> nn.Module:
    """``package.module:attribute``: a model, or what makes one when it is called without arguments."""
    place, _, attribute = name.partition(":")
    expected = "package.module:attribute of a torch model, or of a function that makes one"
    try:
        found = getattr(importlib.import_module(place), attribute)
        module = found if isinstance(found, nn.Module) else found()
    except Exception as error:
        told = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise OptionError(function, "CHOOSE-2", expected, f"{name} ({told})") from error
    if not isinstance(module, nn.Module):
        raise OptionError(function, "CHOOSE-2", expected, f"{name}, a {type(module).__name__}")
    return module


def _load_weights(module: nn.Module, weights: Path, function: str) -> None:
    """Replace the random weights by those of a file."""
    read: Callable[[Path], dict[str, Tensor]]
    read = load_file if weights.suffix == ".safetensors" else lambda file: torch.load(file, weights_only=True)
    try:
        module.load_state_dict(read(weights))
    except Exception as error:
        told = " ".join(str(error).split())[:200]
        raise OptionError(
            function, "CHOOSE-2", "a file with the weights of this model", f"{weights} ({told})"
        ) from error


def _eats(module: nn.Module, name: str, function: str) -> tuple[tuple[int, ...], tuple[float, ...], tuple[float, ...]]:
    """The shape of an image, and the mean and deviation of its pixels."""
    if isinstance(module, vit.DigitsViT):
        return (vit.IMAGE_SIDE, vit.IMAGE_SIDE), (0.0,), (1.0,)
    said = getattr(module, "pretrained_cfg", None) or {}
    image = getattr(module, "image_shape", None) or said.get("input_size")
    if image is None:
        expected = "a model that says what it eats (image_shape, or pretrained_cfg as timm writes it)"
        raise OptionError(function, "CHOOSE-2", expected, f"{name} ({type(module).__name__})")
    return tuple(image), tuple(said.get("mean", HALF)), tuple(said.get("std", HALF))


def _blocks(module: nn.Module, name: str, function: str) -> tuple[nn.Module, ...]:
    """The blocks, whose first one takes the token sequence."""
    blocks = getattr(module, "blocks", None)
    if not isinstance(blocks, nn.ModuleList | nn.Sequential) or not len(blocks):
        raise OptionError(function, "CHOOSE-2", "a model with transformer blocks", f"{name} ({type(module).__name__})")
    return tuple(blocks)
