"""Families of whole layers: attention and values decide together, so that a fault of any stage can show."""

from typing import Final

import numpy as np

from pomt_ref.testing import rounding
from pomt_ref.testing.cases import Shape
from pomt_ref.testing.family import (
    Tensors,
    by_key,
    chosen_values,
    family,
    gaussian_tokens,
    logits,
    softmax,
    values,
    weights,
)
from pomt_ref.testing.formats import PROFILES

ATTEMPTS: Final = 40
"""How often distinct scores are drawn anew before the last draw is taken as it is."""


@family("ordinary")
def ordinary(random: np.random.Generator, shape: Shape) -> Tensors:
    """Attention of Gaussian queries and keys, flat or sharp, and Gaussian values: what a ViT produces."""
    sharpness = random.choice([0.5, 1.0, 4.0])
    return gaussian_tokens(random, shape), softmax(sharpness * logits(random, shape)), values(random, shape)


@family("balanced")
def balanced(random: np.random.Generator, shape: Shape) -> Tensors:
    """Attention so flat that both parts of the score decide: a fault in either, or in their sum, changes the order."""
    flatness = min(0.3, 1.0 / shape.patches)
    return gaussian_tokens(random, shape), softmax(flatness * logits(random, shape)), values(random, shape)


@family("vision transformer", prefix=1, patches=196, most_batch=1, most_heads=2)
def vision_transformer(random: np.random.Generator, shape: Shape) -> Tensors:
    """A layer of 197 tokens: queries, keys and values are maps of x, and some keys draw attention from everywhere."""
    x = gaussian_tokens(random, shape)
    drawn = softmax(logits(random, shape) + random.normal(size=(shape.batch, shape.heads, 1, shape.tokens)))
    maps = random.normal(size=(shape.heads, shape.channels, shape.features)) / np.sqrt(shape.channels * shape.features)
    return x, drawn, np.einsum("bnc,hcd->bhnd", x, maps)


@family("plain parts", prefix=1)
def plain_parts(random: np.random.Generator, shape: Shape) -> Tensors:
    """Attention by key alone, and a few tokens of high values: their sum decides, and no stage before it."""
    keys = by_key(shape, weights(random, shape, least=0.0))
    return gaussian_tokens(random, shape), keys, chosen_values(random, shape)


@family("prefix-heavy values", prefix=1)
def prefix_heavy_values(random: np.random.Generator, shape: Shape) -> Tensors:
    """Prefix tokens of large value sums take most of the softmax, so that the attention decides between patches."""
    x, attn, v = balanced(random, shape)
    v[:, :, : shape.prefix] += random.uniform(2.0, 5.0) / shape.features
    return x, attn, v


@family("dyadic values")
def dyadic_values(random: np.random.Generator, shape: Shape) -> Tensors:
    """Values in quarters: adding a whole number to all of them is exact in every dtype."""
    x, attn, v = ordinary(random, shape)
    return x, attn, np.round(4 * v) / 4


@family("distinct scores", most_batch=1, most_patches=4)
def distinct_scores(random: np.random.Generator, shape: Shape) -> Tensors:
    """A few tokens whose scores are apart even where bfloat16 accumulates: loose profiles can be wrong here too."""
    x, attn, v = _sharp(random, shape)
    for _ in range(ATTEMPTS):
        if _apart(shape, attn, v):
            break
        x, attn, v = _sharp(random, shape)
    return x, attn, v


def _sharp(random: np.random.Generator, shape: Shape) -> Tensors:
    """Attention to few keys, and values that differ much."""
    return gaussian_tokens(random, shape), softmax(4.0 * logits(random, shape)), values(random, shape, spread=1.5)


def _apart(shape: Shape, attn: np.ndarray, v: np.ndarray) -> bool:
    """Whether no two scores can be exchanged by the rounding of the loosest profile."""
    sums = attn[:, :, shape.prefix :, shape.prefix :].max(axis=1).sum(axis=1)
    bound = rounding.score_bound(sums, v.max(axis=1), prefix=shape.prefix, profile=PROFILES["bfloat16"])
    scores = sums / sums.max() + softmax(v.max(axis=1).sum(axis=2))[:, shape.prefix :]
    order = scores.argsort(axis=1)
    low, high = (np.take_along_axis(end, order, axis=1) for end in (scores - bound, scores + bound))
    return bool((low[:, 1:] > high[:, :-1]).all())
