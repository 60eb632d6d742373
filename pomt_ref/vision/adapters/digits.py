"""Blocks of the project's own :class:`pomt_ref.vision.vit.DigitsViT`, which are open where POMT prunes."""

from typing import ClassVar

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from pomt_ref.errors import OptionError
from pomt_ref.vision.adapters.kind import Kind
from pomt_ref.vision.splicing import Splice, StepFunction
from pomt_ref.vision.vit import IMAGE_SIDE, PREFIX


class DigitsSplice(Splice):
    """A block that takes the step as its second argument."""

    def __init__(self, block: nn.Module) -> None:
        self.block = block
        self.step: StepFunction | None = None
        self.handle: RemovableHandle | None = None

    def attach(self, step: StepFunction) -> None:
        """Pass the step in every call."""
        self.step = step
        self.handle = self.block.register_forward_pre_hook(self.enter)

    def detach(self) -> None:
        """Pass nothing any more."""
        if self.handle is not None:
            self.handle.remove()
        self.handle = self.step = None

    def enter(self, _block: nn.Module, arguments: tuple[Tensor, object]) -> tuple[Tensor, StepFunction | None]:
        """The tokens as they come, with the step.

        Raises:
            OptionError: the call has a step of its own for this block.
        """
        if arguments[1] is not None:
            raise OptionError("patch", "CHOOSE-3", "a pruned block without prune_step", "a prune_step in the call")
        return arguments[0], self.step


class DigitsKind(Kind):
    """``pomt_ref.vision.vit.Block``."""

    names: ClassVar[tuple[str, ...]] = ("pomt_ref.vision.vit.Block",)

    def refusal(self, block: nn.Module) -> str | None:  # noqa: ARG002 -- it is our own
        """Nothing in it is unknown."""
        return None

    def streaming_refusal(self, block: nn.Module) -> str | None:  # noqa: ARG002 -- as above
        """The matrix is what it shows."""
        return "its forward makes the matrix, to be read"

    def splice(self, block: nn.Module, *, streaming: bool = False) -> Splice:  # noqa: ARG002 -- it is refused
        """The place that the block has for it."""
        return DigitsSplice(block)

    def prefix(self, owner: nn.Module) -> int | None:  # noqa: ARG002 -- always the same
        """The class token."""
        return PREFIX

    def shape(self, owner: nn.Module, model: nn.Module, *, tokens: int) -> tuple[int, ...] | None:  # noqa: ARG002 -- always the same
        """A digit."""
        return (1, IMAGE_SIDE, IMAGE_SIDE)
