"""LIN-1 · certificates: nothing that they call certain is denied by any point of their box, and they say enough."""

from dataclasses import replace
from typing import Final

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pomt_ref import prune
from pomt_ref.bounds import Box, batch_max_bounds, certify, lowest, softmax_bounds

from .bounds import Problem, contradictions, make_problem, scores_at

SEEDS: Final = st.integers(0, 99)
RADII: Final = st.sampled_from([0.001, 0.01, 0.1, 0.5])


class TestSoundness:
    """LIN-1: sampling and attack never contradict a certificate."""

    @given(seed=SEEDS, radius=RADII)
    def test_points_of_the_box_agree(self, seed: int, radius: float) -> None:
        problem = make_problem(seed, radius=radius, batch=2)
        certificate = problem.certify()
        for logits, values in problem.points(15, torch.Generator().manual_seed(seed)):
            assert contradictions(certificate, scores_at(logits, values, problem.prefix)[2]) == []

    @given(seed=SEEDS, radius=RADII)
    def test_attention_boxes_agree_with_their_points(self, seed: int, radius: float) -> None:
        problem = make_problem(seed, radius=radius)
        attention = problem.logits.center.softmax(dim=-1)
        box = Box(attention * (1 - radius), attention * (1 + radius))
        certificate = certify(attention=box, values=problem.values, prefix=problem.prefix, keep=problem.keep)
        assert certificate.check()
        generator = torch.Generator().manual_seed(seed)
        for _, values in problem.points(9, generator):
            share = torch.rand(box.shape, generator=generator, dtype=torch.float64).round()
            sums = (box.lo + share * (box.hi - box.lo))[:, :, problem.prefix :, problem.prefix :].amax(dim=1).sum(dim=1)
            scores = sums / sums.max() + scores_at(problem.logits.center, values, problem.prefix)[1]
            assert contradictions(certificate, scores) == []

    @given(seed=SEEDS)
    def test_no_attack_reverses_a_certain_order(self, seed: int) -> None:
        problem = make_problem(seed, radius=0.3)
        certificate = problem.certify()
        for i, j in certificate.order[0].nonzero()[:3].tolist():

            def difference(logits: Tensor, values: Tensor, i: int = i, j: int = j) -> Tensor:
                attention = logits.softmax(dim=-1)[..., problem.prefix :, problem.prefix :]
                sums = attention.amax(dim=1).sum(dim=1)[0]
                share = values.amax(dim=1).sum(dim=-1).softmax(dim=-1)[0, problem.prefix :]
                return (sums[i] - sums[j]) / sums.max() + share[i] - share[j]

            found = lowest(difference, (problem.logits, problem.values), steps=10, restarts=2, seed=seed)
            assert found.value > 0, f"expected {i} before {j}, got a difference of {found.value}"

    @given(seed=SEEDS, radius=RADII)
    def test_mean_row_stays_inside(self, seed: int, radius: float) -> None:
        problem = make_problem(seed, radius=radius)
        generator = torch.Generator().manual_seed(seed)
        tokens = problem.logits.shape[2]
        rows = Box.around(torch.randn(1, tokens, 3, generator=generator, dtype=torch.float64), radius)
        mean = problem.certify(x=rows).mean
        assert mean is not None
        for logits, values in problem.points(9, generator):
            x = rows.lo + torch.rand(rows.shape, generator=generator, dtype=torch.float64) * (rows.hi - rows.lo)
            step = prune(x, logits.softmax(dim=-1), values, prefix=problem.prefix, keep=problem.keep)
            assert mean.contains(step.tokens[:, -1])


class TestFloat:
    """FLOAT-1: with the margin of an arithmetic, no run in that arithmetic contradicts the certificate."""

    @given(seed=SEEDS, radius=st.sampled_from([0.0, 1e-6, 1e-4, 0.01]))
    def test_runs_in_float32_agree(self, seed: int, radius: float) -> None:
        problem = make_problem(seed, radius=radius)
        generator = torch.Generator().manual_seed(seed)
        # A box of float32 numbers: its float32 points are what a run can be given.
        single = [Box(side.lo.float(), torch.maximum(side.hi.float(), side.lo.float())) for side in _sides(problem)]
        problem = replace(problem, logits=single[0], values=single[1])
        certificate = problem.certify(arithmetic="float32")
        rows = torch.randn(1, problem.logits.shape[2], 2, generator=generator)
        for logits, values in problem.points(9, generator):
            point = [_single(value, box) for value, box in ((logits, single[0]), (values, single[1]))]
            step = prune(rows, point[0].softmax(dim=-1), point[1], prefix=problem.prefix, keep=problem.keep)
            assert contradictions(certificate, step.scores) == []

    @given(seed=SEEDS)
    def test_margins_take_certainty_and_never_give_it(self, seed: int) -> None:
        problem = make_problem(seed, radius=0.05)
        exact, double, single = (problem.certify(arithmetic=each) for each in ("real", "float64", "float32"))
        assert not (single.order & ~double.order).any()
        assert not (double.order & ~exact.order).any()
        assert not exact.margin.any()
        assert (single.margin > 1e4 * double.margin).all()

    @given(seed=SEEDS)
    def test_margin_covers_the_mean_row_of_a_run(self, seed: int) -> None:
        problem = make_problem(seed, radius=0.0)
        generator = torch.Generator().manual_seed(seed)
        rows = torch.randn(1, problem.logits.shape[2], 3, generator=generator)
        mean = problem.certify(x=Box.point(rows), arithmetic="float32").mean
        attention, values = problem.logits.lo.float().softmax(dim=-1), problem.values.lo.float()
        got = prune(rows, attention, values, prefix=problem.prefix, keep=problem.keep)
        exact = problem.certify(x=Box.point(rows)).mean
        assert mean is not None
        assert exact is not None
        assert (mean.hi - mean.lo >= exact.hi - exact.lo).all()
        assert mean.contains(got.tokens[:, -1])


