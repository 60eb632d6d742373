"""The value-magnitude score against numbers worked by hand."""

import math
from typing import Final

import pytest
import torch
from torch import Tensor

from pomt_ref import ValuesError, magnitude_score
from pomt_ref.magnitude import value_sums

DEVICES: Final = ["cpu", *["cuda"] * torch.cuda.is_available()]
HALVES: Final = [torch.float16, torch.bfloat16]
DTYPES: Final = [*HALVES, torch.float32, torch.float64]
each_device: Final = pytest.mark.parametrize("device", DEVICES)
each_dtype: Final = pytest.mark.parametrize("dtype", DTYPES, ids=str)

ABSENT: Final = -1000.0
"""A sum whose exponential beside that of zero is zero."""


def by_sum(*sums: float, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Tensor:
    """Values of one sample, one head and one feature: t is what is written."""
    return torch.tensor(sums, dtype=dtype, device=device).reshape(1, 1, len(sums), 1)


class TestValueSums:
    """POMT-MAG-1: t_k = Σ over features of max over heads of v[h, k, :], for every token k, prefix included."""

    @each_device
    @each_dtype
    def test_value_sums_add_signed_maxima_over_heads(self, dtype: torch.dtype, device: str) -> None:
        head, other = [[1, -4, 0], [2, 2, 2], [-1, -2, -3]], [[3, -2, -1], [1, 4, -8], [-2, -1, -5]]
        v = torch.tensor([[head, other], [other, other]], dtype=dtype, device=device)
        sums = value_sums(v)
        assert sums.tolist() == [[3 - 2 + 0, 2 + 4 + 2, -1 - 1 - 3], [3 - 2 - 1, 1 + 4 - 8, -2 - 1 - 5]]
        assert sums.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        assert sums.device == v.device

    @pytest.mark.parametrize("heads", [[1, 0], [0, 1, 1]])
    def test_value_sums_ignore_order_and_copies_of_heads(self, heads: list[int]) -> None:
        v = torch.tensor([[[[1.0, -4.0]], [[-3.0, 2.0]]]])
        assert value_sums(v[:, heads]).tolist() == [[3.0]]

    @each_device
    def test_value_sums_do_not_overflow_in_half_precision(self, device: str) -> None:
        """Edge rule: half-precision sums above 65504 do not overflow."""
        v = torch.full((1, 2, 1, 64), 60000.0, dtype=torch.float16, device=device)
        assert value_sums(v).tolist() == [[64 * 60000.0]]

    @each_device
    def test_value_sums_accumulate_in_float32(self, device: str) -> None:
        """POMT-PREC-1: a running sum in bfloat16 would stop at 256."""
        v = torch.ones(1, 1, 1, 300, dtype=torch.bfloat16, device=device)
        assert value_sums(v).tolist() == [[300.0]]


class TestMagnitudeScore:
    """POMT-MAG-1: p = softmax of t over all N tokens; the prefix entries are dropped after the softmax."""

    @each_device
    @each_dtype
    @pytest.mark.parametrize("prefix", [0, 1, 2, 3])
    def test_magnitude_score_drops_the_prefix_after_the_softmax(
        self, prefix: int, dtype: torch.dtype, device: str
    ) -> None:
        v = by_sum(0, ABSENT, 0, ABSENT, 0, 0, dtype=dtype, device=device)
        score = magnitude_score(v, prefix=prefix)
        assert score.tolist() == [[0.25, 0.0, 0.25, 0.0, 0.25, 0.25][prefix:]]
        assert score.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        assert score.device == v.device

    def test_magnitude_score_takes_one_prefix_token_unless_told(self) -> None:
        assert magnitude_score(by_sum(0, 0)).tolist() == [[0.5]]

    def test_magnitude_score_of_logarithms(self) -> None:
        v = by_sum(0, 0, math.log(2), math.log(4), dtype=torch.float64)
        assert magnitude_score(v, prefix=0)[0].tolist() == pytest.approx([0.125, 0.125, 0.25, 0.5], rel=1e-15)
        assert magnitude_score(v.float(), prefix=0)[0].tolist() == pytest.approx([0.125, 0.125, 0.25, 0.5], rel=1e-6)

    def test_magnitude_score_treats_samples_apart(self) -> None:
        v = torch.cat([by_sum(0, 0, ABSENT, ABSENT), by_sum(70000, 70000, 70000, 70000)])
        assert magnitude_score(v, prefix=1).tolist() == [[0.5, 0.0, 0.0], [0.25, 0.25, 0.25]]

    def test_magnitude_score_lets_the_prefix_take_its_share(self) -> None:
        assert magnitude_score(by_sum(0, ABSENT, ABSENT), prefix=1).tolist() == [[0.0, 0.0]]

    @pytest.mark.parametrize("shift", [-70000.0, 70000.0])
    def test_magnitude_score_ignores_a_constant(self, shift: float) -> None:
        """POMT-META-3: adding a constant to every t leaves p unchanged."""
        assert magnitude_score(by_sum(shift, shift, shift + ABSENT), prefix=0).tolist() == [[0.5, 0.5, 0.0]]

    @each_device
    def test_magnitude_score_does_not_overflow_in_half_precision(self, device: str) -> None:
        """Edge rule: half-precision sums above 65504 do not overflow."""
        v = torch.full((1, 1, 3, 4), 60000.0, dtype=torch.float16, device=device)
        v[:, :, 2] = 59968
        assert magnitude_score(v, prefix=0).tolist() == [[0.5, 0.5, 0.0]]

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
    @each_dtype
    def test_magnitude_score_refuses_what_is_not_finite(self, value: float, dtype: torch.dtype) -> None:
        with pytest.raises(ValuesError, match=rf"got v\[0, 0, 1, 0\] = {value}$"):
            magnitude_score(by_sum(0, value, 0, dtype=dtype))

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
    def test_magnitude_score_refuses_sums_that_overflow(self, dtype: torch.dtype) -> None:
        v = torch.full((1, 1, 2, 2), 3e38, dtype=dtype)
        with pytest.raises(ValuesError, match="expected finite share"):
            magnitude_score(v)

    def test_magnitude_score_in_float64_holds_what_float32_cannot(self) -> None:
        v = torch.full((1, 1, 2, 2), 3e38, dtype=torch.float64)
        assert magnitude_score(v).tolist() == [[0.5]]
