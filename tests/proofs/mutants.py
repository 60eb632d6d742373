"""Mutants: the sources with one edit, each held against the statements in a process of its own.

A statement that no mutant fails would prove nothing about the sources. A mutant that no statement rejects is either the
same program, and then it is listed with the reason, or a gap.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

from tests.proofs import sources
from tests.proofs.edits import Edit
from tests.proofs.everything import BY_NAME
from tests.proofs.processes import in_processes

SECONDS: Final = 60
"""For one statement about one mutant; a proof that is not found in that time is red as well."""

Task = tuple[Edit, Sequence[str]]


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant."""

    edit: Edit
    statement: str
    """The first statement that rejects it; empty if none does."""
    why: str


def too_long(_signal: int, _frame: FrameType | None) -> None:
    """What an alarm does."""
    raise TimeoutError(f"no proof in {SECONDS} s")


def hold_against(task: Task) -> Verdict:
    """Take a mutant on and try the statements in their order. Quietly: a mutant's warnings are of no interest."""
    edit, names = task
    signal.signal(signal.SIGALRM, too_long)
    sys.stderr = sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 -- until the process ends
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


TYPES: Final = "mypy, in nox -s types"


def rejected_by_types(edit: Edit) -> bool:
    """Whether mypy reports the changed module, or a use of it, as the other session that needs no test does."""
    with tempfile.TemporaryDirectory(prefix="types") as place:
        copy = Path(place, "pomt_ref")
        shutil.copytree(sources.PACKAGE, copy)
        shutil.copy(sources.ROOT / "pyproject.toml", place)
        (copy / f"{edit.module}.py").write_text(edit.text, encoding="utf-8")
        shutil.copy(sources.ROOT / "tests" / "consumer.py", place)
        files = [f"pomt_ref/{edit.module}.py", "consumer.py"]
        command = [sys.executable, "-m", "mypy", "--cache-dir", str(sources.BUILD / "mypy"), *files]
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return subprocess.run(command, cwd=place, env=environment, capture_output=True, check=False).returncode == 1


def verdicts(tasks: Iterable[Task]) -> Iterator[Verdict]:
    """All mutants. A process that dies, as torch may make it, has rejected its mutant: it is not green."""
    for done in in_processes(hold_against, tasks):
        edit, names = done.task
        yield done.answer or Verdict(edit, names[0], "the process died")
