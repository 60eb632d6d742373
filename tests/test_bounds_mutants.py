"""Every law of bounds kills the mutants that it is there for: unsound and loose planes, and wrong certificates."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any, Final

import numpy as np
import pytest
import torch

from pomt_ref.bounds import Certificate, deciding, differences, relax_max
from pomt_ref.bounds.softmax import Exponentials
from pomt_ref.testing import LawViolation, planes
from pomt_ref.testing.planes import Plane, Variables
from properties.bounds import box_of, contradictions, lower_plane, make_problem, scores_at, upper_plane

BOXES: Final = 28
"""Boxes of every kind that a law is given to kill with."""

Mutant = Callable[[Variables], Plane]
Check = Callable[[Variables, Plane], Any]


def boxes() -> Iterator[Variables]:
    """Boxes of every kind, of two to five variables."""
    generator = np.random.default_rng(0)
    for place in range(BOXES):
        yield planes.make_variables(planes.KINDS[place % len(planes.KINDS)], 2 + place // 7 % 4, generator)


def killed(mutant: Mutant, law: Check) -> int:
    """On how many boxes a law rejects a mutant."""
    count = 0
    for box in boxes():
        try:
            law(box, mutant(box))
        except LawViolation:
            count += 1
    return count


def least_gap_at_least_volume(box: Variables, plane: Plane) -> None:
    """The law of the default plane."""
    planes.has_least_gap(box, plane, among=(box.caps[2], box.caps[1]))


def below_largest_lower(box: Variables) -> Plane:
    """P_t for a t below L."""
    return planes.family_plane(box, box.largest_lower - (max(box.upper) - box.largest_lower) / 8)


def collapsed_ties(box: Variables) -> Plane:
    """MaxLin's plane with w₂ the second largest of the *different* upper bounds."""
    distinct = [*sorted({max(bound, box.largest_lower) for bound in box.upper}, reverse=True), box.largest_lower]
    return planes.family_plane(box, distinct[1])


def maxlin(box: Variables) -> Plane:
    """MaxLin's plane in place of the default."""
    return planes.family_plane(box, box.caps[1])


def float64_intercept(box: Variables) -> Plane:
    """The default slopes with an intercept in plain float64."""
    plane = upper_plane(relax_max(box_of(box)))
    a, low, high = np.array([float(slope) for slope in plane.slopes]), box.low, box.high
    return Plane(plane.slopes, Fraction(float((high - a * (high - low)).max() - (a * low).sum())))


def float64_weights(box: Variables) -> Plane:
    """Minimax weights that sum to one up to rounding only."""
    plane = lower_plane(relax_max(box_of(box), lower="minimax"))
    weights = np.array([float(slope) for slope in plane.slopes]) * (1 + 2.0**-50)
    return Plane(tuple(map(Fraction, weights.tolist())), Fraction(0))


def raised(box: Variables) -> Plane:
    """The default plane, higher than it need be."""
    plane = upper_plane(relax_max(box_of(box)))
    return Plane(plane.slopes, plane.intercept + Fraction(1, 1000))


def default(box: Variables) -> Plane:
    """What is right."""
    return upper_plane(relax_max(box_of(box)))


class TestPlanes:
    """LIN-1: each mutant of a plane is killed by a law of soundness or of tightness, and what is right by none."""

    @pytest.mark.parametrize(
        ("mutant", "law"),
        [
            (below_largest_lower, planes.holds_above),
            (float64_intercept, planes.holds_above),
            (float64_weights, planes.holds_below),
            (collapsed_ties, planes.has_least_volume),
            (maxlin, least_gap_at_least_volume),
            (raised, planes.touches),
            (raised, planes.has_least_volume),
        ],
        ids=lambda function: function.__name__,
    )
    def test_law_kills_the_mutant(self, mutant: Mutant, law: Check) -> None:
        assert killed(mutant, law) > 0

    @pytest.mark.parametrize(
        "law",
        [planes.holds_above, planes.has_least_volume, least_gap_at_least_volume, planes.touches],
        ids=lambda function: function.__name__,
    )
    def test_law_accepts_what_is_right(self, law: Check) -> None:
        assert killed(default, law) == 0

    def test_sound_mutants_are_killed_by_tightness_alone(self) -> None:
        """Collapsed ties and MaxLin are sound: a law of soundness has nothing to say of them."""
        assert killed(maxlin, planes.holds_above) == killed(collapsed_ties, planes.holds_above) == 0

    def test_violations_say_what_is_wrong(self) -> None:
        box = Variables(np.array([0.0, 2.0]), np.array([3.0, 4.0]))
        with pytest.raises(LawViolation, match=r"^LIN-1 wrong: upper plane 1 below the maximum at \(0, 2\)$"):
            planes.holds_above(box, planes.family_plane(box, Fraction(1)))


def wrong_lower_end(differences_of: Any) -> Any:  # noqa: ANN401 -- any function of the module
    """Its result with the rival heads forgotten, or counted twice."""
    return lambda least: torch.zeros_like(differences_of(least))


