"""All statements, in the order of the table, and the order in which mutants meet them."""

from typing import Final

from tests.proofs import equality, exports, floats, laws, lemmas, lengths, paths, refusals, shapes
from tests.proofs.statement import Statement

STATEMENTS: Final[tuple[Statement, ...]] = tuple(
    each
    for module in (shapes, lengths, exports, equality, laws, refusals, lemmas, paths, floats)
    for each in module.STATEMENTS
)

BY_NAME: Final = {each.name: each for each in STATEMENTS}

QUICK: Final = (
    *("counting lemmas", "pieces equal", "prune equals", "shapes", "gradients"),
    *("devices", "dtypes", "siblings equal", "trace equals", "refusals", "output length"),
)
"""What a mutant meets, the quickest first: together they see every place of the sources."""


def first_for(line: str) -> tuple[str, ...]:
    """The same, with what is about such a line first: it only saves time."""
    likely = "refusals" if "contracts." in line else "shapes" if "Tensor, " in line else QUICK[0]
    return (likely, *(each for each in QUICK if each != likely))
