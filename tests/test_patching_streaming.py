"""Patched with ``streaming=True``: the same tokens from queries and keys, and no matrix of attention on the way."""

import copy
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import pytest
import torch
from torch import Tensor, nn

from pomt_ref import OptionError, Pruned, ValuesError, prune
from pomt_ref.vision.adapters.huggingface import HuggingFaceCapture
from pomt_ref.vision.adapters.multihead import MultiheadCapture
from pomt_ref.vision.adapters.timm import TimmCapture
from pomt_ref.vision.attending import QueriesKeys, attended, named
from pomt_ref.vision.capturing import Capture
from pomt_ref.vision.errors import ModelError
from pomt_ref.vision.methods import Method, Options, Ties
from pomt_ref.vision.patching import PatchedModel, patch
from pomt_ref.vision.streamed import class_attention, prune_streamed
from tests.patched_models import CLOSE, anatomy, distance, patched_model
from tests.plain_pomt import encoder_forward, timm_forward
from tests.real_models import (
    FAMILIES,
    encoder,
    enliven,
    hugging_face_model,
    images_for,
    timm_model,
)

METHODS: Final = ("pomt", "topk", "evit")
REMOVES: Final = [3, 0, 5]
each_family: Final = pytest.mark.parametrize("family", FAMILIES)


def both(model: nn.Module, given: Tensor, **options: Any) -> tuple[Tensor, Tensor]:  # noqa: ANN401 -- what patch takes
    """What a model says where the matrix is read, and where queries and keys are; its steps keep the same rows."""
    found: list[Tensor] = []
    steps = []
    for streaming in (False, True):
        with patched_model(model, streaming=streaming, **options) as patched, torch.no_grad():
            found.append(patched(given))
            steps.append(patched.steps)
    for matrix, streamed in zip(*steps, strict=True):
        assert torch.equal(matrix.kept, streamed.kept)
        assert torch.equal(matrix.discarded, streamed.discarded)
        assert distance(matrix.scores, streamed.scores) <= CLOSE
    return found[0], found[1]


class TestTimm:
    """POMT-PRUNE-1: from queries and keys the same tokens as from the attention that they make."""

    @pytest.mark.long
    @each_family
    def test_as_with_the_matrix_and_as_in_plain_loops(self, family: str) -> None:
        model = timm_model(family)
        images = images_for(model, 3)
        expected = timm_forward(copy.deepcopy(model).double(), images.double(), {0: 3, 2: 5}, "pomt")
        matrix, streamed = both(model, images, remove=REMOVES)
        assert distance(streamed, matrix) <= CLOSE
        assert distance(streamed, expected) <= CLOSE

    @pytest.mark.long
    @pytest.mark.parametrize("method", ["topk", "evit"])
    @pytest.mark.parametrize("family", ["ViT", "DeiT distilled", "DINOv2 with registers", "query and key norms"])
    def test_siblings_from_one_row_a_head(self, family: str, method: Method) -> None:
        model = timm_model(family)
        images = images_for(model, 3)
        expected = timm_forward(copy.deepcopy(model).double(), images.double(), {0: 3, 2: 5}, method)
        matrix, streamed = both(model, images, remove=REMOVES, method=method)
        assert distance(streamed, matrix) <= CLOSE
        assert distance(streamed, expected) <= CLOSE

    @pytest.mark.parametrize("method", METHODS)
    def test_options_reach_the_step(self, method: Method) -> None:
        model = timm_model("DINOv2 with registers")
        images = images_for(model, 3)
        own: dict[str, list[dict[str, Any]]] = {
            "pomt": [{"normalisation": "sample"}, {"normalisation": "sample", "ties": "any"}],
            "topk": [{"class_index": 1}],
            "evit": [{"class_index": 2, "normalise": True}],
        }
        for each in [{"ties": "any"}, {"check": "shapes"}, {"check": "none"}, *own[method]]:
            matrix, streamed = both(model, images, remove=5, method=method, **each)
            assert distance(streamed, matrix) <= CLOSE

    @pytest.mark.parametrize(("method", "most"), [("pomt", 15), ("topk", 16), ("evit", 15)])
    def test_smallest_and_largest_remove(self, method: Method, most: int) -> None:
        model = timm_model("ViT")
        for remove in (1, most):
            matrix, streamed = both(model, images_for(model), remove=remove, method=method)
            assert distance(streamed, matrix) <= CLOSE

    def test_sequence_of_several_blocks_of_rows(self) -> None:
        model = timm_model("ViT", img_size=384)
        matrix, streamed = both(model, images_for(model, 2), remove=200)
        assert distance(streamed, matrix) <= 2 * CLOSE

    def test_steps_are_those_of_the_last_pass(self) -> None:
        model = timm_model("ViT")
        with patched_model(model, remove=[5, 0, 2], streaming=True) as patched:
            assert not patched.steps
            patched(images_for(model, 3))
            patched(images_for(model, 1))
            assert [(step.tokens_before, step.tokens_after) for step in patched.steps] == [(17, 12), (12, 10)]
            assert patched.steps[0].kept.shape == (1, 10)

    def test_other_image_sizes_prune_by_the_same_number(self) -> None:
        model = timm_model("ViT", dynamic_img_size=True)
        for images in (torch.randn(1, 3, 32, 48), torch.randn(2, 3, 80, 64)):
            matrix, streamed = both(model, images, remove=5)
            assert distance(streamed, matrix) <= CLOSE


