"""Families of equal scores and of equal rows: any order of equals conforms, and what is equal cannot be told apart."""

import numpy as np

from pomt_ref.testing.cases import Shape
from pomt_ref.testing.family import Tensors, by_key, even_attention, even_values, family, gaussian_tokens, weights


@family("ties")
def ties(random: np.random.Generator, shape: Shape) -> Tensors:
    """Attention in halves and values in whole numbers: many scores are equal, and any order of them conforms."""
    size = (shape.batch, shape.heads, shape.tokens)
    halves = [np.eye(shape.tokens)[random.integers(shape.prefix, shape.tokens, size=size)] for _ in range(2)]
    whole = random.integers(-1, 2, size=(*size, shape.features)).astype(np.float64)
    return gaussian_tokens(random, shape), (halves[0] + halves[1]) / 2, whole


@family("many tied keys", patches=17)
def many_tied_keys(random: np.random.Generator, shape: Shape) -> Tensors:
    """More than 16 tokens of four different scores: from that length on, sorts for speed are not stable."""
    keys = random.choice([0.25, 0.5, 0.75, 1.0], size=(shape.batch, shape.patches))
    return gaussian_tokens(random, shape), by_key(shape, keys), even_values(random, shape)


@family("identical tokens")
def identical_tokens(random: np.random.Generator, shape: Shape) -> Tensors:
    """Tokens that come in a few kinds, equal in x: rows of different score cannot be told apart, and need not be."""
    kinds = random.integers(0, max(1, shape.patches // 3), size=shape.tokens)
    keys = by_key(shape, weights(random, shape, least=0.0))
    return gaussian_tokens(random, shape)[:, kinds], keys, even_values(random, shape)


@family("equal tokens")
def equal_tokens(random: np.random.Generator, shape: Shape) -> Tensors:
    """All tokens are one, in x, in attention and in values: every order conforms, and the mean is that token."""
    x = np.repeat(gaussian_tokens(random, shape)[:, :1], shape.tokens, axis=1)
    return x, even_attention(shape), even_values(random, shape)
