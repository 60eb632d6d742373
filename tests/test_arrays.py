"""Implementations on arrays of other frameworks: NumPy, JAX, whatever speaks DLPack, and ONNX graphs."""

import importlib.util
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import pytest
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from onnx import TensorProto, helper

from pomt_ref import oracle
from pomt_ref.conformance import SubjectError, SubjectFailedError, as_subject, check, load_subject
from pomt_ref.conformance.arrays import as_tensor, framework_of, given, require_framework, view_of
from pomt_ref.testing import Case, build_case

SHAPE: Final = {"batch": 2, "heads": 2, "tokens": 6, "features": 3, "channels": 4, "prefix": 1, "keep": 2}


def made(dtype: Any = "float32", **axes: int) -> Case:  # noqa: ANN401 -- one of four words
    """A small case."""
    return build_case("ordinary", seed=1, dtype=dtype, **{**SHAPE, **axes})


def numpy_prune(x: np.ndarray, attn: np.ndarray, v: np.ndarray, *, prefix: int, keep: int) -> np.ndarray:
    """An implementation on NumPy arrays, by the oracle."""
    arrays = [array.astype(np.float64) for array in (x, attn, v)]
    return oracle.prune(*arrays, prefix=prefix, keep=keep).tokens.astype(x.dtype)


class Exchanged:
    """An array of some other framework: DLPack is all that it speaks."""

    def __init__(self, tensor: torch.Tensor) -> None:
        """Hold a tensor."""
        self.tensor = tensor

    def __dlpack__(self, **options: Any) -> object:  # noqa: ANN401 -- the protocol's own
        """Exchange it."""
        return self.tensor.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:  # noqa: ANN401 -- a pair of enumerations
        """Where it is."""
        return self.tensor.__dlpack_device__()


class Converted:
    """An array of some other framework that becomes a NumPy array."""

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        """As NumPy asks for it."""
        del dtype, copy
        return np.ones((2, 2), np.float32)


class TestFramework:
    """The annotation of the first parameter says whose arrays a subject takes."""

    @pytest.mark.parametrize(
        ("annotation", "expected"),
        [
            (np.ndarray, "numpy"),
            (NDArray[np.float32], "numpy"),
            ("np.ndarray", "torch"),
            ("numpy.ndarray", "numpy"),
            ("jax.Array", "jax"),
            (types.new_class("ArrayImpl", exec_body=lambda body: body.update(__module__="jaxlib._jax")), "jax"),
            (torch.Tensor, "torch"),
            (Float[torch.Tensor, "batch"], "torch"),
            (Float[np.ndarray, "batch"], "numpy"),
        ],
    )
    def test_framework_of_annotation(self, annotation: object, expected: str) -> None:
        def kernel(x: object) -> object:
            return x

        kernel.__annotations__["x"] = annotation
        assert framework_of(kernel) == expected

    @pytest.mark.parametrize("function", [lambda x: x, lambda: None, print, dict.fromkeys])
    def test_framework_of_what_says_nothing_is_torch(self, function: Callable[..., Any]) -> None:
        assert framework_of(function) == "torch"

    def test_builtin_without_a_signature_is_torch(self) -> None:
        assert framework_of(type) == "torch"

    def test_framework_that_cannot_be_is_told(self) -> None:
        with pytest.raises(SubjectError, match="check a:b: expected a dtype that NumPy has, got bfloat16"):
            require_framework("a:b", "numpy", "bfloat16")
        with pytest.raises(SubjectError, match="check a:b: expected arrays of torch, numpy, jax, got tensorflow"):
            require_framework("a:b", "tensorflow", "float32")

    def test_framework_that_is_not_installed_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(__import__("sys").modules, "jax", None)
        with pytest.raises(SubjectError, match="check a:b: expected the package jax, got ModuleNotFoundError"):
            require_framework("a:b", "jax", "float32")


