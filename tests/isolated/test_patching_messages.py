"""What patching refuses, word for word: models, blocks, counts, options, and how a patched model is called.

These run without the run-time checker of annotations, which would refuse some of these calls first, in its own words.
"""

import copy
import re
from collections.abc import Callable
from typing import Any, Final

import pytest
import torch
from torch import Tensor, nn

from pomt_ref import CountError, DeviceError, KindError, OptionError, PomtError, ShapeError, ValuesError
from pomt_ref.vision.adapters import SUPPORTED
from pomt_ref.vision.errors import ModelError
from pomt_ref.vision.patching import patch
from pomt_ref.vision.restoring import dense_scatter, restore_order
from pomt_ref.vision.vit import DigitsViT
from tests.real_models import encoder, hugging_face_model, images_for, import_timm, import_transformers, timm_model

UNDERSTOOD: Final = f"blocks that are understood ({SUPPORTED})"
PLAIN: Final = f"{UNDERSTOOD}, with plain attention after softmax (CHOOSE-3)"
TIMM: Final = "timm.models.vision_transformer"
NOT_SAID: Final = "got a model that does not say its own"

KEPT: Final = torch.tensor([[3, 1]])
DISCARDED: Final = torch.tensor([[4, 2]])
X: Final = torch.tensor([[[9.0], [3.0], [1.0], [7.5]]])


def refused(call: Callable[[], object], kind: type[PomtError], message: str) -> None:
    """The error, and all of its message."""
    with pytest.raises(kind, match=f"^{re.escape(message)}$") as caught:
        call()
    assert type(caught.value) is kind


def vit(**options: Any) -> Any:  # noqa: ANN401 -- a model without types
    """Three blocks, 16 patches and a class token."""
    return timm_model("ViT", **options)


