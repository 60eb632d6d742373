"""Patched models against POMT in plain loops; what is read of a pass; and that nothing is left after unpatching."""

import copy
import pickle
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pytest
import torch
from torch import Tensor, nn

from pomt_ref import prune
from pomt_ref.oracle import score as oracle_score
from pomt_ref.vision.digits import load_model
from pomt_ref.vision.methods import Method
from pomt_ref.vision.patching import patch
from tests.patched_models import CLOSE, anatomy, distance, patched_model
from tests.plain_pomt import encoder_forward, hugging_face_forward, timm_forward, torchvision_forward
from tests.real_models import (
    FAMILIES,
    encoder,
    enliven,
    hugging_face_model,
    images_for,
    import_torchvision,
    timm_model,
)

each_family: Final = pytest.mark.parametrize("family", FAMILIES)


def plain(model: nn.Module, images: Tensor, removes: Mapping[int, int], method: Method = "pomt") -> Tensor:
    """What a model of timm says of images, its pruning in plain loops and all in float64."""
    return timm_forward(copy.deepcopy(model).double(), images.double(), removes, method)


def inputs_of(model: nn.Module, modules: Sequence[nn.Module], images: Tensor) -> list[Tensor]:
    """What modules are given in a pass, in the order in which they run."""
    seen: list[Tensor] = []
    handles = [module.register_forward_pre_hook(lambda _, given: seen.append(given[0])) for module in modules]
    with torch.no_grad():
        model(images)
    for handle in handles:
        handle.remove()
    return seen


