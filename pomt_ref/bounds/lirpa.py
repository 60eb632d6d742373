"""LIN-1, measured: what auto_LiRPA says of the same box of tokens, where it is installed.

It has no linear relaxation of a maximum over an axis, so the head maximum is written as binary maxima by ReLU, and
softmax without the maximum that is subtracted for the sake of overflow.
"""

import importlib
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor, nn

from pomt_ref.bounds.box import Box
from pomt_ref.bounds.layer import AttentionLayer


class Sums(nn.Module):
    """S of tokens, in operators that auto_LiRPA knows, one prefix token."""

    def __init__(self, layer: AttentionLayer) -> None:
        """Keep the linear maps of queries and keys, head by head."""
        super().__init__()
        self.queries: nn.ModuleList = nn.ModuleList(map(_linear, layer.query_weight, layer.query_bias))
        self.keys: nn.ModuleList = nn.ModuleList(map(_linear, layer.key_weight, layer.key_bias))
        self.scale: float = layer.scale

    def forward(self, x: Float64[Tensor, "batch tokens channels"]) -> Float64[Tensor, "batch patches"]:
        """The clauses POMT-ATT-1 as they stand, but for the maximum."""
        strongest: Tensor | None = None
        for queries, keys in zip(self.queries, self.keys, strict=True):
            each = torch.exp(self.scale * torch.matmul(queries(x), keys(x).transpose(1, 2)))
            attention = each / each.sum(dim=-1, keepdim=True)
            strongest = attention if strongest is None else strongest + torch.relu(attention - strongest)
        assert strongest is not None  # noqa: S101 -- a layer has heads
        return strongest[:, 1:, 1:].sum(dim=1)


def find_lirpa() -> Any | None:  # noqa: ANN401 -- a package that need not be there
    """auto_LiRPA, or nothing where it cannot be imported."""
    try:
        return importlib.import_module("auto_LiRPA")
    except ImportError:
        return None


def lirpa_differences(
    lirpa: Any,  # noqa: ANN401 -- as above
    tokens: Box,
    layer: AttentionLayer,
    *,
    method: str = "CROWN",
) -> Float64[Tensor, "batch patches patches"]:
    """Lower bounds of S_i - S_j by one of auto_LiRPA's methods, all pairs of patches as outputs of one linear map.

    Arguments:
        lirpa: the package.
        tokens: (batch, tokens, channels).
        layer: the linear maps.
        method: of its ``compute_bounds``.
    """
    perturbation = importlib.import_module(f"{lirpa.__name__}.perturbations")
    patches = tokens.shape[1] - 1
    model = lirpa.BoundedModule(Sums(layer), tokens.center, bound_opts={"conv_mode": "matrix"})
    box = perturbation.PerturbationLpNorm(norm=float("inf"), x_L=tokens.lo, x_U=tokens.hi)
    itself = torch.eye(patches, dtype=torch.float64)
    pairs = (itself.unsqueeze(1) - itself).reshape(1, patches**2, patches).expand(len(tokens.lo), -1, -1)
    low, _ = model.compute_bounds(x=(lirpa.BoundedTensor(tokens.center, box),), C=pairs, method=method)
    return torch.as_tensor(low).detach().reshape(-1, patches, patches)


def _linear(weight: Float64[Tensor, "features channels"], bias: Float64[Tensor, " features"]) -> nn.Linear:
    """A linear map with these parameters."""
    linear = nn.Linear(weight.shape[1], weight.shape[0], dtype=torch.float64)
    linear.weight = nn.Parameter(weight, requires_grad=False)
    linear.bias = nn.Parameter(bias, requires_grad=False)
    return linear