class TestModels:
    """A model that is not understood is refused by name, with the list of what is."""

    @pytest.mark.parametrize(
        ("model", "got"),
        [
            (lambda: nn.Linear(2, 2), "Linear without blocks or layers"),
            (lambda: import_timm().create_model("resnet10t"), "ResNet without blocks or layers"),
            (
                lambda: import_timm().create_model("eva02_tiny_patch14_224", depth=2),
                "Eva with blocks of timm.models.eva.EvaBlock",
            ),
            (
                lambda: import_timm().create_model("vit_small_patch16_rope_224", depth=2, embed_dim=48, num_heads=3),
                "Eva with blocks of timm.models.eva.EvaBlock",
            ),
            (
                lambda: import_timm().create_model("beit_base_patch16_224", depth=1, embed_dim=48, num_heads=3),
                "Beit with blocks of timm.models.beit.Block",
            ),
            (
                lambda: vit(block_fn=import_timm().models.vision_transformer.ResPostBlock),
                f"VisionTransformer with blocks of {TIMM}.ResPostBlock",
            ),
            (
                lambda: vit(block_fn=import_timm().models.vision_transformer.ParallelScalingBlock),
                f"VisionTransformer with blocks of {TIMM}.ParallelScalingBlock",
            ),
            (
                lambda: nn.TransformerDecoder(nn.TransformerDecoderLayer(24, 4), 2),
                "TransformerDecoder with blocks of torch.nn.modules.transformer.TransformerDecoderLayer",
            ),
        ],
    )
    def test_unknown_model(self, model: Callable[[], nn.Module], got: str) -> None:
        refused(lambda: patch(model(), remove=1), ModelError, f"patch: expected {UNDERSTOOD} (CHOOSE-3), got {got}")

    @pytest.mark.long
    def test_unknown_layers_of_transformers(self) -> None:
        transformers = import_transformers()
        sizes = {"hidden_size": 48, "num_hidden_layers": 1, "num_attention_heads": 3}
        model = transformers.Dinov2Model(transformers.Dinov2Config(**sizes, image_size=28, patch_size=14))
        name = "transformers.models.dinov2.modeling_dinov2.Dinov2Layer"
        got = f"Dinov2Model with blocks of {name}"
        refused(lambda: patch(model, remove=1), ModelError, f"patch: expected {UNDERSTOOD} (CHOOSE-3), got {got}")

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({"attn_layer": "diff"}, "attn is timm.layers.diff_attention.DiffAttention"),
            ({"scale_attn_norm": True}, "a norm between attention and projection (scale_attn_norm)"),
        ],
    )
    def test_unknown_attention(self, options: dict[str, object], reason: str) -> None:
        message = f"patch: expected {PLAIN}, got block 0 of {TIMM}.Block: {reason}"
        refused(lambda: patch(vit(**options), remove=1), ModelError, message)

    def test_gate_on_the_attention(self) -> None:
        model = vit()
        model.blocks[1].attn.gate = nn.Linear(48, 48)
        message = f"patch: expected {PLAIN}, got block 1 of {TIMM}.Block: a gate on the attention (gated)"
        refused(lambda: patch(model, remove=1), ModelError, message)

    def test_missing_parts(self) -> None:
        model = vit()
        del model.blocks[1].norm2
        message = f"patch: expected {PLAIN}, got block 1 of {TIMM}.Block: no norm2"
        refused(lambda: patch(model, remove=1), ModelError, message)
        model = vit()
        del model.blocks[2].attn.attn_drop
        message = f"patch: expected {PLAIN}, got block 2 of {TIMM}.Block: attn has no attn_drop"
        refused(lambda: patch(model, remove=1), ModelError, message)

    def test_block_with_a_forward_of_its_own(self) -> None:
        model = vit()
        model.blocks[1].forward = lambda x: x
        got = f"block 1 is {TIMM}.Block with a forward of its own"
        refused(lambda: patch(model, remove=1), ModelError, f"patch: expected {UNDERSTOOD} (CHOOSE-3), got {got}")

    def test_one_block_of_another_class(self) -> None:
        class Strange(type(vit().blocks[0])):  # type: ignore[misc] # a class of timm, which has no types here
            def forward(self, x: Tensor) -> Tensor:
                return x

        class Renamed(type(vit().blocks[0])):  # type: ignore[misc] # as above
            """The same forward under another name is understood."""

        model = vit()
        model.blocks[2].__class__ = Renamed
        patch(model, remove=1).unpatch()
        model.blocks[2].__class__ = Strange
        got = f"block 2 is {__name__}.TestModels.test_one_block_of_another_class.<locals>.Strange"
        refused(lambda: patch(model, remove=1), ModelError, f"patch: expected {UNDERSTOOD} (CHOOSE-3), got {got}")

    def test_one_module_at_two_places_of_the_mlp(self) -> None:
        model = vit()
        model.blocks[1].ls2 = model.blocks[1].drop_path2 = nn.Identity()
        expected = "a module at the end of the MLP that runs once after the norm"
        refused(
            lambda: patch(model, remove=2, layer=1),
            ModelError,
            f"patch: expected {expected} (CHOOSE-3), got one that runs twice",
        )

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({"kdim": 5}, "self_attn with kdim or vdim"),
            ({"add_bias_kv": True}, "self_attn with add_bias_kv or add_zero_attn"),
            ({"add_zero_attn": True}, "self_attn with add_bias_kv or add_zero_attn"),
        ],
    )
    def test_unusual_multihead_attention(self, options: dict[str, Any], reason: str) -> None:
        model: Any = encoder(norm_first=True, batch_first=True)
        model.layers[1].self_attn = nn.MultiheadAttention(24, 4, **options)
        name = "torch.nn.modules.transformer.TransformerEncoderLayer"
        message = f"patch: expected {PLAIN}, got block 1 of {name}: {reason}"
        refused(lambda: patch(model, remove=1, prefix=0), ModelError, message)
        model.layers[1].self_attn = nn.Identity()
        reason = "self_attn is torch.nn.modules.linear.Identity"
        message = f"patch: expected {PLAIN}, got block 1 of {name}: {reason}"
        refused(lambda: patch(model, remove=1, prefix=0), ModelError, message)

    def test_layers_of_another_transformers(self) -> None:
        model = hugging_face_model("ViT")
        name = "transformers.models.vit.modeling_vit.ViTLayer"
        layer = model.vit.layers[0]
        attention, layer.attention = layer.attention, nn.ModuleDict({"v_proj": nn.Identity(), "o_proj": nn.Identity()})
        message = f"patch: expected {PLAIN}, got block 0 of {name}: attention is torch.nn.modules.module.Module"
        refused(lambda: patch(model, remove=1), ModelError, message)
        layer.attention = attention
        del layer.dropout
        message = f"patch: expected {PLAIN}, got block 0 of {name}: no dropout (transformers has them since 5.9)"
        refused(lambda: patch(model, remove=1), ModelError, message)

    def test_layers_of_transformers_before_they_were_rearranged(self) -> None:
        """They are found under another name, and what is missing is said, rather than that they are unknown."""
        model = hugging_face_model("ViT").vit
        model.layer = model.layers
        del model.layers, model.layer[0].attention.v_proj, model.layer[0].mlp
        name = "transformers.models.vit.modeling_vit.ViTLayer"
        reason = "no attention.v_proj, mlp (transformers has them since 5.9)"
        message = f"patch: expected {PLAIN}, got block 0 of {name}: {reason}"
        refused(lambda: patch(model, remove=1), ModelError, message)

    def test_queries_and_keys_that_cannot_be_read(self) -> None:
        """With ``streaming=True``: blocks that are understood, and would make the matrix all the same."""
        expected = "patch: expected streaming=False, or blocks whose queries and keys can be read (CHOOSE-3)"
        got = "block 0 of pomt_ref.vision.vit.Block: its forward makes the matrix, to be read"
        refused(lambda: patch(DigitsViT(), remove=1, streaming=True), ModelError, f"{expected}, got {got}")
        model = vit()
        del model.blocks[1].attn.q_norm, model.blocks[1].attn.scale
        got = f"block 1 of {TIMM}.Block: attn has no q_norm, scale"
        refused(lambda: patch(model, remove=1, streaming=True), ModelError, f"{expected}, got {got}")
        layers = hugging_face_model("ViT")
        del layers.vit.layers[2].attention.scaling
        got = "block 2 of transformers.models.vit.modeling_vit.ViTLayer: attention has no scaling"
        refused(lambda: patch(layers, remove=1, streaming=True), ModelError, f"{expected}, got {got}")
        eva = import_timm().create_model("eva02_tiny_patch14_224", depth=2)
        got = "Eva with blocks of timm.models.eva.EvaBlock"
        refused(
            lambda: patch(eva, remove=1, streaming=True),
            ModelError,
            f"patch: expected {UNDERSTOOD} (CHOOSE-3), got {got}",
        )

    def test_several_encoders(self) -> None:
        both = nn.ModuleDict({"a": vit(), "b": vit()})
        message = "patch: expected one sequence of transformer blocks (CHOOSE-3), got 2 (a, b)"
        refused(lambda: patch(both, remove=1), ModelError, message)
        outer: Any = encoder(norm_first=True, batch_first=True)
        outer.inner = encoder(norm_first=True, batch_first=True)
        message = "patch: expected one sequence of transformer blocks (CHOOSE-3), got 2 (the model itself, inner)"
        refused(lambda: patch(outer, remove=1), ModelError, message)

    def test_no_model(self) -> None:
        refused(lambda: patch(5, remove=1), KindError, "patch: expected a torch.nn.Module (CHOOSE-3), got int")  # type: ignore[arg-type] # on purpose

    def test_model_without_values(self) -> None:
        message = "patch: expected a model with values (CHOOSE-3), got parameters on the meta device"
        refused(lambda: patch(vit().to("meta"), remove=1), DeviceError, message)

    @pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")
    @pytest.mark.parametrize("place", [pytest.param("whole", marks=pytest.mark.long), "block"])
    def test_compiled_model(self, place: str) -> None:
        model = vit()
        name = "OptimizedModule"
        if place == "block":
            model.blocks[0].compile()
            name = "Block"
        given: Any = torch.compile(model) if place == "whole" else model
        message = f"patch: expected a model that is compiled after it is patched (CHOOSE-3), got a compiled {name}"
        refused(lambda: patch(given, remove=1), ModelError, message)

    def test_block_that_runs_twice(self) -> None:
        model = vit()
        model.blocks = nn.Sequential(model.blocks[0], model.blocks[0])
        message = "patch: expected a model that runs every block once (CHOOSE-3), got 2 passes through block 0"
        refused(lambda: patch(model, remove=1), ModelError, message)

    def test_model_that_needs_all_tokens(self) -> None:
        class Map(type(vit())):  # type: ignore[misc] # a class of timm, which has no types here
            def forward_head(self, x: Tensor) -> Tensor:
                return x.reshape(len(x), 17, 48)

        model = vit()
        model.__class__ = Map
        expected = "a model that also works with fewer tokens in its later parts (CHOOSE-3)"
        got = "RuntimeError: shape '[1, 17, 48]' is invalid for input of size 768"
        refused(lambda: patch(model, remove=1), ModelError, f"patch: expected {expected}, got {got}")
        assert model(images_for(model)).shape == (2, 17, 48), "it is unpatched"

    def test_example_that_does_not_fit(self) -> None:
        model = vit()
        expected = "a model that runs on an example of shape (1, 3, 8, 8) (CHOOSE-3)"
        message = f"patch: expected {expected}, got AssertionError: Input height (8) doesn't match model (64)."
        refused(lambda: patch(model, remove=1, example=torch.zeros(1, 3, 8, 8)), ModelError, message)
        message = "patch: expected example, a torch.Tensor (CHOOSE-3), got list"
        refused(lambda: patch(model, remove=1, example=[1]), KindError, message)  # type: ignore[arg-type] # on purpose
        patch(model, remove=1).unpatch()

    def test_model_that_says_too_little(self) -> None:
        model = vit()
        del model.num_prefix_tokens
        message = f"patch: expected prefix=, the number of prefix tokens (CHOOSE-3), {NOT_SAID}"
        refused(lambda: patch(model, remove=1), OptionError, message)
        bare = encoder(norm_first=True, batch_first=True)
        refused(lambda: patch(bare, remove=1), OptionError, message)
        message = f"patch: expected example=, an input to try the model on (CHOOSE-3), {NOT_SAID}"
        refused(lambda: patch(nn.Sequential(bare), remove=1, prefix=0), OptionError, message)
        refused(lambda: patch(bare, remove=10**9, prefix=0), OptionError, message)
        model = vit()
        model.patch_embed.img_size = None
        refused(lambda: patch(model, remove=1), OptionError, message)

    def test_model_of_torch_layers_that_says_how_it_is_tried(self) -> None:
        model = Classifier()
        message = f"patch: expected prefix=, the number of prefix tokens (CHOOSE-3), {NOT_SAID}"
        refused(lambda: patch(model, remove=1), OptionError, message)
        model.num_prefix_tokens = 1
        message = f"patch: expected example=, an input to try the model on (CHOOSE-3), {NOT_SAID}"
        refused(lambda: patch(model, remove=1), OptionError, message)
        model.image_shape = (3, 8, 8)
        patched = patch(model, remove=5)
        assert patched(torch.rand(2, 3, 8, 8)).shape == (2, 24)
        assert (patched.steps[0].prefix, patched.steps[0].tokens_before, patched.steps[0].tokens_after) == (1, 17, 12)
        patched.unpatch()

    @pytest.mark.parametrize("said", [(3, 0, 8), (3, 8.0, 8), 8, "388", ()])
    def test_image_shape_that_is_none(self, said: object) -> None:
        model = Classifier()
        model.num_prefix_tokens, model.image_shape = 1, said
        message = f"patch: expected image_shape, (channels, rows, columns) (CHOOSE-3), got image_shape={said!r}"
        refused(lambda: patch(model, remove=1), OptionError, message)


