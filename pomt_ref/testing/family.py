"""What an input family is: a name, a purpose, and a way to draw x, attn and v of a given shape from a seed."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from jaxtyping import Float64

from pomt_ref.testing.cases import Case, Shape, make_case
from pomt_ref.testing.formats import FORMATS, Dtype

Tensors = tuple[
    Float64[np.ndarray, "batch tokens channels"],
    Float64[np.ndarray, "batch heads tokens tokens"],
    Float64[np.ndarray, "batch heads tokens features"],
]
"""x, attn, v."""

Draw = Callable[[np.random.Generator, Shape], Tensors]
"""How a family makes its tensors."""


@dataclass(frozen=True)
class Range:
    """The sizes of an axis in which a family shows."""

    least: int
    most: int | None = None

    def nearest(self, size: int) -> int:
        """The size itself, if it is one of them.

        >>> Range(1, 2).nearest(3), Range(17).nearest(3)
        (2, 17)
        """
        return max(size if self.most is None else min(size, self.most), self.least)


@dataclass(frozen=True)
class Family:
    """A named kind of input, and the shapes in which it shows what it is for."""

    name: str
    purpose: str
    draw: Draw
    batch: Range = Range(1)
    heads: Range = Range(1)
    prefix: Range = Range(0)
    patches: Range = Range(1)
    features: Range = Range(1)
    discarded: Range = Range(1)

    def build(self, shape: Shape, *, seed: int, dtype: Dtype) -> Case:
        """Make the case of this shape and seed; the same arguments give the same tensors on every machine."""
        x, attn, v = self.tensors(shape, seed=seed, dtype=dtype)
        return make_case(self.name, shape, seed=seed, dtype=dtype, x=x, attn=attn, v=v)

    def tensors(self, shape: Shape, *, seed: int, dtype: Dtype) -> Tensors:
        """What is drawn, before it is rounded; what the dtype has no number for is its largest number."""
        largest = FORMATS[dtype].largest
        x, attn, v = self.draw(np.random.default_rng(seed), shape)
        return np.clip(x, -largest, largest), attn, np.clip(v, -largest, largest)

    def fit(self, shape: Shape) -> Shape:
        """The nearest shape that shows this family; T stays extreme where it was, and else grows with the patches."""
        prefix, patches = self.prefix.nearest(shape.prefix), self.patches.nearest(shape.patches)
        keep = _scaled(shape.keep, shape.patches, patches)
        return replace(
            shape,
            batch=self.batch.nearest(shape.batch),
            heads=self.heads.nearest(shape.heads),
            features=self.features.nearest(shape.features),
            prefix=prefix,
            tokens=prefix + patches,
            keep=patches - self.discarded.nearest(patches - keep),
        )


def _scaled(keep: int, patches: int, wanted: int) -> int:
    """T of so many patches, for another number of them: none, one, or all but one or two stay what they are."""
    if keep <= 1:
        return min(keep, wanted - 1)
    if patches - keep <= 2:  # noqa: PLR2004 -- all but two
        return max(wanted - (patches - keep), 0)
    return keep * wanted // patches


HIGH: Final = 24.0
"""A value beside zeros that takes the whole softmax with a single feature, and with the mean over features too."""

FAMILIES: Final[dict[str, Family]] = {}
"""Every family by its name."""


def family(
    name: str,
    *,
    batch: int = 1,
    heads: int = 1,
    prefix: int = 0,
    patches: int = 1,
    features: int = 1,
    discarded: int = 1,
    most_batch: int | None = None,
    most_heads: int | None = None,
    most_patches: int | None = None,
    most_features: int | None = None,
) -> Callable[[Draw], Draw]:
    """Enter a drawing function under its name, with the least and the largest sizes in which it shows.

    Its docstring says what the family is for.
    """

    def enter(draw: Draw) -> Draw:
        purpose = " ".join(str(draw.__doc__).split())
        FAMILIES[name] = Family(
            name,
            purpose,
            draw,
            Range(batch, most_batch),
            Range(heads, most_heads),
            Range(prefix),
            Range(patches, most_patches),
            Range(features, most_features),
            Range(discarded),
        )
        return draw

    return enter


def softmax(logits: Float64[np.ndarray, "*axes"]) -> Float64[np.ndarray, "*axes"]:
    """Along the last axis."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    quotient: Float64[np.ndarray, "*axes"] = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return quotient


def gaussian_tokens(random: np.random.Generator, shape: Shape) -> Float64[np.ndarray, "batch tokens channels"]:
    """Rows of x that differ."""
    return random.normal(size=(shape.batch, shape.tokens, shape.channels))


