"""The attention score against numbers worked by hand, and attention as real softmaxes leave it."""

from typing import Final

import pytest
import torch
from torch import Tensor

from pomt_ref import ValuesError, attention_score
from pomt_ref.attention import attention_sums, head_maximum, largest_sum

DEVICES: Final = ["cpu", *["cuda"] * torch.cuda.is_available()]
HALVES: Final = [torch.float16, torch.bfloat16]
DTYPES: Final = [*HALVES, torch.float32, torch.float64]
each_device: Final = pytest.mark.parametrize("device", DEVICES)
each_dtype: Final = pytest.mark.parametrize("dtype", DTYPES, ids=str)

# One sample, two heads, four tokens, in sixteenths: exact in every dtype. Over heads, the maximum is
#     8  2  6  6
#     9  6  4  2
#    10  4  6  2
#     8  6  2  4
SIXTEENTHS: Final = [
    [[4, 2, 4, 6], [7, 6, 2, 1], [7, 1, 6, 2], [8, 6, 1, 1]],
    [[8, 2, 6, 0], [9, 1, 4, 2], [10, 4, 2, 0], [7, 3, 2, 4]],
]
FAINT: Final = [[[13, 1, 2, 0], [14, 1, 1, 0], [12, 1, 2, 1], [15, 0, 0, 1]]] * 2
"""With one prefix token S is 2, 3, 2 sixteenths."""
BLIND: Final = [[[16, 0, 0, 0]] * 4] * 2
"""All attention goes to the prefix token."""


def sixteenths(*samples: list[list[list[int]]], dtype: torch.dtype = torch.float32, device: str = "cpu") -> Tensor:
    """Attention of a batch, from sixteenths."""
    return (torch.tensor(samples, dtype=torch.float64) / 16).to(device, dtype)


def softmaxed(tokens: int, *, spread: float, dtype: torch.dtype, device: str) -> Tensor:
    """Attention as a softmax in this dtype leaves it: two heads of unlike temperature."""
    numbers = torch.Generator().manual_seed(tokens)
    logits = spread * torch.randn(1, 2, tokens, tokens, generator=numbers)
    return logits.to(device, dtype).softmax(dim=-1)


class TestAttentionSums:
    """POMT-ATT-1: S_j = Σ over patch queries i of max over heads of A[h, i, j], for every patch key j."""

    def test_head_maximum_leaves_prefix_rows_and_columns_out(self) -> None:
        attn = sixteenths(SIXTEENTHS)
        whole = [[8, 2, 6, 6], [9, 6, 4, 2], [10, 4, 6, 2], [8, 6, 2, 4]]
        for prefix in range(4):
            expected = [row[prefix:] for row in whole[prefix:]]
            assert (16 * head_maximum(attn, prefix=prefix)).tolist() == [expected]

    @each_device
    @each_dtype
    @pytest.mark.parametrize(("prefix", "expected"), [(0, [35, 18, 18, 14]), (1, [16, 12, 8]), (2, [8, 6]), (3, [4])])
    def test_attention_sums_run_over_patch_queries(
        self, prefix: int, expected: list[int], dtype: torch.dtype, device: str
    ) -> None:
        sums = attention_sums(sixteenths(SIXTEENTHS, dtype=dtype, device=device), prefix=prefix)
        assert (16 * sums).tolist() == [expected]

    def test_attention_sums_treat_samples_apart(self) -> None:
        sums = attention_sums(sixteenths(SIXTEENTHS, FAINT, BLIND), prefix=1)
        assert (16 * sums).tolist() == [[16, 12, 8], [2, 3, 2], [0, 0, 0]]

    @pytest.mark.parametrize("heads", [[1, 0], [0, 1, 1], [1, 0, 0, 1]])
    def test_attention_sums_ignore_order_and_copies_of_heads(self, heads: list[int]) -> None:
        sums = attention_sums(sixteenths(SIXTEENTHS)[:, heads], prefix=1)
        assert (16 * sums).tolist() == [[16, 12, 8]]

    def test_attention_sums_of_one_head_are_column_sums(self) -> None:
        sums = attention_sums(sixteenths(SIXTEENTHS)[:, 1:], prefix=1)
        assert (16 * sums).tolist() == [[8, 8, 6]]

    @each_device
    @pytest.mark.parametrize("dtype", HALVES, ids=str)
    def test_attention_sums_accumulate_in_float32(self, dtype: torch.dtype, device: str) -> None:
        """POMT-PREC-1: bfloat16 holds no 257 and float16 no 2049, where a running sum in storage would stop."""
        attn = torch.zeros(1, 1, 2401, 2401, dtype=dtype, device=device)
        attn[:, :, :, 7] = 1
        sums = attention_sums(attn, prefix=0)
        assert sums.dtype == torch.float32
        assert sums[0, 7].item() == 2401
        assert sums.sum().item() == 2401


