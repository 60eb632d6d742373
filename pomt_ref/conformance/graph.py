"""An ONNX file as an implementation, run by onnxruntime on the CPU."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import numpy as np

from pomt_ref.conformance.errors import SubjectError
from pomt_ref.testing import Method

AXES: Final[Mapping[str, tuple[str, ...]]] = {
    "x": ("batch", "tokens", "channels"),
    "attn": ("batch", "heads", "tokens", "tokens"),
    "v": ("batch", "heads", "tokens", "features"),
}
"""The inputs of a graph, by name, and their axes."""

COUNTS: Final = ("prefix", "keep")
"""Inputs, integers, of a graph that takes them; of one that does not, metadata that says what it was made for."""

OUTPUTS: Final = ("tokens", "kept", "discarded", "scores")
"""Outputs of a graph, by name; one that has a single output may name it as it likes."""


@dataclass(frozen=True)
class Graph:
    """A graph that can be called as ``(x, attn, v, *, prefix, keep)`` on NumPy arrays."""

    session: Any
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    fixed: Mapping[str, int] = field(default_factory=dict)
    """The axes and counts that the graph was exported with, where it was not exported for any."""

    def __call__(self, *arrays: np.ndarray, prefix: int, keep: int) -> SimpleNamespace:
        """Run it once."""
        feed: dict[str, np.ndarray] = dict(zip(AXES, arrays, strict=False))
        feed |= {"prefix": np.array(prefix, np.int64), "keep": np.array(keep, np.int64)}
        answers = self.session.run(None, {name: feed[name] for name in self.inputs})
        return SimpleNamespace(**dict(zip(self.outputs, answers, strict=True)))


def load_graph(path: str, *, method: Method) -> Graph:
    """Load an ONNX file.

    Its inputs are named x, attn and v (Top-K and EViT: x and attn); prefix and keep are inputs too, int64 scalars, or
    integers in the metadata of the model.

    Raises:
        SubjectError: no such file, no onnxruntime, no ONNX graph, or other inputs; one line says which.
    """
    if not Path(path).is_file():
        raise SubjectError(path, "an ONNX file", "no such file" if not Path(path).exists() else "what is no file")
    try:
        runtime = import_module("onnxruntime")
    except ImportError as error:
        raise SubjectError(path, "the package onnxruntime; pip install 'pomt-ref[onnx]'", "no such package") from error
    try:
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1  # cases are small: a second thread costs more than it brings
        session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        told = str(error).strip().partition("\n")[0]
        raise SubjectError(path, "an ONNX graph that onnxruntime can load", told) from error
    inputs = {node.name: node.shape for node in session.get_inputs()}
    wanted = [name for name in AXES if method == "pomt" or name != "v"]
    if not set(wanted) <= set(inputs) <= {*wanted, *COUNTS}:
        raise SubjectError(path, f"inputs {', '.join(wanted)}, and prefix and keep if any", f"{', '.join(inputs)}")
    names = tuple(node.name for node in session.get_outputs())
    outputs = ("tokens",) if len(names) == 1 else names
    if not {"tokens"} <= set(outputs) <= set(OUTPUTS):
        raise SubjectError(path, f"one output, or outputs among {', '.join(OUTPUTS)}", f"{', '.join(names)}")
    return Graph(session, tuple(inputs), outputs, _fixed(path, session, inputs))


def _fixed(path: str, session: Any, inputs: Mapping[str, list[int | str | None]]) -> dict[str, int]:  # noqa: ANN401 -- onnxruntime has no types
    """The sizes that the graph has as numbers, and the counts that it does not take."""
    fixed = {
        axis: size
        for name, axes in AXES.items()
        for axis, size in zip(axes, inputs.get(name, []), strict=False)
        if isinstance(size, int)
    }
    metadata = session.get_modelmeta().custom_metadata_map
    for count in COUNTS:
        if count not in inputs:
            if not metadata.get(count, "").isdecimal():
                raise SubjectError(path, f"{count}, an input or an integer in the metadata", f"{metadata.get(count)}")
            fixed[count] = int(metadata[count])
    return fixed
