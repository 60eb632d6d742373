"""Layers of Hugging Face's ViT and DeiT, as transformers has had them since 5.9: three maps and an attention function.

The function is chosen by name in the configuration that all layers share. A pruned layer gets a copy of it that says
``eager``, which computes a softmax of its own and returns it; or, where queries and keys are read, one that says
anything but that.
"""

import copy
from typing import ClassVar, Final

from jaxtyping import Float
from torch import Tensor, nn

from pomt_ref.errors import OptionError
from pomt_ref.vision.adapters.kind import Kind, forward_of
from pomt_ref.vision.attending import QueriesKeys
from pomt_ref.vision.capturing import Capture, Swap
from pomt_ref.vision.splicing import PreNormSplice

PLACE: Final = "transformers.models"

PARTS: Final = ("attention.v_proj", "attention.o_proj", "layernorm_after", "mlp", "dropout")
"""What a layer is made of, as far as patching needs it; earlier versions of transformers have it otherwise."""

STREAMING_PARTS: Final = ("q_proj", "k_proj", "scaling")
"""What its attention has to have as well, where queries and keys are read."""


class HuggingFaceCapture(Capture):
    """Reads ``ViTAttention`` and ``DeiTAttention``."""

    of_matrix: ClassVar[frozenset[str]] = frozenset({"values", "attn"})
    of_queries: ClassVar[frozenset[str]] = frozenset({"values", "queries", "keys"})

    def __init__(self, attention: nn.Module, *, streaming: bool = False) -> None:
        super().__init__(streaming=streaming)
        self.module = attention

    def attach(self) -> None:
        """Have the softmax computed, or have it not; hook into the maps, the projection, and what is read."""
        config = copy.copy(vars(self.module)["config"])
        if not self.streaming:
            config._attn_implementation = "eager"  # noqa: SLF001 -- how transformers itself sets it, for lack of another name
        elif config._attn_implementation in {None, "eager"}:  # noqa: SLF001 -- as above
            config._attn_implementation = "sdpa"  # noqa: SLF001 -- as above
        self.swaps.append(Swap(self.module, "config", config))
        part = self.module.get_submodule
        if self.streaming:
            self.handles.append(part("q_proj").register_forward_hook(self.see_queries))
            self.handles.append(part("k_proj").register_forward_hook(self.see_keys))
        else:
            self.handles.append(self.module.register_forward_hook(self.see_attention))
        self.handles.append(part("v_proj").register_forward_hook(self.see_values))
        self.handles.append(part("o_proj").register_forward_pre_hook(self.see_mixed))

    def see_attention(self, module: nn.Module, _arguments: tuple[object, ...], output: tuple[Tensor, Tensor]) -> None:
        """The second thing that the attention returns.

        Raises:
            OptionError: in training, it has gone through a dropout, and is no attention after softmax.
        """
        if module.training and (dropout := vars(module)["attention_dropout"]) > 0:
            got = f"attention_probs_dropout_prob={dropout} in training"
            raise OptionError("patch", "POMT-ATT-1", "attention without dropout", got)
        self.seen["attn"] = output[1]

    def see_queries(self, _module: nn.Module, _arguments: tuple[Tensor, ...], output: Tensor) -> None:
        """The queries, heads side by side."""
        self.seen["queries"] = output

    def see_keys(self, _module: nn.Module, _arguments: tuple[Tensor, ...], output: Tensor) -> None:
        """The keys, heads side by side."""
        self.seen["keys"] = output

    def see_values(self, _module: nn.Module, _arguments: tuple[Tensor, ...], output: Tensor) -> None:
        """The values, heads side by side."""
        self.seen["values"] = output

    def see_mixed(self, _module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        """A v, heads side by side, on its way into the projection."""
        self.seen["mixed"] = arguments[0]

    def attention(self) -> Float[Tensor, "batch heads tokens tokens"]:
        """The softmax that the attention returned."""
        return self.seen["attn"]

    def queries_and_keys(self) -> QueriesKeys:
        """What their maps returned, by heads, and the scale of the module."""
        return QueriesKeys(self.heads("queries"), self.heads("keys"), vars(self.module)["scaling"])

    def values(self) -> Float[Tensor, "batch heads tokens features"]:
        """What the map of the values returned, by heads."""
        return self.heads("values")

    def heads(self, name: str) -> Float[Tensor, "batch heads tokens features"]:
        """What one of the maps returned, by heads."""
        count: int = vars(self.module)["num_attention_heads"]
        by_heads: Tensor = self.seen[name].unflatten(-1, (count, -1))
        return by_heads.transpose(1, 2)

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
            return f"no {', '.join(missing)} (transformers has them since 5.9)"
        attention = forward_of(named["attention"])
        return None if attention in self.attentions else f"attention is {attention}"

    def streaming_refusal(self, block: nn.Module) -> str | None:
        """Parts that are not there."""
        missing = [name for name in STREAMING_PARTS if not hasattr(block.get_submodule("attention"), name)]
        return f"attention has no {', '.join(missing)}" if missing else None

    def splice(self, block: nn.Module, *, streaming: bool = False) -> PreNormSplice:
        """Between the residuals: ``layernorm_after`` reads the tokens; one ``dropout`` ends attention and MLP alike."""
        capture = HuggingFaceCapture(block.get_submodule("attention"), streaming=streaming)
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
