"""What a law says when it is broken, or when it has nothing to say."""

from typing import Final


class LawViolation(AssertionError):  # noqa: N818 -- a verdict on the implementation, not an error of the law
    """An implementation breaks a clause; the message says where, what was expected and what came."""

    def __init__(self, clause: str, message: str, sample: int = 0) -> None:
        """Keep all as arguments, so that a violation survives pickling."""
        super().__init__(clause, message, sample)
        self.clause: Final = clause
        self.message: Final = message
        self.sample: Final = sample
        """The sample of the batch that shows it."""

    def __str__(self) -> str:
        """Read as the line of a report."""
        return f"{self.clause} wrong: {self.message}"


class InapplicableError(Exception):
    """This case shows nothing about this clause, for instance because its scores are too close; another is drawn."""


class NotOfferedError(Exception):
    """The implementation offers no way to ask, for instance no gradient; the clause is reported as not offered."""
