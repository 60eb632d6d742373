r"""LIN-1 · the head maximum and the attention sums between planes in the tokens, in integers.

For the head maximum the planes of all heads are concretised together, with weights that come from anywhere: whatever
plane F is subtracted, :math:`\max_h f_h \le F + \max_h \sup (f_h - F)`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pomt_ref.bounds.exactlayer import ExactForms
from pomt_ref.bounds.exactplanes import ExactPlanes
from pomt_ref.bounds.fixedpoint import Integers, integers, whole


@dataclass(frozen=True)
class ExactSums:
    """For every patch a plane below or above its attention sum."""

    slopes: Integers
    """On the logits, (patches, heads, queries, keys), in units of 2^-bits; queries are patches."""
    moves: Integers
    """On the tokens, each entry in units of its radius: (patches, tokens, channels), in 2^-(4 digits + bits)."""
    value: Integers
    """At the center, (patches,), in units of 2^-bits."""


def head_below(planes: Sequence[ExactPlanes]) -> ExactPlanes:
    """A plane below the head maximum of one row: that of the highest head; slopes are (targets, heads, keys)."""
    values = np.stack([each.value for each in planes])
    chosen = values.argmax(axis=0)
    slopes = np.zeros((values.shape[1], *values.shape[:1], planes[0].slopes.shape[1]), dtype=object)
    for target, head in enumerate(chosen):
        slopes[target, head] = planes[head].slopes[target]
    return ExactPlanes(whole(slopes), whole(values.max(axis=0)))


def head_above(forms: ExactForms, planes: Sequence[ExactPlanes], weights: Integers, query: int) -> ExactPlanes:
    """A plane above the head maximum of one row; slopes are (targets, heads, keys).

    Arguments:
        forms: the logits.
        planes: one set a head, each above its shares.
        weights: of the heads, (targets, heads), in units of 2^-bits; any are sound.
        query: the row.
    """
    each = np.stack([head.slopes for head in planes], axis=1)
    values = np.stack([head.value for head in planes], axis=1)
    mixed = (weights[:, :, None] * each) >> forms.bits
    own, radius, by_key = forms.own(query), forms.radius, forms.by_key[:, query]
    heights = []
    for target in range(len(each)):
        found = []
        for head in range(len(planes)):
            apart = -mixed[target]
            apart[head] = apart[head] + each[target, head]
            through_keys = apart.T @ by_key
            through_keys[query] = sum(one @ other for one, other in zip(apart, own, strict=True))
            moves = (abs(through_keys) * radius).sum()
            rest = (abs(apart) * forms.remainder[:, query]).sum()
            found.append(values[target, head] + forms.reach(moves, rest))
        heights.append(max(found))
    return ExactPlanes(whole(mixed), integers(heights))


def summed(forms: ExactForms, rows: Sequence[ExactPlanes], prefix: int) -> ExactSums:
    """The planes of all rows of patches added up."""
    slopes = np.stack([row.slopes for row in rows], axis=2)
    patches, heads, queries, keys = slopes.shape
    by_key = forms.by_key[:, prefix:].reshape(heads * queries, -1)
    moves = np.stack([each.reshape(heads * queries, keys).T @ by_key for each in slopes])
    through = slopes.transpose(0, 2, 1, 3).reshape(patches, queries, heads * keys)
    moves[:, prefix:] += through @ forms.by_query.reshape(heads * keys, -1)
    value = sum((row.value for row in rows[1:]), rows[0].value)
    return ExactSums(whole(slopes), whole(moves * forms.radius), whole(value))


def sums_range(forms: ExactForms, below: ExactSums, above: ExactSums, prefix: int) -> tuple[Integers, Integers]:
    """The range of every attention sum, (patches,), by its planes alone."""
    rest = forms.remainder[:, prefix:]
    reaches = []
    for each in (below, above):
        pairs = zip(each.moves, each.slopes, strict=True)
        reaches.append([forms.reach(abs(moves).sum(), (abs(slopes) * rest).sum()) for moves, slopes in pairs])
    return whole(below.value - integers(reaches[0])), whole(above.value + integers(reaches[1]))


def sums_difference(forms: ExactForms, below: ExactSums, above: ExactSums, prefix: int) -> Integers:
    """sup of S_i - S_j, (patches, patches), as one plane a pair."""
    rest, patches = forms.remainder[:, prefix:], len(below.value)
    found = np.empty((patches, patches), dtype=object)
    for i, j in np.ndindex(found.shape):
        moves = abs(above.moves[i] - below.moves[j]).sum()
        left = (abs(above.slopes[i] - below.slopes[j]) * rest).sum()
        found[i, j] = above.value[i] - below.value[j] + forms.reach(moves, left)
    np.fill_diagonal(found, 0)
    return whole(found)