class TestTimm:
    """CHOOSE-3: pruned between attention and MLP, the model says what POMT in plain loops says."""

    @pytest.mark.long
    @each_family
    def test_one_layer_as_in_plain_loops(self, family: str) -> None:
        model = timm_model(family)
        images = images_for(model)
        expected = plain(model, images, {1: 5})
        assert distance(plain(model, images, {}), expected) > 1e-2, "pruning has to matter"
        with patched_model(model, remove=5, layer=1) as patched, torch.no_grad():
            assert distance(patched(images), expected) <= CLOSE
            (step,) = patched.steps
        assert (step.layer, step.prefix) == (1, FAMILIES[family][2])
        assert step.tokens_before == step.prefix + 16
        assert step.tokens_after == step.tokens_before - 5

    @pytest.mark.long
    @each_family
    def test_every_layer_as_in_plain_loops(self, family: str) -> None:
        model = timm_model(family)
        images = images_for(model, 3)
        expected = plain(model, images, {0: 3, 2: 5})
        with patched_model(model, remove=[3, 0, 5]) as patched, torch.no_grad():
            assert (patched.layers, patched.removes) == ((0, 2), (3, 5))
            assert distance(patched(images), expected) <= CLOSE
            lengths = [(step.layer, step.tokens_before, step.tokens_after) for step in patched.steps]
        rows = 16 + FAMILIES[family][2]
        assert lengths == [(0, rows, rows - 3), (2, rows - 3, rows - 8)]

    @pytest.mark.long
    @pytest.mark.parametrize("method", ["topk", "evit"])
    @pytest.mark.parametrize("family", ["ViT", "DeiT distilled", "DINOv2 with registers"])
    def test_siblings_as_in_plain_loops(self, family: str, method: Method) -> None:
        model = timm_model(family)
        images = images_for(model)
        expected = plain(model, images, {1: 5}, method)
        assert distance(plain(model, images, {1: 5}), expected) > 1e-3, "the method has to matter"
        with patched_model(model, remove=5, layer=1, method=method) as patched, torch.no_grad():
            assert distance(patched(images), expected) <= CLOSE

    @pytest.mark.parametrize("remove", [1, 14, 15])
    def test_smallest_and_largest_remove(self, remove: int) -> None:
        model = timm_model("ViT")
        images = images_for(model)
        expected = plain(model, images, {1: remove})
        with patched_model(model, remove=remove, layer=1) as patched, torch.no_grad():
            assert distance(patched(images), expected) <= CLOSE
            assert patched.steps[0].kept.shape == (2, 15 - remove)

    def test_full_size_model(self) -> None:
        model = timm_model("ViT", embed_dim=192, depth=2, img_size=224)
        images = images_for(model, 1)
        expected = plain(model, images, {0: 56})
        with patched_model(model, remove=56) as patched, torch.no_grad():
            assert distance(patched(images), expected) <= 2 * CLOSE
            (step,) = patched.steps
        assert (step.layer, step.tokens_before, step.tokens_after) == (0, 197, 141)

    def test_options_reach_the_step(self) -> None:
        model = timm_model("ViT")
        images = images_for(model)
        alone = torch.cat([plain(model, image.unsqueeze(0), {1: 5}) for image in images])
        with patched_model(model, remove=5, layer=1, normalisation="sample") as patched, torch.no_grad():
            assert distance(patched(images), alone) <= CLOSE
        with patched_model(model, remove=5, method="evit") as patched, torch.no_grad():
            plain_weights = patched(images)
        with patched_model(model, remove=5, method="evit", normalise=True) as patched, torch.no_grad():
            assert distance(patched(images), plain_weights) > 1e-3

    def test_steps_are_those_of_the_reference(self) -> None:
        model = timm_model("DINOv2 with registers")
        images = images_for(model)
        seen: dict[str, Tensor] = {}
        block = model.blocks[1]
        block.attn.fused_attn = False
        handles = [
            block.attn.qkv.register_forward_hook(lambda _m, _i, out: seen.update(joint=out)),
            block.attn.attn_drop.register_forward_hook(lambda _m, _i, out: seen.update(attn=out)),
            block.norm2.register_forward_pre_hook(lambda _m, given: seen.update(x=given[0])),
        ]
        with torch.no_grad():
            model(images)
        for handle in handles:
            handle.remove()
        v = seen["joint"][:, :, 96:].unflatten(2, (3, 16)).transpose(1, 2)
        expected = prune(seen["x"], seen["attn"], v, prefix=5, remove=6)
        with patched_model(model, remove=6, layer=1) as patched, torch.no_grad():
            patched(images)
            (step,) = patched.steps
        assert torch.equal(step.kept, expected.kept)
        assert torch.equal(step.discarded, expected.discarded)
        assert torch.equal(step.scores, expected.scores)
        oracle = torch.from_numpy(oracle_score(seen["attn"].double().numpy(), v.double().numpy(), prefix=5))
        assert distance(step.scores, oracle) <= CLOSE

    def test_inputs_are_the_same_bits_up_to_the_pruned_attention(self) -> None:
        model = timm_model("DeiT3")
        images = images_for(model)
        modules = [model.blocks[0], model.blocks[1], model.blocks[1].norm1, model.blocks[1].attn.qkv]
        before = inputs_of(model, modules, images)
        with patched_model(model, remove=5, layer=1):
            after = inputs_of(model, modules, images)
        assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))

    def test_zero_is_the_identity(self) -> None:
        model = timm_model("ViT")
        images = images_for(model)
        untouched = anatomy(model)
        patched = patch(model, remove=0)
        assert anatomy(model) == untouched, "no hook, and the fused kernel still on"
        assert torch.equal(patched(images), model(images))
        assert patched.steps == ()
        assert (patched.layers, patched.removes) == ((), ())

    def test_default_layer_is_a_quarter_of_the_depth(self) -> None:
        for depth, layer in [(1, 0), (3, 0), (4, 1), (12, 3)]:
            with patched_model(timm_model("ViT", depth=depth), remove=5) as patched:
                assert patched.layers == (layer,)

    def test_other_image_sizes_prune_by_the_same_number(self) -> None:
        model = timm_model("ViT", dynamic_img_size=True)
        small, large = torch.randn(1, 3, 32, 48), torch.randn(2, 3, 80, 64)
        with patched_model(model, remove=5) as patched, torch.no_grad():
            for images, tokens in [(small, 7), (large, 21), (small, 7)]:
                expected = patched(images)
                assert (patched.steps[0].tokens_before, patched.steps[0].tokens_after) == (tokens, tokens - 5)
                assert torch.equal(patched(images), expected)

    def test_steps_are_those_of_the_last_pass(self) -> None:
        model = timm_model("ViT")
        patched = patch(model, remove=5)
        assert not patched.steps, "the example that it was tried on is forgotten"
        patched(images_for(model, 3))
        patched(images_for(model, 1))
        assert patched.steps[0].kept.shape == (1, 10)
        model(images_for(model, 2))
        assert patched.steps[0].kept.shape == (2, 10), "the hooks are in the model itself"
        with pytest.raises(AssertionError, match="Input height"):
            patched(torch.zeros(1, 3, 8, 8))
        assert not patched.steps

    def test_features_of_the_model_are_pruned_too(self) -> None:
        model = timm_model("ViT")
        with patched_model(model, remove=5) as patched:
            assert patched.model is model
            features: Any = model.forward_features
            assert features(images_for(model)).shape == (2, 12, 48)

    def test_hooks_of_the_user_see_pruned_tokens(self) -> None:
        model = timm_model("ViT")
        seen: list[int] = []
        handle = model.blocks[0].register_forward_hook(lambda _m, _i, output: seen.append(output.shape[1]))
        with patched_model(model, remove=5, layer=0) as patched:
            seen.clear()
            patched(images_for(model))
        handle.remove()
        assert seen == [12]

    def test_parts_of_a_patched_block_work_alone(self) -> None:
        model = timm_model("ViT")
        tokens = torch.randn(1, 17, 48)
        block = model.blocks[0]
        modules = (block.norm2, block.drop_path2, block.attn)
        expected = [module(tokens) for module in modules]
        with patched_model(model, remove=5):
            for module, before in zip(modules, expected, strict=True):
                assert distance(module(tokens), before) <= CLOSE


