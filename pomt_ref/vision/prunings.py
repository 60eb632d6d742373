"""The methods that `bench-model` compares, each as something that makes a model prune for a while."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Final

import torch
from torch import Tensor

from pomt_ref.vision.adapters import find_encoder
from pomt_ref.vision.attending import Attention
from pomt_ref.vision.comparing import WHOLE, Pruning
from pomt_ref.vision.digits import random_prune
from pomt_ref.vision.methods import Method
from pomt_ref.vision.models import Model
from pomt_ref.vision.patching import patch
from pomt_ref.vision.planning import default_layer

METHODS: Final[Mapping[str, Method]] = {"POMT": "pomt", "Top-K": "topk", "EViT": "evit"}
"""What a report calls them."""


def prunings(model: Model, *, remove: int, layer: int | None, seed: int) -> dict[str, Pruning]:
    """Every method by its name, the whole model first; those that need a class token where there is one.

    Arguments:
        model: what prunes.
        remove: R.
        layer: the block that prunes; ``None`` for the one after a quarter of the depth (CHOOSE-3).
        seed: of the random order, which is drawn anew every time that random pruning begins.

    Returns:
        Contexts: while one is open, the model prunes.

    Raises:
        PomtError: R or the layer is out of range, or the model is not understood.
    """
    named: dict[str, Method] = {name: method for name, method in METHODS.items() if method == "pomt" or model.prefix}
    methods: dict[str, Pruning] = {WHOLE: nullcontext}
    methods |= {
        name: partial(_patched, model, remove=remove, layer=layer, method=method) for name, method in named.items()
    }
    with _patched(model, remove=remove, layer=layer, method="pomt"):
        pass  # what cannot be is told before anything is measured
    place = default_layer(len(model.blocks)) if layer is None else layer
    return methods | {"random": partial(_random, model, remove=remove, layer=place, seed=seed)}


@contextmanager
def _patched(model: Model, *, remove: int, layer: int | None, method: Method) -> Iterator[None]:
    """The model prunes by a method; values are not checked, as where it is deployed."""
    patched = patch(
        model.module,
        remove=remove,
        layer=layer,
        method=method,
        prefix=model.prefix,
        check="none",
        example=model.random_images(1),
    )
    try:
        yield
    finally:
        patched.unpatch()


@contextmanager
def _random(model: Model, *, remove: int, layer: int, seed: int) -> Iterator[None]:
    """The model keeps random patches, in random order."""
    generator = torch.Generator().manual_seed(seed)

    def step(x: Tensor, _attention: Attention, _v: Tensor) -> Tensor:
        return random_prune(x, remove=remove, generator=generator, prefix=model.prefix).tokens

    encoder = find_encoder(model.module)
    splice = encoder.kind.splice(encoder.blocks[layer])
    splice.attach(step)
    try:
        yield
    finally:
        splice.detach()
