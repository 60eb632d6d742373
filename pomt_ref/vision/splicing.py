"""A pruning step between the two residuals of one block, by hooks alone (CHOOSE-3).

A block of a transformer adds its attention to the tokens, and then its MLP. The second residual bypasses the second
norm, so that a hook on the norm alone cannot shorten what the block returns: its second half has to be taken over.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from pomt_ref.errors import OptionError
from pomt_ref.vision.attending import Attention
from pomt_ref.vision.capturing import Capture
from pomt_ref.vision.errors import ModelError

StepFunction = Callable[[Tensor, Attention, Tensor], Tensor]
"""What stands between the residuals: x, attention and values of a block to the tokens that go on."""


class Splice(ABC):
    """One block, and the place in it where a step stands."""

    proving: bool = False
    """While the model is examined: the block returns what it computes itself, and that is compared with the splice."""

    @abstractmethod
    def attach(self, step: StepFunction) -> None:
        """Put a step between the residuals; it sees every forward pass from now on."""

    @abstractmethod
    def detach(self) -> None:
        """Leave the block as it was."""


class HookedSplice(Splice):
    """A block that is a module for every part: its step is put in by hooks, and its attention read by a capture.

    Arguments:
        block: called with the tokens as its first argument.
        capture: reads its attention.
        batch_first: whether tokens are (batch, tokens, channels), or (tokens, batch, channels).
    """

    def __init__(self, block: nn.Module, capture: Capture, *, batch_first: bool = True) -> None:
        self.block = block
        self.capture = capture
        self.batch_first = batch_first
        self.handles: list[RemovableHandle] = []
        self.step: StepFunction | None = None
        self.inside: bool = False
        self.spliced: Tensor | None = None

    def attach(self, step: StepFunction) -> None:
        """Hook into the block."""
        self.step = step
        enter = self.block.register_forward_pre_hook(self.enter, with_kwargs=True)
        self.handles.append(enter)
        self.capture.attach()

    def detach(self) -> None:
        """Take every hook out again."""
        for handle in self.handles:
            handle.remove()
        self.handles.clear()
        self.capture.detach()
        self.forget()
        self.step = None

    def forget(self) -> None:
        """Keep no tensor of a pass that is over."""
        self.capture.forget()
        self.inside = False
        self.spliced = None

    def enter(self, _block: nn.Module, arguments: tuple[object, ...], named: dict[str, object]) -> None:
        """A pass begins: forget the last one; refuse masks, which do not fit the tokens that are left.

        Raises:
            OptionError: a mask is given.
        """
        self.forget()
        self.inside = True
        given = [*((f"argument {place}", value) for place, value in enumerate(arguments)), *named.items()][1:]
        masks = [name for name, value in given if isinstance(value, Tensor) or (name == "is_causal" and value)]
        if masks:
            raise OptionError("patch", "CHOOSE-3", "a pruned block without mask", f"{', '.join(masks)}")

    def shorten(self, x: Tensor) -> Tensor:
        """What the step makes of the tokens between the residuals."""
        assert self.step is not None  # noqa: S101 -- hooks stand only while there is a step
        if not self.capture.complete():
            raise ModelError("patch", "CHOOSE-3", "attention before the second norm", "a block that runs otherwise")
        if self.proving:
            self.capture.prove()
        attention, v = self.capture.read()
        self.capture.forget()  # else all of it would be held while the MLP runs
        if self.batch_first:
            self.spliced = self.step(x, attention, v)
        else:
            self.spliced = self.step(x.transpose(0, 1), attention, v).transpose(0, 1)
        return self.spliced


class PreNormSplice(HookedSplice):
    """A block that adds ``branch(… norm(x))`` to x: its second norm gets the shortened tokens, and so does the sum.

    While it is patched, ``branch`` returns a zero of no axes, which the block may add to tokens of any number, and what
    the block returns is replaced.

    Arguments:
        block: as for :class:`HookedSplice`.
        capture: as for :class:`HookedSplice`.
        norm: the second norm; x is its input.
        branch: the last module before the second residual.
        batch_first: as for :class:`HookedSplice`.
    """

    def __init__(
        self, block: nn.Module, capture: Capture, *, norm: nn.Module, branch: nn.Module, batch_first: bool = True
    ) -> None:
        super().__init__(block, capture, batch_first=batch_first)
        self.norm = norm
        self.branch = branch
        self.update: Tensor | None = None

    def attach(self, step: StepFunction) -> None:
        """Hook into the norm, the branch and the block."""
        super().attach(step)
        self.handles.extend(
            [
                self.norm.register_forward_pre_hook(self.between),
                self.branch.register_forward_hook(self.take_update),
                self.block.register_forward_hook(self.leave, prepend=True),
            ]
        )

    def forget(self) -> None:
        """Keep no tensor of a pass that is over."""
        super().forget()
        self.update = None

    def between(self, _norm: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Shorten what the norm reads; outside a pass of the block it is left alone."""
        return (self.shorten(arguments[0]),) if self.inside else arguments

    def take_update(self, _branch: nn.Module, _arguments: tuple[Tensor, ...], output: Tensor) -> Tensor:
        """Keep what the branch computed; a module that also ends the attention is left alone there, and outside.

        Raises:
            ModelError: it runs twice, as where one module stands in two places of the MLP: which of them is the sum?
        """
        if self.spliced is None:
            return output
        if self.update is not None:
            got = "one that runs twice"
            raise ModelError("patch", "CHOOSE-3", "a module at the end of the MLP that runs once after the norm", got)
        self.update = output
        return output if self.proving else output.new_zeros(())

    def leave(self, _block: nn.Module, _arguments: tuple[object, ...], output: Tensor) -> Tensor:
        """The second residual of the shortened tokens.

        Raises:
            ModelError: the block does something else than adding what the branch computed.
        """
        if self.spliced is None or self.update is None:
            got = "a pass of the block in which one of them did not run"
            raise ModelError("patch", "CHOOSE-3", "attention, then norm, then MLP", got)
        whole = self.spliced + self.update
        self.forget()
        if self.proving and not same(whole, output):
            raise ModelError("patch", "CHOOSE-3", "R = 0 to be the identity", "a block that returns something else")
        return whole


class PostNormSplice(HookedSplice):
    """A block whose second residual starts at the output of its first norm: that output is shortened.

    Arguments:
        block: as for :class:`HookedSplice`.
        capture: as for :class:`HookedSplice`.
        norm: the first norm; x is its output.
        batch_first: as for :class:`HookedSplice`.
    """

    def __init__(self, block: nn.Module, capture: Capture, *, norm: nn.Module, batch_first: bool = True) -> None:
        super().__init__(block, capture, batch_first=batch_first)
        self.norm = norm

    def attach(self, step: StepFunction) -> None:
        """Hook into the norm."""
        super().attach(step)
        self.handles.append(self.norm.register_forward_hook(self.between))

    def between(self, _norm: nn.Module, _arguments: tuple[Tensor, ...], output: Tensor) -> Tensor:
        """Shorten what the norm returns; outside a pass of the block it is left alone."""
        if not self.inside:
            return output
        shortened = self.shorten(output)
        self.forget()
        return shortened


def same(one: Tensor, other: Tensor) -> bool:
    """The same numbers in the same dtype."""
    return one.shape == other.shape and one.dtype == other.dtype and bool(torch.equal(one, other))


def detach_all(splices: Iterable[Splice]) -> None:
    """Leave every block as it was."""
    for splice in splices:
        splice.detach()
