"""What a check found: a row a clause, and for every failure the smallest case and a snippet that shows it again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pomt_ref.testing import Case, Grade, Method, ProfileName

Verdict = Literal["conforms", "wrong", "known", "blocked", "not offered", "not shown"]
"""Known: wrong, as a list of known deviations says. Blocked: the output breaks another clause, named in the message,
and cannot be read far enough to judge this one. Not offered: the implementation has no such option (a gradient, say).
Not shown: no case drawn shows the clause."""


@dataclass(frozen=True)
class Ranking:
    """The scores that decide a failing case, in the sample that shows the failure; for pictures."""

    sample: int
    prefix: int
    keep: int
    scores: tuple[float, ...]
    """Of every patch token, by the oracle, in input order."""
    epsilon: tuple[float, ...]
    """FLOAT-1: how far the score of an implementation may be from it; infinite where nothing is promised."""
    expected: tuple[int, ...]
    """Rows of x that the oracle keeps, best first."""
    kept: tuple[int, ...] | None
    """Rows of x that the implementation kept, in its order; None where its output cannot be read."""


@dataclass(frozen=True)
class Failure:
    """One broken clause, on the smallest case found."""

    clause: str
    family: str
    message: str
    case: Case
    snippet: str
    """Python that builds the case, calls the implementation and raises the same violation."""
    divergence: str = ""
    """The first stage beyond its bound, where the implementation returns stages or indices."""
    ranking: Ranking | None = None
    """The scores of the case; None where none are defined."""
    replay: str = ""
    """The file that the case was saved to, if it was."""


@dataclass(frozen=True)
class Kill:
    """How soon a fault was found."""

    cases: int
    """Cases of the clause until the first that failed, that one included."""
    seconds: float


@dataclass(frozen=True)
class Row:
    """What was found of one clause."""

    clause: str
    statement: str
    source: str
    """``generated``, or the name of the captured tensors."""
    verdict: Verdict
    cases: int
    """Cases that showed the clause, failing and shrunk ones included."""
    families: Mapping[str, int]
    """How many of them came from each family."""
    seconds: float
    failure: Failure | None = None
    blocked_by: str | None = None
    """The clause that keeps this one from being judged, where the verdict is ``blocked``."""
    grades: Mapping[Grade, int] = field(default_factory=dict)
    """How the orders of the accepted outputs relate to the oracle's; empty where no order was asked for."""
    attained: float = 0.0
    """The worst error of an accepted output, as a fraction of what rounding explains."""
    first_kill: Kill | None = None
    """How soon the first failing case came; None if none did."""
    reason: str = ""
    """Why it is a known deviation, where the verdict is ``known``."""
    part: int = 0
    """Which part of the clause's cases it is about, in a shard of a long check."""


@dataclass(frozen=True)
class Report:
    """What was found of all clauses."""

    subject: str
    method: Method
    dtype: str
    device: str
    seed: int
    max_examples: int
    offered: tuple[str, ...]
    """What the implementation returns beside its output: stages, kept, discarded. They are held as well."""
    versions: Mapping[str, str]
    rows: tuple[Row, ...]
    profile: ProfileName = "float32"
    """The precision that it was held to."""
    certified: bool = True
    """Whether an implementation of this profile can conform: native half-precision accumulation is only reported."""
    shard: str = ""
    """``k/n`` if this is one part of a check; merge the parts to know the whole."""
    remarks: tuple[str, ...] = ()
    """What was noticed and breaks no clause, such as an implementation that prints."""
    stale: tuple[str, ...] = ()
    """Lines of the list of known deviations that nothing deviates from any more."""

    @property
    def conforms(self) -> bool:
        """No clause is broken or blocked, but for known deviations, and at least one was shown to hold.

        A share of a check that holds no case breaks none; whether one was shown is a matter of all shares together.
        """
        verdicts = {row.verdict for row in self.rows}
        if self.shard and not self.rows:
            return self.certified
        # Captured tensors may have no case that shows a clause: generated ones show it.
        unknown = any(row.verdict == "not shown" and row.source == "generated" for row in self.rows)
        return self.certified and "conforms" in verdicts and not verdicts & {"wrong", "blocked"} and not unknown

    @property
    def failures(self) -> tuple[Failure, ...]:
        """The smallest case of every clause that is broken or blocked."""
        return tuple(row.failure for row in self.rows if row.failure is not None)

    @property
    def first_kill(self) -> Kill | None:
        """Cases and seconds from the beginning of the check to the first failing case; None if none failed."""
        cases, seconds = 0, 0.0
        for row in self.rows:
            if row.first_kill is not None:
                return Kill(cases + row.first_kill.cases, seconds + row.first_kill.seconds)
            cases, seconds = cases + row.cases, seconds + row.seconds
        return None
