"""What every process of the sharding tests does, and how they are started: on gloo, over a file, without a network."""

import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, multiprocessing
from torch import distributed as dist

from pomt_ref import prune
from pomt_ref.sharding import prune_sharded

Work = Callable[[int, int], dict[str, Any]]
"""Of a rank, in a world of so many; what it returns is written to a file of its own."""


def layer(dtype: torch.dtype = torch.float32, *, samples: int = 8, tokens: int = 13) -> tuple[Tensor, Tensor, Tensor]:
    """A layer whose largest sums differ from sample to sample by far."""
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(samples, tokens, 4, generator=generator)
    sharpness = torch.linspace(0.1, 6, samples)[:, None, None, None]
    attn = (torch.randn(samples, 3, tokens, tokens, generator=generator) * sharpness).softmax(dim=-1)
    v = torch.randn(samples, 3, tokens, 2, generator=generator) * 0.3
    return x.to(dtype), attn.to(dtype), v.to(dtype)


def share(rank: int, world: int, count: int) -> slice:
    """The part of a rank, as even as it can be."""
    return slice(rank * count // world, (rank + 1) * count // world)


def batches(rank: int, world: int) -> dict[str, Any]:
    """Every dtype, divided by samples: whether it is bit-equal to the undivided step; whether each alone would be."""
    found = {}
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        x, attn, v = layer(dtype)
        own = share(rank, world, len(x))
        whole = prune(x, attn, v, prefix=2, keep=4)
        step = prune_sharded(x[own], attn[own], v[own], prefix=2, keep=4)
        same = all(torch.equal(getattr(step, name), getattr(whole, name)[own]) for name in ("tokens", "kept", "scores"))
        alone = prune(x[own], attn[own], v[own], prefix=2, keep=4)
        found[f"{dtype}"] = [same, torch.equal(alone.kept, whole.kept[own])]
    return found


def queries(rank: int, world: int) -> dict[str, Any]:
    """Every dtype, divided by query rows: the scores as they are, and which tokens are kept."""
    found = {}
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        x, attn, v = layer(dtype)
        step = prune_sharded(x, attn[:, :, share(rank, world, 13)], v, prefix=2, keep=4, split="queries")
        found[f"{dtype}"] = [[f.hex() for f in step.scores.flatten().tolist()], step.kept.tolist()]
    return found


def both(rank: int, world: int) -> dict[str, Any]:
    """Both divisions."""
    return {"batches": batches(rank, world), "queries": queries(rank, world)}


def disagreeing(rank: int, world: int) -> dict[str, Any]:
    """What is told when ranks disagree, and when one of them has a wrong share."""
    x, attn, v = layer()
    own = share(rank, world, len(x))
    told = {}
    for name, keep in (("keep", 4 + rank), ("refused", 4 if rank else 40)):
        try:
            prune_sharded(x[own], attn[own], v[own], prefix=2, keep=keep)
        except RuntimeError as error:
            told[name] = str(error)
        except ValueError as error:
            told[name] = f"own: {error}"
    return told


def dying(rank: int, world: int) -> dict[str, Any]:
    """Ranks disagree, which ends nothing; then the last one ends without a word."""
    disagreed = disagreeing(rank, world)
    x, attn, v = layer()
    prune_sharded(x, attn, v, prefix=2, keep=4)
    if rank == world - 1:
        os._exit(3)
    return disagreed | _told(x, attn, v)


def late(rank: int, world: int) -> dict[str, Any]:
    """The last rank does something else, until the others have given up."""
    x, attn, v = layer()
    prune_sharded(x, attn, v, prefix=2, keep=4)
    if rank == world - 1:
        time.sleep(4)
        return {}
    return _told(x, attn, v)


def _told(x: Tensor, attn: Tensor, v: Tensor) -> dict[str, Any]:
    """What a rank that is left says, and after how long."""
    started = time.monotonic()
    try:
        prune_sharded(x, attn, v, prefix=2, keep=4)
    except RuntimeError as error:
        return {"told": str(error), "seconds": time.monotonic() - started}
    return {}


def run(work: Work, world: int, folder: Path, *, timeout: float = 60.0) -> list[dict[str, Any] | None]:
    """What every rank returns; ``None`` of one that did not end as it should."""
    # One process imports torch, and all ranks are forked from it before it has done anything else.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "pomt_ref.sharding", __name__])
    processes = [
        context.Process(target=_member, args=(work, rank, world, folder, timeout), daemon=True) for rank in range(world)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    alive = [rank for rank, process in enumerate(processes) if process.is_alive()]
    for process in processes:
        process.kill()
    assert not alive, f"ranks {alive} hang"
    files = [folder / f"{work.__name__}-{world}-{rank}.pt" for rank in range(world)]
    return [torch.load(file) if file.exists() else None for file in files]


def _member(work: Work, rank: int, world: int, folder: Path, timeout: float) -> None:
    """One process."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder / f'{work.__name__}-{world}'}",
        rank=rank,
        world_size=world,
        timeout=timedelta(seconds=timeout),
    )
    torch.save(work(rank, world), folder / f"{work.__name__}-{world}-{rank}.pt")
    if work not in (dying, late):
        dist.destroy_process_group()
