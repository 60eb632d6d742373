"""Top-K and EViT against examples worked by hand."""

from typing import Final

import pytest
import torch
from torch import Tensor

from pomt_ref import ValuesError, evit_prune, topk_prune
from pomt_ref.siblings import class_score, fused_row

DEVICES: Final = ["cpu", *["cuda"] * torch.cuda.is_available()]
DTYPES: Final = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
each_device: Final = pytest.mark.parametrize("device", DEVICES)
each_dtype: Final = pytest.mark.parametrize("dtype", DTYPES, ids=str)

X: Final = torch.tensor([[[8.0, -0.0], [16.0, -80.0], [32.0, 160.0], [96.0, 20.0]]])
# In sixteenths the means over heads are, in row 0, (6, 2, 5, 3) and in row 1 (6, 4, 3/2, 9/2). No other row is read.
ATTN: Final = (
    torch.tensor(
        [
            [
                [[4, 2, 4, 6], [6, 2, 1, 7], [0, 0, 0, 16], [0, 0, 0, 16]],
                [[8, 2, 6, 0], [6, 6, 2, 2], [0, 0, 0, 16], [0, 0, 0, 16]],
            ]
        ]
    )
    / 16
)
BLIND: Final = torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(1, 2, 4, 4)
"""All attention goes to the class token."""


def bits(tensor: Tensor) -> list[int]:
    """The bytes of a tensor, so that -0.0 differs from 0.0."""
    return tensor.contiguous().view(torch.uint8).flatten().tolist()


class TestClassScore:
    """TOPK-1: score = mean over heads of A[h, class row, patch keys]; SIB-1: the class row is row 0 by default."""

    @each_device
    @each_dtype
    @pytest.mark.parametrize(
        ("prefix", "class_index", "expected"),
        [(1, 0, [2, 5, 3]), (2, 0, [5, 3]), (2, 1, [1.5, 4.5]), (3, 0, [3]), (3, 1, [4.5]), (3, 2, [16])],
    )
    def test_class_score_is_the_mean_over_heads(
        self, prefix: int, class_index: int, expected: list[float], dtype: torch.dtype, device: str
    ) -> None:
        scores = class_score(ATTN.to(device, dtype), prefix=prefix, class_index=class_index)
        assert (16 * scores).tolist() == [expected]
        assert scores.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        assert scores.device.type == device

    def test_class_score_reads_row_zero_unless_told(self) -> None:
        assert (16 * class_score(ATTN)).tolist() == [[2, 5, 3]]

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
    def test_class_score_is_not_rounded_to_storage(self, dtype: torch.dtype) -> None:
        """POMT-PREC-1: scores are computed and stored in float32 or wider."""
        attn = torch.tensor([0.5, 2.0**-14], dtype=dtype).reshape(1, 2, 1, 1).expand(1, 2, 2, 2)
        assert class_score(attn, prefix=1).tolist() == [[0.25 + 2.0**-15]]


class TestTopK:
    """TOPK-1: output [prefix rows, T best in rank order], length P + T."""

    @each_device
    @each_dtype
    @pytest.mark.parametrize("keep", [0, 1, 2])
    def test_topk_prune_of_the_worked_example(self, keep: int, dtype: torch.dtype, device: str) -> None:
        x = X.to(device, dtype)
        pruned = topk_prune(x, ATTN.to(device, dtype), prefix=1, keep=keep)
        assert bits(pruned.tokens) == bits(x[:, [0, 2, 3][: 1 + keep]])
        assert pruned.tokens.dtype == dtype
        assert pruned.kept.tolist() == [[2, 3, 1][:keep]]
        assert pruned.discarded.tolist() == [[2, 3, 1][keep:]]
        assert (16 * pruned.scores).tolist() == [[2, 5, 3]]

    @pytest.mark.parametrize(("remove", "kept"), [(1, [2, 3]), (2, [2]), (3, [])])
    def test_topk_prune_gets_as_much_shorter_as_it_discards(self, remove: int, kept: list[int]) -> None:
        pruned = topk_prune(X, ATTN, remove=remove)
        assert pruned.tokens.shape == (1, 4 - remove, 2)
        assert pruned.kept.tolist() == [kept]

    def test_topk_prune_reads_the_class_row_it_is_told(self) -> None:
        """SIB-1: `class_index` says otherwise."""
        assert topk_prune(X, ATTN, prefix=2, keep=1).kept.tolist() == [[2]]
        assert topk_prune(X, ATTN, prefix=2, keep=1, class_index=1).kept.tolist() == [[3]]

    def test_topk_prune_passes_gradients_to_the_rows_it_copies(self) -> None:
        x, attn = X.clone().requires_grad_(), ATTN.clone().requires_grad_()
        pruned = topk_prune(x, attn, keep=1)
        pruned.tokens.sum().backward()
        assert x.grad is not None
        assert x.grad[0, :, 0].tolist() == [1.0, 0.0, 1.0, 0.0]
        assert attn.grad is None
        assert not pruned.scores.requires_grad

    def test_topk_prune_of_a_blind_class_row_keeps_the_first(self) -> None:
        """POMT-RANK-1: exact ties by the lower index; M = 0 is no matter to a method that does not divide by it."""
        assert topk_prune(X, BLIND, keep=2).kept.tolist() == [[1, 2]]