class TestOthers:
    """The same around ``torch.nn.MultiheadAttention`` and in transformers; the demo's model has nothing to offer."""

    @pytest.mark.long
    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("batch_first", [True, False])
    @pytest.mark.parametrize("norm_first", [True, False])
    def test_encoder(self, norm_first: bool, batch_first: bool, method: Method) -> None:
        model = encoder(norm_first=norm_first, batch_first=batch_first)
        x = torch.randn(2, 12, 24, generator=torch.Generator().manual_seed(2))
        expected = encoder_forward(
            copy.deepcopy(model).double(), x.double(), {0: 2, 1: 3, 2: 1}, prefix=2, method=method
        )
        given = x if batch_first else x.transpose(0, 1)
        before = anatomy(model), model(given)
        with patched_model(model, remove=[2, 3, 1], prefix=2, method=method, streaming=True) as patched:
            for gradients in (True, False):
                with torch.set_grad_enabled(gradients):
                    got = patched(given) if batch_first else patched(given).transpose(0, 1)
                assert distance(got, expected) <= CLOSE
        assert (anatomy(model), True) == (before[0], torch.equal(model(given), before[1]))

    def test_encoder_without_biases(self) -> None:
        layer = nn.TransformerEncoderLayer(24, 4, 48, dropout=0.0, batch_first=True, bias=False)
        model = enliven(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False))
        x = torch.randn(2, 12, 24, generator=torch.Generator().manual_seed(2))
        matrix, streamed = both(model, x, remove=4, prefix=0)
        assert distance(streamed, matrix) <= CLOSE


