"""One call of an implementation: not longer than a limit, and what it prints kept apart from the report."""

import signal
import sys
import threading
import time
from typing import Any

import pytest
from torch import Tensor

from pomt_ref.conformance import check
from pomt_ref.conformance.call import TimeLimitError, Watch
from pomt_ref.testing.mutants import Step


class TestWatch:
    """The clock runs during a call and at no other time."""

    def test_call_beyond_the_limit_is_interrupted(self) -> None:
        watch = Watch(limit=0.05)
        begin = time.perf_counter()
        with pytest.raises(TimeLimitError, match=r"took longer than 0\.05 s"), watch.call():
            time.sleep(10)
        assert time.perf_counter() - begin < 5
        assert watch.exceeded

    def test_limit_is_shorter_once_it_was_exceeded(self) -> None:
        with (
            pytest.raises(TimeLimitError, match=r"took longer than 0\.05 s"),
            Watch(limit=0.5, exceeded=True).call(),
        ):
            time.sleep(10)

    def test_call_within_the_limit_leaves_no_alarm_behind(self) -> None:
        before = signal.getsignal(signal.SIGALRM)
        with Watch(limit=5.0).call():
            pass
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
        assert signal.getsignal(signal.SIGALRM) == before

    def test_call_in_another_thread_runs_without_a_clock(self) -> None:
        done: list[int] = []

        def work() -> None:
            with Watch(limit=0.001).call():
                time.sleep(0.05)
            done.append(1)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert done == [1]

    def test_what_is_printed_is_kept_and_told_once(self, capsys: pytest.CaptureFixture[str]) -> None:
        watch = Watch()
        for text in ("", "first\nmore", "second"):
            with watch.call():
                print(text)  # noqa: T201 -- the point
        assert watch.remarks() == ("it prints: 'first'",)
        assert capsys.readouterr().out == ""
        assert Watch().remarks() == ()

    def test_output_that_is_closed_is_no_matter(self) -> None:
        watch = Watch()
        with watch.call():
            sys.stdout.close()
        assert watch.remarks() == ()


class TestCheck:
    """A subject that sleeps is told by clause, and the check goes on and ends."""

    def test_check_of_a_subject_that_sleeps_goes_on(self) -> None:
        def sleeping(x: Tensor, attn: Tensor, v: Tensor, *, prefix: int, keep: int) -> Any:  # noqa: ANN401 -- as any
            if keep > 2:
                time.sleep(60)
            return Step()(x, attn, v, prefix=prefix, keep=keep)

        begin = time.perf_counter()
        clauses = ["POMT-PRUNE-1", "POMT-RANK-1"]
        report = check(sleeping, clauses=clauses, max_examples=20, time_limit=0.5)
        assert time.perf_counter() - begin < 20
        assert [row.verdict for row in report.rows] == ["wrong", "wrong"]
        assert [failure.message.partition(" wrong: ")[2] for failure in report.failures] == [
            "took longer than 0.5 s",
            "took longer than 0.05 s, a tenth of the limit, which another call had reached",
        ]
