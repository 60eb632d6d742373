"""The report as one self-contained HTML page."""

from pomt_ref.conformance.report import Report


def as_html(report: Report) -> str:
    """The whole report."""
    return f"<!doctype html><title>{report.subject}</title>"
