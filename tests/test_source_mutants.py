"""What changing the source of the specification, expression by expression, showed to be missing in the other tests."""

import pytest
import torch

from pomt_ref import attention_score, choose_remove, contracts, evit_prune, oracle, prune, rank, topk_prune, trace
from pomt_ref.choosing import utility
from pomt_ref.errors import PomtError
from pomt_ref.testing import build_case


def tensors(prefix: int, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """x, attn and v of a small layer."""
    case = build_case(
        "ordinary",
        seed=5,
        dtype="float64",
        batch=batch,
        heads=2,
        tokens=7,
        features=3,
        channels=4,
        prefix=prefix,
        keep=2,
    )
    return torch.from_numpy(case.x), torch.from_numpy(case.attn), torch.from_numpy(case.v)


class TestSourceMutants:
    """Each of these fails on a change that all other tests accept."""

    def test_trace_of_two_prefix_tokens_shows_the_magnitude_of_patches(self) -> None:
        x, attn, v = tensors(2)
        shown = trace(x, attn, v, prefix=2, keep=2)
        expected = torch.from_numpy(oracle.magnitude_score(v.numpy(), prefix=2))
        assert torch.allclose(shown.magnitude, expected, rtol=1e-12, atol=0)
        assert torch.equal(shown.tokens, prune(x, attn, v, prefix=2, keep=2).tokens)

    def test_evit_averages_each_sample_of_a_batch_by_its_own_weights(self) -> None:
        x, attn, _ = tensors(1)
        output = evit_prune(x, attn, prefix=1, keep=2, normalise=True).tokens
        expected = oracle.evit_prune(x.numpy(), attn.numpy(), prefix=1, keep=2, normalise=True).tokens
        assert output.shape == (2, 4, 4)
        assert torch.allclose(output, torch.from_numpy(expected), rtol=1e-12, atol=1e-15)

    def test_choose_remove_accepts_a_count_at_which_nothing_is_right(self) -> None:
        chosen = choose_remove(tokens=[10, 20], latency=[1.0, 2.0], accuracy=[0.0, 0.5])
        assert chosen.remove == 0

    def test_utility_refuses_curves_of_different_lengths(self) -> None:
        with pytest.raises(ValueError, match="shorter than"):
            utility([1.0, 2.0, 3.0], [0.5, 0.6], alpha=0.5)
        with pytest.raises(ValueError, match="longer than"):
            utility([1.0], [0.5, 0.6], alpha=0.5)

    def test_rank_adds_the_largest_prefix(self) -> None:
        order = rank(torch.tensor([[0.5, 1.0]]), prefix=contracts.LARGEST_PREFIX)
        assert order.tolist() == [[2**31 + 1, 2**31]]

    def test_topk_prune_without_checks_ranks_what_is_no_number_too(self) -> None:
        x, attn, _ = tensors(1)
        output = topk_prune(x, attn * torch.nan, prefix=1, keep=2, check="none")
        assert output.tokens.shape == (2, 3, 4)

    def test_attention_may_be_off_by_as_much_as_rounding_explains(self) -> None:
        """Not less: a row of four float64 numbers, taken for converted float32, whose sum is off by exactly that."""
        eps = torch.finfo(torch.float32).eps
        excess = contracts.ROW_SUM_ROUNDINGS * eps / 2 + 4 * eps
        attn = torch.full((1, 1, 4, 4), 0.25, dtype=torch.float64)
        attn[..., 0] += excess
        assert float(attn.sum(dim=-1).max()) == 1 + excess
        assert attention_score(attn, prefix=0).shape == (1, 4)

    def test_negative_attention_is_told_where_it_stands_and_not_where_zero_does(self) -> None:
        attn = torch.tensor([[[[0.0, 1.0], [1.5, -0.5]]]])
        with pytest.raises(PomtError, match=r"got attn\[0, 0, 1, 1\] = -0\.5$"):
            attention_score(attn, prefix=0)

    def test_some_rows_of_attention_are_distributions_as_well(self) -> None:
        rows = torch.full((1, 1, 2, 4), 0.5)
        with pytest.raises(PomtError, match=r"^prune_sharded: expected rows of attn that sum to 1"):
            contracts.layer("prune_sharded", rows=rows, prefix=1, check="values")

    def test_attention_score_refuses_a_nested_tensor_by_its_name(self) -> None:
        attn = torch.nested.nested_tensor([torch.full((1, 2, 2), 0.5)], layout=torch.jagged)
        with pytest.raises(PomtError, match=r"got a nested tensor$"):
            attention_score(attn, prefix=0)
