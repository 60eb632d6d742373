"""Reading an output: rows found bit for bit, intervals of equal rows, and the first pair in an order that is wrong."""

from collections.abc import Sequence
from itertools import permutations
from typing import Final

import numpy as np
import pytest

from pomt_ref.testing.admissible import Disorder, Reading, first_disorder, intervals, read_rows
from pomt_ref.testing.violation import LawViolation

PATCHES: Final = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 0.0], [4.0, 40.0]])
SCORES: Final = np.array([0.4, 0.9, 0.1, 0.7])
PREFIX: Final = np.array([[9.0, 9.0]])


def read(rows: Sequence[Sequence[float]], patches: np.ndarray = PATCHES) -> Reading:
    """Read these rows as the kept ones of sample 2."""
    array = np.array(rows, dtype=np.float64).reshape(-1, 2)
    return read_rows(array, patches, SCORES, prefix=PREFIX, sample=2)


class TestReading:
    """ADMISSIBLE 3: rows [P, P + T) are a sub-multiset of the patch rows, bit-equal."""

    def test_read_rows_names_kept_in_output_order_and_the_others(self) -> None:
        assert read([[4.0, 40.0], [2.0, 20.0]]) == Reading((3, 1), (0, 2))

    def test_read_rows_of_nothing_kept_leaves_all(self) -> None:
        assert read([]) == Reading((), (0, 1, 2, 3))

    def test_read_rows_reads_equal_rows_best_first(self) -> None:
        same = PATCHES[[1, 1, 1, 3]]
        assert read([[2.0, 20.0], [2.0, 20.0]], same) == Reading((1, 0), (2, 3))

    @pytest.mark.parametrize(
        ("row", "clause", "says"),
        [
            ([9.0, 9.0], "POMT-PRUNE-4", "row 0 of the kept rows of sample 2 is a prefix row: indices start after it"),
            (
                [2.0, 20.5],
                "POMT-PRUNE-2",
                (
                    "row 0 of the kept rows of sample 2 is no patch row, bit for bit; "
                    "patch 1 is nearest, with 20 where 20.5 came (channel 1)"
                ),
            ),
            (
                [3.0, -0.0],
                "POMT-PRUNE-2",
                (
                    "row 0 of the kept rows of sample 2 is no patch row, bit for bit; "
                    "patch 2 differs by the sign of a zero"
                ),
            ),
            (
                [float("nan"), 1.0],
                "POMT-PRUNE-2",
                (
                    "row 0 of the kept rows of sample 2 is no patch row, bit for bit; "
                    "patch 0 is nearest, with 1 where nan came (channel 0)"
                ),
            ),
        ],
    )
    def test_read_rows_tells_what_a_foreign_row_is(self, row: list[float], clause: str, says: str) -> None:
        with pytest.raises(LawViolation) as caught:
            read([row])
        assert (caught.value.clause, caught.value.message) == (clause, says)

    def test_read_rows_tells_a_row_that_comes_twice(self) -> None:
        with pytest.raises(LawViolation) as caught:
            read([[2.0, 20.0], [2.0, 20.0]])
        assert str(caught.value) == (
            "POMT-PRUNE-4 wrong: row 1 of the kept rows of sample 2 comes out more often than it went in"
        )

    def test_read_rows_accepts_a_patch_row_that_equals_a_prefix_row(self) -> None:
        assert read([[9.0, 9.0]], np.concatenate([PATCHES[:3], PREFIX])).kept == (3,)


class TestIntervals:
    """Within a class of equal rows give its k-th output row the interval [k-th largest lo, k-th largest hi]."""

    def test_intervals_of_distinct_rows_are_score_and_bound(self) -> None:
        low, high = intervals(PATCHES, SCORES, np.full(4, 0.25))
        assert low.tolist() == (SCORES - 0.25).tolist()
        assert high.tolist() == (SCORES + 0.25).tolist()

    def test_intervals_of_equal_rows_are_sorted_ends(self) -> None:
        bounds = np.array([0.0, 0.5, 0.0, 0.0])
        low, high = intervals(PATCHES[[1, 1, 1, 3]], np.array([0.5, 0.75, 0.25, 0.0]), bounds)
        assert low.tolist() == [0.25, 0.5, 0.25, 0.0], "the best of the class, patch 1, has the largest lower end"
        assert high.tolist() == [0.5, 1.25, 0.25, 0.0]


class TestOrder:
    """ADMISSIBLE 4: for kept a before b, lo_b ≤ hi_a; for each discarded j, lo_j ≤ the smallest hi among kept."""

    @pytest.mark.parametrize(
        ("kept", "discarded", "expected"),
        [
            ((1, 3), (0, 2), None),
            ((), (0, 1, 2, 3), None),
            ((3, 1), (0, 2), Disorder(3, 1, kept=True)),
            ((1, 0), (2, 3), Disorder(0, 3, kept=False)),
            ((1, 0, 3), (2,), Disorder(0, 3, kept=True)),
            ((0, 1), (2, 3), Disorder(0, 1, kept=True)),
        ],
    )
    def test_first_disorder_of_separate_scores(
        self, kept: tuple[int, ...], discarded: tuple[int, ...], expected: Disorder | None
    ) -> None:
        low, high = SCORES - 0.01, SCORES + 0.01
        assert first_disorder(Reading(kept, discarded), low, high) == expected

    def test_first_disorder_is_none_within_both_bounds(self) -> None:
        close = np.array([0.5, 0.5 + 2e-6])
        for bound, expected in ((1e-6, None), (0.9e-6, Disorder(0, 1, kept=True))):
            assert first_disorder(Reading((0, 1), ()), close - bound, close + bound) == expected

    def test_first_disorder_looks_past_the_row_before(self) -> None:
        """A wide interval between two narrow ones does not hide that the outer two are the wrong way round."""
        low, high = np.array([0.1, 0.0, 0.9]), np.array([0.2, 1.0, 1.0])
        assert first_disorder(Reading((0, 1, 2), ()), low, high) == Disorder(0, 2, kept=True)

    def test_first_disorder_agrees_with_all_possible_scores(self) -> None:
        """Against the definition: some scores inside the intervals give this order of these tokens, or none do."""
        random = np.random.default_rng(0)
        for _ in range(200):
            ends = np.sort(random.integers(0, 8, size=(4, 2)) / 8, axis=1)
            low, high = ends[:, 0], ends[:, 1]
            for kept in permutations(range(4), 2):
                others = tuple(j for j in range(4) if j not in kept)
                possible = all(low[b] <= high[a] for a, b in [kept, *((a, j) for a in kept for j in others)])
                assert (first_disorder(Reading(kept, others), low, high) is None) == possible
