"""The first divergence: the earliest stage beyond its bound, each stage replayed on the one before."""

from dataclasses import replace
from typing import Any, Final

import numpy as np
import pytest

from pomt_ref import oracle
from pomt_ref.testing import Case, Evidence, LawViolation, Outcome, build_case, normative, require_admissible
from pomt_ref.testing.admissible import Reading, worst_exchange
from pomt_ref.testing.divergence import REPLAYS, first_divergence

PROFILE: Final = normative("float64")


def made(**axes: int) -> Case:
    """A case in float64."""
    shape = {"batch": 2, "heads": 3, "tokens": 8, "features": 3, "channels": 4, "prefix": 2, "keep": 3, **axes}
    return build_case("ordinary", seed=1, dtype="float64", **shape)


def whole(case: Case) -> Outcome:
    """The oracle's answer, every stage shown."""
    prefix = case.shape.prefix
    step = oracle.prune(case.x, case.attn, case.v, prefix=prefix, keep=case.shape.keep)
    stages = {
        "head_maximum": oracle.head_maximum(case.attn, prefix=prefix),
        "sums": oracle.attention_sums(case.attn, prefix=prefix),
        "attention": oracle.attention_score(case.attn, prefix=prefix),
        "value_sums": oracle.value_sums(case.v),
        "magnitude": oracle.magnitude_score(case.v, prefix=prefix),
        "scores": step.scores,
    }
    return Outcome(step.tokens, case.dtype, kept=step.kept, discarded=step.discarded, stages=stages)


class TestDivergence:
    """One wrong stage does not blame those after it."""

    def test_nothing_diverges_from_what_is_right(self) -> None:
        assert first_divergence(made(), whole(made()), PROFILE) is None
        assert first_divergence(made(), replace(whole(made()), stages={}, kept=None), PROFILE) is None

    @pytest.mark.parametrize("name", REPLAYS)
    def test_stage_that_is_wrong_is_the_first(self, name: str) -> None:
        case = made()
        outcome = whole(case)
        found = first_divergence(
            case, replace(outcome, stages={**outcome.stages, name: outcome.stages[name] * 1.5}), PROFILE
        )
        assert found is not None
        assert (found.stage, found.clause) == (name, REPLAYS[name][0])
        assert str(found).startswith(f"{name} ({REPLAYS[name][0]}): {name}[")

    @pytest.mark.parametrize("name", REPLAYS)
    def test_stage_alone_is_held_against_the_oracle(self, name: str) -> None:
        case = made()
        outcome = whole(case)
        alone = replace(outcome, stages={name: outcome.stages[name]})
        assert first_divergence(case, alone, PROFILE) is None
        wrong = replace(outcome, stages={name: outcome.stages[name] * 1.5})
        found = first_divergence(case, wrong, PROFILE)
        assert found is not None
        assert found.stage == name

    def test_stages_after_a_wrong_one_are_replayed_on_it(self) -> None:
        """Sums of a mean over heads, and everything after them done right: the sums alone are wrong."""
        case = made()
        prefix = case.shape.prefix
        sums = case.attn.mean(axis=1)[:, prefix:, prefix:].sum(axis=1)
        outcome = whole(case)
        scores = sums / sums.max() + outcome.stages["magnitude"]
        stages = {**outcome.stages, "sums": sums, "attention": sums / sums.max(), "scores": scores}
        stages.pop("head_maximum")
        found = first_divergence(case, replace(outcome, stages=stages), PROFILE)
        assert found is not None
        assert found.stage == "sums"
        for name in ("attention", "scores"):
            expected, bound = REPLAYS[name][1](case, stages, PROFILE)
            assert (np.abs(expected - stages[name]) <= bound).all()

    def test_order_that_its_own_scores_contradict_is_told(self) -> None:
        case = made()
        outcome = whole(case)
        assert outcome.kept is not None
        order = outcome.kept[:, ::-1]
        rows = np.take_along_axis(case.x, order[:, :, np.newaxis], 1)
        tokens = np.concatenate([case.x[:, :2], rows, outcome.tokens[:, -1:]], axis=1)
        found = first_divergence(case, replace(outcome, tokens=tokens, kept=order), PROFILE)
        assert found is not None
        assert (found.stage, found.clause) == ("order", "POMT-RANK-1")
        assert found.message == (
            f"sample 0 keeps token {order[0, 0]} at place 0, before one that its own scores put higher"
        )

    @pytest.mark.parametrize(
        ("change", "stage"),
        [
            (lambda tokens: tokens[:, 1:], "shape"),
            (lambda tokens: np.concatenate([tokens[:, :3] * 2, tokens[:, 3:]], axis=1), "gather"),
            (lambda tokens: np.concatenate([tokens[:, :-1], tokens[:, -1:] * 2], axis=1), "mean"),
        ],
    )
    def test_rows_that_are_wrong_are_told_by_their_stage(self, change: Any, stage: str) -> None:  # noqa: ANN401 -- a lambda
        case = made()
        outcome = whole(case)
        found = first_divergence(case, replace(outcome, tokens=change(outcome.tokens)), PROFILE)
        assert found is not None
        assert found.stage == stage

    def test_nothing_kept_has_no_order(self) -> None:
        case = made(keep=0)
        assert first_divergence(case, whole(case), PROFILE) is None


