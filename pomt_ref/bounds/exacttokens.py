"""LIN-1 · a step over a box of tokens, derived again in integers: its boxes, its value sums, its attention sums.

What floating point found is taken as a suggestion: planes of a softmax, slopes of a head maximum, weights of heads.
Whatever is suggested, what comes out here is sound; bad suggestions only make it wide.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from pomt_ref.bounds.exactlayer import ExactForms, Maps, as_array, exact_forms, exact_logits, exact_maps
from pomt_ref.bounds.exactplanes import ExactPlanes, sound_above, sound_below
from pomt_ref.bounds.exactrows import exact_row
from pomt_ref.bounds.exactsums import head_above, head_below, summed, sums_difference, sums_range
from pomt_ref.bounds.exactvalues import SLOPE_BITS, exact_value_sums
from pomt_ref.bounds.fixedpoint import Integers, fixed, whole
from pomt_ref.bounds.layer import logit_forms
from pomt_ref.bounds.softplanes import SoftmaxPlanes, step_planes
from pomt_ref.bounds.steps import Step


@dataclass(frozen=True)
class DerivedTokens:
    """What one sample's tokens allow, in units of 2^-bits, rounded outward."""

    refuted: tuple[str, ...]
    """Entries of the step's boxes that are too narrow."""
    sums_low: Integers
    """(patches,), by planes alone."""
    sums_high: Integers
    """(patches,)."""
    attention: Integers
    """sup of D, (patches, patches)."""


def derive_tokens(
    step: Step, weights: Float64[np.ndarray, "patches patches heads"] | None, sample: int, bits: int
) -> DerivedTokens:
    """The ranges of one sample by planes in its tokens.

    Arguments:
        step: of tokens and a layer; its boxes of logits, values and value sums are checked.
        weights: of heads, suggested; the first head alone where there are none.
        sample: of the batch.
        bits: of the unit.
    """
    assert step.tokens is not None  # noqa: S101 -- the caller has asked
    assert step.layer is not None  # noqa: S101 -- it comes with the tokens
    maps = exact_maps(step.tokens, step.layer, sample)
    forms = exact_forms(maps, bits)
    logits = exact_logits(maps, forms)
    refuted = (*_refuted_boxes(step, maps, logits, sample, bits),)
    below, above = [], []
    suggested = step_planes(logit_forms(step.tokens, step.layer, sample), step, sample)
    for place, (query, planes) in enumerate(suggested):
        lower, upper = _sound_planes(forms, logits, planes, query, step.prefix)
        heads, patches = len(lower), len(lower[0].value)
        mixed = _first_head(heads, patches, bits) if weights is None else fixed(weights[place], bits)
        below.append(head_below(lower))
        above.append(head_above(forms, upper, mixed, query))
    lows, highs = summed(forms, below, step.prefix), summed(forms, above, step.prefix)
    ends = sums_range(forms, lows, highs, step.prefix)
    return DerivedTokens(refuted, *ends, sums_difference(forms, lows, highs, step.prefix))


def _sound_planes(
    forms: ExactForms, logits: tuple[Integers, Integers], planes: SoftmaxPlanes, query: int, prefix: int
) -> tuple[list[ExactPlanes], list[ExactPlanes]]:
    """For every head the planes below and above the shares of one row that are found to be sound."""
    below, above = [], []
    suggested = (planes.lower, planes.lower_value, planes.touch, planes.mixed, planes.upper, planes.upper_value)
    of_patches = (fixed(as_array(each), forms.bits) for each in suggested)
    lower, lower_value, touch, mixed, upper, upper_value = of_patches
    for head in range(len(lower)):
        row = exact_row(forms, logits, head, query, prefix)
        below.append(sound_below(row, lower[head], lower_value[head], touch=touch[head], mixed=mixed[head]))
        above.append(sound_above(row, upper[head], upper_value[head]))
    return below, above


def _first_head(heads: int, patches: int, bits: int) -> Integers:
    """All weight on the first head, for every target."""
    weights = np.zeros((patches, heads), dtype=object)
    weights[:, 0] = 1 << bits
    return whole(weights)


def _refuted_boxes(step: Step, maps: Maps, logits: tuple[Integers, Integers], sample: int, bits: int) -> Iterator[str]:
    """Entries of the boxes of logits, values and value sums that the tokens can leave."""
    assert step.logits is not None  # noqa: S101 -- a step of tokens has them
    center, radius = maps.projection(2)
    claims = {
        "logits": (step.logits, *logits, bits),
        "v": (step.values, center - radius, center + radius, 2 * maps.digits),
        "t": (step.value_sums, *exact_value_sums(maps, step.values, sample), 2 * maps.digits + SLOPE_BITS),
    }
    for name, (box, low, high, count) in claims.items():
        narrow = fixed(as_array(box.lo[sample]), count, up=True) > low
        narrow |= fixed(as_array(box.hi[sample]), count) < high
        yield from (f"{name}[{', '.join(map(str, (sample, *place)))}]" for place in np.argwhere(narrow).tolist())
