"""The bounds themselves: formats, rounding to them, and errors that honest and dishonest sums make."""

import math
from typing import Final, get_args

import numpy as np
import pytest
import torch

from pomt_ref.testing.formats import FORMATS, PROFILES, Dtype, Profile, normative, representable
from pomt_ref.testing.rounding import ORACLE, mean_bound, score_bound, share_bound, sum_bound

DTYPES: Final[tuple[Dtype, ...]] = get_args(Dtype)


class TestFormats:
    """Unit roundoff u (fp32 2⁻²⁴, fp16 2⁻¹¹, bf16 2⁻⁸), λ half the smallest subnormal, Ω the largest finite value."""

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_formats_are_those_of_torch(self, dtype: Dtype) -> None:
        told = torch.finfo(getattr(torch, dtype))
        assert FORMATS[dtype].unit == told.eps / 2
        assert FORMATS[dtype].tiny == told.smallest_normal * told.eps / 2
        assert FORMATS[dtype].largest == told.max

    @pytest.mark.parametrize(
        ("dtype", "wide"),
        [("float16", "float32"), ("bfloat16", "float32"), ("float32", "float32"), ("float64", "float64")],
    )
    def test_normative_profile_is_float32_or_wider(self, dtype: Dtype, wide: Dtype) -> None:
        """POMT-PREC-1: scores are computed and stored in float32 or wider, whatever the input's dtype."""
        assert normative(dtype) == Profile(wide, "normative", FORMATS[wide], FORMATS[wide])


class TestRepresentable:
    """A case holds what an implementation is given, to the bit."""

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_representable_is_the_rounding_of_torch(self, dtype: Dtype) -> None:
        random = np.random.default_rng(0)
        array = np.concatenate([random.normal(size=500), random.normal(size=500) * 1e-3, [0.0, -0.0, 1.0, -65504.0]])
        if dtype == "bfloat16":
            array = array.astype(np.float32).astype(np.float64)
        expected = torch.from_numpy(array).to(getattr(torch, dtype)).double().numpy()
        assert representable(array, dtype).tobytes() == expected.tobytes()

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_representable_of_a_representable_array_is_itself(self, dtype: Dtype) -> None:
        once = representable(np.random.default_rng(1).normal(size=(4, 5)), dtype)
        assert np.array_equal(representable(once, dtype), once)


class TestSumBound:
    """FLOAT-1, σ = (1 + (n−1)u_a)(1 + u_s) − 1."""

    def test_sum_bound_of_one_term_is_its_storing(self) -> None:
        unit = 2.0**-24
        bound = sum_bound(np.array([1.0]), terms=1, profile=normative("float32"))
        assert bound[0] == pytest.approx(unit + ORACLE + 2.0**-150, rel=1e-6)

    def test_sum_bound_grows_with_terms_and_roundings(self) -> None:
        unit, total = 2.0**-24, np.array([3.0])
        bounds = [
            sum_bound(total, terms=terms, profile=normative("float32"), roundings=roundings)[0]
            for terms, roundings in ((1, 0), (11, 0), (11, 2))
        ]
        assert bounds == pytest.approx([3 * unit, 3 * 11 * unit, 3 * 13 * unit], rel=1e-4)

    def test_sum_bound_holds_running_sums_in_float32(self) -> None:
        terms = representable(np.random.default_rng(2).uniform(size=(400, 50)), "float32")
        running = terms.astype(np.float32).cumsum(axis=0, dtype=np.float32)[-1].astype(np.float64)
        exact = np.array([math.fsum(column) for column in terms.T])
        error = np.abs(running - exact)
        assert (error <= sum_bound(exact, terms=400, profile=normative("float32"))).all()
        assert (error > sum_bound(exact, terms=400, profile=normative("float64"))).any(), "float32 is no float64"


