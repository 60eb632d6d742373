"""Input families: named kinds of input, each of which makes some faults visible that others hide.

A family draws x, attn and v of a given shape from a seed. Its name stands in every report.
"""

import numpy as np

from pomt_ref.testing.cases import Shape
from pomt_ref.testing.family import (
    FAMILIES,
    Family,
    Tensors,
    even_values,
    family,
    gaussian_tokens,
    logits,
    softmax,
    values,
)

__all__ = ["FAMILIES", "Family"]


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


@family("disagreeing heads", heads=2)
def disagreeing_heads(random: np.random.Generator, shape: Shape) -> Tensors:
    """Heads of very different sharpness and even values: only the maximum over heads gives this order."""
    sharpness = random.permutation(np.geomspace(0.5, 8.0, shape.heads)).reshape(1, -1, 1, 1)
    return gaussian_tokens(random, shape), softmax(sharpness * logits(random, shape)), even_values(random, shape)


@family("contrasting prefix", prefix=1)
def contrasting_prefix(random: np.random.Generator, shape: Shape) -> Tensors:
    """Prefix rows that attend elsewhere than patch rows, and prefix columns that much attention goes to."""
    raw = logits(random, shape)
    raw[:, :, : shape.prefix, :] *= 6.0
    raw[:, :, shape.prefix :, : shape.prefix] += random.uniform(0.0, 3.0, size=(shape.batch, 1, 1, shape.prefix))
    x = gaussian_tokens(random, shape)
    x[:, : shape.prefix] += 8.0
    return x, softmax(raw), even_values(random, shape)


@family("contrasting samples", batch=2)
def contrasting_samples(random: np.random.Generator, shape: Shape) -> Tensors:
    """One sample of concentrated attention beside flat ones, at any place of the batch: M is its sum, for all."""
    raw = logits(random, shape) * min(0.3, 1.0 / shape.patches)
    # Of up to three samples any may be the strongest; of more it is the last, which a short maximum leaves out.
    strongest = random.integers(shape.batch) if shape.batch <= 3 else shape.batch - 1  # noqa: PLR2004
    raw[strongest, :, :, shape.prefix + random.integers(shape.patches)] += 6.0
    return gaussian_tokens(random, shape), softmax(raw), values(random, shape)


@family("attention to the prefix", prefix=1)
def attention_to_the_prefix(random: np.random.Generator, shape: Shape) -> Tensors:
    """Prefix columns with larger sums than any patch column, and values that compete: M leaves the prefix out."""
    raw = logits(random, shape) * min(0.3, 1.0 / shape.patches)
    raw[..., : shape.prefix] += random.uniform(1.5, 3.0)
    return gaussian_tokens(random, shape), softmax(raw), values(random, shape)


@family("faint attention", prefix=1)
def faint_attention(random: np.random.Generator, shape: Shape) -> Tensors:
    """Nearly all attention goes to the prefix; what is left, 2⁻¹² or 2⁻²⁰, counts as much as any: M divides it out."""
    raw = logits(random, shape) * min(0.3, 1.0 / shape.patches)
    raw[..., : shape.prefix] += random.choice([8.0, 14.0])
    return gaussian_tokens(random, shape), softmax(raw), values(random, shape)


@family("one-hot attention")
def one_hot_attention(random: np.random.Generator, shape: Shape) -> Tensors:
    """Every row attends to one key; most entries are exactly zero, and many sums are equal."""
    size = (shape.batch, shape.heads, shape.tokens)
    chosen = random.integers(shape.prefix, shape.tokens, size=size)
    return gaussian_tokens(random, shape), np.eye(shape.tokens)[chosen], values(random, shape)


@family("values alone")
def values_alone(random: np.random.Generator, shape: Shape) -> Tensors:
    """Even attention, so that the values alone rank the tokens."""
    even = np.full((shape.batch, shape.heads, shape.tokens, shape.tokens), 1.0 / shape.tokens)
    return gaussian_tokens(random, shape), even, values(random, shape, spread=1.5)


@family("negative values")
def negative_values(random: np.random.Generator, shape: Shape) -> Tensors:
    """Values below zero: a maximum that starts at zero, or magnitudes taken literally, give another order."""
    x, attn, v = values_alone(random, shape)
    return x, attn, -np.abs(v) - 0.1


