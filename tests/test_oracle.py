"""The oracle held against examples worked by hand: every expected figure here is a literal, never computed by it."""

import ast
import inspect
import math
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from pomt_ref import oracle

ROUNDING = 1e-15
"""Relative tolerance where an exponential or a non-dyadic quotient rounds: a few units in the last place of float64."""

ABSENT = -1000.0
"""A value whose exponential beside that of zero is exactly zero in float64."""


def array(nested: ArrayLike) -> NDArray[np.float64]:
    """Figures as written, in float64."""
    return np.asarray(nested, dtype=np.float64)


def uniform(*, tokens: int) -> NDArray[np.float64]:
    """Attention that tells no patch from another, so that the values alone give the order."""
    return np.full((1, 1, tokens, tokens), 1 / tokens)


def by_value(*sums: float) -> NDArray[np.float64]:
    """Values of one sample, one head and one feature: t is what is written."""
    return array(sums).reshape(1, 1, len(sums), 1)


# Two heads, three tokens. Maximum over heads: [1/2 1/4 3/4], [1/4 1/2 5/8], [1/2 3/4 3/8].
TWO_HEADS = array(
    [
        [[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.5, 0.125, 0.375]],
        [[0.125, 0.125, 0.75], [0.125, 0.25, 0.625], [0.0, 0.75, 0.25]],
    ]
)[None]

# The patches attend to each other less: with one prefix token S = (1/4 + 1/4, 1/8 + 1/8).
FAINT = array([[[0.625, 0.25, 0.125]] * 3] * 2)[None]

# Nothing flows between patches: all attention goes to the prefix token.
BLIND = array([[[1.0, 0.0, 0.0]] * 3] * 2)[None]

# One head, four tokens, in sixteenths: no two rows or columns look alike.
SIXTEENTHS = array([[8, 4, 2, 2], [1, 3, 5, 7], [4, 4, 6, 2], [0, 1, 9, 6]])[None, None] / 16

# softmax (1/8, 2/8, 5/8) and (1/5, 1/5, 3/5), the same in both heads.
EIGHTHS = by_value(0.0, math.log(2), math.log(5)).repeat(2, axis=1)
FIFTHS = by_value(0.0, 0.0, math.log(3)).repeat(2, axis=1)


class TestAttentionSums:
    """POMT-ATT-1: S_j = sum over patch queries i of max over heads of A[h, i, j], for every patch key j."""

    def test_head_maximum_is_taken_per_query_and_key(self) -> None:
        expected = [[[0.5, 0.25, 0.75], [0.25, 0.5, 0.625], [0.5, 0.75, 0.375]]]
        assert oracle.head_maximum(TWO_HEADS, prefix=0).tolist() == expected

    def test_head_maximum_leaves_prefix_rows_and_columns_out(self) -> None:
        assert oracle.head_maximum(TWO_HEADS, prefix=1).tolist() == [[[0.5, 0.625], [0.75, 0.375]]]

    def test_attention_sums_run_over_queries(self) -> None:
        assert oracle.attention_sums(TWO_HEADS, prefix=0).tolist() == [[1.25, 1.5, 1.75]]
        assert oracle.attention_sums(TWO_HEADS, prefix=1).tolist() == [[1.25, 1.0]]

    @pytest.mark.parametrize(
        ("prefix", "sixteenths"), [(0, [13, 12, 22, 17]), (1, [8, 20, 15]), (2, [15, 8]), (3, [6])]
    )
    def test_attention_sums_leave_every_prefix_out(self, prefix: int, sixteenths: list[int]) -> None:
        assert (16 * oracle.attention_sums(SIXTEENTHS, prefix=prefix)).tolist() == [sixteenths]

    def test_attention_sums_are_rounded_once(self) -> None:
        column = [1.0, 2.0**-53, 2.0**-53]
        attn = array([[[[top, 0.0, 0.0] for top in column]]]).reshape(1, 1, 3, 3)
        assert oracle.attention_sums(attn, prefix=0)[0, 0] == 1.0 + 2.0**-52

    def test_attention_sums_ignore_a_duplicated_head_and_the_order_of_heads(self) -> None:
        shuffled = TWO_HEADS[:, [1, 0, 1]]
        assert oracle.attention_sums(shuffled, prefix=1).tolist() == [[1.25, 1.0]]

    def test_attention_sums_treat_samples_apart(self) -> None:
        batch = np.concatenate([TWO_HEADS, FAINT, BLIND])
        assert oracle.attention_sums(batch, prefix=1).tolist() == [[1.25, 1.0], [0.5, 0.25], [0.0, 0.0]]


