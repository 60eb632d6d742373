"""LIN-1 · a box of tokens through the linear maps once more, in integers: what a certificate of tokens is checked with.

Tokens, weights and biases are float64, so they are integers in some unit 2^-digits, and everything that is linear or
bilinear in them is computed without rounding. Only 1 / √D is rounded, outward, where logits are made of the products.
"""

from dataclasses import dataclass
from math import isqrt
from typing import Any

import numpy as np
from torch import Tensor

from pomt_ref.bounds.box import Box
from pomt_ref.bounds.fixedpoint import Integers, digits, fixed, root_up, shifted_up, spectral_up, whole
from pomt_ref.bounds.layer import AttentionLayer


@dataclass(frozen=True)
class Maps:
    """A layer and one sample's tokens, x = center ± radius, as integers in units of 2^-digits."""

    center: Integers
    """(tokens, channels)."""
    radius: Integers
    """(tokens, channels)."""
    weights: tuple[Integers, Integers, Integers]
    """Of queries, keys and values, (heads, features, channels)."""
    biases: tuple[Integers, Integers, Integers]
    """(heads, features)."""
    digits: int

    def projection(self, role: int) -> tuple[Integers, Integers]:
        """Center and radius of the queries (0), keys (1) or values (2), in units of 2^-2 digits: their exact range."""
        weight, bias = self.weights[role], self.biases[role] << self.digits
        center = np.stack([self.center @ each.T for each in weight]) + bias[:, None]
        return whole(center), whole(np.stack([self.radius @ abs(each).T for each in weight]))


@dataclass(frozen=True)
class ExactForms:
    r"""One sample's logits over the box, logit = center + forms / √D ± remainder.

    .. math:: \sqrt{D}\, z_{hqm} = \ldots + a_{hm} \cdot (x_q - x^0_q) + b_{hq} \cdot (x_m - x^0_m)
    """

    center: Integers
    """(heads, queries, keys), in units of 2^-bits, rounded down."""
    by_query: Integers
    """a, (heads, keys, channels), in units of 2^-3 digits."""
    by_key: Integers
    """b, (heads, queries, channels), in units of 2^-3 digits."""
    remainder: Integers
    """(heads, queries, keys), in units of 2^-bits: the product of two deviations, and the center's rounding."""
    radius: Integers
    """(tokens, channels), in units of 2^-digits."""
    scale: int
    """1 / √D in units of 2^-bits, rounded up."""
    digits: int
    bits: int

    def reach(self, forms: Any, rest: Any) -> Any:  # noqa: ANN401 -- integers or arrays of them
        """How far planes go: forms in units of 2^-(4 digits + bits), and a rest in units of 2^-2 bits, in 2^-bits."""
        return shifted_up(forms * self.scale, 4 * self.digits + self.bits) + shifted_up(rest, self.bits)

    def own(self, query: int) -> Integers:
        """(heads, keys, channels): what the logits of a row have on the token of its query."""
        own = self.by_query.copy()
        own[:, query] += self.by_key[:, query]
        return own

    def others(self, query: int) -> Integers:
        """(heads, keys): what the other tokens move the logits of a row by, in units of 2^-4 digits."""
        moves = (abs(self.by_key[:, query])[:, None] * self.radius).sum(axis=-1)
        moves[:, query] = 0
        return whole(moves)


def exact_maps(tokens: Box, layer: AttentionLayer, sample: int) -> Maps:
    """The layer and one sample as integers; one digit more, so that the center between two bounds is one."""
    low, high = (as_array(side[sample]) for side in (tokens.lo, tokens.hi))
    weights = [as_array(each) for each in (layer.query_weight, layer.key_weight, layer.value_weight)]
    biases = [as_array(each) for each in (layer.query_bias, layer.key_bias, layer.value_bias)]
    count = digits([low, high, *weights, *biases]) + 1
    below, above = fixed(low, count), fixed(high, count)
    wq, wk, wv = (fixed(each, count) for each in weights)
    bq, bk, bv = (fixed(each, count) for each in biases)
    return Maps(whole((below + above) >> 1), whole((above - below) >> 1), (wq, wk, wv), (bq, bk, bv), count)


