"""The check: what a subject may be and may answer, how a law is run, and what a report says."""

import functools
import inspect
import io
import json
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Final, NamedTuple

import hypothesis.errors
import numpy as np
import pytest
import torch
from hypothesis.strategies import just
from jsonschema import Draft202012Validator
from rich.console import Console
from safetensors.numpy import save_file
from torch import Tensor

import pomt_ref
from pomt_ref.conformance import (
    Failure,
    Progress,
    Report,
    Row,
    SubjectError,
    SubjectFailedError,
    as_subject,
    check,
    judging,
    load_subject,
    require,
    run_law,
    runner,
)
from pomt_ref.conformance.answer import STAGES
from pomt_ref.conformance.call import TimeLimitError
from pomt_ref.conformance.display import show_progress, show_report
from pomt_ref.conformance.document import as_dict, as_json, schema, write
from pomt_ref.conformance.report import Kill, Verdict
from pomt_ref.conformance.snippet import snippet
from pomt_ref.conformance.subject import CallableSubject
from pomt_ref.errors import PomtError
from pomt_ref.testing import (
    Captured,
    Case,
    Evidence,
    InapplicableError,
    Law,
    LawViolation,
    NotOfferedError,
    Outcome,
    Subject,
    build_case,
    laws_of,
    load_captured,
)
from pomt_ref.testing.mutants import FAULTS, ClassStep, Step
from tests import made_reports

ROOT: Final = Path(__file__).parent.parent
OUTPUT: Final = "an array, a tuple that begins with one, or an object that has one as tokens"

HONEST: Final = Step()
"""An implementation that nobody here wrote against the reference."""

Implementation = Callable[..., Any]


def made(family: str = "ordinary", *, seed: int = 1, **axes: int) -> Case:
    """A small case."""
    shape = {"batch": 1, "heads": 2, "tokens": 6, "features": 3, "channels": 4, "prefix": 1, "keep": 2, **axes}
    return build_case(family, seed=seed, dtype="float32", **shape)


def honest(x: Tensor, attn: Tensor, v: Tensor, *, prefix: int, keep: int) -> Tensor:
    """Right, and a plain function."""
    return HONEST(x, attn, v, prefix=prefix, keep=keep)


def answering(change: Callable[[Tensor], object]) -> Implementation:
    """Right but for what is done to the output."""
    return lambda x, attn, v, *, prefix, keep: change(HONEST(x, attn, v, prefix=prefix, keep=keep))


def returning(answer: object) -> Implementation:
    """What it is given does not matter."""
    return lambda *_tensors, **_counts: answer


def raising(error: BaseException) -> Implementation:
    """It always fails."""

    def implementation(*_tensors: Tensor, **_counts: int) -> Tensor:
        raise error

    return implementation


class Wavering:
    """Right, but for its first answer: an error, or the same number everywhere."""

    def __init__(self, first: BaseException | float) -> None:
        self.first: BaseException | float | None = first

    def __call__(self, x: Tensor, attn: Tensor, v: Tensor, *, prefix: int, keep: int) -> tuple[Tensor, Tensor]:
        """Answer with the kept tokens beside the output."""
        first, self.first = self.first, None
        if isinstance(first, BaseException):
            raise first
        found = pomt_ref.prune(x, attn, v, prefix=prefix, keep=keep)
        return found.tokens if first is None else torch.full_like(found.tokens, first), found.kept


RAISED: Final = f"({Path(__file__).name}:{raising.__code__.co_firstlineno + 4})"
"""The line above that raises, as a message tells it."""


def offering(x: Tensor, attn: Tensor, v: Tensor, *, prefix: int, keep: int, **changes: object) -> SimpleNamespace:
    """Right, with every stage, some of them changed."""
    return SimpleNamespace(**{**vars(pomt_ref.trace(x, attn, v, prefix=prefix, keep=keep)), **changes})


def misordered(x: Tensor, attn: Tensor, v: Tensor, *, prefix: int, keep: int) -> SimpleNamespace:
    """Right in every stage, its kept rows the wrong way round."""
    tokens = honest(x, attn, v, prefix=prefix, keep=keep)
    kept = tokens[:, prefix:-1].flip(1)
    return offering(
        x, attn, v, prefix=prefix, keep=keep, tokens=torch.cat([tokens[:, :prefix], kept, tokens[:, -1:]], 1)
    )


def law_of(clause: str) -> Law:
    """The law of a clause."""
    return next(law for law in laws_of("pomt") if law.clause == clause)


def outcome_of(function: Implementation, case: Case | None = None) -> Outcome:
    """What the laws get to see of an implementation."""
    return as_subject(function, name="here:it").run(made() if case is None else case)


def verdict_of(function: Implementation, clause: str = "POMT-RANK-1", examples: int = 5) -> Row:
    """The row of one clause."""
    return run_law(law_of(clause), as_subject(function, name="here:it"), dtype="float32", examples=examples, seed=0)


class Kernel:
    """Implementations as methods."""

    def __call__(self, x: Tensor, attn: Tensor, v: Tensor, *, prefix: int, keep: int) -> Tensor:
        """As an instance."""
        return honest(x, attn, v, prefix=prefix, keep=keep)

    def method(self, x: Tensor, attn: Tensor, v: Tensor, prefix: int, keep: int) -> Tensor:
        """As a bound method, its counts by position too."""
        return honest(x, attn, v, prefix=prefix, keep=keep)

    @staticmethod
    def static(x: Tensor, attn: Tensor, v: Tensor, **counts: int) -> Tensor:
        """As a function in a class."""
        return HONEST(x, attn, v, prefix=counts["prefix"], keep=counts["keep"])


class Layer(torch.nn.Module):
    """An implementation as a module of torch."""

    def forward(self, x: Tensor, attn: Tensor, v: Tensor, prefix: int, keep: int) -> Tensor:
        """Right."""
        return honest(x, attn, v, prefix=prefix, keep=keep)


class Unsigned:
    """A callable that tells nothing of its signature, as builtins do."""

    __signature__ = "none"

    def __call__(self, *arguments: Tensor, **counts: int) -> Tensor:
        """Right."""
        x, attn, v = arguments
        return HONEST(x, attn, v, **counts)


