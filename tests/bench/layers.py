"""Figures of a layer, under one allocator: against the peer, against attention alone, over the floor, and the step."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import torch
from torch import Tensor

from pomt_ref.pruning import gather, mean_row, prune_by
from tests.bench import floors, peer, subjects
from tests.bench.result import Figure
from tests.bench.timing import Thunk, by_turns, ratio, spread_of

BLOCKS_A_TURN: Final = 12
"""How often a part is done in its turn: one block takes less than a clock is good for."""


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    rounds: int = 9
    long: tuple[int, ...] = (1370, 2305, 4096)
    """Sequence lengths: images of 518, 768 and 1024 pixels in patches of 14 and 16, about."""
    step: tuple[tuple[int, int, int], ...] = (
        (1, 197, 384), (4, 197, 384), (1, 197, 768), (8, 197, 768), (1, 577, 768), (1, 1370, 1024), (4, 1370, 768),
    )  # fmt: skip
    """Batch, tokens and channels of the step alone."""


SHORT: Final = Plan(rounds=3, long=(300,), step=((1, 197, 384),))
"""For a test of the bench itself."""


def runs(*names: str, layer: subjects.Layer) -> Mapping[str, Thunk]:
    """Subjects on a layer, by name."""
    return {name: partial(subjects.RUNS[name], *layer) for name in names}


def ratios(plan: Plan, allocator: str) -> Iterator[Figure]:
    """Time of the whole step against the peer's, and of attention with the metric against attention alone."""
    goal = {"default": 0.40, "retained": 0.90}[allocator]
    for tokens in plan.long:
        layer = subjects.layer(1, 12, tokens, seed=tokens)
        seconds = by_turns(runs(*subjects.RUNS, layer=layer), rounds=plan.rounds)
        against = ratio(seconds["streaming"], seconds["peer"])
        yield Figure("time / peer", f"N = {tokens}", allocator, "ratio", against, goal)
        for name in ("peer", "streaming", "flash"):
            yield Figure("time", f"{name}, N = {tokens}", allocator, "ms", spread_of(seconds[name]).times(1e3))
        against = ratio(seconds["metric"], seconds["flash"])
        yield Figure("with metric / without", f"float32, N = {tokens}", allocator, "ratio", against, 1.30)
    layer = subjects.layer(1, 12, plan.long[0], seed=1, dtype=torch.float64)
    seconds = by_turns(runs("metric", "flash", layer=layer), rounds=plan.rounds)
    against = ratio(seconds["metric"], seconds["flash"])
    yield Figure("with metric / without", f"float64, N = {plan.long[0]}", allocator, "ratio", against, 1.20)


def small(plan: Plan, allocator: str) -> Iterator[Figure]:
    """The sequence of an image of 224 pixels."""
    for batch, heads in ((1, 12), (4, 6)):
        layer = subjects.layer(batch, heads, 197, seed=batch)
        seconds = by_turns(runs("streaming", "peer", layer=layer), rounds=4 * plan.rounds, repeat=3)
        against = ratio(seconds["streaming"], seconds["peer"])
        goal = 1.0 if allocator == "retained" else None
        yield Figure("time / peer", f"N = 197, B = {batch}, H = {heads}", allocator, "ratio", against, goal)


def over_the_floor(plan: Plan, allocator: str) -> Iterator[Figure]:
    """The one pass against the sum of its parts, each alone."""
    for tokens in plan.long:
        parts = floors.parts(tokens, dtype=torch.float32)
        often: dict[str, Thunk] = {name: partial(repeated, part) for name, part in parts.items()}
        whole = runs("metric", layer=subjects.layer(1, 12, tokens, seed=2))
        seconds = by_turns({**often, **whole}, rounds=plan.rounds)
        share = floors.blocks(tokens, 12, dtype=torch.float32) / BLOCKS_A_TURN
        for words, left_out, goal in (("", "softmax", 1.05), ("its own operations, ", "exponentials", None)):
            columns = [seconds[name] for name in parts if name != left_out]
            floor = [sum(each) * share for each in zip(*columns, strict=True)]
            over = ratio(seconds["metric"], floor)
            yield Figure("time / floor", f"{words}N = {tokens}", allocator, "ratio", over, goal)


def repeated(part: Thunk) -> None:
    """As often as a turn has it."""
    for _ in range(BLOCKS_A_TURN):
        part()


def moved(x: Tensor, order: Tensor, keep: int) -> tuple[Tensor, Tensor]:
    """Gather and mean as the reference has them."""
    rows = gather(x, order)
    return rows[:, :keep], mean_row(rows[:, keep:])


def copied(x: Tensor, keep: int) -> tuple[Tensor, Tensor]:
    """The floor: as many rows copied as they lie, and the mean of the same number of rows."""
    return x[:, :keep].clone(), x[:, keep + 1 :].clone().mean(dim=1, keepdim=True)


def peer_step(x: Tensor, scores: Tensor, keep: int) -> Tensor:
    """The peer's step from the scores on."""
    return peer.assembled(x, scores.argsort(dim=1, descending=True) + 1, prefix=1, keep=keep)


def steps(plan: Plan, allocator: str) -> Iterator[Figure]:
    """Gather and mean, and the whole step from the scores on, against an index for every number that is moved."""
    for batch, tokens, channels in plan.step:
        numbers = torch.Generator().manual_seed(tokens)
        x, scores = torch.randn(batch, tokens, channels, generator=numbers), torch.rand(batch, tokens - 1)
        keep, order = subjects.keep_of(x), scores.argsort(dim=1, descending=True, stable=True) + 1
        step = partial(prune_by, "bench", x, scores, prefix=1, keep=keep, check="none")
        assert torch.equal(step().tokens, peer_step(x, scores, keep)), "the step is not bit-equal"
        contestants: dict[str, Thunk] = {
            "gather": partial(moved, x, order, keep),
            "peer gather": partial(peer.gather_and_mean, x, order, keep=keep),
            "copy": partial(copied, x, keep),
            "step": step,
            "peer step": partial(peer_step, x, scores, keep),
        }
        seconds = by_turns(contestants, rounds=8 * plan.rounds, repeat=3)
        name = f"B = {batch}, N = {tokens}, C = {channels}"
        against = ratio(seconds["gather"], seconds["peer gather"])
        yield Figure("gather and mean / peer", name, allocator, "ratio", against, 0.30)
        against = ratio(seconds["gather"], seconds["copy"])
        yield Figure("gather and mean / copying as many rows, and mean", name, allocator, "ratio", against)
        against = ratio(seconds["step"], seconds["peer step"])
        yield Figure("step from scores / peer", name, allocator, "ratio", against, 0.30)


def measure(plan: Plan, allocator: str) -> list[Figure]:
    """Everything, in one process."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with torch.no_grad():
        return [each for group in (ratios, small, over_the_floor, steps) for each in group(plan, allocator)]
