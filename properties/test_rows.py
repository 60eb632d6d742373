"""POMT-PRUNE, POMT-COUNT · what comes out: length, copies, mean, partition."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pomt_ref.testing import Law

from .implementations import Implementation, implementations, laws_of_chapters
from .run import hold


@pytest.mark.parametrize("implementation", implementations("pomt"), ids=str)
@pytest.mark.parametrize("law", laws_of_chapters("pomt", "POMT-PRUNE", "POMT-COUNT"), ids=str)
@given(data=st.data())
def test_rows_law_holds(law: Law, implementation: Implementation, data: st.DataObject) -> None:
    """The law of the clause, on every implementation: it must hold on any case of its families."""
    hold(law, implementation, data)
