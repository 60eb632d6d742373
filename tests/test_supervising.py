"""What a process of a check leaves behind, and a command that runs in a process of its own."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pomt_ref import cli
from pomt_ref.cli import supervising
from pomt_ref.cli.supervising import Ended, interruptions_wait, supervised
from pomt_ref.conformance.apart import Note
from pomt_ref.conformance.call import GRACE, Watch
from pomt_ref.testing import build_case

CASE = build_case(
    "ordinary", seed=3, dtype="float32", batch=1, heads=2, tokens=4, features=1, channels=1, prefix=1, keep=1
)


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


def asleep() -> int:
    """What does not end soon by itself."""
    time.sleep(30)
    return 0


@pytest.fixture
def in_a_terminal() -> Iterator[None]:
    """Ctrl-C interrupts, as it does in a terminal; of what a shell starts in the background it ends nothing."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


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

    def test_termination_while_it_waits_is_passed_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        wait = os.waitpid

        def terminated(process: int, options: int) -> tuple[int, int]:
            signal.raise_signal(signal.SIGTERM)
            return wait(process, options)

        monkeypatch.setattr(os, "waitpid", terminated)
        assert supervised(asleep) == Ended("SIGTERM", 143)

    def test_termination_that_another_thread_takes_is_passed_on(self) -> None:
        def end_the_parent_softly() -> int:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
            os.kill(os.getppid(), signal.SIGTERM)
            return asleep()

        over = threading.Event()
        other = threading.Thread(target=over.wait)
        other.start()
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            assert supervised(end_the_parent_softly) == Ended("SIGTERM", 143)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            over.set()
            other.join()

    @pytest.mark.parametrize("by", ["this thread", "another thread"])
    def test_termination_before_there_is_anyone_to_tell_is_passed_on(
        self, monkeypatch: pytest.MonkeyPatch, by: str
    ) -> None:
        fork = os.fork

        def late() -> int:
            if by == "this thread":
                signal.raise_signal(signal.SIGTERM)  # and waits
            else:  # whose mask is its own: Python calls the handler here
                handler = signal.getsignal(signal.SIGTERM)
                assert callable(handler)
                handler(signal.SIGTERM, None)
            return fork()

        monkeypatch.setattr(os, "fork", late)
        before = signal.getsignal(signal.SIGTERM), signal.pthread_sigmask(signal.SIG_BLOCK, ())
        assert supervised(asleep) == Ended("SIGTERM", 143)
        assert (signal.getsignal(signal.SIGTERM), signal.pthread_sigmask(signal.SIG_BLOCK, ())) == before

    def test_termination_of_a_process_just_forked_ends_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        fork = os.fork

        def terminated() -> int:
            child = fork()
            if child == 0:
                signal.raise_signal(signal.SIGTERM)  # before it has its own handlers
            return child

        monkeypatch.setattr(os, "fork", terminated)
        assert supervised(asleep) == Ended("SIGTERM", 143)

    def test_process_that_ended_just_now_is_not_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        wait = os.waitpid

        def waited(process: int, options: int) -> tuple[int, int]:
            ended = wait(process, options)
            if ended[0]:
                signal.raise_signal(signal.SIGTERM)
            return ended

        monkeypatch.setattr(os, "waitpid", waited)
        assert supervised(lambda: 7) == 7

    @pytest.mark.usefixtures("in_a_terminal")
    def test_interruption_of_a_process_just_forked_is_told(
        self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        fork = os.fork

        def interrupted() -> int:
            child = fork()
            if child == 0:
                signal.raise_signal(signal.SIGINT)
            return child

        monkeypatch.setattr(os, "fork", interrupted)
        assert supervised(asleep) == 2
        assert capfd.readouterr().err == "pomt-ref check: interrupted\n"


@pytest.mark.usefixtures("in_a_terminal")
class TestInterruptions:
    """Ctrl-C while something is imported."""

    def test_interruption_waits_for_the_end_of_the_block(self) -> None:
        reached = []

        def imported() -> None:
            with interruptions_wait():
                signal.raise_signal(signal.SIGINT)
                reached.append("the end of the block")

        with pytest.raises(KeyboardInterrupt):
            imported()
        assert reached == ["the end of the block"]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)

    @pytest.mark.parametrize(("at", "who"), [("build_parser", "pomt-ref"), ("_answer", "pomt-ref check")])
    def test_interruption_is_told_in_one_line(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], at: str, who: str
    ) -> None:
        def impatient(*_: object) -> int:
            raise KeyboardInterrupt

        monkeypatch.setattr(cli, at, impatient)
        assert cli.main(["check", "pomt_ref:prune"]) == 2
        assert capsys.readouterr().err == f"{who}: interrupted\n"
