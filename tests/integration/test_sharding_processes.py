"""prune_sharded on 1, 2 and 4 processes: the undivided step, whatever is divided; never a hang."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pomt_ref import oracle
from pomt_ref.testing import formats, rounding
from tests.sharded_work import both, dying, late, layer, run

DTYPES = ("torch.float16", "torch.bfloat16", "torch.float32", "torch.float64")

LOST = "prune_sharded: expected an answer of every rank (POMT-ATT-2), got a connection that was lost"
LATE = "prune_sharded: expected an answer of every rank (POMT-ATT-2), got none within the timeout of the process group"

Worlds = dict[int, list[dict[str, Any]]]
"""What every rank returns, in worlds of 1, 2 and 4."""


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Worlds:
    """Each world once."""
    folder = tmp_path_factory.mktemp("ranks")
    found = {world: [told for told in run(both, world, folder) if told] for world in (1, 2, 4)}
    assert [len(told) for told in found.values()] == [1, 2, 4]
    return found


class TestBatch:
    """Samples divided: POMT-ATT-2 needs the largest sum of all of them."""

    @pytest.mark.parametrize("world", [1, 2, 4])
    def test_step_is_the_undivided_one_bit_by_bit(self, worlds: Worlds, world: int) -> None:
        assert [told["batches"][dtype][0] for told in worlds[world] for dtype in DTYPES] == [True] * 4 * world

    def test_ranks_that_say_nothing_would_keep_other_tokens(self, worlds: Worlds) -> None:
        alone = [told["batches"][dtype][1] for told in worlds[2] for dtype in DTYPES]
        assert not all(alone), "without the all-reduce each rank divides by a sum of its own"


class TestQueries:
    """Query rows divided: POMT-ATT-1 adds up what all ranks have."""

    def test_every_rank_of_every_world_has_the_same_bits(self, worlds: Worlds) -> None:
        first = worlds[1][0]["queries"]
        assert all(told["queries"] == first for of_world in worlds.values() for told in of_world)

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_scores_are_those_of_the_oracle(self, worlds: Worlds, dtype: str) -> None:
        _, attn, v = (tensor.double().numpy() for tensor in layer(getattr(torch, dtype.removeprefix("torch."))))
        expected = oracle.score(attn, v, prefix=2)
        scores, _ = worlds[4][0]["queries"][dtype]
        found = np.array([float.fromhex(each) for each in scores]).reshape(expected.shape)
        profile = formats.PROFILES["float64" if dtype == "torch.float64" else "float32"]
        bound = rounding.score_bound(oracle.attention_sums(attn, prefix=2), v.max(axis=1), prefix=2, profile=profile)
        assert (np.abs(found - expected) <= bound).all()


class TestFailures:
    """A rank that disagrees, refuses, dies or sleeps is told on the others."""

    def test_ranks_that_disagree_or_die_are_told(self, tmp_path: Path) -> None:
        *others, last = run(dying, 3, tmp_path)
        assert last is None
        assert [told["keep"] for told in others if told] == 2 * [
            "prune_sharded: expected the same keep on every rank (POMT-ATT-2), got keep=[4, 5, 6]"
        ]
        assert [told["refused"] for told in others if told] == [
            "own: prune_sharded: expected 0 <= keep <= 10 (POMT-PRUNE-1), got keep=40 (tokens=13, prefix=2)",
            "prune_sharded: expected valid inputs on every rank (POMT-ATT-2), got rank 0 refused its own",
        ]
        for told in others:
            assert told is not None
            assert told["told"] == LOST
            assert told["seconds"] < 30

    def test_rank_that_is_late_is_told_after_the_timeout(self, tmp_path: Path) -> None:
        first, _ = run(late, 2, tmp_path, timeout=1.5)
        assert first is not None
        assert first["told"] == LATE
        assert 1 < first["seconds"] < 4
