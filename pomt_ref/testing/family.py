"""What an input family is: a name, a purpose, and a way to draw x, attn and v of a given shape from a seed."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from jaxtyping import Float64

from pomt_ref.testing.cases import Case, Shape, make_case
from pomt_ref.testing.rounding import Dtype

Tensors = tuple[
    Float64[np.ndarray, "batch tokens channels"],
    Float64[np.ndarray, "batch heads tokens tokens"],
    Float64[np.ndarray, "batch heads tokens features"],
]
"""x, attn, v."""

Draw = Callable[[np.random.Generator, Shape], Tensors]
"""How a family makes its tensors."""


@dataclass(frozen=True)
class Family:
    """A named kind of input, and the least shape in which it shows what it is for."""

    name: str
    purpose: str
    draw: Draw
    least_batch: int = 1
    least_heads: int = 1
    least_prefix: int = 0

    def build(self, shape: Shape, *, seed: int, dtype: Dtype) -> Case:
        """Make the case of this shape and seed; the same arguments give the same tensors on every machine."""
        x, attn, v = self.draw(np.random.default_rng(seed), shape)
        return make_case(self.name, shape, seed=seed, dtype=dtype, x=x, attn=attn, v=v)

    def widen(self, shape: Shape) -> Shape:
        """The shape, raised to the least one of this family; T is kept as it is."""
        prefix = max(shape.prefix, self.least_prefix)
        return replace(
            shape,
            batch=max(shape.batch, self.least_batch),
            heads=max(shape.heads, self.least_heads),
            prefix=prefix,
            tokens=shape.tokens + prefix - shape.prefix,
        )


FAMILIES: Final[dict[str, Family]] = {}
"""Every family by its name."""


def family(name: str, *, batch: int = 1, heads: int = 1, prefix: int = 0) -> Callable[[Draw], Draw]:
    """Enter a drawing function under its name; its docstring says what the family is for."""

    def enter(draw: Draw) -> Draw:
        FAMILIES[name] = Family(name, str(draw.__doc__), draw, batch, heads, prefix)
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
