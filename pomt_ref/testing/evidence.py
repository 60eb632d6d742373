"""What a law saw of an output that it accepted: how close to its limit it came, and how the order stands."""

from dataclasses import dataclass
from typing import Final, Literal

Grade = Literal["identical order", "same kept set", "admissible"]
"""How the order of an accepted output relates to the oracle's. Identical order; the same tokens, near-ties among them
exchanged; or a near-tie exchanged across the cut, so that another token is kept."""

GRADES: Final[tuple[Grade, ...]] = ("identical order", "same kept set", "admissible")
"""From the plainest to the one that needs the most explaining."""


@dataclass(frozen=True)
class Evidence:
    """What speaks for an output: the share of the allowed error that it used, and the grade of its order."""

    attained: float = 0.0
    """The worst error as a fraction of what rounding explains, in [0, 1]; zero where everything was exact."""
    grade: Grade | None = None
    """None where no order was asked for."""

    def __or__(self, other: "Evidence") -> "Evidence":
        """Both together: the worse of each.

        >>> Evidence(0.25, "same kept set") | Evidence(0.5)
        Evidence(attained=0.5, grade='same kept set')
        """
        grades = [grade for grade in (self.grade, other.grade) if grade is not None]
        worse = GRADES[max(map(GRADES.index, grades))] if grades else None
        return Evidence(max(self.attained, other.attained), worse)