def too_sure(order: torch.Tensor, *, keep: int) -> deciding.Fates:
    """Kept if at most T others may come before, one too many."""
    right = deciding_fates(order, keep=keep)
    may_come_before = order.shape[1] - 1 - order.sum(dim=2)
    return replace(right, kept=may_come_before <= keep)


def wrong_end_of_m(attention: Any, values: Any, largest: Any, margin: Any) -> torch.Tensor:  # noqa: ANN401
    """M at the end that helps instead of the one that hurts."""
    share = values.lo - (margin.unsqueeze(2) + margin.unsqueeze(1))
    scaled = torch.where(share >= 0, largest.hi.unsqueeze(2), largest.lo.unsqueeze(2)) * share
    return torch.as_tensor(attention.lo + scaled > 0)


deciding_fates = deciding.fates


class TestCertificates:
    """LIN-1: a certificate from wrong parts is refuted by the replay, by sampling, or by what is attained."""

    def refuted(self, **options: Any) -> int:  # noqa: ANN401 -- options of certify
        """How many of some certificates the replay refutes."""
        problems = (make_problem(seed, radius=0.2) for seed in range(12))
        return sum(not problem.certify(**options).check() for problem in problems)

    def test_right_certificates_are_confirmed(self) -> None:
        assert self.refuted() == 0

    def test_replay_refutes_a_kept_set_that_is_one_too_large(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("pomt_ref.bounds.certificate.fates", too_sure)
        assert self.refuted() > 2

    def test_replay_refutes_the_wrong_end_of_m(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("pomt_ref.bounds.certificate.certain_order", wrong_end_of_m)
        assert self.refuted() > 0

    def test_replay_refutes_a_range_without_the_other_keys(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Denominators in which every other key is high: too small a supremum."""
        monkeypatch.setattr(Exponentials, "others_low", Exponentials.others_high)
        assert self.refuted() > 2

    def test_attainment_kills_forgotten_rivals(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without the other heads' least attention D is too wide: sound, and not reached by its extremal point."""
        rivals = differences._largest_of_other_heads  # noqa: SLF001 -- mutated here
        problem = make_problem(3, radius=0.5)
        assert problem.logits.shape[1] > 1
        assert self.furthest(problem.certify()) < 1e-9
        monkeypatch.setattr(differences, "_largest_of_other_heads", wrong_lower_end(rivals))
        assert self.furthest(problem.certify()) > 1e-3

    def furthest(self, certificate: Certificate) -> float:
        """How far extremal points stay from the bounds of D."""
        open_pairs = (~certificate.order[0]).nonzero().tolist()
        apart = [0.0]
        for i, j in open_pairs:
            if i != j:
                point = certificate.counterexample(i, j)
                assert point.logits is not None
                sums, _, _ = scores_at(point.logits, point.values, certificate.step.prefix)
                apart.append(float(sums[0, i] - sums[0, j] - certificate.attention.lo[0, i, j]))
        return max(apart)

    def test_sampling_kills_an_order_by_centers(self) -> None:
        """A certificate that calls the order of the center certain."""
        found = 0
        for seed in range(10):
            problem = make_problem(seed, radius=0.5)
            centers = scores_at(problem.logits.center, problem.values.center, problem.prefix)[2]
            forged = replace(problem.certify(), order=centers.unsqueeze(2) > centers.unsqueeze(1))
            for point in problem.points(6, torch.Generator().manual_seed(seed)):
                found += bool(contradictions(forged, scores_at(*point, problem.prefix)[2]))
        assert found > 0

    @pytest.mark.parametrize("claim", ["attention", "values", "largest"])
    def test_replay_refutes_ranges_that_are_too_narrow(self, claim: str) -> None:
        certificate = make_problem(5, radius=0.2).certify()
        box = getattr(certificate, claim)
        narrow = type(box)(box.center, box.center)
        refuted = replace(certificate, **{claim: narrow}).check().refuted
        assert any(each.startswith(claim) for each in refuted)

    def test_replay_refutes_a_mean_that_is_too_narrow(self) -> None:
        problem = make_problem(4, radius=0.2)
        rows = torch.arange(2.0 * problem.logits.shape[2]).reshape(1, -1, 2)
        certificate = problem.certify(x=type(problem.logits).around(rows, 0.5))
        assert certificate.check()
        assert certificate.mean is not None
        narrow = replace(certificate, mean=type(certificate.mean).point(certificate.mean.center))
        assert narrow.check().refuted == ("mean[0, 0]", "mean[0, 0]", "mean[0, 1]", "mean[0, 1]")

    def test_replay_refutes_a_discarded_patch_too_many(self) -> None:
        problem = next(each for seed in range(9) if (each := make_problem(seed, radius=0.2)).keep)
        certificate = problem.certify()
        forged = replace(certificate, discarded=torch.ones_like(certificate.discarded))
        assert all(each.startswith("discarded[0") for each in forged.check().refuted)
        assert not forged.check()
