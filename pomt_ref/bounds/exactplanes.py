r"""LIN-1 · planes of one softmax row, held against conditions that suffice for soundness, in integers.

Planes come from anywhere; nothing is assumed of how they were found. Let z be the logits of a row, c their center, w
any weights that sum to one, and d the deviations of :math:`z_m - w \cdot z` from the center's, so that
:math:`w \cdot d = 0`. For any s > 0 and any γ

.. math::
    v + g \cdot (z - c) \le a_k(z) \;\Leftarrow\;
    v - 2 s + \sum_m \max_{d_m} \bigl[(g_m + \gamma w_m - s [m = k])\, d_m + s^2 e^{c_m - c_k + d_m}\bigr]
    + \Bigl|\sum_m g_m\Bigr| \max |w \cdot (z - c)| \le 0

since exp lies above its tangent and log under its own; every term is convex in its d, so largest at an end. And for
any σ >= 0, where a_k is known to lie between l and u,

.. math::
    v + g \cdot (z - c) \ge a_k(z) \;\Leftarrow\;
    v - \sum_m \bigl|g_m + \sigma (w_m - [m = k])\bigr| \max |z_m - c_m| \ge
    \max_{a \in \{l, u\}} (a - \sigma \log a) + \sigma \Bigl(c_k - w \cdot c + \sum_m w_m \log w_m\Bigr)

since :math:`\log \sum_m e^{z_m} \ge w \cdot z - \sum_m w_m \log w_m` whatever w of the simplex, and a - σ log a is
convex. For u the highest value of the plane itself will do: a share that starts below it at the center and moves
continuously would have to cross it, where the plane already holds.
"""

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


def sound_above(row: ExactRow, below: ExactPlanes, slopes: Integers, value: Integers) -> ExactPlanes:
    """The planes above the shares of all targets that can be shown to be sound, and constants in place of the others.

    Arguments:
        row: what is known of the logits.
        below: planes that are sound, for the least that a share can be.
        slopes: (targets, keys).
        value: at the center, (targets,).
    """
    bits, patches = row.forms.bits, slice(row.prefix, None)
    least = np.maximum(row.least_shares, below.value - row.reach(below.slopes))
    highest = value + row.reach(slopes) + 1
    at_center = ceiling(whole((row.center_exponentials[patches] + 2) << bits), row.center_exponentials.sum())
    most = np.where(at_center <= highest, np.minimum(row.most_shares, highest), row.most_shares)
    weights = row.weights
    entropy = sum(shifted_up(w * logarithm(w, bits)[1], bits) for w in weights.tolist() if w)
    logs = row.center[patches] + shifted_up(-(weights @ row.center), bits) + entropy
    steep = _steepness(slopes, weights, row.prefix, bits)
    itself = np.eye(len(weights), dtype=object)[patches] << bits
    apart = abs(slopes + (steep[:, None] * (weights - itself) >> bits)) + 1
    heights = [_height(*ends, bits) for ends in zip(least.tolist(), most.tolist(), steep.tolist(), strict=True)]
    required = integers([height or 0 for height in heights]) + shifted_up(steep * logs, bits)
    holds = decisions([height is not None for height in heights])
    holds &= decisions(value >= required + shifted_up(apart @ row.alone, bits))
    return _or_constant(holds, slopes, value, row.most_shares)


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


def _height(least: int, most: int, steep: int, bits: int) -> int | None:
    """The largest a - σ log a between two bounds, rounded up; none if there is no largest."""
    if steep == 0:
        return most
    if least <= 0 or most <= 0:
        return None
    ends: list[int] = [end + shifted_up(-steep * logarithm(end, bits)[0], bits) for end in (least, most)]
    return max(ends)


def _or_constant(holds: Decisions, slopes: Integers, value: Integers, constant: Integers) -> ExactPlanes:
    """The planes that hold, and constants."""
    return ExactPlanes(whole(np.where(holds[:, None], slopes, 0)), whole(np.where(holds, value, constant)))
