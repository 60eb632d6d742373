"""LIN-1 · the other side of a bound: how low a function can be driven inside a box, by following its gradient."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float64
from torch import Tensor

from pomt_ref.bounds.box import CLAUSE, Box, a_box
from pomt_ref.errors import KindError, OptionError, ValuesError

FIRST_STEP: Final = 0.5
"""Of a step's length, in units of the box's width in every entry: one step goes from the center to a corner."""

LAST_STEP: Final = 0.01
"""The length that steps shrink to."""


@dataclass(frozen=True, eq=False)
class Found:
    """The lowest point that an attack found."""

    value: float
    """The function there."""
    point: tuple[Float64[Tensor, "..."], ...]
    """Where, one tensor a box."""


def lowest(
    function: Callable[..., Tensor], boxes: tuple[Box, ...], *, steps: int = 60, restarts: int = 4, seed: int = 0
) -> Found:
    """LIN-1: a low point of a differentiable function over boxes: signed gradient steps, from the center and at random.

    What it finds is a point, so no sound lower bound can be above its value: the distance between the two is what is
    not known.

    Arguments:
        function: takes one float64 tensor a box and returns a tensor of no axes.
        boxes: where its arguments may lie.
        steps: from each start, at least one.
        restarts: starts; the first is the center.
        seed: of the random starts.

    Returns:
        the lowest point met.

    Raises:
        PomtError: fewer than one step or start, arguments of other kinds, a function that is no differentiable tensor
            of no axes, or not a number at any point that was met.

    >>> lowest(lambda x: (x**2).sum(), (Box(torch.tensor([1.0, -1.0]), torch.tensor([2.0, 3.0])),)).value < 1.01
    True
    """
    _check_asked(boxes, steps=steps, restarts=restarts, seed=seed)
    if steps < 1 or restarts < 1:
        raise OptionError("lowest", CLAUSE, "steps >= 1 and restarts >= 1", f"steps={steps}, restarts={restarts}")
    generator = torch.Generator().manual_seed(seed)
    best = Found(float("inf"), ())
    for start in range(restarts):
        shares = [torch.rand(box.shape, generator=generator, dtype=torch.float64).to(box.lo.device) for box in boxes]
        point = tuple(
            box.lo + share * (box.hi - box.lo) if start else box.center
            for box, share in zip(boxes, shares, strict=True)
        )
        for step in range(steps + 1):
            asked, value, slopes = _followed(function, point)
            height = float(value.detach())
            if height < best.value:
                best = Found(height, tuple(part.detach() for part in asked))
            length = FIRST_STEP * (1 - step / steps) + LAST_STEP
            point = tuple(
                torch.minimum(torch.maximum(part - length * (box.hi - box.lo) * slope.sign(), box.lo), box.hi)
                for part, slope, box in zip(point, slopes, boxes, strict=True)
            )
    if not best.point:
        raise ValuesError("lowest", CLAUSE, "a function that is below infinity somewhere", "NaN or inf at every point")
    return best


def _followed(
    function: Callable[..., Tensor], point: tuple[Tensor, ...]
) -> tuple[list[Tensor], Tensor, tuple[Tensor, ...]]:
    """The function at a point, with its slopes; in inference mode too, which has no gradients of its own."""
    with torch.inference_mode(mode=False), torch.enable_grad():
        asked = [part.detach().clone().requires_grad_() for part in point]
        value = _height(function(*asked))
        return asked, value, torch.autograd.grad(value, asked, materialize_grads=True)


def _height(value: object) -> Tensor:
    """What the function gave: one number that has slopes."""
    if isinstance(value, Tensor) and not value.ndim and value.requires_grad:
        return value
    got = f"{(*value.shape,)}" if isinstance(value, Tensor) else type(value).__name__
    raise KindError("lowest", CLAUSE, "a function with a differentiable tensor of no axes", got)


def _check_asked(boxes: object, **counts: object) -> None:
    """Some boxes, and whole numbers."""
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, int):
            raise KindError("lowest", CLAUSE, f"{name}, an int", f"{name}={count!r}")
    if not isinstance(boxes, tuple) or not boxes:
        raise KindError("lowest", CLAUSE, "boxes, a tuple of at least one", repr(boxes))
    for place, box in enumerate(boxes):
        a_box("lowest", f"boxes[{place}]", box)
