"""LIN-1 · pruned against unpruned: every point of the box stays within the bounds of one block's difference."""

from typing import Final

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from pomt_ref import prune
from pomt_ref.bounds import Box, MlpResidual, block_difference, lowest

from .bounds import Problem, make_problem

SEEDS: Final = st.integers(0, 99)
RADII: Final = st.sampled_from([0.0, 0.01, 0.1, 0.5])
CHANNELS: Final = 4


def make_mlp(seed: int) -> MlpResidual:
    """A random MLP residual, its norm with weights of both signs."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        norm, up, down = nn.LayerNorm(CHANNELS), nn.Linear(CHANNELS, 8), nn.Linear(8, CHANNELS)
        nn.init.normal_(norm.weight)
    return MlpResidual.of(norm, nn.Sequential(up, nn.GELU(), down))


def rows_of(problem: Problem, seed: int, radius: float) -> Box:
    """Tokens with a box around them."""
    generator = torch.Generator().manual_seed(seed)
    shape = (1, problem.logits.shape[2], CHANNELS)
    return Box.around(torch.randn(shape, generator=generator, dtype=torch.float64), radius)


def differences(x: Tensor, logits: Tensor, values: Tensor, problem: Problem, mlp: MlpResidual | None) -> Tensor:
    """Pruned less unpruned for every patch at a point, by the reference."""
    step = prune(x, logits.softmax(dim=-1), values, prefix=problem.prefix, keep=problem.keep)

    def output(rows: Tensor) -> Tensor:
        return rows if mlp is None else rows + mlp(rows)

    result = torch.zeros_like(x)
    result[:, step.discarded[0]] = output(step.tokens[:, -1:]) - output(x[:, step.discarded[0]])
    return result[:, problem.prefix :]


class TestBlock:
    """LIN-1: |pruned - unpruned| of one block, by sampling and by attack."""

    @given(seed=SEEDS, radius=RADII, symbolic=st.booleans())
    def test_points_stay_inside(self, seed: int, radius: float, *, symbolic: bool) -> None:
        problem, mlp = make_problem(seed, radius=radius), None if symbolic else make_mlp(seed)
        rows = rows_of(problem, seed, radius)
        bounds = block_difference(problem.certify(x=rows), mlp)
        assert bounds.symbolic == symbolic
        generator = torch.Generator().manual_seed(seed)
        for logits, values in problem.points(9, generator):
            x = rows.lo + torch.rand(rows.shape, generator=generator, dtype=torch.float64) * (rows.hi - rows.lo)
            found = differences(x, logits, values, problem, mlp)
            assert ((bounds.rows.lo - 1e-12 <= found) & (found <= bounds.rows.hi + 1e-12)).all()
            pooled = found.mean(dim=1)
            assert ((bounds.pooled.lo - 1e-12 <= pooled) & (pooled <= bounds.pooled.hi + 1e-12)).all()

    @given(seed=SEEDS)
    def test_rows_are_exact_where_the_step_is_certain(self, seed: int) -> None:
        problem = make_problem(seed, radius=0.0)
        rows = rows_of(problem, seed, 0.0)
        bounds = block_difference(problem.certify(x=rows))
        found = differences(rows.center, problem.logits.center, problem.values.center, problem, None)
        assert torch.allclose(bounds.rows.lo, found, rtol=0, atol=1e-12)
        assert torch.allclose(bounds.rows.hi, found, rtol=0, atol=1e-12)
        assert not bounds.pooled.hi.any()

    @given(seed=SEEDS)
    def test_attack_on_the_rows_stays_inside(self, seed: int) -> None:
        problem, mlp = make_problem(seed, radius=0.0), make_mlp(seed)
        rows = rows_of(problem, seed, 0.1)
        certificate = problem.certify(x=rows)
        out = certificate.discarded[0].nonzero().flatten()
        patch = int(out[0]) + problem.prefix
        bounds = block_difference(certificate, mlp)

        def first_channel(x: Tensor) -> Tensor:
            mean = x[:, out + problem.prefix].mean(dim=1)
            return (mean + mlp(mean) - x[:, patch] - mlp(x[:, patch]))[0, 0]

        found = lowest(first_channel, (rows,), steps=15, restarts=2, seed=seed)
        assert bounds.rows.lo[0, patch - problem.prefix, 0] <= found.value
