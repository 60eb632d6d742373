"""The tests run as the laws do: the same Hypothesis profile, one thread, the same header line."""

from multiprocessing import get_context
from pathlib import Path

import pytest

from properties.conftest import pytest_report_header

__all__ = ["pytest_report_header"]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out, where annotations are checked as they run, what cannot run so: see `addopts` in pyproject.toml."""
    if collection_path.name == "isolated" and config.getoption("jaxtyping_packages"):
        return True
    return None


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes of a check need not import torch anew; tests/integration starts them as users do."""
    monkeypatch.setattr("pomt_ref.conformance.apart.get_context", lambda _: get_context("fork"))
