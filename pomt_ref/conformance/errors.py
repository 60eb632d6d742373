"""What keeps a check from running, and what an implementation may answer instead of an output."""

from typing import Final

from pomt_ref.errors import PomtError


class SubjectError(PomtError):
    """A check that could not run: nothing to check, or nothing that can be called."""

    def __init__(self, subject: str, expected: str, got: str) -> None:
        """Name the subject, what was expected and what was found."""
        super().__init__("check", subject, expected, got)
        self.args: tuple[str, ...] = (subject, expected, got)
        self.subject: Final = subject

    def __str__(self) -> str:
        """Read as one line, whatever other people's error messages and file names hold."""
        return " ".join(f"check {self.subject}: expected {self.expected}, got {self.got}".split())


class SubjectFailedError(Exception):
    """The implementation raised, or returned what is no output; the laws report it as they report a wrong output."""


class NoTensorError(SubjectFailedError):
    """The implementation returned no tensor: if its first call does so, there is nothing to hold against the laws."""

    def __init__(self, kind: str, expected: str) -> None:
        """Say what came, and what was expected."""
        super().__init__(kind, expected)
        self.kind: Final = kind
        self.expected: Final = expected

    def __str__(self) -> str:
        """Read as what a law is told."""
        return f"returned {self.kind}, expected {self.expected}"
