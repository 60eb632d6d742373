"""LIN-1 · ranges of shares and their differences: no point of the box is outside, some point reaches every end."""

from itertools import product
from typing import Final

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pomt_ref.bounds import (
    Box,
    attention_difference,
    batch_max_bounds,
    softmax_bounds,
    value_difference,
)

from .bounds import make_problem, scores_at

SEEDS: Final = st.integers(0, 99)
RADII: Final = st.sampled_from([0.0, 0.01, 0.1, 0.5, 2.0])
CLOSE: Final = 1e-10
"""How far an attained end may be from its bound: both are computed in float64."""


def all_corners(box: Box) -> Tensor:
    """Every corner of a box of one axis."""
    pairs = zip(box.lo.tolist(), box.hi.tolist(), strict=True)
    return torch.tensor(list(product(*pairs)), dtype=torch.float64)


def small_box(seed: int, radius: float) -> Box:
    """A box of two to six logits."""
    generator = np.random.default_rng(seed)
    center = torch.from_numpy(2 * generator.normal(size=generator.integers(2, 7)))
    return Box.around(center, radius * torch.from_numpy(generator.random(len(center))))


class TestSoftmax:
    """LIN-1: both ends of every share are attained at corners."""

    @given(seed=SEEDS, radius=RADII)
    def test_bounds_are_the_extremes_of_all_corners(self, seed: int, radius: float) -> None:
        box = small_box(seed, radius)
        bounds, shares = softmax_bounds(box), all_corners(box).softmax(dim=1)
        assert (bounds.lo <= shares.amin(dim=0)).all(), "expected no corner below the lower bound"
        assert (bounds.hi >= shares.amax(dim=0)).all(), "expected no corner above the upper bound"
        assert torch.allclose(bounds.lo, shares.amin(dim=0), rtol=0, atol=CLOSE)
        assert torch.allclose(bounds.hi, shares.amax(dim=0), rtol=0, atol=CLOSE)

    @pytest.mark.parametrize("size", [1.0, 1e3, 1e300])
    def test_any_finite_logits_have_finite_bounds(self, size: float) -> None:
        ends = torch.tensor([[-size, 0.0, size], [size, 0.0, size]], dtype=torch.float64)
        bounds = softmax_bounds(Box(*ends))
        assert ((bounds.lo >= 0) & (bounds.hi <= 1) & (bounds.lo <= bounds.hi)).all()


class TestValueDifference:
    """LIN-1: the range of p_i - p_j is that of all corners of the value sums."""

    @given(seed=SEEDS, radius=RADII)
    def test_range_is_that_of_all_corners(self, seed: int, radius: float) -> None:
        box = small_box(seed, radius)
        bounds = value_difference(Box(box.lo.reshape(1, 1, -1, 1), box.hi.reshape(1, 1, -1, 1)), prefix=0)
        shares = all_corners(box).softmax(dim=1)
        most = (shares.unsqueeze(2) - shares.unsqueeze(1)).amax(dim=0)
        assert (bounds.hi[0] >= most).all(), "expected no corner beyond the bound"
        assert torch.allclose(bounds.hi[0], most, rtol=0, atol=CLOSE)

    @given(seed=SEEDS, radius=RADII)
    def test_points_stay_inside_and_both_ends_are_attained(self, seed: int, radius: float) -> None:
        problem = make_problem(seed, radius=radius)
        bounds = value_difference(problem.values, prefix=problem.prefix)
        for logits, values in problem.points(9, torch.Generator().manual_seed(seed)):
            _, share, _ = scores_at(logits, values, problem.prefix)
            difference = share.unsqueeze(2) - share.unsqueeze(1)
            assert ((bounds.lo - CLOSE <= difference) & (difference <= bounds.hi + CLOSE)).all()


