"""A parser whose errors are one line, as all errors of the program: the option, what was expected, what came."""

import argparse
import re
from typing import Final, NoReturn

WORDS: Final = (
    (
        r"(?P<name>.+?): invalid choice: (?P<got>.+) \(choose from (?P<expected>.+)\)",
        "{name}: expected {expected}, got {got}",
    ),
    (r"(?P<name>.+?): not allowed with argument (?P<other>.+)", "{name}: expected without {other}, got both"),
    (r"(?P<name>.+?): expected one argument", "{name}: expected one value, got none"),
    (r"(?P<name>.+?): expected at least one argument", "{name}: expected one value or more, got none"),
    (r"(?P<name>.+?): ignored explicit argument (?P<got>.+)", "{name}: expected no value, got {got}"),
    (r"the following arguments are required: (?P<expected>.+)", "expected {expected}, got none"),
    (r"one of the arguments (?P<expected>.+) is required", "expected one of {expected}, got none"),
    (r"unrecognized arguments: (?P<got>.+)", "expected arguments that it has, got {got}"),
    (
        r"ambiguous option: (?P<got>.+) could match (?P<expected>.+)",
        "{got}: expected one of {expected}, got a part of several",
    ),
)
"""What argparse says, and how this program says it. What is not here is told as argparse tells it."""


class Parser(argparse.ArgumentParser):
    """Tell what is wrong with the arguments in one line, and end with status 2. Parsers of commands do the same."""

    def error(self, message: str) -> NoReturn:
        """Say it, and how to see the options."""
        self.exit(2, f"{self.prog}: {reworded(message)} ({self.prog} --help)\n")


def path(text: str) -> object:
    """A ``pathlib.Path``, which takes longer to import than the help to print.

    >>> print(path("report.json"))
    report.json
    """
    from pathlib import Path  # noqa: PLC0415 -- as said

    return Path(text)


def reworded(message: str) -> str:
    """What argparse says, on one line and in the order of every error here.

    >>> reworded("argument --method: invalid choice: 'tome' (choose from 'pomt', 'topk')")
    "--method: expected pomt, topk, got 'tome'"
    """
    line = " ".join(message.split()).removeprefix("argument ")
    for pattern, words in WORDS:
        found = re.fullmatch(pattern, line)
        if found is not None:
            parts = found.groupdict()
            return words.format(**parts | {"expected": parts.get("expected", "").replace("'", "")})
    return line
