"""Reading attention and values out of a block while it runs: the one place that knows how a block attends.

A :class:`Capture` hooks into the attention of one block and hands over what a pruning step needs. Whatever it changes
about the block is put back by :meth:`Capture.detach`.
"""

from abc import ABC, abstractmethod
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from pomt_ref.vision.errors import ModelError

ROUNDINGS: Final = 16
"""Roundings that A v may be off by, computed once more: two sums in different orders, their products and stores."""


class Swap:
    """An attribute of a module that has another value while the module is patched."""

    def __init__(self, module: nn.Module, name: str, value: object) -> None:
        self.module = module
        self.name = name
        self.before: object = getattr(module, name)
        setattr(module, name, value)

    def undo(self) -> None:
        """Put back what was there."""
        setattr(self.module, self.name, self.before)


class Capture(ABC):
    """Attention after softmax and values of one block, read while the block runs.

    Its hooks leave in ``seen`` what they saw; ``handles`` and ``swaps`` are what there is to undo.
    """

    def __init__(self) -> None:
        self.handles: list[RemovableHandle] = []
        self.swaps: list[Swap] = []
        self.seen: dict[str, Tensor] = {}

    @abstractmethod
    def attach(self) -> None:
        """Hook into the attention."""

    @abstractmethod
    def attention(self) -> Float[Tensor, "batch heads tokens tokens"]:
        """The attention after softmax."""

    @abstractmethod
    def values(self) -> Float[Tensor, "batch heads tokens features"]:
        """The values of every head."""

    @abstractmethod
    def mixed(self, product: Float[Tensor, "batch tokens channels"]) -> tuple[Tensor, Tensor]:
        """What the block made of A v, and the same made of ``product``: A v of what was captured, head by head."""

    @abstractmethod
    def complete(self) -> bool:
        """Whether this pass has shown both."""

    def detach(self) -> None:
        """Leave the block as it was."""
        for handle in self.handles:
            handle.remove()
        for swap in reversed(self.swaps):
            swap.undo()
        self.handles.clear()
        self.swaps.clear()
        self.forget()

    def forget(self) -> None:
        """Keep no tensor of a pass that is over."""
        self.seen.clear()

    def prove(self) -> None:
        """POMT-ATT-1, POMT-MAG-1: the block computed with this very attention and with these very values.

        Raises:
            ModelError: what went on in the block is not A v of what was captured.
        """
        v = self.values()
        got, expected = self.mixed((self.attention().to(v.dtype) @ v).transpose(1, 2).flatten(2))
        scale = max(float(got.abs().max()), float(v.abs().max()))
        distance = float((got - expected).abs().max())
        if not distance <= ROUNDINGS * torch.finfo(got.dtype).eps * scale:
            told = f"{distance:.1e} between what went on in the block and what they make"
            raise ModelError("patch", "POMT-ATT-1", "the attention and the values that the block multiplies", told)
