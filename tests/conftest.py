"""The tests run as the laws do: the same Hypothesis profile, one thread, the same header line."""

from multiprocessing import get_context

import pytest

from properties.conftest import pytest_report_header

__all__ = ["pytest_report_header"]


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes of a check need not import torch anew; tests/integration starts them as users do."""
    monkeypatch.setattr("pomt_ref.conformance.apart.get_context", lambda _: get_context("fork"))
