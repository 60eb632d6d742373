"""Finding the transformer blocks of a model, and refusing those that would not be pruned rightly."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from torch import nn

from pomt_ref.vision.adapters.digits import DigitsKind
from pomt_ref.vision.adapters.huggingface import HuggingFaceKind
from pomt_ref.vision.adapters.kind import Kind, forward_of
from pomt_ref.vision.adapters.multihead import EncoderLayerKind, TorchvisionKind
from pomt_ref.vision.adapters.timm import TimmKind
from pomt_ref.vision.errors import ModelError

KINDS: Final[tuple[Kind, ...]] = (TimmKind(), EncoderLayerKind(), TorchvisionKind(), HuggingFaceKind(), DigitsKind())
"""Every kind of block that is understood."""

HOLDERS: Final = ("blocks", "layers", "layer")
"""Attributes under which a model holds its blocks, one after the other."""

SUPPORTED: Final = ", ".join(name for kind in KINDS for name in kind.names)
"""What a refusal lists."""


@dataclass(frozen=True)
class Encoder:
    """The blocks of a model, each of one kind."""

    owner: nn.Module
    """The module that holds them."""
    blocks: tuple[nn.Module, ...]
    kind: Kind


def find_encoder(model: nn.Module, *, streaming: bool = False) -> Encoder:
    """The one sequence of blocks in a model that can be pruned.

    Arguments:
        model: what is to be patched.
        streaming: whether queries and keys of its blocks are to be read.

    Raises:
        ModelError: there is none, there are several, or it has a block in it that is not understood, or whose queries
            and keys cannot be read.
    """
    found = [encoder for owner in model.modules() for encoder in _of(owner)]
    if not found:
        raise ModelError("patch", "CHOOSE-3", f"blocks that are understood ({SUPPORTED})", _what_there_is(model))
    if len(found) > 1:
        names = {module: name or "the model itself" for name, module in model.named_modules()}
        several = ", ".join(names[encoder.owner] for encoder in found)
        raise ModelError("patch", "CHOOSE-3", "one sequence of transformer blocks", f"{len(found)} ({several})")
    _refuse(found[0], streaming=streaming)
    return found[0]


def kind_of(block: nn.Module) -> Kind | None:
    """The kind of a block by the class whose forward it runs, or none.

    >>> kind_of(nn.Linear(1, 1)) is None
    True
    """
    return next((kind for kind in KINDS if forward_of(block) in kind.names), None)


def _of(owner: nn.Module) -> Iterator[Encoder]:
    """What a module holds, where some of it is understood."""
    for blocks in _held(owner):
        kinds = [kind for block in blocks if (kind := kind_of(block)) is not None]
        if kinds:
            yield Encoder(owner, blocks, kinds[0])


def _held(owner: nn.Module) -> Iterator[tuple[nn.Module, ...]]:
    """The sequences of modules that a module holds under the usual names."""
    for name in HOLDERS:
        held = getattr(owner, name, None)
        if isinstance(held, nn.ModuleList | nn.Sequential) and len(held):
            yield tuple(held)


def _refuse(encoder: Encoder, *, streaming: bool) -> None:
    """Raise if there is a block that is not understood: pruning before it would change what it is given."""
    for index, block in enumerate(encoder.blocks):
        if kind_of(block) is not encoder.kind:
            got = f"block {index} is {forward_of(block)}"
            raise ModelError("patch", "CHOOSE-3", f"blocks that are understood ({SUPPORTED})", got)
        if (reason := encoder.kind.refusal(block)) is not None:
            expected = f"blocks that are understood ({SUPPORTED}), with plain attention after softmax"
            raise ModelError("patch", "CHOOSE-3", expected, f"block {index} of {forward_of(block)}: {reason}")
        if streaming and (reason := encoder.kind.streaming_refusal(block)) is not None:
            expected = "streaming=False, or blocks whose queries and keys can be read"
            raise ModelError("patch", "CHOOSE-3", expected, f"block {index} of {forward_of(block)}: {reason}")


def _what_there_is(model: nn.Module) -> str:
    """The model, and what its blocks are, if it has any."""
    name = type(model).__name__
    held = [blocks for owner in model.modules() for blocks in _held(owner)]
    lists = [tuple(module) for module in model.modules() if isinstance(module, nn.ModuleList) and len(module)]
    if not held and not lists:
        return f"{name} without blocks or layers"
    blocks = (held or sorted(lists, key=len, reverse=True))[0]
    return f"{name} with blocks of {', '.join(sorted({forward_of(block) for block in blocks}))}"
