"""Mutants: the sources with one edit, each held against the statements in a process of its own.

A statement that no mutant fails would prove nothing about the sources. A mutant that no statement rejects is either the
same program, and then it is listed with the reason, or a gap.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Final

import torch

from tests.proofs import sources
from tests.proofs.edits import Edit
from tests.proofs.everything import BY_NAME
from tests.proofs.graphs import graph_of

SECONDS: Final = 120
"""For one statement about one mutant; a proof that is not found in that time is red as well."""

PROCESSES: Final = 2


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant."""

    edit: Edit
    statement: str
    """The first statement that rejects it; empty if none does."""
    why: str


def hold_against(task: tuple[Edit, Sequence[str]]) -> Verdict:
    """Take a mutant on and try the statements in their order."""
    edit, names = task

    def too_long(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"no proof in {SECONDS} s")

    signal.signal(signal.SIGALRM, too_long)
    sys.stderr = sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 -- until the process ends
    sources.take_on(edit.module, edit.text)
    for name in names:
        statement = BY_NAME[name]
        signal.alarm(SECONDS)
        try:
            (statement.quick or statement.prove)()
        except Exception as error:  # noqa: BLE001 -- a mutant may raise anything; that is what is asked
            return Verdict(edit, name, f"{type(error).__name__}: {error}".replace("\n", " ")[:200])
        finally:
            signal.alarm(0)
    return Verdict(edit, "", "")


def verdicts(tasks: Sequence[tuple[Edit, Sequence[str]]]) -> Iterator[Verdict]:
    """All mutants, some at a time, each in a process forked from this one, which has torch ready and the package not."""
    graph_of(torch.neg, [torch.zeros(1)], {})  # torch.export loads half of torch when it is first used
    with multiprocessing.get_context("fork").Pool(PROCESSES, maxtasksperchild=1) as pool:
        yield from pool.imap(hold_against, tasks, chunksize=1)
