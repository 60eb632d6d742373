"""Processes of a check as users have them: a verdict in jobs and apart, and from the command line."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from pomt_ref import prune
from pomt_ref.conformance import check

ROOT = Path(__file__).parent.parent.parent


def right(x: Tensor, attn: Tensor, v: Tensor, *, prefix: int, keep: int) -> Tensor:
    """An implementation."""
    return prune(x, attn, v, prefix=prefix, keep=keep, check="none").tokens


def exits(*_tensors: Tensor, prefix: int, keep: int) -> Tensor:
    """One that ends the process, whatever it is given."""
    os._exit(3 + 0 * (prefix + keep))


RANK: Final[dict[str, Any]] = {"clauses": ["POMT-RANK-1", "POMT-META-1"], "quick": True}


class TestApart:
    """Units in processes of their own."""

    def test_kernel_that_exits_is_wrong_everywhere(self) -> None:
        report = check("tests.integration.test_apart:exits", jobs=2, **RANK)
        assert [row.verdict for row in report.rows] == ["wrong", "wrong"]
        assert all("ended the process (exit status 3)" in failure.message for failure in report.failures)

    def test_right_kernel_conforms_as_it_does_here(self) -> None:
        here, apart = (check("tests.integration.test_apart:right", apart=apart, **RANK) for apart in (False, True))
        assert [(row.clause, row.verdict, row.cases) for row in here.rows] == [
            (row.clause, row.verdict, row.cases) for row in apart.rows
        ]


def test_command_outlives_a_kernel_that_crashes(tmp_path: Path) -> None:
    command = ["check", "tests.integration.test_apart:exits", "--quick", "--clause", "POMT-RANK-1", "--no-save"]
    done = subprocess.run(
        [sys.executable, "-m", "pomt_ref", *command],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 1
    assert "checked again, in a process apart" in done.stderr
    assert "POMT-RANK-1 wrong: ended the process (exit status 3)" in done.stdout
