"""TOPK, SIB · Top-K on the same rows and orders."""

from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from pomt_ref.testing import Law

from .implementations import Implementation
from .run import hold

METHOD: Final = "topk"
CHAPTERS: Final = ("TOPK", "SIB")
"""What is held here: the laws whose clauses begin so, over every implementation of the method."""


@given(data=st.data())
def test_topk_law_holds(law: Law, implementation: Implementation, data: st.DataObject) -> None:
    """The law of the clause, on every implementation: it must hold on any case of its families."""
    hold(law, implementation, data)
