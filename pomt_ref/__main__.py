"""``python -m pomt_ref``: the command line, where the script ``pomt-ref`` is not on the path."""

import sys

from pomt_ref.cli import program

if __name__ == "__main__":
    sys.exit(program())
