"""Every message of the bounds, word for word: what is no box, no plane, no step and no layer is refused by name.

These run without the run-time checker of annotations, which would refuse most of these calls first, in its own words.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pytest
import torch
from torch import nn

from pomt_ref import PomtError
from pomt_ref.bounds import (
    AttentionLayer,
    Box,
    MlpResidual,
    attention_difference,
    batch_max_bounds,
    block_difference,
    certify,
    certify_tokens,
    lowest,
    max_envelope,
    relax_max,
    softmax_bounds,
    value_difference,
    worst_gap,
)
from pomt_ref.bounds.interop import to_onnx, to_vnnlib

NAN: Final = float("nan")
INFINITY: Final = float("inf")


def box(*shape: int, size: float = 1.0) -> Box:
    """From zero to ``size`` in every entry."""
    return Box(torch.zeros(shape), torch.full(shape, size))


LOGITS: Final = box(1, 2, 4, 4)
VALUES: Final = box(1, 2, 4, 3)
PAIR: Final = Box(torch.tensor([0.0, 2.0]), torch.tensor([3.0, 4.0]))
WEIGHT: Final = torch.ones(2, 3, 5)
BIAS: Final = torch.zeros(2, 3)
LAYER: Final = AttentionLayer(WEIGHT, WEIGHT, WEIGHT, BIAS, BIAS, BIAS)
HUGE: Final = Box(*(torch.full((1, 2, 4, 3), sign * 1.0e308, dtype=torch.float64) for sign in (-1, 1)))
OF_LOGITS: Final = {"logits": LOGITS, "values": VALUES, "keep": 1}


def step(**changes: Any) -> Any:  # noqa: ANN401 -- what certify takes and gives
    """A certificate of a valid step with some arguments changed."""
    arguments: dict[str, Any] = {**OF_LOGITS, **changes}
    return certify(**arguments)


def of_tokens(**changes: Any) -> Any:  # noqa: ANN401 -- as above
    """A certificate of a valid box of tokens with some arguments changed."""
    arguments: dict[str, Any] = {"tokens": box(1, 4, 5), "layer": LAYER, "keep": 1, **changes}
    return certify_tokens(**arguments)


def mlp(norm: nn.Module | None = None, up: nn.Module | None = None, down: nn.Module | None = None) -> MlpResidual:
    """An MLP residual of two channels with one module changed."""
    up, down = up or nn.Linear(2, 3), down or nn.Linear(3, 2)
    return MlpResidual.of(norm or nn.LayerNorm(2), nn.Sequential(up, nn.GELU(), down))


REFUSALS: Final[list[tuple[Callable[[], object], str, str]]] = [
    # boxes
    (lambda: Box([0.0], torch.ones(1)), "KindError", "Box: expected lo, a torch.Tensor (LIN-1), got list"),  # type: ignore[arg-type]
    (
        lambda: Box(torch.zeros(1), torch.ones(1, dtype=torch.int64)),
        "DtypeError",
        "Box: expected hi in float16, bfloat16, float32 or float64 (LIN-1), got torch.int64",
    ),
    (
        lambda: Box(torch.zeros(1), torch.ones(2)),
        "ShapeError",
        "Box: expected lo and hi of one shape (LIN-1), got lo (1,), hi (2,)",
    ),
    (lambda: box(2, 0), "ShapeError", "Box: expected no axis empty (LIN-1), got (2, 0)"),
    (
        lambda: Box(torch.zeros(1), torch.ones(1, device="meta")),
        "DeviceError",
        "Box: expected lo and hi on one device (LIN-1), got lo on cpu, hi on meta",
    ),
    (
        lambda: Box(torch.tensor([0.0, NAN]), torch.ones(2)),
        "ValuesError",
        "Box: expected finite lo (LIN-1), got lo[1] = nan",
    ),
    (
        lambda: Box(torch.zeros(2), torch.tensor([INFINITY, 1.0])),
        "ValuesError",
        "Box: expected finite hi (LIN-1), got hi[0] = inf",
    ),
    (
        lambda: Box(torch.tensor([[0.0, 2.0]]), torch.ones(1, 2)),
        "ValuesError",
        "Box: expected lo <= hi (LIN-1), got lo[0, 1] = 2, hi[0, 1] = 1",
    ),
    (
        lambda: Box.around(torch.zeros(1), -0.5),
        "ValuesError",
        "Box.around: expected a finite radius >= 0 (LIN-1), got radius=-0.5",
    ),
    (
        lambda: Box.around(torch.zeros(1), NAN),
        "ValuesError",
        "Box.around: expected a finite radius >= 0 (LIN-1), got radius=nan",
    ),
    (
        lambda: Box.around(torch.zeros(2), torch.ones(3)),
        "ShapeError",
        "Box.around: expected a radius that broadcasts to (2,) (LIN-1), got (3,)",
    ),
    (
        lambda: box(2).intersect(box(3)),
        "ShapeError",
        "Box.intersect: expected boxes of one shape (LIN-1), got (2,) and (3,)",
    ),
    # planes
    (
        lambda: relax_max(PAIR, upper=1.5),
        "ValuesError",
        "relax_max: expected a threshold t >= L, the largest lower bound (LIN-1), got upper[] = 1.5",
    ),
    (
        lambda: relax_max(PAIR, upper=NAN),
        "ValuesError",
        "relax_max: expected a finite threshold (LIN-1), got upper[] = nan",
    ),
    (
        lambda: relax_max(PAIR, upper=torch.ones(3)),
        "OptionError",
        "relax_max: expected upper of shape (), the box's without its axis 0 (LIN-1), got (3,)",
    ),
    (
        lambda: relax_max(PAIR, upper=True),
        "KindError",
        "relax_max: expected upper, a name, a number or a tensor of them (LIN-1), got upper=True",
    ),
    (
        lambda: relax_max(PAIR, upper="best"),  # type: ignore[arg-type]
        "OptionError",
        (
            "relax_max: expected upper in ('volume-minimax', 'minimax', 'parallel', 'deeppoly', 'maxlin', 'ti-lin') "
            "(LIN-1), got upper='best'"
        ),
    ),
    (
        lambda: relax_max(PAIR, lower="best"),  # type: ignore[arg-type]
        "OptionError",
        "relax_max: expected lower in ('volume', 'minimax') (LIN-1), got lower='best'",
    ),
    (
        lambda: relax_max(box(2, 3)),
        "OptionError",
        (
            "relax_max: expected dim, unless the box has one axis or (batch, heads, …) four (LIN-1), "
            "got dim=None for a box of shape (2, 3)"
        ),
    ),
    (lambda: relax_max(PAIR, dim=1), "CountError", "relax_max: expected -1 <= dim <= 0 (LIN-1), got dim=1"),
    (lambda: relax_max(PAIR, dim=True), "KindError", "relax_max: expected dim, an int (LIN-1), got dim=True"),
    (
        lambda: relax_max(Box(HUGE.lo * 1.7, HUGE.hi * 1.7)),
        "ValuesError",
        "relax_max: expected a finite intercept (LIN-1), got intercept[0, 0, 0] = nan",
    ),
    (
        lambda: max_envelope(PAIR, torch.zeros(3)),
        "ShapeError",
        "max_envelope: expected x of the box's shape (2,) (LIN-1), got (3,)",
    ),
    (
        lambda: max_envelope(PAIR, torch.tensor([0.0, NAN])),
        "ValuesError",
        "max_envelope: expected x inside the box (LIN-1), got a point outside, or NaN",
    ),
    (
        lambda: max_envelope(Box(HUGE.lo * 1.7, HUGE.hi * 1.7), HUGE.hi),
        "ValuesError",
        "max_envelope: expected a box whose widths are finite (LIN-1), got envelope[0, 0, 0] = nan",
    ),
    (
        lambda: worst_gap(relax_max(PAIR), side="left"),  # type: ignore[arg-type]
        "OptionError",
        "worst_gap: expected side in ('upper', 'lower') (LIN-1), got side='left'",
    ),
    # ranges
    (lambda: softmax_bounds(PAIR, dim=1), "CountError", "softmax_bounds: expected -1 <= dim <= 0 (LIN-1), got dim=1"),
    (
        lambda: softmax_bounds(PAIR, dim=0.0),  # type: ignore[arg-type]
        "KindError",
        "softmax_bounds: expected dim, an int (LIN-1), got dim=0.0",
    ),
    (
        lambda: value_difference(Box(HUGE.lo, HUGE.hi)),
        "ValuesError",
        "value_difference: expected finite value sums (POMT-MAG-1), got lo[0, 0] = -inf",
    ),
    (
        lambda: batch_max_bounds(PAIR),
        "ShapeError",
        "batch_max_bounds: expected sums of shape (batch, patches) (LIN-1), got (2,)",
    ),
    (
        lambda: batch_max_bounds(box(1, 2), normalisation="all"),  # type: ignore[arg-type]
        "OptionError",
        "batch_max_bounds: expected normalisation in ('batch', 'sample') (POMT-ATT-2), got normalisation='all'",
    ),
    # certificates
    (lambda: step(values=None), "KindError", "certify: expected values, a Box (LIN-1), got NoneType"),
    (lambda: step(x=torch.zeros(1)), "KindError", "certify: expected x, a Box (LIN-1), got Tensor"),
    (
        lambda: step(logits=None),
        "OptionError",
        "certify: expected exactly one of logits and attention (LIN-1), got neither",
    ),
    (
        lambda: step(attention=LOGITS),
        "OptionError",
        "certify: expected exactly one of logits and attention (LIN-1), got both",
    ),
    (
        lambda: step(logits=box(1, 2, 4, 5)),
        "ShapeError",
        "certify: expected logits of shape (batch, heads, tokens, tokens) (LIN-1), got (1, 2, 4, 5)",
    ),
    (
        lambda: step(logits=box(1, 2, 5, 5)),
        "ShapeError",
        "certify: expected logits and v with the same tokens (POMT-PRUNE-1), got logits (1, 2, 5, 5), v (1, 2, 4, 3)",
    ),
    (
        lambda: step(x=box(1, 5, 2)),
        "ShapeError",
        "certify: expected x of shape (1, 4, channels) (LIN-1), got (1, 5, 2)",
    ),
    (lambda: step(prefix=4), "CountError", "certify: expected 0 <= prefix <= 3 (POMT-MAG-1), got prefix=4 (tokens=4)"),
    (
        lambda: step(keep=3),
        "CountError",
        "certify: expected 0 <= keep <= 2 (POMT-PRUNE-1), got keep=3 (tokens=4, prefix=1)",
    ),
    (
        lambda: step(keep=-1),
        "CountError",
        "certify: expected 0 <= keep <= 2 (POMT-PRUNE-1), got keep=-1 (tokens=4, prefix=1)",
    ),
    (
        lambda: step(keep=None, remove=3),
        "CountError",
        "certify: expected 1 <= remove <= 2 (POMT-COUNT-1), got remove=3 (tokens=4, prefix=1)",
    ),
    (
        lambda: step(remove=1),
        "OptionError",
        "certify: expected exactly one of keep and remove (POMT-COUNT-1), got keep=1, remove=1",
    ),
    (
        lambda: step(normalisation="all"),
        "OptionError",
        "certify: expected normalisation in ('batch', 'sample') (POMT-ATT-2), got normalisation='all'",
    ),
    (
        lambda: step(arithmetic="float16"),
        "OptionError",
        "certify: expected arithmetic in ('real', 'float32', 'float64') (LIN-1), got arithmetic='float16'",
    ),
    (
        lambda: step(logits=None, attention=LOGITS),
        "ValuesError",
        (
            "certify: expected some patch-to-patch attention above zero at every point of the box (POMT-ATT-2), "
            "got M[0, 0] = 0"
        ),
    ),
    (
        lambda: step(values=Box(HUGE.lo, HUGE.hi)),
        "ValuesError",
        "certify: expected finite value sums (POMT-MAG-1), got lo[0, 0] = -inf",
    ),
    (
        lambda: step(values=Box(HUGE.lo / 1e268, HUGE.hi / 1e268), arithmetic="float32"),
        "ValuesError",
        "certify: expected sums that the arithmetic holds (FLOAT-1), got margin[0, 0] = inf",
    ),
    (
        lambda: step(x=box(1, 4, 2, size=3e38), arithmetic="float32"),
        "ValuesError",
        "certify: expected rows of x that the arithmetic can add (FLOAT-2), got size[0, 0] = 3.00000001e+38",
    ),
    (lambda: step().counterexample(0, 3), "CountError", "counterexample: expected 0 <= j <= 2 (LIN-1), got j=3"),
    (
        lambda: step().counterexample(0, 1, sample=1),
        "CountError",
        "counterexample: expected 0 <= sample <= 0 (LIN-1), got sample=1",
    ),
    (lambda: step().counterexample(1, 1), "CountError", "counterexample: expected two patches (LIN-1), got i=1, j=1"),
    (lambda: step().counterexample("0", 1), "KindError", "counterexample: expected i, an int (LIN-1), got i='0'"),
    (
        lambda: replace(step(), order=torch.ones(1, 3, 3, dtype=torch.bool)).counterexample(0, 2),
        "OptionError",
        "counterexample: expected a pair whose order is not certain (LIN-1), got order[0, 0, 2], which is certain",
    ),
    # tokens and layers
    (
        lambda: of_tokens(tokens=torch.zeros(1, 4, 5)),
        "KindError",
        "certify_tokens: expected tokens, a Box (LIN-1), got Tensor",
    ),
    (
        lambda: of_tokens(layer=WEIGHT),
        "KindError",
        "certify_tokens: expected layer, an AttentionLayer (LIN-1), got Tensor",
    ),
    (
        lambda: of_tokens(tokens=box(1, 4, 6)),
        "ShapeError",
        "certify_tokens: expected tokens of shape (batch, tokens, 5) (LIN-1), got (1, 4, 6)",
    ),
    (
        lambda: of_tokens(tokens=box(1, 4, 5, size=3e38), layer=replace(LAYER, key_weight=WEIGHT.double() * 1e280)),
        "ValuesError",
        "certify_tokens: expected finite products of tokens and weights (LIN-1), got size[0, 0, 0] = inf",
    ),
    (
        lambda: of_tokens(layer=replace(LAYER, value_weight=WEIGHT.double() * 1e308)),
        "ValuesError",
        "certify_tokens: expected finite products of tokens and weights (LIN-1), got size[0, 0, 0, 0] = inf",
    ),
    (
        lambda: of_tokens(
            tokens=box(1, 4, 5, size=1e-30),
            layer=replace(LAYER, query_weight=WEIGHT.double() * 1e160, key_weight=WEIGHT.double() * 1e150),
        ),
        "ValuesError",
        "certify_tokens: expected finite products of weights (LIN-1), got product[0, 0, 0] = inf",
    ),
    (
        lambda: of_tokens(layer=replace(LAYER, key_weight=WEIGHT * 1e38), arithmetic="float32"),
        "ValuesError",
        "certify_tokens: expected sums that the arithmetic holds (FLOAT-1), got margin[0, 0] = inf",
    ),
    (
        lambda: of_tokens(arithmetic="float16"),
        "OptionError",
        "certify_tokens: expected arithmetic in ('real', 'float32', 'float64') (LIN-1), got arithmetic='float16'",
    ),
    (
        lambda: of_tokens(keep=9),
        "CountError",
        "certify_tokens: expected 0 <= keep <= 2 (POMT-PRUNE-1), got keep=9 (tokens=4, prefix=1)",
    ),
    (
        lambda: replace(LAYER, key_weight=3),  # type: ignore[arg-type]
        "KindError",
        "AttentionLayer: expected key_weight, a torch.Tensor (LIN-1), got int",
    ),
    (
        lambda: replace(LAYER, key_weight=WEIGHT.long()),
        "DtypeError",
        "AttentionLayer: expected key_weight in float16, bfloat16, float32 or float64 (LIN-1), got torch.int64",
    ),
    (
        lambda: replace(LAYER, key_bias=torch.zeros(3, 2)),
        "ShapeError",
        "AttentionLayer: expected key_bias of shape (heads, features) (LIN-1), got (3, 2)",
    ),
    (
        lambda: replace(LAYER, value_weight=WEIGHT * NAN),
        "ValuesError",
        "AttentionLayer: expected finite value_weight (LIN-1), got value_weight[0, 0, 0] = nan",
    ),
    (
        lambda: AttentionLayer.from_joint(torch.ones(10, 4), torch.ones(10), heads=2),
        "ShapeError",
        (
            "AttentionLayer.from_joint: expected a weight (3 x 2 x features, channels) and its bias (LIN-1), "
            "got (10, 4), (10,)"
        ),
    ),
    # blocks and attacks
    (
        lambda: block_difference(step()),
        "OptionError",
        "block_difference: expected a certificate of a step with x (LIN-1), got one without",
    ),
    (
        lambda: block_difference(LOGITS),  # type: ignore[arg-type]
        "KindError",
        "block_difference: expected a Certificate (LIN-1), got Box",
    ),
    (
        lambda: MlpResidual.of(nn.LayerNorm(2), nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))),
        "KindError",
        (
            "MlpResidual.of: expected LayerNorm and Sequential(Linear, GELU, Linear) (LIN-1), "
            "got LayerNorm and Sequential(Linear, ReLU, Linear)"
        ),
    ),
    (
        lambda: MlpResidual.of(nn.Identity(), nn.Linear(2, 2)),
        "KindError",
        "MlpResidual.of: expected LayerNorm and Sequential(Linear, GELU, Linear) (LIN-1), got Identity and Linear()",
    ),
    (
        lambda: mlp(nn.LayerNorm(2)).bounds(Box(PAIR.lo.double() * 1e160, PAIR.hi.double() * 1e160)),
        "ValuesError",
        "MlpResidual.bounds: expected rows whose squares float64 holds (LIN-1), got deviation[0] = inf",
    ),
    (
        lambda: lowest(torch.sum, (PAIR,), steps=0),
        "OptionError",
        "lowest: expected steps >= 1 and restarts >= 1 (LIN-1), got steps=0, restarts=4",
    ),
]


KINDS: Final[dict[str, tuple[Callable[[], object], str]]] = {
    "relax_max": (lambda: relax_max(torch.zeros(2)), "relax_max: expected box, a Box (LIN-1), got Tensor"),  # type: ignore[arg-type]
    "max_envelope": (
        lambda: max_envelope(None, torch.zeros(2)),  # type: ignore[arg-type]
        "max_envelope: expected box, a Box (LIN-1), got NoneType",
    ),
    "max_envelope of a list": (
        lambda: max_envelope(PAIR, [0.0, 2.0]),  # type: ignore[arg-type]
        "max_envelope: expected x, a torch.Tensor (LIN-1), got list",
    ),
    "worst_gap": (lambda: worst_gap(PAIR), "worst_gap: expected bounds, LinearBounds (LIN-1), got Box"),  # type: ignore[arg-type]
    "worst_gap of a list": (
        lambda: worst_gap(relax_max(PAIR), side=["upper"]),  # type: ignore[arg-type]
        "worst_gap: expected side in ('upper', 'lower') (LIN-1), got side=['upper']",
    ),
    "softmax_bounds": (
        lambda: softmax_bounds(torch.zeros(2)),  # type: ignore[arg-type]
        "softmax_bounds: expected logits, a Box (LIN-1), got Tensor",
    ),
    "attention_difference": (
        lambda: attention_difference(None),  # type: ignore[arg-type]
        "attention_difference: expected logits, a Box (LIN-1), got NoneType",
    ),
    "value_difference": (
        lambda: value_difference(None),  # type: ignore[arg-type]
        "value_difference: expected values, a Box (LIN-1), got NoneType",
    ),
    "batch_max_bounds": (
        lambda: batch_max_bounds(torch.zeros(1, 2)),  # type: ignore[arg-type]
        "batch_max_bounds: expected sums, a Box (LIN-1), got Tensor",
    ),
    "contains a list": (
        lambda: PAIR.contains([0.0, 2.0]),  # type: ignore[arg-type]
        "Box.contains: expected value, a torch.Tensor (LIN-1), got list",
    ),
    "contains a complex": (
        lambda: PAIR.contains(torch.zeros(2, dtype=torch.complex64)),
        "Box.contains: expected value, a torch.Tensor of real numbers (LIN-1), got torch.complex64",
    ),
    "contains another shape": (
        lambda: PAIR.contains(torch.zeros(3)),
        "Box.contains: expected a value whose last axes are (2,) (LIN-1), got (3,)",
    ),
    "intersect": (lambda: PAIR.intersect(None), "Box.intersect: expected other, a Box (LIN-1), got NoneType"),  # type: ignore[arg-type]
    "around a word": (
        lambda: Box.around(torch.zeros(1), "a"),  # type: ignore[arg-type]
        "Box.around: expected radius, a real number or a tensor of them (LIN-1), got radius='a'",
    ),
    "around a complex": (
        lambda: Box.around(torch.zeros(1), torch.tensor(1j)),
        "Box.around: expected radius, a real number or a tensor of them (LIN-1), got radius=tensor(0.+1.j)",
    ),
    "sparse": (
        lambda: Box(torch.zeros(2).to_sparse(), torch.zeros(2)),
        "Box: expected lo, a dense tensor (LIN-1), got torch.sparse_coo",
    ),
    "nested": (
        lambda: Box.point(torch.nested.nested_tensor([torch.zeros(2)], layout=torch.jagged)),
        "Box: expected lo, a dense tensor (LIN-1), got a nested tensor",
    ),
    "meta": (
        lambda: Box.point(torch.zeros(2, device="meta")),
        "Box: expected lo and hi with values (LIN-1), got lo and hi on meta",
    ),
    "threshold of many digits": (
        lambda: relax_max(PAIR, upper=10**400),
        "relax_max: expected upper that float64 holds (LIN-1), got int too large to convert to float",
    ),
    "complex threshold": (
        lambda: relax_max(PAIR, upper=torch.tensor(3j)),
        "relax_max: expected upper, a name, a number or a tensor of them (LIN-1), got upper=tensor(0.+3.j)",
    ),
    "no heads": (
        lambda: AttentionLayer.from_joint(torch.ones(6, 4), torch.ones(6), heads=0),
        "AttentionLayer.from_joint: expected heads >= 1 (LIN-1), got heads=0",
    ),
    "heads of a float": (
        lambda: AttentionLayer.from_joint(torch.ones(6, 4), torch.ones(6), heads=1.0),  # type: ignore[arg-type]
        "AttentionLayer.from_joint: expected heads, an int (LIN-1), got heads=1.0",
    ),
    "no joint bias": (
        lambda: AttentionLayer.from_joint(torch.ones(6, 4), None, heads=1),  # type: ignore[arg-type]
        "AttentionLayer.from_joint: expected bias, a torch.Tensor (LIN-1), got NoneType",
    ),
    "norm without bias": (
        lambda: mlp(nn.LayerNorm(2, bias=False)),
        "MlpResidual.of: expected norm with weight and bias (LIN-1), got bias None",
    ),
    "norm without weight": (
        lambda: mlp(nn.LayerNorm(2, elementwise_affine=False)),
        "MlpResidual.of: expected norm with weight and bias (LIN-1), got weight None",
    ),
    "map without bias": (
        lambda: mlp(up=nn.Linear(2, 3, bias=False)),
        "MlpResidual.of: expected up with weight and bias (LIN-1), got bias None",
    ),
    "norm of two axes": (
        lambda: mlp(nn.LayerNorm([4, 2])),
        (
            "MlpResidual.of: expected norm (channels), up (hidden, channels) and down (channels, hidden) (LIN-1), "
            "got norm (4, 2), up (3, 2), down (2, 3)"
        ),
    ),
    "rows of other channels": (
        lambda: mlp().bounds(box(3)),
        "MlpResidual.bounds: expected x of 2 channels (LIN-1), got (3,)",
    ),
    "block of a module": (
        lambda: block_difference(step(), nn.Linear(2, 2)),  # type: ignore[arg-type]
        "block_difference: expected mlp, an MlpResidual (LIN-1), got Linear",
    ),
    "query of floats": (lambda: to_vnnlib(step(), 0.0, 1), "to_vnnlib: expected i, an int (LIN-1), got i=0.0"),  # type: ignore[arg-type]
    "query of bools": (lambda: to_vnnlib(step(), 0, j=True), "to_vnnlib: expected j, an int (LIN-1), got j=True"),
    "query of a step": (
        lambda: to_vnnlib(step().step, 0, 1),
        "to_vnnlib: expected a Certificate (LIN-1), got Step",
    ),
    "network of a certificate": (
        lambda: to_onnx(step()),
        "to_onnx: expected a Step: that of a certificate (LIN-1), got Certificate",
    ),
    "attack of a word": (
        lambda: lowest(torch.sum, (PAIR,), steps="a"),  # type: ignore[arg-type]
        "lowest: expected steps, an int (LIN-1), got steps='a'",
    ),
    "attack without boxes": (
        lambda: lowest(torch.sum, ()),
        "lowest: expected boxes, a tuple of at least one (LIN-1), got ()",
    ),
    "attack of a tensor": (
        lambda: lowest(torch.sum, (torch.zeros(2),)),  # type: ignore[arg-type]
        "lowest: expected boxes[0], a Box (LIN-1), got Tensor",
    ),
    "attack of many numbers": (
        lambda: lowest(lambda x: x, (PAIR,)),
        "lowest: expected a function with a differentiable tensor of no axes (LIN-1), got (2,)",
    ),
    "attack of a float": (
        lambda: lowest(lambda _: 1.0, (PAIR,)),  # type: ignore[arg-type, return-value]
        "lowest: expected a function with a differentiable tensor of no axes (LIN-1), got float",
    ),
    "attack of NaN": (
        lambda: lowest(lambda x: x.sum() * NAN, (PAIR,)),
        "lowest: expected a function that is below infinity somewhere (LIN-1), got NaN or inf at every point",
    ),
}
"""Arguments of other kinds, and what is said of them."""


@pytest.mark.parametrize("name", KINDS)
def test_arguments_of_other_kinds_are_refused(name: str) -> None:
    call, message = KINDS[name]
    with pytest.raises(PomtError, match=f"^{re.escape(message)}$"):
        call()


def test_boxes_and_layers_are_copies() -> None:
    """What later becomes of a tensor does not change what was certified."""
    numbers, weights = torch.ones(2, dtype=torch.float64), WEIGHT.double()
    held, layer = Box(numbers, numbers), AttentionLayer(weights, weights, weights, BIAS, BIAS, BIAS)
    numbers.neg_()
    weights.zero_()
    assert held.lo.tolist() == held.hi.tolist() == [1.0, 1.0]
    assert layer.query_weight.all()
    assert held == held  # noqa: PLR0124 -- that it is no tensor
    assert held != Box.point(numbers)
    assert step() != step()


def test_gradients_work_in_inference_mode() -> None:
    """Weights of heads are searched for, and attacks follow slopes, whatever mode the caller is in."""
    expected = of_tokens()
    with torch.inference_mode():
        layer = AttentionLayer(*(WEIGHT.clone(),) * 3, *(BIAS.clone(),) * 3)
        found = of_tokens(tokens=box(1, 4, 5), layer=layer)
        assert lowest(lambda x, _: (x**2).sum(), (PAIR, PAIR), steps=9).value < 4.1
        assert found.check()
    assert torch.equal(found.attention.lo, expected.attention.lo)
    assert found.check()


@pytest.mark.parametrize(
    ("call", "kind", "message"), REFUSALS, ids=[f"{place}-{kind}" for place, (_, kind, _) in enumerate(REFUSALS)]
)
def test_message_is_word_for_word(call: Callable[[], object], kind: str, message: str) -> None:
    with pytest.raises(PomtError, match=f"^{re.escape(message)}$") as caught:
        call()
    assert type(caught.value).__name__ == kind


def test_integers_of_numpy_are_counts() -> None:
    """As for prune: a NumPy integer is an int."""
    import numpy as np  # noqa: PLC0415 -- only here

    assert torch.equal(step(keep=np.int64(1)).kept, step(keep=1).kept)
    assert torch.equal(step(keep=None, remove=np.int8(1)).kept, step(remove=1, keep=None).kept)