class Classifier(nn.Module):
    """Blocks of torch in a model that is not torch's: a class token and the patches of an image, 2 x 2 pixels each."""

    num_prefix_tokens: object = None
    image_shape: object = None

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Conv2d(3, 24, kernel_size=2, stride=2)
        self.blocks = encoder(norm_first=True, batch_first=True).layers

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Whatever the class token is in the end."""
        tokens = self.embedding(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([tokens.mean(dim=1, keepdim=True), tokens], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        logits: torch.Tensor = tokens[:, 0]
        return logits


class TestArguments:
    """R, layers, prefix and options out of range: the message says what is allowed."""

    @pytest.mark.parametrize(
        ("options", "kind", "message"),
        [
            ({"remove": 16}, CountError, "patch at layer 0: expected 0 <= remove <= 15 (POMT-COUNT-1), got remove=16 (tokens=17, prefix=1)"),
            ({"remove": -1}, CountError, "patch at layer 0: expected 0 <= remove <= 15 (POMT-COUNT-1), got remove=-1 (tokens=17, prefix=1)"),
            ({"remove": 17, "method": "topk"}, CountError, "patch at layer 0: expected 0 <= remove <= 16 (POMT-COUNT-1), got remove=17 (tokens=17, prefix=1)"),
            ({"remove": [2, 0, 14]}, CountError, "patch at layer 2: expected 0 <= remove <= 13 (POMT-COUNT-1), got remove=14 (tokens=15, prefix=1)"),
            ({"remove": True}, KindError, "patch: expected remove, an int or a sequence of ints (CHOOSE-3), got remove=True"),
            ({"remove": 2.5}, KindError, "patch: expected remove, an int or a sequence of ints (CHOOSE-3), got remove=2.5"),
            ({"remove": "5"}, KindError, "patch: expected remove, an int or a sequence of ints (CHOOSE-3), got remove='5'"),
            ({"remove": [1, 2]}, OptionError, "patch: expected one remove for each of 3 layers (CHOOSE-3), got remove=[1, 2]"),
            ({"remove": [1, 2], "layer": 1}, OptionError, "patch: expected one remove for each of 1 layers (CHOOSE-3), got remove=[1, 2]"),
            ({"remove": 1, "layer": []}, OptionError, "patch: expected one layer or more (CHOOSE-3), got layer=[]"),
            ({"remove": 1, "layer": 3}, CountError, "patch: expected 0 <= layer <= 2 (CHOOSE-3), got layer=3"),
            ({"remove": 1, "layer": -1}, CountError, "patch: expected 0 <= layer <= 2 (CHOOSE-3), got layer=-1"),
            ({"remove": 1, "layer": 0.0}, KindError, "patch: expected layer, an int or a sequence of ints (CHOOSE-3), got layer=0.0"),
            ({"remove": 1, "layer": [1, 1]}, OptionError, "patch: expected every layer once (CHOOSE-3), got layer=[1, 1]"),
            ({"remove": 1, "method": "tome"}, OptionError, "patch: expected method in ('pomt', 'topk', 'evit') (CHOOSE-3), got method='tome'"),
            ({"remove": 1, "method": ["pomt"]}, OptionError, "patch: expected method in ('pomt', 'topk', 'evit') (CHOOSE-3), got method=['pomt']"),
            ({"remove": 1, "ties": "upper"}, OptionError, "patch: expected ties in ('lower', 'any') (CHOOSE-3), got ties='upper'"),
            ({"remove": 1, "check": "all"}, OptionError, "patch: expected check in ('values', 'shapes', 'none') (POMT-PRUNE-1), got check='all'"),
            ({"remove": 1, "normalisation": "all"}, OptionError, "patch: expected normalisation in ('batch', 'sample') (POMT-ATT-2), got normalisation='all'"),
            ({"remove": 1, "normalise": 1}, OptionError, "patch: expected normalise, a bool (EVIT-1), got normalise=1"),
            ({"remove": 1, "streaming": 1}, OptionError, "patch: expected streaming, a bool (CHOOSE-3), got streaming=1"),
            ({"remove": 1, "method": "evit", "class_index": 1}, CountError, "patch: expected 0 <= class_index <= 0 (SIB-1), got class_index=1"),
            ({"remove": 1, "method": "topk", "prefix": 0}, CountError, "patch: expected prefix >= 1 (SIB-1), got prefix=0"),
            ({"remove": 1, "prefix": 17}, CountError, "patch: expected 0 <= prefix <= 16 (CHOOSE-3), got prefix=17 (tokens=17)"),
            ({"remove": 1, "prefix": -1}, KindError, "patch: expected prefix, an int of zero or more (CHOOSE-3), got prefix=-1"),
            ({"remove": 1, "prefix": True}, KindError, "patch: expected prefix, an int of zero or more (CHOOSE-3), got prefix=True"),
        ],
    )  # fmt: skip
    def test_argument(self, options: dict[str, Any], kind: type[PomtError], message: str) -> None:
        model = vit()
        refused(lambda: patch(model, **options), kind, message)
        patch(model, remove=15).unpatch()

    def test_full_size(self) -> None:
        model = vit(img_size=224, depth=1)
        got = "got remove=196 (tokens=197, prefix=1)"
        message = f"patch at layer 0: expected 0 <= remove <= 195 (POMT-COUNT-1), {got}"
        refused(lambda: patch(model, remove=196), CountError, message)


class TestCalls:
    """A patched model is patched once, unpatched once, and given what it can prune."""

    def test_patched_twice(self) -> None:
        model = vit()
        patched = patch(model, remove=1)
        message = "patch: expected an unpatched model: unpatch it first (CHOOSE-3), got one that is patched already (in Block)"
        for again in (model, patched, copy.deepcopy(model), nn.Sequential(model)):
            refused(lambda again=again: patch(again, remove=1, example=images_for(model)), ModelError, message)  # type: ignore[misc] # a default binds it
        patched.unpatch()
        patch(model, remove=1)
        digits = patch(DigitsViT(), remove=1)
        refused(lambda: patch(digits, remove=1), ModelError, message)

    def test_unpatched_twice(self) -> None:
        patched = patch(vit(), remove=1)
        patched.unpatch()
        refused(
            patched.unpatch,
            OptionError,
            "unpatch: expected a patched model (CHOOSE-3), got one that is unpatched already",
        )

    def test_image_too_small_for_remove(self) -> None:
        patched = patch(vit(dynamic_img_size=True), remove=5)
        got = "got remove=5 (tokens=3, prefix=1)"
        message = f"patch at layer 0: expected 0 <= remove <= 1 (POMT-COUNT-1), {got}"
        refused(lambda: patched(torch.zeros(1, 3, 32, 16)), CountError, message)
        assert patched(torch.randn(1, 3, 64, 64)).shape == (1, 10)

    def test_values_outside_the_specification(self) -> None:
        patched = patch(vit(), remove=5)
        message = "prune: expected finite x (POMT-PRUNE-1), got x[0, 0, 0] = nan"
        with torch.no_grad():
            refused(lambda: patched(torch.full((1, 3, 64, 64), torch.nan)), ValuesError, message)
            patched.unpatch()
            assert patch(patched.model, remove=5, check="none")(torch.full((1, 3, 64, 64), torch.nan)).isnan().all()

    def test_another_device(self) -> None:
        patched = patch(vit(), remove=5)
        message = "patch: expected inputs on the device of the model (cpu) (POMT-PREC-1), got meta"
        refused(lambda: patched(torch.zeros(1, 3, 64, 64, device="meta")), DeviceError, message)
        refused(lambda: patched(x=torch.zeros(1, 3, 64, 64, device="meta")), DeviceError, message)

    def test_masks(self) -> None:
        patched = patch(vit(), remove=5)
        images = torch.zeros(1, 3, 64, 64)
        message = "patch: expected a pruned block without mask (CHOOSE-3), got {}"
        mask = torch.ones(17, 17, dtype=torch.bool)
        refused(lambda: patched(images, attn_mask=mask), OptionError, message.format("attn_mask"))
        refused(lambda: patched(images, is_causal=True), OptionError, message.format("is_causal"))
        patched = patch(encoder(norm_first=False, batch_first=True), remove=5, prefix=0)
        padding = torch.zeros(1, 9, dtype=torch.bool)
        given = torch.zeros(1, 9, 24)
        refused(
            lambda: patched(given, src_key_padding_mask=padding), OptionError, message.format("src_key_padding_mask")
        )

    def test_attention_after_dropout(self) -> None:
        patched = patch(encoder(norm_first=True, batch_first=True).train(), remove=5, prefix=0)
        message = "patch: expected attention without dropout (POMT-ATT-1), got {} in training"
        refused(lambda: patched(torch.randn(1, 9, 24)), OptionError, message.format("dropout=0.1"))
        patched = patch(hugging_face_model("ViT", attention_probs_dropout_prob=0.1).train(), remove=5)
        name = "attention_probs_dropout_prob=0.1"
        refused(lambda: patched(torch.randn(1, 3, 32, 32)), OptionError, message.format(name))
        assert patched.eval()(torch.randn(1, 3, 32, 32)).logits.shape == (1, 10)

    def test_a_step_of_the_callers_own(self) -> None:
        model = DigitsViT()
        patched = patch(model, remove=5)
        message = "patch: expected a pruned block without prune_step (CHOOSE-3), got a prune_step in the call"
        refused(lambda: patched(torch.zeros(1, 8, 8), prune_step=lambda x, _a, _v: x), OptionError, message)

    def test_block_that_runs_otherwise(self) -> None:
        model = vit()
        patched = patch(model, remove=5)
        block = model.blocks[0]
        norm, block.norm2 = block.norm2, nn.Identity()
        message = (
            "patch: expected attention, then norm, then MLP (CHOOSE-3), got a pass of the block in which one of them "
            "did not run"
        )
        refused(lambda: patched(images_for(model)), ModelError, message)
        block.norm2 = norm
        attention, block.attn = block.attn, nn.Identity()
        del attention
        block.attn.forward = lambda x, **_: x  # pyright: ignore[reportAttributeAccessIssue] -- on purpose
        message = "patch: expected attention before the second norm (CHOOSE-3), got a block that runs otherwise"
        refused(lambda: patched(images_for(model)), ModelError, message)


class TestRestoring:
    """POMT-PRUNE-4: a sequence and the indices of its rows belong together."""

    @pytest.mark.parametrize("function", [restore_order, dense_scatter])
    @pytest.mark.parametrize(
        ("changed", "kind", "message"),
        [
            ({"x": [1.0]}, KindError, "expected x, a torch.Tensor (POMT-PRUNE-4), got list"),
            ({"x": X[0]}, ShapeError, "expected x of shape (batch, tokens, channels) (POMT-PRUNE-4), got (4, 1)"),
            ({"prefix": 1.0}, KindError, "expected prefix, an int (POMT-PRUNE-4), got prefix=1.0"),
            ({"prefix": 5}, CountError, "expected 0 <= prefix <= 4 (POMT-PRUNE-4), got prefix=5 (x (1, 4, 1))"),
            ({"prefix": 0}, ShapeError, "expected x of 2 or 3 rows (prefix=0, kept (1, 2)) (POMT-PRUNE-4), got x (1, 4, 1)"),
            ({"kept": [3, 1]}, KindError, "expected kept, an int64 tensor (POMT-PRUNE-4), got list"),
            ({"kept": KEPT.int()}, KindError, "expected kept, an int64 tensor (POMT-PRUNE-4), got kept torch.int32"),
            ({"kept": KEPT.repeat(2, 1)}, ShapeError, "expected kept of shape (1, rows), as x has 1 samples (POMT-PRUNE-4), got (2, 2)"),
            ({"kept": KEPT.to("meta")}, DeviceError, "expected kept and x on one device (POMT-PRUNE-4), got kept on meta, x on cpu"),
            ({"check": "some"}, OptionError, "expected check in ('values', 'shapes', 'none') (POMT-PRUNE-1), got check='some'"),
        ],
    )  # fmt: skip
    def test_sequence(
        self, function: Callable[..., Tensor], changed: dict[str, Any], kind: type[PomtError], message: str
    ) -> None:
        more = {"discarded": DISCARDED} if function is dense_scatter else {}
        valid = {"x": X, "kept": KEPT, **more}
        function(**valid)
        refused(lambda: function(**{**valid, **changed}), kind, f"{function.__name__}: {message}")

    def test_rows(self) -> None:
        twice = torch.tensor([[3, 3]])
        message = "restore_order: expected kept: rows of patches, 1 or above, each once (POMT-PRUNE-4), got [3, 3]"
        refused(lambda: restore_order(X, twice), ValuesError, message)
        below = torch.tensor([[3, 0]])
        message = "restore_order: expected kept: rows of patches, 1 or above, each once (POMT-PRUNE-4), got [0, 3]"
        refused(lambda: restore_order(X, below), ValuesError, message)
        message = (
            "dense_scatter: expected kept and discarded: every patch row from 1 to 4 once (POMT-PRUNE-4), "
            "got [2, 3, 3, 4]"
        )
        refused(lambda: dense_scatter(X, twice, DISCARDED), ValuesError, message)

    @pytest.mark.parametrize(
        ("fill", "dtype", "error", "told"),
        [
            ("a", torch.float32, KindError, "expected fill, a number or None (POMT-PRUNE-4), got fill='a'"),
            (1j, torch.float32, KindError, "expected fill, a number or None (POMT-PRUNE-4), got fill=1j"),
            (True, torch.float32, KindError, "expected fill, a number or None (POMT-PRUNE-4), got fill=True"),
            (
                float("nan"),
                torch.float32,
                ValuesError,
                "expected fill, a number that torch.float32 holds (POMT-PRUNE-4), got fill=nan",
            ),
            (
                1e9,
                torch.float16,
                ValuesError,
                "expected fill, a number that torch.float16 holds (POMT-PRUNE-4), got fill=1000000000.0",
            ),
        ],
    )
    def test_what_no_row_can_hold(self, fill: float, dtype: torch.dtype, error: type[PomtError], told: str) -> None:
        refused(lambda: dense_scatter(X.to(dtype), KEPT, DISCARDED, fill=fill), error, f"dense_scatter: {told}")

    def test_nothing_to_fill_with(self) -> None:
        message = "dense_scatter: expected fill, a number, where no row was appended (POMT-PRUNE-4), got fill=None"
        refused(lambda: dense_scatter(X[:, :3], KEPT, DISCARDED), OptionError, message)
