"""The pruning step against examples worked by hand: rows, their order, their bits, their mean and their gradients."""

from collections.abc import Callable
from typing import Any, Final

import pytest
import torch
from torch import Tensor
from torch.utils import _pytree

from pomt_ref import Pruned, ValuesError, evit_prune, prune, topk_prune, trace
from pomt_ref.pruning import gather, mean_row

DEVICES: Final = ["cpu", *["cuda"] * torch.cuda.is_available()]
DTYPES: Final = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
each_device: Final = pytest.mark.parametrize("device", DEVICES)
each_dtype: Final = pytest.mark.parametrize("dtype", DTYPES, ids=str)

# The prefix row first. In sixteenths S = 16, 12, 8, so that m = 1, 3/4, 1/2; with t = 0, -1000, 0, -1000 the shares p
# of the patches are 0, 1/2, 0. The scores are 1, 5/4, 1/2: patch rows in the order 2, 1, 3.
X: Final = torch.tensor([[[9.0, -0.0], [1.0, 10.0], [2.0, 20.0], [6.0, -0.0]]])
ATTN: Final = torch.tensor([[[[4, 2, 4, 6], [4, 6, 4, 2], [4, 4, 6, 2], [4, 6, 2, 4]]]]) / 16
V: Final = torch.tensor([0.0, -1000.0, 0.0, -1000.0]).reshape(1, 1, 4, 1)


def bits(tensor: Tensor) -> list[int]:
    """The bytes of a tensor, so that -0.0 differs from 0.0."""
    return tensor.contiguous().view(torch.uint8).flatten().tolist()


def by_value(sums: list[float], *, dtype: torch.dtype = torch.float32, device: str = "cpu") -> tuple[Tensor, Tensor]:
    """Attention and values of a layer whose heads see all tokens alike: the values alone give the order."""
    tokens = len(sums)
    attn = torch.full((1, 1, tokens, tokens), 1 / tokens, dtype=dtype, device=device)
    return attn, torch.tensor(sums, dtype=dtype, device=device).reshape(1, 1, tokens, 1)


