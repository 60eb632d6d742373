"""One step on several ranks, timed: python docs/examples/sharded.py [--ranks 2] [--split batch] [--tokens 1025].

Every rank makes its own share of a layer; nothing is sent but what the step needs. Rank 0 prints how long the slowest
rank takes, next to the whole step in one process, and how many bytes a rank puts in.
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor
from torch import distributed as dist
from torch.multiprocessing.spawn import spawn as start_processes

from pomt_ref import prune
from pomt_ref.sharding import Split, prune_sharded

BATCH, HEADS, FEATURES, CHANNELS, PREFIX = 8, 6, 64, 384, 1
REPEATS = 7


def layer(tokens: int) -> tuple[Tensor, Tensor, Tensor]:
    """A layer of the size of ViT-S, the same on every rank."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(BATCH, tokens, CHANNELS, generator=generator)
    attn = torch.randn(BATCH, HEADS, tokens, tokens, generator=generator).softmax(dim=-1)
    return x, attn, torch.randn(BATCH, HEADS, tokens, FEATURES, generator=generator)


def member(rank: int, ranks: int, split: Split, tokens: int, store: str) -> None:
    """What one rank does."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=ranks)
    x, attn, v = layer(tokens)
    count = BATCH if split == "batch" else tokens
    own = slice(rank * count // ranks, (rank + 1) * count // ranks)
    mine = (x[own], attn[own], v[own]) if split == "batch" else (x, attn[:, :, own].contiguous(), v)
    times = []
    for _ in range(REPEATS):
        dist.barrier()
        started = time.perf_counter()
        prune_sharded(*mine, prefix=PREFIX, keep=tokens // 2, split=split, check="shapes")
        slowest = torch.tensor(time.perf_counter() - started)
        dist.all_reduce(slowest, op=dist.ReduceOp.MAX)
        times.append(slowest.item())
    if rank == 0:
        sent = 4 if split == "batch" else 8 + 2 * 8 * BATCH * (tokens - PREFIX)
        print(f"{ranks} ranks, {split}: {1000 * sorted(times)[REPEATS // 2]:.1f} ms; {sent} bytes a rank")
    dist.destroy_process_group()


def main() -> None:
    """One process, then the ranks."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--split", choices=["batch", "queries"], default="batch")
    parser.add_argument("--tokens", type=int, default=1025)
    options = parser.parse_args()
    torch.set_num_threads(1)
    x, attn, v = layer(options.tokens)
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        prune(x, attn, v, prefix=PREFIX, keep=options.tokens // 2, check="shapes")
        times.append(time.perf_counter() - started)
    print(f"1 process: {1000 * sorted(times)[REPEATS // 2]:.1f} ms")
    with tempfile.TemporaryDirectory() as folder:
        arguments = (options.ranks, options.split, options.tokens, str(Path(folder, "store")))
        start_processes(member, arguments, nprocs=options.ranks)


if __name__ == "__main__":
    main()
