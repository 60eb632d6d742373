"""LIN-1 · a box of tokens through the linear maps of an attention layer: logits as linear forms with a remainder.

Queries and keys are linear in the tokens, logits bilinear. Around the center of the box, with x = x₀ + r ∘ ξ and
every ξ in [-1, 1], a logit is its value at the center, a form linear in ξ, and a product of two small terms that is
bounded and not followed further.
"""

import math
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from pomt_ref.bounds.box import CLAUSE, Box, held, refuse
from pomt_ref.errors import CountError, KindError, ShapeError

FAR_BELOW: Final = 2.0**-40
"""Rounding granted to a bound, relative to the sizes of all it is made of: 2¹³ units, for as many operations."""

UNDERFLOWN: Final = 2.0**-80
"""Added to those sizes: far more than underflow can take. Logits and value sums that differ by 2⁻¹²⁰ have the same
exponentials in any arithmetic here."""

NORM_ROOM: Final = 1 + 2.0**-10
"""A spectral norm is taken this much larger: whoever checks it may then do so with 30 digits."""


@dataclass(frozen=True, eq=False)
class AttentionLayer:
    r"""LIN-1: the linear maps of one attention layer, head by head.

    .. math:: q_h = W^q_h x + b^q_h, \quad k_h = W^k_h x + b^k_h, \quad v_h = W^v_h x + b^v_h, \quad
        \mathrm{logit}_{hij} = q_{hi} \cdot k_{hj} / \sqrt{D}

    Weights and biases come in any floating dtype and are held in float64, which holds the others exactly, as copies.

    Raises:
        PomtError: weights that are not finite floating tensors, or whose shapes disagree.
    """

    query_weight: Float[Tensor, "heads features channels"]
    """Wᵍ of the queries."""
    key_weight: Float[Tensor, "heads features channels"]
    """Of the keys."""
    value_weight: Float[Tensor, "heads features channels"]
    """Of the values."""
    query_bias: Float[Tensor, "heads features"]
    """bᵍ of the queries."""
    key_bias: Float[Tensor, "heads features"]
    """Of the keys."""
    value_bias: Float[Tensor, "heads features"]
    """Of the values."""

    def __post_init__(self) -> None:
        """Refuse what is no layer."""
        weight = self.query_weight
        for kind, axes in (("weight", 3), ("bias", 2)):
            for role in ("query", "key", "value"):
                name = f"{role}_{kind}"
                tensor = getattr(self, name)
                own = held("AttentionLayer", name, tensor)
                if tensor.ndim != axes or tensor.shape != weight.shape[:axes] or tensor.numel() == 0:
                    expected = f"{name} of shape ({', '.join(('heads', 'features', 'channels')[:axes])})"
                    raise ShapeError("AttentionLayer", CLAUSE, expected, f"{(*tensor.shape,)}")
                refuse("AttentionLayer", f"finite {name}", name, own, ~own.isfinite())
                object.__setattr__(self, name, own)

    @classmethod
    def from_joint(
        cls, weight: Float[Tensor, "joint channels"], bias: Float[Tensor, " joint"], *, heads: int
    ) -> "AttentionLayer":
        """The layer of one joint map of queries, keys and values, as vision transformers store it."""
        for name, part in (("weight", weight), ("bias", bias)):
            held("AttentionLayer.from_joint", name, part)
        if isinstance(heads, bool) or not isinstance(heads, int):
            raise KindError("AttentionLayer.from_joint", CLAUSE, "heads, an int", f"heads={heads!r}")
        if heads < 1:
            raise CountError("AttentionLayer.from_joint", CLAUSE, "heads >= 1", f"heads={heads}")
        if weight.ndim != 2 or weight.shape[:1] != bias.shape or weight.shape[0] % (3 * heads):  # noqa: PLR2004 -- a matrix
            expected = f"a weight (3 x {heads} x features, channels) and its bias"
            got = f"{(*weight.shape,)}, {(*bias.shape,)}"
            raise ShapeError("AttentionLayer.from_joint", CLAUSE, expected, got)
        weights = weight.reshape(3, heads, -1, weight.shape[1])
        biases = bias.reshape(3, heads, -1)
        return cls(*weights, *biases)

    @property
    def scale(self) -> float:
        """What logits are multiplied by: 1 / √D."""
        return 1 / math.sqrt(self.query_weight.shape[1])


@dataclass(frozen=True)
class Forms:
    """The logits of one sample over a box of tokens: a center, slopes on ξ, and a remainder."""

    center: Float64[Tensor, "heads queries keys"]
    """The logits at the center of the box."""
    by_query: Float64[Tensor, "heads keys channels"]
    """Slope of the logit of (query i, key m) on token i, before it is multiplied by the radius of i."""
    by_key: Float64[Tensor, "heads queries channels"]
    """Slope of the logit of (query i, key m) on token m, before it is multiplied by the radius of m."""
    remainder: Float64[Tensor, "heads queries keys"]
    """Bound of the product of two deviations."""
    size: Float64[Tensor, "heads queries keys"]
    """The sum of the sizes of all products in a logit: what its rounding is relative to."""
    radius: Float64[Tensor, "tokens channels"]
    """r."""


