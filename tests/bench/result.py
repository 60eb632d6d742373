"""A figure: what was measured, in which unit, with its spread, and against which goal."""

from dataclasses import asdict, dataclass
from typing import Any

from tests.bench.timing import Spread


@dataclass(frozen=True)
class Figure:
    """One row of the table."""

    group: str
    name: str
    allocator: str
    """``default``, ``retained``, or empty where it does not matter."""
    unit: str
    """``ratio``, ``MiB``, ``ms``, ``cases/s``."""
    spread: Spread
    goal: float | None = None
    """At most so much; a goal for a speed-up says ``at_least``."""
    at_least: bool = False

    @property
    def key(self) -> str:
        """What it is found by in another result."""
        return " · ".join(each for each in (self.group, self.name, self.allocator) if each)

    @property
    def reached(self) -> bool | None:
        """Whether the median reaches the goal; None if there is none."""
        if self.goal is None:
            return None
        return self.spread.median >= self.goal if self.at_least else self.spread.median <= self.goal

    def as_json(self) -> dict[str, Any]:
        """As numbers and words."""
        return asdict(self)

    @staticmethod
    def of_json(stored: dict[str, Any]) -> "Figure":
        """Read again."""
        fields: dict[str, Any] = {**stored, "spread": Spread(**stored["spread"])}
        return Figure(**fields)
