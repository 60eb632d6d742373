"""The laws themselves: their registry, their statements, and what each says of outcomes made by hand."""

import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np
import pytest
from jaxtyping import Float64

from pomt_ref import oracle
from pomt_ref.testing import (
    FAMILIES,
    LAWS,
    Case,
    Dtype,
    Evidence,
    Gradients,
    InapplicableError,
    Law,
    LawViolation,
    Method,
    NotOfferedError,
    Outcome,
    Shape,
    Subject,
    build_case,
    laws_of,
)
from pomt_ref.testing.formats import PROFILES, Profile, normative
from pomt_ref.testing.laws import law
from pomt_ref.testing.laws.reading import require_close, require_order, scores_and_bounds, separated

SPECIFICATION: Final = Path(__file__).parent.parent / "docs" / "specification.md"

RIGHT_SET: Final = "; the tokens kept are right, their order is not"
"""How a message ends where only the order of the kept rows is wrong."""

Change = Callable[[Case, Outcome], Outcome]
"""What is done to the oracle's answer before a law sees it."""


@dataclass(frozen=True)
class Answering:
    """The oracle as an implementation, its answers changed by hand."""

    method: Method = "pomt"
    change: Change = lambda _case, outcome: outcome
    offered: frozenset[str] = frozenset()
    gradient: Callable[[Case, Float64[np.ndarray, "batch output channels"]], Gradients | None] = (
        lambda _case, _weights: None
    )
    asked: list[dict[str, Any]] = field(default_factory=list)
    """The options of every call."""

    def options(self) -> frozenset[str]:
        """As made."""
        return self.offered

    def profile(self, dtype: Dtype) -> Profile:
        """As the specification has it."""
        return normative(dtype)

    def run(self, case: Case, **options: Any) -> Outcome:  # noqa: ANN401 -- whatever a law asks
        """Do the step in float64, stages included."""
        self.asked.append(dict(options))
        remove = options.pop("remove", None)
        keep = case.shape.keep if remove is None else case.shape.patches - remove - 1
        counts: dict[str, Any] = {"prefix": case.shape.prefix, "keep": keep, **options}
        stages: dict[str, Any] = {}
        if self.method == "pomt":
            step = oracle.prune(case.x, case.attn, case.v, **counts)
            stages = {
                "sums": oracle.attention_sums(case.attn, prefix=case.shape.prefix),
                "attention": oracle.attention_score(case.attn, prefix=case.shape.prefix),
                "value_sums": oracle.value_sums(case.v),
                "magnitude": oracle.magnitude_score(case.v, prefix=case.shape.prefix),
                "scores": step.scores,
            }
        else:
            prune = oracle.topk_prune if self.method == "topk" else oracle.evit_prune
            step = prune(case.x, case.attn, **counts)
        outcome = Outcome(step.tokens, case.dtype, kept=step.kept, discarded=step.discarded, stages=stages)
        return self.change(case, outcome)

    def gradients(self, case: Case, weights: Float64[np.ndarray, "batch output channels"]) -> Gradients | None:
        """As made."""
        return self.gradient(case, weights)


def made(family: str = "ordinary", *, seed: int = 1, **axes: int) -> Case:
    """A case in float64, so that the oracle's answer is right to the last bit."""
    shape = {"batch": 2, "heads": 3, "tokens": 8, "features": 3, "channels": 4, "prefix": 2, "keep": 3, **axes}
    return build_case(family, seed=seed, dtype="float64", **shape)


def law_of(clause: str, method: Method = "pomt") -> Law:
    """The law of a clause."""
    return next(law for law in laws_of(method) if law.clause == clause)


def violation(clause: str, change: Change, case: Case | None = None, method: Method = "pomt") -> str:
    """What the law of this clause says of the changed answer."""
    with pytest.raises(LawViolation) as caught:
        law_of(clause, method).check(made() if case is None else case, Answering(method, change))
    return str(caught.value)


