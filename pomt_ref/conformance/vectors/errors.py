"""What keeps a folder of vectors, or of outputs for them, from being read: one line a fault."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pomt_ref.errors import PomtError


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a file."""

    where: str
    """The file, or the place in it."""
    expected: str
    got: str

    def __str__(self) -> str:
        """Read as one line, whatever other people's error messages and file names hold."""
        return " ".join(f"vectors {self.where}: expected {self.expected}, got {self.got}".split())


class VectorsError(PomtError):
    """A folder that cannot be written, or that is no folder of vectors or outputs, for one or more faults.

    >>> print(VectorsError([Fault("cases/manifest.json", "a manifest", "nothing")]))
    vectors cases/manifest.json: expected a manifest, got nothing
    """

    def __init__(self, faults: Sequence[Fault]) -> None:
        """Keep every fault; the first stands for all where one line is asked for."""
        first = faults[0]
        super().__init__("vectors", first.where, first.expected, first.got)
        self.args: tuple[Any, ...] = (faults,)
        self.faults: Final = tuple(faults)

    def __str__(self) -> str:
        """Read as one line a fault."""
        return "\n".join(map(str, self.faults))