class TestAttentionScore:
    """POMT-ATT-2: m_j = S_j / M, M = the maximum of S over the whole batch and all patch keys."""

    def test_attention_score_of_one_sample(self) -> None:
        for normalisation in ("batch", "sample"):
            assert oracle.attention_score(TWO_HEADS, prefix=1, normalisation=normalisation).tolist() == [[1.0, 0.8]]

    def test_attention_score_divides_by_the_largest_of_the_batch(self) -> None:
        batch = np.concatenate([FAINT, TWO_HEADS])
        assert oracle.attention_score(batch, prefix=1).tolist() == [[0.4, 0.2], [1.0, 0.8]]

    def test_attention_score_divides_by_the_largest_of_the_sample(self) -> None:
        batch = np.concatenate([FAINT, TWO_HEADS])
        assert oracle.attention_score(batch, prefix=1, normalisation="sample").tolist() == [[1.0, 0.5], [1.0, 0.8]]

    def test_attention_score_of_one_patch_token_is_one(self) -> None:
        assert oracle.attention_score(SIXTEENTHS, prefix=3).tolist() == [[1.0]]

    def test_attention_score_of_a_blind_sample_is_zero_beside_another(self) -> None:
        batch = np.concatenate([TWO_HEADS, BLIND])
        assert oracle.attention_score(batch, prefix=1).tolist() == [[1.0, 0.8], [0.0, 0.0]]

    def test_attention_score_of_a_blind_sample_is_undefined_by_sample(self) -> None:
        scores = oracle.attention_score(np.concatenate([TWO_HEADS, BLIND]), prefix=1, normalisation="sample")
        assert scores[0].tolist() == [1.0, 0.8]
        assert np.isnan(scores[1]).tolist() == [True, True]

    def test_attention_score_of_a_blind_batch_is_undefined(self) -> None:
        for normalisation in ("batch", "sample"):
            scores = oracle.attention_score(np.concatenate([BLIND, BLIND]), prefix=1, normalisation=normalisation)
            assert scores.shape == (2, 2)
            assert np.isnan(scores).all()

    def test_share_of_largest_refuses_another_normalisation(self) -> None:
        expected = r"share_of_largest: expected normalisation 'batch' or 'sample' \(POMT-ATT-2\), got 'token'"
        unhooked = inspect.unwrap(oracle.share_of_largest)  # where annotations are enforced they refuse it first
        with pytest.raises(ValueError, match=expected):
            unhooked(np.array([[1.0, 2.0]]), normalisation="token")