class TestAttentionDifference:
    """LIN-1: the range of S_i - S_j is exact: no point is outside, the extremal point reaches the end."""

    @given(seed=SEEDS, radius=RADII)
    def test_points_stay_inside(self, seed: int, radius: float) -> None:
        problem = make_problem(seed, radius=radius)
        bounds = attention_difference(problem.logits, prefix=problem.prefix)
        for logits, values in problem.points(12, torch.Generator().manual_seed(seed)):
            sums, _, _ = scores_at(logits, values, problem.prefix)
            difference = sums.unsqueeze(2) - sums.unsqueeze(1)
            assert ((bounds.lo - CLOSE <= difference) & (difference <= bounds.hi + CLOSE)).all()

    @given(seed=SEEDS, radius=RADII)
    def test_every_end_is_attained(self, seed: int, radius: float) -> None:
        problem = make_problem(seed, radius=radius)
        certificate = problem.certify()
        patches = certificate.order.shape[1]
        for i, j in product(range(patches), repeat=2):
            if i == j or certificate.order[0, i, j]:
                continue
            point = certificate.counterexample(i, j)
            assert point.logits is not None
            assert problem.logits.contains(point.logits)
            assert problem.values.contains(point.values)
            sums, share, _ = scores_at(point.logits, point.values, problem.prefix)
            assert float(sums[0, i] - sums[0, j]) == pytest.approx(certificate.attention.lo[0, i, j].item(), abs=CLOSE)
            assert float(share[0, i] - share[0, j]) == pytest.approx(certificate.values.lo[0, i, j].item(), abs=CLOSE)

    @given(seed=SEEDS, radius=RADII)
    def test_differences_are_antisymmetric(self, seed: int, radius: float) -> None:
        problem = make_problem(seed, radius=radius, batch=2)
        for bounds in (
            attention_difference(problem.logits, prefix=problem.prefix),
            value_difference(problem.values, prefix=problem.prefix),
        ):
            assert torch.equal(bounds.lo, -bounds.hi.mT)
            assert not bounds.hi.diagonal(dim1=1, dim2=2).any()

    @given(seed=SEEDS, radius=RADII)
    def test_permuting_patches_and_heads_permutes_the_bounds(self, seed: int, radius: float) -> None:
        problem = make_problem(seed, radius=radius)
        generator = torch.Generator().manual_seed(seed)
        _, heads, tokens, _ = problem.logits.shape
        patches = torch.randperm(tokens - problem.prefix, generator=generator)
        places = torch.cat([torch.arange(problem.prefix), patches + problem.prefix])
        turned = torch.randperm(heads, generator=generator)
        logits = Box(*(side[:, turned][:, :, places][..., places] for side in (problem.logits.lo, problem.logits.hi)))
        there = attention_difference(problem.logits, prefix=problem.prefix)
        back = attention_difference(logits, prefix=problem.prefix)
        assert torch.allclose(back.hi, there.hi[:, patches][..., patches], rtol=0, atol=CLOSE)


class TestBatchMaximum:
    """LIN-1: M lies between its bounds, over the batch and over each sample."""

    @given(seed=SEEDS, radius=RADII)
    def test_points_stay_inside(self, seed: int, radius: float) -> None:
        problem = make_problem(seed, radius=radius, batch=2)
        certificates = {mode: problem.certify(normalisation=mode).largest for mode in ("batch", "sample")}
        for logits, values in problem.points(6, torch.Generator().manual_seed(seed)):
            sums, _, _ = scores_at(logits, values, problem.prefix)
            largest = sums.amax(dim=1, keepdim=True)
            assert certificates["sample"].contains(largest)
            assert certificates["batch"].contains(largest.amax().reshape(1, 1))

    def test_upper_end_is_the_largest_upper_bound(self) -> None:
        sums = Box(torch.tensor([[1.0, 2.0], [0.0, 1.5]]), torch.tensor([[3.0, 2.5], [5.0, 1.5]]))
        assert batch_max_bounds(sums, normalisation="sample").hi.tolist() == [[3.0], [5.0]]
        assert batch_max_bounds(sums).lo.tolist() == [[2.0]]
