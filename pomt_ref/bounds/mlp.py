"""LIN-1 · the MLP residual of a block by intervals: norm, linear map, GELU, linear map."""

from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import gelu

from pomt_ref.bounds.box import CLAUSE, Box, a_box, refuse
from pomt_ref.bounds.layer import FAR_BELOW
from pomt_ref.errors import KindError, ShapeError

GELU_LOWEST_AT: Final = -0.7517915246935645
"""Where GELU is least; it falls before and rises after."""

GELU_LOWEST: Final = -0.16997120747990369
"""What it is there."""

LEAST_DEVIATION: Final = 2.0**-400
"""Below this the squares that a deviation is made of may be subnormal, and their rounding is not relative."""


@dataclass(frozen=True)
class MlpResidual:
    r"""LIN-1: what a pre-norm block adds to each of its rows.

    .. math:: g(x) = W_2 \, \mathrm{GELU}(W_1 \, \mathrm{norm}(x) + b_1) + b_2
    """

    norm: nn.LayerNorm
    """Over the channels, with weight and bias."""
    up: nn.Linear
    """W₁ and b₁."""
    down: nn.Linear
    """W₂ and b₂."""

    @classmethod
    def of(cls, norm: nn.Module, mlp: nn.Module) -> "MlpResidual":
        """From the modules of a block: a layer norm, and a linear map, GELU and a linear map in sequence.

        Raises:
            PomtError: modules of other kinds, of which nothing is known here; without weight or bias; of channels that
                disagree.
        """
        parts = list(mlp) if isinstance(mlp, nn.Sequential) else []
        if isinstance(norm, nn.LayerNorm) and len(parts) == 3:  # noqa: PLR2004 -- up, GELU, down
            up, middle, down = parts
            exact = isinstance(middle, nn.GELU) and middle.approximate == "none"
            if exact and isinstance(up, nn.Linear) and isinstance(down, nn.Linear):
                _check_modules(norm, up, down)
                return cls(norm, up, down)
        kinds = f"{type(norm).__name__} and {type(mlp).__name__}({', '.join(type(part).__name__ for part in parts)})"
        raise KindError("MlpResidual.of", CLAUSE, "LayerNorm and Sequential(Linear, GELU, Linear)", kinds)

    def __call__(self, x: Float[Tensor, "*rows channels"]) -> Float[Tensor, "*rows channels"]:
        """g at a point, in float64."""
        rows = self._normalised(x.to(torch.float64))
        hidden = gelu(rows @ _double(self.up.weight).mT + _double(self.up.bias))
        return hidden @ _double(self.down.weight).mT + _double(self.down.bias)

    def bounds(self, x: Box) -> Box:
        """LIN-1: bounds of g over a box of rows (…, channels), by intervals from layer to layer, rounded outward.

        Raises:
            PomtError: no box of rows of the norm's channels, rows whose squares over- or underflow, or bounds that
                are not finite.
        """
        a_box("MlpResidual.bounds", "x", x)
        channels = self.up.in_features
        if x.lo.ndim == 0 or x.shape[-1] != channels:
            raise ShapeError("MlpResidual.bounds", CLAUSE, f"x of {channels} channels", f"{(*x.shape,)}")
        hidden = _linear_bounds(self._norm_bounds(x), self.up)
        return _linear_bounds(_gelu_bounds(hidden), self.down)

    def _normalised(self, x: Tensor) -> Tensor:
        """The norm at a point."""
        centered = x - x.mean(dim=-1, keepdim=True)
        deviation = (centered.square().mean(dim=-1, keepdim=True) + self.norm.eps).sqrt()
        return centered / deviation * _double(self.norm.weight) + _double(self.norm.bias)

    def _norm_bounds(self, x: Box) -> Box:
        """The norm over a box: centered rows are linear, and the deviation is between those of the ends."""
        count = x.shape[-1]
        share = (count - 1) / count
        others_hi, others_lo = ((side.sum(dim=-1, keepdim=True) - side) / count for side in (x.hi, x.lo))
        slack = FAR_BELOW * torch.maximum(x.lo.abs(), x.hi.abs()).amax(dim=-1, keepdim=True)
        lo, hi = share * x.lo - others_hi - slack, share * x.hi - others_lo + slack
        largest = torch.maximum(lo.abs(), hi.abs())
        smallest = torch.where((lo <= 0) & (hi >= 0), 0.0, torch.minimum(lo.abs(), hi.abs()))
        most, least = (
            (side.square().mean(dim=-1, keepdim=True) + self.norm.eps).sqrt() for side in (largest, smallest)
        )
        # An infinite deviation would leave a norm of zero, and no bound.
        for deviation in (most, least):
            sound = deviation.isfinite() & (deviation >= LEAST_DEVIATION)
            refuse("MlpResidual.bounds", "rows whose squares float64 holds", "deviation", deviation, ~sound)
        lo = lo / torch.where(lo >= 0, most, least) * (1 - FAR_BELOW * lo.sign())
        hi = hi / torch.where(hi >= 0, least, most) * (1 + FAR_BELOW * hi.sign())
        weight, bias = _double(self.norm.weight), _double(self.norm.bias)
        ends = torch.stack([lo * weight, hi * weight])
        slack = FAR_BELOW * (ends.abs().amax(dim=0) + bias.abs())
        return Box(ends.amin(dim=0) + bias - slack, ends.amax(dim=0) + bias + slack)


def _check_modules(norm: nn.LayerNorm, up: nn.Linear, down: nn.Linear) -> None:
    """Each with weight and bias, over one axis of channels, which comes out as it went in."""
    for name, module in (("norm", norm), ("up", up), ("down", down)):
        for part in ("weight", "bias"):
            if getattr(module, part) is None:
                raise KindError("MlpResidual.of", CLAUSE, f"{name} with weight and bias", f"{part} None")
    channels = (up.in_features,)
    if (*norm.normalized_shape,) != channels or down.out_features != channels[0] or up.out_features != down.in_features:
        got = f"norm {(*norm.normalized_shape,)}, up {(*up.weight.shape,)}, down {(*down.weight.shape,)}"
        expected = "norm (channels), up (hidden, channels) and down (channels, hidden)"
        raise ShapeError("MlpResidual.of", CLAUSE, expected, got)


def _gelu_bounds(x: Box) -> Box:
    """GELU over a box: its ends, or its lowest value where that lies between them."""
    ends = torch.stack([gelu(x.lo), gelu(x.hi)])
    through = (x.lo <= GELU_LOWEST_AT) & (x.hi >= GELU_LOWEST_AT)
    slack = FAR_BELOW * torch.maximum(x.lo.abs(), x.hi.abs())
    return Box(torch.where(through, GELU_LOWEST, ends.amin(dim=0)) - slack, ends.amax(dim=0) + slack)


def _linear_bounds(x: Box, linear: nn.Linear) -> Box:
    """The exact range of a linear map, rounded outward."""
    weight, bias = _double(linear.weight), _double(linear.bias)
    positive, negative = weight.clamp(min=0).mT, weight.clamp(max=0).mT
    slack = FAR_BELOW * (torch.maximum(x.lo.abs(), x.hi.abs()) @ weight.abs().mT + bias.abs())
    return Box(x.lo @ positive + x.hi @ negative + bias - slack, x.hi @ positive + x.lo @ negative + bias + slack)


def _double(parameter: Tensor) -> Tensor:
    """A parameter in float64, without gradient."""
    return parameter.detach().to(torch.float64)
