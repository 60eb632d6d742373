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
from pomt_ref.vision import asking, digits
from pomt_ref.vision.examining import refuse_patched

DIGITS: Final = "digits"
"""The name of the packaged transformer."""


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
    mean: tuple[float, ...] = asking.HALF
    """Of the pixels, a channel each, that the model was trained with."""
    deviation: tuple[float, ...] = asking.HALF
    """Of the pixels, as ``mean``."""

    def logits(self, images: Tensor) -> Tensor:
        """What the model says of a batch.

        Raises:
            OptionError: it raises something, or returns no logits.
        """
        return asking.classify(self.module, images, name=self.name)

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
        ModelError: it is patched already.
        OptionError: there is no such model, it does not say of itself what has to be known, does not run, has no blocks
            that take tokens, or the weights are not its own.
        DeviceError: the device is not there.
        MissingExtraError: timm is not installed.
    """
    place = _device(device, function)
    torch.manual_seed(seed)
    module = _module(name, weights, function)
    refuse_patched(module, function)
    with asking.blamed(name, f"a model that can work in {dtype} on {device}", function):
        module = module.requires_grad_(requires_grad=False).eval().to(place, dtype)
    image, mean, deviation = asking.eats(module, name, function)
    blocks = asking.blocks_of(module, name, function)
    with asking.blamed(name, "a model whose image_shape fits in memory", function):
        images = torch.zeros(1, *image, dtype=dtype, device=place)
    tokens = asking.count_tokens(module, blocks[0], images, name=name, function=function)
    prefix = asking.prefix_of(module, name, function, tokens=tokens)
    return Model(name, module, blocks, prefix, tokens, image, dtype, place, mean, deviation)


def _device(name: str, function: str) -> torch.device:
    """The device, if it can work."""
    try:
        torch.zeros(1, device=name).cpu()  # what has no values, as on meta, measures nothing
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
    with asking.blamed(name, expected, function):
        found = getattr(importlib.import_module(place), attribute)
        module = found if isinstance(found, nn.Module) else found()
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
