"""``pomt-ref``: the command line. Nothing heavy is imported before the arguments are understood."""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pomt_ref.version import __version__

COULD_NOT_RUN: Final = 2
"""Exit status: there was nothing to check, or an argument was wrong; argparse uses the same."""

TRACEBACK: Final = "POMT_REF_TRACEBACK"
"""Environment variable: where it is set, a fault of this program ends in a traceback, for who mends it."""

STATUS: Final = "exit status: 0 it conforms, 1 it does not, 2 the check could not run"

DIGITS: Final = 18
"""Of the largest integer that an option takes."""

DTYPES: Final = ("float16", "bfloat16", "float32", "float64")
PROFILES: Final = ("float64", "float32", "float32/float16", "float32/bfloat16", "float16", "bfloat16")
"""As in :mod:`pomt_ref.testing.rounding`, which takes too long to import here; a test holds them together."""


def build_parser() -> argparse.ArgumentParser:
    """Describe the commands and their options."""
    parser = argparse.ArgumentParser(
        prog="pomt-ref", description="The golden reference of POMT token pruning (arXiv 2407.05941)."
    )
    parser.add_argument("--version", action="version", version=f"pomt-ref {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_check(commands)
    _add_replay(commands)
    _add_merge(commands)
    _add_vectors(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the return value is the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without Unicode still gets its report
    parsed = build_parser().parse_args(arguments)
    from pomt_ref.conformance import commands  # noqa: PLC0415 -- late: torch takes two seconds
    from pomt_ref.errors import PomtError  # noqa: PLC0415 -- late, as above

    try:
        return int(getattr(commands, parsed.command)(parsed))
    except PomtError as error:
        print(f"pomt-ref {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print(f"pomt-ref {parsed.command}: interrupted", file=sys.stderr)
    except Exception as error:
        if os.environ.get(TRACEBACK):
            raise
        told = f"{type(error).__name__}: {error}".partition("\n")[0]
        print(
            f"pomt-ref {parsed.command}: a fault of this program: {told} ({TRACEBACK}=1 shows where)", file=sys.stderr
        )
    return COULD_NOT_RUN


def _add_check(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """``pomt-ref check``."""
    command = commands.add_parser(
        "check",
        help="tell, clause by clause, whether an implementation conforms",
        description="Hold an implementation against the specification, clause by clause. It is any Python callable "
        "(x, attn, v, *, prefix, keep) -> output on arrays, or an ONNX file; Top-K and EViT are called without v.",
        epilog=STATUS,
    )
    command.add_argument("subject", metavar="package.module:attribute", help="the implementation, or a file.onnx")
    asked = command.add_argument_group("what is checked")
    asked.add_argument("--method", choices=["pomt", "topk", "evit"], default="pomt", help="what it implements")
    asked.add_argument("--dtype", choices=DTYPES, default="float32", help="dtype of the inputs (default: float32)")
    asked.add_argument("--device", default="cpu", metavar="DEVICE", help="device of the inputs (default: cpu)")
    asked.add_argument("--profile", choices=PROFILES, help="precision that it works in (default: that of POMT-PREC-1)")
    asked.add_argument("--framework", choices=["torch", "numpy", "jax"], help="whose arrays it is called with")
    asked.add_argument(
        "--fix", action="append", type=_size, metavar="AXIS=SIZE", help="it is made for this size only; may be repeated"
    )
    asked.add_argument("--clause", action="append", metavar="CLAUSE", help="this clause only; may be repeated")
    asked.add_argument("--family", action="append", metavar="FAMILY", help="this input family only; may be repeated")
    asked.add_argument("--xfail", type=Path, metavar="FILE", help="known deviations, a clause and a reason a line")
    drawn = command.add_argument_group("how many cases")
    drawn.add_argument("--quick", action="store_true", help="a fifth of the cases: seconds, for while you work")
    drawn.add_argument("--max-examples", type=_positive, metavar="N", help="cases a clause (default: 200)")
    drawn.add_argument("--seed", type=_natural, default=0, metavar="N", help="the same seed draws the same cases")
    drawn.add_argument("--cases", type=Path, metavar="FILE", help="safetensors file with x, attn, v of a real model")
    drawn.add_argument("--jobs", type=_positive, default=1, metavar="N", help="processes to share the work between")
    drawn.add_argument("--shard", metavar="K/N", help="only the K-th of N shares; pomt-ref merge joins them")
    drawn.add_argument("--timeout", type=_seconds, default=60.0, metavar="S", help="seconds a call may take (60)")
    _add_reports(command)
    kept = command.add_mutually_exclusive_group()
    kept.add_argument("--save", type=Path, default=Path("pomt-ref-cases"), metavar="DIR", help="where failing cases go")
    kept.add_argument("--no-save", dest="save", action="store_const", const=None, help="write no failing case")


def _add_replay(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """``pomt-ref replay``."""
    command = commands.add_parser(
        "replay",
        help="run a failing case again",
        description="Run a failing case that a check has saved, on the implementation that failed it or on another.",
        epilog="exit status: 0 it holds now, 1 it fails, 2 it could not run",
    )
    command.add_argument("file", type=Path, metavar="FILE", help="case-….safetensors")
    command.add_argument("--subject", metavar="package.module:attribute", help="another implementation")
    command.add_argument("--device", metavar="DEVICE", help="another device")


def _add_merge(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """``pomt-ref merge``."""
    command = commands.add_parser(
        "merge",
        help="join the reports of all shards of a check",
        description="Join the JSON reports of all shards of one check into one report.",
        epilog=STATUS,
    )
    command.add_argument("reports", nargs="+", type=Path, metavar="FILE", help="reports of pomt-ref check --shard")
    command.add_argument("--xfail", type=Path, metavar="FILE", help="known deviations, a clause and a reason a line")
    _add_reports(command)


def _add_vectors(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """``pomt-ref vectors``."""
    command = commands.add_parser(
        "vectors",
        help="cases as files, for implementations in any language",
        description="Cases with everything that comes out of them, as safetensors files and a JSON manifest.",
    )
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    write = actions.add_parser("write", help="write a set of vectors", epilog="exit status: 0 written, 2 not")
    write.add_argument("folder", type=Path, metavar="DIR", help="a new or empty folder, or an older set to replace")
    write.add_argument("--seed", type=_natural, default=0, metavar="N", help="the same seed writes the same bytes")
    write.set_defaults(version=__version__)
    verify = actions.add_parser(
        "verify",
        help="verify a set of vectors, and outputs for it",
        description="Verify that a set of vectors is complete and right; with --outputs, judge what another program "
        "made of it: a file <case>.safetensors with tokens (kept, discarded and scores if you like), or <case>.npy.",
        epilog="exit status: 0 all is right, 1 an output is wrong or missing, 2 the set or an output cannot be read",
    )
    verify.add_argument("folder", type=Path, metavar="DIR", help="a folder that pomt-ref vectors write has written")
    verify.add_argument("--outputs", type=Path, metavar="DIR", help="a folder of outputs, each named as its case")
    verify.add_argument("--method", action="append", choices=["pomt", "topk", "evit"], help="ask for these cases only")
    verify.add_argument("--dtype", action="append", choices=DTYPES, help="ask for these cases only; may be repeated")
    verify.add_argument("--profile", choices=PROFILES, help="precision of the outputs (default: that of POMT-PREC-1)")
    show = actions.add_parser("show", help="show a set, or one case of it", epilog="exit status: 0 shown, 2 not")
    show.add_argument("folder", type=Path, metavar="DIR", help="a folder that pomt-ref vectors write has written")
    show.add_argument("case", nargs="?", metavar="CASE", help="one case, in numbers")


def _add_reports(command: argparse.ArgumentParser) -> None:
    """Where a report is written to, beside the terminal."""
    written = command.add_argument_group("reports")
    written.add_argument("--json", type=Path, metavar="FILE", help="write the report as JSON")
    written.add_argument("--junit", type=Path, metavar="FILE", help="write the report as JUnit XML")
    written.add_argument("--html", type=Path, metavar="FILE", help="write the report as one self-contained page")
    written.add_argument("--no-times", action="store_true", help="leave durations out: the same seed, the same report")


def _positive(text: str) -> int:
    """Parse an integer above zero."""
    number = _natural(text)
    if number == 0:
        raise argparse.ArgumentTypeError("expected an integer above zero, got 0")
    return number


def _natural(text: str) -> int:
    """Parse an integer, zero or more."""
    if not text.isdecimal() or len(text) > DIGITS:
        raise argparse.ArgumentTypeError(f"expected an integer, zero or more, got {text[:DIGITS]!r}")
    return int(text)


def _seconds(text: str) -> float:
    """Parse a duration."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"expected seconds above zero, got {text!r}")
    return seconds


def _size(text: str) -> tuple[str, int]:
    """Parse ``axis=size``."""
    axis, equals, size = text.partition("=")
    if not equals or not size.isdecimal() or len(size) > DIGITS:
        raise argparse.ArgumentTypeError(f"expected axis=size, got {text!r}")
    return axis, int(size)
