"""Layers of Hugging Face's ViT and DeiT, as transformers 5 has them: three linear maps and a chosen attention function.

The function is chosen by name in the configuration that all layers share. A pruned layer gets a copy of it that says
``eager``, which computes a softmax of its own and returns it.
"""

import copy
from typing import ClassVar, Final

from jaxtyping import Float
from torch import Tensor, nn

from pomt_ref.errors import OptionError
from pomt_ref.vision.adapters.kind import Kind, forward_of
from pomt_ref.vision.capturing import Capture, Swap
from pomt_ref.vision.splicing import PreNormSplice

PLACE: Final = "transformers.models"

PARTS: Final = ("attention.v_proj", "attention.o_proj", "layernorm_after", "mlp", "dropout")
"""What a layer is made of, as far as patching needs it; earlier versions of transformers have it otherwise."""


class HuggingFaceCapture(Capture):
    """Reads ``ViTAttention`` and ``DeiTAttention``."""

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.module = attention

    def attach(self) -> None:
        """Have the softmax computed; hook into the layer's attention, its values and its projection."""
        config = copy.copy(vars(self.module)["config"])
        config._attn_implementation = "eager"  # noqa: SLF001 -- how transformers itself sets it, for lack of another name
        self.swaps.append(Swap(self.module, "config", config))
        self.handles.extend(
            [
                self.module.register_forward_hook(self.see_attention),
                self.module.get_submodule("v_proj").register_forward_hook(self.see_values),
                self.module.get_submodule("o_proj").register_forward_pre_hook(self.see_mixed),
            ]
        )

    def see_attention(self, module: nn.Module, _arguments: tuple[object, ...], output: tuple[Tensor, Tensor]) -> None:
        """The second thing that the attention returns.

        Raises:
            OptionError: in training, it has gone through a dropout, and is no attention after softmax.
        """
        if module.training and (dropout := vars(module)["attention_dropout"]) > 0:
            got = f"attention_probs_dropout_prob={dropout} in training"
            raise OptionError("patch", "POMT-ATT-1", "attention without dropout", got)
        self.seen["attn"] = output[1]

    def see_values(self, _module: nn.Module, _arguments: tuple[Tensor, ...], output: Tensor) -> None:
        """The values, heads side by side."""
        self.seen["values"] = output

    def see_mixed(self, _module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        """A v, heads side by side, on its way into the projection."""
        self.seen["mixed"] = arguments[0]

    def attention(self) -> Float[Tensor, "batch heads tokens tokens"]:
        """The softmax that the attention returned."""
        return self.seen["attn"]

    def values(self) -> Float[Tensor, "batch heads tokens features"]:
        """What the map of the values returned, by heads."""
        v: Tensor = self.seen["values"].unflatten(-1, (self.seen["attn"].shape[1], -1))
        return v.transpose(1, 2)

    def complete(self) -> bool:
        """Both have come by."""
        return self.seen.keys() >= {"values", "attn"}

    def mixed(self, product: Float[Tensor, "batch tokens channels"]) -> tuple[Tensor, Tensor]:
        """What the projection got, and the product itself."""
        return self.seen["mixed"], product


class HuggingFaceKind(Kind):
    """``ViTLayer`` and ``DeiTLayer``."""

    names: ClassVar[tuple[str, ...]] = (
        f"{PLACE}.vit.modeling_vit.ViTLayer",
        f"{PLACE}.deit.modeling_deit.DeiTLayer",
    )
    attentions: ClassVar[tuple[str, ...]] = (
        f"{PLACE}.vit.modeling_vit.ViTAttention",
        f"{PLACE}.deit.modeling_deit.DeiTAttention",
    )

    def refusal(self, block: nn.Module) -> str | None:
        """Another attention, or the parts of another version."""
        named = dict(block.named_modules())
        if missing := [name for name in PARTS if name not in named]:
            return f"no {', '.join(missing)} (transformers 5 has them)"
        attention = forward_of(named["attention"])
        return None if attention in self.attentions else f"attention is {attention}"

    def splice(self, block: nn.Module) -> PreNormSplice:
        """Between the residuals: ``layernorm_after`` reads the tokens; one ``dropout`` ends attention and MLP alike."""
        capture = HuggingFaceCapture(block.get_submodule("attention"))
        norm, branch = block.get_submodule("layernorm_after"), block.get_submodule("dropout")
        return PreNormSplice(block, capture, norm=norm, branch=branch)

    def prefix(self, owner: nn.Module) -> int | None:
        """A class token, and a distillation token where there is one."""
        embeddings = getattr(owner, "embeddings", None)
        tokens = [getattr(embeddings, name, None) for name in ("cls_token", "distillation_token")]
        return sum(token is not None for token in tokens)

    def shape(self, owner: nn.Module, model: nn.Module, *, tokens: int) -> tuple[int, ...] | None:  # noqa: ARG002 -- an image, whatever is around the owner
        """The image that the patch embeddings were made for."""
        embeddings = getattr(getattr(owner, "embeddings", None), "patch_embeddings", None)
        if embeddings is None:
            return None
        return (1, embeddings.num_channels, *embeddings.image_size)
