"""Every law kills the mutants that it names, and every honest variant is accepted: the laws are tested as well."""

import zlib
from typing import Final, get_args

import pytest

from pomt_ref.conformance import CallableSubject, as_subject, run_law
from pomt_ref.conformance.report import Row
from pomt_ref.testing import FAMILIES, LAWS, Case, Dtype, InapplicableError, Law, LawViolation, Shape, laws_of
from pomt_ref.testing.mutants import FAULTS, HONEST, Mutant

pytestmark = pytest.mark.long

DTYPES: Final[tuple[Dtype, ...]] = get_args(Dtype)

BY_NAME: Final = {(mutant.method, mutant.name): mutant for mutant in FAULTS}


def subject_of(mutant: Mutant) -> CallableSubject:
    """The mutant, as a user's implementation would be held."""
    return as_subject(mutant.function, name=f"mutants:{mutant.name}", method=mutant.method)


def killed(law: Law, mutant: Mutant) -> Row:
    """Held as a quick check does; only what survives it is held as a whole check does."""
    row = run_law(law, subject_of(mutant), dtype=mutant.dtype, examples=40, seed=0, shrink=False, long=False)
    if row.verdict == "wrong":
        return row
    return run_law(law, subject_of(mutant), dtype=mutant.dtype, examples=200, seed=0, shrink=False)


def pairs() -> list[tuple[Law, Mutant]]:
    """Every law with the mutants that it names; `nox -s mutants` holds every law to every mutant (docs/kills.md)."""
    return [(law, BY_NAME[law.method, name]) for law in LAWS for name in law.kills]


def applicable_case(law: Law, subject: CallableSubject, dtype: Dtype, seed: int) -> Case | None:
    """The first case of a middling shape that shows the law and passes; one family after the other is tried."""
    for attempt in range(20):
        family = FAMILIES[law.families[(seed + attempt) % len(law.families)]]
        shape = Shape(batch=1, heads=2, tokens=5, features=3, channels=2, prefix=1, keep=2)
        case = family.build(family.fit(shape), seed=seed + attempt, dtype=dtype)
        try:
            law.check(case, subject)
        except InapplicableError:
            continue
        return case
    return None


class TestKills:
    """Every law has mutants that it kills; a kill counts only as an assertion of the law, not as a crash."""

    @pytest.mark.parametrize(
        ("law", "mutant"), [pytest.param(law, mutant, id=f"{law.clause}-{mutant}") for law, mutant in pairs()]
    )
    def test_law_kills_the_mutant(self, law: Law, mutant: Mutant) -> None:
        row = killed(law, mutant)
        assert row.verdict == "wrong"
        assert row.failure is not None
        assert row.failure.clause == law.clause
        with pytest.raises(LawViolation) as caught:
            law.check(row.failure.case, subject_of(mutant))
        assert caught.value.clause == law.clause
        assert str(caught.value) == row.failure.message

    def test_every_law_is_held_to_a_mutant(self) -> None:
        held = {(law.clause, law.method) for law, _ in pairs()}
        assert held == {(law.clause, law.method) for law in LAWS}


class TestHonest:
    """Correct variants that must be accepted: different summation orders, reciprocal multiply, exp2, unstable sort."""

    @pytest.mark.parametrize(
        ("mutant", "dtype"),
        [
            pytest.param(mutant, dtype, id=f"{mutant.name.replace(' ', '_')}-{dtype}")
            for place, mutant in enumerate(HONEST)
            for dtype in DTYPES[place % 2 :: 2]
        ],
    )
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
