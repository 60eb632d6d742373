"""Tokens back in their places, after one step and after several, in every order of ranks."""

import pytest
import torch
from torch import Tensor

from pomt_ref import Pruned, evit_prune, prune, topk_prune
from pomt_ref.vision.patching import patch
from pomt_ref.vision.restoring import dense_scatter, restore_order
from tests.real_models import images_for, timm_model


def layer(prefix: int, *, tokens: int = 12, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """x, attention and values of three samples; x says in every channel which row of which sample it is."""
    numbers = torch.Generator().manual_seed(seed)
    rows = torch.arange(tokens + prefix).reshape(1, -1, 1) + 100.0 * torch.arange(3).reshape(-1, 1, 1)
    attn = torch.randn(3, 2, tokens + prefix, tokens + prefix, generator=numbers).softmax(dim=3)
    return rows.expand(-1, -1, 4).clone(), attn, torch.randn(3, 2, tokens + prefix, 4, generator=numbers)


class TestRestoreOrder:
    """Kept rows as they stood in the image; prefix and appended row in their places."""

    @pytest.mark.parametrize("prefix", [0, 1, 2, 5])
    @pytest.mark.parametrize("keep", [0, 1, 7, 11])
    def test_rows_ascend(self, prefix: int, keep: int) -> None:
        x, attn, v = layer(prefix)
        step = prune(x, attn, v, prefix=prefix, keep=keep)
        got = restore_order(step.tokens, step.kept, prefix=prefix)
        for sample in range(3):
            rows = sorted(step.kept[sample].tolist())
            assert torch.equal(got[sample, prefix : prefix + keep], x[sample, rows])
        assert torch.equal(got[:, :prefix], x[:, :prefix])
        assert torch.equal(got[:, -1], step.tokens[:, -1])

    def test_without_appended_row(self) -> None:
        x, attn, _ = layer(1)
        step = topk_prune(x, attn, keep=5)
        got = restore_order(step.tokens, step.kept)
        assert got.shape == step.tokens.shape
        assert torch.equal(got, got.sort(dim=1).values)

    def test_gradients_flow(self) -> None:
        x, attn, v = layer(1)
        x.requires_grad_()
        step = prune(x, attn, v, keep=5)
        restore_order(step.tokens, step.kept).sum().backward()
        assert x.grad is not None
        assert (x.grad != 0).all()


class TestDenseScatter:
    """One row for every token of the image."""

    @pytest.mark.parametrize("prefix", [1, 2, 5])
    @pytest.mark.parametrize("method", ["pomt", "topk", "evit"])
    def test_kept_rows_stand_where_they_stood(self, method: str, prefix: int) -> None:
        x, attn, v = layer(prefix)
        steps = {
            "pomt": lambda: prune(x, attn, v, prefix=prefix, keep=5),
            "topk": lambda: topk_prune(x, attn, prefix=prefix, keep=5),
            "evit": lambda: evit_prune(x, attn, prefix=prefix, keep=5),
        }
        step: Pruned = steps[method]()
        fill = -1.0 if method == "topk" else None
        got = dense_scatter(step.tokens, step.kept, step.discarded, prefix=prefix, fill=fill)
        assert got.shape == x.shape
        for sample in range(3):
            kept, gone = step.kept[sample].tolist(), step.discarded[sample].tolist()
            assert torch.equal(got[sample, kept], x[sample, kept])
            stands = torch.full((4,), -1.0) if method == "topk" else step.tokens[sample, -1]
            assert torch.equal(got[sample, gone], stands.expand(7, 4))
        assert torch.equal(got[:, :prefix], x[:, :prefix])

    def test_number_instead_of_the_mean(self) -> None:
        x, attn, v = layer(1)
        step = prune(x, attn, v, keep=11)
        got = dense_scatter(step.tokens, step.kept, step.discarded, fill=0.0)
        assert (got == 0).all(dim=2).sum(dim=1).tolist() == [2, 1, 1], "row 0 of sample 0 is zero itself"

    def test_prefix_alone(self) -> None:
        """Top-K may remove every patch."""
        x, attn, _ = layer(2)
        step = topk_prune(x, attn, prefix=2, keep=0)
        assert restore_order(step.tokens, step.kept, prefix=2).shape == (3, 2, 4)
        assert dense_scatter(step.tokens, step.kept, step.discarded, prefix=2, fill=0.0).shape == x.shape

    def test_after_several_steps_the_last_is_undone_first(self) -> None:
        """Every patch gets the row that stands for it: its own, a mean, or a mean that a mean went into."""
        model = timm_model("DINOv2 with registers")
        patched = patch(model, remove=[4, 0, 5])
        with torch.no_grad():
            tokens = model.forward_features(images_for(model))
        first, last = patched.steps
        assert tokens.shape[1] == 12
        dense = tokens
        for step in (last, first):
            dense = dense_scatter(dense, step.kept, step.discarded, prefix=step.prefix)
        assert dense.shape == (2, 21, 48)
        for sample in range(2):
            stands = {
                row: place for place, row in enumerate([*range(5), *last.kept[sample].tolist()])
            }  # rows that the last step kept, and where they stand in its output
            for place, patch_row in enumerate(first.kept[sample].tolist()):
                came = stands.get(5 + place, tokens.shape[1] - 1)
                assert torch.equal(dense[sample, patch_row], tokens[sample, came])