class TestModes:
    """The same in every mode that torch has; a dropout of attention is no hindrance, for queries and keys have none."""

    def test_inference_mode(self) -> None:
        model = timm_model("ViT")
        images = images_for(model)
        with patched_model(model, remove=5, streaming=True) as patched:
            expected = patched(images).detach()
            with torch.inference_mode():
                assert torch.equal(patched(images), expected)

    @pytest.mark.long
    @pytest.mark.parametrize("family", ["ViT", "query and key norms"])
    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_autocast(self, dtype: torch.dtype, method: Method, family: str) -> None:
        model = timm_model(family)
        images = images_for(model)
        with patched_model(model, remove=5, method=method, streaming=True) as patched, torch.no_grad():
            expected = patched(images)
            with torch.autocast("cpu", dtype=dtype):
                got = patched(images)
            assert patched.steps[0].scores.dtype == torch.float32, "POMT-PREC-1"
        assert distance(got.float(), expected) < 0.2

    def test_scores_under_autocast_are_those_of_what_is_multiplied(self) -> None:
        """Where norms return float32, as they do on CUDA, queries and keys are rounded before they are multiplied."""
        model = timm_model("query and key norms")
        attention: Any = model.blocks[0].attn
        for norm in (attention.q_norm, attention.k_norm):
            norm.register_forward_hook(lambda _m, _i, out: 1.001 * out.float())
        seen: dict[str, Tensor] = {}
        for name, module in {"q": attention.q_norm, "k": attention.k_norm, "joint": attention.qkv}.items():
            module.register_forward_hook(lambda _m, _i, out, name=name: seen.update({name: out}))
        with patched_model(model, remove=5, streaming=True) as patched, torch.no_grad():
            with torch.autocast("cpu", dtype=torch.bfloat16):
                patched(images_for(model))
            (step,) = patched.steps
        assert seen["q"].dtype == seen["k"].dtype == torch.float32
        v = seen["joint"][:, :, 96:].unflatten(2, (3, 16)).transpose(1, 2).double()
        scores = []
        for dtype in (torch.bfloat16, torch.float32):
            q, k = (seen[name].to(dtype).double() for name in "qk")
            attn = (q @ k.mT / 4).softmax(dim=-1)
            scores.append(prune(torch.zeros(2, 17, 48, dtype=torch.float64), attn, v, prefix=1, remove=5).scores)
        assert distance(step.scores, scores[0]) <= CLOSE
        assert distance(step.scores, scores[1]) > 100 * CLOSE, "rounding has to matter"

    @pytest.mark.parametrize("library", ["torch", "transformers"])
    def test_autocast_in_other_libraries(self, library: str) -> None:
        model = hugging_face_model("ViT") if library == "transformers" else encoder(norm_first=True, batch_first=True)
        given = torch.randn(2, 3, 32, 32) if library == "transformers" else torch.randn(2, 12, 24)
        with patched_model(model, remove=5, prefix=1, streaming=True) as patched, torch.no_grad():
            patched(given)
            (expected,) = patched.steps
            with torch.autocast("cpu", dtype=torch.bfloat16):
                patched(given)
            (step,) = patched.steps
        assert step.scores.dtype == torch.float32
        assert 0 < distance(step.scores, expected.scores) < 0.1

    @pytest.mark.parametrize("library", ["timm", "torch", "transformers"])
    def test_logits_of_hundreds_are_no_reason_to_refuse(self, library: str) -> None:
        """What is proved is to the bit what the kernel had, so that no rounding is blown up by the softmax."""
        if library == "timm":
            model: Any = timm_model("ViT")
            maps = [block.attn.qkv.weight[:48] for block in model.blocks]
        elif library == "torch":
            model = encoder(norm_first=True, batch_first=True)
            maps = [layer.self_attn.in_proj_weight[:24] for layer in model.layers]
        else:
            model = hugging_face_model("ViT")
            maps = [layer.attention.q_proj.weight for layer in model.vit.layers]
        with torch.no_grad():
            for each in maps:
                each.mul_(200)
        with patched_model(model, remove=[3, 1, 2], prefix=1, streaming=True) as patched:
            assert patched.removes == (3, 1, 2)

    @pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
    def test_parameters_in_another_dtype(self, dtype: torch.dtype) -> None:
        model = timm_model("query and key norms").to(dtype)
        with patched_model(model, remove=5, streaming=True) as patched, torch.no_grad():
            got = patched(images_for(model).to(dtype))
            assert patched.steps[0].scores.dtype == torch.promote_types(dtype, torch.float32)
        assert got.dtype == dtype

    def test_gradients_are_those_with_the_matrix(self) -> None:
        model = timm_model("query and key norms")
        images = images_for(model)
        found: list[list[Tensor]] = []
        for streaming in (False, True):
            with patched_model(model, remove=REMOVES, streaming=streaming) as patched:
                parameters = list(model.parameters())
                found.append(list(torch.autograd.grad(patched(images).square().sum(), parameters)))
        largest = max(float(each.abs().max()) for each in found[0])
        assert all(distance(one, other) <= 1e-5 * largest for one, other in zip(*found, strict=True))

    def test_training_with_a_dropout_of_attention(self) -> None:
        model = timm_model("ViT", attn_drop_rate=0.9, drop_path_rate=0.2).train()
        rows = encoder(norm_first=True, batch_first=True).train()
        layers = hugging_face_model("ViT", attention_probs_dropout_prob=0.5).train()
        with patched_model(model, remove=5, streaming=True) as patched:
            patched(images_for(model)).square().sum().backward()
            assert patched.steps[0].kept.shape == (2, 10)
        with patched_model(rows, remove=5, prefix=1, streaming=True) as patched:
            patched(torch.randn(2, 12, 24)).square().sum().backward()
        with patched_model(layers, remove=5, streaming=True) as patched:
            patched(torch.randn(2, 3, 32, 32)).logits.square().sum().backward()
        for trained in (model, rows, layers):
            assert all(parameter.grad is not None for parameter in trained.parameters())

    def test_checkpointing_prunes_once(self) -> None:
        model = timm_model("ViT").train()
        model.set_grad_checkpointing()
        with patched_model(model, remove=[5, 2, 0], streaming=True) as patched:
            patched(images_for(model)).sum().backward()
            assert [step.tokens_after for step in patched.steps] == [12, 10]

    def test_copies_of_a_patched_model_are_on_their_own(self) -> None:
        model = timm_model("ViT")
        images = images_for(model)
        whole = model(images)
        patched = patch(model, remove=5, streaming=True)
        expected = patched(images)
        for copied in (copy.deepcopy(patched), pickle.loads(pickle.dumps(patched))):  # noqa: S301 -- our own
            assert torch.equal(copied(images), expected)
            assert torch.equal(copied.unpatch()(images), whole)
        assert torch.equal(patched(images), expected)


