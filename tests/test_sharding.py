"""prune_sharded in a world of one, and what it refuses; many processes are in integration."""

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch import distributed as dist

from pomt_ref import prune
from pomt_ref.errors import CountError, OptionError, PomtError, RankError, ShapeError, ValuesError
from pomt_ref.sharding import prune_sharded
from pomt_ref.sharding.exactsums import BITS, column_sums, exponent, joined
from pomt_ref.sharding.ranks import Ranks
from tests.sharded_work import layer

unhooked: Callable[..., object] = inspect.unwrap(prune_sharded)
"""Where annotations are enforced they refuse wrong shapes first."""


@pytest.fixture
def world_of_one(tmp_path: Path) -> Iterator[None]:
    """A process group of this process alone."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


class TestExactSums:
    """Integers that add up to the sums of floats, in any order."""

    @given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=20), st.integers(0, 20))
    def test_sum_is_the_correctly_rounded_one_and_no_cut_changes_it(self, values: list[float], cut: int) -> None:
        rows = torch.tensor(values).reshape(1, -1, 1)
        power = exponent(rows.amax().double())
        whole = column_sums(rows, power=power)
        parts = column_sums(rows[:, :cut], power=power) + column_sums(rows[:, cut:], power=power)
        assert torch.equal(whole, parts)
        expected = np.sum(np.array(values, dtype=np.longdouble))
        slack = 2.0 ** (power - 2 * BITS) * len(values) + 2.0**-52 * float(expected)
        assert abs(joined(whole, power=power).item() - float(expected)) <= slack

    @pytest.mark.parametrize("scale", [1.0, 1e-30, 2.0**-149, 1e-300])
    def test_small_attention_is_no_smaller_than_it_is(self, scale: float) -> None:
        rows = torch.tensor([[[1.0, 0.5]], [[1.0, 0.25]]], dtype=torch.float64) * scale
        power = exponent(rows.amax())
        assert torch.equal(joined(column_sums(rows, power=power), power=power), rows.sum(dim=1))


@pytest.mark.usefixtures("world_of_one")
class TestWorldOfOne:
    """The step of one rank is the step."""

    @pytest.mark.parametrize("normalisation", ["batch", "sample"])
    def test_samples(self, normalisation: str) -> None:
        x, attn, v = layer()
        whole = prune(x, attn, v, prefix=2, remove=3, normalisation=normalisation)  # type: ignore[arg-type]
        step = prune_sharded(x, attn, v, prefix=2, remove=3, normalisation=normalisation)  # type: ignore[arg-type]
        for name in ("tokens", "kept", "discarded", "scores"):
            assert torch.equal(getattr(step, name), getattr(whole, name))

    @pytest.mark.parametrize("normalisation", ["batch", "sample"])
    def test_queries(self, normalisation: str) -> None:
        x, attn, v = layer()
        whole = prune(x, attn, v, prefix=2, keep=4, normalisation=normalisation)  # type: ignore[arg-type]
        step = prune_sharded(
            x,
            attn,
            v,
            prefix=2,
            keep=4,
            split="queries",
            normalisation=normalisation,  # type: ignore[arg-type]
        )
        assert torch.allclose(step.scores, whole.scores, rtol=0, atol=1e-6)
        assert torch.equal(step.kept, whole.kept)

    def test_gradients_flow_as_without_ranks(self) -> None:
        x, attn, v = layer()
        x.requires_grad_()
        prune_sharded(x, attn, v, prefix=2, keep=4).tokens.sum().backward()
        assert x.grad is not None
        assert (x.grad[:, :2] == 1).all()

    @pytest.mark.parametrize(
        ("change", "error", "told"),
        [
            (lambda x, a, v: (x[:, 1:], a, v), ShapeError, "x and attn with the same tokens"),
            (lambda x, a, v: (x, a * 2, v), ValuesError, "rows of attn that sum to 1"),
        ],
    )
    def test_contracts_are_those_of_prune(
        self, change: Callable[..., tuple[Tensor, Tensor, Tensor]], error: type[PomtError], told: str
    ) -> None:
        with pytest.raises(error, match=f"prune_sharded: expected {told}"):
            unhooked(*change(*layer()), prefix=2, keep=4)

    @pytest.mark.parametrize(
        ("change", "error", "told"),
        [
            (lambda x, a, v: (x, a[:, :, :5], v), RankError, r"the 13 query rows, .* got 5 rows on 1 ranks: \[5\]"),
            (lambda x, a, v: (x, a[:, :, :, :9], v), ShapeError, "x and rows with the same tokens"),
            (lambda x, a, v: (x, a[:, :2], v), ShapeError, "rows and v with the same heads"),
            (lambda x, a, v: (x, a * 2, v), ValuesError, "rows of attn that sum to 1"),
        ],
    )
    def test_rows_are_those_of_the_layer(
        self, change: Callable[..., tuple[Tensor, Tensor, Tensor]], error: type[PomtError], told: str
    ) -> None:
        with pytest.raises(error, match=told):
            unhooked(*change(*layer()), prefix=2, keep=4, split="queries")

    def test_counts_and_options(self) -> None:
        with pytest.raises(CountError, match="0 <= keep <= 10"):
            prune_sharded(*layer(), prefix=2, keep=11)
        with pytest.raises(OptionError, match=r"split in \('batch', 'queries'\) .*, got split='heads'"):
            unhooked(*layer(), prefix=2, keep=4, split="heads")

    @pytest.mark.parametrize("split", ["batch", "queries"])
    def test_no_patch_attention_is_told(self, split: str) -> None:
        x, attn, v = layer()
        attn = torch.zeros_like(attn)
        attn[..., 0] = 1
        with pytest.raises(ValuesError, match="some patch-to-patch attention above zero"):
            prune_sharded(x, attn, v, prefix=2, keep=4, split=split)  # type: ignore[arg-type]


class TestWithoutGroup:
    """No process group: told, not a traceback of torch."""

    def test_group_is_needed(self) -> None:
        with pytest.raises(RankError, match=r"expected an initialised process group .*, got none"):
            prune_sharded(*layer(), prefix=2, keep=4)


@pytest.mark.usefixtures("world_of_one")
class TestRanks:
    """What a rank says when another one is not as it should be."""

    ranks = Ranks("prune_sharded", torch.device("cpu"))

    def test_rank_that_refused_its_inputs_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def gather(told: list[Tensor], message: Tensor, *, group: object) -> None:
            assert group is None
            told[0].copy_(message * 0)

        monkeypatch.setattr(dist, "all_gather", gather)
        with pytest.raises(RankError, match=r"expected valid inputs on every rank .*, got rank 0 refused its own"):
            self.ranks.compare({"keep": 4}, None)

    def test_ranks_that_disagree_are_told(self) -> None:
        with pytest.raises(RankError, match=r"expected the same keep on every rank .*, got keep=\[4, 5\]"):
            self.ranks.require_same({"keep": [4, 5], "prefix": [1, 1]}, "prefix", "keep", words={})

    def test_ranks_that_disagree_about_a_word_are_told_the_words(self) -> None:
        words = {"split": ("batch", "queries")}
        with pytest.raises(RankError, match=r"the same split on every rank .*, got split=\['queries', 'batch'\]"):
            self.ranks.require_same({"split": [1, 0]}, "split", words=words)

    @pytest.mark.parametrize(
        ("printed", "told"),
        [
            ("[gloo/pair.cc:534] Connection closed by peer [127.0.0.1]:1", "a connection that was lost"),
            ("[gloo/unbound.cc:78] Timed out waiting 1500ms", "none within the timeout of the process group"),
            ("Application timeout caused pair closure", "none within the timeout of the process group"),
        ],
    )
    def test_rank_that_does_not_answer_is_told(self, monkeypatch: pytest.MonkeyPatch, printed: str, told: str) -> None:
        def lost(_value: Tensor, *, op: object, group: object) -> None:
            raise RuntimeError(f"{printed} {op} {group}")

        monkeypatch.setattr(dist, "all_reduce", lost)
        expected = f"prune_sharded: expected an answer of every rank (POMT-ATT-2), got {told}"
        with pytest.raises(RankError, match=f"^{re.escape(expected)}$"):
            self.ranks.largest(torch.ones(1))

    def test_group_of_others_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(dist, "get_rank", lambda _group: -1)
        with pytest.raises(RankError, match=r"a process group of which this process is a rank .*, got one of others$"):
            prune_sharded(*layer(), prefix=2, keep=4)