class TestAttentionScore:
    """POMT-ATT-2: m_j = S_j / M, M = the maximum of S over the whole batch and all patch keys."""

    @each_device
    @each_dtype
    def test_attention_score_of_one_sample(self, dtype: torch.dtype, device: str) -> None:
        attn = sixteenths(SIXTEENTHS, dtype=dtype, device=device)
        for normalisation in ("batch", "sample"):
            score = attention_score(attn, prefix=1, normalisation=normalisation)
            assert score.tolist() == [[1.0, 0.75, 0.5]]
            assert score.device == attn.device
            assert score.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)

    def test_attention_score_takes_one_prefix_token_unless_told(self) -> None:
        assert attention_score(sixteenths(SIXTEENTHS)).tolist() == [[1.0, 0.75, 0.5]]

    @pytest.mark.parametrize(("prefix", "expected"), [(2, [1.0, 0.75]), (3, [1.0])])
    def test_attention_score_of_fewer_patches(self, prefix: int, expected: list[float]) -> None:
        assert attention_score(sixteenths(SIXTEENTHS), prefix=prefix).tolist() == [expected]

    def test_largest_sum_is_one_for_the_batch_or_one_a_sample(self) -> None:
        sums = torch.tensor([[1.0, 3.0], [5.0, 2.0], [0.0, 4.0]])
        assert largest_sum(sums).tolist() == [[5.0]]
        assert largest_sum(sums, normalisation="batch").tolist() == [[5.0]]
        assert largest_sum(sums, normalisation="sample").tolist() == [[3.0], [5.0], [4.0]]

    @pytest.mark.parametrize("faint_first", [True, False])
    def test_attention_score_depends_on_batch_mates_unless_told(self, faint_first: bool) -> None:
        """POMT-META-4: by sample a batch equals its samples run alone, by batch it does not."""
        order = slice(None, None, -1 if faint_first else 1)
        attn = sixteenths(*[SIXTEENTHS, FAINT][order])
        shared = [[1.0, 0.75, 0.5], [0.125, 0.1875, 0.125]]
        alone = [[1.0, 0.75, 0.5], [0.6666666865348816, 1.0, 0.6666666865348816]]
        assert attention_score(attn, normalisation="batch").tolist() == shared[order]
        assert attention_score(attn, normalisation="sample").tolist() == alone[order]
        assert attention_score(sixteenths(FAINT)).tolist() == alone[1:]

    def test_attention_score_of_a_blind_sample_is_zero_beside_another(self) -> None:
        """Edge rule: one sample's patch attention zero, M > 0: m = 0 there."""
        score = attention_score(sixteenths(BLIND, SIXTEENTHS), prefix=1)
        assert score.tolist() == [[0.0, 0.0, 0.0], [1.0, 0.75, 0.5]]

    def test_attention_score_refuses_a_blind_batch(self) -> None:
        """Edge rule: all patch-to-patch attention of the batch zero (M = 0) is an error."""
        with pytest.raises(ValuesError, match="got none in all 2 samples"):
            attention_score(sixteenths(BLIND, BLIND))

    def test_attention_score_refuses_a_blind_sample_by_sample(self) -> None:
        with pytest.raises(ValuesError, match="got none in sample 1"):
            attention_score(sixteenths(SIXTEENTHS, BLIND), normalisation="sample")

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
    def test_attention_score_of_the_faintest_attention(self, dtype: torch.dtype) -> None:
        """M = the smallest number above zero divides without overflow."""
        attn = sixteenths(BLIND, dtype=dtype)
        attn[0, 0, 2, 3] = torch.finfo(dtype).smallest_normal * torch.finfo(dtype).eps
        assert attention_score(attn).tolist() == [[0.0, 0.0, 1.0]]


