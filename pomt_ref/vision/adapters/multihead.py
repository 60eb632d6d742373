"""Blocks around ``torch.nn.MultiheadAttention``: ``torch.nn.TransformerEncoderLayer`` and torchvision's ViT.

That module returns its attention when it is asked for, head by head; values, and queries and keys where they are read,
are computed from its weights again.
"""

from typing import ClassVar, Final, cast

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from pomt_ref.errors import OptionError
from pomt_ref.vision.adapters.kind import Kind, forward_of
from pomt_ref.vision.attending import QueriesKeys
from pomt_ref.vision.capturing import Capture
from pomt_ref.vision.splicing import HookedSplice, PostNormSplice, PreNormSplice

ATTENTION: Final = "torch.nn.modules.activation.MultiheadAttention"

LONGEST: Final = 2048
"""Tokens of a sequence that is made up to try an encoder on; its attention is that number squared."""


class MultiheadCapture(Capture):
    """Reads ``torch.nn.MultiheadAttention``."""

    of_matrix: ClassVar[frozenset[str]] = frozenset({"values", "attn"})
    of_queries: ClassVar[frozenset[str]] = frozenset({"values", "queries", "keys"})

    def __init__(self, attention: nn.MultiheadAttention, *, streaming: bool = False) -> None:
        super().__init__(streaming=streaming)
        self.module = attention

    def attach(self) -> None:
        """Ask for the attention of every head, and take it; or for none."""
        self.handles.extend(
            [
                self.module.register_forward_pre_hook(self.ask, with_kwargs=True),
                self.module.register_forward_hook(self.see, with_kwargs=True),
            ]
        )

    def ask(
        self, module: nn.MultiheadAttention, arguments: tuple[Tensor, ...], named: dict[str, object]
    ) -> tuple[tuple[Tensor, ...], dict[str, object]]:
        """Have the weights returned, not averaged over heads; or have none made.

        In evaluation torch has a path for queries, keys and values that are one object, which makes the matrix. Keys
        and values that are another view of the same numbers do not take it.

        Raises:
            OptionError: in training, what is returned has gone through a dropout, and is no attention after softmax.
        """
        if self.streaming:
            again = arguments[0].view_as(arguments[0])
            return (arguments[0], again, again, *arguments[3:]), {**named, "need_weights": False}
        if module.training and module.dropout > 0:
            got = f"dropout={module.dropout} in training"
            raise OptionError("patch", "POMT-ATT-1", "attention without dropout", got)
        return arguments, {**named, "need_weights": True, "average_attn_weights": False}

    def see(
        self,
        _module: nn.MultiheadAttention,
        arguments: tuple[Tensor, ...],
        _named: dict[str, object],
        output: tuple[Tensor, Tensor | None],
    ) -> tuple[Tensor, None]:
        """The attention that was asked for, of which the block gets none; what it is made of, computed again."""
        width, source = self.module.embed_dim, arguments[0]
        self.seen["mixed"], attention = output
        if attention is not None:
            self.seen["attn"] = attention
            self.seen["values"] = self.projected(source, slice(2 * width, None))
        else:
            self.seen["queries"] = self.projected(source, slice(width))
            both = self.projected(source, slice(width, None))  # at once, as the module does, and so to the bit
            self.seen["keys"], self.seen["values"] = both.chunk(2, dim=1)
        return output[0], None

    def projected(self, source: Tensor, rows: slice) -> Float[Tensor, "batch heads tokens features"]:
        """Some rows of the joint map of tokens, which lie along the first axis while the module computes it."""
        tokens = source.transpose(0, 1) if self.module.batch_first else source
        biases = cast("Tensor | None", self.module.in_proj_bias)  # torch says that it is always there
        bias = None if biases is None else biases[rows]
        made: Tensor = functional.linear(tokens, self.module.in_proj_weight[rows], bias)
        by_heads: Tensor = made.unflatten(-1, (-1, self.module.head_dim))
        return by_heads.permute(1, 2, 0, 3)

    def attention(self) -> Float[Tensor, "batch heads tokens tokens"]:
        """What the module returned."""
        return self.seen["attn"]

    def queries_and_keys(self) -> QueriesKeys:
        """Two thirds of the joint map, and the scale that torch takes: it can be told no other."""
        return QueriesKeys(self.seen["queries"], self.seen["keys"], float(self.module.head_dim**-0.5))

    def values(self) -> Float[Tensor, "batch heads tokens features"]:
        """The last third of the joint map."""
        return self.seen["values"]

    def mixed(self, product: Float[Tensor, "batch tokens channels"]) -> tuple[Tensor, Tensor]:
        """What the module returned, and the product after the same projection."""
        projection = self.module.out_proj
        projected = functional.linear(product, projection.weight, projection.bias)
        return self.seen["mixed"], projected if self.module.batch_first else projected.transpose(0, 1)


