"""A patched model compiled, exported and written as ONNX gives what it gives eagerly.

These run without the run-time checker of annotations: neither a full graph nor an export can trace through it.
Inductor is left out, as in test_compile_export.py: it needs a compiler, and its sums come in another order.
"""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.onnx import OnnxExporterError

from docs.examples import pruned_onnx
from pomt_ref import OptionError
from pomt_ref.vision import PatchedModel, patch
from pomt_ref.vision.digits import load_model
from pomt_ref.vision.methods import Method
from tests.real_models import encoder, hugging_face_model, images_for, timm_model

CLOSE: Final = 2e-6
"""Between kernels that take sums in other orders: torch's attention chooses one by whether gradients are wanted."""

EXPORTED: Final = ("timm", "torch", "digits")
"""What is exported; transformers writes a mask of all N tokens into its graph, for which a pruned layer has no use."""


STREAMING: Final = {"streaming": True}
STREAMED: Final = ("timm", "torch", "transformers")
"""Whose queries and keys can be read."""


def patched_and_input(kind: str, **options: Any) -> tuple[PatchedModel, Tensor]:  # noqa: ANN401 -- what patch takes
    """A model of every library that prunes in two blocks, or as it is told, and what it is given."""
    removes: dict[str, Any] = {"remove": [2, 0, 3], **options}
    numbers = torch.Generator().manual_seed(7)
    if kind == "torch":
        model: nn.Module = encoder(norm_first=True, batch_first=True)
        return patch(model, prefix=1, **removes), torch.randn(2, 12, 24, generator=numbers)
    if kind == "transformers":
        return patch(hugging_face_model("ViT"), **removes), torch.randn(2, 3, 32, 32, generator=numbers)
    if kind == "digits":
        four: dict[str, Any] = {"remove": [2, 0, 3, 0]} if removes["remove"] == [2, 0, 3] else removes
        return patch(load_model(), **{**removes, **four}), torch.rand(2, 8, 8, generator=numbers)
    model = timm_model("ViT" if kind == "timm" else "DINOv2 with registers")
    return patch(model, **removes), images_for(model)


def output(returned: Any) -> Tensor:  # noqa: ANN401 -- a tensor, or what transformers returns
    """The numbers that a model returns."""
    tensor: Tensor = returned if isinstance(returned, Tensor) else returned.logits
    return tensor.detach()


@pytest.fixture(autouse=True)
def forget_graphs() -> Iterator[None]:
    """Every test compiles anew."""
    torch.compiler.reset()
    yield
    torch.compiler.reset()


class TestCompile:
    """A patched model is one graph; its steps are read as ever."""

    @pytest.mark.parametrize(
        ("kind", "options"),
        [*((kind, {}) for kind in (*EXPORTED, "transformers")), *((kind, STREAMING) for kind in STREAMED)],
    )
    def test_one_graph_with_its_steps(self, kind: str, options: dict[str, Any]) -> None:
        patched, given = patched_and_input(kind, **options)
        expected, steps = output(patched(given)), patched.steps
        compiled = torch.compile(patched, fullgraph=True, backend="eager")
        with torch.no_grad():
            assert torch.allclose(output(compiled(given)), expected, atol=CLOSE)
        assert len(patched.steps) == 2
        for got, before in zip(patched.steps, steps, strict=True):
            assert (got.layer, got.tokens_before, got.tokens_after) == (
                before.layer,
                before.tokens_before,
                before.tokens_after,
            )
            assert torch.equal(got.kept, before.kept)
            assert torch.allclose(got.scores, before.scores, atol=CLOSE)

    def test_unpatched_model_is_compiled_anew(self) -> None:
        patched, given = patched_and_input("timm")
        whole = output(patch_free(given))
        compiled = torch.compile(patched, fullgraph=True, backend="eager")
        with torch.no_grad():
            pruned = output(compiled(given))
            patched.unpatch()
            assert not torch.equal(pruned, whole)
            assert torch.allclose(output(compiled(given)), whole, atol=CLOSE)

    @pytest.mark.parametrize("streaming", [False, True])
    def test_gradients(self, streaming: bool) -> None:
        patched, given = patched_and_input("timm", streaming=streaming)
        leaf, twin = given.clone().requires_grad_(), given.clone().requires_grad_()
        torch.compile(patched, fullgraph=True, backend="eager")(leaf).square().sum().backward()
        patched(twin).square().sum().backward()
        assert leaf.grad is not None
        assert twin.grad is not None
        assert torch.allclose(leaf.grad, twin.grad, atol=1e-5)


