"""LIN-1 · a box: every number between a lower and an upper bound, each on its own."""

from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from pomt_ref.bounds.directed import sum_down, sum_up
from pomt_ref.contracts import DTYPES
from pomt_ref.errors import DeviceError, DtypeError, KindError, ShapeError, ValuesError

CLAUSE: Final = "LIN-1"
"""The clause that bounds execute; every message of this package names it, or the clause of the step that it bounds."""


@dataclass(frozen=True, eq=False)
class Box:
    """LIN-1: the set of all x with lo <= x <= hi, in every entry.

    Bounds are finite, of one shape and device, in any of the four floating dtypes; they are kept in float64, which
    holds the others exactly. Gradients stop here, and bounds are copies: what later becomes of the tensors does not
    change the box. Boxes are equal only to themselves; compare their bounds.

    Raises:
        PomtError: bounds that are no dense floating tensors with values, of two shapes or devices, empty, not finite,
            or lo > hi somewhere.

    >>> box = Box(torch.tensor([0.0, 1.0]), torch.tensor([2.0, 1.0]))
    >>> box.shape, box.contains(torch.tensor([[2.0, 1.0], [2.0, 1.5]]))
    (torch.Size([2]), tensor([ True, False]))
    """

    lo: Float[Tensor, "*axes"]
    """The lower bounds, in float64."""
    hi: Float[Tensor, "*axes"]
    """The upper bounds, in float64; none below its lower one."""

    def __post_init__(self) -> None:
        """Refuse what is no box, and hold the bounds in float64."""
        for name in ("lo", "hi"):
            bound = getattr(self, name)
            object.__setattr__(self, name, held("Box", name, bound))
        self._check_pair()
        self._check_values()

    @classmethod
    def around(cls, center: Float[Tensor, "*axes"], radius: float | Float[Tensor, "..."]) -> "Box":
        """LIN-1: all x within ``radius`` of a center, in every entry; the sums are rounded outward.

        Arguments:
            center: where the box lies.
            radius: at least zero; a number, or a tensor that broadcasts to the center.

        >>> Box.around(torch.tensor([1.0]), 0.25)
        Box(lo=tensor([0.7500], dtype=torch.float64), hi=tensor([1.2500], dtype=torch.float64))
        """
        middle = Box(center, center).lo
        if not real(radius):
            raise KindError("Box.around", CLAUSE, "radius, a real number or a tensor of them", f"radius={radius!r}")
        reach = as_numbers("Box.around", "radius", radius, middle)
        if not bool((reach >= 0).all()) or not bool(reach.isfinite().all()):
            raise ValuesError("Box.around", CLAUSE, "a finite radius >= 0", f"radius={radius}")
        trailing = zip(reversed(reach.shape), reversed(middle.shape), strict=False)
        if reach.ndim > middle.ndim or any(size not in {1, wanted} for size, wanted in trailing):
            expected = f"a radius that broadcasts to {(*middle.shape,)}"
            raise ShapeError("Box.around", CLAUSE, expected, f"{(*reach.shape,)}")
        reach = reach.expand_as(middle)
        return cls(sum_down([middle, -reach]), sum_up([middle, reach]))

    @classmethod
    def point(cls, value: Float[Tensor, "*axes"]) -> "Box":
        """The box that holds one value only."""
        return cls(value, value)

    @property
    def shape(self) -> torch.Size:
        """The shape of both bounds."""
        return self.lo.shape

    @property
    def center(self) -> Float64[Tensor, "*axes"]:
        """A value halfway between the bounds, in the box."""
        return torch.minimum(torch.maximum(self.lo / 2 + self.hi / 2, self.lo), self.hi)

    def contains(self, value: Float[Tensor, "..."]) -> Bool[Tensor, "..."]:
        """Whether a value lies in the box; leading axes beyond the box's are those of several values."""
        a_tensor("Box.contains", "value", value)
        if value.is_complex():
            raise KindError("Box.contains", CLAUSE, "value, a torch.Tensor of real numbers", str(value.dtype))
        axes = self.lo.ndim
        if value.ndim < axes or value.shape[value.ndim - axes :] != self.shape:
            expected = f"a value whose last axes are {(*self.shape,)}"
            raise ShapeError("Box.contains", CLAUSE, expected, f"{(*value.shape,)}")
        inside = (self.lo <= value) & (value <= self.hi)
        return inside.flatten(inside.ndim - axes).all(dim=-1) if axes else inside

    def intersect(self, other: "Box") -> "Box":
        """What lies in both boxes; an error if that is nothing."""
        a_box("Box.intersect", "other", other)
        if self.shape != other.shape:
            got = f"{(*self.shape,)} and {(*other.shape,)}"
            raise ShapeError("Box.intersect", CLAUSE, "boxes of one shape", got)
        return Box(torch.maximum(self.lo, other.lo), torch.minimum(self.hi, other.hi))

    def _check_pair(self) -> None:
        """Two bounds of one shape and device, with something in them."""
        if self.lo.shape != self.hi.shape:
            raise ShapeError("Box", CLAUSE, "lo and hi of one shape", f"lo {(*self.lo.shape,)}, hi {(*self.hi.shape,)}")
        if self.lo.device != self.hi.device:
            got = f"lo on {self.lo.device}, hi on {self.hi.device}"
            raise DeviceError("Box", CLAUSE, "lo and hi on one device", got)
        if self.lo.device.type == "meta":
            raise DeviceError("Box", CLAUSE, "lo and hi with values", "lo and hi on meta")
        if self.lo.numel() == 0:
            raise ShapeError("Box", CLAUSE, "no axis empty", f"{(*self.lo.shape,)}")

    def _check_values(self) -> None:
        """Finite bounds, the lower one below."""
        for name, bound in (("lo", self.lo), ("hi", self.hi)):
            refuse("Box", f"finite {name}", name, bound, ~bound.isfinite())
        crossed = self.lo > self.hi
        if crossed.any():
            place = tuple(crossed.nonzero()[0].tolist())
            entry = ", ".join(map(str, place))
            got = f"lo[{entry}] = {self.lo[place].item():.9g}, hi[{entry}] = {self.hi[place].item():.9g}"
            raise ValuesError("Box", CLAUSE, "lo <= hi", got)