class TestDistribution:
    """Edge rule: rows of A not summing to 1 within rounding, or negative A, are an error."""

    @each_device
    @each_dtype
    @pytest.mark.parametrize("tokens", [1, 2, 17, 197, 1024])
    @pytest.mark.parametrize("spread", [0.0, 1.0, 20.0])
    def test_attention_of_a_softmax_is_taken(self, spread: float, tokens: int, dtype: torch.dtype, device: str) -> None:
        attn = softmaxed(tokens, spread=spread, dtype=dtype, device=device)
        score = attention_score(attn, prefix=0)
        assert score.max().item() == 1.0
        assert score.min().item() >= 0.0

    @each_device
    @each_dtype
    @pytest.mark.parametrize("tokens", [17, 197])
    def test_attention_of_a_float32_softmax_is_taken_in_every_dtype(
        self, tokens: int, dtype: torch.dtype, device: str
    ) -> None:
        attn = softmaxed(tokens, spread=2.0, dtype=torch.float32, device=device).to(dtype)
        assert attention_score(attn).max().item() == 1.0

    @each_device
    @pytest.mark.parametrize(
        ("dtype", "factor"),
        [
            (torch.float16, 0.97),
            (torch.float16, 1.03),
            (torch.bfloat16, 0.9),
            (torch.bfloat16, 1.1),
            (torch.float32, 0.99),
            (torch.float32, 1.01),
            (torch.float64, 0.99),
            (torch.float64, 1.01),
        ],
        ids=str,
    )
    @pytest.mark.parametrize("tokens", [4, 197, 1024])
    def test_attention_that_sums_to_something_else_is_refused(
        self, tokens: int, dtype: torch.dtype, factor: float, device: str
    ) -> None:
        attn = softmaxed(tokens, spread=1.0, dtype=dtype, device=device) * factor
        with pytest.raises(ValuesError, match="expected rows of attn that sum to 1"):
            attention_score(attn)

    @each_dtype
    def test_attention_with_one_row_off_is_refused(self, dtype: torch.dtype) -> None:
        """The rows of prefix queries are attention as well, though no score reads them."""
        attn = sixteenths(SIXTEENTHS, SIXTEENTHS, dtype=dtype)
        attn[1, 0, 0, 2] += 0.25
        with pytest.raises(ValuesError, match=r"got sum\[1, 0, 0\] = 1\.25$"):
            attention_score(attn)

    @pytest.mark.parametrize("dtype", DTYPES, ids=str)
    def test_row_sums_bear_the_rounding_of_their_dtype(self, dtype: torch.dtype) -> None:
        """Half of the eight roundings pass; twice as many do not."""
        unit = torch.finfo(torch.float32 if dtype == torch.float64 else dtype).eps / 2
        row = torch.tensor([1.0, 0.0], dtype=torch.float64)
        for roundings in (4, -4):
            attn = (row * (1 + roundings * unit)).to(dtype).expand(1, 1, 2, 2)
            assert attention_score(attn, prefix=0).tolist() == [[1.0, 0.0]]
        for roundings in (32, -32):
            attn = (row * (1 + roundings * unit)).to(dtype).expand(1, 1, 2, 2)
            with pytest.raises(ValuesError, match="expected rows of attn that sum to 1"):
                attention_score(attn, prefix=0)

    def test_logits_are_refused(self) -> None:
        numbers = torch.Generator().manual_seed(0)
        with pytest.raises(ValuesError, match="expected attn >= 0"):
            attention_score(torch.randn(1, 2, 8, 8, generator=numbers))
        with pytest.raises(ValuesError, match="expected rows of attn that sum to 1"):
            attention_score(torch.rand(1, 2, 8, 8, generator=numbers))

    @each_dtype
    def test_transposed_attention_is_refused(self, dtype: torch.dtype) -> None:
        attn = softmaxed(17, spread=1.0, dtype=dtype, device="cpu")
        with pytest.raises(ValuesError, match="expected rows of attn that sum to 1"):
            attention_score(attn.mT)

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
    @each_dtype
    def test_attention_that_is_not_finite_is_refused(self, value: float, dtype: torch.dtype) -> None:
        attn = sixteenths(SIXTEENTHS, dtype=dtype)
        attn[0, 1, 0, 3] = value
        with pytest.raises(ValuesError, match=rf"got attn\[0, 1, 0, 3\] = {value}$"):
            attention_score(attn)
