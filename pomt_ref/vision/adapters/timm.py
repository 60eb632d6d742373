"""Blocks of timm's ``VisionTransformer``: ViT, DeiT, DeiT3, distilled DeiT, DINOv2 with registers, SigLIP.

Their attention computes a softmax of its own only where ``fused_attn`` is off, and hands it to the module
``attn_drop``, where timm's ``AttentionExtract`` reads it as well. Queries, keys and values come out of one linear map;
queries and keys then go through ``q_norm`` and ``k_norm``, which are there whether they do anything or not.
"""

from typing import ClassVar, Final

from jaxtyping import Float
from torch import Tensor, nn

from pomt_ref.vision.adapters.kind import Kind, forward_of
from pomt_ref.vision.attending import QueriesKeys
from pomt_ref.vision.capturing import Capture, Swap
from pomt_ref.vision.splicing import PreNormSplice

ATTENTIONS: Final = ("timm.layers.attention.Attention", "timm.models.vision_transformer.Attention")
"""Plain multi-head attention, where timm 1.0 has had it."""

PARTS: Final = ("norm1", "attn", "norm2", "drop_path2")
"""What a block is made of, as far as patching needs it."""

ATTENTION_PARTS: Final = ("qkv", "attn_drop", "proj", "num_heads", "fused_attn")
"""What its attention is made of."""

STREAMING_PARTS: Final = ("q_norm", "k_norm", "scale")
"""What there has to be as well, where queries and keys are read."""


class TimmCapture(Capture):
    """Reads ``timm.layers.attention.Attention``."""

    of_matrix: ClassVar[frozenset[str]] = frozenset({"joint", "attn"})
    of_queries: ClassVar[frozenset[str]] = frozenset({"joint", "queries", "keys"})

    def __init__(self, attention: nn.Module, *, streaming: bool = False) -> None:
        super().__init__(streaming=streaming)
        self.module = attention

    def attach(self) -> None:
        """Turn the fused kernel on or off; hook into the joint map, the projection, and what is read between them."""
        self.swaps.append(Swap(self.module, "fused_attn", self.streaming))
        part = self.module.get_submodule
        self.handles.append(part("qkv").register_forward_hook(self.see_joint))
        if self.streaming:
            self.handles.append(part("q_norm").register_forward_hook(self.see_queries))
            self.handles.append(part("k_norm").register_forward_hook(self.see_keys))
        else:
            self.handles.append(part("attn_drop").register_forward_pre_hook(self.see_attention))
        self.handles.append(part("proj").register_forward_pre_hook(self.see_mixed))

    def see_joint(self, _module: nn.Module, _arguments: tuple[Tensor, ...], output: Tensor) -> None:
        """Queries, keys and values side by side."""
        self.seen["joint"] = output

    def see_attention(self, _module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        """The softmax, on its way into the dropout."""
        self.seen["attn"] = arguments[0]

    def see_queries(self, _module: nn.Module, _arguments: tuple[Tensor, ...], output: Tensor) -> None:
        """The queries, normed."""
        self.seen["queries"] = output

    def see_keys(self, _module: nn.Module, _arguments: tuple[Tensor, ...], output: Tensor) -> None:
        """The keys, normed."""
        self.seen["keys"] = output

    def see_mixed(self, _module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        """A v, heads side by side, on its way into the projection."""
        self.seen["mixed"] = arguments[0]

    def attention(self) -> Float[Tensor, "batch heads tokens tokens"]:
        """The softmax that came to the dropout."""
        return self.seen["attn"]

    def queries_and_keys(self) -> QueriesKeys:
        """What came out of both norms, and the scale of the module."""
        return QueriesKeys(self.seen["queries"], self.seen["keys"], vars(self.module)["scale"])

    def values(self) -> Float[Tensor, "batch heads tokens features"]:
        """The last third of the joint map."""
        v: Tensor = self.seen["joint"].unflatten(-1, (3, vars(self.module)["num_heads"], -1))[:, :, 2]
        return v.transpose(1, 2)

    def mixed(self, product: Float[Tensor, "batch tokens channels"]) -> tuple[Tensor, Tensor]:
        """What the projection got, and the product itself."""
        return self.seen["mixed"], product


class TimmKind(Kind):
    """``timm.models.vision_transformer.Block`` with plain attention."""

    names: ClassVar[tuple[str, ...]] = ("timm.models.vision_transformer.Block",)

    def refusal(self, block: nn.Module) -> str | None:
        """Another attention, a gate, or a norm between A v and the projection; parts that are not there."""
        if missing := [name for name in PARTS if not hasattr(block, name)]:
            return f"no {', '.join(missing)}"
        attention = block.get_submodule("attn")
        if forward_of(attention) not in ATTENTIONS:
            return f"attn is {forward_of(attention)}"
        if missing := [name for name in ATTENTION_PARTS if not hasattr(attention, name)]:
            return f"attn has no {', '.join(missing)}"
        if not isinstance(getattr(attention, "norm", None), nn.Identity | None):
            return "a norm between attention and projection (scale_attn_norm)"
        if getattr(attention, "gate", None) is not None:
            return "a gate on the attention (gated)"
        return None

    def streaming_refusal(self, block: nn.Module) -> str | None:
        """Parts that are not there."""
        missing = [name for name in STREAMING_PARTS if not hasattr(block.get_submodule("attn"), name)]
        return f"attn has no {', '.join(missing)}" if missing else None

    def splice(self, block: nn.Module, *, streaming: bool = False) -> PreNormSplice:
        """Between the residuals: ``norm2`` reads the tokens, ``drop_path2`` ends the MLP."""
        capture = TimmCapture(block.get_submodule("attn"), streaming=streaming)
        norm, branch = block.get_submodule("norm2"), block.get_submodule("drop_path2")
        return PreNormSplice(block, capture, norm=norm, branch=branch)

    def prefix(self, owner: nn.Module) -> int | None:
        """Class, distillation and register tokens: ``num_prefix_tokens``."""
        return getattr(owner, "num_prefix_tokens", None)

    def shape(self, owner: nn.Module, model: nn.Module, *, tokens: int) -> tuple[int, ...] | None:  # noqa: ARG002 -- an image, whatever is around the owner
        """The image that the patch embedding was made for."""
        embedding = getattr(owner, "patch_embed", None)
        size, weight = getattr(embedding, "img_size", None), getattr(getattr(embedding, "proj", None), "weight", None)
        channels = getattr(owner, "in_chans", None if weight is None else weight.shape[1])
        return None if size is None or channels is None else (1, channels, *size)
