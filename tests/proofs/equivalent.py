"""Edits that no statement rejects because they change nothing that the clauses speak of, each with the reason."""

from typing import Final

REASONS: Final[dict[str, str]] = {}
"""By the edit as it prints."""
