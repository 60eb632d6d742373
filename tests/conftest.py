"""The tests run as the laws do: the same Hypothesis profile, one thread, the same header line."""

from properties.conftest import pytest_report_header

__all__ = ["pytest_report_header"]