class TestLayout:
    """POMT-PRUNE-1: output = [the P prefix rows, the T best patch rows in rank order, one mean row]; P + T + 1 rows."""

    @each_device
    @each_dtype
    @pytest.mark.parametrize(
        ("keep", "rows"),
        [
            (0, [[9.0, -0.0], [3.0, 10.0]]),
            (1, [[9.0, -0.0], [2.0, 20.0], [3.5, 5.0]]),
            (2, [[9.0, -0.0], [2.0, 20.0], [1.0, 10.0], [6.0, 0.0]]),
        ],
    )
    def test_prune_of_the_worked_example(
        self, keep: int, rows: list[list[float]], dtype: torch.dtype, device: str
    ) -> None:
        x, attn, v = (tensor.to(device, dtype) for tensor in (X, ATTN, V))
        pruned = prune(x, attn, v, prefix=1, keep=keep)
        assert pruned.tokens.tolist() == [rows]
        assert pruned.kept.tolist() == [[2, 1, 3][:keep]]
        assert pruned.discarded.tolist() == [[2, 1, 3][keep:]]
        assert pruned.scores.tolist() == [[1.0, 1.25, 0.5]]

    @pytest.mark.parametrize(("remove", "keep"), [(1, 1), (2, 0)])
    def test_prune_removes_one_more_than_it_gets_shorter_by(self, remove: int, keep: int) -> None:
        """POMT-COUNT-1: T = N - P - R - 1, output length N - R."""
        pruned = prune(X, ATTN, V, remove=remove)
        assert bits(pruned.tokens) == bits(prune(X, ATTN, V, prefix=1, keep=keep).tokens)
        assert pruned.tokens.shape[1] == 4 - remove
        assert pruned.discarded.shape[1] == remove + 1

    # Values 3, 0, 6, 2, 7, 1, 5, 4: rows in the order 4, 2, 6, 7, 0, 3, 5, 1, of which the prefix is left out.
    @each_device
    @each_dtype
    @pytest.mark.parametrize(
        ("prefix", "order"),
        [
            (0, [4, 2, 6, 7, 0, 3, 5, 1]),
            (1, [4, 2, 6, 7, 3, 5, 1]),
            (2, [4, 2, 6, 7, 3, 5]),
            (3, [4, 6, 7, 3, 5]),
            (4, [4, 6, 7, 5]),
            (5, [6, 7, 5]),
            (6, [6, 7]),
            (7, [7]),
        ],
    )
    def test_prune_at_every_prefix_and_keep(
        self, prefix: int, order: list[int], dtype: torch.dtype, device: str
    ) -> None:
        attn, v = by_value([3, 0, 6, 2, 7, 1, 5, 4], dtype=dtype, device=device)
        x = torch.arange(8, dtype=dtype, device=device).reshape(1, 8, 1)
        for keep in range(len(order)):
            pruned = prune(x, attn, v, prefix=prefix, keep=keep)
            *copied, mean = pruned.tokens.flatten().tolist()
            assert copied == [*range(prefix), *order[:keep]]
            discarded = order[keep:]
            assert mean == pytest.approx(sum(discarded) / len(discarded), rel=torch.finfo(dtype).eps)
            assert pruned.kept.tolist() == [order[:keep]]
            assert pruned.discarded.tolist() == [discarded]

    def test_prune_takes_one_prefix_token_unless_told(self) -> None:
        assert prune(X, ATTN, V, keep=0).tokens.tolist() == [[[9.0, 0.0], [3.0, 10.0]]]

    @each_device
    @each_dtype
    def test_prune_keeps_the_dtype_and_the_device_of_x(self, dtype: torch.dtype, device: str) -> None:
        """POMT-PREC-1: scores are stored in float32 or wider; the output has x's dtype and device."""
        x, attn, v = (tensor.to(device, dtype) for tensor in (X, ATTN, V))
        pruned = prune(x, attn, v, keep=1)
        assert pruned.tokens.dtype == dtype
        assert pruned.scores.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        assert pruned.kept.dtype == pruned.discarded.dtype == torch.int64
        for tensor in (pruned.tokens, pruned.kept, pruned.discarded, pruned.scores):
            assert tensor.device == x.device

    def test_prune_treats_samples_apart(self) -> None:
        attn, first = by_value([0, 3, 2, 1])
        _, second = by_value([0, 1, 2, 3])
        x = torch.tensor([[[0.0], [1.0], [2.0], [4.0]], [[10.0], [11.0], [12.0], [14.0]]])
        pruned = prune(x, attn.expand(2, -1, -1, -1), torch.cat([first, second]), keep=1)
        assert pruned.tokens.tolist() == [[[0.0], [1.0], [3.0]], [[10.0], [14.0], [11.5]]]
        assert pruned.kept.tolist() == [[1], [3]]
        assert pruned.discarded.tolist() == [[2, 3], [2, 1]]

    def test_prune_keeps_ties_in_order(self) -> None:
        """POMT-RANK-1: the reference breaks exact ties by the lower index, at more than 16 tokens too."""
        attn, v = by_value([0.0] * 32)
        pruned = prune(torch.zeros(1, 32, 1), attn, v, prefix=2, keep=20)
        assert pruned.kept.tolist() == [list(range(2, 22))]
        assert pruned.discarded.tolist() == [list(range(22, 32))]

    def test_prune_follows_the_normalisation(self) -> None:
        """POMT-META-4: by sample a batch equals its samples run alone, by batch it does not.

        The second sample has S = 2, 1, 1 sixteenths and p = 0, 1/2, 0: beside the first, whose M is one, it scores
        (2/16, 9/16, 1/16) and keeps row 2; alone it scores (1, 1, 1/2), a tie, and keeps row 1.
        """
        faint = torch.tensor([[[[13, 1, 2, 0], [15, 1, 0, 0], [15, 0, 1, 0], [14, 1, 0, 1]]]]) / 16
        x, attn, v = X.expand(2, -1, -1), torch.cat([ATTN, faint]), V.expand(2, -1, -1, -1)
        shared = prune(x, attn, v, keep=1)
        assert shared.scores.tolist() == [[1.0, 1.25, 0.5], [0.125, 0.5625, 0.0625]]
        assert shared.kept.tolist() == [[2], [2]]
        alone = prune(x, attn, v, keep=1, normalisation="sample")
        assert alone.scores.tolist() == [[1.0, 1.25, 0.5], [1.0, 1.0, 0.5]]
        assert alone.kept.tolist() == [[2], [1]]
        assert prune(X, faint, V, keep=1).kept.tolist() == [[1]]

    def test_pruned_says_what_each_part_is(self) -> None:
        pruned = prune(X, ATTN, V, keep=1)
        assert isinstance(pruned, Pruned)
        leaves = _pytree.tree_leaves(pruned)  # what export and vmap see
        assert [tuple(leaf.shape) for leaf in leaves] == [(1, 3, 2), (1, 1), (1, 2), (1, 3)]


