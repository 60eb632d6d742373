"""What a mutant is: an implementation with one plausible fault, or with none."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pomt_ref.testing.formats import Dtype
from pomt_ref.testing.subject import Method


@dataclass(frozen=True)
class Mutant:
    """One implementation that differs from the step in one stage."""

    name: str
    clause: str
    """The clause that it breaks, and that must say so; of an honest variant, the one that its difference is about."""
    description: str
    """What it does instead, in a line."""
    function: Callable[..., Any]
    method: Method = "pomt"
    dtype: Dtype = "float32"
    """The dtype in which the fault is one: some show in half precision only."""

    def __str__(self) -> str:
        """Read as ``pomt-mean_over_heads``, in identifiers of tests."""
        return f"{self.method}-{self.name.replace(' ', '_')}"
