"""The options of ``pomt-ref choose`` and ``bench-model``."""

import argparse
from typing import Final

from pomt_ref.cli.numbers import at_most, natural, positive, share
from pomt_ref.cli.parser import Parser, path

COMMANDS: Final = ("choose", "bench-model")

WORKED: Final = "exit status: 0 measured, 2 it could not be"


def add_choose(commands: "argparse._SubParsersAction[Parser]") -> None:
    """``pomt-ref choose``."""
    command = commands.add_parser(
        "choose",
        help="measure a model over token counts, and choose how many tokens to remove",
        description="Measure latency and accuracy of a model over token counts (CHOOSE-2), and choose R (CHOOSE-1). "
        "Every number is written down when it is known: the same command goes on where it was stopped.",
        epilog=WORKED,
    )
    _add_model(command, rounds=7)
    which = command.add_mutually_exclusive_group()
    which.add_argument("--every", type=positive, default=1, metavar="K", help="measure every K-th token count (1)")
    which.add_argument("--tokens", type=_counts, metavar="K,K,…", help="these token counts, the whole among them")
    command.add_argument("--alpha", type=share, default=0.5, metavar="A", help="weight of the latency, 0 to 1 (0.5)")
    _add_output(command, "pomt-ref-choose")


def add_bench_model(commands: "argparse._SubParsersAction[Parser]") -> None:
    """``pomt-ref bench-model``."""
    command = commands.add_parser(
        "bench-model",
        help="compare a model unpruned with POMT, Top-K, EViT and random pruning",
        description="Time a model unpruned and pruned by every method, in interleaved rounds, and let all of them "
        "classify the same images.",
        epilog=WORKED,
    )
    _add_model(command, rounds=15)
    command.add_argument("--remove", type=positive, required=True, metavar="R", help="how many tokens less")
    command.add_argument("--layer", type=natural, metavar="L", help="the block that prunes (after a quarter of them)")
    _add_output(command, "pomt-ref-bench-model")


def _add_model(command: argparse.ArgumentParser, *, rounds: int) -> None:
    """What is measured."""
    command.add_argument(
        "--model", required=True, metavar="NAME", help="digits, a model of timm, or package.module:attribute"
    )
    command.add_argument("--weights", type=path, metavar="FILE", help="of a model of timm; without it they are random")
    command.add_argument("--batch-size", type=at_most(65_536), default=4, metavar="B", help="images at once (4)")
    command.add_argument(
        "--data", metavar="DIR", help="a folder with one folder of images a class; none (the default): no labels"
    )
    command.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), default="float32", help="(float32)")
    command.add_argument("--device", default="cpu", metavar="DEVICE", help="where the model works (cpu)")
    command.add_argument("--threads", type=at_most(1024), metavar="N", help="threads of torch")
    command.add_argument("--rounds", type=positive, default=rounds, metavar="N", help=f"times all is timed ({rounds})")
    command.add_argument(
        "--seed", type=natural, default=0, metavar="N", help="of random weights, images and tokens (0)"
    )


def _add_output(command: argparse.ArgumentParser, folder: str) -> None:
    """Where measurements go."""
    command.add_argument("--output", type=path, default=folder, metavar="DIR", help=f"for the files ({folder})")


def _counts(text: str) -> list[int]:
    """Parse token counts."""
    return [positive(part) for part in text.split(",")]