class TestCopies:
    """POMT-PRUNE-2: prefix rows and kept rows are bit-exact copies (-0.0 too)."""

    @each_device
    @each_dtype
    def test_prune_copies_bits(self, dtype: torch.dtype, device: str) -> None:
        info = torch.finfo(dtype)
        subnormal = info.smallest_normal * info.eps
        rows = [[-0.0, 0.0], [info.max, info.min], [subnormal, -subnormal], [-0.0, info.tiny], [0.1, -0.1], [0.0, 1.0]]
        x = torch.tensor([rows], dtype=dtype, device=device)
        attn, v = by_value([0, 0, 1, 3, 2, 0], dtype=dtype, device=device)
        pruned = prune(x, attn, v, prefix=2, keep=3)
        assert bits(pruned.tokens[:, :-1]) == bits(x[:, [0, 1, 3, 4, 2]])
        assert x[0, 0, 0].signbit(), "the example has a negative zero"

    def test_gather_takes_rows_in_the_order_of_the_indices(self) -> None:
        x = torch.tensor([[[1.0, -0.0], [2.0, 0.0]], [[3.0, 0.0], [4.0, -0.0]]])
        rows = torch.tensor([[1, 0, 1], [0, 0, 1]])
        expected = [[[2.0, 0.0], [1.0, -0.0], [2.0, 0.0]], [[3.0, 0.0], [3.0, 0.0], [4.0, -0.0]]]
        assert bits(gather(x, rows)) == bits(torch.tensor(expected))


class TestDevices:
    """POMT-PREC-1: the device of the inputs is the device of the work, with no transfer.

    Tensors without data show it where there is one device alone: operators refuse another device's tensor beside them.
    """

    @pytest.mark.parametrize(("function", "tensors"), [(prune, 3), (trace, 3), (topk_prune, 2), (evit_prune, 2)])
    def test_everything_is_made_on_the_device_of_the_inputs(self, function: Callable[..., Any], tensors: int) -> None:
        layer = [torch.empty(shape, device="meta") for shape in ((2, 6, 4), (2, 3, 6, 6), (2, 3, 6, 5))]
        made = vars(function(*layer[:tensors], prefix=2, keep=1, check="shapes"))
        assert {name: tensor.device.type for name, tensor in made.items()} == dict.fromkeys(made, "meta")


class TestMean:
    """POMT-PRUNE-3: the last row is the arithmetic mean of the m discarded patch rows, accumulated in float32."""

    def test_mean_row_averages_channels_and_samples_apart(self) -> None:
        rows = torch.tensor([[[1.0, 10.0], [2.0, 20.0], [6.0, 0.0]], [[0.0, -3.0], [0.0, 0.0], [3.0, 0.0]]])
        assert mean_row(rows).tolist() == [[[3.0, 10.0]], [[1.0, -1.0]]]

    @each_device
    @each_dtype
    def test_mean_row_of_one_row_is_that_row(self, dtype: torch.dtype, device: str) -> None:
        row = torch.tensor([[[0.1, -7.3, 60000.0]]], dtype=dtype, device=device)
        assert bits(mean_row(row)) == bits(row)

    @each_device
    @pytest.mark.parametrize(
        ("dtype", "ones"), [(torch.float16, 4096), (torch.bfloat16, 512), (torch.float32, 4096)], ids=str
    )
    def test_mean_row_accumulates_in_float32(self, dtype: torch.dtype, ones: int, device: str) -> None:
        """A running sum in storage precision would stop at 2048 (float16) or 256 (bfloat16)."""
        assert mean_row(torch.ones(1, ones, 1, dtype=dtype, device=device)).tolist() == [[[1.0]]]

    @each_device
    def test_mean_row_does_not_overflow_in_half_precision(self, device: str) -> None:
        """Edge rule: half-precision sums above 65504 do not overflow."""
        x = torch.full((1, 301, 2), 60000.0, dtype=torch.float16, device=device)
        x[:, 1:101] = 59968
        x[:, 101:201] = 60032
        attn = torch.full((1, 1, 301, 301), 1 / 301, dtype=torch.float16, device=device)
        pruned = prune(x, attn, x.unsqueeze(1), prefix=1, keep=0)
        assert pruned.tokens[0, 1].tolist() == [60000.0, 60000.0]

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
    def test_prune_refuses_a_mean_that_overflows(self, dtype: torch.dtype) -> None:
        """No NaN and no infinity comes out silently."""
        attn, v = by_value([0, 1, 2], dtype=dtype)
        x = torch.tensor([[[0.0], [3e38], [3e38]]], dtype=dtype)
        with pytest.raises(ValuesError, match=r"expected finite mean \(POMT-PRUNE-3\), got mean\[0, 0, 0\] = inf"):
            prune(x, attn, v, keep=0)
        assert prune(x, attn, v, keep=1).tokens[0, 2].item() == x[0, 1].item(), "one row does not overflow"

    def test_mean_row_in_float64_keeps_float64(self) -> None:
        rows = torch.tensor([[[1.0], [1.0 + 2.0**-50]]], dtype=torch.float64)
        assert mean_row(rows).item() == 1.0 + 2.0**-51