class TestUnpatching:
    """Patched and unpatched, a model is what it was."""

    @pytest.mark.long
    @each_family
    def test_nothing_is_left(self, family: str) -> None:
        model = timm_model(family)
        images = images_for(model)
        before, expected = anatomy(model), model(images)
        state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        patched = patch(model, remove=[5, 0, 2], streaming=True)
        patched(images)
        assert patched.unpatch() is model
        assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
        assert torch.equal(model(images), expected)
        assert anatomy(model) == before

    def test_fused_kernel_that_was_off_is_off_again(self) -> None:
        model = timm_model("ViT")
        flags = [False, True, False]
        for block, flag in zip(model.blocks, flags, strict=True):
            block.attn.fused_attn = flag
        with patched_model(model, remove=[5, 2, 0], streaming=True):
            assert [block.attn.fused_attn for block in model.blocks] == [True, True, False]
        assert [block.attn.fused_attn for block in model.blocks] == flags

    def test_zero_is_the_identity(self) -> None:
        model = timm_model("ViT")
        images = images_for(model)
        untouched = anatomy(model)
        patched = patch(model, remove=0, streaming=True)
        assert anatomy(model) == untouched
        assert torch.equal(patched(images), model(images))

    def test_inputs_are_the_same_bits_up_to_the_pruned_residual(self) -> None:
        """The fused kernel stays on: beyond what ``streaming=False`` has, the attention of the block is the same."""
        model = timm_model("DeiT3")
        images = images_for(model)
        seen: list[Tensor] = []
        handle = model.blocks[1].attn.register_forward_hook(lambda _m, _i, output: seen.append(output))
        with torch.no_grad():
            model(images)
            with patched_model(model, remove=5, layer=1, streaming=True) as patched:
                patched(images)
        handle.remove()
        assert torch.equal(seen[0], seen[-1])


