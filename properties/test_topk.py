"""TOPK, SIB · Top-K on the same rows and orders."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pomt_ref.testing import Law

from .implementations import Implementation, implementations, laws_of_chapters
from .run import hold


@pytest.mark.parametrize("implementation", implementations("topk"), ids=str)
@pytest.mark.parametrize("law", laws_of_chapters("topk", "TOPK", "SIB"), ids=str)
@given(data=st.data())
def test_topk_law_holds(law: Law, implementation: Implementation, data: st.DataObject) -> None:
    """The law of the clause, on every implementation: it must hold on any case of its families."""
    hold(law, implementation, data)
