"""Measure, print the table, compare with the last committed one: ``python -m tests.bench [--short] [--write]``.

There are two parts, a layer with all that is around it, and a whole model; ``--only`` measures one of them.

Figures of a layer are taken in two processes, one under glibc's default allocator, which gives large blocks back at
once and takes page faults for the next, and one that keeps them.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import torch

from tests.bench import around, layers, models, table
from tests.bench.result import Figure

ALLOCATORS: Final = {
    "default": "",
    "retained": "glibc.malloc.mmap_threshold=8589934592:glibc.malloc.trim_threshold=17179869184",
}
"""What GLIBC_TUNABLES is set to."""


def say(line: str) -> None:
    """Print at once."""
    print(line, flush=True)  # noqa: T201 -- the table is what the command is for


def of_layer(allocator: str, *, short: bool) -> list[Figure]:
    """The figures of one allocator, from a process that starts with it."""
    environment = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    environment |= {"GLIBC_TUNABLES": ALLOCATORS[allocator]} if ALLOCATORS[allocator] else {}
    command = [sys.executable, "-m", "tests.bench", "--layer", allocator, *["--short"] * short]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return [Figure.of_json(each) for each in json.loads(done.stdout)]


def measure(part: str, *, short: bool) -> list[Figure]:
    """Every figure of a part."""
    if part == "model":
        say("a model")
        return models.measure(models.SHORT if short else models.Size())
    figures: list[Figure] = []
    for allocator in ALLOCATORS:
        say(f"a layer, {allocator} allocator")
        figures += of_layer(allocator, short=short)
    say("memory")
    lengths = {300: 1.0} if short else around.MEMORY_GOALS
    figures += around.memory(lengths, 600 if short else around.LONGEST)
    say("checking, boundary, start-up")
    rounds = 3 if short else 9
    figures += around.checking(rounds, 40 if short else 400)
    figures += around.boundary(8 * rounds)
    figures += around.start_up(rounds)
    return figures


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and tell; the exit status says whether every goal is reached."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--short", action="store_true", help="small sizes and few rounds: to see that it runs")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md, its JSON and its picture")
    parser.add_argument("--only", choices=table.PARTS, help="measure this part, and write no other")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--layer", choices=ALLOCATORS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if options.layer:
        of_one = layers.measure(layers.SHORT if options.short else layers.Plan(), options.layer)
        say(json.dumps([each.as_json() for each in of_one]))
        return 0
    day = datetime.now(tz=UTC).date().isoformat()
    say("\n".join(f"{name}: {words}" for name, words in table.machine().items()))
    figures: list[Figure] = []
    for part in [options.only] if options.only else table.PARTS:
        found, before = measure(part, short=options.short), table.read(table.PARTS[part].numbers)
        say(table.tables(found, before))
        if options.write:
            table.write(part, found, before, day)
        figures += found
    if options.json:
        options.json.write_text(json.dumps(table.as_json(figures, day), indent=1), encoding="utf-8")
    missed = [each.key for each in figures if each.reached is False]
    say(
        f"goals: {sum(each.reached is True for each in figures)} reached, {len(missed)} missed"
        + "".join(f"\n  {each}" for each in missed)
    )
    return 1 if missed and not options.short else 0


if __name__ == "__main__":
    sys.exit(main())
