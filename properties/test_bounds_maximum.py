"""LIN-1 · the maximum over a box: planes that are sound without tolerance, and as tight as they claim to be."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import permutations
from typing import Final, get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog  # pyright: ignore[reportMissingTypeStubs] -- it publishes none

from pomt_ref import ValuesError
from pomt_ref.bounds import Box, Lower, Upper, max_envelope, relax_max, worst_gap
from pomt_ref.testing import planes
from pomt_ref.testing.planes import Variables, variables

from .bounds import box_of, fractions, lower_plane, tensor_of, upper_plane

UPPERS: Final[tuple[Upper, ...]] = get_args(Upper)
LOWERS: Final[tuple[Lower, ...]] = get_args(Lower)
SHARES: Final = st.lists(st.integers(0, 8), min_size=8, max_size=8)
"""Where in its interval each variable stands, in eighths."""


def inside(box: Variables, shares: list[int]) -> list[Fraction]:
    """A point of the box whose entries are float64."""
    pairs = zip(box.lower, box.upper, shares, strict=False)
    return [min(max(Fraction(float(low + (high - low) * k / 8)), low), high) for low, high, k in pairs]


class TestSoundness:
    """LIN-1: no corner above an upper plane, no point of the box below a lower one, in rational arithmetic."""

    @pytest.mark.parametrize("upper", UPPERS)
    @given(box=variables(most=8))
    def test_upper_plane_is_above_at_every_corner(self, upper: Upper, box: Variables) -> None:
        corners = planes.holds_above(box, upper_plane(relax_max(box_of(box), upper=upper)))
        assert corners == len(list(box.corners()))

    @given(box=variables(most=8), share=st.integers(0, 9))
    def test_any_threshold_from_the_largest_lower_bound_on_is_sound(self, box: Variables, share: int) -> None:
        span = max(box.upper) - box.largest_lower
        t = max(float(box.largest_lower + span * share / 8), float(box.largest_lower))
        corners = planes.holds_above(box, upper_plane(relax_max(box_of(box), upper=t)))
        assert corners == len(list(box.corners()))

    @pytest.mark.parametrize("lower", LOWERS)
    @given(box=variables(most=8))
    def test_lower_plane_is_below_everywhere(self, lower: Lower, box: Variables) -> None:
        plane = lower_plane(relax_max(box_of(box), lower=lower))
        planes.holds_below(box, plane)
        assert sum(plane.slopes) == 1, "expected slopes that sum to exactly one"
        assert plane.intercept == 0, "expected no intercept"

    @given(box=variables())
    def test_threshold_below_the_largest_lower_bound_is_refused(self, box: Variables) -> None:
        below = float(box.largest_lower) - 0.125
        with pytest.raises(ValuesError, match="expected a threshold t >= L"):
            relax_max(box_of(box), upper=below)

    @given(box=variables())
    def test_range_holds_the_maximum(self, box: Variables) -> None:
        found = relax_max(box_of(box)).concretize()
        assert Fraction(found.lo.item()) <= max(box.lower), "expected a lower end that every corner respects"
        assert Fraction(found.hi.item()) == max(box.upper), "expected the largest upper bound, which is attained"


class TestTightness:
    """LIN-1: the planes are the best of their kind, up to the rounding of their slopes."""

    @pytest.mark.parametrize("upper", UPPERS)
    @given(box=variables())
    def test_intercept_is_as_low_as_the_slopes_allow(self, upper: Upper, box: Variables) -> None:
        slack = planes.touches(box, upper_plane(relax_max(box_of(box), upper=upper)))
        assert 0 <= slack <= planes.ROUNDED * box.size

    @pytest.mark.parametrize("upper", ["volume-minimax", "maxlin", "ti-lin"])
    @given(box=variables())
    def test_volume_is_least(self, upper: Upper, box: Variables) -> None:
        excess = planes.has_least_volume(box, upper_plane(relax_max(box_of(box), upper=upper)))
        assert abs(excess) <= planes.ROUNDED * box.size

    @given(box=variables())
    def test_default_has_the_least_worst_gap_at_least_volume(self, box: Variables) -> None:
        plane = upper_plane(relax_max(box_of(box)))
        excess = planes.has_least_gap(box, plane, among=(box.caps[2], box.caps[1]))
        assert abs(excess) <= planes.ROUNDED * box.size

    @given(box=variables())
    def test_minimax_has_the_least_worst_gap_of_all(self, box: Variables) -> None:
        plane = upper_plane(relax_max(box_of(box), upper="minimax"))
        excess = planes.has_least_gap(box, plane, among=(box.largest_lower, max(box.upper)))
        assert abs(excess) <= planes.ROUNDED * box.size

    @given(box=variables(most=4))
    def test_minimax_planes_are_best_among_all_planes(self, box: Variables) -> None:
        bounds = relax_max(box_of(box), upper="minimax", lower="minimax")
        above, below = best_gaps(box)
        assert float(planes.gap_above(box, upper_plane(bounds))) == pytest.approx(above, abs=1e-7 * scale(box))
        assert float(planes.gap_below(box, lower_plane(bounds))) == pytest.approx(below, abs=1e-7 * scale(box))

    @given(box=variables())
    def test_parallel_band_is_as_wide_as_the_least_gap(self, box: Variables) -> None:
        bounds = relax_max(box_of(box), upper="parallel", lower="minimax")
        above, below = upper_plane(bounds), lower_plane(bounds)
        assert above.slopes == below.slopes, "expected two planes with the same slopes"
        least = planes.least_gap(box, box.largest_lower, max(box.upper))
        width = above.intercept - below.intercept
        assert abs(width - least) <= planes.ROUNDED * box.size, f"expected {float(least)}, got {float(width)}"

    @pytest.mark.parametrize("upper", UPPERS)
    @given(box=variables())
    def test_worst_gap_is_that_of_the_plane(self, upper: Upper, box: Variables) -> None:
        bounds = relax_max(box_of(box), upper=upper, lower="minimax")
        above, below = planes.gap_above(box, upper_plane(bounds)), planes.gap_below(box, lower_plane(bounds))
        assert abs(Fraction(worst_gap(bounds).item()) - above) <= planes.ROUNDED * box.size
        assert abs(Fraction(worst_gap(bounds, side="lower").item()) - below) <= planes.ROUNDED * box.size


def scale(box: Variables) -> float:
    """The size of a box for tolerances of a linear program, which has its own."""
    return max(float(box.size), 1.0)


def best_gaps(box: Variables) -> tuple[float, float]:
    """The least worst gap of any plane above, and of any plane below, by linear programs over all planes."""
    corners = [[float(x) for x in corner] for corner in box.corners()]
    # Where the maximum is s, a plane of any slopes is highest at a corner of the box cut off at s.
    cuts = [
        (s, [float(x) for x in corner])
        for s in (*box.knots, *box.lower)
        if s >= box.largest_lower
        for corner in Variables(box.low, np.minimum(box.high, float(s))).corners()
    ]
    count = len(box.lower)
    costs, free = [0.0] * (count + 1) + [1.0], [(None, None)] * (count + 2)
    sound = [[*(-x for x in corner), -1.0, 0.0] for corner in corners]
    close = [[*corner, 1.0, -1.0] for _, corner in cuts]
    above = linprog(costs, sound + close, [-max(c) for c in corners] + [float(s) for s, _ in cuts], bounds=free)
    sound = [[*corner, 1.0, 0.0] for _, corner in cuts]
    close = [[*(-x for x in corner), -1.0, -1.0] for corner in corners]
    below = linprog(costs, sound + close, [float(s) for s, _ in cuts] + [-max(c) for c in corners], bounds=free)
    assert above.success
    assert below.success
    return float(above.fun), float(below.fun)


def unit(box: Variables, point: Sequence[Fraction], widths: list[Fraction]) -> list[float]:
    """Where a point stands between the bounds, in [0, 1]."""
    return [float((x - low) / width) for x, low, width in zip(point, box.lower, widths, strict=True)]


class TestEnvelope:
    """LIN-1: the envelope is the least concave function above the maximum."""

    @given(box=variables(most=8), shares=SHARES)
    def test_envelope_equals_the_least_plane(self, box: Variables, shares: list[int]) -> None:
        point = inside(box, shares)
        found, expected = max_envelope(box_of(box), tensor_of(point)), planes.envelope(box, point)
        assert 0 <= Fraction(found.item()) - expected <= planes.ROUNDED * box.size

    @given(box=variables(most=8), shares=SHARES)
    def test_envelope_equals_the_program_over_corners(self, box: Variables, shares: list[int]) -> None:
        point = inside(box, shares)
        corners = list(box.corners())
        # In units of the widths: a solver's tolerance is absolute, and a box may be very narrow.
        widths = [(high - low) or Fraction(1) for low, high in zip(box.lower, box.upper, strict=True)]
        units = np.array([[*unit(box, corner, widths), 1.0] for corner in corners]).T
        heights = [float(max(corner) - box.largest_lower) for corner in corners]
        solved = linprog(-np.array(heights), A_eq=units, b_eq=[*unit(box, point, widths), 1.0])
        assert solved.success
        found = max_envelope(box_of(box), tensor_of(point)).item()
        assert found == pytest.approx(float(box.largest_lower) - solved.fun, abs=1e-9 * scale(box))

    @given(box=variables(most=8), shares=SHARES)
    def test_envelope_lies_between_maximum_and_every_plane(self, box: Variables, shares: list[int]) -> None:
        point = inside(box, shares)
        found = Fraction(max_envelope(box_of(box), tensor_of(point)).item())
        assert found >= max(point)
        for upper in UPPERS:
            height = upper_plane(relax_max(box_of(box), upper=upper)).at(point)
            assert found <= height + planes.ROUNDED * box.size, f"expected {upper} above the envelope"

    @given(box=variables(most=4))
    def test_envelope_is_the_maximum_at_corners(self, box: Variables) -> None:
        for corner in box.corners():
            found = Fraction(max_envelope(box_of(box), tensor_of(corner)).item())
            assert 0 <= found - max(corner) <= planes.ROUNDED * box.size


class TestExactCases:
    """LIN-1: one variable, and boxes that are points, are exact."""

    @pytest.mark.parametrize("upper", UPPERS)
    @given(box=variables(most=1))
    def test_one_variable_is_itself(self, upper: Upper, box: Variables) -> None:
        bounds = relax_max(box_of(box), upper=upper)
        assert bounds.lower_slopes.tolist() == [1.0]
        if upper == "deeppoly":
            assert (bounds.upper_slopes.item(), bounds.upper_intercept.item()) == (0.0, float(box.upper[0]))
        else:
            assert upper_plane(bounds).at(box.lower) == box.lower[0]
            assert upper_plane(bounds).at(box.upper) == box.upper[0]

    @given(box=variables())
    def test_a_point_has_no_gap(self, box: Variables) -> None:
        point = Variables(box.low, box.low)
        bounds = relax_max(box_of(point))
        assert bounds.concretize().lo == bounds.concretize().hi == float(max(box.lower))
        assert worst_gap(bounds) == 0


class TestSymmetry:
    """LIN-1: the order of the variables, and the place of their axis, changes nothing."""

    @pytest.mark.parametrize("upper", UPPERS)
    @given(box=variables(most=4), turn=st.integers(0, 23))
    def test_permuting_variables_permutes_slopes(self, upper: Upper, box: Variables, turn: int) -> None:
        orders = list(permutations(range(len(box.lower))))
        order = list(orders[turn % len(orders)])
        there = relax_max(box_of(box), upper=upper)
        turned = Box(there.box.lo[order], there.box.hi[order])
        back = relax_max(turned, upper=upper)
        # Sums run in another order; among tied lower bounds "parallel" gives the rest to another variable.
        heights = [upper_plane(bounds).at(fractions(bounds.box.center)) for bounds in (there, back)]
        assert abs(heights[0] - heights[1]) <= planes.ROUNDED * box.size

    @given(box=variables(most=5), others=variables(most=5))
    def test_batching_changes_nothing(self, box: Variables, others: Variables) -> None:
        count = min(len(box.lower), len(others.lower))
        rows = [Variables(each.low[:count], each.high[:count]) for each in (box, others)]
        boxes = [box_of(row) for row in rows]
        batched = Box(torch.stack([b.lo for b in boxes], dim=1), torch.stack([b.hi for b in boxes], dim=1))
        together = relax_max(batched, dim=0, lower="minimax")
        for place, each in enumerate(boxes):
            alone = relax_max(each, dim=0, lower="minimax")
            assert torch.equal(together.upper_slopes[:, place], alone.upper_slopes)
            assert torch.equal(together.upper_intercept[place], alone.upper_intercept)
            assert torch.equal(together.lower_slopes[:, place], alone.lower_slopes)
