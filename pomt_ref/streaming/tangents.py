"""Forward-mode differentiation is told: the operators have no rule for it, and torch would go on without a tangent."""

from collections.abc import Callable
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.autograd import forward_ad

from pomt_ref.errors import PomtError


def refuse_tangents(error: Callable[[], PomtError], *tensors: Tensor) -> None:
    """Raise the error that is made where one of the tensors carries a tangent, at any level of nested transforms."""
    # A compiler that follows the caller's own jvp sees the tangent of that level, and no function with a rule for it.
    if torch.compiler.is_compiling():
        if any(forward_ad.unpack_dual(tensor).tangent is not None for tensor in tensors):
            raise error()
        return
    # Tangents live at a level, that of torch.func.jvp too; to ask every tensor takes longer than all other checks.
    if forward_ad._current_level >= 0:  # noqa: SLF001 -- torch has no other name for it
        _Refusal.apply(error, *tensors)  # type: ignore[no-untyped-call]  # torch's own


class _Refusal(torch.autograd.Function):
    """Nothing of its inputs, and no derivative of it: torch asks for one where a tangent comes in."""

    generate_vmap_rule = True

    @staticmethod
    def forward(_error: Callable[[], PomtError], *tensors: Tensor) -> Tensor:
        """Nothing."""
        return tensors[0].new_empty(0)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ANN401 -- torch's own
        """Keep what is to be said."""
        del output
        ctx.error = inputs[0]

    @staticmethod
    def jvp(ctx: Any, *_tangents: Tensor | None) -> NoReturn:  # noqa: ANN401 -- as above
        """Say it."""
        raise ctx.error()