class TestSubject:
    """Subject: any callable ``(x, attn, v, *, prefix, keep)`` returning the output."""

    @pytest.mark.parametrize(
        "function",
        [
            honest,
            answering(lambda tokens: tokens),
            functools.partial(honest),
            functools.partial(HONEST, prefix=1),
            Kernel(),
            Kernel().method,
            Kernel.static,
            Layer(),
            Unsigned(),
            pomt_ref.prune,
            pomt_ref.trace,
        ],
        ids=lambda function: type(function).__name__,
    )
    def test_subject_is_any_callable(self, function: Implementation) -> None:
        case = made()
        subject = as_subject(function, name="here:it")
        assert isinstance(subject, Subject)
        assert subject.run(case).tokens.tobytes() == outcome_of(honest, case).tokens.tobytes()

    def test_subject_names_the_options_that_it_takes(self) -> None:
        assert as_subject(pomt_ref.prune, name="here:it").options() == {"normalisation", "remove"}
        assert as_subject(pomt_ref.topk_prune, name="here:it", method="topk").options() >= {"class_index"}
        assert as_subject(honest, name="here:it").options() == frozenset()
        assert as_subject(Unsigned(), name="here:it").options() == frozenset()

    def test_subject_is_called_with_what_the_method_takes(self) -> None:
        seen: list[tuple[Tensor, ...]] = []

        def topk(*tensors: Tensor, prefix: int, keep: int) -> Tensor:
            seen.append(tensors)
            return ClassStep()(*tensors, prefix=prefix, keep=keep)

        as_subject(topk, name="here:it", method="topk").run(made())
        assert [tensor.ndim for tensor in seen[0]] == [3, 4]

    def test_subject_gets_fresh_tensors_in_the_dtype_of_the_case(self) -> None:
        seen: list[Tensor] = []

        def spoiling(x: Tensor, attn: Tensor, v: Tensor, *, prefix: int, keep: int) -> Tensor:
            output = honest(x, attn, v, prefix=prefix, keep=keep)
            seen.append(x)
            x.zero_()
            v.zero_()
            return output

        case = made()
        for _ in range(2):
            assert outcome_of(spoiling, case).changed_inputs == ("x", "v")
        assert seen[0].dtype == torch.float32
        assert case.x.any(), "the case is as it was"
        double = build_case(
            "ordinary", seed=1, dtype="float64", batch=1, heads=2, tokens=6, features=3, channels=4, prefix=1, keep=2
        )
        outcome_of(spoiling, double)
        assert double.x.any(), "a tensor of float64 shares no memory with the case"

    @pytest.mark.parametrize("option", ["normalisation", "remove"])
    def test_subject_gets_remove_in_place_of_keep(self, option: str) -> None:
        seen: list[dict[str, Any]] = []

        def optional(x: Tensor, attn: Tensor, v: Tensor, **options: Any) -> Tensor:  # noqa: ANN401 -- any option
            seen.append(options)
            return honest(x, attn, v, prefix=1, keep=2)

        as_subject(optional, name="here:it").run(made(), **{option: 2})
        assert seen == [{"prefix": 1, option: 2} | ({"keep": 2} if option == "normalisation" else {})]

    def test_subject_whose_output_is_a_view_of_its_input_is_told(self) -> None:
        """One patch token, nothing kept, no prefix: the mean row is that token, and still it has to be a copy."""
        case = made(tokens=1, prefix=0, keep=0)
        subject = as_subject(lambda x, *_others, **_counts: x[:], name="here:it")
        law_of("POMT-PRUNE-3").check(case, subject)
        with pytest.raises(
            LawViolation, match="POMT-PRUNE-2 wrong: the output is a view of x, expected rows of its own"
        ):
            law_of("POMT-PRUNE-2").check(case, subject)

    def test_subject_that_writes_into_its_last_output_hides_nothing(self) -> None:
        """An outcome is a copy: a buffer that is used again does not change what was answered before."""
        buffer = torch.zeros(1, 4, 4, dtype=torch.float64)

        def reusing(x: Tensor, attn: Tensor, v: Tensor, *, prefix: int, keep: int) -> Tensor:
            return buffer.copy_(honest(x, attn, v, prefix=prefix, keep=keep))

        first = outcome_of(reusing, made(seed=1)).tokens
        kept = first.copy()
        outcome_of(reusing, made(seed=2))
        assert np.array_equal(first, kept)


class Named(NamedTuple):
    """An answer with names."""

    tokens: Tensor
    scores: Tensor


class TestAnswers:
    """A subject returns the output, or (output, kept, discarded), or an object with fields named as in Trace."""

    def test_answer_may_be_a_tuple_with_indices(self) -> None:
        pruned = pomt_ref.prune(*as_subject(honest, name="a:b").inputs(made()).values(), keep=2)
        outcome = outcome_of(returning((pruned.tokens, pruned.kept, pruned.discarded)))
        assert outcome.kept is not None
        assert outcome.discarded is not None
        assert outcome.kept.tolist() == pruned.kept.tolist()
        assert outcome.discarded.tolist() == pruned.discarded.tolist()

    @pytest.mark.parametrize("rest", [(), (torch.ones(1, 5),), ("something", None)])
    def test_answer_may_be_a_tuple_with_something_else(self, rest: tuple[object, ...]) -> None:
        outcome = outcome_of(answering(lambda tokens: (tokens, *rest)))
        assert (outcome.kept, outcome.discarded, outcome.stages) == (None, None, {})

    def test_answer_may_offer_stages_by_name(self) -> None:
        assert list(outcome_of(answering(lambda tokens: Named(tokens, torch.ones(1, 5)))).stages) == ["scores"]
        some = answering(lambda tokens: SimpleNamespace(tokens=tokens, scores=None, sums=torch.ones(1, 5), other=[1]))
        assert list(outcome_of(some).stages) == ["sums"], "None is not offered, and other names are nothing to the laws"
        assert list(outcome_of(offering).stages) == list(STAGES)

    @pytest.mark.parametrize("name", STAGES)
    @pytest.mark.parametrize(("stage", "kind"), [([1.0], "list"), (0.5, "float"), ((), "tuple")])
    def test_answer_that_offers_a_stage_that_is_no_tensor_is_told(self, name: str, stage: object, kind: str) -> None:
        with pytest.raises(SubjectFailedError) as caught:
            outcome_of(answering(lambda tokens: SimpleNamespace(tokens=tokens, **{name: stage})))
        assert str(caught.value) == f"offers {name} as {kind}, expected an array"

    @pytest.mark.parametrize(
        ("answer", "kind"),
        [
            (None, "None"),
            (3, "int"),
            ([torch.ones(1)], "list"),
            ({"tokens": torch.ones(1)}, "dict"),
            ((), "tuple"),
            ((None, torch.ones(1)), "tuple that begins with None"),
            (SimpleNamespace(tokens=[1.0]), "types.SimpleNamespace"),
        ],
    )
    def test_answer_without_a_tensor_is_told(self, answer: object, kind: str) -> None:
        with pytest.raises(SubjectFailedError) as caught:
            outcome_of(returning(answer))
        assert str(caught.value) == f"returned {kind}, expected {OUTPUT}"

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            (torch.Tensor.long, "returned a tensor of torch.int64, expected a floating one"),
            (lambda tokens: tokens > 0, "returned a tensor of torch.bool, expected a floating one"),
            (lambda tokens: tokens.to("meta"), "returned a tensor that cannot be read: NotImplementedError: "),
            (torch.Tensor.to_sparse, "returned a tensor that cannot be read: TypeError: "),
        ],
    )
    def test_answer_that_is_no_output_is_told(self, change: Callable[[Tensor], object], says: str) -> None:
        with pytest.raises(SubjectFailedError) as caught:
            outcome_of(answering(change))
        assert str(caught.value).startswith(says)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("error", "says"),
        [
            (ValueError("wrong\nand more"), f"raised ValueError: wrong {RAISED}"),
            (KeyError(), f"raised KeyError: no message {RAISED}"),
            (SystemExit(0), f"raised SystemExit: 0 {RAISED}"),
            (GeneratorExit("out"), f"raised GeneratorExit: out {RAISED}"),
        ],
    )
    def test_answer_may_be_an_error(self, error: BaseException, says: str) -> None:
        with pytest.raises(SubjectFailedError) as caught:
            outcome_of(raising(error))
        assert str(caught.value) == says

    def test_answer_whose_parts_cannot_be_read_is_told(self) -> None:
        class Locked:
            """An answer that does not want to be read."""

            @property
            def tokens(self) -> Tensor:
                """Not now."""
                raise RuntimeError("locked")

        with pytest.raises(SubjectFailedError) as caught:
            outcome_of(returning(Locked()))
        assert str(caught.value) == "returned an object whose tokens cannot be read: RuntimeError: locked"

    def test_answer_may_be_an_error_that_cannot_be_told(self) -> None:
        class SilentError(ValueError):
            """An error without words."""

            def __str__(self) -> str:
                """Not even that."""
                raise RuntimeError("no words")

        with pytest.raises(SubjectFailedError) as caught:
            outcome_of(raising(SilentError()))
        assert str(caught.value) == f"raised SilentError: a message that cannot be read {RAISED}"

    @pytest.mark.parametrize(("kept", "told"), [(torch.ones(1, 2), "in torch.float32"), ("words", "as str")])
    def test_answer_that_names_indices_that_are_none_is_told(self, kept: object, told: str) -> None:
        with pytest.raises(SubjectFailedError) as caught:
            outcome_of(answering(lambda tokens: SimpleNamespace(tokens=tokens, kept=kept)))
        assert str(caught.value) == f"offers kept {told}, expected an array of integers"

    def test_indices_of_a_tuple_that_are_no_integers_are_told(self) -> None:
        with pytest.raises(SubjectFailedError) as caught:
            outcome_of(answering(lambda tokens: (tokens, torch.zeros(1, 2).half())))
        assert str(caught.value) == "offers kept in torch.float16, expected an array of integers"

    @pytest.mark.parametrize("besides", ["words", torch.zeros(1, 2, 2), torch.zeros(1, 0)])
    def test_what_a_tuple_has_in_place_of_indices_may_be_anything_else(self, besides: object) -> None:
        assert outcome_of(answering(lambda tokens: (tokens, besides))).kept is None

    def test_input_whose_dtype_is_changed_is_told(self) -> None:
        def widening(x: Tensor, attn: Tensor, v: Tensor, *, prefix: int, keep: int) -> Tensor:
            tokens = honest(x, attn, v, prefix=prefix, keep=keep)
            x.data = x.data.double()
            return tokens

        assert outcome_of(widening).changed_inputs == ("x",)

    def test_error_of_the_call_itself_has_no_line(self) -> None:
        with pytest.raises(SubjectFailedError) as caught:
            CallableSubject(len, "builtins:len").run(made())
        assert str(caught.value) == "raised TypeError: len() takes no keyword arguments"

    def test_error_within_torch_has_the_line_that_called_it(self) -> None:
        class Broken(Layer):
            def forward(self, x: Tensor, attn: Tensor, v: Tensor, prefix: int, keep: int) -> Tensor:
                del attn, v, prefix, keep
                return torch.einsum("bb->b", x)

        with pytest.raises(SubjectFailedError) as caught:
            outcome_of(Broken())
        line = Broken.forward.__code__.co_firstlineno + 2
        assert str(caught.value).startswith("raised RuntimeError: einsum(): ")
        assert str(caught.value).endswith(f" ({Path(__file__).name}:{line})")

    def test_interruption_is_obeyed(self) -> None:
        with pytest.raises(KeyboardInterrupt):
            outcome_of(raising(KeyboardInterrupt()))

    def test_gradients_are_those_of_the_weighted_sum(self) -> None:
        case = made()
        gradients = as_subject(honest, name="here:it").gradients(case, np.ones((1, 4, 4)))
        assert gradients is not None
        assert gradients.x is not None
        assert gradients.x[0, 0].tolist() == [1.0] * 4
        assert gradients.attn is None
        assert gradients.v is None

    def test_gradients_of_a_detached_output_are_not_offered(self) -> None:
        assert as_subject(answering(torch.Tensor.detach), name="a:b").gradients(made(), np.ones((1, 4, 4))) is None

    def test_gradients_of_the_siblings_have_none_for_v(self) -> None:
        subject = as_subject(ClassStep(), name="here:it", method="topk")
        gradients = subject.gradients(made(), np.ones((1, 3, 4)))
        assert gradients is not None
        assert gradients.v is None

    def test_gradients_that_cannot_be_had_are_told(self) -> None:
        def hooked(tokens: Tensor) -> Tensor:
            if tokens.requires_grad:
                tokens.register_hook(raising(ValueError("no way back")))
            return tokens

        row = verdict_of(answering(hooked), "POMT-META-7")
        assert row.failure is not None
        assert row.failure.message == "POMT-META-7 wrong: raised in the backward pass ValueError: no way back"


