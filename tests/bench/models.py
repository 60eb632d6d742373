"""Figures of a whole model that prunes in one block: with the matrix of attention, without it, and the model alone.

The model is timm's vision transformer in the size of DINOv2's ViT-L/14 at 518 pixels. Its weights are random: neither
time nor memory asks what they are.
"""

import copy
import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor, nn

from pomt_ref.vision import patch
from tests.bench.memory import peak_of
from tests.bench.result import Figure
from tests.bench.timing import Thunk, by_turns, ratio, spread_of
from tests.real_models import import_timm

MIB: Final = 2**20

WAYS: Final[Mapping[str, bool | None]] = {"unpatched": None, "patched": False, "patched, streaming": True}
"""Whether ``patch`` is told to be streaming, if it is called."""

ALLOCATORS: Final = {"default": "", "returned": "glibc.malloc.mmap_threshold=65536"}
"""What GLIBC_TUNABLES is set to: nothing, or that what is freed is given back at once, so that the peak is what is
held. Else there are holes in a heap of blocks of several sizes."""

CHILD: Final = """
import sys
from tests.bench import models
print(models.peak(models.Size(*map(int, sys.argv[2:])), sys.argv[1]))
"""


@dataclass(frozen=True)
class Size:
    """A model, and how often it is run."""

    image: int = 518
    patch: int = 14
    channels: int = 1024
    depth: int = 24
    heads: int = 16
    rounds: int = 5

    @property
    def patches(self) -> int:
        """Of a square image."""
        return (self.image // self.patch) ** 2

    @property
    def layer(self) -> int:
        """The block that prunes: the one after a quarter of the depth."""
        return self.depth // 4

    @property
    def remove(self) -> int:
        """R: a quarter of the patches."""
        return self.patches // 4

    @property
    def words(self) -> str:
        """What a row says of it."""
        return f"N = {self.patches + 1}, R = {self.remove} in block {self.layer} of {self.depth}"


SHORT: Final = Size(image=112, channels=64, depth=4, heads=4, rounds=3)
"""For a test of the bench itself."""


def plain_model(size: Size) -> nn.Module:
    """Random weights, a class token, layer scale, no classifier."""
    torch.manual_seed(0)
    model: nn.Module = import_timm().models.vision_transformer.VisionTransformer(
        img_size=size.image, patch_size=size.patch, embed_dim=size.channels, depth=size.depth, num_heads=size.heads,
        init_values=1e-5, num_classes=0,
    )  # fmt: skip
    return model.eval()


def patched_by(way: str, model: nn.Module, size: Size) -> nn.Module:
    """The model as it is run."""
    streaming = WAYS[way]
    if streaming is None:
        return model
    return patch(model, remove=size.remove, layer=size.layer, check="shapes", streaming=streaming)


def image_for(size: Size) -> Tensor:
    """Noise."""
    return torch.randn(1, 3, size.image, size.image, generator=torch.Generator().manual_seed(1))


def with_weights_of(model: nn.Module) -> nn.Module:
    """Modules of its own, which hooks are put into, and the very same parameters."""
    memo: dict[int, Any] = {id(each): each for each in model.parameters()}
    return copy.deepcopy(model, memo)


def peak(size: Size, way: str) -> int:
    """Bytes that a pass needs beyond what the process holds, once it has run and given back what it freed."""
    torch.set_num_threads(1)
    model, image = patched_by(way, plain_model(size), size), image_for(size)
    with torch.inference_mode():
        model(image)
        ctypes.CDLL(None).malloc_trim(0)  # of glibc: else what an earlier pass has freed would hide what this one needs
        return peak_of(lambda: model(image))


def extra_memory(size: Size, way: str, allocator: str) -> int:
    """Of one pass, in a process of its own that starts with an allocator."""
    environment = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    environment |= {"GLIBC_TUNABLES": ALLOCATORS[allocator]} if ALLOCATORS[allocator] else {}
    command = [sys.executable, "-c", CHILD, way, *map(str, astuple(size))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return int(done.stdout.splitlines()[-1])


def memory(size: Size) -> Iterator[Figure]:
    """What a pass needs at its peak beyond weights and input, the output included."""
    for allocator in ALLOCATORS:
        extra = {way: extra_memory(size, way, allocator) for way in WAYS}
        for way, needed in extra.items():
            megabytes = spread_of([needed / MIB])
            yield Figure("extra memory of a model", f"{way}, {size.words}", allocator, "MiB", megabytes)
        for way in list(WAYS)[1:]:
            share = spread_of([extra[way] / extra["unpatched"]])
            yield Figure("extra memory of a model / unpatched", f"{way}, {size.words}", allocator, "ratio", share)


def latency(size: Size) -> Iterator[Figure]:
    """Seconds of a pass, by turns, of three models that share their weights."""
    model, image = plain_model(size), image_for(size)
    models = {way: patched_by(way, with_weights_of(model), size) for way in WAYS}
    runs: dict[str, Thunk] = {way: partial(each, image) for way, each in models.items()}
    with torch.inference_mode():
        seconds = by_turns(runs, rounds=size.rounds)
    for way in WAYS:
        yield Figure("time of a model", f"{way}, {size.words}", "", "ms", spread_of(seconds[way]).times(1e3))
    for way in list(WAYS)[1:]:
        against = ratio(seconds[way], seconds["unpatched"])
        yield Figure("time of a model / unpatched", f"{way}, {size.words}", "", "ratio", against)
    against = ratio(seconds["patched, streaming"], seconds["patched"])
    yield Figure("time of a model / patched with the matrix", f"streaming, {size.words}", "", "ratio", against)


def measure(size: Size) -> list[Figure]:
    """Everything."""
    return [*memory(size), *latency(size)]
