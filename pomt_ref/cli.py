"""``pomt-ref``: the command line. Nothing heavy is imported before the arguments are understood."""

import argparse
import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pomt_ref import __version__

if TYPE_CHECKING:
    from pomt_ref.conformance.report import Report

CONFORMS: Final = 0
"""Exit status: every clause holds."""
DOES_NOT_CONFORM: Final = 1
"""Exit status: a clause is broken."""
COULD_NOT_RUN: Final = 2
"""Exit status: there was nothing to check, or an argument was wrong; argparse uses the same."""


def build_parser() -> argparse.ArgumentParser:
    """Describe the commands and their options."""
    parser = argparse.ArgumentParser(
        prog="pomt-ref", description="The golden reference of POMT token pruning (arXiv 2407.05941)."
    )
    parser.add_argument("--version", action="version", version=f"pomt-ref {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser(
        "check",
        help="tell, clause by clause, whether an implementation conforms",
        description="Hold an implementation against the specification, clause by clause. It is any Python callable "
        "(x, attn, v, *, prefix, keep) -> output on torch tensors; Top-K and EViT are called without v.",
        epilog="exit status: 0 it conforms, 1 it does not, 2 the check could not run",
    )
    command.add_argument("subject", metavar="package.module:attribute", help="the implementation")
    command.add_argument("--method", choices=["pomt", "topk", "evit"], default="pomt", help="what it implements")
    dtypes = ["float16", "bfloat16", "float32", "float64"]
    command.add_argument("--dtype", choices=dtypes, default="float32", help="dtype of the inputs (default: float32)")
    command.add_argument("--device", default="cpu", metavar="DEVICE", help="device of the inputs (default: cpu)")
    command.add_argument(
        "--max-examples", type=_positive, default=200, metavar="N", help="cases a clause (default: 200)"
    )
    command.add_argument(
        "--clause", action="append", metavar="CLAUSE", help="check this clause only; may be given again"
    )
    command.add_argument("--seed", type=_natural, default=0, metavar="N", help="the same seed draws the same cases")
    command.add_argument(
        "--cases", type=Path, metavar="FILE", help="safetensors file with x, attn, v of a real model to draw from too"
    )
    command.add_argument("--json", type=Path, metavar="FILE", help="write the report as JSON")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the return value is the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without Unicode still gets its report
    parsed = build_parser().parse_args(arguments)
    from pomt_ref.errors import PomtError  # noqa: PLC0415 -- late, see the module

    try:
        return _check(parsed)
    except PomtError as error:
        print(f"pomt-ref {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("pomt-ref check: interrupted", file=sys.stderr)
    return COULD_NOT_RUN


def _check(parsed: argparse.Namespace) -> int:
    """Run the check with progress on standard error, then print table and failures on standard output."""
    import torch  # noqa: PLC0415 -- late: two seconds
    from rich.console import Console  # noqa: PLC0415 -- late, see the module

    from pomt_ref.conformance import check  # noqa: PLC0415 -- late: torch
    from pomt_ref.conformance.display import show_progress, show_report  # noqa: PLC0415 -- late: rich
    from pomt_ref.testing import load_captured  # noqa: PLC0415 -- late: numpy, hypothesis

    # Cases are small: a second thread costs more than it brings, and much more on a busy machine.
    torch.set_num_threads(1)
    captured = load_captured(parsed.cases) if parsed.cases else None
    if parsed.json:
        _require_writable(parsed.json)
    # A subject is looked for where the command is given, as `python -m` does.
    sys.path.insert(0, "")
    with _nothing_left_behind(), show_progress(Console(stderr=True)) as progress:
        report = check(
            parsed.subject,
            dtype=parsed.dtype,
            device=parsed.device,
            method=parsed.method,
            max_examples=parsed.max_examples,
            clauses=parsed.clause,
            seed=parsed.seed,
            captured=captured,
            progress=progress,
        )
    show_report(report, Console(highlight=False))
    if parsed.json:
        _write(report, parsed.json)
    return CONFORMS if report.conforms else DOES_NOT_CONFORM


def _require_writable(path: Path) -> None:
    """Tell that a report has no place before the check runs, not after."""
    from pomt_ref.conformance import SubjectError  # noqa: PLC0415 -- late: torch

    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise SubjectError("--json", "a file that can be written", f"{path}")


@contextmanager
def _nothing_left_behind() -> Iterator[None]:
    """Hypothesis keeps notes in a folder .hypothesis where it runs; here they go with the command."""
    from tempfile import TemporaryDirectory  # noqa: PLC0415 -- late, see the module

    from hypothesis.configuration import set_hypothesis_home_dir  # noqa: PLC0415 -- late: hypothesis

    with TemporaryDirectory(prefix="pomt-ref-") as folder:
        set_hypothesis_home_dir(folder)
        try:
            yield
        finally:
            set_hypothesis_home_dir(None)


def _write(report: "Report", path: Path) -> None:
    """Write the JSON, and say where."""
    from pomt_ref.conformance import SubjectError  # noqa: PLC0415 -- late: torch

    try:
        report.write_json(path)
    except OSError as error:
        raise SubjectError("--json", "a file that can be written", f"{error}") from error
    print(f"report: {path}", file=sys.stderr)


def _positive(text: str) -> int:
    """Parse an integer above zero."""
    number = _natural(text)
    if number == 0:
        raise argparse.ArgumentTypeError("expected an integer above zero, got 0")
    return number


def _natural(text: str) -> int:
    """Parse an integer, zero or more."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected an integer, zero or more, got {text!r}")
    return int(text)
