r"""LIN-1 · planes of one softmax row, held against conditions that suffice for soundness, in integers.

Planes come from anywhere; nothing is assumed of how they were found. Let z be the logits of a row, c their center, w
any weights that sum to one, and d the deviations of :math:`z_m - w \cdot z` from the center's, so that
:math:`w \cdot d = 0`. For any s > 0 and any γ

.. math::
    v + g \cdot (z - c) \le a_k(z) \;\Leftarrow\;
    v - 2 s + \sum_m \max_{d_m} \bigl[(g_m + \gamma w_m - s [m = k])\, d_m + s^2 e^{c_m - c_k + d_m}\bigr]
    + \Bigl|\sum_m g_m\Bigr| \max |w \cdot (z - c)| \le 0

since exp lies above its tangent and log under its own; every term is convex in its d, so largest at an end. And for any
σ >= 0

.. math::
    v + g \cdot (z - c) \ge a_k(z) \;\Leftarrow\;
    v + \sigma (x - x_0) - \sum_m \bigl|g_m + \sigma (w_m - [m = k])\bigr| \max |z_m - c_m| \ge e^x
    \quad \text{at both ends of } x, \qquad x_0 = c_k - w \cdot c + \sum_m w_m \log w_m

where :math:`x = x_0 + (z_k - c_k) - w \cdot (z - c)` is linear and no less than log a, since
:math:`\log \sum_m e^{z_m} \ge w \cdot z - \sum_m w_m \log w_m` for every w of the simplex. Its ends are those of its
range over the box, or the logarithms of the bounds of a where these say more: the left side rises with x.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pomt_ref.bounds.exactrows import LARGEST_ARGUMENT, ExactRow
from pomt_ref.bounds.fixedpoint import (
    Decisions,
    Integers,
    ceiling,
    decisions,
    exponentials_up,
    integers,
    logarithm,
    shifted_up,
    whole,
)


@dataclass(frozen=True)
class ExactPlanes:
    """For every target of one row and head a plane that is sound, in units of 2^-bits."""

    slopes: Integers
    """(targets, keys)."""
    value: Integers
    """At the center, (targets,)."""


def sound_below(row: ExactRow, slopes: Integers, value: Integers, *, touch: Integers, mixed: Integers) -> ExactPlanes:
    """The planes below the shares of all targets that can be shown to be sound, and constants in place of the others.

    Arguments:
        row: what is known of the logits.
        slopes: (targets, keys).
        value: at the center, (targets,).
        touch: s, (targets,); anything else than what the planes were found with makes them fail, and no more.
        mixed: γ, (targets,), likewise.
    """
    by_means, by_target = _below_by_means(row, slopes, value, touch, mixed), _below_by_target(row, slopes, value, touch)
    holds = decisions(touch > 0) & (by_means | by_target)
    return _or_constant(holds, slopes, value, row.least_shares)


def sound_above(row: ExactRow, slopes: Integers, value: Integers) -> ExactPlanes:
    """The planes above the shares of all targets that can be shown to be sound, and constants in place of the others.

    Arguments:
        row: what is known of the logits.
        slopes: (targets, keys).
        value: at the center, (targets,).
    """
    bits, patches, weights = row.forms.bits, slice(row.prefix, None), row.weights
    entropy = sum(shifted_up(w * logarithm(w, bits)[1], bits) for w in weights.tolist() if w)
    at_center = whole(row.center[patches] + shifted_up(-(weights @ row.center), bits) + entropy)
    itself = np.eye(len(weights), dtype=object)[patches] << bits
    reach = row.reach(whole(itself - weights))
    steep = _steepness(slopes, weights, row.prefix, bits)
    apart = abs(slopes + (steep[:, None] * (weights - itself) >> bits)) + 1
    left = value - shifted_up(apart @ row.alone, bits)
    holds = np.ones(len(value), dtype=np.bool_)
    for end in _ends(row, at_center, reach):
        height = left + (steep * (end - at_center) >> bits)
        holds &= decisions(height >= exponentials_up(whole(end), bits))
    return _or_constant(holds, slopes, value, row.most_shares)


def _ends(row: ExactRow, at_center: Integers, reach: Integers) -> Iterator[Integers]:
    """The least and the largest x that matter for every target: of its range, or the logarithms of its share's."""
    bits = row.forms.bits
    least = [logarithm(share, bits)[0] if share > 0 else -(1 << 2 * bits) for share in row.least_shares.tolist()]
    most = [logarithm(share, bits)[1] for share in row.most_shares.tolist()]
    yield whole(np.maximum(at_center - reach, integers(least)))
    yield whole(np.minimum(at_center + reach, integers(most)))


def _below_by_target(row: ExactRow, slopes: Integers, value: Integers, touch: Integers) -> Decisions:
    """The condition with all weight on the target: d are the differences to it."""
    middle = row.center - row.center[row.prefix :, None]
    ends = [(row.low - middle, row.least_exponentials + 2), (row.high - middle, row.most_exponentials)]
    rounded = abs(slopes.sum(axis=1)) * row.alone[row.prefix :]
    return _condition(row, slopes, value, touch, ends, rounded) & ~row.far


def _below_by_means(row: ExactRow, slopes: Integers, value: Integers, touch: Integers, mixed: Integers) -> Decisions:
    """The condition with the shares at the center as weights."""
    bits, center = row.forms.bits, row.center
    reach = row.reach(whole((np.eye(len(center), dtype=object) << bits) - row.weights))
    of_targets = row.center_exponentials[row.prefix :, None]
    if (reach > LARGEST_ARGUMENT << bits).any():
        return np.zeros(len(value), dtype=np.bool_)
    low, high = (
        ceiling(whole(exponentials_up(whole(center - center.max() + d), bits) << bits), np.maximum(of_targets, 1))
        for d in (-reach, reach)
    )
    tilted = whole(slopes + (mixed[:, None] * row.weights >> bits))
    rounded = abs(slopes.sum(axis=1)) * row.reach(row.weights[None]) + reach.sum()
    holds = _condition(row, tilted, value, touch, [(-reach, low), (reach, high)], rounded)
    return holds & decisions(row.center_exponentials[row.prefix :] > 0)


def _condition(
    row: ExactRow,
    slopes: Integers,
    value: Integers,
    touch: Integers,
    ends: list[tuple[Integers, Integers]],
    rounded: Integers,
) -> Decisions:
    """Whether planes are below their shares, from both ends of d and their exponentials; rounded is what is left."""
    bits = row.forms.bits
    itself = np.eye(slopes.shape[1], dtype=object)[row.prefix :]
    square = (touch * touch)[:, None]
    terms = [(slopes - touch[:, None] * itself) * d + shifted_up(square * each, bits) for d, each in ends]
    highest = np.maximum(*terms).sum(axis=1) + rounded
    return decisions(((value - 2 * touch) << bits) + highest <= 0)


def _steepness(slopes: Integers, weights: Integers, prefix: int, bits: int) -> Integers:
    """σ as the slopes suggest it: the slope on the strongest other key is -σ times its share."""
    found = []
    for target, row in enumerate(slopes):
        shares = weights.copy()
        shares[prefix + target] = 0
        key = int(shares.argmax())
        found.append(max((-row[key] << bits) // shares[key], 0) if shares[key] else 0)
    return integers(found)


def _or_constant(holds: Decisions, slopes: Integers, value: Integers, constant: Integers) -> ExactPlanes:
    """The planes that hold, and constants."""
    return ExactPlanes(whole(np.where(holds[:, None], slopes, 0)), whole(np.where(holds, value, constant)))
