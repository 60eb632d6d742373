"""One call of an implementation: not longer than a limit, and what it prints kept apart from the report."""

import faulthandler
import io
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Final

TIME_LIMIT: Final = 60.0
"""Seconds that one call may take; compilers work in the first one."""

SHORTEST: Final = 0.001
LONGEST: Final = 1e6
"""Seconds, eleven days: what the clocks of every system count."""

AFTER_THE_FIRST: Final = 0.1
"""The share of the limit that is left once a call went beyond it: a check of a subject that hangs has to end."""

GRACE: Final = 2.0
"""Seconds after which a process of its own ends, where a call cannot be interrupted: it may be about to return."""

ENDS_PROCESS: Final = "POMT_REF_ENDS_PROCESS"
"""Environment variable of a process that a call may end, as in ``pomt_ref.cli.supervising``."""


def limit_after(limit: float, *, exceeded: bool) -> float:
    """Seconds that a call may take, once another went beyond the limit or not."""
    return limit * (AFTER_THE_FIRST if exceeded else 1)


class TimeLimitError(BaseException):
    """A call that took too long. No Exception: nothing between the call and the check may take it for an answer."""


@dataclass
class Watch:
    """What is noticed of an implementation from call to call."""

    limit: float = TIME_LIMIT
    printed: str = ""
    """The first line that it printed."""
    exceeded: bool = field(default=False)
    ends_process: bool = field(default_factory=lambda: ENDS_PROCESS in os.environ)
    """Whether a call that cannot be interrupted ends the process: one that was started for the calls alone."""

    @contextmanager
    def call(self) -> Iterator[None]:
        """Around one call: the clock runs, and standard output is kept."""
        with redirect_stdout(io.StringIO()) as output, self._clock():
            yield
        if not self.printed and not output.closed:
            self.printed = output.getvalue().strip().partition("\n")[0]

    def remarks(self) -> tuple[str, ...]:
        """What breaks no clause, and is told all the same."""
        return (f"it prints: {self.printed[:60]!r}",) if self.printed else ()

    @contextmanager
    def _clock(self) -> Iterator[None]:
        """Interrupt what takes too long, where the system can: in the main thread, on systems with such a signal."""
        if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
            yield
            return
        limit = limit_after(self.limit, exceeded=self.exceeded)
        before = ", a tenth of the limit, which another call had reached" if self.exceeded else ""

        def interrupt(_number: int, _frame: FrameType | None) -> None:
            self.exceeded = True
            raise TimeLimitError(f"took longer than {limit:g} s{before}")

        previous = signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, limit)
        try:
            with self._watchdog(limit + GRACE):
                yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)

    @contextmanager
    def _watchdog(self, seconds: float) -> Iterator[None]:
        """End the process where even the signal waits: Python handles it between two of its own instructions only."""
        if not self.ends_process:
            yield
            return
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
            process = os.getpid()
            faulthandler.dump_traceback_later(seconds, exit=True, file=nowhere)
            try:
                yield
            finally:
                if os.getpid() == process:  # pragma: no branch -- a copy that a call forked has no watchdog
                    faulthandler.cancel_dump_traceback_later()
