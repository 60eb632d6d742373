"""What the laws of bounds share: planes as fractions, small steps with boxes around them, and points of these boxes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import torch
from hypothesis import settings
from torch import Tensor

from pomt_ref import magnitude_score, score
from pomt_ref.bounds import AttentionLayer, Box, Certificate, LinearBounds, certify, certify_tokens
from pomt_ref.testing.planes import Plane, Variables

FEW: Final = settings(max_examples=max(settings().max_examples // 2, 1))
"""For laws whose cases take long: half as many as others get."""


def fractions(tensor: Tensor) -> tuple[Fraction, ...]:
    """Every float64 as the fraction that it is."""
    return tuple(map(Fraction, tensor.tolist()))


def box_of(variables: Variables) -> Box:
    """The same box as tensors; its bounds are float64, so nothing is lost."""
    return Box(torch.from_numpy(variables.low), torch.from_numpy(variables.high))


def tensor_of(values: Sequence[Fraction]) -> Tensor:
    """Fractions that are float64 as a tensor."""
    return torch.tensor([float(value) for value in values], dtype=torch.float64)


def upper_plane(bounds: LinearBounds) -> Plane:
    """The upper plane, exactly."""
    return Plane(fractions(bounds.upper_slopes), Fraction(bounds.upper_intercept.item()))


def lower_plane(bounds: LinearBounds) -> Plane:
    """The lower plane, exactly."""
    return Plane(fractions(bounds.lower_slopes), Fraction(bounds.lower_intercept.item()))


@dataclass(frozen=True)
class Problem:
    """One pruning step with a box around logits and values, from a seed."""

    logits: Box
    values: Box
    prefix: int
    keep: int

    def certify(self, **options: Any) -> Certificate:  # noqa: ANN401 -- options of certify
        """Its certificate."""
        return certify(logits=self.logits, values=self.values, prefix=self.prefix, keep=self.keep, **options)

    def points(self, count: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Logits and values of the box: corners, points inside, and corners that move whole columns together."""
        for place in range(count):
            yield _point(self.logits, place % 3, generator), _point(self.values, place % 3, generator)


def make_problem(seed: int, *, radius: float, batch: int = 1) -> Problem:
    """A step of one to four heads and up to nine tokens; a radius of 1 moves logits by 1, values by 1/4."""
    generator = torch.Generator().manual_seed(seed)
    heads, prefix, patches, features = (
        draw(generator, least, most) for least, most in ((1, 4), (0, 2), (2, 7), (1, 4))
    )
    tokens = prefix + patches
    logits = 2 * torch.randn(batch, heads, tokens, tokens, generator=generator, dtype=torch.float64)
    values = torch.randn(batch, heads, tokens, features, generator=generator, dtype=torch.float64) / 2
    reach = [radius * torch.rand(part.shape, generator=generator, dtype=torch.float64) for part in (logits, values)]
    keep = draw(generator, 0, patches - 1)
    return Problem(Box.around(logits, reach[0]), Box.around(values, reach[1] / 4), prefix, keep)


@dataclass(frozen=True)
class TokenProblem:
    """One pruning step with a box around the tokens that its layer reads, from a seed."""

    tokens: Box
    layer: AttentionLayer
    prefix: int
    keep: int

    def certify(self, **options: Any) -> Certificate:  # noqa: ANN401 -- options of certify_tokens
        """Its certificate."""
        return certify_tokens(self.tokens, self.layer, prefix=self.prefix, keep=self.keep, **options)

    def points(self, count: int, generator: torch.Generator) -> Iterator[Tensor]:
        """Tokens of the box: corners that move whole columns together, points inside, and any corners."""
        for place in range(count):
            yield _point(self.tokens, place % 3, generator)

    def attend(self, x: Tensor, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
        """Logits and values as a run in a dtype computes them."""
        layer = self.layer
        weights = (layer.query_weight, layer.key_weight, layer.value_weight)
        biases = (layer.query_bias, layer.key_bias, layer.value_bias)
        q, k, v = (
            torch.einsum("hdc,bnc->bhnd", weight.to(dtype), x.to(dtype)) + bias.to(dtype).unsqueeze(1)
            for weight, bias in zip(weights, biases, strict=True)
        )
        return layer.scale * q @ k.mT, v


def make_token_problem(seed: int, *, radius: float, apart: float = 1.0, batch: int = 1) -> TokenProblem:
    """A layer of one to three heads and up to six tokens, numbers of float32; tokens may be nearly alike."""
    generator = torch.Generator().manual_seed(seed)
    heads, patches, features, prefix = (
        draw(generator, least, most) for least, most in ((1, 3), (2, 5), (1, 3), (0, 1))
    )
    channels, tokens = heads * features + 1, prefix + patches
    weights = torch.randn(3, heads, features, channels, generator=generator) / channels**0.5
    layer = AttentionLayer(*weights, *(torch.randn(3, heads, features, generator=generator) / 2))
    center = torch.randn(batch, 1, channels, generator=generator)
    center = center + apart * torch.randn(batch, tokens, channels, generator=generator)
    reach = radius * torch.rand(center.shape, generator=generator)
    keep = draw(generator, 0, patches - 1)
    return TokenProblem(Box(center - reach, center + reach), layer, prefix, keep)


def draw(generator: torch.Generator, least: int, most: int) -> int:
    """A whole number of a range, both ends included."""
    return int(torch.randint(least, most + 1, (1,), generator=generator))


def _point(box: Box, kind: int, generator: torch.Generator) -> Tensor:
    """A corner that is the same in every column of the last axis, an inner point, or any corner."""
    whole_columns, inside = kind == 0, kind == 1
    shape = (*[1] * (box.lo.ndim - 1), box.shape[-1]) if whole_columns else box.shape
    share = torch.rand(shape, generator=generator, dtype=torch.float64)
    share = share if inside else share.round()
    # The sum of both parts can round past an end.
    return torch.minimum(torch.maximum(box.lo + share * (box.hi - box.lo), box.lo), box.hi)


def scores_at(logits: Tensor, values: Tensor, prefix: int) -> tuple[Tensor, Tensor, Tensor]:
    """S, p and s of the reference at a point, in float64."""
    attention = logits.softmax(dim=-1)
    sums = attention[:, :, prefix:, prefix:].amax(dim=1).sum(dim=1)
    share = magnitude_score(values, prefix=prefix)
    return sums, share, score(attention, values, prefix=prefix)


def contradictions(certificate: Certificate, scores: Tensor) -> list[str]:
    """What a certificate calls certain and these scores, of a point of its box, deny; ties count against it."""
    keep = certificate.step.keep
    above = (scores.unsqueeze(2) < scores.unsqueeze(1)).sum(dim=2)
    level = (scores.unsqueeze(2) == scores.unsqueeze(1)).sum(dim=2) - 1
    surely_kept, surely_out = above + level < keep, above >= keep
    wrong = {
        "order": certificate.order & ~(scores.unsqueeze(2) > scores.unsqueeze(1)),
        "kept": certificate.kept & ~surely_kept,
        "discarded": certificate.discarded & ~surely_out,
    }
    return [f"{name}{tuple(place)}" for name, mask in wrong.items() for place in mask.nonzero().tolist()]
