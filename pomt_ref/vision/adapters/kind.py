"""What patching has to know of one kind of transformer block, and how a block is recognised."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import nn

from pomt_ref.vision.splicing import Splice


class Kind(ABC):
    """One kind of block, recognised by the class whose ``forward`` it runs: no package is imported for it."""

    names: ClassVar[tuple[str, ...]]
    """Dotted names of those classes."""

    @abstractmethod
    def refusal(self, block: nn.Module) -> str | None:
        """What is in this block that would not be pruned rightly, or nothing."""

    @abstractmethod
    def streaming_refusal(self, block: nn.Module) -> str | None:
        """Why queries and keys of this block, which is understood, cannot be read without the matrix, or nothing."""

    @abstractmethod
    def splice(self, block: nn.Module, *, streaming: bool = False) -> Splice:
        """The place for a step in this block.

        Arguments:
            block: one that is not refused.
            streaming: whether the step is given queries and keys, and no matrix is made; else attention after softmax.
        """

    @abstractmethod
    def prefix(self, owner: nn.Module) -> int | None:
        """P of the module that holds the blocks, where that says it."""

    @abstractmethod
    def shape(self, owner: nn.Module, model: nn.Module, *, tokens: int) -> tuple[int, ...] | None:
        """The shape of an input of the model, one sample large, where owner or model say it.

        Arguments:
            owner: holds the blocks.
            model: what is patched; the owner, or a module around it.
            tokens: how many there are to be, if it is tokens that the model is given.
        """


def forward_of(module: nn.Module) -> str:
    """The dotted name of the class whose ``forward`` a module runs; ``own`` of one that was replaced in the object.

    >>> forward_of(nn.Linear(1, 1))
    'torch.nn.modules.linear.Linear'
    """
    if "forward" in vars(module):
        return f"{type(module).__module__}.{type(module).__qualname__} with a forward of its own"
    owner = next(each for each in type(module).__mro__ if "forward" in vars(each))
    return f"{owner.__module__}.{owner.__qualname__}"