class TestLoading:
    """Named ``package.module:attribute``; anything wrong is told in one clear line."""

    @pytest.fixture
    def module(self, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
        """A module with implementations in it, as if it had been written to disk."""
        module = ModuleType("pomt_subjects")
        module.__dict__.update(prune=honest, Kernel=Kernel, kernel=Kernel(), layer=Layer(), three=3)
        monkeypatch.setitem(sys.modules, "pomt_subjects", module)
        return module

    @pytest.mark.parametrize("attribute", ["prune", "Kernel.static", "kernel", "kernel.method", "layer"])
    def test_load_subject_finds_nested_attributes(self, module: ModuleType, attribute: str) -> None:
        subject = load_subject(f"{module.__name__}:{attribute}")
        assert subject.name == f"pomt_subjects:{attribute}"
        assert subject.run(made()).tokens.tobytes() == outcome_of(honest).tokens.tobytes()

    @pytest.mark.parametrize(
        ("path", "says"),
        [
            ("pomt_subjects", "package.module:attribute, or a file.onnx, got 'pomt_subjects'"),
            (":prune", "package.module:attribute, or a file.onnx, got ':prune'"),
            ("pomt_subjects:", "package.module:attribute, or a file.onnx, got 'pomt_subjects:'"),
            (
                "no_such_module:prune",
                (
                    "a module no_such_module that can be imported, "
                    "got ModuleNotFoundError: No module named 'no_such_module'"
                ),
            ),
            (
                "pomt_subjects:purne",
                (
                    "an attribute purne of pomt_subjects, "
                    "got AttributeError: module 'pomt_subjects' has no attribute 'purne'"
                ),
            ),
            (
                "pomt_subjects:Kernel.moethod",
                (
                    "an attribute Kernel.moethod of pomt_subjects, "
                    "got AttributeError: type object 'Kernel' has no attribute 'moethod'"
                ),
            ),
            ("pomt_subjects:three", "a callable (x, attn, v, *, prefix, keep), got int"),
            (
                "pomt_subjects:Kernel.method",
                (
                    "a callable (x, attn, v, *, prefix, keep), got (self, x: torch.Tensor, attn: torch.Tensor, "
                    "v: torch.Tensor, prefix: int, keep: int) -> torch.Tensor: missing a required argument: 'v'"
                ),
            ),
        ],
    )
    def test_load_subject_tells_what_is_wrong(self, module: ModuleType, path: str, says: str) -> None:
        with pytest.raises(SubjectError) as caught:
            load_subject(path)
        assert module.__name__ == "pomt_subjects"
        assert str(caught.value) == f"check {path}: expected {says}"
        assert caught.value.subject == path

    @pytest.mark.parametrize("line", ["raise SystemExit(3)", "raise RuntimeError('at import\\nmore')", "1 +"])
    def test_load_subject_tells_a_module_that_fails(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
    ) -> None:
        (tmp_path / "pomt_failing.py").write_text(line)
        monkeypatch.syspath_prepend(tmp_path)
        with pytest.raises(SubjectError) as caught:
            load_subject("pomt_failing:prune")
        assert "expected a module pomt_failing that can be imported, got " in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_load_subject_is_interrupted_by_an_interruption(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "pomt_interrupted.py").write_text("raise KeyboardInterrupt")
        monkeypatch.syspath_prepend(tmp_path)
        with pytest.raises(KeyboardInterrupt):
            load_subject("pomt_interrupted:prune")

    def test_wrong_signature_of_a_sibling_names_its_own(self) -> None:
        with pytest.raises(SubjectError, match=r"expected a callable \(x, attn, \*, prefix, keep\), got "):
            as_subject(honest, name="here:it", method="topk")


class TestCheck:
    """``check(subject, …) -> Report`` with ``report.conforms`` and ``report.failures``."""

    def test_check_of_the_honest_conforms(self) -> None:
        report = check(honest, max_examples=4, clauses=["POMT-PRUNE-1", "POMT-RANK-1"])
        assert report.conforms
        assert report.failures == ()
        assert [row.clause for row in report.rows] == ["POMT-RANK-1", "POMT-PRUNE-1"], "the specification's order"
        assert report.subject == f"{__name__}:honest"
        assert (report.method, report.dtype, report.device, report.seed) == ("pomt", "float32", "cpu", 0)
        assert sorted(report.versions) == ["hypothesis", "numpy", "pomt_ref", "python", "torch"]

    def test_check_holds_every_clause_by_default(self) -> None:
        assert len(check(honest, max_examples=1).rows) == len(laws_of("pomt"))

    @pytest.mark.parametrize("dtype", [torch.bfloat16, "bfloat16", "torch.bfloat16"])
    def test_check_takes_a_dtype_by_any_name(self, dtype: torch.dtype | str) -> None:
        assert check(honest, dtype=dtype, max_examples=1, clauses=["POMT-PREC-1"]).dtype == "bfloat16"

    def test_check_imports_what_is_named(self) -> None:
        report = check("pomt_ref:topk_prune", method="topk", max_examples=3)
        assert (report.subject, report.conforms) == ("pomt_ref:topk_prune", True)

    def test_check_names_what_is_no_function(self) -> None:
        assert check(Kernel(), max_examples=1, clauses=["POMT-PREC-1"]).subject == f"{__name__}:Kernel"
        assert check(functools.partial(honest), max_examples=1, clauses=["POMT-PREC-1"]).subject == "functools:partial"

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            ({"dtype": "int8"}, "expected a dtype in float16, bfloat16, float32, float64, got int8"),
            ({"dtype": torch.int8}, "expected a dtype in float16, bfloat16, float32, float64, got torch.int8"),
            (
                {"clauses": ["POMT-ATT-9"]},
                "expected a clause of pomt, got POMT-ATT-9; they are POMT-ATT-1, POMT-ATT-2, ",
            ),
            ({"clauses": "TOPK-1"}, "expected a clause of pomt, got TOPK-1; they are POMT-ATT-1, POMT-ATT-2, "),
            ({"max_examples": 0}, "expected max_examples of 1 to 10000000, got 0"),
            ({"max_examples": -3}, "expected max_examples of 1 to 10000000, got -3"),
            ({"device": "abacus"}, "expected the device abacus, got Expected one of cpu, cuda, "),
            ({"device": "meta"}, "expected the device meta, got Cannot copy out of meta tensor; no data!"),
        ],
    )
    def test_check_tells_what_keeps_it_from_running(self, arguments: dict[str, Any], says: str) -> None:
        with pytest.raises(SubjectError) as caught:
            check(honest, **arguments)
        assert str(caught.value).startswith(f"check {__name__}:honest: {says}")
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("subject", "name"),
        [(honest, f"{__name__}:honest"), (Kernel(), f"{__name__}:Kernel"), ("no:thing", "no:thing")],
    )
    def test_check_tells_a_method_that_is_none(
        self, monkeypatch: pytest.MonkeyPatch, subject: Implementation | str, name: str
    ) -> None:
        """Without the checker of annotations, which would refuse the word first."""
        monkeypatch.setattr(runner, "_held", inspect.unwrap(vars(runner)["_held"]))
        arguments: dict[str, Any] = {"method": "tome"}
        with pytest.raises(SubjectError) as caught:
            inspect.unwrap(check)(subject, **arguments)
        assert str(caught.value) == f"check {name}: expected a method in pomt, topk, evit, got tome"

    def test_check_takes_one_clause_as_a_word(self) -> None:
        assert [row.clause for row in check(honest, max_examples=1, clauses="POMT-MAG-1").rows] == ["POMT-MAG-1"]

    @pytest.mark.parametrize(
        ("function", "offered"),
        [
            (honest, ()),
            (answering(lambda tokens: (tokens, torch.ones(1))), ()),
            (answering(lambda tokens: (tokens, None, torch.ones(2, 3, dtype=torch.long))), ("discarded",)),
            (answering(lambda tokens: Named(tokens, torch.ones(1, 5))), ("scores",)),
            (answering(lambda tokens: SimpleNamespace(tokens=tokens, scores=[1.0])), ()),
            (offering, ("head_maximum", "sums", "attention", "value_sums", "magnitude", "scores", "kept", "discarded")),
            (raising(ValueError("wrong")), ()),
        ],
    )
    def test_check_names_what_is_offered_beside_the_output(
        self, function: Implementation, offered: tuple[str, ...]
    ) -> None:
        assert check(function, max_examples=1, clauses="POMT-PRUNE-1").offered == offered

    @pytest.mark.long
    def test_check_reports_a_stage_that_is_no_tensor(self) -> None:
        wrong = answering(lambda tokens: SimpleNamespace(tokens=tokens, scores=[1.0]))
        report = check(wrong, max_examples=1)
        assert {(row.verdict, row.blocked_by) for row in report.rows} == {("wrong", None)}
        says = "wrong: offers scores as list, expected an array"
        assert [failure.message for failure in report.failures] == [f"{law.clause} {says}" for law in laws_of("pomt")]

    @pytest.mark.long
    def test_check_of_right_stages_blames_the_order_alone(self) -> None:
        clauses = ("POMT-ATT-1", "POMT-ATT-2", "POMT-MAG-1", "POMT-SCORE-1")
        report = check(misordered, max_examples=20, clauses=[*clauses, "POMT-RANK-1"])
        rows = [(row.clause, row.verdict, row.blocked_by) for row in report.rows]
        assert rows == [*((clause, "blocked", "POMT-RANK-1") for clause in clauses), ("POMT-RANK-1", "wrong", None)]
        for failure in report.failures:
            blocked = "" if failure.clause == "POMT-RANK-1" else f"{failure.clause} blocked by "
            assert failure.message.startswith(f"{blocked}POMT-RANK-1 wrong: sample 0 keeps token ")
            assert failure.message.endswith("; the tokens kept are right, their order is not")

    def test_check_tells_a_subject_that_returns_no_tensor(self) -> None:
        with pytest.raises(SubjectError) as caught:
            check(lambda x, *_others, **_counts: [x])
        assert str(caught.value) == (
            f"check {__name__}:TestCheck.test_check_tells_a_subject_that_returns_no_tensor.<locals>.<lambda>: "
            f"expected a call that returns {OUTPUT}, got list"
        )

    @pytest.mark.long
    def test_check_reports_a_subject_that_raises_by_clause(self) -> None:
        report = check(raising(SystemExit("I leave")), max_examples=2)
        assert not report.conforms
        assert [(row.clause, row.verdict) for row in report.rows] == [(law.clause, "wrong") for law in laws_of("pomt")]
        assert {failure.message for failure in report.failures} == {
            f"{law.clause} wrong: raised SystemExit: I leave {RAISED}" for law in laws_of("pomt")
        }

    def test_check_reports_a_subject_that_returns_none_later(self) -> None:
        """The first call is an ordinary one; what comes after is the laws'."""
        row = check(
            lambda x, attn, v, *, prefix, keep: honest(x, attn, v, prefix=prefix, keep=keep) if keep else None,
            clauses=["POMT-PRUNE-1"],
            max_examples=10,
        ).rows[0]
        assert row.failure is not None
        assert row.failure.message == f"POMT-PRUNE-1 wrong: returned None, expected {OUTPUT}"

    @pytest.mark.long
    def test_check_with_the_same_seed_draws_the_same(self) -> None:
        wrong = answering(lambda tokens: tokens[:, 1:] if len(tokens) > 1 else tokens)
        one, same, other = (check(wrong, max_examples=10, clauses=["POMT-PRUNE-1"], seed=seed) for seed in (1, 1, 2))
        told = [replace(report.rows[0], seconds=0.0, failure=None, first_kill=None) for report in (one, same, other)]
        assert told[0] == told[1]
        assert str(one.failures[0].case) == str(same.failures[0].case)
        assert other.seed == 2


