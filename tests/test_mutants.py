"""The corpus of mutants: each is named by a law, returns an output, and is made from a step that is right."""

from typing import Final, get_args

import pytest
import torch

from pomt_ref.conformance import CallableSubject, as_subject, check
from pomt_ref.testing import (
    LAWS,
    Case,
    Dtype,
    build_case,
)
from pomt_ref.testing.mutants import FAULTS, HONEST, Mutant, Step
from pomt_ref.testing.mutants.step import ClassStep

DTYPES: Final[tuple[Dtype, ...]] = get_args(Dtype)

BY_NAME: Final = {(mutant.method, mutant.name): mutant for mutant in FAULTS}


def subject_of(mutant: Mutant) -> CallableSubject:
    """The mutant, as a user's implementation would be held."""
    return as_subject(mutant.function, name=f"mutants:{mutant.name}", method=mutant.method)


class TestFaults:
    """Every law has a mutant that it kills; a kill counts only as an assertion of a law, not as a crash."""

    def test_every_law_names_a_mutant(self) -> None:
        assert [law.clause for law in LAWS if not law.kills] == []

    def test_every_name_of_a_law_is_a_mutant(self) -> None:
        assert {(law.method, name) for law in LAWS for name in law.kills} <= set(BY_NAME)

    def test_clause_of_every_mutant_is_a_law_of_its_method(self) -> None:
        laws = {(law.clause, law.method) for law in LAWS}
        assert [str(mutant) for mutant in (*FAULTS, *HONEST) if (mutant.clause, mutant.method) not in laws] == []

    def test_corpus_is_large_enough(self) -> None:
        assert len(FAULTS) >= 200
        assert len(HONEST) >= 12

    def test_every_mutant_is_described_in_a_line(self) -> None:
        assert all(mutant.description.endswith(".") and len(mutant.description) < 90 for mutant in (*FAULTS, *HONEST))

    def test_names_of_mutants_are_unique_within_a_method(self) -> None:
        assert len(BY_NAME) == len(FAULTS)
        assert len({mutant.name for mutant in HONEST}) == len(HONEST)

    @pytest.mark.parametrize("mutant", FAULTS, ids=lambda mutant: f"{mutant.method}-{mutant.name.replace(' ', '_')}")
    def test_mutant_is_a_fault_and_no_crash(self, mutant: Mutant) -> None:
        """On an ordinary case every mutant returns some output: what it gets wrong, a law must see."""
        shape = {"batch": 2, "heads": 3, "tokens": 9, "features": 4, "channels": 5, "prefix": 2, "keep": 3}
        case = build_case("ordinary", seed=0, dtype=mutant.dtype, **shape)
        axes = 2 if mutant.name == "samples in one row" else 3
        assert subject_of(mutant).run(case).tokens.ndim == axes
        assert subject_of(mutant).run(case.keeping(0)).tokens.ndim == axes

    @pytest.mark.parametrize("mutant", [*FAULTS, *HONEST], ids=str)
    def test_mutant_returns_rows_of_a_long_sequence(self, mutant: Mutant) -> None:
        """Faults that wait for a block to be full, and honest variants that have two ways, take the other one here."""
        shape = {"batch": 2, "heads": 3, "tokens": 140, "features": 2, "channels": 3, "prefix": 2, "keep": 60}
        case = build_case("ordinary", seed=0, dtype=mutant.dtype, **shape)
        assert subject_of(mutant).run(case).tokens.size > 0

    @pytest.mark.parametrize("mutant", [mutant for mutant in FAULTS if mutant.clause == "POMT-META-7"], ids=str)
    def test_fault_of_a_gradient_is_found(self, mutant: Mutant) -> None:
        """It shows in no output: a short check of the clause has to see it."""
        (row,) = check(mutant.function, clauses="POMT-META-7", quick=True).rows
        assert row.verdict == "wrong"

    def test_mutant_reads_as_an_identifier(self) -> None:
        assert str(BY_NAME["pomt", "mean over heads"]) == "pomt-mean_over_heads"


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
