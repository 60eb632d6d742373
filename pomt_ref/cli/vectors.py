"""The options of ``pomt-ref vectors``."""

import argparse

from pomt_ref.cli.numbers import DTYPES, PROFILES, natural
from pomt_ref.cli.parser import Parser, path
from pomt_ref.version import __version__


def add_vectors(commands: "argparse._SubParsersAction[Parser]") -> None:
    """``pomt-ref vectors``."""
    command = commands.add_parser(
        "vectors",
        help="cases as files, for implementations in any language",
        description="Cases with everything that comes out of them, as safetensors files and a JSON manifest.",
    )
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    write = actions.add_parser("write", help="write a set of vectors", epilog="exit status: 0 written, 2 not")
    write.add_argument("folder", type=path, metavar="DIR", help="a new or empty folder, or an older set to replace")
    write.add_argument("--seed", type=natural, default=0, metavar="N", help="the same seed writes the same bytes")
    write.set_defaults(version=__version__)
    verify = actions.add_parser(
        "verify",
        help="verify a set of vectors, and outputs for it",
        description="Verify that a set of vectors is complete and right; with --outputs, judge what another program "
        "made of it: a file <case>.safetensors with tokens (kept, discarded and scores if you like), or <case>.npy.",
        epilog="exit status: 0 all is right, 1 an output is wrong or missing, 2 the set or an output cannot be read",
    )
    verify.add_argument("folder", type=path, metavar="DIR", help="a folder that pomt-ref vectors write has written")
    verify.add_argument("--outputs", type=path, metavar="DIR", help="a folder of outputs, each named as its case")
    verify.add_argument("--method", action="append", choices=["pomt", "topk", "evit"], help="ask for these cases only")
    verify.add_argument("--dtype", action="append", choices=DTYPES, help="ask for these cases only; may be repeated")
    verify.add_argument("--profile", choices=PROFILES, help="precision of the outputs (default: that of POMT-PREC-1)")
    show = actions.add_parser("show", help="show a set, or one case of it", epilog="exit status: 0 shown, 2 not")
    show.add_argument("folder", type=path, metavar="DIR", help="a folder that pomt-ref vectors write has written")
    show.add_argument("case", nargs="?", metavar="CASE", help="one case, in numbers")
