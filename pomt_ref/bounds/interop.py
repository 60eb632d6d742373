"""LIN-1 · one pruning step as an ONNX network, and one VNN-LIB query a pair of patches: for verifiers of others.

The network ends before the ranking: it has no TopK, which verifiers do not take. Its outputs are what the order of two
scores is made of; a query asks for a point at which the first of two patches is not above the second.
"""

import importlib
from decimal import Decimal
from types import ModuleType
from typing import Any, Final

import torch

from pomt_ref.bounds.box import CLAUSE
from pomt_ref.bounds.certificate import Certificate
from pomt_ref.bounds.steps import Step
from pomt_ref.errors import CountError, KindError, MissingExtraError, OptionError

OPSET: Final = 18
"""Version of ONNX's operators: the first whose reductions all take their axes as an input."""

IR_VERSION: Final = 10
"""Version of ONNX's file format: readers refuse what is newer than they are."""

NODES: Final[tuple[tuple[str, list[str], str, dict[str, int]], ...]] = (
    ("Slice", ["X", "zero", "split", "zero"], "flat_logits", {}),
    ("Slice", ["X", "split", "end", "zero"], "flat_values", {}),
    ("Reshape", ["flat_logits", "logits_shape"], "logits", {}),
    ("Reshape", ["flat_values", "values_shape"], "values", {}),
    ("Softmax", ["logits"], "attention", {"axis": -1}),
    ("Slice", ["attention", "from_both", "to_both", "both"], "between_patches", {}),
    ("ReduceMax", ["between_patches", "zero"], "head_maximum", {"keepdims": 0}),
    ("ReduceSum", ["head_maximum", "zero"], "S", {"keepdims": 0}),
    ("Unsqueeze", ["S", "one"], "S_i", {}),
    ("Unsqueeze", ["S", "zero"], "S_j", {}),
    ("Sub", ["S_i", "S_j"], "D", {}),
    ("Reshape", ["D", "flat"], "flat_D", {}),
    ("ReduceMax", ["values", "zero"], "strongest_values", {"keepdims": 0}),
    ("ReduceSum", ["strongest_values", "one"], "t", {"keepdims": 0}),
    ("Softmax", ["t"], "shares", {"axis": -1}),
    ("Slice", ["shares", "prefix", "tokens", "zero"], "p", {}),
    ("Concat", ["flat_D", "t", "p"], "Y", {"axis": 0}),
)
"""The network: an operator, what it reads, what it writes, and its attributes."""


def to_onnx(step: Step) -> Any:  # noqa: ANN401 -- onnx.ModelProto, which an environment without onnx cannot name
    r"""LIN-1: D and t of one step as an ONNX network in float64, of logits and values, for one sample.

    .. math::
        D_{ij} = S_i - S_j, \qquad t_k = \sum_d \max_h v_{hkd}, \qquad p = \mathrm{softmax}(t) \text{ of the patches}

    Arguments:
        step: of a certificate that was asked with logits; its shapes and its prefix count.

    Returns:
        ``onnx.ModelProto``, checked by ``onnx.checker``. Verifiers take one input and one output, so the input ``X``
        holds the logits (heads, tokens, tokens) and then the values (heads, tokens, features), the output ``Y`` holds D
        (patches, patches), then t (tokens), then p (patches), each in row-major order.

    Raises:
        MissingExtraError: onnx is not installed (extra ``interop``).
        PomtError: a step that was asked with attention.
    """
    if not isinstance(step, Step):
        raise KindError("to_onnx", CLAUSE, "a Step: that of a certificate", type(step).__name__)
    onnx = _load_onnx()
    if step.logits is None:
        raise OptionError("to_onnx", CLAUSE, "a step of logits", "one of attention")
    numbers = _sizes(step)
    (inputs,), (outputs,) = numbers["end"], numbers["outputs"]
    make, info, double, whole = (
        *(onnx.helper.make_node, onnx.helper.make_tensor_value_info),
        *(onnx.TensorProto.DOUBLE, onnx.TensorProto.INT64),
    )
    graph = onnx.helper.make_graph(
        [make(kind, reads, [writes], **options) for kind, reads, writes, options in NODES],
        "pomt_step",
        [info("X", double, (inputs,))],
        [info("Y", double, (outputs,))],
        [onnx.helper.make_tensor(name, whole, [len(value)], value) for name, value in numbers.items()],
    )
    opsets = [onnx.helper.make_opsetid("", OPSET)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="pomt_ref")
    onnx.checker.check_model(model, full_check=True)
    return model