class TestAdmissible:
    """ADMISSIBLE as one relation, for who has an output and nothing to call."""

    def test_right_output_is_admissible_in_identical_order(self) -> None:
        case = made()
        assert require_admissible(case, whole(case)) == Evidence(0.0, "identical order")
        assert require_admissible(case, replace(whole(case), kept=None, discarded=None)).grade == "identical order"

    @pytest.mark.parametrize("method", ["topk", "evit"])
    def test_siblings_are_admissible(self, method: Any) -> None:  # noqa: ANN401 -- one of two words
        case = made()
        prune = oracle.topk_prune if method == "topk" else oracle.evit_prune
        step = prune(case.x, case.attn, prefix=2, keep=3)
        outcome = Outcome(step.tokens, case.dtype, kept=step.kept, discarded=step.discarded)
        assert require_admissible(case, outcome, method=method).grade == "identical order"
        with pytest.raises(LawViolation):
            require_admissible(case, replace(outcome, tokens=outcome.tokens[:, ::-1]), method=method)

    def test_order_is_waived_where_none_is_defined(self) -> None:
        case = made()
        nothing = np.zeros_like(case.attn)
        nothing[..., 0] = 1.0
        case = case.having(attn=nothing)
        rows = case.x[:, [0, 1, 7, 2, 5]]
        tokens = np.concatenate([rows, case.x[:, [3, 4, 6]].mean(axis=1, keepdims=True)], axis=1)
        assert require_admissible(case, Outcome(tokens, case.dtype)).grade is None
        with pytest.raises(LawViolation, match="POMT-PRUNE-3 wrong"):
            require_admissible(case, Outcome(tokens + np.eye(6)[:, 5:] * 0.1, case.dtype))

    def test_wrong_dtype_is_told(self) -> None:
        case = made()
        with pytest.raises(LawViolation, match="POMT-PREC-1 wrong: output in float32, expected float64"):
            require_admissible(case, replace(whole(case), dtype="float32"))


class TestEvidence:
    """Grades and attained fractions add up to the worse of both."""

    def test_evidence_of_two_is_the_worse_of_each(self) -> None:
        one, two = Evidence(0.5, "identical order"), Evidence(0.25, "admissible")
        assert one | two == two | one == Evidence(0.5, "admissible")
        assert Evidence() | Evidence() == Evidence()

    def test_worst_exchange_of_an_order_that_is_right_is_nothing(self) -> None:
        low, high = np.array([2.0, 1.0, 0.0]), np.array([2.2, 1.2, 0.2])
        assert worst_exchange(Reading((0, 1), (2,)), low, high) == 0
        assert worst_exchange(Reading((), (0, 1, 2)), low, high) == 0
        wide = worst_exchange(Reading((1, 0), (2,)), low - 1, high + 1)
        assert wide == pytest.approx(1 / 2.2)

    def test_worst_exchange_promises_nothing_where_bounds_are_infinite(self) -> None:
        ends = np.array([np.inf, np.inf])
        assert worst_exchange(Reading((0,), (1,)), -ends, ends) == 0