def logit_forms(tokens: Box, layer: AttentionLayer, sample: int) -> Forms:
    """The logits of one sample as forms."""
    x, radius = center_and_radius(Box(tokens.lo[sample], tokens.hi[sample]))
    q = torch.einsum("hdc,nc->hnd", layer.query_weight, x) + layer.query_bias.unsqueeze(1)
    k = torch.einsum("hdc,nc->hnd", layer.key_weight, x) + layer.key_bias.unsqueeze(1)
    product = torch.einsum("hdc,hde->hce", layer.query_weight, layer.key_weight)
    reach = x.abs() + radius
    largest_q = torch.einsum("hdc,nc->hnd", layer.query_weight.abs(), reach) + layer.query_bias.abs().unsqueeze(1)
    largest_k = torch.einsum("hdc,nc->hnd", layer.key_weight.abs(), reach) + layer.key_bias.abs().unsqueeze(1)
    size = layer.scale * largest_q @ largest_k.mT + UNDERFLOWN
    expected = "finite products of tokens and weights"
    refuse("certify_tokens", expected, "size", size, ~size.isfinite())
    refuse("certify_tokens", "finite products of weights", "product", product, ~product.isfinite())
    return Forms(
        center=layer.scale * q @ k.mT,
        by_query=layer.scale * torch.einsum("hnd,hdc->hnc", k, layer.query_weight),
        by_key=layer.scale * torch.einsum("hnd,hdc->hnc", q, layer.key_weight),
        remainder=layer.scale * _second_order(product, radius) + FAR_BELOW * size,
        size=size,
        radius=radius,
    )


def _second_order(
    product: Float64[Tensor, "heads channels channels"], radius: Float64[Tensor, "tokens channels"]
) -> Float64[Tensor, "heads queries keys"]:
    """A bound of the product of two deviations: entry by entry, or by the spectral norm."""
    by_entries = torch.einsum("nc,hce,me->hnm", radius, product.abs(), radius)
    # Scaled before it is measured: the square of a small number is none.
    widest = radius.amax(dim=1)
    lengths = widest * (radius / widest.clamp(min=torch.finfo(radius.dtype).tiny).unsqueeze(1)).norm(dim=1)
    norms = NORM_ROOM * torch.linalg.matrix_norm(product, 2)
    by_norm = norms.reshape(-1, 1, 1) * lengths.unsqueeze(1) * lengths
    # What products of weights lose where they underflow, times both deviations, in an order that does not overflow.
    lost = 2.0**-530 * radius.sum(dim=1)
    return torch.minimum(by_entries, by_norm) + product.shape[1] * lost.unsqueeze(1) * lost


def center_and_radius(tokens: Box) -> tuple[Float64[Tensor, "tokens channels"], Float64[Tensor, "tokens channels"]]:
    """A center and a radius that reach both bounds: rounded up where the center is rounded."""
    x = tokens.center
    radius = torch.maximum(tokens.hi - x, x - tokens.lo)
    return x, torch.where(radius > 0, torch.nextafter(radius, torch.full_like(radius, torch.inf)), radius)


def logit_bounds(tokens: Box, layer: AttentionLayer) -> Box:
    """LIN-1: bounds of the logits, the better of the forms and of intervals for q and k, entry by entry."""
    samples = [_logit_bounds(logit_forms(tokens, layer, sample)) for sample in range(len(tokens.lo))]
    by_form = Box(torch.stack([each.lo for each in samples]), torch.stack([each.hi for each in samples]))
    queries = projection_bounds(tokens, layer.query_weight, layer.query_bias)
    keys = projection_bounds(tokens, layer.key_weight, layer.key_bias)
    return by_form.intersect(_product_bounds(queries, keys, layer.scale))


def projection_bounds(
    tokens: Box, weight: Float64[Tensor, "heads features channels"], bias: Float64[Tensor, "heads features"]
) -> Box:
    """The exact range of a linear map of every token, rounded outward: (batch, heads, tokens, features)."""
    positive, negative = weight.clamp(min=0), weight.clamp(max=0)
    equation = "hdc,bnc->bhnd"
    shift = bias.reshape(1, bias.shape[0], 1, -1)
    lo = torch.einsum(equation, positive, tokens.lo) + torch.einsum(equation, negative, tokens.hi) + shift
    hi = torch.einsum(equation, positive, tokens.hi) + torch.einsum(equation, negative, tokens.lo) + shift
    largest = torch.maximum(tokens.lo.abs(), tokens.hi.abs())
    slack = FAR_BELOW * (torch.einsum(equation, weight.abs(), largest) + shift.abs() + UNDERFLOWN)
    expected = "finite products of tokens and weights"
    refuse("certify_tokens", expected, "size", slack, ~slack.isfinite())
    return Box(lo - slack, hi + slack)


def _logit_bounds(forms: Forms) -> Box:
    """The range of every logit by its form; a query that is its own key has both slopes on one token."""
    queries, keys = forms.center.shape[1:]
    slopes = forms.by_query.unsqueeze(1) * forms.radius.reshape(1, queries, 1, -1)
    own = torch.eye(queries, keys, dtype=torch.float64, device=slopes.device).reshape(1, queries, keys, 1)
    key_slopes = forms.by_key.unsqueeze(2) * forms.radius.reshape(1, 1, keys, -1)
    reach = (slopes + own * key_slopes).abs().sum(dim=-1) + ((1 - own) * key_slopes).abs().sum(dim=-1)
    reach = reach + forms.remainder + FAR_BELOW * forms.size
    return Box(forms.center - reach, forms.center + reach)


def _product_bounds(queries: Box, keys: Box, scale: float) -> Box:
    """The range of q · k with every feature on its own: what nothing better may ever exceed."""
    ends = [left.unsqueeze(3) * right.unsqueeze(2) for left in (queries.lo, queries.hi) for right in (keys.lo, keys.hi)]
    products = torch.stack(ends)
    slack = FAR_BELOW * (products.abs().amax(dim=0).sum(dim=-1) * scale + UNDERFLOWN)
    lo, hi = products.amin(dim=0).sum(dim=-1), products.amax(dim=0).sum(dim=-1)
    return Box(lo * scale - slack, hi * scale + slack)
