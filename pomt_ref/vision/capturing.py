"""Reading attention and values out of a block while it runs: the one place that knows how a block attends.

A :class:`Capture` hooks into the attention of one block and hands over what a pruning step needs: the attention itself,
which the block then has to compute as a matrix, or the queries and keys that it is made of. Whatever it changes about
the block is put back by :meth:`Capture.detach`.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, Final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from pomt_ref.vision.attending import Attention, QueriesKeys, attended
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
    """Attention and values of one block, read while the block runs.

    Its hooks leave in ``seen`` what they saw; ``handles`` and ``swaps`` are what there is to undo.

    Arguments:
        streaming: whether queries and keys are read, and the block attends by a fused kernel; else the attention after
            softmax.
    """

    of_matrix: ClassVar[frozenset[str]]
    """What has to be seen of a pass, where attention is read."""
    of_queries: ClassVar[frozenset[str]]
    """What has to be seen of it, where queries and keys are."""

    def __init__(self, *, streaming: bool = False) -> None:
        self.streaming = streaming
        self.handles: list[RemovableHandle] = []
        self.swaps: list[Swap] = []
        self.seen: dict[str, Tensor] = {}

    @abstractmethod
    def attach(self) -> None:
        """Hook into the attention; have it computed as a matrix, or by a fused kernel."""

    @abstractmethod
    def attention(self) -> Float[Tensor, "batch heads tokens tokens"]:
        """The attention after softmax."""

    @abstractmethod
    def queries_and_keys(self) -> QueriesKeys:
        """The queries and the keys of every head as they are multiplied, and the scale."""

    @abstractmethod
    def values(self) -> Float[Tensor, "batch heads tokens features"]:
        """The values of every head."""

    @abstractmethod
    def mixed(self, product: Float[Tensor, "batch tokens channels"]) -> tuple[Tensor, Tensor]:
        """What the block made of A v, and the same made of ``product``: A v of what was captured, head by head."""

    def read(self) -> tuple[Attention, Float[Tensor, "batch heads tokens features"]]:
        """Whichever of the two is read, and the values.

        Under autocast a norm may return float32, and attention is computed in the dtype of the values all the same.
        """
        v = self.values()
        return (self.queries_and_keys().to(v.dtype) if self.streaming else self.attention()), v

    def complete(self) -> bool:
        """Whether this pass has shown all of it."""
        return self.seen.keys() >= (self.of_queries if self.streaming else self.of_matrix)

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
        attention, v = self.read()
        got, expected = self.mixed(attended(attention, v).transpose(1, 2).flatten(2))
        scale = max(float(got.abs().max()), float(v.abs().max()))
        distance = float((got - expected).abs().max())
        if not distance <= ROUNDINGS * torch.finfo(got.dtype).eps * scale:
            read = "queries, keys and values" if self.streaming else "attention and the values"
            told = f"{distance:.1e} between what went on in the block and what they make"
            raise ModelError("patch", "POMT-ATT-1", f"the {read} that the block multiplies", told)