def logits(random: np.random.Generator, shape: Shape) -> Float64[np.ndarray, "batch heads tokens tokens"]:
    """q·k / √D of Gaussian queries and keys."""
    size = (2, shape.batch, shape.heads, shape.tokens, max(shape.features, 4))
    queries, keys = random.normal(size=size)
    product: Float64[np.ndarray, "batch heads tokens tokens"] = queries @ keys.swapaxes(-1, -2) / np.sqrt(size[-1])
    return product


def values(
    random: np.random.Generator, shape: Shape, *, spread: float = 1.0
) -> Float64[np.ndarray, "batch heads tokens features"]:
    """Gaussian values whose sums over features have about this standard deviation."""
    size = (shape.batch, shape.heads, shape.tokens, shape.features)
    sums: Float64[np.ndarray, "batch heads tokens features"] = random.normal(size=size)
    sums *= spread / np.sqrt(shape.features)
    return sums


def even_values(random: np.random.Generator, shape: Shape) -> Float64[np.ndarray, "batch heads tokens features"]:
    """The same values for every token, so that the magnitude score tells no token from another."""
    one = random.normal(size=(shape.batch, shape.heads, 1, shape.features))
    same: Float64[np.ndarray, "batch heads tokens features"] = np.repeat(one, shape.tokens, axis=2)
    return same


def chosen_values(random: np.random.Generator, shape: Shape) -> Float64[np.ndarray, "batch heads tokens features"]:
    """Values of zero, but for a few patch tokens that share the whole softmax evenly, the same in every head.

    However the values are reduced, the shares are these: a fault in another stage is not taken for one of this.
    """
    chosen = np.zeros((shape.batch, 1, shape.tokens, 1))
    for sample in range(shape.batch):
        count = random.integers(1, max(shape.patches // 2, 1) + 1)
        chosen[sample, :, shape.prefix + random.choice(shape.patches, count, replace=False)] = HIGH
    every: Float64[np.ndarray, "batch heads tokens features"] = np.tile(chosen, (1, shape.heads, 1, shape.features))
    return every


def contested(
    random: np.random.Generator, shape: Shape
) -> tuple[Float64[np.ndarray, "batch patches"], Float64[np.ndarray, "batch heads tokens features"]]:
    """Keys' weights and values: two tokens share the softmax, and every other one has about as much more attention.

    An attention score that is wrong by a tenth is a wrong order. The largest weight of every sample is one.
    """
    chosen = np.zeros((shape.batch, 1, shape.tokens, 1))
    keys = np.empty((shape.batch, shape.patches))
    for sample in range(shape.batch):
        two = random.choice(shape.patches, 2, replace=False)
        own = random.uniform(0.0, 0.5, size=2)
        keys[sample] = random.choice(own, shape.patches) + 0.5 * random.uniform(0.9, 1.1, size=shape.patches)
        keys[sample, two] = own
        chosen[sample, :, shape.prefix + two] = HIGH
    v: Float64[np.ndarray, "batch heads tokens features"] = np.tile(chosen, (1, shape.heads, 1, shape.features))
    return keys / keys.max(axis=1, keepdims=True), v


def weights(
    random: np.random.Generator, shape: Shape, *, least: float, largest: float = 1.0
) -> Float64[np.ndarray, "batch patches"]:
    """A weight a patch key, the largest exactly ``largest``, the others from ``least`` of that on."""
    drawn: Float64[np.ndarray, "batch patches"] = random.uniform(least, 1.0, size=(shape.batch, shape.patches))
    drawn *= largest / drawn.max(axis=1, keepdims=True)
    return drawn


def by_key(
    shape: Shape, patch_weights: Float64[np.ndarray, "batch patches"]
) -> Float64[np.ndarray, "batch heads tokens tokens"]:
    """Attention that is the same from every query and in every head: weights over n, and the rest to the prefix.

    The sum of a patch key is then its weight; without a prefix, the weights are relative. However heads and queries
    are reduced, the relative sums are these.
    """
    rows = patch_weights / shape.patches
    if shape.prefix:
        rest = (1 - rows.sum(axis=1, keepdims=True)) / shape.prefix
        rows = np.concatenate([np.repeat(rest, shape.prefix, axis=1), rows], axis=1)
    rows = rows / rows.sum(axis=1, keepdims=True)
    size = (shape.batch, shape.heads, shape.tokens, shape.tokens)
    every: Float64[np.ndarray, "batch heads tokens tokens"] = np.broadcast_to(rows[:, None, None, :], size).copy()
    return every


def even_attention(shape: Shape) -> Float64[np.ndarray, "batch heads tokens tokens"]:
    """The same attention for every key, so that the attention score tells no token from another."""
    return np.full((shape.batch, shape.heads, shape.tokens, shape.tokens), 1.0 / shape.tokens)
