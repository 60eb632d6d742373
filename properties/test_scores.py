"""POMT-ATT, POMT-MAG, POMT-SCORE, POMT-RANK, POMT-PREC · what ranks the tokens."""

from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from pomt_ref.testing import Law

from .implementations import Implementation
from .run import hold

METHOD: Final = "pomt"
CHAPTERS: Final = ("POMT-ATT", "POMT-MAG", "POMT-SCORE", "POMT-RANK", "POMT-PREC")
"""What is held here: the laws whose clauses begin so, over every implementation of the method."""


@given(data=st.data())
def test_scores_law_holds(law: Law, implementation: Implementation, data: st.DataObject) -> None:
    """The law of the clause, on every implementation: it must hold on any case of its families."""
    hold(law, implementation, data)