class TestModes:
    """The same in every mode that torch has."""

    def test_inference_mode(self) -> None:
        model = timm_model("ViT")
        images = images_for(model)
        with patched_model(model, remove=5) as patched:
            expected = patched(images).detach()
            with torch.inference_mode():
                assert torch.equal(patched(images), expected)
                assert patched.steps[0].kept.is_inference()

    @pytest.mark.parametrize("method", ["pomt", "topk", "evit"])
    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_autocast(self, dtype: torch.dtype, method: Method) -> None:
        model = timm_model("ViT")
        images = images_for(model)
        with patched_model(model, remove=5, method=method) as patched, torch.no_grad():
            expected = patched(images)
            with torch.autocast("cpu", dtype=dtype):
                got = patched(images)
            assert patched.steps[0].scores.dtype == torch.float32, "POMT-PREC-1"
        assert distance(got.float(), expected) < 0.2

    @pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
    def test_parameters_in_another_dtype(self, dtype: torch.dtype) -> None:
        model = timm_model("ViT").to(dtype)
        with patched_model(model, remove=5) as patched, torch.no_grad():
            got = patched(images_for(model).to(dtype))
            assert patched.steps[0].scores.dtype == torch.promote_types(dtype, torch.float32)
        assert got.dtype == dtype

    def test_gradients_flow_and_the_mode_stays(self) -> None:
        model = timm_model("ViT", attn_drop_rate=0.2, drop_path_rate=0.2).train()
        model.blocks[1].eval()
        with patched_model(model, remove=5, layer=1) as patched:
            assert patched.training
            assert model.training
            assert not model.blocks[1].training
            patched(images_for(model)).square().sum().backward()
        assert all(parameter.grad is not None for parameter in model.parameters())

    def test_dropout_of_attention_comes_after_what_is_read(self) -> None:
        model = timm_model("ViT", attn_drop_rate=0.9).train()
        with patched_model(model, remove=5) as patched:
            patched(images_for(model))
            (step,) = patched.steps
        assert step.kept.shape == (2, 10)

    def test_checkpointing_prunes_once(self) -> None:
        model = timm_model("ViT").train()
        model.set_grad_checkpointing()
        with patched_model(model, remove=[5, 2, 0]) as patched:
            patched(images_for(model)).sum().backward()
            assert [step.tokens_after for step in patched.steps] == [12, 10]

    def test_trying_it_out_draws_no_random_number(self) -> None:
        model = timm_model("ViT", drop_path_rate=0.5).train()
        before = torch.get_rng_state()
        patch(model, remove=5).unpatch()
        assert torch.equal(torch.get_rng_state(), before)