class TestCompleteness:
    """LIN-1: a certificate says what there is to say where nothing is uncertain, and no less as the box shrinks."""

    @given(seed=SEEDS)
    def test_a_point_gives_the_kept_set_of_the_reference(self, seed: int) -> None:
        problem = make_problem(seed, radius=0.0)
        certificate = problem.certify()
        attention = problem.logits.lo.softmax(dim=-1)
        rows = torch.zeros(1, problem.logits.shape[2], 1, dtype=torch.float64)
        step = prune(rows, attention, problem.values.lo, prefix=problem.prefix, keep=problem.keep)
        expected = torch.zeros_like(certificate.kept).scatter(1, step.kept - problem.prefix, value=True)
        assert torch.equal(certificate.kept, expected)
        assert torch.equal(certificate.discarded, ~expected)

    @given(seed=SEEDS, radius=RADII)
    def test_shrinking_the_box_keeps_what_was_certain(self, seed: int, radius: float) -> None:
        problem = make_problem(seed, radius=radius)
        inner = [
            Box(side.center + (side.lo - side.center) / 2, side.center + (side.hi - side.center) / 2)
            for side in _sides(problem)
        ]
        wide, narrow = problem.certify(), replace(problem, logits=inner[0], values=inner[1]).certify()
        assert not (wide.order & ~narrow.order).any()
        assert not (wide.kept & ~narrow.kept).any()
        assert not (wide.discarded & ~narrow.discarded).any()

    @given(seed=SEEDS, radius=RADII)
    def test_differences_say_at_least_what_score_intervals_say(self, seed: int, radius: float) -> None:
        problem = make_problem(seed, radius=radius)
        patches = (..., slice(problem.prefix, None))
        attention = softmax_bounds(problem.logits)
        ends = (side[patches][:, :, problem.prefix :].amax(dim=1).sum(dim=1) for side in (attention.lo, attention.hi))
        sums = Box(*ends)
        largest = batch_max_bounds(sums)
        values = problem.values
        shares = softmax_bounds(Box(*(side.amax(dim=1).sum(dim=-1) for side in (values.lo, values.hi))))
        low = sums.lo / largest.hi + shares.lo[patches]
        high = sums.hi / largest.lo + shares.hi[patches]
        apart = low.unsqueeze(2) > high.unsqueeze(1) + 1e-9
        assert not (apart & ~problem.certify().order).any()


class TestReplay:
    """LIN-1: exact arithmetic confirms a certificate, and refutes a forged one."""

    @given(seed=SEEDS, radius=RADII)
    def test_certificates_are_confirmed(self, seed: int, radius: float) -> None:
        problem = make_problem(seed, radius=radius, batch=2)
        rows = Box.around(torch.zeros(2, problem.logits.shape[2], 2), 1.0)
        for mode in ("batch", "sample"):
            replayed = problem.certify(x=rows, normalisation=mode).check()
            assert replayed.refuted == ()
            assert replayed.by_planes == 0

    @given(seed=SEEDS, radius=RADII)
    def test_a_claim_too_many_is_refuted(self, seed: int, radius: float) -> None:
        problem = make_problem(seed, radius=radius)
        certificate = problem.certify()
        forged = replace(certificate, order=~torch.eye(certificate.order.shape[1], dtype=torch.bool).unsqueeze(0))
        expected = int((forged.order & ~certificate.order).sum())
        assert len([claim for claim in forged.check().refuted if claim.startswith("order")]) == expected > 0


def _sides(problem: Problem) -> tuple[Box, Box]:
    """The two boxes of a problem."""
    return problem.logits, problem.values


def _single(value: Tensor, box: Box) -> Tensor:
    """The nearest float32 of the box."""
    return torch.minimum(torch.maximum(value.float(), box.lo.float()), box.hi.float())