def largest_allocation(run: Callable[[], object]) -> int:
    """Bytes of the largest tensor that is made on the way, inside of kernels too, as torch's profiler reports it."""
    with torch.profiler.profile(profile_memory=True) as profile:
        run()
    sizes: list[int] = [event.self_cpu_memory_usage for event in profile.events() or ()]
    return max(sizes)


class TestMemory:
    """No tensor of N x N numbers is made, not even for one head; where attention is read, all heads are."""

    def squares(self, model: nn.Module, given: Tensor, tokens: int, **options: Any) -> tuple[float, float]:  # noqa: ANN401 -- what patch takes
        """The largest tensors of passes, in matrices of one head: the least where attention is read, the most else."""
        square = tokens**2 * given.element_size()
        read, streamed = [], []
        for gradients in (True, False):
            with torch.set_grad_enabled(gradients):
                with patched_model(model, **options) as patched:
                    read.append(largest_allocation(partial(patched, given)) / square)
                with patched_model(model, streaming=True, **options) as patched:
                    streamed.append(largest_allocation(partial(patched, given)) / square)
        return min(read), max(streamed)

    @pytest.mark.long
    @pytest.mark.parametrize("method", METHODS)
    def test_timm(self, method: Method) -> None:
        model = timm_model("query and key norms", img_size=384)
        read, streamed = self.squares(model, images_for(model, 1), 577, remove=[3, 1, 5], method=method)
        assert read >= 3
        assert 0 < streamed < 0.5

    @pytest.mark.long
    @pytest.mark.parametrize("batch_first", [True, False])
    @pytest.mark.parametrize("norm_first", [True, False])
    def test_torch(self, norm_first: bool, batch_first: bool) -> None:
        """Its path for evaluation, which makes the matrix in one kernel, is not taken."""
        model = encoder(norm_first=norm_first, batch_first=batch_first)
        x = torch.randn(1, 600, 24)
        read, streamed = self.squares(model, x if batch_first else x.transpose(0, 1), 600, remove=[3, 1, 5], prefix=1)
        assert read >= 3
        assert 0 < streamed < 0.5

    def test_transformers(self) -> None:
        model = hugging_face_model("ViT", image_size=192, attn_implementation="eager")
        read, streamed = self.squares(model, torch.randn(1, 3, 192, 192), 577, remove=[3, 1, 5])
        assert read >= 3
        assert 0 < streamed < 0.5

    @pytest.mark.parametrize("streaming", [False, True])
    def test_what_was_read_is_not_held_while_the_mlp_runs(self, streaming: bool) -> None:
        model = timm_model("ViT")
        with patched_model(model, remove=5, layer=0, streaming=streaming) as patched:
            (hook,) = model.blocks[0].norm2._forward_pre_hooks.values()  # noqa: SLF001 -- torch lists them nowhere else
            capture: Capture = hook.__self__.capture
            held: list[int] = []
            handle = model.blocks[0].mlp.register_forward_hook(lambda *_: held.append(len(capture.seen)))
            patched(images_for(model))
            handle.remove()
        assert held == [0]


def unscaled(read: Callable[[Any], QueriesKeys]) -> Callable[[Any], QueriesKeys]:
    """Products as they are."""

    def queries_and_keys(self: Capture) -> QueriesKeys:
        right = read(self)
        return QueriesKeys(right.q, right.k, 1.0)

    return queries_and_keys


def exchanged(read: Callable[[Any], QueriesKeys]) -> Callable[[Any], QueriesKeys]:
    """Queries for keys."""

    def queries_and_keys(self: Capture) -> QueriesKeys:
        right = read(self)
        return QueriesKeys(right.k, right.q, right.scale)

    return queries_and_keys