class TestMagnitudeScore:
    """POMT-MAG-1: softmax over all N tokens of t, the sum over features of max over heads; prefix dropped after."""

    def test_value_sums_take_the_signed_maximum_over_heads(self) -> None:
        v = array([[[[1, -4, 0], [2, 2, 2]], [[3, -2, -1], [1, 4, -8]]]])
        assert oracle.value_sums(v).tolist() == [[1.0, 8.0]]

    def test_value_sums_are_rounded_once(self) -> None:
        assert oracle.value_sums(array([[[[1e16, 1.0, -1e16]]]])).tolist() == [[1.0]]

    def test_value_softmax_of_logarithms(self) -> None:
        assert oracle.value_softmax(EIGHTHS)[0].tolist() == pytest.approx([1 / 8, 2 / 8, 5 / 8], rel=ROUNDING)

    def test_value_softmax_treats_samples_apart(self) -> None:
        both = oracle.value_softmax(np.concatenate([EIGHTHS, FIFTHS]))
        assert both[0].tolist() == pytest.approx([1 / 8, 2 / 8, 5 / 8], rel=ROUNDING)
        assert both[1].tolist() == pytest.approx([1 / 5, 1 / 5, 3 / 5], rel=ROUNDING)

    @pytest.mark.parametrize("shift", [-70000.0, 70000.0])
    def test_value_softmax_ignores_a_constant(self, shift: float) -> None:
        assert oracle.value_softmax(by_value(shift, shift, shift + ABSENT)).tolist() == [[0.5, 0.5, 0.0]]

    @pytest.mark.parametrize(
        ("prefix", "expected"), [(0, [0.125, 0.125, 0.25, 0.5]), (1, [0.125, 0.25, 0.5]), (2, [0.25, 0.5]), (3, [0.5])]
    )
    def test_magnitude_score_drops_the_prefix_after_the_softmax(self, prefix: int, expected: list[float]) -> None:
        v = by_value(0.0, 0.0, math.log(2), math.log(4))
        assert oracle.magnitude_score(v, prefix=prefix)[0].tolist() == pytest.approx(expected, rel=ROUNDING)


class TestScore:
    """POMT-SCORE-1: s_j = m_j + p_j, so 0 <= s <= 2, closed."""

    def test_score_adds_attention_and_magnitude(self) -> None:
        scores = oracle.score(TWO_HEADS, EIGHTHS, prefix=1)
        assert scores[0].tolist() == pytest.approx([1.0 + 0.25, 0.8 + 0.625], rel=ROUNDING)

    def test_score_reaches_two_and_zero(self) -> None:
        one_way = array([[1, 0, 0], [0, 1, 0], [0, 1, 0]])[None, None]
        assert oracle.score(one_way, by_value(ABSENT, 0.0, ABSENT), prefix=1).tolist() == [[2.0, 0.0]]

    def test_score_is_undefined_where_attention_is(self) -> None:
        assert np.isnan(oracle.score(BLIND, EIGHTHS, prefix=1)).all()


class TestOrder:
    """POMT-RANK-1: descending score; the reference breaks exact ties by the lower index."""

    @pytest.mark.parametrize(
        ("scores", "expected"),
        [
            ([0.5, 2.0, 1.0], [1, 2, 0]),
            ([0.5], [0]),
            ([1.0, 1.0, 1.0], [0, 1, 2]),
            ([0.5, 1.0, 0.5, 1.0], [1, 3, 0, 2]),
            ([-0.0, 0.0, -0.0], [0, 1, 2]),
            ([math.nan, 0.0, math.nan, 1.0], [3, 1, 0, 2]),
        ],
        ids=["distinct", "one", "all tied", "pairs tied", "signed zeros tie", "undefined last"],
    )
    def test_order_descends_and_breaks_ties_by_index(self, scores: list[float], expected: list[int]) -> None:
        got = oracle.order(array([scores]))
        assert got.dtype == np.int64
        assert got.tolist() == [expected]

    def test_order_is_stable_beyond_sixteen_ties(self) -> None:
        assert oracle.order(np.ones((2, 40))).tolist() == [list(range(40))] * 2

    def test_rank_adds_the_prefix_and_splits(self) -> None:
        kept, discarded = oracle.rank(array([[0.5, 2.0, 1.0], [3.0, 2.0, 1.0]]), prefix=2, keep=1)
        assert (kept.tolist(), discarded.tolist()) == ([[3], [2]], [[4, 2], [3, 4]])
        assert kept.dtype == discarded.dtype == np.int64

    @pytest.mark.parametrize("keep", [-1, 3, 4])
    def test_rank_refuses_to_discard_nothing(self, keep: int) -> None:
        expected = rf"rank: expected 0 <= keep <= 2 \(POMT-COUNT-1\), got keep={keep} \(patches=3, prefix=2\)"
        with pytest.raises(ValueError, match=expected):
            oracle.rank(array([[0.5, 2.0, 1.0]]), prefix=2, keep=keep)