class TestArrays:
    """What comes back is read without a copy where that can be."""

    def test_tensor_of_a_tensor_is_itself(self) -> None:
        tensor = torch.ones(2)
        assert as_tensor(tensor) is tensor

    def test_tensor_of_numpy_shares_memory_where_it_can(self) -> None:
        array = np.ones((2, 3))
        tensor = as_tensor(array)
        assert tensor is not None
        assert tensor.data_ptr() == array.ctypes.data
        backwards, fixed = as_tensor(array[::-1]), np.ones(2)
        fixed.flags.writeable = False
        assert backwards is not None
        assert backwards.shape == (2, 3)
        assert as_tensor(fixed) is not None

    def test_tensor_of_what_speaks_dlpack(self) -> None:
        tensor = torch.ones(2)
        read = as_tensor(Exchanged(tensor))
        assert read is not None
        assert read.data_ptr() == tensor.data_ptr()

    def test_tensor_of_what_numpy_can_convert(self) -> None:
        read = as_tensor(Converted())
        assert read is not None
        assert read.shape == (2, 2)

    @pytest.mark.parametrize("answer", [None, 3, [1.0], "text", {"tokens": 1}])
    def test_no_array_is_none(self, answer: object) -> None:
        assert as_tensor(answer) is None

    def test_array_that_torch_cannot_hold_is_told(self) -> None:
        with pytest.raises(SubjectFailedError, match="returned an array that cannot be read: TypeError: can't convert"):
            as_tensor(np.array(["a"]))

    def test_view_of_names_the_input(self) -> None:
        x, other = torch.ones(4, 4), torch.ones(4)
        assert view_of(x[1:, 2:], {"attn": other, "x": x}) == "x"
        assert view_of(torch.ones(2), {"attn": other, "x": x}) == ""
        assert view_of(x.to("meta"), {"x": x}) == ""

    def test_given_jax_is_exchanged_by_dlpack(self, monkeypatch: pytest.MonkeyPatch) -> None:
        x = torch.ones(2)
        monkeypatch.setitem(sys.modules, "jax.numpy", types.SimpleNamespace(from_dlpack=lambda tensor: [tensor]))
        assert given(x, "jax") == [x]

    def test_given_numpy_shares_memory(self) -> None:
        x = torch.ones(2)
        assert given(x, "torch") is x
        given(x, "numpy")[0] = 5.0
        assert x[0] == 5.0


class TestNumpySubject:
    """A NumPy implementation is a subject like any other."""

    @pytest.mark.long
    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
    def test_numpy_implementation_conforms(self, dtype: str) -> None:
        report = check(numpy_prune, dtype=dtype, max_examples=10)
        assert report.conforms
        assert [row.clause for row in report.rows if row.verdict == "not offered"] == ["POMT-META-7"]

    def test_numpy_implementation_that_changes_its_input_is_told(self) -> None:
        def spoiling(x: np.ndarray, attn: np.ndarray, v: np.ndarray, *, prefix: int, keep: int) -> np.ndarray:
            tokens = numpy_prune(x, attn, v, prefix=prefix, keep=keep)
            x[0] = 0
            return tokens

        (failure,) = check(spoiling, clauses="POMT-PRUNE-2", max_examples=5).failures
        assert failure.message == "POMT-PRUNE-2 wrong: modified in place: x"
        assert 'as_subject(subject, name="subject", framework="numpy").run(case).tokens' in failure.snippet
        assert 'require("POMT-PRUNE-2", case, subject, framework="numpy")' in failure.snippet
        compile(failure.snippet, "pasted", "exec")

    def test_framework_may_be_said(self) -> None:
        def unannotated(x: Any, attn: Any, v: Any, *, prefix: int, keep: int) -> Any:  # noqa: ANN401 -- says nothing
            assert isinstance(x, np.ndarray)
            return numpy_prune(x, attn, v, prefix=prefix, keep=keep)

        assert check(unannotated, framework="numpy", max_examples=3, clauses="POMT-RANK-1").conforms

    def test_scores_as_fourth_of_a_tuple_are_read(self) -> None:
        def whole(x: Any, attn: Any, v: Any, *, prefix: int, keep: int) -> Any:  # noqa: ANN401 -- says nothing
            arrays = [tensor.double().numpy() for tensor in (x, attn, v)]
            step = oracle.prune(*arrays, prefix=prefix, keep=keep)
            return torch.from_numpy(step.tokens).to(x), step.kept, step.discarded, step.scores

        report = check(whole, max_examples=5, clauses=["POMT-RANK-1", "POMT-META-7"])
        assert [row.verdict for row in report.rows] == ["conforms", "not offered"]
        assert report.conforms
        assert report.offered == ("scores", "kept", "discarded")

    @pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed")
    def test_jax_implementation_conforms(self) -> None:
        jax: Any = importlib.import_module("jax")
        jnp: Any = importlib.import_module("jax.numpy")

        def prune(x: Any, attn: Any, v: Any, *, prefix: int, keep: int) -> Any:  # noqa: ANN401 -- jax.Array
            sums = attn[:, :, prefix:, prefix:].max(1).astype(jnp.float32).sum(1)
            shares = jax.nn.softmax(v.max(1).astype(jnp.float32).sum(-1), axis=-1)[:, prefix:]
            order = jnp.argsort(-(sums / sums.max() + shares), axis=1) + prefix
            rows = jnp.take_along_axis(x, order[..., None], 1)
            mean = rows[:, keep:].astype(jnp.float32).mean(1, keepdims=True).astype(x.dtype)
            return jnp.concatenate([x[:, :prefix], rows[:, :keep], mean], 1)

        assert check(prune, framework="jax", max_examples=10).conforms


