"""Families in which the attention decides: the values are even, or a few of them are chosen and all others nothing."""

from typing import Final

import numpy as np

from pomt_ref.testing.cases import Shape
from pomt_ref.testing.family import (
    Tensors,
    by_key,
    chosen_values,
    contested,
    even_values,
    family,
    gaussian_tokens,
    logits,
    softmax,
    values,
    weights,
)

MANY: Final = 300
"""Keys: any of as many may have the largest sum; of more, the last."""


@family("disagreeing heads", heads=2)
def disagreeing_heads(random: np.random.Generator, shape: Shape) -> Tensors:
    """Heads of very different sharpness and even values: only the maximum over heads gives this order."""
    sharpness = random.permutation(np.geomspace(0.5, 8.0, shape.heads)).reshape(1, -1, 1, 1)
    return gaussian_tokens(random, shape), softmax(sharpness * logits(random, shape)), even_values(random, shape)


@family("single head", most_heads=1)
def single_head(random: np.random.Generator, shape: Shape) -> Tensors:
    """One head, whose maximum is itself, sharp attention and even values: the sums over queries alone decide."""
    return gaussian_tokens(random, shape), softmax(2.0 * logits(random, shape)), even_values(random, shape)


@family("contrasting prefix", prefix=1)
def contrasting_prefix(random: np.random.Generator, shape: Shape) -> Tensors:
    """Prefix rows that attend elsewhere than patch rows, and prefix columns that much attention goes to."""
    raw = logits(random, shape)
    raw[:, :, : shape.prefix, :] *= 6.0
    raw[:, :, shape.prefix :, : shape.prefix] += random.uniform(0.0, 3.0, size=(shape.batch, 1, 1, shape.prefix))
    x = gaussian_tokens(random, shape)
    x[:, : shape.prefix] += 8.0
    return x, softmax(raw), even_values(random, shape)


@family("one-hot attention")
def one_hot_attention(random: np.random.Generator, shape: Shape) -> Tensors:
    """Every row attends to one key; most entries are exactly zero, and many sums are equal."""
    size = (shape.batch, shape.heads, shape.tokens)
    chosen = random.integers(shape.prefix, shape.tokens, size=size)
    return gaussian_tokens(random, shape), np.eye(shape.tokens)[chosen], even_values(random, shape)


@family("keys alone")
def keys_alone(random: np.random.Generator, shape: Shape) -> Tensors:
    """Attention by key alone and even values: no reduction before the ranking has anything to get wrong."""
    return gaussian_tokens(random, shape), by_key(shape, weights(random, shape, least=0.0)), even_values(random, shape)


@family("contrasting samples", batch=2)
def contrasting_samples(random: np.random.Generator, shape: Shape) -> Tensors:
    """One sample of concentrated attention beside flat ones, at any place of the batch: M is its sum, for all."""
    keys = weights(random, shape, least=0.3, largest=0.3)
    keys[:, 1:] *= random.integers(10, size=keys[:, 1:].shape) > 0  # a token that nobody attends to scores zero
    # Of up to three samples any may be the strongest; of more it is the last, which a short maximum leaves out. So are
    # the last of many keys.
    strongest = random.integers(shape.batch) if shape.batch <= 3 else shape.batch - 1  # noqa: PLR2004
    keys[strongest] = random.uniform(0.02, 0.1, size=shape.patches)
    keys[strongest, _any_or_an_end(random, shape.patches) if shape.patches <= MANY else -1] = 1.0
    return gaussian_tokens(random, shape), by_key(shape, keys), chosen_values(random, shape)


@family("sample without attention", batch=2, prefix=1)
def sample_without_attention(random: np.random.Generator, shape: Shape) -> Tensors:
    """One sample attends to its prefix alone: m is zero there and defined, and its values rank its tokens."""
    keys = weights(random, shape, least=0.0)
    keys[random.integers(shape.batch)] = 0.0
    return gaussian_tokens(random, shape), by_key(shape, keys), values(random, shape)


@family("attention to the prefix", prefix=1, patches=4)
def attention_to_the_prefix(random: np.random.Generator, shape: Shape) -> Tensors:
    """Prefix columns with larger sums than any patch column, and values that compete: M leaves the prefix out."""
    keys, v = contested(random, shape)
    return gaussian_tokens(random, shape), by_key(shape, 0.3 * keys), v


@family("faint attention", prefix=1, patches=4)
def faint_attention(random: np.random.Generator, shape: Shape) -> Tensors:
    """Nearly all attention goes to the prefix; what is left, 2⁻¹² to 2⁻²⁰, counts as much as any: M divides it out."""
    keys, v = contested(random, shape)
    return gaussian_tokens(random, shape), by_key(shape, random.choice([2.0**-12, 2.0**-16, 2.0**-20]) * keys), v


@family("vanishing attention", prefix=1, patches=4)
def vanishing_attention(random: np.random.Generator, shape: Shape) -> Tensors:
    """As faint attention, of a mass down to 2⁻¹²², its parts subnormal: nothing may be added to M, and none be lost."""
    keys, v = contested(random, shape)
    mass = random.choice([2.0**-30, 2.0**-43, 2.0**-86, 2.0**-122])
    return gaussian_tokens(random, shape), by_key(shape, mass * keys), v


@family("close sums")
def close_sums(random: np.random.Generator, shape: Shape) -> Tensors:
    """Sums that differ by a last bit of half precision in some of their terms: scores stored in it are all equal."""
    patches, prefix = shape.patches, shape.prefix
    fewer = random.permutation(patches)
    keys = np.full((shape.tokens, shape.tokens), 0.5 / patches)
    keys[prefix:, prefix:] *= np.where(
        np.arange(patches)[:, np.newaxis] < fewer, 1 - random.choice([2.0**-7, 2.0**-10]), 1.0
    )
    keys[:, :prefix] = (1 - keys[:, prefix:].sum(axis=1, keepdims=True)) / max(prefix, 1)
    keys /= keys.sum(axis=1, keepdims=True)
    every = np.broadcast_to(keys, (shape.batch, shape.heads, shape.tokens, shape.tokens)).copy()
    return gaussian_tokens(random, shape), every, even_values(random, shape)


def _any_or_an_end(random: np.random.Generator, count: int) -> int:
    """A place, often the first or the last: a maximum over a part of them is then seen."""
    return (0, count - 1, int(random.integers(count)))[random.integers(3)]
