"""Arguments that a type checker would refuse are told in words of the project."""

import pytest

from pomt_ref.conformance import from_queries
from pomt_ref.errors import KindError, OptionError
from pomt_ref.vision.digits import load_digits


def test_what_cannot_be_called_is_told() -> None:
    with pytest.raises(KindError, match=r"^from_queries: expected a function \(POMT-ATT-1\), got NoneType$"):
        from_queries(None)  # type: ignore[arg-type] # on purpose


def test_part_of_the_digits_that_is_none_is_told() -> None:
    with pytest.raises(OptionError, match=r"^load_digits: expected the part train or test \(CHOOSE-1\), got 'tset'$"):
        load_digits("tset")  # type: ignore[arg-type] # on purpose
