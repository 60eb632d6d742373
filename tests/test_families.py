"""Input families: each shows what its name says, and those that isolate a stage leave the others nothing to decide."""

from itertools import islice
from typing import Final, get_args

import numpy as np
import pytest
import torch

from pomt_ref.oracle import attention_score, attention_sums, magnitude_score, score, value_sums
from pomt_ref.testing import FAMILIES, LAWS, PROFILES, Case, Dtype, Family, Law, Shape, fixed_cases
from pomt_ref.testing.family import Range, softmax
from pomt_ref.testing.fixed import BRIEF, BROAD, LONG, MODELS
from pomt_ref.testing.formats import representable
from pomt_ref.testing.laws.reading import scores_and_bounds, separated
from pomt_ref.testing.rounding import ORACLE

DTYPES: Final[tuple[Dtype, ...]] = get_args(Dtype)
SHAPE: Final = Shape(batch=2, heads=3, tokens=7, features=4, channels=5, prefix=2, keep=2)
SEEDS: Final = range(12)


def law_of(clause: str) -> Law:
    """The law of a clause of POMT."""
    return next(law for law in LAWS if (law.clause, law.method) == (clause, "pomt"))


def build(family: str, seed: int = 0, dtype: Dtype = "float32", **axes: int) -> Case:
    """A case of a family in a shape near SHAPE."""
    shape = Shape(**{**SHAPE.__dict__, **axes})
    return FAMILIES[family].build(FAMILIES[family].fit(shape), seed=seed, dtype=dtype)