def held(function: str, name: str, value: Tensor) -> Float64[Tensor, "*axes"]:
    """A copy in float64 of a dense floating tensor that has values, outside inference mode whatever it came from."""
    a_tensor(function, name, value)
    if value.layout != torch.strided or value.is_nested:
        got = "a nested tensor" if value.is_nested else str(value.layout)
        raise KindError(function, CLAUSE, f"{name}, a dense tensor", got)
    if value.dtype not in DTYPES:
        expected = f"{name} in float16, bfloat16, float32 or float64"
        raise DtypeError(function, CLAUSE, expected, str(value.dtype))
    with torch.inference_mode(mode=False):
        return value.detach().clone().to(torch.float64)


def as_numbers(function: str, name: str, value: float | Tensor, like: Tensor) -> Float64[Tensor, "..."]:
    """A real number, or a tensor of them, as float64 beside another tensor."""
    try:
        return torch.as_tensor(value, dtype=torch.float64, device=like.device).detach()
    except (OverflowError, RuntimeError) as error:  # RuntimeError: torch's name for an int that no float64 holds
        raise ValuesError(function, CLAUSE, f"{name} that float64 holds", str(error)) from error


def real(value: object) -> bool:
    """Whether this is a real number, or a tensor of them."""
    return isinstance(value, (int, float)) or (isinstance(value, Tensor) and not value.is_complex())


def a_tensor(function: str, name: str, value: object) -> None:
    """Refuse what is no tensor."""
    if not isinstance(value, Tensor):
        raise KindError(function, CLAUSE, f"{name}, a torch.Tensor", type(value).__name__)


def a_box(function: str, name: str, value: object) -> None:
    """Refuse what is no box."""
    if not isinstance(value, Box):
        raise KindError(function, CLAUSE, f"{name}, a Box", type(value).__name__)


def refuse(
    function: str, expected: str, name: str, values: Tensor, wrong: Bool[Tensor, "..."], *, clause: str = CLAUSE
) -> None:
    """Raise if something is wrong, and echo the first such value and its place."""
    if wrong.any():
        place = tuple(wrong.nonzero()[0].tolist())
        got = f"{name}[{', '.join(map(str, place))}] = {values[place].item():.9g}"
        raise ValuesError(function, clause, expected, got)
