"""Families in which the values decide: attention is even, or by key alone, so that its reductions change nothing."""

import numpy as np

from pomt_ref.testing.cases import Shape
from pomt_ref.testing.family import (
    Tensors,
    by_key,
    even_attention,
    family,
    gaussian_tokens,
    softmax,
    values,
    weights,
)


@family("values alone")
def values_alone(random: np.random.Generator, shape: Shape) -> Tensors:
    """Even attention, so that the values alone rank the tokens."""
    return gaussian_tokens(random, shape), even_attention(shape), values(random, shape, spread=1.5)


@family("negative values")
def negative_values(random: np.random.Generator, shape: Shape) -> Tensors:
    """Values below zero: a maximum that starts at zero, or magnitudes taken literally, give another order."""
    x, attn, v = values_alone(random, shape)
    return x, attn, -np.abs(v) - 0.1


@family("values against keys")
def values_against_keys(random: np.random.Generator, shape: Shape) -> Tensors:
    """Attention by key alone that nearly cancels the values, of which a prefix token, or the last, has the largest.

    What the softmax gives to every token is in question, to a tenth, or, of few tokens, a hundredth or a thousandth: of
    many, that would be rounding. So is how much of it the prefix takes. The largest sum of the attention is one, where
    there is a prefix.
    """
    v = values(random, shape)
    for sample in range(shape.batch):
        largest = random.integers(shape.prefix) if shape.prefix else -1
        v[sample, :, largest] += random.uniform(2.0, 6.0) / shape.features
    share = softmax(v.max(axis=1).sum(axis=2))[:, shape.prefix :]
    above = share - share.min(axis=1, keepdims=True)
    most = 1 + random.choice([0.25, *(near for near in (0.025, 0.0025) if near > 2.5e-4 * shape.patches)])
    keys = 1 - above * random.uniform(1 / most, most, size=above.shape)
    return gaussian_tokens(random, shape), by_key(shape, np.maximum(keys, 0.0)), v


@family("values far below the prefix", prefix=1)
def values_far_below_the_prefix(random: np.random.Generator, shape: Shape) -> Tensors:
    """A prefix token whose value sum is above all patches by 95 to 150: their shares vanish, and the keys decide."""
    v = values(random, shape)
    v[:, :, random.integers(shape.prefix)] += random.uniform(95.0, 150.0) / shape.features
    return gaussian_tokens(random, shape), by_key(shape, weights(random, shape, least=0.0)), v


@family("shares far apart", patches=12)
def shares_far_apart(random: np.random.Generator, shape: Shape) -> Tensors:
    """Shares down to e⁻³⁰ of tokens that nobody attends to: their score is the share, and its error as small.

    A share has to be right relative to itself then: no exponent may be cut, no share raised to a least one or dropped.
    Further down no order is told from another, since the oracle itself rounds: ε is never below 2⁻⁴⁴.
    """
    span = random.uniform(24.0, 30.0)
    apart = np.linspace(-span, 0.0, shape.tokens) + random.uniform(0.0, 0.5, size=(shape.batch, shape.tokens))
    keys = np.zeros((shape.batch, shape.patches))
    keys[:, random.integers(shape.patches)] = 1.0
    v = random.permuted(apart, axis=1)[:, np.newaxis, :, np.newaxis] / shape.features
    return gaussian_tokens(random, shape), by_key(shape, keys), np.tile(v, (1, shape.heads, 1, shape.features))


@family("near ties")
def near_ties(random: np.random.Generator, shape: Shape) -> Tensors:
    """Values that differ in the last bits of float16, of one or two bfloat16, or of what float64 has beyond float32."""
    x, attn, v = values_alone(random, shape)
    step = random.choice([2.0**-7, 2.0**-10, 2.0**-11, 2.0**-12, 2.0**-34])
    # 64.2 as a sum of two numbers of bfloat16 ends at 2⁻¹⁰.
    v[...], size = (0.0, 64.2) if step == 2.0**-11 else (1.0, 1.0)
    v[..., 0] = size + step * random.permutation(shape.tokens)
    return x, attn, v


@family("small scores", prefix=1)
def small_scores(random: np.random.Generator, shape: Shape) -> Tensors:
    """All scores but one are far below one and close to each other: with digits after the point, they are all equal."""
    x, _, v = values_far_below_the_prefix(random, shape)
    keys = weights(random, shape, least=0.0, largest=random.choice([2.0**-10, 2.0**-16]))
    keys[:, random.integers(shape.patches)] = 1.0
    return x, by_key(shape, keys), v


@family("wide values", batch=2, patches=4)
def wide_values(random: np.random.Generator, shape: Shape) -> Tensors:
    """Value sums up to ±150 or ±60000, far apart in two samples: exponentials need the sample's own maximum.

    No number to begin that maximum with is low enough but minus infinity.
    """
    x, attn, v = values_alone(random, shape)
    size = random.uniform(90.0, 150.0) * random.choice([1.0, 400.0])
    offsets = size * random.permutation(np.linspace(-1.0, 1.0, shape.batch))
    return x, attn, v + offsets.reshape(-1, 1, 1, 1) / shape.features


@family("large value sums")
def large_value_sums(random: np.random.Generator, shape: Shape) -> Tensors:
    """Value sums beyond ±65504, the largest numbers of float16, with values that it holds, or that it does not."""
    x, attn, v = values_alone(random, shape)
    size = random.choice([1.0, -1.0, 3.0, -3.0])
    v[...] = 65000.0 * size * (1.0 - random.uniform(0.0, 0.01, size=v.shape))
    return x, attn, v