class TestUnpatching:
    """Patched and unpatched, a model is what it was: parameters, outputs, hooks, flags."""

    @pytest.mark.long
    @each_family
    def test_nothing_is_left(self, family: str) -> None:
        model = timm_model(family)
        images = images_for(model)
        before, expected = anatomy(model), model(images)
        state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        patched = patch(model, remove=[5, 0, 2])
        assert list(model.state_dict()) == list(state), "a patched model has its own names"
        patched(images)
        assert patched.unpatch() is model
        assert list(model.state_dict()) == list(state)
        assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
        assert torch.equal(model(images), expected)
        assert anatomy(model) == before

    def test_unpatched_model_still_runs_whole(self) -> None:
        model = timm_model("ViT")
        images = images_for(model)
        expected = model(images)
        patched = patch(model, remove=5)
        patched.unpatch()
        assert torch.equal(patched(images), expected)
        assert patched.steps == ()

    def test_patched_again_after_unpatching(self) -> None:
        model = timm_model("ViT")
        images = images_for(model)
        with patched_model(model, remove=5) as patched:
            expected = patched(images)
        with patched_model(model, remove=5) as patched:
            assert torch.equal(patched(images), expected)

    def test_flag_that_was_off_stays_off(self) -> None:
        model = timm_model("ViT")
        model.blocks[0].attn.fused_attn = False
        patch(model, remove=5).unpatch()
        assert [block.attn.fused_attn for block in model.blocks] == [False, True, True]

    def test_copies_of_an_unpatched_model(self) -> None:
        model = timm_model("ViT")
        images = images_for(model)
        patch(model, remove=5).unpatch()
        for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):  # noqa: S301 -- our own
            assert torch.equal(copied(images), model(images))
            assert anatomy(copied).keys() == anatomy(model).keys()

    def test_copies_of_a_patched_model_are_on_their_own(self) -> None:
        model = timm_model("ViT")
        images = images_for(model)
        whole = model(images)
        patched = patch(model, remove=5)
        expected = patched(images)
        for copied in (copy.deepcopy(patched), pickle.loads(pickle.dumps(patched))):  # noqa: S301 -- our own
            assert torch.equal(copied(images), expected)
            copied(images[:1])
            assert copied.steps[0].kept.shape == (1, 10)
            assert patched.steps[0].kept.shape == (2, 10)
            assert torch.equal(copied.unpatch()(images), whole)
        assert torch.equal(patched(images), expected)


