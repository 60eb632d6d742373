"""pytest, and the coverage of what lies in tests/, measured in one process of several: ``python -m tests.measured``.

Arguments are pytest's; tests/ comes first. What follows it (laws, pages, docstrings) would take twice its time when it
is measured, and reaches no line that tests/ does not reach: from there on nothing is measured. Nor is it measured how
others are imported: the packages that take longest come before it begins.
"""

import importlib
import sys
from contextlib import suppress

import coverage
import pytest

LARGE = ("torch", "sklearn.datasets", "matplotlib.figure")
"""Those that are not there are not needed: some tests are then skipped."""


class Measuring:
    """A plugin that ends the measurement with the last test in tests/."""

    def __init__(self) -> None:
        self.coverage = coverage.Coverage(data_suffix=True)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Before a test: is it one that is measured?"""
        if not nodeid.startswith("tests/"):
            self.coverage.stop()


def main(arguments: list[str]) -> int:
    """Run pytest, and write what was reached beside .coverage, to be combined."""
    for name in LARGE:
        with suppress(ImportError):
            importlib.import_module(name)
    measuring = Measuring()
    measuring.coverage.start()
    try:
        return pytest.main(arguments, plugins=[measuring])
    finally:
        measuring.coverage.stop()
        measuring.coverage.save()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
