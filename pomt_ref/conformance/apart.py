"""Units of a check in processes of their own: one that an implementation ends is a failure, and the check goes on.

A process writes down which case it is at before every case, so that whoever started it can tell what it died of. What
hangs where Python cannot interrupt it is ended by the process's own watchdog, and told as a call that took too long.
"""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import connection, get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from pomt_ref.conformance.call import limit_after
from pomt_ref.conformance.judging import Progress
from pomt_ref.conformance.loading import Loading
from pomt_ref.conformance.subject import CallableSubject
from pomt_ref.testing import Case, Shape

Task = Callable[[CallableSubject, Progress], Any]
"""What a process does with the implementation; it and what it returns travel between processes."""


@dataclass(frozen=True)
class Death:
    """How the process of a task ended before the task did."""

    task: int
    how: str
    """``SIGSEGV``, or ``exit status 3``; or that a call took too long."""
    clause: str
    family: str
    shape: Shape | None
    """Of the case that it was at; None where it was at none."""
    seed: int
    cases: int
    """Of this task, that case included."""
    late: bool
    """Whether its watchdog ended it."""


class Note:
    """Where a process is: a file that is there when the process is not."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.cases: int = 0

    def write(self, clause: str, case: Case) -> None:
        """Before a case."""
        self.cases += 1
        told = {"clause": clause, "family": case.family, "shape": asdict(case.shape), "seed": case.seed}
        text = json.dumps(told | {"cases": self.cases, "since": time.time()})
        descriptor = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.write(descriptor, text.encode())
        os.close(descriptor)

    def clear(self) -> None:
        """After a task."""
        self.cases = 0
        self.file.unlink(missing_ok=True)

    def death(self, task: int, status: int, limit: float) -> Death:
        """What it says of a process that ended so, while a call might take that long."""
        how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        try:
            told = json.loads(self.file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return Death(task, how, "", "", None, 0, 0, late=False)
        late = status == 1 and time.time() - told["since"] >= limit
        shape = Shape(**told["shape"])
        return Death(task, how, told["clause"], told["family"], shape, told["seed"], told["cases"], late=late)


@dataclass
class Worker:
    """A process, what it is at, and the line to it."""

    process: BaseProcess
    line: connection.Connection
    note: Note
    limit: float
    task: int


def run_apart(tasks: Sequence[Task], load: Loading, *, jobs: int, ended: Callable[[int, Any], None]) -> Iterator[Death]:
    """Run every task in one of several processes; a task whose process ends is told, and another process goes on.

    Arguments:
        tasks: what there is to do; tasks are begun in order.
        load: how the implementation is loaded in a process.
        jobs: processes at a time.
        ended: called with the number of a task and what it returned.

    Yields:
        the deaths, as they happen.
    """
    waiting = list(range(len(tasks)))[::-1]
    exceeded = False
    with TemporaryDirectory(prefix="pomt-ref-") as folder, _none_left() as workers:
        while waiting or workers:
            while waiting and len(workers) < jobs:
                file = Path(folder, f"{len(waiting)}-{len(workers)}-{time.monotonic_ns()}")
                workers.append(_start(tasks, waiting.pop(), load, file, exceeded=exceeded))
            connection.wait([worker.line for worker in workers])
            for worker in [worker for worker in workers if worker.line.poll()]:
                try:
                    found, error = worker.line.recv()
                except (EOFError, ConnectionError):
                    workers.remove(worker)
                    worker.process.join()
                    death = worker.note.death(worker.task, worker.process.exitcode or 0, worker.limit)
                    exceeded = exceeded or death.late
                    yield death
                    continue
                if error is not None:
                    raise error
                ended(worker.task, found)
                if waiting:
                    worker.task = waiting.pop()
                    worker.line.send(tasks[worker.task])
                else:
                    workers.remove(worker)
                    worker.line.send(None)
                    worker.process.join()


def _start(tasks: Sequence[Task], task: int, load: Loading, file: Path, *, exceeded: bool) -> Worker:
    """A process with its first task. What torch and CUDA hold cannot be forked: it imports everything anew."""
    ours, theirs = connection.Pipe()
    process = get_context("spawn").Process(target=_work, args=(theirs, load, file, exceeded), daemon=True)
    process.start()
    theirs.close()
    ours.send(tasks[task])
    return Worker(process, ours, Note(file), limit_after(load.limit, exceeded=exceeded), task)


@contextmanager
def _none_left() -> Iterator[list[Worker]]:
    """Processes, which end with the block however it ends."""
    workers: list[Worker] = []
    try:
        yield workers
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.join()


def _work(  # pragma: no cover -- in another process
    line: connection.Connection,
    load: Loading,
    file: Path,
    exceeded: bool,  # noqa: FBT001 -- a process takes no keywords
) -> None:
    """Do one task after the other, until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started it ends it
    torch.set_num_threads(1)
    note = Note(file)
    progress = Progress(case_begins=lambda law, case: note.write(law.clause, case))
    try:
        subject = load.subject()
        subject.watch.exceeded, subject.watch.ends_process = exceeded, True
        while (task := line.recv()) is not None:
            line.send((task(subject, progress), None))
            note.clear()
    except EOFError:
        return
    except Exception as error:  # noqa: BLE001 -- it is raised again where the process was started
        line.send((None, error))