class TestEVit:
    """EVIT-1: same score; then one fused row Σ over discarded of score · x. Length P + T + 1."""

    @each_device
    @each_dtype
    @pytest.mark.parametrize(
        ("keep", "normalise", "fused"),
        [
            (0, False, [(5 * 32 + 3 * 96 + 2 * 16) / 16, (5 * 160 + 3 * 20 - 2 * 80) / 16]),
            (0, True, [48.0, 70.0]),
            (1, False, [20.0, -6.25]),
            (1, True, [64.0, -20.0]),
            (2, False, [2.0, -10.0]),
            (2, True, [16.0, -80.0]),
        ],
    )
    def test_evit_prune_weighs_the_discarded_by_score(
        self, keep: int, normalise: bool, fused: list[float], dtype: torch.dtype, device: str
    ) -> None:
        x = X.to(device, dtype)
        pruned = evit_prune(x, ATTN.to(device, dtype), prefix=1, keep=keep, normalise=normalise)
        assert bits(pruned.tokens[:, :-1]) == bits(x[:, [0, 2, 3][: 1 + keep]])
        assert pruned.tokens[0, -1].tolist() == fused
        assert pruned.tokens.dtype == dtype
        assert pruned.kept.tolist() == [[2, 3, 1][:keep]]
        assert pruned.discarded.tolist() == [[2, 3, 1][keep:]]
        assert (16 * pruned.scores).tolist() == [[2, 5, 3]]

    def test_evit_prune_does_not_normalise_unless_told(self) -> None:
        assert evit_prune(X, ATTN, keep=1).tokens[0, -1].tolist() == [20.0, -6.25]

    @pytest.mark.parametrize(("remove", "kept"), [(1, [2]), (2, [])])
    def test_evit_prune_removes_one_more_than_it_gets_shorter_by(self, remove: int, kept: list[int]) -> None:
        pruned = evit_prune(X, ATTN, remove=remove)
        assert pruned.tokens.shape == (1, 4 - remove, 2)
        assert pruned.kept.tolist() == [kept]

    def test_evit_prune_reads_the_class_row_it_is_told(self) -> None:
        pruned = evit_prune(X, ATTN, prefix=2, keep=1, class_index=1)
        assert pruned.tokens[0, 2:].tolist() == [[96.0, 20.0], [3.0, 15.0]]

    def test_evit_prune_treats_samples_apart(self) -> None:
        x, attn = torch.cat([X, X + 1]), torch.cat([ATTN, ATTN[..., [0, 2, 1, 3]]])
        pruned = evit_prune(x, attn, keep=1, normalise=True)
        assert pruned.kept.tolist() == [[2], [1]]
        # In the second sample rows 3 and 2 weigh 3 and 2 sixteenths: (3 * 97 + 2 * 33) / 5, (3 * 21 + 2 * 161) / 5.
        assert pruned.tokens[0, -1].tolist() == [64.0, -20.0]
        assert pruned.tokens[1, -1].tolist() == pytest.approx([71.4, 77.0], rel=1e-6)

    def test_evit_prune_of_zero_weights_appends_zero(self) -> None:
        assert evit_prune(X, BLIND, keep=1).tokens[0, -1].tolist() == [0.0, 0.0]

    def test_evit_prune_refuses_to_normalise_zero_weights(self) -> None:
        """No NaN comes out silently."""
        with pytest.raises(ValuesError, match=r"expected finite fused \(EVIT-1\), got fused\[0, 0, 0\] = nan"):
            evit_prune(X, BLIND, keep=1, normalise=True)

    @each_device
    def test_evit_prune_does_not_overflow_in_half_precision(self, device: str) -> None:
        """Edge rule: half-precision sums above 65504 do not overflow, and accumulate in float32 (POMT-PREC-1)."""
        attn = torch.zeros(1, 1, 513, 513, dtype=torch.float16, device=device)
        attn[..., 1:] = 1 / 512
        x = torch.full((1, 513, 1), 60000.0, dtype=torch.float16, device=device)
        for normalise in (True, False):
            assert evit_prune(x, attn, keep=0, normalise=normalise).tokens[0, -1].item() == 60000.0

    def test_evit_prune_passes_gradients_by_weight(self) -> None:
        x, attn = X.clone().requires_grad_(), ATTN.clone().requires_grad_()
        pruned = evit_prune(x, attn, keep=1)
        pruned.tokens.sum().backward()
        assert x.grad is not None
        assert x.grad[0, :, 0].tolist() == [1.0, 2 / 16, 1.0, 3 / 16]
        assert attn.grad is None
        assert not pruned.scores.requires_grad

    def test_fused_row_keeps_the_dtype_of_the_rows(self) -> None:
        rows = torch.tensor([[[1.0], [2.0]]], dtype=torch.bfloat16)
        fused = fused_row(rows, torch.tensor([[0.5, 0.25]]))
        assert fused.dtype == torch.bfloat16
        assert fused.tolist() == [[[1.0]]]
