"""The options of ``pomt-ref check``, ``replay`` and ``merge``."""

import argparse
from typing import Final

from pomt_ref.cli.numbers import DTYPES, PROFILES, natural, positive, seconds, size
from pomt_ref.cli.parser import Parser, path

STATUS: Final = "exit status: 0 it conforms, 1 it does not, 2 the check could not run"


def add_check(commands: "argparse._SubParsersAction[Parser]") -> None:
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
        "--fix", action="append", type=size, metavar="AXIS=SIZE", help="it is made for this size only; may be repeated"
    )
    asked.add_argument("--clause", action="append", metavar="CLAUSE", help="this clause only; may be repeated")
    asked.add_argument("--family", action="append", metavar="FAMILY", help="this input family only; may be repeated")
    asked.add_argument("--xfail", type=path, metavar="FILE", help="known deviations, a clause and a reason a line")
    drawn = command.add_argument_group("how many cases")
    drawn.add_argument("--quick", action="store_true", help="a fifth of the cases: seconds, for while you work")
    drawn.add_argument("--max-examples", type=positive, metavar="N", help="cases a clause (default: 200)")
    drawn.add_argument("--seed", type=natural, default=0, metavar="N", help="the same seed draws the same cases")
    drawn.add_argument("--cases", type=path, metavar="FILE", help="safetensors file with x, attn, v of a real model")
    drawn.add_argument("--jobs", type=positive, default=1, metavar="N", help="processes to share the work between")
    drawn.add_argument("--apart", action="store_true", help="hold it in a process of its own, which it may end")
    drawn.add_argument("--shard", metavar="K/N", help="only the K-th of N shares; pomt-ref merge joins them")
    drawn.add_argument("--timeout", type=seconds, default=60.0, metavar="S", help="seconds a call may take (60)")
    _add_reports(command)
    kept = command.add_mutually_exclusive_group()
    kept.add_argument("--save", type=path, default="pomt-ref-cases", metavar="DIR", help="where failing cases go")
    kept.add_argument("--no-save", dest="save", action="store_const", const=None, help="write no failing case")


def add_replay(commands: "argparse._SubParsersAction[Parser]") -> None:
    """``pomt-ref replay``."""
    command = commands.add_parser(
        "replay",
        help="run a failing case again",
        description="Run a failing case that a check has saved, on the implementation that failed it or on another.",
        epilog="exit status: 0 it holds now, 1 it fails, 2 it could not run",
    )
    command.add_argument("file", type=path, metavar="FILE", help="case-….safetensors")
    command.add_argument("--subject", metavar="package.module:attribute", help="another implementation")
    command.add_argument("--device", metavar="DEVICE", help="another device")
    command.add_argument("--timeout", type=seconds, default=60.0, metavar="S", help="seconds a call may take (60)")


def add_merge(commands: "argparse._SubParsersAction[Parser]") -> None:
    """``pomt-ref merge``."""
    command = commands.add_parser(
        "merge",
        help="join the reports of all shards of a check",
        description="Join the JSON reports of all shards of one check into one report.",
        epilog=STATUS,
    )
    command.add_argument("reports", nargs="+", type=path, metavar="FILE", help="reports of pomt-ref check --shard")
    command.add_argument("--xfail", type=path, metavar="FILE", help="known deviations, a clause and a reason a line")
    _add_reports(command)


def _add_reports(command: argparse.ArgumentParser) -> None:
    """Where a report is written to, beside the terminal."""
    written = command.add_argument_group("reports")
    written.add_argument("--json", type=path, metavar="FILE", help="write the report as JSON")
    written.add_argument("--junit", type=path, metavar="FILE", help="write the report as JUnit XML")
    written.add_argument("--html", type=path, metavar="FILE", help="write the report as one self-contained page")
    written.add_argument("--no-times", action="store_true", help="leave durations out: the same seed, the same report")