class TestFamilies:
    """Input families: named so that a report can say which one failed."""

    @pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
    @pytest.mark.parametrize("dtype", DTYPES)
    def test_family_draws_a_step_that_the_specification_admits(self, family: Family, dtype: Dtype) -> None:
        """Finite numbers, no negative attention, rows that sum to one within the rounding of their entries."""
        for seed, patches in enumerate((1, 2, 5, 17)):
            shape = family.fit(Shape(1, 1, patches + 1, features=3, channels=2, prefix=1, keep=patches - 1))
            case = family.build(shape, seed=seed, dtype=dtype)
            assert case.x.shape == (shape.batch, shape.tokens, 2)
            assert case.attn.shape == (shape.batch, shape.heads, shape.tokens, shape.tokens)
            assert case.v.shape == (shape.batch, shape.heads, shape.tokens, 3)
            for tensor in (case.x, case.attn, case.v):
                assert np.isfinite(tensor).all()
                assert np.array_equal(representable(tensor, dtype), tensor)
            assert (case.attn >= 0).all()
            rounding = max(float(torch.finfo(getattr(torch, dtype)).eps), ORACLE)
            assert np.abs(case.attn.sum(axis=-1) - 1).max() <= rounding

    @pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
    def test_family_draws_the_same_from_the_same_seed_alone(self, family: Family) -> None:
        shape = family.fit(SHAPE)
        one, same, other = (family.build(shape, seed=seed, dtype="float32") for seed in (5, 5, 6))
        for name in ("x", "attn", "v"):
            assert getattr(one, name).tobytes() == getattr(same, name).tobytes()
        assert any(not np.array_equal(getattr(one, name), getattr(other, name)) for name in ("x", "attn", "v"))

    def test_family_fits_a_small_shape_to_the_least_that_shows_it(self) -> None:
        small = Shape(batch=1, heads=1, tokens=4, features=1, channels=1, prefix=0, keep=2)
        draw = FAMILIES["ordinary"].draw
        fitted = Family("wide", "", draw, batch=Range(2), heads=Range(3), prefix=Range(1)).fit(small)
        assert (fitted.batch, fitted.heads, fitted.prefix, fitted.tokens, fitted.keep) == (2, 3, 1, 5, 2)
        assert fitted.patches == small.patches
        assert FAMILIES["ordinary"].fit(small) == small

    def test_family_fits_a_large_shape_to_the_most_that_it_takes(self) -> None:
        large = Shape(batch=5, heads=12, tokens=303, features=1, channels=1, prefix=3, keep=100)
        fitted = FAMILIES["distinct scores"].fit(large)
        assert (fitted.batch, fitted.heads, fitted.patches, fitted.prefix, fitted.keep) == (1, 12, 4, 3, 1)

    def test_family_fits_a_shape_to_the_rows_that_it_discards(self) -> None:
        shape = Shape(batch=3, heads=6, tokens=9, features=1, channels=1, prefix=1, keep=7)
        fitted = FAMILIES["many offset tokens"].fit(shape)
        assert (fitted.batch, fitted.heads, fitted.patches, fitted.keep, fitted.discarded) == (1, 1, 200, 4, 196)

    @pytest.mark.parametrize(
        ("patches", "keep", "wanted", "scaled"),
        [
            (8, 0, 196, 0),
            (8, 1, 196, 1),
            (8, 2, 196, 49),
            (8, 6, 196, 194),
            (8, 7, 196, 195),
            (1, 0, 196, 0),
            (300, 299, 4, 3),
            (300, 150, 4, 2),
            (300, 1, 1, 0),
            (300, 298, 1, 0),
        ],
    )
    def test_family_keeps_extreme_counts_extreme(self, patches: int, keep: int, wanted: int, scaled: int) -> None:
        shape = Shape(1, 1, tokens=patches, features=1, channels=1, prefix=0, keep=keep)
        family = Family("", "", FAMILIES["ordinary"].draw, patches=Range(wanted, wanted))
        assert family.fit(shape).keep == scaled

    @pytest.mark.parametrize(("batch", "places"), [(2, {0, 1}), (3, {0, 1, 2}), (4, {3}), (5, {4})])
    def test_contrasting_samples_have_the_strongest_at_any_of_three_places_and_else_last(
        self, batch: int, places: set[int]
    ) -> None:
        """A maximum that is taken over the first few samples alone is seen."""
        shape = Shape(batch, heads=2, tokens=7, features=1, channels=1, prefix=1, keep=3)
        built = [FAMILIES["contrasting samples"].build(shape, seed=seed, dtype="float32") for seed in range(20)]
        largest = [attention_sums(case.attn, prefix=1).max(axis=1) for case in built]
        assert {int(sums.argmax()) for sums in largest} == places

    def test_family_says_what_it_is_for(self) -> None:
        assert all(family.purpose.endswith(".") and family.name == name for name, family in FAMILIES.items())

    def test_families_of_every_law_exist(self) -> None:
        assert {name for law in LAWS for name in law.families} <= set(FAMILIES)

    def test_every_family_is_one_of_a_law(self) -> None:
        assert set(FAMILIES) == {name for law in LAWS for name in law.families}

    def test_softmax_is_a_distribution_whatever_the_size(self) -> None:
        assert softmax(np.array([1000.0, 1000.0, -1000.0])).tolist() == [0.5, 0.5, 0.0]


def spread(array: np.ndarray) -> float:
    """The largest difference between tokens of a sample."""
    return float(np.ptp(array, axis=1).max())


