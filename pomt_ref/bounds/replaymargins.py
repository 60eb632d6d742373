"""LIN-1, FLOAT-1, FLOAT-2 · the margins of a certificate, derived again from its step and from sums in integers.

The formulas of the clauses are those that made the certificate (:mod:`pomt_ref.bounds.margins`): they are trusted, not
repeated. What goes into them is derived.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Final, cast

import numpy as np
import torch
from jaxtyping import Bool, Float64

from pomt_ref.bounds.box import Box
from pomt_ref.bounds.differences import value_sum_bounds
from pomt_ref.bounds.fixedpoint import Integers, exact
from pomt_ref.bounds.margins import mean_margin, score_margin
from pomt_ref.bounds.steps import Step
from pomt_ref.errors import PomtError

ROOM: Final = 1 - 2.0**-42
"""What float64 may round differently in a formula that is evaluated at nearly the same sums; a quarter of what the
formula itself adds for its rounding, so that a margin that is smaller by this is one still."""


def derived_margin(
    step: Step, sums: Sequence[tuple[Integers, Integers]], tops: Sequence[tuple[int, int]], one: int
) -> Float64[np.ndarray, "batch patches"]:
    """FLOAT-1 over the box: what the arithmetic may add to a score; zero for ``"real"``.

    Arguments:
        step: its boxes and its arithmetic.
        sums: lower and upper ends of S, sample by sample, in the unit.
        tops: lower and upper ends of M.
        one: one, in the unit.

    Raises:
        PomtError: the clause does not apply to this step.
    """
    if step.tokens is None:
        step = replace(step, value_sums=value_sum_bounds("check", step.values))
    device = step.values.lo.device
    ends = (np.stack([pair[side] for pair in sums]) for side in (0, 1))
    low, high = (torch.from_numpy(rounded(end, one, sign)).to(device) for end, sign in zip(ends, (-1, 1), strict=True))
    top_ends = (np.array([[pair[side]] for pair in tops], dtype=object) for side in (0, 1))
    least, most = (
        torch.from_numpy(rounded(end, one, sign)).to(device) for end, sign in zip(top_ends, (-1, 1), strict=True)
    )
    return np.asarray(score_margin(step, Box(low, high), Box(least, most)).cpu().numpy() * ROOM)


def rounded(numbers: Integers, one: int, sign: int) -> Float64[np.ndarray, "*axes"]:
    """Numbers of the unit as float64, rounded up or (sign -1) down."""
    found = np.empty(numbers.shape)
    for place in np.ndindex(numbers.shape):
        value = Fraction(cast("int", numbers[place])) / one
        near = float(value)
        outward = sign * Fraction(near) < sign * value
        found[place] = np.nextafter(near, sign * np.inf) if outward else near
    return found


def refuted_means(
    step: Step,
    kept: Bool[np.ndarray, "batch patches"],
    discarded: Bool[np.ndarray, "batch patches"],
    mean: tuple[Float64[np.ndarray, "batch channels"], Float64[np.ndarray, "batch channels"]],
) -> Iterator[str]:
    """Claimed bounds of the mean row that some choice of the undetermined rows leaves, or a run in the arithmetic."""
    assert step.x is not None  # noqa: S101 -- a mean is claimed only where x is given
    count = kept.shape[1] - step.keep
    low, high = (exact(side[:, step.prefix :].cpu().numpy()) for side in (step.x.lo, step.x.hi))
    size = _extremes(np.maximum(abs(low), abs(high)), kept, discarded, count)
    try:
        sizes = torch.from_numpy(rounded(size, count, 1))
        margin = exact(mean_margin(sizes, discarded=count, arithmetic=step.arithmetic).numpy())
    except (PomtError, OverflowError) as error:
        yield f"mean: {error}"
        return
    beyond = [
        (sign * exact(claimed) - margin) * count < _extremes(sign * rows, kept, discarded, count)
        for rows, claimed, sign in ((low, mean[0], -1), (high, mean[1], 1))
    ]
    yield from (f"mean[{sample}, {channel}]" for sample, channel, _ in np.argwhere(np.stack(beyond, axis=-1)))


def _extremes(
    rows: Integers, kept: Bool[np.ndarray, "batch patches"], discarded: Bool[np.ndarray, "batch patches"], count: int
) -> Integers:
    """The largest sum of as many rows as are averaged, (batch, channels)."""
    found = np.empty((rows.shape[0], rows.shape[2]), dtype=object)
    for sample, channel in np.ndindex(found.shape):
        sure, unsure = discarded[sample], ~(kept[sample] | discarded[sample])
        column = rows[sample, :, channel]
        chosen = [*column[sure], *sorted(column[unsure], reverse=True)[: max(count - int(sure.sum()), 0)]]
        found[sample, channel] = sum(chosen, Fraction(0))
    return found