class TestPartition:
    """POMT-PRUNE-4: kept ∪ discarded = the patch tokens, kept ∩ discarded = ∅, indices refer to the input sequence."""

    @each_device
    @pytest.mark.parametrize("prefix", range(6))
    def test_prune_keeps_or_discards_every_patch_once(self, prefix: int, device: str) -> None:
        numbers = torch.Generator().manual_seed(prefix)
        x = torch.randn(3, 19, 4, generator=numbers).to(device)
        attn = torch.randn(3, 2, 19, 19, generator=numbers).softmax(dim=-1).to(device)
        v = torch.randn(3, 2, 19, 4, generator=numbers).to(device)
        for keep in (0, 1, 7, 18 - prefix):
            pruned = prune(x, attn, v, prefix=prefix, keep=keep)
            assert pruned.kept.shape == (3, keep)
            for kept, discarded in zip(pruned.kept.tolist(), pruned.discarded.tolist(), strict=True):
                assert sorted(kept + discarded) == list(range(prefix, 19))


class TestGradients:
    """POMT-META-7: gradients flow to kept rows and to the mean row, and none to the ranking."""

    @each_device
    @each_dtype
    def test_gradients_of_rows_are_one_or_a_share_of_the_mean(self, dtype: torch.dtype, device: str) -> None:
        x, attn, v = (tensor.to(device, dtype, copy=True).requires_grad_() for tensor in (X, ATTN, V))
        tokens = prune(x, attn, v, keep=1).tokens
        upstream = torch.tensor([[[1.0, 2.0], [4.0, 8.0], [16.0, 32.0]]], dtype=dtype, device=device)
        tokens.backward(upstream)
        assert x.grad is not None
        assert x.grad.tolist() == [[[1.0, 2.0], [8.0, 16.0], [4.0, 8.0], [8.0, 16.0]]]
        assert attn.grad is None
        assert v.grad is None

    def test_gradients_stop_at_the_ranking(self) -> None:
        attn, v = ATTN.clone().requires_grad_(), V.clone().requires_grad_()
        pruned = prune(X, attn, v, keep=1)
        assert not pruned.tokens.requires_grad
        assert not pruned.scores.requires_grad

    def test_gradients_are_those_of_finite_differences(self) -> None:
        x = X.double().requires_grad_()

        def tokens(x: Tensor) -> Tensor:
            return prune(x, ATTN.double(), V.double(), keep=1).tokens

        assert torch.autograd.gradcheck(tokens, (x,))


class TestPrefix:
    """POMT-META-6: prefix rows of x never influence another row."""

    @pytest.mark.parametrize("prefix", [1, 2, 3])
    def test_prefix_rows_stay_where_they_are(self, prefix: int) -> None:
        other = X.clone()
        other[:, :prefix] = 12345
        before, after = prune(X, ATTN, V, prefix=prefix, keep=0), prune(other, ATTN, V, prefix=prefix, keep=0)
        assert bits(before.tokens[:, prefix:]) == bits(after.tokens[:, prefix:])
        assert after.tokens[:, :prefix].unique().tolist() == [12345]
        assert before.discarded.tolist() == after.discarded.tolist()
