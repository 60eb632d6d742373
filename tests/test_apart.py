"""Kernels that end their process or hang in it: a verdict, and the case; alone, in jobs, and from the command line."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from pomt_ref import prune
from pomt_ref.cli import supervising
from pomt_ref.cli.supervising import Ended, supervised
from pomt_ref.conformance import check
from pomt_ref.conformance.apart import Note
from pomt_ref.conformance.call import GRACE, Watch
from pomt_ref.conformance.errors import SubjectError
from pomt_ref.conformance.loading import Loading
from pomt_ref.conformance.subject import CallableSubject
from pomt_ref.testing import build_case

ROOT = Path(__file__).parent.parent

CASE = build_case(
    "ordinary", seed=3, dtype="float32", batch=1, heads=2, tokens=4, features=1, channels=1, prefix=1, keep=1
)


def right(x: Tensor, attn: Tensor, v: Tensor, *, prefix: int, keep: int) -> Tensor:
    """An implementation."""
    return prune(x, attn, v, prefix=prefix, keep=keep, check="none").tokens


def crashes(x: Tensor, attn: Tensor, v: Tensor, *, prefix: int, keep: int) -> Tensor:
    """One that reads where no memory is, of some lengths."""
    if x.shape[1] > 60:
        ctypes.string_at(0)
    return right(x, attn, v, prefix=prefix, keep=keep)


def exits(*_tensors: Tensor, prefix: int, keep: int) -> Tensor:
    """One that ends the process, whatever it is given."""
    os._exit(3 + 0 * (prefix + keep))


def hangs(x: Tensor, attn: Tensor, v: Tensor, *, prefix: int, keep: int) -> Tensor:
    """One that waits where Python cannot interrupt it, as a blocked kernel does."""
    if x.shape[1] > 60:
        sum(range(10**12))
    return right(x, attn, v, prefix=prefix, keep=keep)


@dataclass(frozen=True)
class Dies(Loading):
    """An implementation that ends the process that loads it."""

    def subject(self) -> CallableSubject:
        """Never comes."""
        os._exit(4)


RANK: Final[dict[str, Any]] = {"clauses": ["POMT-RANK-1", "POMT-META-1"], "quick": True}


class TestApart:
    """Units in processes of their own."""

    def test_kernel_that_crashes_is_wrong_and_the_rest_is_held(self) -> None:
        report = check("tests.test_apart:crashes", apart=True, **RANK)
        assert [row.verdict for row in report.rows] == ["wrong", "conforms"]
        (failure,) = report.failures
        assert failure.message == (
            "POMT-RANK-1 wrong: ended the process (SIGSEGV); the case is the one drawn, not the smallest"
        )
        assert failure.case.shape.tokens > 60
        assert f"seed={failure.case.seed}" in failure.snippet
        assert report.first_kill is not None
        assert report.first_kill.cases > 1

    def test_kernel_that_exits_is_wrong_everywhere(self) -> None:
        report = check("tests.test_apart:exits", jobs=2, **RANK)
        assert [row.verdict for row in report.rows] == ["wrong", "wrong"]
        assert all("ended the process (exit status 3)" in failure.message for failure in report.failures)

    def test_kernel_that_hangs_is_ended(self) -> None:
        report = check("tests.test_apart:hangs", apart=True, time_limit=0.5, **RANK)
        assert [row.verdict for row in report.rows] == ["wrong", "conforms"]
        assert "took longer than 0.5 s, and could not be interrupted" in report.failures[0].message

    def test_right_kernel_conforms_as_it_does_here(self) -> None:
        here, apart = (check("tests.test_apart:right", apart=apart, **RANK) for apart in (False, True))
        assert [(row.clause, row.verdict, row.cases) for row in here.rows] == [
            (row.clause, row.verdict, row.cases) for row in apart.rows
        ]

    def test_captured_case_is_told(self, tmp_path: Path) -> None:
        tensors = {name: torch.from_numpy(getattr(CASE, name)).float().contiguous() for name in ("x", "attn", "v")}
        save_file(tensors, tmp_path / "captured.safetensors", metadata={"prefix": "1"})
        report = check(
            "tests.test_apart:exits",
            apart=True,
            quick=True,
            clauses="POMT-RANK-1",
            captured=tmp_path / "captured.safetensors",
        )
        generated, captured = report.failures
        assert generated.case.family != captured.case.family == "captured: captured.safetensors"

    def test_process_that_ends_before_a_call_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        dies = Dies("a:b", "pomt", "cpu", None, "torch", (), 60.0)
        monkeypatch.setattr("pomt_ref.conformance.units.loading_of", lambda _subject: dies)
        with pytest.raises(SubjectError, match=r"an implementation that can be called, got a process that ended"):
            check("tests.test_apart:right", apart=True, clauses="POMT-COUNT-1", max_examples=2)

    def test_kernel_that_forks_is_held_once(self) -> None:
        report = check("tests.test_apart:forks", apart=True, clauses="POMT-COUNT-1", max_examples=2)
        assert report.conforms

    def test_error_of_a_process_is_raised_here(self) -> None:
        with pytest.raises(SubjectError, match="expected a call that returns"):
            check("tests.test_apart:nothing", apart=True, clauses="POMT-COUNT-1", max_examples=2)


def forks(x: Tensor, attn: Tensor, v: Tensor, *, prefix: int, keep: int) -> Tensor:
    """One that forks, and whose copy comes back from the call by an error."""
    if os.fork() == 0:
        raise SystemExit(3)
    return right(x, attn, v, prefix=prefix, keep=keep)


def nothing(*_tensors: Tensor, prefix: int, keep: int) -> int:
    """Returns no tensor."""
    return prefix + keep


class TestNote:
    """What a process leaves behind."""

    def test_case_is_told_and_who_ended_it(self, tmp_path: Path) -> None:
        note = Note(tmp_path / "note")
        note.write("POMT-RANK-1", CASE)
        note.write("POMT-RANK-1", CASE)
        death = note.death(5, -signal.SIGSEGV, limit=60.0)
        assert (death.task, death.how, death.clause, death.shape) == (5, "SIGSEGV", "POMT-RANK-1", CASE.shape)
        assert (death.family, death.seed, death.cases, death.late) == ("ordinary", 3, 2, False)
        time.sleep(0.02)
        assert note.death(5, 1, limit=0.01).late
        note.clear()
        assert note.death(5, 1, limit=60.0).shape is None


class TestWatchdog:
    """A call that cannot be interrupted ends a process that was started for it."""

    def test_call_in_time_ends_nothing(self) -> None:
        with Watch(limit=5.0, ends_process=True).call():
            assert GRACE > 0


def killed() -> int:
    """What the system does to a process that wants too much memory."""
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


class TestSupervised:
    """A process forked for a command."""

    def test_status_is_passed_on(self) -> None:
        assert supervised(lambda: 7) == 7

    def test_status_of_argparse_is_passed_on(self) -> None:
        assert supervised(lambda: sys.exit(2)) == 2

    def test_process_that_ends_is_told(self) -> None:
        assert supervised(lambda: os._exit(3)) == Ended("exit status 3", 3)
        assert supervised(killed) == Ended("SIGKILL", 137)

    def test_check_is_run_again_apart(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        asked = []

        def run(arguments: list[str]) -> int:
            return 1 if "--apart" in arguments else os._exit(3)

        def told(call: object) -> int | Ended:
            asked.append(call)
            return supervised(call)  # type: ignore[arg-type]

        monkeypatch.setattr(supervising, "supervised", told)
        assert supervising.program(run, ["check", "a:b", "--quick"]) == 1
        assert len(asked) == 2
        assert capsys.readouterr().err == (
            "pomt-ref check: a:b ended the process (exit status 3), or hung; checked again, in a process apart\n"
        )

    def test_process_that_ends_twice_is_told(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert supervising.program(lambda _: os._exit(3), ["check"]) == 2
        assert "the implementation ended the process" in capsys.readouterr().err

    def test_process_that_was_killed_is_not_run_again(self, capsys: pytest.CaptureFixture[str]) -> None:
        status = supervising.program(lambda _: killed(), ["check", "a:b"])
        assert status == 137
        told = capsys.readouterr().err
        assert told == "pomt-ref check: the process ended (SIGKILL; out of memory, perhaps) before the check did\n"

    def test_other_commands_run_here(self) -> None:
        here = os.getpid()
        assert supervising.program(lambda _: int(os.getpid() == here), ["merge"]) == 1

    def test_termination_is_passed_on(self) -> None:
        def end_the_parent_softly() -> int:
            os.kill(os.getppid(), signal.SIGTERM)
            time.sleep(30)
            return 0

        assert supervised(end_the_parent_softly) == Ended("SIGTERM", 143)


def test_command_outlives_a_kernel_that_crashes(tmp_path: Path) -> None:
    command = ["check", "tests.test_apart:exits", "--quick", "--clause", "POMT-RANK-1", "--no-save"]
    done = subprocess.run(
        [sys.executable, "-m", "pomt_ref", *command],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 1
    assert "checked again, in a process apart" in done.stderr
    assert "POMT-RANK-1 wrong: ended the process (exit status 3)" in done.stdout
