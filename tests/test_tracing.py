"""Every stage of the worked example, by its clause."""

from dataclasses import fields
from typing import Final

import pytest
import torch
from torch.utils import _pytree

from pomt_ref import Normalisation, Trace, prune, trace
from pomt_ref.tracing import gap_at_cut

DEVICES: Final = ["cpu", *["cuda"] * torch.cuda.is_available()]
DTYPES: Final = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
each_device: Final = pytest.mark.parametrize("device", DEVICES)
each_dtype: Final = pytest.mark.parametrize("dtype", DTYPES, ids=str)

# Two heads, one prefix token, attention in sixteenths.
X: Final = torch.tensor([[[9.0, -0.0], [1.0, 10.0], [2.0, 20.0], [6.0, -0.0]]])
ATTN: Final = (
    torch.tensor(
        [
            [
                [[4, 2, 4, 6], [7, 6, 2, 1], [7, 1, 6, 2], [8, 6, 1, 1]],
                [[8, 2, 6, 0], [9, 1, 4, 2], [10, 4, 2, 0], [7, 3, 2, 4]],
            ]
        ]
    )
    / 16
)
V: Final = torch.tensor(
    [[[[1.0, -4.0], [-500.0, -600.0], [3.0, -3.0], [-1000.0, -9.0]], [[-2, -1], [-700, -500], [-8, -5], [-992, -8]]]]
)
FAINT: Final = torch.tensor([[13, 1, 2, 0], [15, 1, 0, 0], [15, 0, 1, 0], [14, 1, 0, 1]]).expand(1, 2, 4, 4) / 16


