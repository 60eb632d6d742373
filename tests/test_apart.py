"""Kernels that end their process or hang in it: a verdict, and the case; one after the other and in jobs."""

import ctypes
import faulthandler
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from pomt_ref import prune
from pomt_ref.conformance import check
from pomt_ref.conformance.errors import SubjectError
from pomt_ref.conformance.loading import Loading
from pomt_ref.conformance.subject import CallableSubject
from pomt_ref.testing import build_case

CASE = build_case(
    "ordinary", seed=3, dtype="float32", batch=1, heads=2, tokens=4, features=1, channels=1, prefix=1, keep=1
)


def right(x: Tensor, attn: Tensor, v: Tensor, *, prefix: int, keep: int) -> Tensor:
    """An implementation."""
    return prune(x, attn, v, prefix=prefix, keep=keep, check="none").tokens


def crashes(x: Tensor, attn: Tensor, v: Tensor, *, prefix: int, keep: int) -> Tensor:
    """One that reads where no memory is, of some lengths."""
    if x.shape[1] > 60:
        faulthandler.disable()  # its trace would look like a failure of the test
        ctypes.string_at(0)
    return right(x, attn, v, prefix=prefix, keep=keep)


def exits(*_tensors: Tensor, prefix: int, keep: int) -> Tensor:
    """One that ends the process, whatever it is given."""
    os._exit(3 + 0 * (prefix + keep))


def hangs(x: Tensor, attn: Tensor, v: Tensor, *, prefix: int, keep: int) -> Tensor:
    """One that waits where Python cannot interrupt it, as a blocked kernel does."""
    if x.shape[1] > 60:
        sum(range(10**12))
    return right(x, attn, v, prefix=prefix, keep=keep)


@dataclass(frozen=True)
class Dies(Loading):
    """An implementation that ends the process that loads it."""

    def subject(self) -> CallableSubject:
        """Never comes."""
        os._exit(4)


RANK: Final[dict[str, Any]] = {"clauses": ["POMT-RANK-1", "POMT-META-1"], "quick": True}


@pytest.mark.usefixtures("forked")
class TestApart:
    """Units in processes of their own."""

    @pytest.mark.long
    def test_kernel_that_crashes_is_wrong_and_the_rest_is_held(self) -> None:
        report = check("tests.test_apart:crashes", apart=True, **RANK)
        assert [row.verdict for row in report.rows] == ["wrong", "conforms"]
        (failure,) = report.failures
        assert failure.message == (
            "POMT-RANK-1 wrong: ended the process (SIGSEGV); the case is the one drawn, not the smallest"
        )
        assert failure.case.shape.tokens > 60
        assert f"seed={failure.case.seed}" in failure.snippet
        assert report.first_kill is not None
        assert report.first_kill.cases > 1

    @pytest.mark.long
    def test_kernel_that_exits_is_wrong_everywhere(self) -> None:
        report = check("tests.test_apart:exits", jobs=2, **RANK)
        assert [row.verdict for row in report.rows] == ["wrong", "wrong"]
        assert all("ended the process (exit status 3)" in failure.message for failure in report.failures)

    def test_kernel_that_hangs_is_ended(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("pomt_ref.conformance.call.GRACE", 0.1)
        monkeypatch.setattr("pomt_ref.conformance.call.AFTER_THE_FIRST", 40)  # a busy machine is no kernel that hangs
        report = check("tests.test_apart:hangs", apart=True, time_limit=0.25, **RANK)
        assert [row.verdict for row in report.rows] == ["wrong", "conforms"]
        assert "took longer than 0.25 s, and could not be interrupted" in report.failures[0].message

    @pytest.mark.long
    def test_right_kernel_conforms_as_it_does_here(self) -> None:
        here, apart = (check("tests.test_apart:right", apart=apart, **RANK) for apart in (False, True))
        assert [(row.clause, row.verdict, row.cases) for row in here.rows] == [
            (row.clause, row.verdict, row.cases) for row in apart.rows
        ]

    def test_captured_case_is_told(self, tmp_path: Path) -> None:
        tensors = {name: torch.from_numpy(getattr(CASE, name)).float().contiguous() for name in ("x", "attn", "v")}
        save_file(tensors, tmp_path / "captured.safetensors", metadata={"prefix": "1"})
        report = check(
            "tests.test_apart:exits",
            apart=True,
            quick=True,
            clauses="POMT-RANK-1",
            captured=tmp_path / "captured.safetensors",
        )
        generated, captured = report.failures
        assert generated.case.family != captured.case.family == "captured: captured.safetensors"

    def test_process_that_ends_before_a_call_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        dies = Dies("a:b", "pomt", "cpu", None, "torch", (), 60.0)
        monkeypatch.setattr("pomt_ref.conformance.units.loading_of", lambda _subject: dies)
        with pytest.raises(SubjectError, match=r"an implementation that can be called, got a process that ended"):
            check("tests.test_apart:right", apart=True, clauses="POMT-COUNT-1", max_examples=2)

    @pytest.mark.long
    def test_kernel_that_forks_is_held_once(self) -> None:
        report = check("tests.test_apart:forks", apart=True, clauses="POMT-COUNT-1", max_examples=2)
        assert report.conforms

    def test_error_of_a_process_is_raised_here(self) -> None:
        with pytest.raises(SubjectError, match="expected a call that returns"):
            check("tests.test_apart:nothing", apart=True, clauses="POMT-COUNT-1", max_examples=2)


def forks(x: Tensor, attn: Tensor, v: Tensor, *, prefix: int, keep: int) -> Tensor:
    """One that forks, and whose copy comes back from the call by an error."""
    if os.fork() == 0:
        raise SystemExit(3)
    return right(x, attn, v, prefix=prefix, keep=keep)


def nothing(*_tensors: Tensor, prefix: int, keep: int) -> int:
    """Returns no tensor."""
    return prefix + keep
