"""pytest, and the coverage of what lies in tests/, measured in one process of several: ``python -m tests.measured``.

Arguments are pytest's. Nothing runs slower for being measured but what has to be: the import of the sources, and the
tests and fixtures of tests/. Laws, pages and docstrings reach no line that those do not reach; pytest itself, and the
import of others, are not asked for.
"""

import importlib
import pkgutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import coverage
import pytest

LARGE = ("torch", "sklearn.datasets", "matplotlib.figure", "hypothesis")
"""Those that are not there are not needed: some tests are then skipped."""


class Measuring:
    """A plugin that measures while the sources are imported, and inside the tests of tests/."""

    def __init__(self) -> None:
        self.coverage = coverage.Coverage(data_suffix=True)
        self.runs = False

    @contextmanager
    def measured(self, place: str) -> Iterator[None]:
        """Measure what runs inside, if it is a test or a fixture of tests/, and is not measured already."""
        if self.runs or place.partition("/")[0] != "tests":
            yield
            return
        self.runs = True
        self.coverage.start()
        try:
            yield
        finally:
            self.coverage.stop()
            self.runs = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_load_initial_conftests(self) -> None:
        """Import every module but the programs, before a conftest.py imports some of them."""
        for name in LARGE:
            with suppress(ImportError):
                importlib.import_module(name)
        with self.measured("tests"):
            package = importlib.import_module("pomt_ref")
            for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
                if not module.name.endswith("__main__"):
                    with suppress(ImportError):  # one that draws, where there is no matplotlib
                        importlib.import_module(module.name)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[object]) -> Iterator[None]:
        """Measure what tests need."""
        with self.measured(fixturedef.baseid):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Iterator[None]:
        """Measure a test."""
        with self.measured(pyfuncitem.nodeid):
            return (yield)

    def pytest_sessionfinish(self) -> None:
        """Write what was reached beside .coverage, to be combined."""
        self.coverage.save()


if __name__ == "__main__":
    raise SystemExit(pytest.main(sys.argv[1:], plugins=[Measuring()]))
