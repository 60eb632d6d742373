"""Every law has a mutant that it kills, and every honest variant is accepted: the laws are tested as well."""

import zlib
from typing import Final, get_args

import pytest
import torch

from pomt_ref.conformance import TorchSubject, as_subject, run_law
from pomt_ref.testing import (
    FAMILIES,
    LAWS,
    Case,
    Dtype,
    InapplicableError,
    Law,
    LawViolation,
    Shape,
    build_case,
    laws_of,
)
from pomt_ref.testing.mutants import FAULTS, HONEST, Mutant, Step
from pomt_ref.testing.mutants.step import ClassStep

DTYPES: Final[tuple[Dtype, ...]] = get_args(Dtype)

EXAMPLES: Final = 200
"""What a user's check draws. A kill ends the drawing, so that only a mutant that survives takes them all."""

BY_NAME: Final = {(mutant.method, mutant.name): mutant for mutant in FAULTS}


def subject_of(mutant: Mutant) -> TorchSubject:
    """The mutant, as a user's implementation would be held."""
    return as_subject(mutant.function, name=f"mutants:{mutant.name}", method=mutant.method)


def applicable_case(law: Law, subject: TorchSubject, dtype: Dtype, seed: int) -> Case | None:
    """The first case of a middling shape that shows the law and passes; one family after the other is tried."""
    for attempt in range(20):
        family = FAMILIES[law.families[(seed + attempt) % len(law.families)]]
        shape = Shape(batch=1, heads=2, tokens=5, features=3, channels=2, prefix=1, keep=2)
        case = family.build(family.widen(shape), seed=seed + attempt, dtype=dtype)
        try:
            law.check(case, subject)
        except InapplicableError:
            continue
        return case
    return None


class TestFaults:
    """Every law has a mutant that it kills; a kill counts only as an assertion of a law, not as a crash."""

    @pytest.mark.parametrize(
        ("law", "name"),
        [
            pytest.param(law, name, id=f"{law.clause}-{law.method}-{name.replace(' ', '_')}")
            for law in LAWS
            for name in law.kills
        ],
    )
    def test_law_kills_the_mutant(self, law: Law, name: str) -> None:
        mutant = BY_NAME[law.method, name]
        row = run_law(law, subject_of(mutant), dtype=mutant.dtype, examples=EXAMPLES, seed=0, shrink=False)
        assert row.verdict == "wrong"
        assert row.failure is not None
        assert row.failure.clause == law.clause
        with pytest.raises(LawViolation) as caught:
            law.check(row.failure.case, subject_of(mutant))
        assert caught.value.clause == law.clause
        assert str(caught.value) == row.failure.message

    def test_every_law_names_a_mutant(self) -> None:
        assert [law.clause for law in LAWS if not law.kills] == []

    def test_every_mutant_is_named_by_a_law(self) -> None:
        named = {(law.method, name) for law in LAWS for name in law.kills}
        assert set(BY_NAME) == named

    def test_names_of_mutants_are_unique_within_a_method(self) -> None:
        assert len(BY_NAME) == len(FAULTS)
        assert len({mutant.name for mutant in HONEST}) == len(HONEST)

    @pytest.mark.parametrize("mutant", FAULTS, ids=lambda mutant: f"{mutant.method}-{mutant.name.replace(' ', '_')}")
    def test_mutant_is_a_fault_and_no_crash(self, mutant: Mutant) -> None:
        """On an ordinary case every mutant returns some output: what it gets wrong, a law must see."""
        shape = {"batch": 2, "heads": 3, "tokens": 9, "features": 4, "channels": 5, "prefix": 2, "keep": 3}
        case = build_case("ordinary", seed=0, dtype=mutant.dtype, **shape)
        assert subject_of(mutant).run(case).tokens.ndim == 3


class TestHonest:
    """Correct variants that must be accepted: different summation orders, reciprocal multiply, exp2, unstable sort."""

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("mutant", HONEST, ids=lambda mutant: mutant.name.replace(" ", "_"))
    def test_every_law_accepts_the_variant(self, mutant: Mutant, dtype: Dtype) -> None:
        seed = zlib.crc32(mutant.name.encode()) % 1000  # each variant on cases of its own
        shown = {law.clause: applicable_case(law, subject_of(mutant), dtype, seed) for law in laws_of(mutant.method)}
        assert [clause for clause, case in shown.items() if case is None] == []

    @pytest.mark.parametrize("method", ["pomt", "topk", "evit"])
    def test_every_law_conforms_by_run_law(self, method: str) -> None:
        honest = next(mutant for mutant in HONEST if mutant.method == method)
        rows = [
            run_law(law, subject_of(honest), dtype="float32", examples=10, seed=0) for law in laws_of(honest.method)
        ]
        assert {row.verdict for row in rows} == {"conforms"}


class TestStep:
    """A second implementation, written apart from the reference: on a worked example it gives the same rows."""

    CASE: Final[Case] = build_case(
        "ordinary", seed=1, dtype="float32", batch=1, heads=2, tokens=6, features=2, channels=3, prefix=1, keep=2
    )

    def test_step_by_hand(self) -> None:
        x = torch.tensor([[[9.0], [1.0], [2.0], [6.0]]])
        attn = torch.tensor([[[[4, 2, 4, 6], [4, 6, 4, 2], [4, 4, 6, 2], [4, 6, 2, 4]]]]) / 16
        v = torch.tensor([0.0, -1000.0, 0.0, -1000.0]).reshape(1, 1, 4, 1)
        # m = 1, 3/4, 1/2 and p = 0, 1/2, 0: patch rows in the order 2, 1, 3.
        assert Step()(x, attn, v, prefix=1, keep=1).tolist() == [[[9.0], [2.0], [3.5]]]

    def test_class_step_by_hand(self) -> None:
        x = torch.tensor([[[9.0], [1.0], [2.0], [6.0]]])
        attn = torch.tensor([[[[4, 2, 4, 6], [4, 6, 4, 2], [4, 4, 6, 2], [4, 6, 2, 4]]]]) / 16
        assert ClassStep()(x, attn, prefix=1, keep=2).tolist() == [[[9.0], [6.0], [2.0]]]

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_step_output_has_the_dtype_of_x(self, dtype: Dtype) -> None:
        outcome = as_subject(Step(), name="mutants:step").run(self.CASE)
        assert outcome.dtype == "float32"
        case = build_case(
            "ordinary", seed=1, dtype=dtype, batch=1, heads=2, tokens=6, features=2, channels=3, prefix=1, keep=2
        )
        assert as_subject(Step(), name="mutants:step").run(case).dtype == dtype