def staged(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Change:
    """Another array for one stage."""
    return lambda _case, outcome: replace(outcome, stages={**outcome.stages, name: change(outcome.stages[name])})


def with_tokens(change: Callable[[Case, np.ndarray], None]) -> Change:
    """An output changed in place."""

    def changed(case: Case, outcome: Outcome) -> Outcome:
        tokens = outcome.tokens.copy()
        change(case, tokens)
        return replace(outcome, tokens=tokens)

    return changed


class TestRegistry:
    """Clause = docstring = law = test identifier = line of the report."""

    def test_laws_are_unique_within_a_method(self) -> None:
        assert len({(law.method, law.clause) for law in LAWS}) == len(LAWS)

    @pytest.mark.parametrize("law", LAWS, ids=lambda law: f"{law.clause}-{law.method}")
    def test_law_names_a_clause_of_the_specification(self, law: Law) -> None:
        assert law.clause in SPECIFICATION.read_text(encoding="utf-8")
        assert str(law) == law.clause

    @pytest.mark.parametrize("law", LAWS, ids=lambda law: f"{law.clause}-{law.method}")
    def test_law_states_its_clause_in_one_sentence(self, law: Law) -> None:
        assert law.statement.endswith(".")
        assert len(law.statement) >= 30
        assert set(law.families) <= set(FAMILIES)

    @pytest.mark.parametrize(
        ("method", "clauses"),
        [
            (
                "pomt",
                (
                    "ATT-1 ATT-2 MAG-1 SCORE-1 RANK-1 PRUNE-1 PRUNE-2 PRUNE-3 PRUNE-4 COUNT-1 PREC-1 "
                    "META-1 META-2 META-3 META-4 META-5 META-6 META-7"
                ),
            ),
            ("topk", "TOPK-1 SIB-1"),
            ("evit", "EVIT-1 SIB-1"),
        ],
    )
    def test_laws_come_in_the_order_of_the_specification(self, method: Method, clauses: str) -> None:
        assert [law.clause.removeprefix("POMT-") for law in laws_of(method)] == clauses.split()

    def test_law_enters_a_check_under_its_clause(self, monkeypatch: pytest.MonkeyPatch) -> None:
        entered: list[Law] = []
        monkeypatch.setattr(import_module("pomt_ref.testing.laws.law"), "LAWS", entered)

        @law("POMT-RANK-9", families=("ties",), kills=("input order",), sizes="mixed")
        def stated(_case: Case, _subject: Subject) -> Evidence:
            """Rank well.

            And more.
            """
            raise InapplicableError

        (only,) = entered
        assert (only.clause, only.method, only.families) == ("POMT-RANK-9", "pomt", ("ties",))
        assert (only.statement, only.sizes, only.any_input) == ("Rank well.", "mixed", True)
        assert only.check is stated

    def test_subject_made_by_hand_fits_the_protocol(self) -> None:
        assert isinstance(Answering(), Subject)


class TestViolation:
    """A failing assertion says what it should be."""

    def test_violation_reads_as_the_line_of_a_report(self) -> None:
        assert str(LawViolation("POMT-RANK-1", "tokens out of order")) == "POMT-RANK-1 wrong: tokens out of order"

    def test_violation_survives_pickling(self) -> None:
        again = pickle.loads(pickle.dumps(LawViolation("POMT-RANK-1", "tokens out of order")))  # noqa: S301 -- our own
        assert (again.clause, again.message) == ("POMT-RANK-1", "tokens out of order")


class TestAccepted:
    """What the laws compare with, they accept; every option that is offered is asked for."""

    @pytest.mark.parametrize(
        ("law", "method"), [(law, method) for method in get_args(Method) for law in laws_of(method)], ids=str
    )
    def test_law_accepts_the_oracle(self, law: Law, method: Method) -> None:
        offered = {
            "pomt": frozenset({"normalisation", "remove"}),
            "topk": frozenset({"class_index"}),
            "evit": frozenset({"class_index", "normalise"}),
        }
        family = FAMILIES[law.families[0]]
        shape = family.fit(made().shape)
        subject = Answering(method, offered=offered[method], gradient=true_gradients)
        law.check(family.build(shape, seed=3, dtype="float64"), subject)
        assert subject.asked

    @pytest.mark.parametrize(
        ("clause", "method", "options"),
        [
            ("POMT-META-4", "pomt", {"normalisation": "sample"}),
            ("EVIT-1", "evit", {"normalise": True}),
            ("SIB-1", "evit", {"class_index": 1}),
            ("SIB-1", "topk", {"class_index": 1}),
        ],
    )
    def test_law_asks_for_the_option(self, clause: str, method: Method, options: dict[str, object]) -> None:
        subject = Answering(method, offered=frozenset(options))
        law_of(clause, method).check(made("contrasting samples"), subject)
        assert options in subject.asked

    def test_evit_asks_for_no_average_of_weights_that_are_zero(self) -> None:
        """The weights of a sample may sum to zero: there is nothing to divide by."""
        case = made(keep=4)
        attn = case.attn.copy()
        attn[:, :, 0, 2:] = 0.0
        subject = Answering("evit", offered=frozenset({"normalise"}))
        law_of("EVIT-1", "evit").check(case.having(attn=attn), subject)
        assert subject.asked == [{}]

    def test_meta_4_runs_no_sample_alone_that_has_no_order(self) -> None:
        case = made()
        attn = case.attn.copy()
        attn[1] = 0.0
        attn[1, :, :, 0] = 1.0
        subject = Answering(offered=frozenset({"normalisation"}))
        law_of("POMT-META-4").check(case.having(attn=attn), subject)
        assert len(subject.asked) == 2, "the batch, and the one sample that has attention"


def true_gradients(case: Case, weights: Float64[np.ndarray, "batch output channels"]) -> Gradients:
    """POMT-META-7 as the oracle would have it."""
    step = oracle.prune(case.x, case.attn, case.v, prefix=case.shape.prefix, keep=case.shape.keep)
    gradient = np.zeros_like(case.x)
    for sample in range(case.shape.batch):
        gradient[sample, : case.shape.prefix] = weights[sample, : case.shape.prefix]
        gradient[sample, step.kept[sample]] = weights[sample, case.shape.prefix : -1]
        gradient[sample, step.discarded[sample]] = weights[sample, -1] / case.shape.discarded
    outcome = Outcome(step.tokens, case.dtype)
    return Gradients(gradient, None, np.zeros_like(case.v), outcome)


class TestShape:
    """POMT-PRUNE-1: output = [the P prefix rows, the T best patch rows in rank order, one mean row]; P + T + 1 rows."""

    @pytest.mark.parametrize("clause", ["POMT-PRUNE-1", "POMT-COUNT-1"])
    def test_law_tells_a_wrong_length(self, clause: str) -> None:
        said = violation(clause, lambda _case, outcome: replace(outcome, tokens=outcome.tokens[:, 1:]))
        assert said.startswith(f"{clause} wrong: output of shape (2, ")
        assert ", expected (2, " in said

    def test_law_tells_a_number_that_is_none(self) -> None:
        def spoilt(_case: Case, tokens: np.ndarray) -> None:
            tokens[1, 2, 3] = np.nan

        said = violation("POMT-PRUNE-1", with_tokens(spoilt))
        assert said == "POMT-PRUNE-1 wrong: output[1, 2, 3] is nan, expected a finite number"

    def test_count_law_needs_two_patch_tokens(self) -> None:
        with pytest.raises(InapplicableError):
            law_of("POMT-COUNT-1").check(made(tokens=3, keep=0), Answering())

    def test_count_law_holds_remove_where_offered(self) -> None:
        subject = Answering(offered=frozenset({"remove"}))
        law_of("POMT-COUNT-1").check(made(), subject)
        assert subject.asked == [
            {},
            {"remove": 1},
            {},
            {"remove": 2},
            {},
            {"remove": 4},
            {},
            {"remove": 5},
        ]


class TestCopies:
    """POMT-PRUNE-2: prefix rows and kept rows are bit-exact copies (−0.0 too)."""

    def test_law_tells_a_changed_prefix_row(self) -> None:
        def spoilt(_case: Case, tokens: np.ndarray) -> None:
            tokens[1, 1, 0] = 7.5

        case = made()
        said = violation("POMT-PRUNE-2", with_tokens(spoilt), case)
        expected = f"prefix row 1 of sample 1 has 7.5 in channel 0, x has {float(case.x[1, 1, 0])!r}"
        assert said == f"POMT-PRUNE-2 wrong: {expected}"

    def test_law_tells_a_lost_sign_of_zero(self) -> None:
        def spoilt(_case: Case, tokens: np.ndarray) -> None:
            tokens[0, 0, 0] = 0.0

        case = made()
        x = case.x.copy()
        x[0, 0, 0] = -0.0
        said = violation("POMT-PRUNE-2", with_tokens(spoilt), case.having(x=x))
        assert said == "POMT-PRUNE-2 wrong: prefix row 0 of sample 0 has 0.0 in channel 0, x has -0.0"

    def test_law_tells_an_input_modified_in_place(self) -> None:
        said = violation("POMT-PRUNE-2", lambda _case, outcome: replace(outcome, changed_inputs=("x", "v")))
        assert said == "POMT-PRUNE-2 wrong: modified in place: x, v"


class TestMean:
    """POMT-PRUNE-3: the last row is the arithmetic mean of the m discarded patch rows."""

    def test_law_tells_the_place_and_the_bound(self) -> None:
        def spoilt(_case: Case, tokens: np.ndarray) -> None:
            tokens[1, -1, 2] += 0.5

        said = violation("POMT-PRUNE-3", with_tokens(spoilt))
        assert said.startswith("POMT-PRUNE-3 wrong: mean row of sample 1[2] is ")
        assert ", expected " in said
        assert " +- " in said


class TestPartition:
    """POMT-PRUNE-4: kept ∪ discarded = the patch tokens, kept ∩ discarded = ∅, indices refer to the input sequence."""

    def test_law_is_silent_where_no_indices_are_offered(self) -> None:
        check = law_of("POMT-PRUNE-4").check
        check(made(), Answering(change=lambda _case, outcome: replace(outcome, kept=None)))
        check(made(), Answering(change=lambda _case, outcome: replace(outcome, discarded=None)))

    def test_law_tells_indices_without_the_prefix(self) -> None:
        def shifted(case: Case, outcome: Outcome) -> Outcome:
            assert outcome.kept is not None
            assert outcome.discarded is not None
            prefix = case.shape.prefix
            return replace(outcome, kept=outcome.kept - prefix, discarded=outcome.discarded - prefix)

        assert violation("POMT-PRUNE-4", shifted) == (
            "POMT-PRUNE-4 wrong: kept[0, 1] = 1, expected an index from 2 to 7"
        )

    def test_law_tells_a_token_that_is_kept_and_discarded(self) -> None:
        def both(_case: Case, outcome: Outcome) -> Outcome:
            assert outcome.kept is not None
            assert outcome.discarded is not None
            return replace(outcome, discarded=np.repeat(outcome.kept[:, :1], 3, axis=1))

        said = violation("POMT-PRUNE-4", both)
        assert said.startswith("POMT-PRUNE-4 wrong: kept and discarded of sample 0 are together [")
        assert said.endswith("], expected every index from 2 to 7 once")

    def test_law_tells_discarded_tokens_that_the_output_keeps(self) -> None:
        def alone(_case: Case, outcome: Outcome) -> Outcome:
            return replace(outcome, kept=None, discarded=outcome.kept)

        said = violation("POMT-PRUNE-4", alone)
        assert said.startswith("POMT-PRUNE-4 wrong: discarded of sample 0 is [")
        assert said.endswith("], but the output keeps other rows than the rest")
        right = Answering(change=lambda _case, outcome: replace(outcome, kept=None))
        law_of("POMT-PRUNE-4").check(made(), right)

    def test_order_is_that_of_the_index_where_a_row_is_no_copy(self) -> None:
        """A wrong copy is not taken for a wrong order."""

        def scaled(_case: Case, outcome: Outcome) -> Outcome:
            return replace(outcome, tokens=outcome.tokens * 1.5)

        law_of("POMT-RANK-1").check(made(), Answering(change=scaled))
        for kept in (np.zeros((2, 3), np.int64), np.zeros((2, 1), np.int64)):

            def useless(case: Case, outcome: Outcome, kept: np.ndarray = kept) -> Outcome:
                return replace(scaled(case, outcome), kept=kept)

            with pytest.raises(LawViolation, match="POMT-PRUNE-2 wrong"):
                law_of("POMT-RANK-1").check(made(), Answering(change=useless))

    def test_law_tells_indices_in_another_order_than_the_rows(self) -> None:
        case = made()
        best = oracle.prune(case.x, case.attn, case.v, prefix=2, keep=3).kept[0, 2]
        said = violation(
            "POMT-PRUNE-4",
            lambda _case, outcome: replace(outcome, kept=None if outcome.kept is None else outcome.kept[:, ::-1]),
            case,
        )
        assert said == f"POMT-PRUNE-4 wrong: kept[0, 0] = {best}, but output row 2 is not that row"

    @pytest.mark.parametrize(
        ("name", "index", "says"),
        [
            ("kept", np.s_[:, :-1], "kept of shape (2, 2), expected (2, 3)"),
            ("kept", np.s_[0], "kept of shape (3,), expected (2, 3)"),
            ("discarded", np.s_[:1], "discarded of shape (1, 3), expected (2, 3)"),
        ],
    )
    def test_law_tells_indices_of_another_shape(self, name: str, index: Any, says: str) -> None:  # noqa: ANN401
        def cut(_case: Case, outcome: Outcome) -> Outcome:
            changes: dict[str, Any] = {name: getattr(outcome, name)[index]}
            return replace(outcome, **changes)

        assert violation("POMT-PRUNE-4", cut) == f"POMT-PRUNE-4 wrong: {says}"


class TestStages:
    """Where the subject offers scores as well, each stage is held to its own clause."""

    @pytest.mark.parametrize(
        ("clause", "stage", "what"),
        [
            ("POMT-ATT-1", "sums", "attention sum"),
            ("POMT-ATT-2", "attention", "attention score"),
            ("POMT-MAG-1", "value_sums", "value sum"),
            ("POMT-MAG-1", "magnitude", "magnitude score"),
            ("POMT-SCORE-1", "scores", "score"),
        ],
    )
    def test_law_tells_a_stage_beyond_its_bound(self, clause: str, stage: str, what: str) -> None:
        assert violation(clause, staged(stage, lambda array: array + 0.5)).startswith(f"{clause} wrong: {what}[")
        said = violation(clause, staged(stage, lambda array: array[:1]))
        assert said.startswith(f"{clause} wrong: {what} of shape (1, ")
        assert violation(clause, staged(stage, lambda array: array * np.nan)).startswith(f"{clause} wrong: {what}[")

    def test_law_without_stages_holds_the_order_alone(self) -> None:
        subject = Answering(change=lambda _case, outcome: replace(outcome, stages={}))
        for clause in ("POMT-ATT-1", "POMT-ATT-2", "POMT-MAG-1", "POMT-SCORE-1"):
            law_of(clause).check(made(), subject)

    def test_law_tells_a_largest_score_above_one(self) -> None:
        """0 ≤ m ≤ 1, closed: they also hold in floating point."""
        said = violation("POMT-ATT-2", staged("attention", lambda array: array * (1 + 2.0**-52)))
        assert said == "POMT-ATT-2 wrong: the largest attention score is 1.0000000000000002, expected at most 1"

    def test_law_accepts_a_largest_score_that_a_reciprocal_rounded(self) -> None:
        """FLOAT-1 grants a quotient two roundings."""
        law_of("POMT-ATT-2").check(made(), Answering(change=staged("attention", lambda array: array * (1 - 2.0**-53))))

    def test_law_tells_scores_outside_zero_to_two(self) -> None:
        """One patch token: m = 1, and p is one less what the prefix has, here next to nothing."""
        case = made(tokens=2, prefix=1, keep=0, batch=1)
        v = np.zeros_like(case.v)
        v[:, :, 0] = -300.0
        said = violation("POMT-SCORE-1", staged("scores", lambda array: array + 2.0**-51), case.having(v=v))
        assert (
            said == "POMT-SCORE-1 wrong: scores from 2.0000000000000004 to 2.0000000000000004, expected within [0, 2]"
        )

    def test_law_tells_the_two_tokens_and_their_scores(self) -> None:
        """Wrong, with the clause, the sample, the two tokens, their scores, the gap and ε."""

        def swapped(case: Case, tokens: np.ndarray) -> None:
            first = case.shape.prefix
            tokens[1, [first, first + 1]] = tokens[1, [first + 1, first]]

        case = made()
        scores, bounds = (array[1] for array in scores_and_bounds(case, normative(case.dtype)))
        best, second = (int(i) for i in oracle.order(scores[np.newaxis])[0, :2])
        assert violation("POMT-RANK-1", with_tokens(swapped), case) == (
            f"POMT-RANK-1 wrong: sample 1 keeps token {second + 2} (score {scores[second]:.9g}) before token "
            f"{best + 2} (score {scores[best]:.9g}), which is kept after it; gap {scores[best] - scores[second]:.1e}, "
            f"rounding explains {bounds[best] + bounds[second]:.1e}{RIGHT_SET}"
        )

    def test_law_tells_a_better_token_that_is_discarded(self) -> None:
        case = made(keep=1)
        worst = oracle.order(oracle.score(case.attn, case.v, prefix=2))[0, -1] + 2

        def worst_kept(case: Case, tokens: np.ndarray) -> None:
            tokens[0, 2] = case.x[0, worst]

        said = violation("POMT-RANK-1", with_tokens(worst_kept), case)
        assert said.startswith(f"POMT-RANK-1 wrong: sample 0 keeps token {worst} (score ")
        assert re.search(r"\), which is discarded; gap \d\.\de[-+]\d\d, rounding explains \d\.\de-\d\d$", said)

    def test_law_tells_a_wrong_set_from_a_wrong_order(self) -> None:
        """A better token is left out, and besides the order is wrong: the kept tokens are not right."""
        case = made()
        order = oracle.order(oracle.score(case.attn, case.v, prefix=2))[0] + 2

        def worst_first(case: Case, tokens: np.ndarray) -> None:
            tokens[0, 2:5] = case.x[0, order[[-1, 1, 0]]]

        said = violation("POMT-RANK-1", with_tokens(worst_first), case)
        assert f"keeps token {order[-1]} (score " in said
        assert f"before token {order[1]} (score " in said
        assert ", which is kept after it; gap " in said
        assert not said.endswith(RIGHT_SET)

    @pytest.mark.parametrize(
        ("clause", "stages", "blamed"),
        [
            ("POMT-ATT-1", ["sums"], "POMT-RANK-1"),
            ("POMT-ATT-1", ["attention", "value_sums", "magnitude", "scores"], "POMT-ATT-1"),
            ("POMT-ATT-2", ["attention"], "POMT-RANK-1"),
            ("POMT-ATT-2", ["sums", "value_sums", "magnitude", "scores"], "POMT-ATT-2"),
            ("POMT-MAG-1", ["magnitude"], "POMT-RANK-1"),
            ("POMT-MAG-1", ["value_sums", "magnitude"], "POMT-RANK-1"),
            ("POMT-MAG-1", ["sums", "attention", "value_sums", "scores"], "POMT-MAG-1"),
            ("POMT-SCORE-1", ["scores"], "POMT-RANK-1"),
            ("POMT-SCORE-1", ["sums", "attention", "value_sums", "magnitude"], "POMT-SCORE-1"),
            ("POMT-RANK-1", [], "POMT-RANK-1"),
            ("POMT-PREC-1", ["sums", "attention", "value_sums", "magnitude", "scores"], "POMT-PREC-1"),
        ],
    )
    def test_law_whose_stage_is_offered_and_right_leaves_the_order_to_its_clause(
        self, clause: str, stages: list[str], blamed: str
    ) -> None:
        def flipped(case: Case, outcome: Outcome) -> Outcome:
            tokens, first = outcome.tokens.copy(), case.shape.prefix
            tokens[:, first:-1] = tokens[:, first:-1][:, ::-1]
            return replace(outcome, tokens=tokens, stages={name: outcome.stages[name] for name in stages})

        said = violation(clause, flipped)
        assert said.startswith(f"{blamed} wrong: sample 0 keeps token ")
        assert said.endswith(RIGHT_SET)

    @pytest.mark.parametrize(
        ("clause", "stage", "what"),
        [
            ("POMT-ATT-1", "sums", "attention sum"),
            ("POMT-ATT-2", "attention", "attention score"),
            ("POMT-MAG-1", "magnitude", "magnitude score"),
            ("POMT-SCORE-1", "scores", "score"),
        ],
    )
    def test_law_whose_stage_is_offered_and_wrong_tells_the_stage_and_not_the_order(
        self, clause: str, stage: str, what: str
    ) -> None:
        def both(case: Case, outcome: Outcome) -> Outcome:
            changed = staged(stage, lambda array: array + 0.5)(case, outcome)
            return replace(changed, tokens=changed.tokens[:, [0, 1, 4, 3, 2, 5]])

        assert violation(clause, both).startswith(f"{clause} wrong: {what}[")

    @pytest.mark.parametrize("clause", ["POMT-ATT-1", "POMT-RANK-1", "POMT-PREC-1"])
    def test_law_of_the_order_waives_a_batch_without_attention(self, clause: str) -> None:
        """M = 0 or non-finite scores: clause 4 is waived, the others hold."""
        case = made()
        blind = np.zeros_like(case.attn)
        blind[..., 0] = 1.0
        with pytest.raises(InapplicableError):
            law_of(clause).check(case.having(attn=blind), Answering())
        law_of("POMT-PRUNE-3").check(case.having(attn=blind), Answering())


class TestPrecision:
    """POMT-PREC-1: the output has x's dtype and device."""

    def test_law_tells_another_dtype(self) -> None:
        said = violation("POMT-PREC-1", lambda _case, outcome: replace(outcome, dtype="float16"))
        assert said == "POMT-PREC-1 wrong: output in float16, expected float64"

    def test_law_tells_another_device(self) -> None:
        said = violation("POMT-PREC-1", lambda _case, outcome: replace(outcome, same_device=False))
        assert said == "POMT-PREC-1 wrong: output on another device than x"


class TestMetamorphic:
    """POMT-META: what a change of the input may change in the output, and what it may not."""

    def test_law_tells_a_kept_row_that_changes_with_the_heads(self) -> None:
        """An order that depends on the first head: rows stay patch rows, but other ones."""

        def by_first_head(case: Case, outcome: Outcome) -> Outcome:
            alone = case.having(attn=case.attn[:, :1], v=case.v[:, :1])
            return replace(outcome, tokens=Answering().run(alone).tokens)

        said = violation("POMT-META-2", by_first_head, made("disagreeing heads"))
        change = r"with the heads in the order \[2, 0, 1\]"
        assert re.fullmatch(rf"POMT-META-2 wrong: kept row \d of sample \d is another one {change}", said)

    def test_law_tells_a_sign_of_zero_that_changes_with_the_heads(self) -> None:
        calls: list[int] = []

        def signed(case: Case, tokens: np.ndarray) -> None:
            calls.append(0)
            if len(calls) == 2:
                tokens[0, case.shape.prefix] *= -1

        case = made(channels=1, batch=1)
        best = oracle.order(oracle.score(case.attn, case.v, prefix=2))[0, 0] + 2
        x = case.x.copy()
        x[0, best] = 0.0
        said = violation("POMT-META-2", with_tokens(signed), case.having(x=x))
        change = "with the heads in the order [2, 0, 1]"
        assert said == f"POMT-META-2 wrong: kept row 0 of sample 0 is another one {change}"

    def test_law_tells_a_mean_that_changes_with_the_prefix(self) -> None:
        def leaking(case: Case, tokens: np.ndarray) -> None:
            tokens[:, -1] += case.x[:, 0] / 64

        said = violation("POMT-META-6", with_tokens(leaking))
        told = r"with the prefix rows of x times -2, mean row of sample 0\[\d\] is \S+, expected \S+ \+- \S+"
        assert re.fullmatch(f"POMT-META-6 wrong: {told}", said)

    @pytest.mark.parametrize(
        ("clause", "seed", "change"),
        [
            ("POMT-META-1", 1, "with the tokens of x, attn and v in the order [0, 1, 6, 2, 4, 3, 7, 5]"),
            ("POMT-META-2", 1, "with the heads in the order [2, 0, 1]"),
            ("POMT-META-3", 0, "with -3 added to v"),
            ("POMT-META-3", 1, "with -2 added to v"),
            ("POMT-META-3", 2, "with 1 added to v"),
            ("POMT-META-3", 3, "with 2 added to v"),
            ("POMT-META-5", 1, "with head 1 once more, at place 0"),
            ("POMT-META-5", 2, "with head 2 once more, at place 0"),
            ("POMT-META-5", 4, "with head 1 once more, at place 1"),
            ("POMT-META-5", 9, "with head 0 once more, at place 3"),
            ("POMT-META-6", 1, "with the prefix rows of x times -2"),
        ],
    )
    def test_law_tells_what_was_changed(self, clause: str, seed: int, change: str) -> None:
        def second_time(spoil: Callable[[np.ndarray], None]) -> Change:
            calls: list[int] = []

            def spoilt(_case: Case, tokens: np.ndarray) -> None:
                calls.append(0)
                if len(calls) == 2:
                    spoil(tokens)

            return with_tokens(spoilt)

        def flip(tokens: np.ndarray) -> None:
            tokens[0, 2:5] = tokens[0, [4, 3, 2]]

        def shift(tokens: np.ndarray) -> None:
            tokens[1, -1, 3] += 0.5

        case = made(seed=seed)
        said = violation(clause, second_time(flip), case)
        assert said == f"{clause} wrong: kept row 0 of sample 0 is another one {change}"
        said = violation(clause, second_time(shift), case)
        assert said.startswith(f"{clause} wrong: {change}, mean row of sample 1[3] is ")

    def test_law_needs_scores_that_are_distinct(self) -> None:
        with pytest.raises(InapplicableError):
            law_of("POMT-META-1").check(made("identical tokens"), Answering())

    def test_profile_that_promises_nothing_waives_scores(self) -> None:
        case = made()
        with pytest.raises(InapplicableError):
            scores_and_bounds(case.having(v=case.v * 1e6), PROFILES["float32/float16"])

    def test_separated_needs_distinct_scores_and_distinct_rows(self) -> None:
        case = made()
        scores, bounds = scores_and_bounds(case, normative(case.dtype))
        same = case.x.copy()
        same[0, 3] = same[0, 4]
        assert separated(case, scores, bounds)
        assert not separated(case, scores, bounds + 1)
        assert not separated(case.having(x=same), scores, bounds)

    def test_gradient_law_needs_rows_that_differ(self) -> None:
        with pytest.raises(InapplicableError):
            law_of("POMT-META-7").check(made("identical tokens"), Answering())

    def test_gradient_law_needs_a_gradient_that_is_offered(self) -> None:
        with pytest.raises(NotOfferedError):
            law_of("POMT-META-7").check(made(), Answering())

    @pytest.mark.parametrize("keep", [0, 2])
    def test_gradient_that_is_offered_elsewhere_is_missed(self, keep: int) -> None:
        def sometimes(case: Case, weights: Float64[np.ndarray, "batch output channels"]) -> Gradients | None:
            return true_gradients(case, weights) if case.shape.keep == keep and case.shape.batch == 1 else None

        with pytest.raises(LawViolation) as caught:
            law_of("POMT-META-7").check(made(), Answering(gradient=sometimes))
        assert str(caught.value) == (
            "POMT-META-7 wrong: the output has no gradient, as it has for "
            f"batch=1 heads=2 tokens=5 features=2 channels=2 prefix=1 keep={keep}"
        )

    @pytest.mark.parametrize(
        ("name", "says"),
        [
            ("x", "gradient of x["),
            ("attn", "the output has a gradient with respect to attn, expected none"),
            ("v", "the output has a gradient with respect to v, expected none"),
        ],
    )
    def test_gradient_law_tells_what_flows_where_it_should_not(self, name: str, says: str) -> None:
        def wrong(case: Case, weights: Float64[np.ndarray, "batch output channels"]) -> Gradients:
            changes: dict[str, Any] = {name: np.ones_like(getattr(case, name))} if name != "x" else {"x": None}
            return replace(true_gradients(case, weights), **changes)

        with pytest.raises(LawViolation) as caught:
            law_of("POMT-META-7").check(made(), Answering(gradient=wrong))
        assert str(caught.value).startswith(f"POMT-META-7 wrong: {says}")


class TestSiblings:
    """TOPK-1, EVIT-1: the mean over heads of the class row; then, for EViT, one fused row Σ over discarded of s · x."""

    def test_law_of_topk_tells_a_row_too_many(self) -> None:
        change: Change = lambda _case, outcome: replace(outcome, tokens=outcome.tokens[:, [0, *range(5)]])  # noqa: E731
        said = violation("TOPK-1", change, method="topk")
        assert said == "TOPK-1 wrong: output of shape (2, 6, 4), expected (2, 5, 4)"

    def test_law_of_evit_tells_a_fused_row_that_is_off(self) -> None:
        def spoilt(_case: Case, tokens: np.ndarray) -> None:
            tokens[0, -1, 1] += 0.25

        assert violation("EVIT-1", with_tokens(spoilt), method="evit").startswith(
            "EVIT-1 wrong: fused row of sample 0[1] is "
        )


class TestClose:
    """Within the bound, everywhere; the worst place is told."""

    def test_require_close_tells_the_worst_place(self) -> None:
        got, expected = np.array([1.0, 2.5, 3.25]), np.array([1.0, 2.0, 3.0])
        with pytest.raises(LawViolation) as caught:
            require_close("POMT-MAG-1", "thing", got, expected, np.array(0.125))
        assert str(caught.value) == "POMT-MAG-1 wrong: thing[1] is 2.5, expected 2 +- 1.2e-01"

    def test_require_close_accepts_the_bound_itself(self) -> None:
        bound = np.array([0.5])
        require_close("POMT-MAG-1", "thing", np.array([1.5]), np.array([1.0]), bound)
        with pytest.raises(LawViolation):
            require_close("POMT-MAG-1", "thing", np.array([np.nextafter(1.5, 2)]), np.array([1.0]), bound)

    def test_require_close_of_an_infinite_bound_is_waived(self) -> None:
        got, expected = np.array([1e300, 2.0]), np.array([1.0, 1.0])
        with pytest.raises(LawViolation, match=r"thing\[1\] is 2"):
            require_close("POMT-MAG-1", "thing", got, expected, np.array([np.inf, 0.5]))
        require_close("POMT-MAG-1", "thing", got[:1], expected[:1], np.array([np.inf]))

    def test_require_order_returns_what_was_read(self) -> None:
        case = made()
        found = require_order(
            "POMT-RANK-1", case, Answering().run(case), *scores_and_bounds(case, normative(case.dtype))
        ).readings
        step = oracle.prune(case.x, case.attn, case.v, prefix=2, keep=3)
        assert [list(reading.kept) for reading in found] == (step.kept - 2).tolist()

    def test_shape_is_told_by_axis(self) -> None:
        assert str(Shape(1, 2, 3, 4, 5, 0, 1)) == "batch=1 heads=2 tokens=3 features=4 channels=5 prefix=0 keep=1"
