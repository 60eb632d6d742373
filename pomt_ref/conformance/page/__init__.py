"""The report as one self-contained HTML page: no network, no script, and everything that others wrote escaped."""

from pomt_ref.conformance.page.whole import as_html

__all__ = ["as_html"]