class TestPrune:
    """POMT-PRUNE-1: [the P prefix rows, the T best patch rows in rank order, one mean row], length P + T + 1."""

    X = array([[[9.0, -0.0], [-0.0, 10.0], [1.0, 20.0], [4.0, 30.0]]])
    V = by_value(0.0, 2.0, 1.0, 3.0)

    @pytest.mark.parametrize(
        ("prefix", "keep", "rows", "kept", "discarded"),
        [
            (0, 0, [[3.5, 15.0]], [], [3, 1, 2, 0]),
            (0, 2, [[4.0, 30.0], [-0.0, 10.0], [5.0, 10.0]], [3, 1], [2, 0]),
            (1, 0, [[9.0, -0.0], [5 / 3, 20.0]], [], [3, 1, 2]),
            (1, 1, [[9.0, -0.0], [4.0, 30.0], [0.5, 15.0]], [3], [1, 2]),
            (1, 2, [[9.0, -0.0], [4.0, 30.0], [-0.0, 10.0], [1.0, 20.0]], [3, 1], [2]),
            (2, 1, [[9.0, -0.0], [-0.0, 10.0], [4.0, 30.0], [1.0, 20.0]], [3], [2]),
            (3, 0, [[9.0, -0.0], [-0.0, 10.0], [1.0, 20.0], [4.0, 30.0]], [], [3]),
        ],
    )
    def test_prune_lays_out_prefix_kept_and_mean(
        self, prefix: int, keep: int, rows: list[list[float]], kept: list[int], discarded: list[int]
    ) -> None:
        pruned = oracle.prune(self.X, uniform(tokens=4), self.V, prefix=prefix, keep=keep)
        assert pruned.tokens.tolist() == [rows]
        assert pruned.kept.tolist() == [kept]
        assert pruned.discarded.tolist() == [discarded]
        assert pruned.scores.shape == (1, 4 - prefix)

    def test_prune_copies_bits(self) -> None:
        """POMT-PRUNE-2: prefix rows and kept rows are bit-exact copies (-0.0 too)."""
        pruned = oracle.prune(self.X, uniform(tokens=4), self.V, prefix=1, keep=2)
        assert pruned.tokens[:, :3].tobytes() == self.X[:, [0, 3, 1]].tobytes()
        assert np.signbit(pruned.tokens[0, :3]).tolist() == [[False, True], [False, False], [True, False]]

    def test_prune_keeps_ties_in_order(self) -> None:
        pruned = oracle.prune(self.X, uniform(tokens=4), np.zeros((1, 1, 4, 3)), prefix=1, keep=2)
        assert (pruned.kept.tolist(), pruned.discarded.tolist()) == ([[1, 2]], [[3]])

    def test_prune_follows_the_normalisation(self) -> None:
        """POMT-META-4: by sample a batch equals its samples run alone, by batch it does not.

        Beside the strong sample the faint one scores (1/2, 1/4) / (5/4) + (1/5, 3/5) = (0.6, 0.8) and keeps its second
        patch; alone it scores (1, 1/2) + (1/5, 3/5) = (1.2, 1.1) and keeps its first.
        """
        x = array([[[0], [1], [2]], [[10], [11], [12]]])
        attn, v = np.concatenate([TWO_HEADS, FAINT]), np.concatenate([EIGHTHS, FIFTHS])

        batch = oracle.prune(x, attn, v, prefix=1, keep=1)
        assert batch.scores[1].tolist() == pytest.approx([0.6, 0.8], rel=ROUNDING)
        assert batch.tokens.tolist() == [[[0], [2], [1]], [[10], [12], [11]]]

        sample = oracle.prune(x, attn, v, prefix=1, keep=1, normalisation="sample")
        assert sample.scores[1].tolist() == pytest.approx([1.2, 1.1], rel=ROUNDING)
        assert sample.tokens.tolist() == [[[0], [2], [1]], [[10], [11], [12]]]

        alone = oracle.prune(x[1:], FAINT, FIFTHS, prefix=1, keep=1)
        assert alone.tokens.tolist() == [[[10], [11], [12]]]
        assert alone.scores.tolist() == sample.scores[1:].tolist()

    def test_prune_of_a_blind_batch_is_laid_out_and_undefined(self) -> None:
        pruned = oracle.prune(array([[[0], [1], [2]]]), BLIND, EIGHTHS, prefix=1, keep=1)
        assert pruned.tokens.tolist() == [[[0], [1], [2]]]
        assert np.isnan(pruned.scores).all()

    def test_prune_leaves_its_arguments_alone_and_shares_nothing(self) -> None:
        x, attn, v = self.X.copy(), uniform(tokens=4), self.V.copy()
        pruned = oracle.prune(x, attn, v, prefix=1, keep=1)
        assert not np.shares_memory(pruned.tokens, x)
        assert (x.tobytes(), v.tobytes()) == (self.X.tobytes(), self.V.tobytes())

    def test_prune_refuses_to_discard_nothing(self) -> None:
        with pytest.raises(ValueError, match="expected 0 <= keep <= 2"):
            oracle.prune(self.X, uniform(tokens=4), self.V, prefix=1, keep=3)

    def test_pruned_is_frozen(self) -> None:
        pruned = oracle.prune(self.X, uniform(tokens=4), self.V, prefix=1, keep=1)
        with pytest.raises(FrozenInstanceError):
            pruned.kept = pruned.discarded  # type: ignore[misc]