class TestScoreBound:
    """FLOAT-1: |ŝ_j − s_j| ≤ ε_j, if M > 0, (1 + u_s)·max W < Ω_s and σ + ℓ < 1; where not, nothing is promised."""

    VALUES: Final = np.random.default_rng(3).normal(size=(2, 7, 4))
    SUMS: Final = np.random.default_rng(4).uniform(0.5, 2.0, size=(2, 6))

    def test_score_bound_is_a_few_roundings_of_float32(self) -> None:
        bound = score_bound(self.SUMS, self.VALUES, prefix=1, profile=normative("float32"))
        assert bound.shape == (2, 6)
        assert 2.0**-24 < bound.min() <= bound.max() < 200 * 2.0**-24

    def test_score_bound_of_float64_is_the_oracles_own_rounding(self) -> None:
        bound = score_bound(self.SUMS, self.VALUES, prefix=1, profile=normative("float64"))
        assert ORACLE < bound.min() <= bound.max() < 20 * ORACLE

    def test_score_bound_holds_scores_in_float32(self) -> None:
        bound = score_bound(self.SUMS, self.VALUES, prefix=1, profile=normative("float32"))
        sums, sums_of_values = self.SUMS.astype(np.float32), self.VALUES.astype(np.float32).sum(axis=2)
        exponentials = np.exp(sums_of_values - sums_of_values.max(axis=1, keepdims=True))
        got = sums / sums.max() + (exponentials / exponentials.sum(axis=1, keepdims=True))[:, 1:]
        wide = np.exp(self.VALUES.sum(axis=2))
        expected = self.SUMS / self.SUMS.max() + (wide / wide.sum(axis=1, keepdims=True))[:, 1:]
        error = np.abs(got - expected)
        assert (error <= bound + 2 * 2.0**-24).all(), "the inputs themselves were rounded once here"
        assert error.max() > bound.max() / 1000, "a bound that is never approached shows nothing"

    def test_share_that_is_too_small_for_float64_may_still_be_computed_as_one(self) -> None:
        """Value sums are off by more than what is between them: rounded to bfloat16 both of these are one number."""
        sums = np.array([[[132500.0], [131600.0]]])
        assert np.unique(representable(sums, "bfloat16")).size == 1
        share, bound = share_bound(sums, profile=PROFILES["float32/bfloat16"])
        assert share[0, 1] == 0.0
        assert bound[0, 1] >= 0.5

    def test_score_bound_without_attention_promises_nothing(self) -> None:
        assert np.isinf(score_bound(np.zeros((2, 6)), self.VALUES, prefix=1, profile=normative("float32"))).all()

    def test_score_bound_below_the_format_promises_nothing(self) -> None:
        faint = np.full((2, 6), 2.0**-150)
        assert np.isinf(score_bound(faint, self.VALUES, prefix=1, profile=normative("float32"))).all()

    def test_score_bound_of_values_beyond_the_format_promises_nothing(self) -> None:
        half = PROFILES["float32/float16"]
        assert np.isinf(score_bound(self.SUMS, self.VALUES * 1e5, prefix=1, profile=half)).all()
        assert np.isfinite(score_bound(self.SUMS, self.VALUES, prefix=1, profile=half)).all()

    def test_score_bound_of_more_tokens_than_a_sum_can_tell_promises_nothing(self) -> None:
        values = np.ones((1, 300, 2))
        assert np.isinf(score_bound(np.ones((1, 299)), values, prefix=1, profile=PROFILES["bfloat16"])).all()
        assert np.isfinite(score_bound(np.ones((1, 299)), values, prefix=1, profile=PROFILES["float16"])).all()

    def test_score_bound_of_narrow_storage_is_wider(self) -> None:
        half = PROFILES["float32/float16"]
        narrow = score_bound(self.SUMS, self.VALUES, prefix=1, profile=half)
        assert (narrow > 1000 * score_bound(self.SUMS, self.VALUES, prefix=1, profile=normative("float32"))).all()


class TestMeanBound:
    """FLOAT-2: |ŷ − y| ≤ [(1 + (m−1)u_a)(1+u_a)²(1+u_s) − 1]·X + m·λ_a + λ_s, if m·X·(1 + m·u_a) < Ω_a."""

    def test_mean_bound_of_one_row_is_three_roundings(self) -> None:
        bound = mean_bound(np.array([[8.0, -8.0]]), profile=normative("float32"), dtype="float32")
        assert bound.tolist() == pytest.approx([8 * 3 * 2.0**-24] * 2, rel=1e-4)

    def test_mean_bound_has_the_dtype_it_is_stored_in(self) -> None:
        rows = np.ones((4, 1))
        bounds = [mean_bound(rows, profile=normative(dtype), dtype=dtype)[0] for dtype in DTYPES]
        assert bounds[:2] == pytest.approx([2.0**-11, 2.0**-8], rel=1e-2)
        assert bounds[2] == pytest.approx(6 * 2.0**-24, rel=1e-2)
        assert bounds[3] == pytest.approx(ORACLE, rel=1e-1)

    def test_mean_bound_beyond_the_arithmetic_is_waived(self) -> None:
        rows = np.array([[3e38, 1.0], [3e38, 1.0]])
        bound = mean_bound(rows, profile=normative("float32"), dtype="float32")
        assert np.isinf(bound).tolist() == [True, False]

    def test_mean_bound_beyond_float64_is_waived_without_a_warning(self) -> None:
        rows = np.full((3, 1), np.finfo(np.float64).max)
        assert np.isinf(mean_bound(rows, profile=normative("float64"), dtype="float64")).all()
