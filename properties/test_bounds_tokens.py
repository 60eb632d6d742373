"""LIN-1 · certificates of a box of tokens: no point denies them, intervals say no more, exact replay agrees."""

from copy import copy
from dataclasses import replace
from typing import Final

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pomt_ref import prune
from pomt_ref.bounds import Box, certify, lowest

from .bounds import FEW, TokenProblem, contradictions, make_token_problem, scores_at

SEEDS: Final = st.integers(0, 99)
RADII: Final = st.sampled_from([0.0, 0.001, 0.01, 0.1])
BOXES: Final = ("logits", "values", "value_sums")
"""Of a step of tokens: what they were derived to be."""


class TestSoundness:
    """LIN-1: sampling and attack never contradict a certificate of tokens."""

    @given(seed=SEEDS, radius=RADII)
    def test_points_of_the_box_agree(self, seed: int, radius: float) -> None:
        problem = make_token_problem(seed, radius=radius)
        certificate = problem.certify()
        assert certificate.step.logits is not None
        for x in problem.points(9, torch.Generator().manual_seed(seed)):
            logits, values = problem.attend(x)
            assert certificate.step.logits.contains(logits)
            sums, _, scores = scores_at(logits, values, problem.prefix)
            assert contradictions(certificate, scores) == []
            difference = sums.unsqueeze(2) - sums.unsqueeze(1)
            assert (certificate.attention.lo - 1e-12 <= difference).all()
            assert certificate.step.value_sums.contains(values.amax(dim=1).sum(dim=-1))

    @FEW
    @given(seed=SEEDS)
    def test_no_attack_reverses_a_certain_order(self, seed: int) -> None:
        problem = make_token_problem(seed, radius=0.1)
        certificate = problem.certify()
        for i, j in certificate.order[0].nonzero()[:2].tolist():

            def difference(x: Tensor, i: int = i, j: int = j) -> Tensor:
                logits, values = problem.attend(x)
                attention = logits.softmax(dim=-1)[..., problem.prefix :, problem.prefix :]
                sums = attention.amax(dim=1).sum(dim=1)[0]
                share = values.amax(dim=1).sum(dim=-1).softmax(dim=-1)[0, problem.prefix :]
                return (sums[i] - sums[j]) / sums.max() + share[i] - share[j]

            found = lowest(difference, (problem.tokens,), steps=10, restarts=2, seed=seed)
            assert found.value > 0, f"expected {i} before {j}, got a difference of {found.value}"


class TestFloat:
    """FLOAT-1: with the margin of an arithmetic, no run from the tokens on contradicts the certificate."""

    @given(seed=SEEDS, radius=st.sampled_from([0.0, 1e-7, 1e-5, 1e-3]), apart=st.sampled_from([1.0, 1e-2, 1e-4]))
    def test_runs_in_float32_agree(self, seed: int, radius: float, apart: float) -> None:
        problem = make_token_problem(seed, radius=radius, apart=apart)
        certificate = problem.certify(arithmetic="float32")
        for x in problem.points(6, torch.Generator().manual_seed(seed)):
            assert contradictions(certificate, float32_scores(problem, x)) == []

    @FEW
    @given(seed=SEEDS)
    def test_margins_take_certainty_and_never_give_it(self, seed: int) -> None:
        problem = make_token_problem(seed, radius=0.01)
        exact, double, single = (problem.certify(arithmetic=each) for each in ("real", "float64", "float32"))
        assert not (single.order & ~double.order).any()
        assert not (double.order & ~exact.order).any()
        assert not exact.margin.any()
        assert (single.margin > 1e4 * double.margin).all()
        step = single.step
        from_logits = certify(
            logits=step.logits, values=step.values, prefix=problem.prefix, keep=problem.keep, arithmetic="float32"
        )
        assert (single.margin > from_logits.margin).all(), "expected the linear maps to cost something"


class TestCompleteness:
    """LIN-1: planes are never looser than intervals, and a point is certain."""

    @given(seed=SEEDS, radius=RADII)
    def test_planes_are_no_looser_than_intervals(self, seed: int, radius: float) -> None:
        problem = make_token_problem(seed, radius=radius, batch=2)
        certificate = problem.certify()
        step = certificate.step
        intervals = certify(logits=step.logits, values=step.values, prefix=problem.prefix, keep=problem.keep)
        assert (certificate.attention.hi <= intervals.attention.hi).all()
        assert (certificate.values.hi <= intervals.values.hi + 1e-12).all()
        assert not (intervals.order & ~certificate.order).any()

    @given(seed=SEEDS)
    def test_a_point_gives_the_kept_set_of_the_reference(self, seed: int) -> None:
        problem = make_token_problem(seed, radius=0.0)
        logits, values = problem.attend(problem.tokens.lo)
        step = prune(problem.tokens.lo, logits.softmax(dim=-1), values, prefix=problem.prefix, keep=problem.keep)
        certificate = problem.certify()
        expected = torch.zeros_like(certificate.kept).scatter(1, step.kept - problem.prefix, value=True)
        assert torch.equal(certificate.kept, expected)
        assert torch.equal(certificate.discarded, ~expected)


class TestReplay:
    """LIN-1: exact arithmetic derives a certificate of tokens from the tokens, and refutes a forged one."""

    @FEW
    @given(seed=SEEDS, radius=RADII, mode=st.sampled_from(["batch", "sample"]))
    def test_certificates_are_confirmed(self, seed: int, radius: float, mode: str) -> None:
        problem = make_token_problem(seed, radius=radius, batch=2)
        replayed = problem.certify(normalisation=mode).check()
        assert replayed.refuted == ()
        assert replayed.by_planes <= replayed.orders

    @FEW
    @given(seed=SEEDS, radius=st.sampled_from([0.01, 0.1]))
    def test_claims_too_many_are_refuted(self, seed: int, radius: float) -> None:
        certificate = make_token_problem(seed, radius=radius).certify()
        forged = replace(certificate, order=~torch.eye(certificate.order.shape[1], dtype=torch.bool).unsqueeze(0))
        expected = (forged.order & ~certificate.order).nonzero().tolist()
        found = [claim for claim in forged.check().refuted if claim.startswith("order")]
        # What the certificate did not claim for want of a rounding may be derived exactly.
        assert set(found) <= {f"order[{sample}, {i}, {j}]" for sample, i, j in expected}
        assert len(found) > 0.9 * len(expected)

    @FEW
    @given(
        seed=SEEDS, share=st.sampled_from([0.5, 0.9, 0.999]), name=st.sampled_from(["logits", "values", "value_sums"])
    )
    def test_boxes_that_are_too_narrow_are_refuted(self, seed: int, share: float, name: str) -> None:
        certificate = make_token_problem(seed, radius=0.1).certify()
        box = getattr(certificate.step, name)
        narrow = Box(box.center + share * (box.lo - box.center), box.center + share * (box.hi - box.center))
        step = copy(certificate.step)
        object.__setattr__(step, name, narrow)
        claim = {"logits": "logits[0", "values": "v[0", "value_sums": "t[0"}[name]
        assert any(each.startswith(claim) for each in replace(certificate, step=step).check().refuted)


def float32_scores(problem: TokenProblem, x: Tensor) -> Tensor:
    """The scores of a run in float32, from the tokens on."""
    logits, values = problem.attend(x, torch.float32)
    rows = torch.zeros(1, x.shape[1], 1)
    return prune(rows, logits.softmax(dim=-1), values, prefix=problem.prefix, keep=problem.keep).scores
