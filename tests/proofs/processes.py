"""Processes: work done in forks of this one, some at a time; each begins with torch ready and the package unread."""

import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Any, Final, Generic, TypeVar

import torch

from tests.proofs.graphs import graph_of

PROCESSES: Final = 2

Task = TypeVar("Task")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Done(Generic[Task, Answer]):
    """A task, what came of it, and how long it took."""

    task: Task
    answer: Answer | None
    """None if the process died before it had one."""
    seconds: float


def in_a_fork(work: Callable[[Any], Any], task: object, end: Connection) -> None:
    """What a process does."""
    end.send(work(task))


def in_processes(work: Callable[[Task], Answer], tasks: Iterable[Task]) -> Iterator[Done[Task, Answer]]:
    """Every task, as it is done; each in a process of its own."""
    graph_of(torch.neg, [torch.zeros(1)], {})  # torch.export loads half of torch when it is first used
    forks = multiprocessing.get_context("fork")
    waiting = iter(tasks)
    running: dict[Connection, tuple[Task, ForkProcess, float]] = {}
    while True:
        for task in islice(waiting, PROCESSES - len(running)):
            answer, end = forks.Pipe(duplex=False)
            process = forks.Process(target=in_a_fork, args=(work, task, end))
            process.start()
            end.close()
            running[answer] = (task, process, time.perf_counter())
        if not running:
            return
        for ready in wait(list(running)):
            assert isinstance(ready, Connection)
            task, process, start = running.pop(ready)
            try:
                result = ready.recv()
            except EOFError:
                result = None
            process.join()
            yield Done(task, result, time.perf_counter() - start)
