"""Adapters that are wrong in one place: each is found, against plain loops or when a model is patched."""

import copy
from collections.abc import Callable
from typing import Any, Final

import pytest
import torch
from torch import Tensor, nn

from pomt_ref import PomtError
from pomt_ref.vision.adapters.timm import TimmCapture
from pomt_ref.vision.errors import ModelError
from pomt_ref.vision.patching import patch
from pomt_ref.vision.splicing import HookedSplice, PreNormSplice, StepFunction
from tests.plain_pomt import timm_forward
from tests.real_models import images_for, timm_model

CLOSE: Final = 2e-6
"""As in test_patching.py."""


def check(family: str, **options: Any) -> float:  # noqa: ANN401 -- what patch takes
    """How far a patched model is from plain loops; an error where it cannot even be patched."""
    model = timm_model(family)
    images = images_for(model, 8)
    expected = timm_forward(copy.deepcopy(model).double(), images.double(), {1: 5})
    with torch.no_grad():
        return float((patch(model, remove=5, layer=1, **options)(images) - expected).abs().max())


def prune_after_the_mlp(self: HookedSplice, step: StepFunction) -> None:
    """A step behind both residuals, where the MLP has already been paid for."""
    self.step = step
    self.inside = True

    def leave(_block: nn.Module, _arguments: tuple[object, ...], output: Tensor) -> Tensor:
        return self.shorten(output)

    self.handles.append(self.block.register_forward_hook(leave))
    self.capture.attach()


def prune_before_the_attention_residual(self: PreNormSplice, step: StepFunction) -> None:
    """The norm reads fewer tokens, but the residual goes round it."""
    self.step = step

    def between(_norm: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor]:
        return (self.shorten(arguments[0]),)

    self.handles.append(self.norm.register_forward_pre_hook(between))
    self.capture.attach()


def normed_tokens(self: PreNormSplice, _norm: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Prunes what the norm makes of the tokens: what goes on in the residual is normed then."""
    return (self.shorten(nn.functional.layer_norm(arguments[0], arguments[0].shape[-1:])),)


def logits(self: TimmCapture) -> Tensor:
    """Attention before the softmax."""
    return self.seen["attn"].log()


def means(self: TimmCapture) -> Tensor:
    """Attention with its heads averaged."""
    return self.seen["attn"].mean(dim=1, keepdim=True).expand_as(self.seen["attn"])


def columns(self: TimmCapture) -> Tensor:
    """Queries and keys exchanged."""
    return self.seen["attn"].transpose(2, 3)


def keys(self: TimmCapture) -> Tensor:
    """The keys in place of the values."""
    joint: Tensor = self.seen["joint"].unflatten(-1, (3, self.seen["attn"].shape[1], -1))
    return joint[:, :, 1].transpose(1, 2)


def interleaved(self: TimmCapture) -> Tensor:
    """Values as if heads came before queries, keys and values."""
    joint: Tensor = self.seen["joint"].unflatten(-1, (self.seen["attn"].shape[1], 3, -1))
    return joint[:, :, :, 2].transpose(1, 2)


WRONG_READS: Final[dict[str, tuple[str, Callable[[TimmCapture], Tensor]]]] = {
    "attention before the softmax": ("attention", logits),
    "attention averaged over heads": ("attention", means),
    "attention transposed": ("attention", columns),
    "keys instead of values": ("values", keys),
    "values interleaved": ("values", interleaved),
}


class TestMutants:
    """Every adapter that is wrong is found."""

    @pytest.mark.parametrize("family", ["SigLIP", "ViT", "DeiT distilled", "DINOv2 with registers"])
    def test_right_adapter_passes(self, family: str) -> None:
        assert check(family) <= CLOSE

    @pytest.mark.parametrize("family", ["SigLIP", "DeiT distilled", "DINOv2 with registers"])
    def test_one_prefix_token_for_all(self, family: str) -> None:
        assert check(family, prefix=1) > 100 * CLOSE

    def test_pruning_after_the_mlp(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(PreNormSplice, "attach", prune_after_the_mlp)
        assert check("ViT") > 100 * CLOSE

    def test_pruning_what_the_norm_made(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(PreNormSplice, "between", normed_tokens)
        with pytest.raises(ModelError, match="R = 0 to be the identity"):
            check("ViT")

    def test_pruning_past_the_residual(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(PreNormSplice, "attach", prune_before_the_attention_residual)
        with pytest.raises(ModelError, match="a model that also works with fewer tokens"):
            check("ViT")

    @pytest.mark.parametrize("name", WRONG_READS)
    def test_wrong_read_is_found_when_the_model_is_patched(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        method, wrong = WRONG_READS[name]
        monkeypatch.setattr(TimmCapture, method, wrong)
        with pytest.raises(ModelError, match="the attention and the values that the block multiplies"):
            check("ViT")

    @pytest.mark.long
    @pytest.mark.parametrize("name", WRONG_READS)
    def test_wrong_read_is_far_from_plain_loops(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Or refused by the step itself: where the examination is taken out, the comparison still finds it."""
        method, wrong = WRONG_READS[name]
        monkeypatch.setattr(TimmCapture, method, wrong)
        monkeypatch.setattr(TimmCapture, "prove", lambda _: None)
        assert check("ViT", check="none") > 100 * CLOSE
        if method == "attention" and wrong is not means:
            with pytest.raises(PomtError, match="POMT-ATT-1"):
                check("ViT")
