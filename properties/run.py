"""How one law is run on one implementation, for one case that Hypothesis draws."""

import pytest
from hypothesis import reject
from hypothesis import strategies as st

from pomt_ref.testing import InapplicableError, Law, NotOfferedError, cases

from .implementations import Implementation


def hold(law: Law, implementation: Implementation, data: st.DataObject) -> None:
    """Draw a case that the law is about, and raise its violation if there is one."""
    case = data.draw(cases(law, dtype=implementation.dtype), label="case")
    try:
        law.check(case, implementation.subject)
    except InapplicableError:
        reject()
    except NotOfferedError:
        pytest.skip(f"{implementation} offers nothing that {law.clause} could be asked of")