def written(path: Path, *, keep: int | None = None, wrong: bool = False, tokens: int | str = "N") -> str:
    """A small ONNX graph of POMT: prefix and keep are inputs, or keep is part of it."""
    nodes = [
        helper.make_node("Unsqueeze", ["prefix", "zero"], ["start"]),
        helper.make_node("Slice", ["attn", "start", "end", "two"], ["by_query"]),
        helper.make_node("Slice", ["by_query", "start", "end", "three"], ["between"]),
        helper.make_node("ReduceMean" if wrong else "ReduceMax", ["between", "one"], ["strongest"], keepdims=0),
        helper.make_node("ReduceSum", ["strongest", "one"], ["sums"], keepdims=0),
        helper.make_node("ReduceMax", ["sums"], ["largest"], keepdims=1),
        helper.make_node("Div", ["sums", "largest"], ["relative"]),
        helper.make_node("ReduceMax", ["v", "one"], ["values"], keepdims=0),
        helper.make_node("ReduceSum", ["values", "two"], ["t"], keepdims=0),
        helper.make_node("Softmax", ["t"], ["share"], axis=1),
        helper.make_node("Slice", ["share", "start", "end", "one"], ["patch_share"]),
        helper.make_node("Add", ["relative", "patch_share"], ["scores"]),
        helper.make_node("Shape", ["scores"], ["count"], start=1, end=2),
        helper.make_node("TopK", ["scores", "count"], ["sorted", "places"], axis=1),
        helper.make_node("Add", ["places", "prefix"], ["order"]),
        helper.make_node("Unsqueeze", ["keep", "zero"], ["cut"]),
        helper.make_node("Slice", ["order", "zero", "cut", "one"], ["kept"]),
        helper.make_node("Slice", ["order", "cut", "end", "one"], ["discarded"]),
        helper.make_node("Slice", ["x", "zero", "start", "one"], ["prefix_rows"]),
        *gathered("kept", "kept_rows"),
        *gathered("discarded", "other_rows"),
        helper.make_node("ReduceMean", ["other_rows", "one"], ["mean"], keepdims=1),
        helper.make_node("Concat", ["prefix_rows", "kept_rows", "mean"], ["tokens"], axis=1),
    ]
    numbers = {"zero": 0, "one": 1, "two": 2, "three": 3, "end": 2**31 - 1}
    constants = [helper.make_tensor(name, TensorProto.INT64, [1], [value]) for name, value in numbers.items()]
    count = helper.make_tensor_value_info("prefix", TensorProto.INT64, [])
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", tokens, "C"]),
        helper.make_tensor_value_info("attn", TensorProto.FLOAT, ["B", "H", tokens, tokens]),
        helper.make_tensor_value_info("v", TensorProto.FLOAT, ["B", "H", tokens, "D"]),
        count,
    ]
    if keep is None:
        inputs.append(helper.make_tensor_value_info("keep", TensorProto.INT64, []))
    else:
        constants.append(helper.make_tensor("keep", TensorProto.INT64, [], [keep]))
    outputs = [
        helper.make_tensor_value_info("tokens", TensorProto.FLOAT, ["B", "T", "C"]),
        helper.make_tensor_value_info("kept", TensorProto.INT64, ["B", "K"]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["B", "n"]),
    ]
    graph = helper.make_graph(nodes, "pomt", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    if keep is not None:
        helper.set_model_props(model, {"keep": str(keep)})
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return str(path)


def gathered(indices: str, rows: str) -> list[onnx.NodeProto]:
    """The rows of x at these indices, in every sample."""
    return [
        helper.make_node("Unsqueeze", [indices, "two"], [f"{rows}_of_one"]),
        helper.make_node("Shape", ["x"], [f"{rows}_channels"], start=2),
        helper.make_node("Concat", ["one", "one", f"{rows}_channels"], [f"{rows}_wide"], axis=0),
        helper.make_node("Expand", [f"{rows}_of_one", f"{rows}_wide"], [f"{rows}_at"]),
        helper.make_node("GatherElements", ["x", f"{rows}_at"], [rows], axis=1),
    ]


class TestGraph:
    """An ONNX file, run by onnxruntime, is a subject like any other."""

    @pytest.mark.long
    def test_graph_conforms(self, tmp_path: Path) -> None:
        report = check(written(tmp_path / "pomt.onnx"), max_examples=10)
        assert report.conforms
        assert report.offered == ("scores", "kept")

    def test_wrong_graph_is_told_with_a_snippet_that_loads_it(self, tmp_path: Path) -> None:
        path = written(tmp_path / "mean.onnx", wrong=True)
        (failure,) = check(path, clauses="POMT-ATT-1", max_examples=40).failures
        assert failure.divergence.startswith("scores (POMT-SCORE-1): scores[")
        with pytest.raises(AssertionError, match="POMT-ATT-1 wrong: "):
            exec(compile(failure.snippet, "pasted", "exec"), {})  # noqa: S102 -- what a person would paste

    def test_graph_made_for_one_shape_is_held_on_that_shape(self, tmp_path: Path) -> None:
        path = written(tmp_path / "fixed.onnx", keep=3, tokens=9)
        subject = load_subject(path)
        assert subject.fixed == {"tokens": 9, "keep": 3}
        report = check(path, max_examples=3)
        verdicts = {row.clause: row.verdict for row in report.rows}
        assert report.conforms
        assert [clause for clause, verdict in verdicts.items() if verdict != "conforms"] == [
            "POMT-COUNT-1",
            "POMT-META-7",
        ]
        assert check(path, max_examples=5, fixed={"heads": 2}, clauses="POMT-META-5").rows[0].verdict == "not offered"

    def test_no_graph_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(SubjectError, match=r"no\.onnx: expected an ONNX file, got no such file"):
            load_subject(str(tmp_path / "no.onnx"))
        damaged = tmp_path / "damaged.onnx"
        damaged.write_bytes(b"no graph")
        with pytest.raises(
            SubjectError, match=r"damaged\.onnx: expected an ONNX graph that onnxruntime can load, got "
        ):
            load_subject(str(damaged))

    def test_graph_with_other_inputs_is_told(self, tmp_path: Path) -> None:
        path = written(tmp_path / "pomt.onnx")
        with pytest.raises(SubjectError, match="expected inputs x, attn, and prefix and keep if any, got x, attn, v"):
            load_subject(path, method="topk")

    def test_graph_with_other_outputs_is_told(self, tmp_path: Path) -> None:
        path = written(tmp_path / "pomt.onnx")
        model = onnx.load(path)
        model.graph.output[1].name = "order"
        onnx.save(model, path)
        expected = "expected one output, or outputs among tokens, kept, discarded, scores, got tokens, order, scores"
        with pytest.raises(SubjectError, match=expected):
            load_subject(path)

    def test_graph_without_a_count_is_told(self, tmp_path: Path) -> None:
        path = written(tmp_path / "pomt.onnx", keep=2)
        model = onnx.load(path)
        del model.metadata_props[:]
        onnx.save(model, path)
        with pytest.raises(SubjectError, match="expected keep, an input or an integer in the metadata, got None"):
            load_subject(path)

    def test_runtime_that_is_not_installed_is_told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
        (tmp_path / "any.onnx").write_bytes(b"")
        with pytest.raises(SubjectError, match="expected the package onnxruntime; pip install"):
            load_subject(str(tmp_path / "any.onnx"))


class TestFixed:
    """An implementation that is made for one shape is held on that shape."""

    @pytest.mark.long
    def test_kernel_for_one_shape_conforms_on_it(self) -> None:
        def kernel(x: Any, attn: Any, v: Any, *, prefix: int, keep: int) -> Any:  # noqa: ANN401 -- tensors
            assert (x.shape[1], prefix) == (17, 1), "built for 17 tokens"
            arrays = [tensor.double().numpy() for tensor in (x, attn, v)]
            return torch.from_numpy(oracle.prune(*arrays, prefix=prefix, keep=keep).tokens).to(x)

        assert not check(kernel, max_examples=5).conforms
        report = check(kernel, max_examples=5, fixed={"tokens": 17, "prefix": 1})
        assert report.conforms

    @pytest.mark.parametrize("fixed", [{"tokens": 0}, {"rows": 3}, {"keep": -1}, {"tokens": "a"}, {"heads": True}])
    def test_size_that_cannot_be_is_told(self, fixed: dict[str, Any]) -> None:
        with pytest.raises(SubjectError, match="expected a size of one of batch, channels, features, heads, keep, pre"):
            check(numpy_prune, fixed=fixed)

    def test_sizes_may_be_numpy_integers(self) -> None:
        fixed: dict[str, Any] = {"tokens": np.int64(9)}
        assert check(numpy_prune, fixed=fixed, clauses="POMT-RANK-1", max_examples=3).conforms

    def test_sizes_that_leave_no_patch_are_told(self) -> None:
        with pytest.raises(SubjectError, match="expected sizes that leave a patch token to discard, got batch=2"):
            check(numpy_prune, fixed={"tokens": 3, "prefix": 3})

    def test_view_and_case_are_made_for_the_subject(self) -> None:
        outcome = as_subject(numpy_prune, name="a:b").run(made())
        assert outcome.tokens.shape == (2, 4, 4)
