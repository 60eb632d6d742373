"""Score and order against numbers worked by hand."""

from typing import Final

import pytest
import torch

from pomt_ref import ValuesError, rank, score

DEVICES: Final = ["cpu", *["cuda"] * torch.cuda.is_available()]
DTYPES: Final = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
each_device: Final = pytest.mark.parametrize("device", DEVICES)
each_dtype: Final = pytest.mark.parametrize("dtype", DTYPES, ids=str)

# In sixteenths: with one prefix token S = 16, 12, 8 and m = 1, 3/4, 1/2; the class token's row and column are left out.
ATTN: Final = torch.tensor([[[[4, 2, 4, 6], [4, 6, 4, 2], [4, 4, 6, 2], [4, 6, 2, 4]]]], dtype=torch.float64) / 16
# The maxima over heads sum to 0, -1000, 0, -1000, so that p = 1/2, 0, 1/2, 0.
V: Final = torch.tensor(
    [
        [
            [[1, -4], [-500, -600], [3, -3], [-1000, -9]],
            [[-2, -1], [-700, -500], [-8, -5], [-992, -8]],
        ]
    ],
    dtype=torch.float64,
)


class TestScore:
    """POMT-SCORE-1: s_j = m_j + p_j, so 0 <= m <= 1, 0 <= p <= 1, 0 <= s <= 2."""

    @each_device
    @each_dtype
    def test_score_adds_attention_and_magnitude(self, dtype: torch.dtype, device: str) -> None:
        attn, v = ATTN.expand(1, 2, -1, -1).to(device, dtype), V.to(device, dtype)
        scores = score(attn, v, prefix=1)
        assert scores.tolist() == [[1.0 + 0.0, 0.75 + 0.5, 0.5 + 0.0]]
        assert scores.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        assert scores.device == attn.device

    def test_score_takes_one_prefix_token_unless_told(self) -> None:
        attn = ATTN.expand(1, 2, -1, -1)
        assert score(attn, V).tolist() == [[1.0, 1.25, 0.5]]
        assert score(attn, V, prefix=2).tolist() == [[1.0 + 0.5, 0.75 + 0.0]]

    @each_device
    @each_dtype
    def test_score_reaches_zero_and_two(self, dtype: torch.dtype, device: str) -> None:
        attn = torch.tensor([[[[1, 0, 0], [0, 1, 0], [0, 1, 0]]]], dtype=dtype, device=device)
        v = torch.tensor([-1000, 0, -1000], dtype=dtype, device=device).reshape(1, 1, 3, 1)
        assert score(attn, v, prefix=1).tolist() == [[2.0, 0.0]]

    def test_score_follows_the_normalisation(self) -> None:
        """POMT-META-4: by sample a batch equals its samples run alone, by batch it does not."""
        faint = torch.tensor([[13, 1, 2, 0], [12, 2, 2, 0], [12, 1, 2, 1], [15, 1, 0, 0]]).double() / 16  # S = 4, 4, 1
        attn = torch.stack([ATTN[0], faint[None]])
        v = torch.zeros(2, 1, 4, 1, dtype=torch.float64)  # p = 1/4
        assert score(attn, v).tolist() == [[1.25, 1.0, 0.75], [0.5, 0.5, 0.3125]]
        assert score(attn, v, normalisation="sample").tolist() == [[1.25, 1.0, 0.75], [1.25, 1.25, 0.5]]
        assert score(attn[1:], v[1:]).tolist() == [[1.25, 1.25, 0.5]]

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
    def test_score_refuses_value_sums_that_overflow(self, dtype: torch.dtype) -> None:
        attn = torch.full((1, 1, 2, 2), 0.5, dtype=dtype)
        with pytest.raises(ValuesError, match="expected finite scores"):
            score(attn, torch.full((1, 1, 2, 2), 3e38, dtype=dtype))

    def test_score_refuses_what_is_not_finite(self) -> None:
        with pytest.raises(ValuesError, match="expected finite v"):
            score(ATTN, V[:, :1] * float("nan"))
        with pytest.raises(ValuesError, match="expected finite attn"):
            score(ATTN * float("inf"), V[:, :1])


class TestRank:
    """POMT-RANK-1: tokens in descending score; exact ties are broken by the lower index."""

    @each_device
    @each_dtype
    @pytest.mark.parametrize(
        ("scores", "expected"),
        [
            ([0.5, 2.0, 1.0], [1, 2, 0]),
            ([0.5], [0]),
            ([1.0, 1.0, 1.0], [0, 1, 2]),
            ([0.5, 1.0, 0.5, 1.0], [1, 3, 0, 2]),
            ([-0.0, 0.0, -0.0], [0, 1, 2]),
            ([-2.0, -1.0, 0.0], [2, 1, 0]),
        ],
        ids=["distinct", "one", "all tied", "pairs tied", "signed zeros tie", "negative"],
    )
    def test_rank_descends_and_breaks_ties_by_index(
        self, scores: list[float], expected: list[int], dtype: torch.dtype, device: str
    ) -> None:
        order = rank(torch.tensor([scores], dtype=dtype, device=device))
        assert order.tolist() == [expected]
        assert order.dtype == torch.int64
        assert order.device.type == device

    @each_device
    @pytest.mark.parametrize("patches", [16, 17, 33, 1025])
    def test_rank_is_stable_at_every_length(self, patches: int, device: str) -> None:
        """Erratum 6: the authors' argsort is unstable from 17 elements on."""
        halves = torch.arange(patches, device=device).remainder(2).float().expand(2, -1)
        ones, zeros = list(range(1, patches, 2)), list(range(0, patches, 2))
        assert rank(halves).tolist() == [ones + zeros] * 2

    def test_rank_orders_samples_apart(self) -> None:
        assert rank(torch.tensor([[0.5, 2.0], [2.0, 0.5]])).tolist() == [[1, 0], [0, 1]]

    @pytest.mark.parametrize(("prefix", "expected"), [(0, [1, 2, 0]), (1, [2, 3, 1]), (5, [6, 7, 5])])
    def test_rank_refers_to_rows_of_the_sequence(self, prefix: int, expected: list[int]) -> None:
        assert rank(torch.tensor([[0.5, 2.0, 1.0]]), prefix=prefix).tolist() == [expected]

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
    def test_rank_refuses_what_has_no_order(self, value: float) -> None:
        with pytest.raises(ValuesError, match=rf"got scores\[1, 0\] = {value}$"):
            rank(torch.tensor([[0.5, 1.0], [value, 1.0]]))