class TestMeanRow:
    """POMT-PRUNE-3: the last row is the arithmetic mean of the m discarded patch rows."""

    def test_mean_row_averages_channels_apart(self) -> None:
        assert oracle.mean_row(array([[1, 10], [2, 20], [6, 0]])).tolist() == [3.0, 10.0]

    def test_mean_row_of_one_row_is_that_row(self) -> None:
        assert oracle.mean_row(array([[0.1, -7.0]])).tolist() == [0.1, -7.0]

    def test_mean_row_sums_before_it_rounds(self) -> None:
        assert oracle.mean_row(array([[1e16], [1.0], [-1e16], [1.0]])).tolist() == [0.5]


class TestSiblings:
    """TOPK-1, EVIT-1, SIB-1: score = mean over heads of A[h, class row, patch keys]; row 0 by default; P >= 1."""

    X = array([[[8.0, -0.0], [1.0, 10.0], [2.0, 20.0], [4.0, 40.0]]])
    # Row 0: means (1/4, 1/4, 1/8, 3/8). Row 1: means (3/8, 1/4, 5/16, 1/16). The other rows are never read.
    ATTN = array(
        [
            [[0.25, 0.5, 0.125, 0.125], [0.25, 0.25, 0.5, 0.0], [0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0]],
            [[0.25, 0.0, 0.125, 0.625], [0.5, 0.25, 0.125, 0.125], [0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0]],
        ]
    )[None]

    @pytest.mark.parametrize(
        ("prefix", "class_index", "expected"),
        [
            (1, 0, [0.25, 0.125, 0.375]),
            (2, 0, [0.125, 0.375]),
            (2, 1, [0.3125, 0.0625]),
            (3, 0, [0.375]),
            (3, 1, [0.0625]),
        ],
    )
    def test_class_score_is_the_mean_over_heads(self, prefix: int, class_index: int, expected: list[float]) -> None:
        assert oracle.class_score(self.ATTN, prefix=prefix, class_index=class_index).tolist() == [expected]

    @pytest.mark.parametrize(("prefix", "class_index"), [(0, 0), (1, 1), (1, -1)])
    def test_class_score_requires_a_class_row_in_the_prefix(self, prefix: int, class_index: int) -> None:
        with pytest.raises(ValueError, match=rf"SIB-1\), got prefix={prefix}, class_index={class_index}"):
            oracle.class_score(self.ATTN, prefix=prefix, class_index=class_index)

    def test_topk_prune_keeps_the_best_in_rank_order(self) -> None:
        pruned = oracle.topk_prune(self.X, self.ATTN, prefix=1, keep=2)
        assert pruned.tokens.tobytes() == array([[[8.0, -0.0], [4.0, 40.0], [1.0, 10.0]]]).tobytes()
        assert (pruned.kept.tolist(), pruned.discarded.tolist()) == ([[3, 1]], [[2]])
        assert pruned.scores.tolist() == [[0.25, 0.125, 0.375]]

    def test_topk_prune_of_none_kept_leaves_the_prefix(self) -> None:
        assert oracle.topk_prune(self.X, self.ATTN, prefix=1, keep=0).tokens.tolist() == [[[8.0, -0.0]]]

    def test_topk_prune_reads_the_class_row_it_is_told(self) -> None:
        assert oracle.topk_prune(self.X, self.ATTN, prefix=2, keep=1).kept.tolist() == [[3]]
        assert oracle.topk_prune(self.X, self.ATTN, prefix=2, keep=1, class_index=1).kept.tolist() == [[2]]

    @pytest.mark.parametrize(
        ("keep", "normalise", "fused"),
        [
            (0, False, [0.25 + 0.25 + 1.5, 2.5 + 2.5 + 15.0]),
            (0, True, [8 / 3, 80 / 3]),
            (1, False, [0.25 + 0.25, 2.5 + 2.5]),
            (1, True, [4 / 3, 40 / 3]),
            (2, False, [0.25, 2.5]),
            (2, True, [2.0, 20.0]),
        ],
    )
    def test_evit_prune_weighs_the_fused_row_by_score(self, keep: int, fused: list[float], *, normalise: bool) -> None:
        pruned = oracle.evit_prune(self.X, self.ATTN, prefix=1, keep=keep, normalise=normalise)
        copies = [[8.0, -0.0], [4.0, 40.0], [1.0, 10.0]][: 1 + keep]
        assert pruned.tokens[:, :-1].tobytes() == array(copies)[None].tobytes()
        assert pruned.tokens[0, -1].tolist() == pytest.approx(fused, rel=ROUNDING)
        assert pruned.kept.tolist() == [[3, 1, 2][:keep]]
        assert pruned.discarded.tolist() == [[3, 1, 2][keep:]]

    def test_evit_prune_reads_the_class_row_it_is_told(self) -> None:
        pruned = oracle.evit_prune(self.X, self.ATTN, prefix=2, keep=1, class_index=1)
        assert pruned.tokens[0, 2:].tolist() == [[2.0, 20.0], [0.25, 2.5]]

    def test_evit_prune_of_zero_weights_is_undefined_only_when_normalised(self) -> None:
        plain = oracle.evit_prune(array([[[0], [1], [2]]]), BLIND, prefix=1, keep=1)
        assert plain.tokens.tolist() == [[[0], [1], [0]]]
        normalised = oracle.evit_prune(array([[[0], [1], [2]]]), BLIND, prefix=1, keep=1, normalise=True)
        assert normalised.tokens[:, :2].tolist() == [[[0], [1]]]
        assert np.isnan(normalised.tokens[0, 2, 0])

    def test_fused_row_sums_before_it_rounds(self) -> None:
        rows = array([[1e16], [1.0], [-1e16]])
        assert oracle.fused_row(rows, array([0.5, 0.5, 0.5]), normalise=False).tolist() == [0.5]

    def test_siblings_refuse_to_discard_nothing(self) -> None:
        with pytest.raises(ValueError, match="expected 0 <= keep <= 2"):
            oracle.topk_prune(self.X, self.ATTN, prefix=1, keep=3)
        with pytest.raises(ValueError, match="expected 0 <= keep <= 2"):
            oracle.evit_prune(self.X, self.ATTN, prefix=1, keep=3)


