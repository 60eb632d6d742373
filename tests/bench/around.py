"""Figures around a layer: memory, the speed of checking, the cost of the boundary, and start-up."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from time import process_time
from typing import Any, Final

import numpy as np
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pomt_ref import prune
from tests.bench.memory import extra_memory
from tests.bench.result import Figure
from tests.bench.subjects import layer
from tests.bench.timing import by_turns, ratio, spread_of

MIB: Final = 2**20
MEMORY_GOALS: Final = {1370: 0.07, 4096: 0.03, 8192: 0.012}
"""N, and the largest share of the peer's extra memory."""

SCRIPT: Final = "import sys; from pomt_ref.cli import main; sys.exit(main(['--help']))"
"""What the installed script pomt-ref does."""

LONGEST: Final = 16384
"""N at which the peer would hold 24 GiB."""


def memory(lengths: dict[int, float], longest: int) -> Iterator[Figure]:
    """Peak memory beyond what there was before, in processes of their own: attention with its sums, and the step."""
    for tokens, goal in lengths.items():
        extra = {name: extra_memory(name, tokens=tokens, heads=12) for name in ("peer", "streaming", "metric", "flash")}
        for name, size in extra.items():
            yield Figure("extra memory", f"{name}, N = {tokens}", "", "MiB", spread_of([size / MIB]))
        share = spread_of([extra["metric"] / extra["peer"]])
        yield Figure("extra memory / peer", f"N = {tokens}", "", "ratio", share, goal)
        share = spread_of([extra["streaming"] / extra["peer"]])
        yield Figure("extra memory / peer", f"whole step, N = {tokens}", "", "ratio", share)
    size = extra_memory("streaming", tokens=longest, heads=12)
    yield Figure("extra memory", f"streaming, N = {longest}", "", "MiB", spread_of([size / MIB]), 150.0)


Tiny = tuple[int, int, int, int, int]
"""Batch, heads, tokens, features, prefix."""

TINY: Final = st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(3, 8), st.integers(1, 4), st.integers(0, 1))
SHAPES: Final = tuple(product((1, 2), (1, 2, 3), range(3, 9), range(1, 5), (0, 1)))
"""The same, as a list: the shape is one draw."""

SEEDS: Final = st.integers(0, 2**32 - 1)
Array = Any
"""Of NumPy."""


def softmax(logits: Array) -> Array:
    """Along the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def held(q: Array, k: Array, v: Array, x: Array, prefix: int) -> None:
    """One case: the reference against the clauses in vectorised NumPy, so that it is not the check that takes time."""
    attn = softmax(q.astype(np.float64) @ k.astype(np.float64).swapaxes(-1, -2))
    tensors = (torch.from_numpy(each.astype(np.float64)) for each in (x, attn, v))
    scores = prune(*tensors, prefix=prefix, keep=(x.shape[1] - prefix) // 2, check="none").scores.numpy()
    sums = attn[:, :, prefix:, prefix:].max(axis=1).sum(axis=1)
    expected = sums / sums.max() + softmax(v.astype(np.float64).max(axis=1).sum(axis=-1))[:, prefix:]
    assert np.allclose(scores, expected, rtol=1e-12, atol=1e-12)


def sizes(shape: Tiny) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Of queries, keys and values, of x, and the prefix."""
    batch, heads, tokens, features, prefix = shape
    return (batch, heads, tokens, features), (batch, tokens, heads * features), prefix


def of_seed(shape: Tiny, seed: int, count: int) -> None:
    """So many cases from one seed."""
    random = np.random.default_rng(seed)
    of_head, of_x, prefix = sizes(shape)
    for _ in range(count):
        q, k, v = (random.normal(size=of_head) for _ in range(3))
        held(q, k, v, random.normal(size=of_x), prefix)


@st.composite
def arrays(draw: Callable[..., Any]) -> tuple[Array, Array, Array, Array, int]:
    """Every number drawn by Hypothesis."""
    of_head, of_x, prefix = sizes(draw(TINY))
    elements = st.floats(-4, 4, width=32)
    q, k, v, x = (draw(hnp.arrays(np.float32, size, elements=elements)) for size in (of_head, of_head, of_head, of_x))
    return q, k, v, x, prefix


def rate(strategy: Any, body: Callable[..., None], *, examples: int, cases: int) -> float:  # noqa: ANN401 -- a strategy
    """Cases a second of processor time."""

    @settings(
        max_examples=examples, deadline=None, database=None, derandomize=True,
        phases=[Phase.generate], suppress_health_check=(HealthCheck.too_slow,),
    )  # fmt: skip
    @given(strategy)
    def property_(drawn: Any) -> None:  # noqa: ANN401 -- whatever is drawn
        body(*drawn)

    start = process_time()
    property_()
    return examples * cases / (process_time() - start)


def checking(rounds: int, examples: int) -> Iterator[Figure]:
    """How many cases a second, by how they are drawn."""
    seeded = st.tuples(st.sampled_from(SHAPES), SEEDS)
    ways: dict[str, Callable[[], float]] = {
        "arrays drawn": partial(rate, arrays(), held, examples=examples // 4, cases=1),
        "shape and seed": partial(rate, seeded, partial(of_seed, count=1), examples=examples, cases=1),
        "16 cases a seed": partial(rate, seeded, partial(of_seed, count=16), examples=examples // 4, cases=16),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, way in ways.items():
            found = way()
            if turn:
                rates[name].append(found)
    for name, found_rates in rates.items():
        yield Figure("checking", name, "", "cases/s", spread_of(found_rates))
    for name, goal in (("shape and seed", 3.0), ("16 cases a seed", 7.0)):
        against = ratio(rates[name], rates["arrays drawn"])
        yield Figure("checking / arrays drawn", name, "", "ratio", against, goal, at_least=True)


def boundary(rounds: int) -> Iterator[Figure]:
    """What the contracts cost a step of ViT-S."""
    x, q, k, v = layer(4, 6, 197, seed=5)
    attn = (q @ k.mT / 8).softmax(dim=-1)
    calls = {check: partial(prune, x, attn, v, keep=98, check=check) for check in ("none", "shapes", "values")}
    seconds = by_turns(calls, rounds=rounds, repeat=3)
    yield Figure("boundary / none", 'check="shapes"', "", "ratio", ratio(seconds["shapes"], seconds["none"]), 1.05)
    yield Figure("boundary / none", 'check="values"', "", "ratio", ratio(seconds["values"], seconds["none"]))


def start_up(rounds: int) -> Iterator[Figure]:
    """The command that needs no torch, against importing torch; the interpreter's own start is taken off both."""

    def starting(*arguments: str) -> Callable[[], object]:
        return lambda: subprocess.run([sys.executable, *arguments], capture_output=True, check=True)

    programs = {"bare": ("-c", "pass"), "torch": ("-c", "import torch"), "help": ("-c", SCRIPT)}
    seconds = by_turns({name: starting(*each) for name, each in programs.items()}, rounds=rounds)
    own, of_torch = ([a - b for a, b in zip(seconds[name], seconds["bare"], strict=True)] for name in ("help", "torch"))
    yield Figure("start-up", "import torch", "", "ms", spread_of(of_torch).times(1e3))
    yield Figure("start-up", "pomt-ref --help", "", "ms", spread_of(own).times(1e3))
    yield Figure("start-up / import torch", "pomt-ref --help", "", "ratio", ratio(own, of_torch), 0.02)
