"""What the reference promises beyond what is normative for others: ties, modes, counts, stages."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import pomt_ref
from pomt_ref import oracle
from pomt_ref.testing import FAMILIES, Case, Dtype, Shape, shapes

from .implementations import DEVICES, DTYPES


def tensors(case: Case, device: str) -> list[torch.Tensor]:
    """The case as the reference takes it."""
    dtype = getattr(torch, case.dtype)
    return [torch.tensor(array).to(device, dtype) for array in (case.x, case.attn, case.v)]


@pytest.mark.parametrize("device", DEVICES)
class TestTies:
    """POMT-RANK-1: the reference breaks exact ties by the lower index."""

    @given(scores=st.lists(st.sampled_from([0.0, 0.25, 1.0]), min_size=1, max_size=40))
    def test_rank_breaks_ties_by_the_lower_index(self, device: str, scores: list[float]) -> None:
        """Three different scores among up to 40 tokens: the order is the oracle's, which is stable."""
        expected = oracle.order(np.array([scores]))
        got = pomt_ref.rank(torch.tensor([scores], device=device)).cpu().numpy()
        assert np.array_equal(got, expected), f"expected {expected.tolist()}, got {got.tolist()}"


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES)
class TestModes:
    """POMT-PRUNE-1: how strictly the boundary is checked, and which count is given, changes no bit of the output."""

    @given(shape=shapes(), seed=st.integers(0, 999))
    def test_prune_does_not_depend_on_check(self, device: str, dtype: Dtype, shape: Shape, seed: int) -> None:
        """The three modes on ordinary input."""
        inputs = tensors(FAMILIES["ordinary"].build(shape, seed=seed, dtype=dtype), device)
        steps = [
            pomt_ref.prune(*inputs, prefix=shape.prefix, keep=shape.keep, check=check)
            for check in ("values", "shapes", "none")
        ]
        assert all(torch.equal(steps[0].tokens, step.tokens) for step in steps)
        assert all(torch.equal(steps[0].scores, step.scores) for step in steps)

    @given(shape=shapes(), seed=st.integers(0, 999))
    def test_prune_takes_keep_or_remove(self, device: str, dtype: Dtype, shape: Shape, seed: int) -> None:
        """T and the R that stands for it give the same step, and an output that is R shorter."""
        inputs = tensors(FAMILIES["ordinary"].build(shape, seed=seed, dtype=dtype), device)
        remove = shape.discarded - 1
        by_keep = pomt_ref.prune(*inputs, prefix=shape.prefix, keep=shape.keep)
        assert by_keep.tokens.shape[1] == shape.tokens - remove
        if remove == 0:
            with pytest.raises(pomt_ref.CountError, match="POMT-COUNT-1"):
                pomt_ref.prune(*inputs, prefix=shape.prefix, remove=remove)
        else:
            by_remove = pomt_ref.prune(*inputs, prefix=shape.prefix, remove=remove)
            assert torch.equal(by_keep.tokens, by_remove.tokens)


class TestChoice:
    """CHOOSE-1: the token count of largest utility, the largest count on a tie; R = N - k*."""

    @given(
        curves=st.lists(
            st.tuples(st.integers(1, 400), st.integers(1, 64), st.integers(0, 64)), min_size=1, unique_by=lambda c: c[0]
        ),
        alpha=st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    )
    def test_choose_remove_agrees_with_the_oracle(self, curves: list[tuple[int, int, int]], alpha: float) -> None:
        """Curves of whole numbers whose maxima are powers of two, so that utilities are exact and ties are ties."""
        tokens = [0, *(k for k, _, _ in curves)]
        tokens[0] = max(tokens) + 1
        latency, accuracy = [64.0, *(float(t) for _, t, _ in curves)], [64.0, *(float(a) for _, _, a in curves)]
        got = pomt_ref.choose_remove(tokens, latency, accuracy, alpha=alpha)
        assert got.remove == oracle.choose_remove(tokens, latency, accuracy, alpha=alpha)
        assert got.tokens == max(tokens) - got.remove
