"""POMT-COUNT-1 in integers: what goes in, what stays, what comes out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pomt_ref.counting import discarded_count, kept_count, output_length, removed_count


class TestCounting:
    """POMT-COUNT-1: T = N - P - R - 1, output length N - R: R + 1 tokens go and one mean token comes."""

    @pytest.mark.parametrize(
        ("tokens", "prefix", "remove", "appended", "keep", "discarded", "output"),
        [
            (197, 1, 56, 1, 139, 57, 141),  # the authors' example: 141 deployed
            (197, 1, 1, 1, 194, 2, 196),  # the least there is to remove
            (197, 1, 195, 1, 0, 196, 2),  # the most: prefix and mean stay
            (198, 2, 56, 1, 139, 57, 142),
            (196, 0, 56, 1, 139, 57, 140),
            (201, 5, 56, 1, 139, 57, 145),
            (2, 0, 1, 1, 0, 2, 1),
            (197, 1, 56, 0, 140, 56, 141),  # Top-K appends nothing, so one more stays
            (2, 1, 1, 0, 0, 1, 1),
        ],
    )
    def test_counts_determine_each_other(
        self, tokens: int, prefix: int, remove: int, appended: int, keep: int, discarded: int, output: int
    ) -> None:
        assert kept_count(tokens, prefix=prefix, remove=remove, appended=appended) == keep
        assert removed_count(tokens, prefix=prefix, keep=keep, appended=appended) == remove
        assert discarded_count(tokens, prefix=prefix, keep=keep) == discarded
        assert output_length(prefix=prefix, keep=keep, appended=appended) == output

    def test_one_row_is_appended_unless_told(self) -> None:
        assert kept_count(10, prefix=1, remove=2) == 6
        assert removed_count(10, prefix=1, keep=6) == 2
        assert output_length(prefix=1, keep=6) == 8

    @given(prefix=st.integers(0, 9), keep=st.integers(0, 9999), discarded=st.integers(2, 9999))
    def test_counting_closes(self, prefix: int, keep: int, discarded: int) -> None:
        tokens = prefix + keep + discarded
        remove = removed_count(tokens, prefix=prefix, keep=keep)
        assert remove == discarded - 1, "R + 1 tokens go and one mean row comes"
        assert kept_count(tokens, prefix=prefix, remove=remove) == keep
        assert discarded_count(tokens, prefix=prefix, keep=keep) == discarded
        assert output_length(prefix=prefix, keep=keep) == tokens - remove
