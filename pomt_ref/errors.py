"""What was expected, what came, and which clause says so: one tree of errors for the whole project."""

from typing import Final


class PomtError(Exception):
    """An input, an option or an environment that the specification does not admit.

    The message reads ``function: expected … (clause), got …``; the four parts are fields, so that a program can
    read what a person reads.

    >>> print(CountError("prune", "POMT-PRUNE-1", "0 <= keep <= 195", "keep=196 (tokens=197, prefix=1)"))
    prune: expected 0 <= keep <= 195 (POMT-PRUNE-1), got keep=196 (tokens=197, prefix=1)
    """

    def __init__(self, function: str, clause: str, expected: str, got: str) -> None:
        """Keep the four parts as arguments too: an error then survives pickling between processes."""
        super().__init__(function, clause, expected, got)
        self.function: Final = function
        self.clause: Final = clause
        self.expected: Final = expected
        self.got: Final = got

    def __str__(self) -> str:
        """Read as one line: function, expected, clause, got."""
        return f"{self.function}: expected {self.expected} ({self.clause}), got {self.got}"


class OptionError(PomtError, ValueError):
    """An option outside its list, or two options that exclude each other."""


class KindError(PomtError, TypeError):
    """Something that is not a tensor, or not an integer, where one is needed."""


class DtypeError(PomtError, TypeError):
    """A dtype that is not one of the four floating dtypes, or dtypes that differ between inputs."""


class DeviceError(PomtError, ValueError):
    """Inputs that live on different devices."""


class ShapeError(PomtError, ValueError):
    """A tensor with the wrong number of axes, an empty axis, or axes that disagree between inputs."""


class CountError(PomtError, ValueError):
    """A prefix, keep, remove or class index outside the range that the token count allows."""


class ValuesError(PomtError, ValueError):
    """Values that the specification does not define: NaN, infinities, attention that is no distribution."""


class MemoryLimitError(PomtError, MemoryError):
    """Buffers that do not fit in memory; the message says which block size to choose."""


class RankError(PomtError, RuntimeError):
    """Processes that share a step and disagree, or one of them that does not answer."""


class MissingExtraError(PomtError, ImportError):
    """A part of the project whose optional dependency is not installed."""

    def __init__(self, function: str, extra: str, missing: str) -> None:
        """Say what to install."""
        super().__init__(function, f"extra: {extra}", f"the package {missing}", "no such package")
        self.args: tuple[str, ...] = (function, extra, missing)
        self.extra: Final = extra

    def __str__(self) -> str:
        """Name the package and the command that brings it."""
        return f"{self.function}: {self.expected} is not installed; pip install 'pomt-ref[{self.extra}]'"