class TestChoosing:
    """CHOOSE-1: U(k) = alpha (1 - L(k) / max L) + (1 - alpha) A(k) / max A; k* = argmax U; R = N - k*."""

    TOKENS = (50, 100, 197)
    LATENCY = (1.0, 2.0, 4.0)
    ACCURACY = (0.25, 0.375, 0.5)

    @pytest.mark.parametrize(
        ("alpha", "expected"), [(0.0, [0.5, 0.75, 1.0]), (0.5, [0.625, 0.625, 0.5]), (1.0, [0.75, 0.5, 0.0])]
    )
    def test_utility_weighs_latency_by_alpha(self, alpha: float, expected: list[float]) -> None:
        assert oracle.utility(self.LATENCY, self.ACCURACY, alpha) == expected

    def test_utility_weighs_both_alike_by_default(self) -> None:
        assert oracle.utility(self.LATENCY, self.ACCURACY) == [0.625, 0.625, 0.5]

    @pytest.mark.parametrize(
        ("alpha", "removed"), [(0.0, 0), (0.5, 97), (1.0, 147)], ids=["accuracy alone", "a tie", "latency alone"]
    )
    def test_choose_remove_takes_the_best_and_the_largest_of_a_tie(self, alpha: float, removed: int) -> None:
        assert oracle.choose_remove(self.TOKENS, self.LATENCY, self.ACCURACY, alpha=alpha) == removed
        backwards = (self.TOKENS[::-1], self.LATENCY[::-1], self.ACCURACY[::-1])
        assert oracle.choose_remove(*backwards, alpha=alpha) == removed

    def test_choose_remove_weighs_both_alike_by_default(self) -> None:
        assert oracle.choose_remove(self.TOKENS, self.LATENCY, self.ACCURACY) == 97

    def test_choose_remove_of_one_count_is_no_pruning(self) -> None:
        assert oracle.choose_remove([197], [3.0], [0.5]) == 0

    @pytest.mark.parametrize("alpha", [-0.25, 1.25, math.nan])
    def test_utility_refuses_a_weight_out_of_range(self, alpha: float) -> None:
        with pytest.raises(ValueError, match=r"expected 0 <= alpha <= 1 \(CHOOSE-1\), got alpha="):
            oracle.utility([1.0], [1.0], alpha)

    def test_utility_refuses_a_curve_without_a_positive_figure(self) -> None:
        for latency, accuracy in ([0.0], [1.0]), ([1.0], [0.0]):
            with pytest.raises(ValueError, match=r"expected a positive maximum of each curve \(CHOOSE-1\)"):
                oracle.utility(latency, accuracy)

    def test_choose_remove_refuses_curves_of_different_lengths(self) -> None:
        with pytest.raises(ValueError, match="zip"):
            oracle.choose_remove([2, 4], [1.0, 2.0], [0.5])
        with pytest.raises(ValueError, match="zip"):
            oracle.choose_remove([4], [1.0, 2.0], [0.5, 0.5])


class TestIndependence:
    """The oracle is written from the equations alone and imports numpy and nothing of ours."""

    def test_oracle_imports_nothing_of_ours(self) -> None:
        modules = sorted(Path(oracle.__file__).parent.glob("*.py"))
        siblings = {module.stem for module in modules}
        allowed = {"collections.abc", "dataclasses", "jaxtyping", "math", "numpy", "numpy.typing", "typing"}
        for module in modules:
            for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    assert {alias.name for alias in node.names} <= allowed, f"{module.name}: {ast.unparse(node)}"
                if isinstance(node, ast.ImportFrom):
                    permitted = siblings if node.level == 1 else allowed
                    assert node.level <= 1, f"{module.name}: {ast.unparse(node)}"
                    assert node.module in permitted, f"{module.name}: {ast.unparse(node)}"

    def test_oracle_names_are_sorted_and_present(self) -> None:
        assert sorted(oracle.__all__) == oracle.__all__
        assert all(hasattr(oracle, name) for name in oracle.__all__)