def unnormed(part: int) -> Callable[[Callable[[Any], QueriesKeys]], Callable[[Any], QueriesKeys]]:
    """Queries, or keys, as they come out of the joint map."""

    def mutant(read: Callable[[Any], QueriesKeys]) -> Callable[[Any], QueriesKeys]:
        def queries_and_keys(self: TimmCapture) -> QueriesKeys:
            right = read(self)
            raw: Tensor = self.seen["joint"].unflatten(-1, (3, right.q.shape[1], -1))[:, :, part].transpose(1, 2)
            return QueriesKeys(raw, right.k, right.scale) if part == 0 else QueriesKeys(right.q, raw, right.scale)

        return queries_and_keys

    return mutant


WRONG_READS: Final = {
    "scale forgotten": unscaled,
    "queries and keys exchanged": exchanged,
    "norm of queries forgotten": unnormed(0),
    "norm of keys forgotten": unnormed(1),
}


class TestMutants:
    """Queries and keys that are read wrongly are found, when the model is patched and against plain loops."""

    REFUSED: Final = r"^patch: expected the queries, keys and values that the block multiplies \(POMT-ATT-1\), got "

    @pytest.mark.parametrize("name", WRONG_READS)
    def test_wrong_read_is_found_when_the_model_is_patched(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(TimmCapture, "queries_and_keys", WRONG_READS[name](TimmCapture.queries_and_keys))
        model = timm_model("query and key norms")
        untouched = anatomy(model)
        with pytest.raises(ModelError, match=self.REFUSED):
            patch(model, remove=5, streaming=True)
        assert anatomy(model) == untouched

    @pytest.mark.parametrize("name", WRONG_READS)
    def test_wrong_read_is_far_from_plain_loops(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(TimmCapture, "queries_and_keys", WRONG_READS[name](TimmCapture.queries_and_keys))
        monkeypatch.setattr(TimmCapture, "prove", lambda _: None)
        model = timm_model("query and key norms")
        images = images_for(model, 8)
        expected = timm_forward(copy.deepcopy(model).double(), images.double(), {1: 5})
        with torch.no_grad():
            assert distance(patch(model, remove=5, layer=1, streaming=True)(images), expected) > 100 * CLOSE

    @pytest.mark.parametrize("mutant", [unscaled, exchanged])
    @pytest.mark.parametrize("capture", [MultiheadCapture, HuggingFaceCapture])
    def test_wrong_read_of_others_is_found(
        self,
        capture: type[Capture],
        mutant: Callable[[object], object],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(capture, "queries_and_keys", mutant(capture.queries_and_keys))
        multihead = capture is MultiheadCapture
        model = encoder(norm_first=True, batch_first=True) if multihead else hugging_face_model("ViT")
        with pytest.raises(ModelError, match=self.REFUSED):
            patch(model, remove=5, prefix=1, streaming=True)

    def test_scale_that_the_fused_kernel_does_not_take_is_found(self) -> None:
        """timm's fused kernel takes one over the root of the features, whatever ``scale`` says."""
        model = timm_model("ViT")
        model.blocks[0].attn.scale = 0.5
        with pytest.raises(ModelError, match=self.REFUSED):
            patch(model, remove=5, streaming=True)

    def test_wrong_values_are_found(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(TimmCapture, "values", lambda self: self.queries_and_keys().k)
        with pytest.raises(ModelError, match=self.REFUSED):
            patch(timm_model("ViT"), remove=5, streaming=True)


class TestChecks:
    """Values outside of the specification are told, as with the matrix; what cannot be written is refused."""

    def patched(self, **options: Any) -> tuple[PatchedModel, Any]:  # noqa: ANN401 -- what patch takes, a model without types
        """A ViT, and the same without types."""
        model = timm_model("ViT")
        return patch(model, remove=5, streaming=True, **options), model

    @pytest.mark.parametrize("ties", ["lower", "any"])
    @pytest.mark.parametrize("method", METHODS)
    def test_numbers_that_are_none_are_told(self, method: Method, ties: Ties) -> None:
        patched, _ = self.patched(method=method, ties=ties)
        with pytest.raises(ValuesError, match=r": expected finite x \(POMT-PRUNE-1\), got x\[0, 0, 0\] = nan$"):
            patched(torch.full((1, 3, 64, 64), torch.nan))
        clause = {"pomt": "POMT-SCORE-1" if ties == "any" else "POMT-ATT-1", "topk": "SIB-1", "evit": "SIB-1"}[method]
        with pytest.raises(ValuesError, match=rf": expected finite \w+ \({clause}\), got \w+\[0, 0\] = nan$"):
            streamed(Options(method, ties=ties), torch.full((1, 1, 4, 2), 1e38), torch.full((1, 1, 4, 2), 1e38))
        streamed(Options(method, ties=ties), torch.full((1, 1, 4, 2), 1e38), torch.full((1, 1, 4, 2), 1e-38))

    def test_weights_that_sum_to_nothing_are_told(self) -> None:
        """The class token attends to itself alone, so that what is fused has no weight."""
        k = torch.tensor([1.0, -1.0, -1.0, -1.0]).reshape(1, 1, 4, 1)
        q = torch.full((1, 1, 4, 1), 100.0)
        assert streamed(Options("evit"), q, k).tokens.flatten().tolist() == [1.0, 1.0, 0.0]
        with pytest.raises(
            ValuesError, match=r"^patch: expected finite tokens \(POMT-PRUNE-1\), got tokens\[0, 2, 0\] = nan$"
        ):
            streamed(Options("evit", normalise=True), q, k)

    @pytest.mark.parametrize("method", METHODS)
    def test_onnx(self, method: Method, monkeypatch: pytest.MonkeyPatch) -> None:
        """POMT has an operator that ONNX does not know; one row of attention is made of operators that it knows."""
        patched, model = self.patched(method=method)
        images = images_for(model)
        expected = patched(images)
        monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
        if method == "pomt":
            message = r"^patch: expected streaming=False where ONNX is written \(CHOOSE-3\), got streaming=True$"
            with pytest.raises(OptionError, match=message):
                patched(images)
        else:
            assert distance(patched(images), expected) <= CLOSE

    def test_autocast_checks_what_it_is_given(self) -> None:
        patched, model = self.patched()
        with torch.no_grad():
            model.blocks[0].attn.qkv.bias[:48] = torch.inf
        with torch.autocast("cpu", dtype=torch.bfloat16), pytest.raises(ValuesError, match="expected finite q"):
            patched(images_for(model))


def streamed(options: Options, q: Tensor, k: Tensor) -> Pruned:
    """A step on tokens of one, the first of which is a prefix."""
    x, v = torch.ones(1, q.shape[2], 1), torch.zeros(1, 1, q.shape[2], 1)
    return prune_streamed(options, x, QueriesKeys(q, k, 1.0), v, prefix=1, remove=1, check="values")


class TestAttention:
    """What is known of attention: the matrix, or queries and keys."""

    def test_both_attend_alike(self) -> None:
        numbers = torch.Generator().manual_seed(0)
        q, k, v = (torch.randn(2, 3, 7, 4, generator=numbers, dtype=torch.float64) for _ in range(3))
        made = QueriesKeys(q, k, 0.3)
        matrix = (0.3 * q @ k.mT).softmax(dim=-1)
        assert distance(attended(made, v), attended(matrix, v)) < 1e-12
        assert list(named(made)) == ["q", "k"]
        assert list(named(matrix)) == ["attn"]
        for row in range(2):
            assert distance(class_attention(made, class_index=row), matrix[:, :, row]) < 1e-12

    def test_dtype_and_gradients(self) -> None:
        q = torch.ones(1, 1, 2, 2, requires_grad=True)
        made = QueriesKeys(q, q, 1.0)
        assert made.to(torch.float32).q is q
        assert made.to(torch.float16).dtype == torch.float16
        assert not made.detach().q.requires_grad
        assert not made.detach().k.requires_grad
        assert class_attention(made.to(torch.bfloat16), class_index=0).dtype == torch.float32