class TestTrace:
    """POMT-PRUNE-1, stage by stage: every intermediate under its clause."""

    @each_device
    @each_dtype
    def test_trace_shows_every_stage(self, dtype: torch.dtype, device: str) -> None:
        x, attn, v = (tensor.to(device, dtype) for tensor in (X, ATTN, V))
        stages = trace(x, attn, v, prefix=1, keep=1)
        shown = {field.name: getattr(stages, field.name).tolist() for field in fields(Trace)}
        assert shown == {
            "head_maximum": [[[6 / 16, 4 / 16, 2 / 16], [4 / 16, 6 / 16, 2 / 16], [6 / 16, 2 / 16, 4 / 16]]],
            "sums": [[1.0, 0.75, 0.5]],
            "largest": [[1.0]],
            "attention": [[1.0, 0.75, 0.5]],
            "value_sums": [[0.0, -1000.0, 0.0, -1000.0]],
            "magnitude": [[0.0, 0.5, 0.0]],
            "scores": [[1.0, 1.25, 0.5]],
            "order": [[2, 1, 3]],
            "gap": [0.25],
            "kept": [[2]],
            "discarded": [[1, 3]],
            "mean": [[[3.5, 5.0]]],
            "tokens": [[[9.0, -0.0], [2.0, 20.0], [3.5, 5.0]]],
        }

    @each_dtype
    def test_trace_stores_every_stage_in_its_dtype(self, dtype: torch.dtype) -> None:
        """POMT-PREC-1: float32 or wider in between, x's dtype at the end; the head maximum is exact as it is."""
        stages = trace(X.to(dtype), ATTN.to(dtype), V.to(dtype), keep=1)
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        for name in ("sums", "largest", "attention", "value_sums", "magnitude", "scores", "gap"):
            assert getattr(stages, name).dtype == wide, name
        for name in ("order", "kept", "discarded"):
            assert getattr(stages, name).dtype == torch.int64, name
        for name in ("head_maximum", "mean", "tokens"):
            assert getattr(stages, name).dtype == dtype, name

    @pytest.mark.parametrize(
        ("normalisation", "largest", "attention", "scores", "order"),
        [
            ("batch", [[1.0]], [0.125, 0.0625, 0.0625], [0.125, 0.5625, 0.0625], [2, 1, 3]),
            ("sample", [[1.0], [0.125]], [1.0, 0.5, 0.5], [1.0, 1.0, 0.5], [1, 2, 3]),
        ],
    )
    def test_trace_follows_the_normalisation(
        self,
        normalisation: Normalisation,
        largest: list[list[float]],
        attention: list[float],
        scores: list[float],
        order: list[int],
    ) -> None:
        attn = torch.cat([ATTN, FAINT])
        stages = trace(X.expand(2, -1, -1), attn, V.expand(2, -1, -1, -1), keep=1, normalisation=normalisation)
        assert stages.largest.tolist() == largest
        assert stages.sums.tolist() == [[1.0, 0.75, 0.5], [0.125, 0.0625, 0.0625]]
        assert stages.attention.tolist() == [[1.0, 0.75, 0.5], attention]
        assert stages.scores.tolist() == [[1.0, 1.25, 0.5], scores]
        assert stages.order.tolist() == [[2, 1, 3], order]

    @pytest.mark.parametrize(("prefix", "keep"), [(0, 0), (0, 3), (1, 2), (2, 1), (3, 0)])
    def test_trace_ends_where_prune_ends(self, prefix: int, keep: int) -> None:
        stages = trace(X, ATTN, V, prefix=prefix, keep=keep)
        pruned = prune(X, ATTN, V, prefix=prefix, keep=keep)
        ends = (stages.tokens, stages.kept, stages.discarded, stages.scores)
        for got, expected in zip(ends, vars(pruned).values(), strict=True):
            assert torch.equal(got, expected)
        assert torch.equal(stages.mean, stages.tokens[:, -1:])
        assert torch.equal(torch.cat([stages.kept, stages.discarded], dim=1), stages.order)

    def test_trace_is_a_tree_of_tensors(self) -> None:
        """What export and vmap see of a dataclass: its fields."""
        leaves = _pytree.tree_leaves(trace(X, ATTN, V, keep=1))  # torch has no public name for it
        assert len(leaves) == len(fields(Trace))

    def test_trace_takes_the_number_to_remove(self) -> None:
        assert trace(X, ATTN, V, remove=1).kept.tolist() == [[2]]

    def test_trace_takes_one_prefix_token_unless_told(self) -> None:
        assert trace(X, ATTN, V, keep=1).sums.shape == (1, 3)

    def test_gradients_of_the_trace_stop_at_the_ranking(self) -> None:
        """POMT-META-7: gradients flow to kept rows and to the mean row, and none to the ranking."""
        x, attn, v = (tensor.clone().requires_grad_() for tensor in (X, ATTN, V))
        stages = trace(x, attn, v, keep=1)
        differentiable = {field.name for field in fields(Trace) if getattr(stages, field.name).requires_grad}
        assert differentiable == {"mean", "tokens"}
        stages.mean.sum().backward()
        assert x.grad is not None
        assert x.grad[0, :, 0].tolist() == [0.0, 0.5, 0.0, 0.5]


class TestGap:
    """POMT-RANK-1: the score of the last kept token less that of the first discarded one."""

    @pytest.mark.parametrize(("keep", "expected"), [(0, float("inf")), (1, 0.75), (2, 0.0), (3, 0.25)])
    def test_gap_lies_at_the_cut(self, keep: int, expected: float) -> None:
        scores, order = torch.tensor([[0.5, 1.25, 0.25, 0.5]]), torch.tensor([[1, 0, 3, 2]])
        assert gap_at_cut(scores, order, keep=keep).tolist() == [expected]

    def test_gap_is_taken_sample_by_sample(self) -> None:
        scores, order = torch.tensor([[0.5, 2.0], [1.75, 1.5]]), torch.tensor([[1, 0], [0, 1]])
        assert gap_at_cut(scores, order, keep=1).tolist() == [1.5, 0.25]
        assert gap_at_cut(scores, order, keep=0).tolist() == [float("inf"), float("inf")]

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
    @pytest.mark.parametrize("keep", [0, 1])
    def test_gap_has_the_dtype_of_the_scores(self, keep: int, dtype: torch.dtype) -> None:
        scores = torch.tensor([[0.5, 2.0]], dtype=dtype)
        assert gap_at_cut(scores, torch.tensor([[1, 0]]), keep=keep).dtype == dtype

    def test_gap_of_a_trace_refers_to_patches(self) -> None:
        assert trace(X, ATTN, V, keep=2).gap.tolist() == [0.5]
        assert trace(X, ATTN, V, keep=0).gap.tolist() == [float("inf")]