def exact_forms(maps: Maps, bits: int) -> ExactForms:
    """The logits as forms."""
    (q, _), (k, _) = maps.projection(0), maps.projection(1)
    query_weight, key_weight, _ = maps.weights
    features = q.shape[2]
    below, above = reciprocal_root(features, bits)
    low, high = scaled(np.stack([one @ other.T for one, other in zip(q, k, strict=True)]), below, above, maps.digits)
    second = np.stack([_second_order(*each, maps.radius) for each in zip(query_weight, key_weight, strict=True)])
    return ExactForms(
        center=low,
        by_query=whole(np.stack([keys @ weight for keys, weight in zip(k, query_weight, strict=True)])),
        by_key=whole(np.stack([queries @ weight for queries, weight in zip(q, key_weight, strict=True)])),
        remainder=whole(shifted_up(second * above, 4 * maps.digits) + high - low),
        radius=maps.radius,
        scale=above,
        digits=maps.digits,
        bits=bits,
    )


def exact_logits(maps: Maps, forms: ExactForms) -> tuple[Integers, Integers]:
    """The range of every logit, (heads, queries, keys): by its form, and with every feature of q and k on its own."""
    (q, q_radius), (k, k_radius) = maps.projection(0), maps.projection(1)
    queries = [side[:, :, None] for side in (q - q_radius, q + q_radius)]
    keys = [side[:, None] for side in (k - k_radius, k + k_radius)]
    ends = np.stack([one * other for one in queries for other in keys])
    below, above = reciprocal_root(q.shape[2], forms.bits)
    low, _ = scaled(whole(ends.min(axis=0).sum(axis=-1)), below, above, maps.digits)
    _, high = scaled(whole(ends.max(axis=0).sum(axis=-1)), below, above, maps.digits)
    reach = np.stack([_row_reach(forms, query) for query in range(q.shape[1])], axis=1)
    return whole(np.maximum(low, forms.center - reach)), whole(np.minimum(high, forms.center + reach))


def reciprocal_root(features: int, bits: int) -> tuple[int, int]:
    """1 / √D in units of 2^-bits, rounded down and up.

    >>> reciprocal_root(4, 3), reciprocal_root(2, 3)
    ((4, 4), (5, 6))
    """
    below = isqrt((1 << 2 * bits) // features)
    return below, below if below * below * features == 1 << 2 * bits else below + 1


def scaled(products: Integers, below: int, above: int, count: int) -> tuple[Integers, Integers]:
    """Scalar products, in units of 2^-4 digits, over √D: in units of 2^-bits, rounded down and up."""
    positive, negative = np.maximum(products, 0), np.minimum(products, 0)
    low, high = positive * below + negative * above, positive * above + negative * below
    return whole(low >> 4 * count), whole(shifted_up(high, 4 * count))


def _row_reach(forms: ExactForms, query: int) -> Integers:
    """How far every logit of a row goes from the center, (heads, keys)."""
    moves = (abs(forms.own(query)) * forms.radius[query]).sum(axis=-1) + forms.others(query)
    return whole(forms.reach(whole(moves << forms.bits), whole(forms.remainder[:, query] << forms.bits)))


def _second_order(query_weight: Integers, key_weight: Integers, radius: Integers) -> Integers:
    """A bound of the product of two deviations, (queries, keys): entry by entry, or by the spectral norm."""
    product = whole(query_weight.T @ key_weight)
    by_entries = radius @ abs(product) @ radius.T
    lengths = np.array([root_up(int(square)) for square in (radius * radius).sum(axis=1)], dtype=object)
    return whole(np.minimum(by_entries, spectral_up(product) * lengths[:, None] * lengths))


def as_array(tensor: Tensor) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
    """A float64 tensor as an array."""
    return np.asarray(tensor.cpu().numpy(), dtype=np.float64)
