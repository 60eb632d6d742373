"""One call of an implementation: not longer than a limit, and what it prints kept apart from the report."""

import io
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from types import FrameType
from typing import Final

TIME_LIMIT: Final = 60.0
"""Seconds that one call may take; compilers work in the first one."""

AFTER_THE_FIRST: Final = 0.1
"""The share of the limit that is left once a call went beyond it: a check of a subject that hangs has to end."""


class TimeLimitError(BaseException):
    """A call that took too long. No Exception: nothing between the call and the check may take it for an answer."""


@dataclass
class Watch:
    """What is noticed of an implementation from call to call."""

    limit: float = TIME_LIMIT
    printed: str = ""
    """The first line that it printed."""
    exceeded: bool = field(default=False)

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
        limit = self.limit * (AFTER_THE_FIRST if self.exceeded else 1)

        def interrupt(_number: int, _frame: FrameType | None) -> None:
            self.exceeded = True
            raise TimeLimitError(f"took longer than {limit:g} s")

        previous = signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, limit)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)