class TestOthers:
    """The same three steps around ``torch.nn.MultiheadAttention``, in transformers, and in the model of the demo."""

    @pytest.mark.parametrize("method", ["pomt", "topk", "evit"])
    @pytest.mark.parametrize("batch_first", [True, False])
    @pytest.mark.parametrize("norm_first", [True, False])
    def test_encoder_as_in_plain_loops(self, norm_first: bool, batch_first: bool, method: Method) -> None:
        model = encoder(norm_first=norm_first, batch_first=batch_first)
        x = torch.randn(2, 12, 24, generator=torch.Generator().manual_seed(2))
        removes = {0: 2, 1: 3, 2: 1}
        expected = encoder_forward(copy.deepcopy(model).double(), x.double(), removes, prefix=2, method=method)
        given = x if batch_first else x.transpose(0, 1)
        before = anatomy(model), model(given)
        with patched_model(model, remove=[2, 3, 1], prefix=2, method=method) as patched:
            for gradients in (True, False):
                with torch.set_grad_enabled(gradients):
                    got = patched(given) if batch_first else patched(given).transpose(0, 1)
                assert distance(got, expected) <= CLOSE
            assert [step.tokens_after for step in patched.steps] == [10, 7, 6]
        assert (anatomy(model), True) == (before[0], torch.equal(model(given), before[1]))

    def test_encoder_inside_a_model_needs_an_example(self) -> None:
        class Classifier(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.embedding = nn.Linear(5, 24)
                self.encoder = encoder(norm_first=True, batch_first=True)

            def forward(self, patches: Tensor) -> Tensor:
                tokens: Tensor = self.encoder(self.embedding(patches))
                return tokens.mean(dim=1)

        patches = torch.randn(2, 9, 5)
        with patched_model(Classifier(), remove=4, prefix=0, example=patches) as patched:
            assert patched(patches).shape == (2, 24)
            assert patched.steps[0].tokens_after == 5

    @pytest.mark.parametrize("streaming", [False, True])
    def test_torchvision_as_in_plain_loops(self, streaming: bool) -> None:
        sizes = {"image_size": 32, "patch_size": 8, "num_layers": 3, "num_heads": 3, "hidden_dim": 48, "mlp_dim": 96}
        model: Any = enliven(import_torchvision().models.VisionTransformer(**sizes))
        images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
        expected = torchvision_forward(copy.deepcopy(model).double(), images.double(), {1: 5})
        tokens: list[Tensor] = []
        handle = model.encoder.ln.register_forward_hook(lambda _m, _i, output: tokens.append(output))
        with patched_model(model, remove=5, layer=1, streaming=streaming) as patched, torch.no_grad():
            patched(images)
        handle.remove()
        assert distance(tokens[-1], expected) <= 2 * CLOSE

    @pytest.mark.long
    @pytest.mark.parametrize("attention", ["sdpa", "eager"])
    @pytest.mark.parametrize(("kind", "prefix"), [("ViT", 1), ("DeiT", 2)])
    @pytest.mark.parametrize(("streaming", "pruned"), [(False, "eager"), (True, "sdpa")])
    def test_hugging_face_as_in_plain_loops(
        self, kind: str, prefix: int, attention: str, streaming: bool, pruned: str
    ) -> None:
        model = hugging_face_model(kind, attn_implementation=attention)
        inner = getattr(model, kind.lower())
        images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(4))
        twin = copy.deepcopy(inner).double()
        expected = hugging_face_forward(twin, images.double(), {0: 5, 1: 4}, prefix=prefix)
        config, whole = inner.layers[0].attention.config, model(images).logits
        with patched_model(model, remove=[5, 4], layer=[0, 1], streaming=streaming) as patched, torch.no_grad():
            implementations = [layer.attention.config._attn_implementation for layer in inner.layers]  # noqa: SLF001 -- what transformers calls it
            assert implementations == [pruned, pruned, attention], "a layer that does not prune attends as it did"
            outputs = patched(images, output_hidden_states=True)
            assert distance(inner.layernorm(outputs.hidden_states[-1]), expected) <= 2 * CLOSE
            lengths = [(step.prefix, step.tokens_after - step.prefix) for step in patched.steps]
        assert lengths == [(prefix, 11), (prefix, 7)]
        assert inner.layers[0].attention.config is config
        assert config._attn_implementation == attention  # noqa: SLF001 -- what transformers calls it
        assert torch.equal(model(images).logits, whole)

    def test_digits(self) -> None:
        model = load_model()
        images = torch.rand(6, 8, 8, generator=torch.Generator().manual_seed(0))
        seen = model.capture(images)
        step = prune(seen.x, seen.attn, seen.v, remove=8)
        expected = model(images, prune_step=lambda *_: step.tokens)
        with patched_model(model, remove=8) as patched:
            assert torch.equal(patched(images), expected)
            assert torch.equal(patched.steps[0].kept, step.kept)
        assert torch.equal(model(images), load_model()(images))