class TestExport:
    """torch.export: the same numbers, and no placeholder is left behind in the steps."""

    @pytest.mark.parametrize(
        ("kind", "options"), [*((kind, {}) for kind in EXPORTED), ("timm", STREAMING), ("torch", STREAMING)]
    )
    def test_exported_program(self, kind: str, options: dict[str, Any]) -> None:
        patched, given = patched_and_input(kind, **options)
        with torch.no_grad():
            expected = output(patched(given))
            program = torch.export.export(patched, (given,))
            assert torch.allclose(output(program.module()(given)), expected, atol=CLOSE)
        assert not patched.steps, "an export is no pass that was run"
        assert not program.graph_signature.user_inputs_to_mutate
        assert not program.graph_signature.buffers_to_mutate

    @pytest.mark.parametrize("streaming", [False, True])
    def test_any_batch(self, streaming: bool) -> None:
        patched, given = patched_and_input("timm", normalisation="sample", streaming=streaming)
        with torch.no_grad():
            sizes = (({0: torch.export.Dim("batch", max=64)},),)  # of whatever the model is given: (*inputs)
            program = torch.export.export(patched, (given,), dynamic_shapes=sizes)
            for batch in (2, 5):
                images = images_for(patched.model, batch, seed=batch)
                assert torch.allclose(output(program.module()(images)), output(patched(images)), atol=CLOSE)

    def test_saved_and_loaded(self) -> None:
        patched, given = patched_and_input("registers")
        with torch.no_grad():
            program = torch.export.export(patched, (given,))
            stored = io.BytesIO()
            torch.export.save(program, stored)
            stored.seek(0)
            again = torch.export.load(stored).module()
            assert torch.allclose(output(again(given)), output(patched(given)), atol=CLOSE)

    def test_transformers_writes_a_mask_and_is_refused(self) -> None:
        patched, given = patched_and_input("transformers")
        with pytest.raises(OptionError, match=r"a pruned block without mask \(CHOOSE-3\), got argument 1$"):
            torch.export.export(patched, (given,))


def patch_free(given: Tensor) -> Tensor:
    """The ViT of these tests, not patched."""
    with torch.no_grad():
        logits: Tensor = timm_model("ViT")(given)
    return logits


def run_onnx(file: Path, given: Tensor) -> np.ndarray[Any, Any]:
    """What onnxruntime makes of an input."""
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (name,) = (each.name for each in session.get_inputs())
    found: np.ndarray[Any, Any] = session.run(None, {name: given.numpy()})[0]
    return found


# What the exporter itself does: of torch's making.
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning", "ignore::torch.jit.TracerWarning"
)
class TestOnnx:
    """Written as ONNX and run by onnxruntime: equal on inputs without ties (POMT-RANK-1 leaves their order open)."""

    @pytest.mark.parametrize("kind", ["timm", "torch"])
    def test_equal_under_onnxruntime(self, kind: str, tmp_path: Path) -> None:
        pytest.importorskip("onnxscript")
        patched, given = patched_and_input(kind)
        expected = output(patched(given))
        file = tmp_path / "pruned.onnx"
        torch.onnx.export(patched, (given,), file, dynamo=True, verbose=False)
        assert np.abs(run_onnx(file, given) - expected.numpy()).max() <= 1e-5
        assert np.abs(run_onnx(file, given.flip(0)) - expected.flip(0).numpy()).max() <= 1e-5, "no constant was traced"

    def test_example_of_the_guide(self, tmp_path: Path) -> None:
        pytest.importorskip("onnxscript")
        assert pruned_onnx.difference(tmp_path / "pruned.onnx") <= 1e-5

    def test_the_older_exporter(self, tmp_path: Path) -> None:
        patched, given = patched_and_input("timm")
        expected = output(patched(given))
        file = tmp_path / "pruned.onnx"
        torch.onnx.export(patched, (given,), file, dynamo=False)
        assert np.abs(run_onnx(file, given) - expected.numpy()).max() <= 1e-5

    @pytest.mark.parametrize("method", ["topk", "evit"])
    def test_an_exported_program_with_ties_in_any_order(self, method: Method, tmp_path: Path) -> None:
        """torch.export knows nothing of ONNX yet: a program that is to become one says ``ties="any"``."""
        pytest.importorskip("onnxscript")
        patched, given = patched_and_input("digits", remove=5, method=method, ties="any")
        with torch.no_grad():
            expected = output(patched(given))
            program = torch.export.export(patched, (given,))
        file = tmp_path / "pruned.onnx"
        torch.onnx.export(program, (given,), file, dynamo=True, verbose=False)
        assert np.abs(run_onnx(file, given) - expected.numpy()).max() <= 1e-5

    def test_siblings_from_one_row_a_head(self, tmp_path: Path) -> None:
        pytest.importorskip("onnxscript")
        patched, given = patched_and_input("timm", method="evit", streaming=True)
        expected = output(patched(given))
        file = tmp_path / "pruned.onnx"
        torch.onnx.export(patched, (given,), file, dynamo=True, verbose=False)
        assert np.abs(run_onnx(file, given) - expected.numpy()).max() <= 1e-5

    def test_streaming_sums_are_not_written(self, tmp_path: Path) -> None:
        """The newer exporter tries without this project's refusal too, and then names the operator itself."""
        pytest.importorskip("onnxscript")
        patched, given = patched_and_input("timm", streaming=True)
        with pytest.raises(OptionError, match=r"expected streaming=False where ONNX is written \(CHOOSE-3\)"):
            torch.onnx.export(patched, (given,), tmp_path / "pruned.onnx", dynamo=False)
        with pytest.raises(OnnxExporterError, match=r"pomt_ref\.attention_sums"):
            torch.onnx.export(patched, (given,), tmp_path / "pruned.onnx", dynamo=True, verbose=False)

    def test_a_stable_sort_is_not_written(self, tmp_path: Path) -> None:
        pytest.importorskip("onnxscript")
        patched, given = patched_and_input("digits")
        with torch.no_grad():
            program = torch.export.export(patched, (given,))
        with pytest.raises(OnnxExporterError, match=r"aten\.sort\.stable"):
            torch.onnx.export(program, (given,), tmp_path / "pruned.onnx", dynamo=True, verbose=False)