def to_vnnlib(certificate: Certificate, i: int, j: int, *, sample: int = 0) -> str:
    r"""LIN-1: the question whether patch i can fail to come before patch j, as a VNN-LIB 2.0 query on that network.

    .. math:: \exists \text{ point of the box}: \quad
        D_{ij} + M^- (p_i - p_j) \le 0 \quad\text{or}\quad D_{ij} + M^+ (p_i - p_j) \le 0

    D + M δ is linear in M, so if neither happens at the ends of M it does not happen between them: *unsatisfiable*
    means that s_i > s_j at every point of the box. A point that satisfies the query need not reverse the order, since M
    cannot be at both of its ends.

    Arguments:
        certificate: of a step that was asked with logits; its boxes, and its bounds of M.
        i: a patch, in [0, n).
        j: another patch.
        sample: of the batch.

    Returns:
        the text of the query; bounds are written so that they read back as the same float64.

    Raises:
        PomtError: patches or samples that are not there, or a step that was asked with attention.
    """
    if not isinstance(certificate, Certificate):
        raise KindError("to_vnnlib", CLAUSE, "a Certificate", type(certificate).__name__)
    for name, value in (("i", i), ("j", j), ("sample", sample)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise KindError("to_vnnlib", CLAUSE, f"{name}, an int", f"{name}={value!r}")
    step = certificate.step
    if step.logits is None:
        raise OptionError("to_vnnlib", CLAUSE, "a step of logits", "one of attention")
    samples, patches, _ = certificate.order.shape
    if not (0 <= i < patches and 0 <= j < patches and i != j and 0 <= sample < samples):
        expected = f"two patches in [0, {patches - 1}] and a sample in [0, {samples - 1}]"
        raise CountError("to_vnnlib", CLAUSE, expected, f"i={i}, j={j}, sample={sample}")
    low, high = (
        torch.cat([getattr(box, side)[sample].flatten() for box in (step.logits, step.values)]).tolist()
        for side in ("lo", "hi")
    )
    tokens = step.values.shape[2]
    lines = [
        "(vnnlib-version <2.0>)",
        "(declare-network step",
        f"  (declare-input X float64 [{len(low)}])",
        f"  (declare-output Y float64 [{patches**2 + tokens + patches}])",
        ")",
    ]
    for place, ends in enumerate(zip(low, high, strict=True)):
        lines += [f"(assert ({sign} X[{place}] {_number(end)}))" for sign, end in zip((">=", "<="), ends, strict=True)]
    d, p = i * patches + j, patches**2 + tokens
    row = sample % len(certificate.largest.lo)
    largest = (float(side[row, 0]) for side in (certificate.largest.lo, certificate.largest.hi))
    falls = [f"(<= (+ Y[{d}] (* {_number(m)} Y[{p + i}]) (* {_number(-m)} Y[{p + j}])) 0.0)" for m in largest]
    lines.append(f"(assert (or {' '.join(falls)}))")
    return "\n".join(lines) + "\n"


def _sizes(step: Step) -> dict[str, list[int]]:
    """The whole numbers that the network reads, by name; and how many outputs it has."""
    _, heads, tokens, features = step.values.shape
    patches, split = tokens - step.prefix, heads * tokens**2
    return {
        "zero": [0],
        "one": [1],
        "flat": [-1],
        "both": [1, 2],
        "split": [split],
        "end": [split + heads * tokens * features],
        "logits_shape": [heads, tokens, tokens],
        "values_shape": [heads, tokens, features],
        "from_both": [step.prefix] * 2,
        "to_both": [tokens] * 2,
        "prefix": [step.prefix],
        "tokens": [tokens],
        "outputs": [patches**2 + tokens + patches],
    }


def _load_onnx() -> ModuleType:
    """Onnx, which only this module needs."""
    try:
        return importlib.import_module("onnx")
    except ImportError as error:
        raise MissingExtraError("to_onnx", "interop", "onnx") from error


def _number(value: float) -> str:
    """The shortest decimal that reads back as this float64, without an exponent: the format has none."""
    return f"{Decimal(repr(value)):f}"