@family("near ties")
def near_ties(random: np.random.Generator, shape: Shape) -> Tensors:
    """Values that differ in their last bits, of float16, of bfloat16, or of what float64 has beyond float32."""
    x, attn, v = values_alone(random, shape)
    step = random.choice([2.0**-7, 2.0**-10, 2.0**-34])
    ranks = random.permutation(shape.tokens).reshape(1, 1, -1, 1)
    return x, attn, np.ones_like(v) + step * ranks / shape.features


@family("wide values")
def wide_values(random: np.random.Generator, shape: Shape) -> Tensors:
    """Value sums far apart, up to ±150: an exponential without its maximum subtracted overflows float32."""
    x, attn, v = values_alone(random, shape)
    return x, attn, v + random.uniform(-150, 150) / shape.features


@family("prefix-heavy values", prefix=1)
def prefix_heavy_values(random: np.random.Generator, shape: Shape) -> Tensors:
    """Prefix tokens of large value sums take most of the softmax, so that the attention decides between patches."""
    x, attn, v = balanced(random, shape)
    v[:, :, : shape.prefix] += random.uniform(2.0, 5.0) / shape.features
    return x, attn, v


@family("large value sums")
def large_value_sums(random: np.random.Generator, shape: Shape) -> Tensors:
    """Value sums past 65504, the largest float16, with values that float16 holds."""
    x, attn, v = values_alone(random, shape)
    v[:, :, -1] = 65000.0 * (1.0 - random.uniform(0.0, 0.01, size=v[:, :, -1].shape))
    v[:, :, shape.prefix] = 64000.0
    return x, attn, v


@family("ties")
def ties(random: np.random.Generator, shape: Shape) -> Tensors:
    """Attention in halves and values in whole numbers: many scores are equal, and any order of them conforms."""
    size = (shape.batch, shape.heads, shape.tokens)
    halves = [np.eye(shape.tokens)[random.integers(shape.prefix, shape.tokens, size=size)] for _ in range(2)]
    whole = random.integers(-1, 2, size=(*size, shape.features)).astype(np.float64)
    return gaussian_tokens(random, shape), (halves[0] + halves[1]) / 2, whole


@family("identical tokens")
def identical_tokens(random: np.random.Generator, shape: Shape) -> Tensors:
    """Tokens that come in a few kinds, equal in x and in v: rows cannot be told apart, and need not be."""
    kinds = random.integers(0, max(1, shape.patches // 3), size=shape.tokens)
    x, attn, v = gaussian_tokens(random, shape), softmax(logits(random, shape)), values(random, shape)
    return x[:, kinds], attn, v[:, :, kinds]


@family("signed zeros")
def signed_zeros(random: np.random.Generator, shape: Shape) -> Tensors:
    """Zeros of both signs in x: a copy keeps the sign, arithmetic loses it."""
    x, attn, v = ordinary(random, shape)
    signs = random.choice([-1, 0, 1], size=x.shape)
    x[signs < 0], x[signs > 0] = -0.0, 0.0
    return x, attn, v


@family("offset tokens")
def offset_tokens(random: np.random.Generator, shape: Shape) -> Tensors:
    """x around 100 and around 1000: a running sum in storage precision stops growing, or overflows float16."""
    x, attn, v = ordinary(random, shape)
    return x + np.where(np.arange(shape.channels) % 2, 100.0, 1000.0), attn, v


@family("contrasting tokens", prefix=1)
def contrasting_tokens(random: np.random.Generator, shape: Shape) -> Tensors:
    """Prefix rows and patch rows of x of very different size: a prefix row in the mean is seen at once."""
    x, attn, v = ordinary(random, shape)
    x[:, : shape.prefix] = 1000.0 + 100.0 * x[:, : shape.prefix]
    return x, attn, v


@family("dyadic values")
def dyadic_values(random: np.random.Generator, shape: Shape) -> Tensors:
    """Values in quarters: adding a whole number to all of them is exact in every dtype."""
    x, attn, v = ordinary(random, shape)
    return x, attn, np.round(4 * v) / 4