class TestIsolation:
    """A family of one stage leaves the stages beside it nothing to decide, however they are computed."""

    @pytest.mark.parametrize("law", ["POMT-ATT-1", "POMT-RANK-1"])
    @pytest.mark.parametrize("seed", SEEDS)
    def test_values_of_attention_families_are_even(self, law: str, seed: int) -> None:
        for family in law_of(law).families:
            case = build(family, seed)
            assert spread(value_sums(case.v)) == 0
            assert spread(magnitude_score(case.v, prefix=case.shape.prefix)) == 0

    @pytest.mark.parametrize("family", ["values alone", "negative values", "wide values"])
    def test_attention_of_value_families_is_even(self, family: str) -> None:
        case = build(family)
        assert spread(attention_sums(case.attn, prefix=case.shape.prefix)) == 0

    @pytest.mark.parametrize(
        "family",
        [
            "keys alone",
            "plain parts",
            "contrasting samples",
            "attention to the prefix",
            "faint attention",
            "values against keys",
            "values far below the prefix",
            "shares far apart",
            "many tied keys",
            "identical tokens",
        ],
    )
    @pytest.mark.parametrize("prefix", [0, 2])
    def test_attention_by_key_is_the_same_however_heads_and_queries_are_reduced(self, family: str, prefix: int) -> None:
        case = build(family, prefix=prefix)
        assert (case.attn == case.attn[:, :1, :1]).all()

    @pytest.mark.parametrize("family", ["keys alone", "plain parts", "values against keys"])
    def test_largest_sum_of_attention_by_key_is_one_beside_a_prefix(self, family: str) -> None:
        """So that a missing division is not taken for a fault of another stage."""
        sums = attention_sums(build(family, dtype="float64").attn, prefix=2)
        assert np.allclose(sums.max(axis=1), 1.0, rtol=0, atol=1e-12)

    @pytest.mark.parametrize("family", ["plain parts", "contrasting samples", "attention to the prefix"])
    @pytest.mark.parametrize("seed", SEEDS)
    def test_chosen_values_are_robust_to_every_reduction_of_values(self, family: str, seed: int) -> None:
        """Chosen tokens share the softmax evenly, whichever heads, signs and powers are taken."""
        case = build(family, seed)
        strongest = case.v.max(axis=1)
        for sums in (
            strongest.sum(axis=2),
            np.abs(case.v.min(axis=1)).sum(axis=2),
            2 * case.v.mean(axis=1).sum(axis=2),
        ):
            share = softmax(sums)
            chosen = share > 1e-6
            assert np.allclose(share[chosen].reshape(-1), (chosen / chosen.sum(axis=1, keepdims=True))[chosen])
            assert not chosen[:, : case.shape.prefix].any()


class TestPurposes:
    """Every family shows what it is for."""

    @pytest.mark.parametrize("seed", SEEDS)
    def test_equal_tokens_have_one_row_and_one_score(self, seed: int) -> None:
        case = build("equal tokens", seed)
        assert (case.x == case.x[:, :1]).all()
        assert spread(score(case.attn, case.v, prefix=2)) == 0

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_many_tied_keys_are_more_than_16_of_few_scores(self, dtype: Dtype) -> None:
        case = build("many tied keys", dtype=dtype)
        assert case.shape.patches == 17
        assert all(len(set(sums)) <= 4 for sums in attention_sums(case.attn, prefix=2).tolist())

    @pytest.mark.parametrize(
        ("dtype", "least"), [("float16", 2.0**-14), ("bfloat16", 2.0**-126), ("float64", 2.0**-1022)]
    )
    def test_subnormal_tokens_are_subnormal_in_the_dtype(self, dtype: Dtype, least: float) -> None:
        x = np.abs(build("subnormal tokens", dtype=dtype).x)
        assert ((x > 0) & (x < least)).mean() > 0.15
        assert (x > least).any()

    def test_many_offset_tokens_are_196_rows_past_the_largest_float16(self) -> None:
        case = build("many offset tokens", dtype="float16")
        assert case.shape.discarded == 196
        assert (case.x[..., 1] > 90).all()
        assert case.x[0, 2:, 0].sum() > 65504

    @pytest.mark.parametrize("seed", SEEDS)
    def test_faint_attention_has_a_patch_mass_of_two_to_the_minus_12_to_20(self, seed: int) -> None:
        mass = build("faint attention", seed).attn[..., 2:].sum(axis=-1)
        assert {round(float(np.log2(row))) for row in mass.reshape(-1)} <= {-13, -12, -17, -16, -21, -20}

    @pytest.mark.parametrize("seed", SEEDS)
    def test_values_far_below_the_prefix_vanish(self, seed: int) -> None:
        case = build("values far below the prefix", seed)
        assert magnitude_score(case.v, prefix=2).max() < 1e-35

    @pytest.mark.parametrize("seed", SEEDS)
    @pytest.mark.parametrize("dtype", DTYPES)
    def test_shares_far_apart_are_ranked_although_many_are_below_a_millionth(self, seed: int, dtype: Dtype) -> None:
        case = build("shares far apart", seed, dtype, tokens=19)
        shares = magnitude_score(case.v, prefix=2)
        attended = attention_sums(case.attn, prefix=2) > 0
        assert (attended.sum(axis=1) == 1).all()
        assert ((shares < 1e-6).sum(axis=1) >= 5).all()
        scores, bounds = scores_and_bounds(case, PROFILES["float32"])
        for sample in range(case.shape.batch):
            order = np.argsort(scores[sample])
            told = scores[sample][order] > 4 * ORACLE
            low, high = (scores[sample] + sign * bounds[sample] for sign in (-1, 1))
            assert (low[order][1:] > high[order][:-1])[told[:-1]].all()

    def test_wide_values_are_far_apart_in_two_samples(self) -> None:
        sums = [value_sums(build("wide values", seed).v).mean(axis=1) for seed in SEEDS]
        assert all(np.ptp(both) > 70 for both in sums)
        assert max(np.abs(both).max() for both in sums) > 120

    @pytest.mark.parametrize("seed", SEEDS)
    def test_values_against_keys_nearly_cancel(self, seed: int) -> None:
        """The scores differ by less than half of what the shares do, so that another softmax is another order."""
        case = build("values against keys", seed, tokens=10)
        share = magnitude_score(case.v, prefix=2)
        assert spread(score(case.attn, case.v, prefix=2)) < 0.46 * spread(share)

    @pytest.mark.parametrize("seed", SEEDS)
    def test_close_sums_are_apart_and_equal_in_bfloat16(self, seed: int) -> None:
        case = build("close sums", seed, tokens=34)
        relative = attention_score(case.attn, prefix=2)
        assert separated(case, *scores_and_bounds(case, PROFILES["float32"]))
        assert all(len(set(sample)) < 5 for sample in representable(relative, "bfloat16").tolist())

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_distinct_scores_are_apart_for_the_loosest_profile(self, dtype: Dtype) -> None:
        """In most cases: in some shapes there are none."""
        apart = 0
        for seed in range(40):
            case = build("distinct scores", seed, dtype, features=3, prefix=1, tokens=4)
            apart += separated(case, *scores_and_bounds(case, PROFILES["bfloat16"]))
        assert apart >= 30

    def test_vision_transformer_has_197_tokens(self) -> None:
        shape = FAMILIES["vision transformer"].fit(Shape(3, 12, 6, 64, 65, prefix=1, keep=2))
        assert (shape.batch, shape.heads, shape.tokens, shape.keep) == (1, 2, 197, 78)


