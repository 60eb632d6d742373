"""``pomt-ref``: the command line. Nothing heavy is imported before the arguments are understood."""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from typing import Final

from pomt_ref.cli import checking, models, supervising, vectors
from pomt_ref.cli.numbers import DTYPES, PROFILES
from pomt_ref.cli.parser import Parser
from pomt_ref.version import __version__

COULD_NOT_RUN: Final = 2
"""Exit status: there was nothing to check, or an argument was wrong; argparse uses the same."""

__all__ = ["COULD_NOT_RUN", "DTYPES", "PROFILES", "TRACEBACK", "build_parser", "main", "program"]

TRACEBACK: Final = "POMT_REF_TRACEBACK"
"""Environment variable: where it is set, a fault of this program ends in a traceback, for who mends it."""


def build_parser() -> argparse.ArgumentParser:
    """Describe the commands and their options."""
    parser = Parser(prog="pomt-ref", description="The golden reference of POMT token pruning (arXiv 2407.05941).")
    parser.add_argument("--version", action="version", version=f"pomt-ref {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    checking.add_check(commands)
    checking.add_replay(commands)
    checking.add_merge(commands)
    vectors.add_vectors(commands)
    models.add_choose(commands)
    models.add_bench_model(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the return value is the exit status."""
    command = "pomt-ref"
    try:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # a terminal without Unicode still gets its report
        parser = build_parser()
        parsed, unknown = parser.parse_known_args(arguments)
        command = f"{parser.prog} {parsed.command}"
        if unknown:
            parser.prog = command  # whose options these are not
            parser.error(f"unrecognized arguments: {' '.join(unknown)}")
        return _answer(parsed)
    except KeyboardInterrupt:
        print(f"{command}: interrupted", file=sys.stderr)
        return COULD_NOT_RUN


def _answer(parsed: argparse.Namespace) -> int:
    """Run a command whose arguments are understood; what it raises is told in one line."""
    with supervising.interruptions_wait():
        from pomt_ref.errors import PomtError  # noqa: PLC0415 -- late: torch takes two seconds

    try:
        return _run(parsed)
    except PomtError as error:
        told = " ".join(f"{error}".split())  # file names too may have several lines
        if told.startswith("check "):
            told = f"{parsed.command} {told.removeprefix('check ')}"
        elif parsed.command in models.COMMANDS and not told.startswith(parsed.command):
            told = f"{parsed.command}: {told}"
        print(f"pomt-ref {told}", file=sys.stderr)
    except Exception as error:
        if os.environ.get(TRACEBACK):
            raise
        told = f"{type(error).__name__}: {error}".partition("\n")[0]
        whose = "not enough memory" if _of_memory(error) else "a fault of this program"
        print(f"pomt-ref {parsed.command}: {whose}: {told} ({TRACEBACK}=1 shows where)", file=sys.stderr)
    return COULD_NOT_RUN


def _of_memory(error: Exception) -> bool:
    """Whether memory ran out: NumPy says so by the kind of the error, torch for the CPU in its words alone."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return bool(kinds & {"MemoryError", "OutOfMemoryError"}) or "allocate memory" in str(error)


def program() -> int:
    """``pomt-ref`` in a shell: as :func:`main`, and a check outlives an implementation that ends its process."""
    return supervising.program(main, sys.argv[1:])


def _run(parsed: argparse.Namespace) -> int:
    """The function that is called as the command is."""
    if parsed.command in models.COMMANDS:
        with supervising.interruptions_wait():
            from pomt_ref.vision import commands as measuring  # noqa: PLC0415 -- late: torch takes two seconds

        return measuring.choose(parsed) if parsed.command == "choose" else measuring.bench_model(parsed)
    with supervising.interruptions_wait():
        from pomt_ref.conformance import commands  # noqa: PLC0415 -- late, as above

    return int(getattr(commands, parsed.command)(parsed))
