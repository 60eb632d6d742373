"""POMT-ATT, POMT-MAG, POMT-SCORE, POMT-RANK, POMT-PREC · what ranks the tokens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pomt_ref.testing import Law

from .implementations import Implementation, implementations, laws_of_chapters
from .run import hold


@pytest.mark.parametrize("implementation", implementations("pomt"), ids=str)
@pytest.mark.parametrize(
    "law",
    laws_of_chapters("pomt", "POMT-ATT", "POMT-MAG", "POMT-SCORE", "POMT-RANK", "POMT-PREC"),
    ids=lambda law: law.clause,
)
@given(data=st.data())
def test_scores_law_holds(law: Law, implementation: Implementation, data: st.DataObject) -> None:
    """The law of the clause, on every implementation: it must hold on any case of its families."""
    hold(law, implementation, data)