class TestRunLaw:
    """Every failure is minimised; one law's failure never hides another's."""

    def test_run_law_shows_the_smallest_case(self) -> None:
        mutant = next(mutant for mutant in FAULTS if mutant.name == "mean with the prefix")
        row = verdict_of(mutant.function, "POMT-PRUNE-3", examples=50)
        assert row.failure is not None
        assert row.failure.case.shape.patches == 1
        assert (row.verdict, row.failure.clause, row.failure.family) == (
            "wrong",
            "POMT-PRUNE-3",
            row.failure.case.family,
        )
        assert row.cases == sum(row.families.values())
        assert row.blocked_by is None

    def test_run_law_without_shrinking_shows_the_first_case(self) -> None:
        subject = as_subject(answering(lambda tokens: tokens + 1), name="here:it")
        row = run_law(law_of("POMT-PRUNE-2"), subject, dtype="float32", examples=50, seed=0, shrink=False)
        assert row.failure is not None
        assert row.cases <= 3

    def test_run_law_is_blocked_by_another_clause(self) -> None:
        """Blocked: the output breaks another clause, named in the message, and cannot be read far enough."""
        row = verdict_of(answering(lambda tokens: tokens[:, 1:]))
        assert (row.verdict, row.blocked_by) == ("blocked", "POMT-PRUNE-1")
        assert row.failure is not None
        assert row.failure.message == (
            "POMT-RANK-1 blocked by POMT-PRUNE-1 wrong: output of shape (1, 1, 1), expected (1, 2, 1)"
        )
        assert row.failure.clause == "POMT-RANK-1"

    def test_run_law_blames_what_wavers_even_where_it_was_blocked(self) -> None:
        calls: list[int] = []

        def wavering(x: Tensor, attn: Tensor, v: Tensor, *, prefix: int, keep: int) -> Tensor:
            calls.append(0)
            output = honest(x, attn, v, prefix=prefix, keep=keep)
            return output[:, 1:] if len(calls) == 1 else output

        row = verdict_of(wavering, "POMT-RANK-1")
        assert (row.verdict, row.blocked_by) == ("wrong", None)
        assert row.failure is not None
        told = (
            "answers differently on a second call; the first time: POMT-RANK-1 blocked by POMT-PRUNE-1 wrong: output "
        )
        assert row.failure.message.startswith(told)

    def test_run_law_tells_an_implementation_that_answers_differently(self) -> None:
        calls: list[int] = []

        def wavering(x: Tensor, attn: Tensor, v: Tensor, *, prefix: int, keep: int) -> Tensor:
            calls.append(0)
            output = honest(x, attn, v, prefix=prefix, keep=keep)
            return output + 1 if len(calls) == 3 else output

        row = verdict_of(wavering, "POMT-PRUNE-2")
        assert row.verdict == "wrong"
        assert row.failure is not None
        told = "answers differently on a second call; the first time: POMT-PRUNE-2 wrong: "
        assert row.failure.message.startswith(told)

    @pytest.mark.parametrize(
        ("first", "clauses", "blamed", "says"),
        [
            (RuntimeError("cold"), ["POMT-PRUNE-1", "POMT-PRUNE-2"], "POMT-PRUNE-1", "raised RuntimeError: cold ("),
            (TimeLimitError("took longer than 1 s"), ["POMT-PRUNE-2"], "POMT-PRUNE-2", "took longer than 1 s"),
            (7.0, ["POMT-PRUNE-1", "POMT-PRUNE-2"], "POMT-PRUNE-2", "prefix row 0 of sample 0 has 7.0 in channel 0"),
            (7.0, ["POMT-PRUNE-1"], "POMT-PRUNE-1", "prefix row 0 of sample 0 has 7.0 in channel 0"),
        ],
    )
    def test_check_tells_a_first_call_that_no_other_repeats(
        self, first: BaseException | float, clauses: list[str], blamed: str, says: str
    ) -> None:
        ended: list[tuple[str, Verdict]] = []
        progress = Progress(clause_ends=lambda row: ended.append((row.clause, row.verdict)))
        report = check(Wavering(first), clauses=clauses, max_examples=3, progress=progress)
        assert not report.conforms
        (failure,) = report.failures
        told = "POMT-PRUNE-2" if first == 7.0 else blamed
        assert failure.message.startswith(f"answers differently on a second call; the first time: {told} wrong: {says}")
        assert str(failure.case).startswith("batch=2 heads=2 tokens=6 ")
        assert ended == [(row.clause, row.verdict) for row in report.rows]
        assert [row.clause for row in report.rows if row.verdict == "wrong"] == [blamed]
        (row,) = (row for row in report.rows if row.verdict == "wrong")
        assert (row.cases, sum(row.families.values()), row.first_kill) == (4, 4, Kill(1, 0.0))
        assert report.offered == ("kept",)
        assert Draft202012Validator(schema()).is_valid(as_dict(report))

    def test_check_leaves_to_the_laws_what_a_second_call_repeats(self) -> None:
        report = check(raising(RuntimeError("always")), clauses=["POMT-PRUNE-1"], max_examples=3)
        assert report.failures[0].message.startswith("POMT-PRUNE-1 wrong: raised RuntimeError: always")

    def test_check_says_nothing_of_a_first_call_where_every_clause_is_wrong(self) -> None:
        def wavering(x: Tensor, attn: Tensor, v: Tensor, *, prefix: int, keep: int) -> Tensor:
            wavering.__dict__["calls"] = wavering.__dict__.get("calls", 0) + 1
            output = honest(x, attn, v, prefix=prefix, keep=keep)
            return output[:, :1] if wavering.__dict__["calls"] == 1 or len(x) == 1 else output

        report = check(wavering, clauses=["POMT-PRUNE-1"], max_examples=20)
        assert report.failures[0].message.startswith("POMT-PRUNE-1 wrong: output of shape")

    def test_run_law_does_not_blame_the_subject_for_a_law_that_wavers(self) -> None:
        calls: list[int] = []

        def wavering(_case: Case, _subject: Subject) -> Evidence:
            calls.append(0)
            if len(calls) == 2:
                raise RuntimeError("a fault of the law")
            return Evidence()

        with pytest.raises(hypothesis.errors.Flaky):
            run_law(made_law(wavering), as_subject(honest, name="a:b"), dtype="float32", examples=5, seed=0)

    @pytest.mark.parametrize(
        ("error", "verdict"), [(InapplicableError(), "not shown"), (NotOfferedError(), "not offered")]
    )
    def test_run_law_tells_what_it_could_not_show(
        self, error: Exception, verdict: Verdict, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Hypothesis asks hundreds of times before it gives up: of one case, which is there already."""
        monkeypatch.setattr(judging, "cases", lambda *_law, **_options: just(made()))

        def silent(_case: Case, _subject: Subject) -> Evidence:
            raise error

        row = run_law(made_law(silent), as_subject(honest, name="a:b"), dtype="float32", examples=5, seed=0)
        assert (row.verdict, row.cases, row.failure) == (verdict, 0, None)

    def test_run_law_holds_fixed_cases_where_many_cases_are_asked(self) -> None:
        seen: list[int] = []

        def watching(case: Case, _subject: Subject) -> Evidence:
            seen.append(case.shape.tokens)
            if case.shape.tokens == 10:
                raise InapplicableError
            return Evidence()

        law, subject = made_law(watching), as_subject(honest, name="a:b")
        row = run_law(law, subject, dtype="float32", examples=judging.FIXED_FROM, seed=0, long=False)
        assert seen[-2:] == [24, 10]
        assert (row.verdict, row.cases) == ("conforms", sum(tokens != 10 for tokens in seen))

    @pytest.mark.long
    def test_run_law_holds_long_sequences_where_many_cases_are_asked(self) -> None:
        seen: list[int] = []

        def watching(case: Case, _subject: Subject) -> Evidence:
            seen.append(case.shape.patches)
            if case.shape.patches > 2000:
                raise InapplicableError
            return Evidence()

        law = replace(made_law(watching), sizes="long")
        row = run_law(law, as_subject(honest, name="a:b"), dtype="float32", examples=judging.FIXED_FROM, seed=0)
        assert seen[-2:] == [1041, 2100]
        assert (row.verdict, row.cases) == ("conforms", len(seen) - 1)
        run_law(law, as_subject(honest, name="a:b"), dtype="float32", examples=judging.FIXED_FROM, seed=0, long=False)
        assert seen[-1] == 345
        run_law(law, as_subject(honest, name="a:b"), dtype="float32", examples=judging.FIXED_FROM - 1, seed=0)
        assert seen[-1] < 345

    def test_run_law_tells_progress(self) -> None:
        told: list[object] = []
        progress = Progress(
            clause_begins=lambda law, cases: told.append((law.clause, cases)),
            case_ends=lambda: told.append("case"),
            clause_ends=lambda row: told.append(row.verdict),
        )
        check(honest, max_examples=3, clauses=["POMT-PRUNE-1"], progress=progress)
        assert told == [("POMT-PRUNE-1", 3), "case", "case", "case", "conforms"]


def made_law(check: Callable[[Case, Subject], Evidence]) -> Law:
    """A law with this check."""
    return Law("POMT-RANK-1", "pomt", ("ordinary",), "small", any_input=True, kills=(), check=check, statement="So.")


class TestRequire:
    """``require`` holds one clause on one case: what a snippet ends with."""

    def test_require_accepts_the_honest(self) -> None:
        seen: list[int] = []

        def counted(x: Tensor, attn: Tensor, v: Tensor, *, prefix: int, keep: int) -> Tensor:
            seen.append(keep)
            return honest(x, attn, v, prefix=prefix, keep=keep)

        require("POMT-RANK-1", made(), counted)
        require("TOPK-1", made(), "pomt_ref:topk_prune", method="topk")
        assert made().shape.keep in seen

    def test_require_raises_the_violation(self) -> None:
        with pytest.raises(LawViolation, match="POMT-PRUNE-1 wrong: output of shape"):
            require("POMT-PRUNE-1", made(), answering(lambda tokens: tokens[:, 1:]))

    def test_require_tells_a_clause_that_is_none(self) -> None:
        with pytest.raises(SubjectError) as caught:
            require("POMT-RANK-7", made(), honest)
        known = ", ".join(law.clause for law in laws_of("pomt"))
        assert str(caught.value) == (
            f"check {__name__}:honest: expected a clause of pomt, got POMT-RANK-7; they are {known}"
        )


@pytest.fixture
def captured(tmp_path: Path) -> Captured:
    """Four samples of six tokens, as a model would give them."""
    random = np.random.default_rng(0)
    exponentials = np.exp(random.normal(size=(4, 2, 6, 6)))
    tensors = {
        "x": random.normal(size=(4, 6, 3)),
        "attn": exponentials / exponentials.sum(axis=-1, keepdims=True),
        "v": random.normal(size=(4, 2, 6, 2)),
    }
    path = tmp_path / "a 'layer'.safetensors"
    arrays = {name: tensor.astype(np.float32) for name, tensor in tensors.items()}
    save_file(arrays, path, metadata={"prefix": "1"})
    return load_captured(path)


class TestCaptured:
    """Real captured tensors are held as well as generated ones, in a row of their own."""

    def test_check_holds_captured_tensors_in_a_row_of_their_own(self, captured: Captured) -> None:
        report = check(honest, max_examples=3, clauses=["POMT-ATT-1", "POMT-RANK-1"], captured=captured)
        assert report.conforms
        rows = [(row.clause, row.source) for row in report.rows]
        assert rows == [("POMT-ATT-1", "generated"), ("POMT-RANK-1", "generated"), ("POMT-RANK-1", captured.name)]
        assert report.rows[2].families == {captured.name: 3}

    @pytest.mark.parametrize("kind", [Path, str])
    def test_check_takes_the_file_that_captured_tensors_lie_in(
        self, captured: Captured, kind: Callable[[Path], Path | str]
    ) -> None:
        def counted(given: Captured | Path | str) -> list[tuple[str, int, Mapping[str, int]]]:
            report = check(honest, max_examples=3, clauses="POMT-RANK-1", captured=given)
            return [(row.source, row.cases, row.families) for row in report.rows]

        assert counted(kind(captured.path)) == counted(captured)
        assert counted(captured)[1][0] == "captured: a 'layer'.safetensors"

    def test_check_tells_a_file_of_captured_tensors_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(
            PomtError, match=r"load_captured: expected a safetensors file .* got .*/none\.safetensors: "
        ):
            check(honest, captured=tmp_path / "none.safetensors")

    def test_check_tells_captured_tensors_without_a_class_row(self, captured: Captured) -> None:
        with pytest.raises(SubjectError, match="expected a prefix of 1 or more for topk, got prefix 0"):
            check(ClassStep(), method="topk", captured=replace(captured, prefix=0))

    def test_check_tells_captured_tensors_that_the_dtype_cannot_hold(self, captured: Captured) -> None:
        large = replace(captured, x=captured.x * 1e6)
        with pytest.raises(SubjectError, match="expected numbers within the range of float16, got larger ones"):
            check(honest, dtype="float16", captured=large)
        assert check(honest, captured=large, max_examples=2, clauses=["POMT-PRUNE-3"]).conforms


WRONG: Final = """
from pomt_ref.testing.mutants import ClassStep, Step

def prune(x, attn, v, *, prefix, keep):
    return Step()(x, attn, v, prefix=prefix, keep=keep) * 1.5

class Kernel:
    @staticmethod
    def topk(x, attn, *, prefix, keep):
        return ClassStep()(x, attn, prefix=prefix, keep=keep).flip(1)

def raising(x, attn, v, *, prefix, keep):
    raise RuntimeError("always")
"""


PASTE: Final = """
import json, sys
for snippet in json.load(sys.stdin):
    try:
        exec(compile(snippet, "pasted", "exec"), {})
    except BaseException as error:
        print(f"{type(error).__name__}: {error}")
    print("----")
"""
"""Runs each snippet in names of its own, and tells what it raised."""


class TestSnippet:
    """Every failure comes with a pasteable Python snippet that raises the same violation."""

    @pytest.mark.long
    def test_snippets_raise_the_same_violation_in_a_fresh_interpreter(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, captured: Captured
    ) -> None:
        (tmp_path / "pomt_pasted.py").write_text(WRONG)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "pomt_pasted", raising=False)
        failures = [
            check("pomt_pasted:prune", clauses=["POMT-PRUNE-2"], max_examples=5).failures[0],
            check("pomt_pasted:prune", clauses=["POMT-PRUNE-3"], max_examples=5, captured=captured).failures[1],
            check("pomt_pasted:Kernel.topk", method="topk", clauses=["TOPK-1"], max_examples=5).failures[0],
            check("pomt_pasted:raising", clauses=["POMT-RANK-1"], max_examples=5).failures[0],
        ]
        assert failures[1].family == captured.name
        ran = subprocess.run(
            [sys.executable, "-c", PASTE],
            input=json.dumps([failure.snippet for failure in failures]),
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])},
            cwd=tmp_path.parent,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (ran.returncode, ran.stderr) == (0, "")
        told = ran.stdout.split("----\n")
        for failure, said in zip(failures[:3], told, strict=False):
            assert said.startswith("expected [[")
            assert "\ngot tensor(" in said
            shown = f"LawViolation: {failure.message.removeprefix('TOPK-1 blocked by ')}"
            assert said.splitlines()[-1] == shown
        assert failures[2].message.startswith("TOPK-1 wrong: prefix row 0 of sample 0 has ")
        assert re.search(r"got tensor\(\[\[\[ ?-?\d\.\d{9}\D", told[0]), "with the digits that tell float32 apart"
        assert told[3].splitlines()[-1] == "RuntimeError: always", "the implementation's own error, with its traceback"

    def test_snippet_is_a_program(self) -> None:
        assert snippet("POMT-RANK-1", made(), as_subject(honest, name=f"{__name__}:honest")).splitlines() == [
            "import torch",
            "torch.set_printoptions(precision=9)",
            "from pomt_ref import oracle",
            "from pomt_ref.conformance import require",
            "from pomt_ref.testing import build_case",
            "shape = dict(batch=1, heads=2, tokens=6, features=3, channels=4, prefix=1, keep=2)",
            'case = build_case("ordinary", seed=1, dtype="float32", **shape)',
            f"from {__name__} import honest",
            "expected = oracle.prune(case.x, case.attn, case.v, prefix=1, keep=2)",
            'print("expected", expected.tokens)',
            "x, attn, v = (",
            "    torch.tensor(array).to(torch.float32) for array in (case.x, case.attn, case.v)",
            ")",
            'print("got", honest(x, attn, v, prefix=1, keep=2))',
            'require("POMT-RANK-1", case, honest)',
        ]

    def test_snippet_names_method_and_device_where_they_are_not_the_default(self) -> None:
        subject = replace(as_subject(pomt_ref.evit_prune, name="pomt_ref:evit_prune", method="evit"), device="cuda:1")
        written = snippet("EVIT-1", made(), subject)
        assert '.to(torch.float32).to("cuda:1") for array in (case.x, case.attn)' in written
        assert "oracle.evit_prune(case.x, case.attn, prefix=1, keep=2)" in written
        assert 'require("EVIT-1", case, evit_prune, method="evit", device="cuda:1")' in written

    @pytest.mark.parametrize(
        ("function", "name"),
        [
            (honest, "no_such_module:honest"),
            (honest, "pomt_ref:prune"),
            (Kernel(), "pomt_ref:Kernel"),
            (lambda x: x, "pomt_ref:it.<locals>.<lambda>"),
        ],
    )
    def test_snippet_of_what_has_no_name_says_so(self, function: Implementation, name: str) -> None:
        subject = replace(as_subject(honest, name=name), function=function)
        written = snippet("POMT-RANK-1", made(), subject)
        assert "# subject = the implementation that was checked; it has no name to import it by" in written
        assert 'require("POMT-RANK-1", case, subject)' in written
        compile(written, "pasted", "exec")


def row_of(
    clause: str,
    verdict: Verdict,
    failure: Failure | None = None,
    source: str = "generated",
    blocked_by: str | None = None,
) -> Row:
    """A row by hand."""
    return Row(clause, f"{clause} says so.", source, verdict, 3, {"ordinary": 3}, 0.25, failure, blocked_by)


def report_of(*rows: Row, offered: tuple[str, ...] = ()) -> Report:
    """A report by hand."""
    return Report("here:it", "pomt", "float32", "cpu", 7, 100, offered, {"torch": "2.0"}, rows)


def wrong_of(clause: str, says: str = "so and so") -> Row:
    """A row of a clause that is wrong."""
    return row_of(clause, "wrong", Failure(clause, "ordinary", f"{clause} wrong: {says}", made(), f"paste {clause}"))


def blocked_of(clause: str, blocked_by: str, says: str = "so and so") -> Row:
    """A row of a clause that another one blocks."""
    message = f"{clause} blocked by {blocked_by} wrong: {says}"
    failure = Failure(clause, "ordinary", message, made(), f"paste {clause}")
    return row_of(clause, "blocked", failure, blocked_by=blocked_by)


FAILURE: Final = Failure("POMT-RANK-1", "ordinary", "POMT-RANK-1 wrong: so and so", made(), "line 1\nline 2")


class TestReport:
    """A table for people, JSON for programs, and one verdict."""

    @pytest.mark.parametrize(
        ("verdicts", "conforms"),
        [
            (["conforms"], True),
            (["conforms", "not offered"], True),
            (["not offered"], False),
            (["conforms", "not shown"], False),
            (["conforms", "blocked"], False),
            (["conforms", "wrong"], False),
            ([], False),
        ],
    )
    def test_report_conforms_if_nothing_is_broken_and_something_shown(
        self, verdicts: list[Verdict], conforms: bool
    ) -> None:
        assert report_of(*(row_of("POMT-RANK-1", verdict) for verdict in verdicts)).conforms == conforms

    def test_json_holds_the_whole_report(self) -> None:
        wrong_row = replace(row_of("POMT-RANK-1", "wrong", FAILURE), first_kill=Kill(2, 0.125))
        report = report_of(wrong_row, row_of("POMT-PRUNE-1", "conforms"), offered=("scores", "kept"))
        document = json.loads(as_json(report))
        wrong, right = document.pop("clauses")
        assert document == {
            "format": 2,
            "subject": "here:it",
            "conforms": False,
            "method": "pomt",
            "dtype": "float32",
            "device": "cpu",
            "profile": "float32",
            "certified": True,
            "seed": 7,
            "max_examples": 100,
            "shard": "",
            "offered": ["scores", "kept"],
            "remarks": [],
            "stale": [],
            "versions": {"torch": "2.0"},
            "first_kill": {"cases": 2, "seconds": 0.125},
        }
        case = {"family": "ordinary", "seed": 1, "dtype": "float32", "batch": 1, "heads": 2, "tokens": 6}
        assert wrong.pop("failure") == {
            "clause": "POMT-RANK-1",
            "message": "POMT-RANK-1 wrong: so and so",
            "divergence": "",
            "case": {**case, "features": 3, "channels": 4, "prefix": 1, "keep": 2},
            "ranking": None,
            "snippet": "line 1\nline 2",
            "replay": "",
        }
        common = {"source": "generated", "part": 0, "cases": 3, "families": {"ordinary": 3}, "seconds": 0.25}
        common |= {"grades": {}, "attained": 0.0, "blocked_by": None, "reason": ""}
        kill = {"cases": 2, "seconds": 0.125}
        assert wrong == {
            "clause": "POMT-RANK-1",
            "statement": "POMT-RANK-1 says so.",
            "verdict": "wrong",
            **common,
            "first_kill": kill,
        }
        assert right == {
            "clause": "POMT-PRUNE-1",
            "statement": "POMT-PRUNE-1 says so.",
            "verdict": "conforms",
            **common,
            "first_kill": None,
            "failure": None,
        }

    def test_json_is_written_whole_or_not_at_all(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "report.json"
        path.write_text("old")
        report = report_of(row_of("POMT-RANK-1", "conforms"))

        with monkeypatch.context() as patched:
            patched.setattr(Path, "replace", raising(KeyboardInterrupt()))
            with pytest.raises(KeyboardInterrupt):
                write(as_json(report), path)
        assert path.read_text() == "old"
        write(as_json(report), path)
        assert path.read_text() == as_json(report)
        assert list(tmp_path.iterdir()) == [path]

    def test_json_follows_a_link(self, tmp_path: Path) -> None:
        path, link = tmp_path / "report.json", tmp_path / "latest.json"
        link.symlink_to(path)
        write(as_json(report_of(row_of("POMT-RANK-1", "conforms"))), link)
        assert link.is_symlink()
        assert json.loads(path.read_text())["conforms"] is True

    def test_json_goes_into_a_pipe_without_replacing_it(self) -> None:
        reading, writing = os.pipe()
        report = report_of(row_of("POMT-RANK-1", "conforms"))
        write(as_json(report), Path(f"/dev/fd/{writing}"))
        os.close(writing)
        with os.fdopen(reading) as pipe:
            assert pipe.read() == as_json(report)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Yes."""
        return True


def shown(report: Report, stream: io.StringIO | None = None) -> str:
    """What a person sees of a report."""
    stream = io.StringIO() if stream is None else stream
    show_report(report, Console(file=stream, highlight=False))
    return stream.getvalue()


def failures_of(report: Report) -> str:
    """What stands between the table and the verdict."""
    return shown(report).partition("┘\n\n")[2].rpartition("\nhere:it ")[0]


class TestDisplay:
    """Progress while it runs, then a table, and every failure with its smallest case."""

    def test_report_of_what_conforms_ends_with_one_line(self) -> None:
        told = shown(report_of(row_of("POMT-RANK-1", "conforms"), row_of("POMT-META-7", "not offered")))
        lines = told.splitlines()
        assert lines[0] == "here:it · pomt · float32 on cpu"
        found = torch.cuda.get_device_name() if torch.cuda.is_available() else "not available"
        assert lines[-1] == (
            f"here:it conforms to 1 clause; not offered: POMT-META-7 (6 cases, 0.5 s, seed 7, torch 2.0, CUDA: {found})"
        )
        assert "│ POMT-RANK-1 │     3 │ conforms    │           │    0.25 │" in lines

    def test_report_of_one_clause_speaks_of_one(self) -> None:
        rows = (row_of("POMT-RANK-1", "conforms"), row_of("POMT-RANK-1", "conforms", source="captured: x"))
        assert shown(report_of(*rows)).splitlines()[-1].startswith("here:it conforms to 1 clause (6 cases, ")

    def test_report_names_what_is_held_as_well_below_the_table(self) -> None:
        lines = shown(report_of(row_of("POMT-RANK-1", "conforms"), offered=("scores", "kept"))).splitlines()
        told = "held as well, since it is returned: scores, kept"
        assert lines.index(told) == len(lines) - 3
        assert lines[-4].startswith("└")
        assert "held as well" not in shown(report_of(row_of("POMT-RANK-1", "conforms")))

    def test_report_shows_what_is_blocked_by_a_wrong_clause_in_one_line(self) -> None:
        rows = (blocked_of("POMT-ATT-1", "POMT-RANK-1", "other words"), wrong_of("POMT-RANK-1"))
        assert failures_of(report_of(*rows)) == (
            "POMT-ATT-1 blocked by POMT-RANK-1 wrong: other words\n"
            "\n"
            "POMT-RANK-1 wrong: so and so\n"
            f"  smallest case: {made()}\n"
            "  paste to see it again:\n"
            "\n"
            "paste POMT-RANK-1\n"
        )

    def test_report_shows_what_is_blocked_by_a_clause_that_is_not_wrong_in_full(self) -> None:
        """The clause was not asked for, or conforms on its own cases: nothing else in the report shows the fault."""
        rows = (blocked_of("POMT-ATT-1", "POMT-PRUNE-1"), wrong_of("POMT-RANK-1", "else"))
        told = failures_of(report_of(*rows, row_of("POMT-PRUNE-1", "conforms")))
        assert told.startswith(
            "POMT-ATT-1 blocked by POMT-PRUNE-1 wrong: so and so\n"
            f"  smallest case: {made()}\n  paste to see it again:\n"
        )
        assert "\n\npaste POMT-ATT-1\n" in told
        assert "\n\npaste POMT-RANK-1\n" in told

    def test_report_shows_what_was_said_before_in_one_line(self) -> None:
        rows = (wrong_of("POMT-ATT-1"), blocked_of("POMT-ATT-2", "POMT-PRUNE-1"), wrong_of("POMT-MAG-1"))
        told = failures_of(report_of(*rows, wrong_of("POMT-RANK-1", "something else")))
        assert re.findall("paste (POMT.*)", told) == ["POMT-ATT-1", "POMT-RANK-1"]
        assert (
            "\n\nPOMT-ATT-2 blocked by POMT-PRUNE-1 wrong: so and so\n\nPOMT-MAG-1 wrong: so and so\n\nPOMT-RANK-1 "
            in told
        )

    def test_report_tells_wrong_from_blocked_and_not_shown(self) -> None:
        rows = [wrong_of("POMT-ATT-1"), blocked_of("POMT-META-1", "POMT-ATT-1"), wrong_of("POMT-RANK-1")]
        last = shown(report_of(*rows, row_of("POMT-META-7", "not offered"))).splitlines()[-1]
        assert last.startswith(
            "here:it does not conform; wrong: POMT-ATT-1, POMT-RANK-1; blocked: POMT-META-1; "
            "not offered: POMT-META-7 (12 "
        )
        assert "here:it does not conform; blocked: POMT-META-1 (3 " in shown(report_of(rows[1]))
        assert "here:it does not conform; not shown: POMT-META-2 (3 " in shown(
            report_of(row_of("POMT-META-2", "not shown"))
        )

    def test_report_names_what_is_broken_once(self) -> None:
        rows = (
            row_of("POMT-RANK-1", "wrong", FAILURE),
            row_of("POMT-RANK-1", "wrong", FAILURE, source="captured: [red]x[/].safetensors"),
            row_of("POMT-META-1", "blocked"),
            row_of("POMT-META-2", "not shown"),
        )
        told = shown(report_of(*rows))
        assert (
            "here:it does not conform; wrong: POMT-RANK-1; blocked: POMT-META-1; not shown: POMT-META-2 (12 cases"
            in told
        )
        assert told.count("POMT-RANK-1 wrong: so and so\n") == 2
        assert told.count(f"POMT-RANK-1 wrong: so and so\n  smallest case: {FAILURE.case}\n") == 1
        assert "  paste to see it again:\n\nline 1\nline 2\n" in told
        assert "captured: " in told
        assert "[red]x[/].safe" in told
        assert "input" in told

    def test_name_of_a_file_is_whole_on_a_terminal_of_80_columns(self) -> None:
        name = f"captured: {'layer-of-a-model-' * 6}.safetensors"
        told = io.StringIO()
        show_report(made_reports.report(made_reports.row(source=name)), Console(width=80, file=told))
        lines = [line.split("│") for line in told.getvalue().splitlines() if "│" in line]
        assert "".join(cells[2].strip() for cells in lines) == name.replace(": ", ":")
        assert lines[0][1].strip() == "POMT-PRUNE-1"

    def test_report_of_nothing_shown_says_so(self) -> None:
        told = shown(report_of(row_of("POMT-META-7", "not offered")))
        assert "here:it does not conform; no clause was shown to hold; not offered: POMT-META-7 (" in told

    def test_report_names_the_accelerator(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "an accelerator")
        assert "CUDA: an accelerator)" in shown(report_of(row_of("POMT-RANK-1", "conforms")))

    def test_report_on_a_terminal_has_colours(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("NO_COLOR", raising=False)
        monkeypatch.setenv("TERM", "xterm-256color")
        told = shown(report_of(row_of("POMT-RANK-1", "wrong", FAILURE)), Terminal())
        assert "\x1b[1;31mwrong" in told
        assert "\x1b" not in shown(report_of(row_of("POMT-RANK-1", "wrong", FAILURE)))

    def test_progress_without_a_terminal_is_a_line_a_clause(self) -> None:
        stream = io.StringIO()
        with show_progress(Console(file=stream)) as progress:
            check(honest, max_examples=2, clauses=["POMT-PRUNE-1", "POMT-RANK-1"], progress=progress)
        assert stream.getvalue() == ("POMT-RANK-1    conforms     generated\nPOMT-PRUNE-1   conforms     generated\n")

    def test_progress_on_a_terminal_is_a_bar_that_goes_away(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TERM", "xterm-256color")
        stream = Terminal()
        with show_progress(Console(file=stream)) as progress:
            check(honest, max_examples=2, clauses=["POMT-PRUNE-1", "POMT-RANK-1"], progress=progress)
        told = stream.getvalue()
        assert "POMT-PRUNE-1" in told
        assert "2/2" in told
        assert told.endswith("\x1b[2K"), "the line is cleared at the end"


@dataclass
class Interrupting:
    """Warnings of an implementation are its own."""

    message: str = "I warn"

    def __call__(self, x: Tensor, attn: Tensor, v: Tensor, *, prefix: int, keep: int) -> Tensor:
        """Right, with a warning."""
        warnings.warn(self.message, stacklevel=2)
        return honest(x, attn, v, prefix=prefix, keep=keep)


def test_check_of_a_subject_that_warns_and_prints_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    def printing(x: Tensor, attn: Tensor, v: Tensor, *, prefix: int, keep: int) -> Tensor:
        print("I print")  # noqa: T201 -- the point
        return Interrupting()(x, attn, v, prefix=prefix, keep=keep)

    with pytest.warns(UserWarning, match="I warn"):
        report = check(printing, max_examples=2, clauses=["POMT-RANK-1"])
    assert (report.conforms, report.remarks) == (True, ("it prints: 'I print'",))
    assert capsys.readouterr().out == "", "what an implementation prints is no part of a report"


class TestReading:
    """Answers that do what they like when they are read."""

    def test_answer_that_ends_the_program_when_it_is_read_is_wrong(self) -> None:
        class Ends:
            """Exits where its array is asked for."""

            @property
            def tokens(self) -> object:
                """No array."""
                raise SystemExit(0)

        def ends(x: Tensor, attn: Tensor, v: Tensor, *, prefix: int, keep: int) -> object:
            assert x.shape[0] == attn.shape[0] == v.shape[0]
            return Ends() if x.shape[1] > prefix + keep + 2 else honest(x, attn, v, prefix=prefix, keep=keep)

        report = check(ends, clauses="POMT-COUNT-1", max_examples=20)
        assert "returned what cannot be read: SystemExit" in report.failures[0].message

    def test_shrinking_keeps_to_the_clause_that_was_found(self) -> None:
        def loses_signs_and_more(x: Tensor, attn: Tensor, v: Tensor, *, prefix: int, keep: int) -> Tensor:
            tokens = honest(x, attn, v, prefix=prefix, keep=keep)
            return torch.cat([tokens[:, :prefix], tokens[:, prefix:-1] + 0.0, tokens[:, -1:]], dim=1)

        report = check(loses_signs_and_more, clauses="POMT-PRUNE-2", max_examples=40)
        assert [row.verdict for row in report.rows] == ["wrong"]
