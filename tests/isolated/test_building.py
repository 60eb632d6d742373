"""A case made again from its name; the checker of annotations would refuse some of this before the function does."""

from typing import Any, Final

import pytest

from pomt_ref import PomtError
from pomt_ref.testing import build_case

SIZES: Final[dict[str, Any]] = {
    "batch": 1,
    "heads": 2,
    "tokens": 4,
    "features": 1,
    "channels": 1,
    "prefix": 1,
    "keep": 1,
    "family": "ordinary",
    "seed": 17,
    "dtype": "float32",
}
"""Of a case that there is."""


class TestBuildCase:
    """`build_case`: what a report prints, pasted and perhaps changed."""

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"family": "plain"}, r"family, one of .*, ordinary, .* \(POMT-PRUNE-1\), got 'plain'"),
            ({"dtype": "float8"}, r"dtype in \('float16', .*\) \(POMT-PREC-1\), got 'float8'"),
            ({"rows": 3}, r"batch, .*, keep \(POMT-PRUNE-1\), got batch, .*, rows"),
            ({"tokens": 4.0}, r"tokens, an int \(POMT-COUNT-1\), got 4\.0"),
            ({"seed": True}, r"seed, an int \(POMT-COUNT-1\), got True"),
            ({"heads": 0}, r"1 <= heads \(POMT-COUNT-1\), got heads=0 \(batch=1 .*\)"),
            ({"prefix": 4}, r"0 <= prefix <= 3 \(POMT-COUNT-1\), got prefix=4 \(.*\)"),
            ({"keep": 3}, r"0 <= keep <= 2 \(POMT-COUNT-1\), got keep=3 \(.*\)"),
            ({"keep": -1}, r"0 <= keep <= 2 \(POMT-COUNT-1\), got keep=-1 \(.*\)"),
            ({"seed": 2**32}, r"0 <= seed < 2\*\*32 \(POMT-PRUNE-1\), got seed=4294967296"),
        ],
    )
    def test_case_that_there_is_not_is_refused(self, change: dict[str, Any], told: str) -> None:
        with pytest.raises(PomtError, match=f"^build_case: expected {told}$"):
            build_case(**{**SIZES, **change})

    def test_case_without_sizes_is_refused(self) -> None:
        with pytest.raises(PomtError, match=r"got none of them$"):
            build_case("ordinary", seed=1, dtype="float32")
