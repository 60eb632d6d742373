"""LIN-1: the step as ONNX and its questions as VNN-LIB, read back by the public readers of both formats."""

from typing import Any, Final

import onnx
import pytest
import torch
import vnnlib
from onnx.reference import ReferenceEvaluator
from torch import Tensor
from vnnlib.compat import transform

from pomt_ref import CountError, MissingExtraError, OptionError
from pomt_ref.bounds import Box, Certificate, certify
from pomt_ref.bounds.interop import to_onnx, to_vnnlib

PATCHES: Final = 4


def outputs(model: Any, *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # noqa: ANN401 -- onnx.ModelProto
    """D, t and p as onnx's own evaluator computes them."""
    flat = torch.cat([each.flatten() for each in inputs]).numpy()
    (found,) = ReferenceEvaluator(model).run(None, {"X": flat})
    d, t, p = torch.from_numpy(found).split([PATCHES**2, PATCHES + 1, PATCHES])
    return d.reshape(PATCHES, PATCHES), t, p


@pytest.fixture(scope="module")
def certificate() -> Certificate:
    """Two samples, two heads, one prefix token and four patches."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 2, PATCHES + 1, PATCHES + 1, generator=generator, dtype=torch.float64)
    values = torch.randn(2, 2, PATCHES + 1, 3, generator=generator, dtype=torch.float64)
    values[0, 0, 0, 0] = 1e-7  # a decimal with an exponent, which VNN-LIB does not have
    return certify(logits=Box.around(logits, 1e-7), values=Box.around(values, 0.05), keep=2)


def test_network_is_valid_and_has_no_topk(certificate: Certificate) -> None:
    """Onnx accepts the network, and nothing in it ranks."""
    model = to_onnx(certificate.step)
    onnx.checker.check_model(model, full_check=True)
    assert {node.op_type for node in model.graph.node} == {
        "Concat",
        "ReduceMax",
        "ReduceSum",
        "Reshape",
        "Slice",
        "Softmax",
        "Sub",
        "Unsqueeze",
    }


def test_network_computes_what_the_certificate_bounds(certificate: Certificate) -> None:
    """At the center D, t and p are those of the clauses, and D lies in its certified range."""
    step = certificate.step
    assert step.logits is not None
    logits, values = step.logits.center, step.values.center
    d, t, p = outputs(to_onnx(step), logits[1], values[1])
    sums = logits[1].softmax(dim=-1)[:, 1:, 1:].amax(dim=0).sum(dim=0)
    expected = values[1].amax(dim=0).sum(dim=-1)
    assert torch.allclose(d, sums.unsqueeze(1) - sums, rtol=0, atol=1e-12)
    assert torch.allclose(t, expected, rtol=0, atol=1e-12)
    assert torch.allclose(p, expected.softmax(dim=0)[1:], rtol=0, atol=1e-12)
    assert ((certificate.attention.lo[1] <= d) & (d <= certificate.attention.hi[1])).all()


@pytest.mark.parametrize("sample", [0, 1])
def test_query_reads_back_as_the_box_and_the_pair(certificate: Certificate, sample: int) -> None:
    """The parser finds the same float64 bounds, and two ways to fail, one for each end of M."""
    step = certificate.step
    assert step.logits is not None
    query = vnnlib.parse_query_string(to_vnnlib(certificate, 2, 0, sample=sample))
    cases = transform(query)
    bounds = torch.tensor(cases[0].input_box, dtype=torch.float64)
    for side, expected in enumerate(("lo", "hi")):
        flat = [getattr(box, expected)[sample].flatten() for box in (step.logits, step.values)]
        assert torch.equal(bounds[:, side], torch.cat(flat))
    polytopes = [polytope for case in cases for polytope in case.output_constraints]
    assert len(polytopes) == 2
    for polytope, largest in zip(polytopes, (certificate.largest.lo, certificate.largest.hi), strict=True):
        coefficients = torch.tensor(polytope.coeff_matrix, dtype=torch.float64).flatten()
        d, p = coefficients[: PATCHES**2].reshape(PATCHES, PATCHES), coefficients[-PATCHES:]
        assert d.nonzero().tolist() == [[2, 0]]
        assert (p / d[2, 0]).tolist() == [-float(largest), 0.0, float(largest), 0.0]


def test_certain_pair_has_no_point_that_satisfies_its_query(certificate: Certificate) -> None:
    """For every certain pair the query's sums are above zero at sampled points, by the network itself."""
    model = to_onnx(certificate.step)
    assert certificate.step.logits is not None
    boxes = (certificate.step.logits, certificate.step.values)
    generator = torch.Generator().manual_seed(1)
    assert certificate.order[0].any()
    for _ in range(5):
        share = [torch.rand(box.shape, generator=generator, dtype=torch.float64) for box in boxes]
        point = [(box.lo + each * (box.hi - box.lo))[0] for box, each in zip(boxes, share, strict=True)]
        d, _, p = outputs(model, *point)
        for m in (certificate.largest.lo, certificate.largest.hi):
            assert (d + float(m) * (p.unsqueeze(1) - p) > 0)[certificate.order[0]].all()


def test_step_of_attention_is_refused() -> None:
    """The network begins at the logits."""
    attention = Box.point(torch.full((1, 1, 3, 3), 1 / 3))
    step = certify(attention=attention, values=Box.point(torch.zeros(1, 1, 3, 1)), keep=1)
    with pytest.raises(OptionError, match=r"^to_onnx: expected a step of logits \(LIN-1\), got one of attention$"):
        to_onnx(step.step)
    with pytest.raises(OptionError, match=r"^to_vnnlib: expected a step of logits \(LIN-1\), got one of attention$"):
        to_vnnlib(step, 0, 1)


@pytest.mark.parametrize(("i", "j", "sample"), [(0, 0, 0), (4, 0, 0), (0, -1, 0), (0, 1, 2)])
def test_pair_that_is_not_there_is_refused(certificate: Certificate, i: int, j: int, sample: int) -> None:
    """The message echoes the arguments."""
    expected = (
        rf"^to_vnnlib: expected two patches in \[0, 3\] .* \[0, 1\] \(LIN-1\), got i={i}, j={j}, sample={sample}$"
    )
    with pytest.raises(CountError, match=expected):
        to_vnnlib(certificate, i, j, sample=sample)


def test_missing_onnx_is_told(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra the message says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"^to_onnx: the package onnx is not installed; pip install 'pomt-ref"):
        to_onnx(certificate.step)
