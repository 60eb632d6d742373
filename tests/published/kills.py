"""Writes docs/kills.md: which law kills which mutant, how soon, and what honest variants use of the bounds.

``python -m tests.published.kills`` writes the page, and fails if the law of its own clause does not kill some mutant;
with ``--check`` it fails as well if the page was another one.
"""

import multiprocessing
import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from pomt_ref.testing import Method, laws_of
from pomt_ref.testing.mutants import FAULTS, Mutant

from .honest import attained_table, honest_table
from .recording import QUICK, WHOLE, Kill, first_kill

PAGE: Final = Path(__file__).parents[2] / "docs" / "kills.md"

METHODS: Final[dict[Method, str]] = {"pomt": "POMT", "topk": "Top-K", "evit": "EViT"}


@dataclass(frozen=True)
class Killed:
    """What the laws make of one mutant."""

    place: int
    """Of the mutant in FAULTS."""
    quick: dict[str, Kill]
    """By clause, at the quick setting."""
    whole: Kill | None
    """By its own clause, at the default setting, where that is not killed at the quick one."""

    @property
    def mutant(self) -> Mutant:
        """Functions are no data: processes share places."""
        return FAULTS[self.place]

    @property
    def by_its_clause(self) -> bool:
        """Whether the law of its clause kills it, at one of the two settings."""
        return self.mutant.clause in self.killers or (self.whole is not None and self.whole.kind == "kill")

    @property
    def killers(self) -> list[str]:
        """The clauses whose law kills it at the quick setting."""
        return [clause for clause, kill in self.quick.items() if kill.kind == "kill"]


def held(place: int) -> Killed:
    """Hold one mutant to all laws of its method."""
    torch.set_num_threads(1)
    mutant = FAULTS[place]
    found = {law.clause: first_kill(law, mutant, QUICK) for law in laws_of(mutant.method)}
    quick = {clause: kill for clause, kill in found.items() if kill is not None}
    own = quick.get(mutant.clause)
    whole = None
    if own is None or own.kind != "kill":
        law = next(law for law in laws_of(mutant.method) if law.clause == mutant.clause)
        whole = first_kill(law, mutant, WHOLE)
    return Killed(place, quick, whole)


def all_held() -> list[Killed]:
    """Every mutant, on all cores."""
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        return pool.map(held, range(len(FAULTS)), chunksize=8)


def short(clause: str) -> str:
    """A heading of the matrix."""
    return clause.removeprefix("POMT-")


def cell(kill: Kill | None) -> str:
    """One entry of the matrix."""
    if kill is None:
        return ""
    return {"kill": f"{kill.cases}", "blocked": "b", "crash": "x"}[kill.kind]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def matrix(killed: Sequence[Killed], method: Method) -> str:
    """Mutants by clauses."""
    clauses = [law.clause for law in laws_of(method)]
    rows = []
    for one in killed:
        mutant = one.mutant
        if mutant.method != method:
            continue
        name = mutant.name if mutant.dtype == "float32" else f"{mutant.name} ({mutant.dtype})"
        rows.append([name, short(mutant.clause), *(cell(one.quick.get(clause)) for clause in clauses), cell(one.whole)])
    return table(["mutant", "breaks", *map(short, clauses), "all"], rows)


def summary(killed: Sequence[Killed]) -> str:
    """What the matrix comes to."""
    own = [one for one in killed if one.mutant.clause in one.killers]
    late = [one for one in killed if one not in own]
    by_any = len(own) + sum(bool(one.killers) for one in late)
    whole = sum(one.whole is not None and one.whole.kind == "kill" for one in late)
    cases = sorted(one.quick[one.mutant.clause].cases for one in own)
    half, most = cases[len(cases) // 2], cases[len(cases) * 9 // 10]
    lines = [
        f"- {len(killed)} mutants; {by_any} are killed by a check with `--quick`, {len(own)} of them by the law of",
        f"  the clause that they break: half of these by its case {half} or sooner, nine in ten by case {most}.",
        f"- Of the other {len(late)}, the law of the clause kills {whole} at the default setting (column `all`).",
    ]
    return "\n".join(lines)


def corpus() -> str:
    """Every mutant in a line."""
    return table(
        ["mutant", "method", "breaks", "what it does"],
        [[mutant.name, METHODS[mutant.method], mutant.clause, mutant.description] for mutant in FAULTS],
    )


def page(killed: Sequence[Killed]) -> str:
    """The whole page."""
    counts = Counter(one.mutant.method for one in killed)
    parts = [INTRODUCTION, summary(killed), LEGEND]
    for method, title in METHODS.items():
        parts += [f"## {title}: {counts[method]} mutants", matrix(killed, method)]
    parts += [HONEST, honest_table(), ATTAINED, attained_table(), "## What every mutant does", corpus()]
    return "\n\n".join(parts) + "\n"


INTRODUCTION: Final = """# Kills

Every law of the check has to reject something. `pomt_ref.testing.mutants` is a corpus of faulty
implementations, each made from a right one by a plausible fault in one stage; this page says which law
rejects which, and how soon. It is generated (`nox -s mutants`), with seed 0."""

LEGEND: Final = """A number is the case of the clause at which the law first fails the mutant, in a check with
`--quick`: 40 drawn cases a clause and two or three fixed ones. An empty field: it does not. **b**: the output
breaks another clause and cannot be read far enough to judge this one. **x**: the mutant raised, which is no
kill. Where the law of the clause that the mutant breaks does not kill it in a quick check, the column `all` is
the case at which it does in a check at the default setting: 200 drawn cases, and long sequences.

A fault is to be found by the law of its own clause. Laws that follow it in the order of the specification may
see it too: a wrong attention sum is a wrong score, and mostly a wrong order."""

HONEST: Final = """## Honest variants: no false alarm

Correct implementations that differ in rounding, in the order of sums, or in ties. Each of them is held to
every law of its method in every dtype; a single rejection fails the run that makes this page."""

ATTAINED: Final = """## How much of the bounds is used

The largest error of any variant, as a fraction of what FLOAT-1 allows for scores and FLOAT-2 for the mean
row, over the cases of the score laws and of POMT-PRUNE-3; no run may reach one. Declared profiles store every
stage in half precision, reported ones do every operation in it. With one more rounding than the profile
grants, the score being stored once more and a whole unit upwards, the worst error comes close to what is
allowed where storage is what decides."""


def main(arguments: Sequence[str]) -> int:
    """Write the page, or compare it."""
    killed = all_held()
    text = page(killed)
    former = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    PAGE.write_text(text, encoding="utf-8")
    alive = [str(one.mutant) for one in killed if not one.by_its_clause]
    for name in alive:
        sys.stdout.write(f"not killed by the law of its clause: {name}\n")
    stale = "--check" in arguments and former != text
    if stale:
        sys.stdout.write(f"{PAGE.name} was out of date; it is written anew\n")
    return int(bool(alive) or stale)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