class MultiheadKind(Kind):
    """What both kinds of block have in common; the attention is the part of that name."""

    attention: ClassVar[str]

    def refusal(self, block: nn.Module) -> str | None:
        """Another attention, or one with keys and values of other sources or of its own making."""
        attention = getattr(block, self.attention, None)
        if not isinstance(attention, nn.MultiheadAttention) or forward_of(attention) != ATTENTION:
            return f"{self.attention} is {type(attention).__name__ if attention is None else forward_of(attention)}"
        joint = cast("Tensor | None", attention.in_proj_weight)
        if joint is None:
            return f"{self.attention} with kdim or vdim"
        if attention.bias_k is not None or attention.add_zero_attn:
            return f"{self.attention} with add_bias_kv or add_zero_attn"
        return None

    def streaming_refusal(self, block: nn.Module) -> str | None:  # noqa: ARG002 -- whatever is not refused can be read
        """Nothing: queries and keys are computed from the weights."""
        return None

    def capture(self, block: nn.Module, *, streaming: bool) -> MultiheadCapture:
        """The capture of its attention."""
        module = block.get_submodule(self.attention)
        assert isinstance(module, nn.MultiheadAttention)  # noqa: S101 -- what refusal has enforced
        return MultiheadCapture(module, streaming=streaming)


class EncoderLayerKind(MultiheadKind):
    """``torch.nn.TransformerEncoderLayer``, its norms before or after the residuals."""

    names: ClassVar[tuple[str, ...]] = ("torch.nn.modules.transformer.TransformerEncoderLayer",)
    attention: ClassVar[str] = "self_attn"

    def splice(self, block: nn.Module, *, streaming: bool = False) -> HookedSplice:
        """With norms first, before the second one; else after the first one."""
        capture = self.capture(block, streaming=streaming)
        first = capture.module.batch_first
        if getattr(block, "norm_first", False):
            norm, branch = block.get_submodule("norm2"), block.get_submodule("dropout2")
            return PreNormSplice(block, capture, norm=norm, branch=branch, batch_first=first)
        return PostNormSplice(block, capture, norm=block.get_submodule("norm1"), batch_first=first)

    def prefix(self, owner: nn.Module) -> int | None:  # noqa: ARG002 -- an encoder does not say
        """Not known: an encoder is given its tokens ready made."""
        return None

    def shape(self, owner: nn.Module, model: nn.Module, *, tokens: int) -> tuple[int, ...] | None:
        """An encoder alone is given tokens, as many as there are; of any other model nothing is known."""
        if model is not owner or tokens > LONGEST or not isinstance(owner, nn.TransformerEncoder):
            return None
        attention = getattr(owner.layers[0], self.attention)
        return (1, tokens, attention.embed_dim) if attention.batch_first else (tokens, 1, attention.embed_dim)


class TorchvisionKind(MultiheadKind):
    """``torchvision.models.vision_transformer.EncoderBlock``."""

    names: ClassVar[tuple[str, ...]] = ("torchvision.models.vision_transformer.EncoderBlock",)
    attention: ClassVar[str] = "self_attention"

    def splice(self, block: nn.Module, *, streaming: bool = False) -> HookedSplice:
        """Before the second norm."""
        norm, branch = block.get_submodule("ln_2"), block.get_submodule("mlp")
        return PreNormSplice(block, self.capture(block, streaming=streaming), norm=norm, branch=branch)

    def prefix(self, owner: nn.Module) -> int | None:  # noqa: ARG002 -- always the same
        """The class token."""
        return 1

    def shape(self, owner: nn.Module, model: nn.Module, *, tokens: int) -> tuple[int, ...] | None:  # noqa: ARG002 -- an image
        """The square image that the model around the encoder was made for."""
        size = getattr(model, "image_size", None)
        return None if size is None else (1, 3, size, size)
