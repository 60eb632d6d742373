"""Families of rows of x: what is copied and averaged, whatever the ranking."""

import numpy as np

from pomt_ref.testing.cases import Shape
from pomt_ref.testing.families.layers import ordinary
from pomt_ref.testing.family import Tensors, by_key, even_values, family, gaussian_tokens, weights


@family("signed zeros")
def signed_zeros(random: np.random.Generator, shape: Shape) -> Tensors:
    """Zeros of both signs in x: a copy keeps the sign, arithmetic loses it."""
    x, attn, v = ordinary(random, shape)
    signs = random.choice([-1, 0, 1], size=x.shape)
    x[signs < 0], x[signs > 0] = -0.0, 0.0
    return x, attn, v


@family("subnormal tokens")
def subnormal_tokens(random: np.random.Generator, shape: Shape) -> Tensors:
    """Numbers below the smallest normal one of float16, of bfloat16 and float32, or of float64: flushes lose them."""
    x, attn, v = ordinary(random, shape)
    return x * random.choice([2.0**-22, 2.0**-130, 2.0**-1030, 1.0], size=x.shape), attn, v


@family("large tokens")
def large_tokens(random: np.random.Generator, shape: Shape) -> Tensors:
    """x from 10⁴ to 6·10⁴, of either sign: close to the largest float16."""
    x, attn, v = ordinary(random, shape)
    return np.copysign(random.uniform(1e4, 6e4, size=x.shape), x), attn, v


@family("huge tokens")
def huge_tokens(random: np.random.Generator, shape: Shape) -> Tensors:
    """x from 10⁶ to 10³⁰, of either sign: what saturates as float16 does, or copies through it, loses them."""
    x, attn, v = ordinary(random, shape)
    return np.copysign(10.0 ** random.uniform(6.0, 30.0, size=x.shape), x), attn, v


@family("large kept tokens")
def large_kept_tokens(random: np.random.Generator, shape: Shape) -> Tensors:
    """Kept rows around 10⁴, discarded ones around 10⁻³: a mean got by taking the kept from all has lost its digits."""
    keys = weights(random, shape, least=0.0)
    order = (-keys).argsort(axis=1) + shape.prefix
    x = 1e-3 * gaussian_tokens(random, shape)
    kept = order[:, : shape.keep, np.newaxis]
    np.put_along_axis(x, kept, 1e7 * np.take_along_axis(x, kept, axis=1), axis=1)
    return x, by_key(shape, keys), even_values(random, shape)


@family("offset tokens")
def offset_tokens(random: np.random.Generator, shape: Shape) -> Tensors:
    """x around 100 and around 1000: a running sum in storage precision stops growing, or overflows float16."""
    x, attn, v = ordinary(random, shape)
    return x + np.where(np.arange(shape.channels) % 2, 100.0, 1000.0), attn, v


@family("many offset tokens", patches=200, discarded=196, most_batch=1, most_heads=1)
def many_offset_tokens(random: np.random.Generator, shape: Shape) -> Tensors:
    """196 discarded rows around 100 and more: in half precision their running sum is off by whole units."""
    return offset_tokens(random, shape)


@family("contrasting tokens", prefix=1)
def contrasting_tokens(random: np.random.Generator, shape: Shape) -> Tensors:
    """Prefix rows and patch rows of x of very different size: a prefix row in the mean is seen at once."""
    x, attn, v = ordinary(random, shape)
    x[:, : shape.prefix] = 1000.0 + 100.0 * x[:, : shape.prefix]
    return x, attn, v
