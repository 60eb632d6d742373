"""What a law is: a clause, the input families that show it, and a check of one case."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from pomt_ref.testing.cases import Case
from pomt_ref.testing.evidence import Evidence
from pomt_ref.testing.subject import Method, Subject

CheckCase = Callable[[Case, Subject], Evidence]
"""Raise a LawViolation if the subject breaks the clause on this case; else say how close to the limit it came."""

Sizes = Literal["small", "mixed", "long"]
"""Small: up to 32 patch tokens. Mixed: some cases with 33 to 300 as well, past algorithm switches and index widths, and
some of up to 1041. Long: one of 2100 too."""


@dataclass(frozen=True)
class Law:
    """One clause as a check."""

    clause: str
    method: Method
    families: tuple[str, ...]
    sizes: Sizes
    any_input: bool
    """Whether it holds on any input, captured tensors included, or needs its own families."""
    kills: tuple[str, ...]
    """Mutants that it must reject: a law that rejects none is no law."""
    check: CheckCase
    statement: str
    """The normative sentence, for reports."""

    def __str__(self) -> str:
        """Read as the clause, in identifiers of tests."""
        return self.clause


LAWS: Final[list[Law]] = []
"""Every law, as entered."""

ORDER: Final = ("ATT", "MAG", "SCORE", "RANK", "PRUNE", "COUNT", "PREC", "META", "TOPK", "EVIT", "SIB")
"""The chapters of the specification: reports follow its order."""


def law(
    clause: str,
    *,
    families: tuple[str, ...],
    kills: tuple[str, ...],
    method: Method = "pomt",
    sizes: Sizes = "small",
    any_input: bool = True,
) -> Callable[[CheckCase], CheckCase]:
    """Enter a check under its clause; the first line of its docstring is the statement."""

    def enter(check: CheckCase) -> CheckCase:
        statement = str(check.__doc__).partition("\n")[0]
        LAWS.append(Law(clause, method, families, sizes, any_input, kills, check, statement))
        return check

    return enter


def laws_of(method: Method) -> list[Law]:
    """The laws that an implementation of this method is held against, in the order of the specification."""
    return sorted((law for law in LAWS if law.method == method), key=_place)


def _place(law: Law) -> tuple[int, str]:
    """Chapter, then number."""
    chapter = law.clause.removeprefix("POMT-").partition("-")[0]
    return ORDER.index(chapter), law.clause
