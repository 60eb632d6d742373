"""A check in a process that an implementation may end: whoever started it says so, and what to make of it."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final, NamedTuple, NoReturn

ENDS_PROCESS: Final = "POMT_REF_ENDS_PROCESS"
"""Environment variable of such a process: a call that cannot be interrupted ends it."""

FROM_OUTSIDE: Final = frozenset({"SIGHUP", "SIGINT", "SIGKILL", "SIGTERM"})
"""Signals that are no fault of an implementation, out of memory perhaps."""

PAUSE: Final = 0.02
"""Seconds between two looks at a process that is waited for."""

Handler = Callable[[int, FrameType | None], object] | int | signal.Handlers | None
"""What Python has for a signal."""


class Ended(NamedTuple):
    """How a process ended that had not come to its end."""

    how: str
    """``SIGSEGV``, or ``exit status 3``."""
    status: int
    """The exit status to pass on."""


def supervised(run: Callable[[], int]) -> int | Ended:
    """Run a function in a process forked for it, before anything heavy was imported.

    Arguments:
        run: what it does; its value is the exit status.

    Returns:
        the exit status; or how the process ended before the function did.
    """
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child, told = 0, list[int]()

    def pass_on(number: int, _frame: object) -> None:
        if child:
            with suppress(ProcessLookupError):  # it ended just now
                os.kill(child, number)
        else:
            told.append(number)

    # Until both processes know what to do with a signal, it waits: Python forgets what a process just forked was sent.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    before = signal.signal(signal.SIGINT, signal.SIG_IGN), signal.signal(signal.SIGTERM, pass_on)
    try:
        child = os.fork()
        if child == 0:  # pragma: no cover -- in another process
            _run_to_the_end(run, writing, before=lambda: _restore(*before, mask))
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number in told:  # another thread took it: the mask is that of this one
            os.kill(child, number)
        os.close(writing)
        waited = _wait_for(child)
        child = 0
    finally:
        _restore(*before, mask)
    came_to_its_end = os.read(reading, 1) == b"!"
    os.close(reading)
    code = os.waitstatus_to_exitcode(waited)
    if came_to_its_end and code >= 0:
        return code
    if code < 0:
        return Ended(signal.Signals(-code).name, 128 - code)
    return Ended(f"exit status {code}", code)


def _wait_for(child: int) -> int:
    """Its status, as the system tells it, once it has ended.

    Looked at again and again: Python would handle a signal that another thread takes, or that comes just before a
    wait without end, when that wait is over.
    """
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        time.sleep(PAUSE)


def _restore(interrupt: Handler, terminate: Handler, mask: set[int | signal.Signals]) -> None:
    """What the two signals did before."""
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, terminate)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _run_to_the_end(
    run: Callable[[], int], writing: int, *, before: Callable[[], None]
) -> NoReturn:  # pragma: no cover -- in another process
    """What the forked process does; the byte that it writes says that it came to its end."""
    os.environ[ENDS_PROCESS] = "1"
    try:
        before()
        status = run()
    except KeyboardInterrupt:  # that waited for the process
        _tell("interrupted")
        status = 2
    except SystemExit as ended:  # of argparse
        status = ended.code if isinstance(ended.code, int) else 1
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(writing, b"!")
    os._exit(status)


@contextmanager
def interruptions_wait() -> Iterator[None]:
    """Interruptions (SIGINT) wait for the end of the block: an import that one cuts short may swallow it."""
    if not hasattr(signal, "pthread_sigmask"):  # pragma: no cover -- Windows
        yield
        return
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def program(main: Callable[[list[str]], int], arguments: list[str]) -> int:
    """The command as a process: a check whose process the implementation ends is run again, apart.

    Arguments:
        main: the command.
        arguments: what it was given.

    Returns:
        the exit status.
    """
    if arguments[:1] != ["check"] or not hasattr(os, "fork"):
        return main(arguments)
    ended = supervised(lambda: main(arguments))
    if isinstance(ended, Ended) and ended.how not in FROM_OUTSIDE:
        _tell(f"{_subject_of(arguments)} ended the process ({ended.how}), or hung; checked again, in a process apart")
        ended = supervised(lambda: main([*arguments, "--apart"]))
    if isinstance(ended, Ended):
        why = "; out of memory, perhaps" if ended.how == "SIGKILL" else ""
        _tell(f"the process ended ({ended.how}{why}) before the check did")
        return ended.status if ended.how in FROM_OUTSIDE else 2
    return ended


def _subject_of(arguments: list[str]) -> str:
    """What is checked, as far as that can be seen."""
    return next((word for word in arguments[1:] if ":" in word or word.endswith(".onnx")), "the implementation")


def _tell(line: str) -> None:
    """One line on standard error."""
    print(f"pomt-ref check: {line}", file=sys.stderr, flush=True)
