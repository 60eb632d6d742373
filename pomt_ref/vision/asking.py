"""What a model says of itself and does with an image, asked before it is measured; its errors are told in one line."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import index
from typing import Final

import torch
from torch import Tensor, nn

from pomt_ref.errors import OptionError, PomtError
from pomt_ref.vision import vit

HALF: Final = (0.5, 0.5, 0.5)
"""Mean and standard deviation of the pixels where a model says none."""

TOKEN_AXES: Final = 3
"""Batch, tokens, channels."""

LOGIT_AXES: Final = 2
"""Batch, classes."""


@contextmanager
def blamed(name: str, expected: str, function: str) -> Iterator[None]:
    """Whatever a model's own code raises names the model; errors of ours and of memory stay what they are.

    Raises:
        OptionError: the model raised something.
    """
    try:
        yield
    except (Exception, SystemExit) as error:
        if isinstance(error, PomtError | MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error):
            raise
        told = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise OptionError(function, "CHOOSE-2", expected, f"{name} ({told})") from error


def classify(module: nn.Module, images: Tensor, *, name: str, function: str = "logits") -> Tensor:
    """What a model says of a batch: logits of the shape (batch, classes).

    Raises:
        OptionError: it raises something, or returns anything else.
    """
    expected = f"a model that takes images of the shape {tuple(images.shape)} and returns logits (batch, classes)"
    with blamed(name, expected, function), torch.inference_mode():
        logits: object = module(images)
    if not isinstance(logits, Tensor):
        raise OptionError(function, "CHOOSE-2", expected, f"{name}, which returns a {type(logits).__name__}")
    right = logits.ndim == LOGIT_AXES and len(logits) == len(images) and logits.numel() > 0
    if not right or not logits.is_floating_point():
        got = f"{name}, which returns {logits.dtype} of the shape {tuple(logits.shape)}"
        raise OptionError(function, "CHOOSE-2", expected, got)
    return logits


def count_tokens(module: nn.Module, block: nn.Module, images: Tensor, *, name: str, function: str) -> int:
    """The length of the sequence that a block receives as its first argument.

    Raises:
        OptionError: the block does not run, or gets no sequence of tokens.
    """
    seen: list[object] = []
    handle = block.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0] if inputs else None))
    try:
        classify(module, images, name=name, function=function)
    finally:
        handle.remove()
    expected = "a model whose blocks take tokens (batch, tokens, channels) as their first argument, not by keyword"
    if not seen:
        raise OptionError(function, "CHOOSE-2", expected, f"{name}, which does not run its first block")
    tokens = seen[0]
    if not isinstance(tokens, Tensor) or tokens.ndim != TOKEN_AXES or len(tokens) != len(images):
        got = tuple(tokens.shape) if isinstance(tokens, Tensor) else type(tokens).__name__
        raise OptionError(function, "CHOOSE-2", expected, f"{name}, whose first block gets {got}")
    return tokens.shape[1]


def eats(module: nn.Module, name: str, function: str) -> tuple[tuple[int, ...], tuple[float, ...], tuple[float, ...]]:
    """The shape of an image, and the mean and deviation of its pixels.

    Raises:
        OptionError: the model does not say, or what it says is none.
    """
    if isinstance(module, vit.DigitsViT):
        return (vit.IMAGE_SIDE, vit.IMAGE_SIDE), (0.0,), (1.0,)
    expected = "a model that says what it eats (image_shape, or pretrained_cfg as timm writes it)"
    with blamed(name, expected, function):
        said = getattr(module, "pretrained_cfg", None) or {}
        shape = getattr(module, "image_shape", None) or _of_timm(module, said.get("input_size"))
        image = None if shape is None else tuple(index(side) for side in shape)
        mean, deviation = (tuple(map(float, said.get(which, HALF))) for which in ("mean", "std"))
    if image is None:
        raise OptionError(function, "CHOOSE-2", expected, f"{name} ({type(module).__name__})")
    if not image or min(image) < 1:
        raise OptionError(function, "CHOOSE-2", expected, f"{name} (image_shape {image})")
    lengths = {len(mean), len(deviation)} - {1, image[0]}
    if lengths or not all(map(math.isfinite, mean)) or not all(0 < each < math.inf for each in deviation):
        raise OptionError(function, "CHOOSE-2", expected, f"{name} (mean {mean}, std {deviation})")
    return image, mean, deviation


def _of_timm(module: nn.Module, trained: Sequence[int] | None) -> Sequence[int] | None:
    """The image of a model of timm: as it was trained, but for the size that this one was made with (``img_size``)."""
    size: Sequence[int] | None = getattr(getattr(module, "patch_embed", None), "img_size", None)
    return trained if trained is None or size is None else (trained[0], *size)


def blocks_of(module: nn.Module, name: str, function: str) -> tuple[nn.Module, ...]:
    """The blocks, whose first one takes the token sequence.

    Raises:
        OptionError: there are none.
    """
    expected = "a model with transformer blocks"
    with blamed(name, expected, function):
        blocks = getattr(module, "blocks", None)
    if not isinstance(blocks, nn.ModuleList | nn.Sequential) or not len(blocks):
        raise OptionError(function, "CHOOSE-2", expected, f"{name} ({type(module).__name__})")
    return tuple(blocks)


def prefix_of(module: nn.Module, name: str, function: str, *, tokens: int) -> int:
    """P, which leaves a patch of N tokens.

    Raises:
        OptionError: the model does not say, or it cannot be.
    """
    expected = f"a model with num_prefix_tokens from 0 to {tokens - 1}"
    with blamed(name, expected, function):
        prefix = getattr(module, "num_prefix_tokens", None)
    if not isinstance(prefix, int) or isinstance(prefix, bool) or not 0 <= prefix < tokens:
        raise OptionError(function, "CHOOSE-2", expected, f"{name} (num_prefix_tokens = {prefix!r})")
    return prefix
