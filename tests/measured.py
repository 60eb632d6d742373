"""pytest, and the coverage of what lies in tests/, measured in one process of several: ``python -m tests.measured``.

Arguments are pytest's; tests/ comes first. What follows it (laws, pages, docstrings) would take twice its time when it
is measured, and reaches no line that tests/ does not reach: from there on nothing is measured. Nor is it measured how
others are imported and how tests are collected: the sources are imported before.
"""

import importlib
import pkgutil
import sys
from contextlib import suppress

import coverage
import pytest

LARGE = ("torch", "sklearn.datasets", "matplotlib.figure", "hypothesis")
"""Those that are not there are not needed: some tests are then skipped."""


class Measuring:
    """A plugin that measures how the package is imported, and then its tests: those in tests/."""

    def __init__(self) -> None:
        self.coverage = coverage.Coverage(data_suffix=True)

    @pytest.hookimpl(tryfirst=True)
    def pytest_load_initial_conftests(self) -> None:
        """Import every module but the programs, before a conftest.py imports some of them."""
        for name in LARGE:
            with suppress(ImportError):
                importlib.import_module(name)
        self.coverage.start()
        package = importlib.import_module("pomt_ref")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
        self.coverage.stop()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Before a test: is it one that is measured?"""
        if nodeid.startswith("tests/"):
            self.coverage.start()
        else:
            self.coverage.stop()

    def pytest_sessionfinish(self) -> None:
        """Write what was reached beside .coverage, to be combined."""
        self.coverage.stop()
        self.coverage.save()


if __name__ == "__main__":
    raise SystemExit(pytest.main(sys.argv[1:], plugins=[Measuring()]))
