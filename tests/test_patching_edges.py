"""Patching where it seldom goes: ties through TopK, blocks that are not what they seem, rows without a check."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pomt_ref.errors import CountError
from pomt_ref.vision.adapters import find_encoder
from pomt_ref.vision.digits import load_model
from pomt_ref.vision.errors import ModelError
from pomt_ref.vision.methods import Method
from pomt_ref.vision.patching import patch
from pomt_ref.vision.restoring import dense_scatter, restore_order
from pomt_ref.vision.splicing import PreNormSplice, detach_all
from tests.real_models import hugging_face_model, timm_model

IMAGES = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))


class TestTies:
    """POMT-RANK-1: without ties, TopK ranks as the stable sort does."""

    @pytest.mark.parametrize("method", ["pomt", "topk", "evit"])
    def test_topk_prunes_the_same(self, method: Method) -> None:
        found = []
        for ties in ("lower", "any"):
            patched = patch(load_model(), remove=8, method=method, ties=ties)
            found.append((patched(IMAGES), patched.steps[0]))
        (one, first), (other, second) = found
        assert torch.allclose(one, other, atol=1e-5)
        assert torch.equal(first.kept, second.kept)
        assert first.tokens_after == second.tokens_after


class TestBlocks:
    """What is examined is refused where it does something else."""

    def test_attention_that_multiplies_something_else_is_refused(self) -> None:
        model: Any = timm_model("ViT")
        attention = model.blocks[model_layer(model)].attn
        attention.v_bias_hidden = True
        plain = attention.proj.forward
        attention.proj.register_forward_pre_hook(lambda _, inputs: (inputs[0] * 1.5,))
        assert plain is not None
        with pytest.raises(ModelError, match="the attention and the values that the block multiplies"):
            patch(model, remove=3)

    def test_error_of_the_project_is_passed_on(self) -> None:
        model = load_model()
        model.blocks[2].register_forward_pre_hook(_refuse)
        with pytest.raises(CountError, match="a hook of the user"):
            patch(model, remove=3)

    def test_detaching_twice_does_nothing(self) -> None:
        model = load_model()
        encoder = find_encoder(model)
        splice = encoder.kind.splice(encoder.blocks[0])
        splice.attach(lambda x, _attn, _v: x)
        detach_all([splice, splice])
        assert torch.equal(model(IMAGES), load_model()(IMAGES))

    def test_hugging_face_model_without_embeddings_needs_an_example(self) -> None:
        model: Any = hugging_face_model("ViT")
        encoder = find_encoder(model)
        assert encoder.kind.shape(nn.Module(), model, tokens=5) is None

    def test_block_that_returns_something_else_is_no_identity(self) -> None:
        model: Any = timm_model("ViT")
        block = find_encoder(model).blocks[0]
        splice: Any = find_encoder(model).kind.splice(block)
        splice.attach(lambda x, _attn, _v: x)
        splice.proving, splice.spliced, splice.update = True, torch.ones(1), torch.ones(1)
        with pytest.raises(ModelError, match="R = 0 to be the identity"):
            splice.leave(block, (), torch.zeros(1))
        splice.detach()

    def test_norm_outside_of_its_block_is_left_alone(self) -> None:
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True).eval()
        model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        patched = patch(model, remove=2, layer=0, prefix=1, example=torch.rand(1, 6, 8))
        first: Any = model.layers[0]
        tokens = torch.rand(1, 6, 8)
        assert first.norm1(tokens).shape == tokens.shape
        assert patched(tokens).shape == (1, 4, 8)

    def test_pass_without_its_parts_is_told(self) -> None:
        model: Any = timm_model("ViT")
        encoder = find_encoder(model)
        splice: Any = encoder.kind.splice(encoder.blocks[0])
        block = encoder.blocks[0]
        splice.norm = splice.branch = nn.Identity()
        splice.attach(lambda x, _attn, _v: x)
        with pytest.raises(ModelError, match="attention, then norm, then MLP"):
            block(torch.zeros(1, 17, 48))
        splice.detach()
        assert isinstance(splice, PreNormSplice)


class TestRows:
    """Rows are put back as they are told where nothing is checked."""

    def test_nothing_is_checked_where_that_is_asked(self) -> None:
        x = torch.tensor([[[9.0], [3.0], [1.0], [7.5]]])
        kept, discarded = torch.tensor([[3, 1]]), torch.tensor([[4, 2]])
        for check in ("none", "shapes", "values"):
            restored = restore_order(x, kept, check=check)
            dense = dense_scatter(x, kept, discarded, check=check)
            assert restored.flatten().tolist() == [9.0, 1.0, 3.0, 7.5]
            assert dense.flatten().tolist() == [9.0, 1.0, 7.5, 3.0, 7.5]


def model_layer(model: nn.Module) -> int:
    """The block that prunes by default."""
    return len(find_encoder(model).blocks) // 4


def _refuse(_block: nn.Module, _inputs: tuple[Tensor, ...]) -> None:
    """A hook that raises an error of the project."""
    raise CountError("hook", "CHOOSE-3", "a hook of the user", "this one")


def test_patched_copies_are_told() -> None:
    patched = patch(load_model(), remove=2)
    with pytest.raises(ModelError, match="patched already"):
        patch(copy.deepcopy(patched.model), remove=2)
