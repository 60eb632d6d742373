"""Families of equal scores and of equal rows, and of scores as close as rounding may just not exchange.

Any order of equals conforms, and what is equal cannot be told apart; what is further apart than its error must be.
"""

import numpy as np

from pomt_ref.testing import rounding
from pomt_ref.testing.cases import Shape
from pomt_ref.testing.family import Tensors, by_key, even_attention, even_values, family, gaussian_tokens, weights
from pomt_ref.testing.formats import PROFILES, ProfileName, representable


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


@family("compensated near ties", prefix=1, features=3, most_features=8, most_patches=48)
def compensated_near_ties(random: np.random.Generator, shape: Shape) -> Tensors:
    """Both parts differ, and their sums by a few times what rounding explains: no part may be off by more than that."""
    # Everything that has to be exact fits into the eight bits of bfloat16: attention as whole numbers of a power of
    # two, and the values as sums of three.
    patches, prefix = shape.patches, shape.prefix
    most = int(random.integers(64, 128)) * 2 + 1
    fewer = random.integers(0, max(most * 3 // (5 * patches), 1) + 1, size=(shape.batch, patches))
    fewer[:, random.integers(patches)] = 0
    counts = np.zeros((shape.batch, shape.tokens))
    counts[:, prefix:] = most - fewer
    counts /= 2.0 ** np.ceil(np.log2(patches * most))
    counts[:, :prefix] = (1 - counts.sum(axis=1, keepdims=True)) / prefix

    target = _gaps(random, shape, random.choice(["float32", "float32", "float64"]))
    target -= np.take_along_axis(target, fewer.argmax(axis=1)[:, np.newaxis], axis=1)
    share = 0.2 / patches + fewer / most + target
    rest = (1 - share.sum(axis=1, keepdims=True)) / prefix
    sums = np.log(np.concatenate([np.repeat(rest, prefix, axis=1), share], axis=1))
    size = (shape.batch, shape.heads, shape.tokens, shape.tokens)
    attn = np.broadcast_to(counts[:, np.newaxis, np.newaxis], size).copy()
    return gaussian_tokens(random, shape), attn, np.tile(_in_parts(sums, shape), (1, shape.heads, 1, 1))


def _gaps(random: np.random.Generator, shape: Shape, profile: ProfileName) -> np.ndarray:
    """What is added to equal scores: from one to the next, 1.1 to 50 times the error of two."""
    even = np.ones((1, shape.patches)), np.full((1, shape.tokens, shape.features), 1.0 / shape.features)
    error = rounding.score_bound(*even, prefix=shape.prefix, profile=PROFILES[profile]).max()
    steps = 2 * error * np.exp(random.uniform(np.log(1.1), np.log(50.0), size=(shape.batch, shape.patches)))
    return random.permuted(np.minimum(steps, 0.1 / shape.patches**2).cumsum(axis=1), axis=1)


def _in_parts(sums: np.ndarray, shape: Shape) -> np.ndarray:
    """Values of one head whose sum over features is this, the first two of them exact in every dtype."""
    first = representable(sums, "bfloat16")
    second = representable(sums - first, "bfloat16")
    v = np.zeros((shape.batch, 1, shape.tokens, shape.features))
    v[..., :3] = np.stack([first, second, sums - first - second], axis=-1)[:, np.newaxis]
    return v