class TestFixed:
    """Fixed cases: sizes that drawing reaches too seldom."""

    @pytest.mark.long
    @pytest.mark.parametrize(("clause", "long"), [("POMT-RANK-1", 2), ("POMT-ATT-1", 1), ("POMT-META-1", 0)])
    def test_fixed_cases_are_broad_for_every_family_and_long_for_laws_of_mixed_sizes(
        self, clause: str, long: int
    ) -> None:
        law = law_of(clause)
        first = FAMILIES[law.families[0]]
        found = [(case.family, case.shape) for case in fixed_cases(law, dtype="float32", seed=0)]
        models = [(first.name, first.fit(shape)) for shape in MODELS]
        broad = [(name, FAMILIES[name].fit(BROAD)) for name in law.families]
        assert found == models + broad + [(first.name, first.fit(shape)) for shape in LONG[:long]]

    def test_fixed_cases_begin_with_those_of_models(self) -> None:
        law = law_of("POMT-PRUNE-3")
        first = FAMILIES[law.families[0]]
        found = [case.shape for case in islice(fixed_cases(law, dtype="float32", seed=0), len(MODELS))]
        assert found == [first.fit(shape) for shape in MODELS]

    @pytest.mark.parametrize(("clause", "mixed"), [("POMT-RANK-1", True), ("POMT-META-1", False)])
    def test_fixed_cases_of_a_quick_check_are_two_or_three(self, clause: str, mixed: bool) -> None:
        law = law_of(clause)
        first = FAMILIES[law.families[0]]
        found = [case.shape for case in fixed_cases(law, dtype="float32", seed=0, long=False)]
        assert found == [first.fit(shape) for shape in (BRIEF if mixed else BRIEF[:2])]
