"""LIN-1 · the replay of tokens: what it lets pass is sound, and every wrong certificate is refuted."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pytest
import torch

from pomt_ref.bounds import Certificate, exactplanes, layer, softplanes
from pomt_ref.bounds.exactlayer import as_array, exact_forms, exact_logits, exact_maps
from pomt_ref.bounds.exactplanes import ExactPlanes, sound_above, sound_below
from pomt_ref.bounds.exactrows import ExactRow, exact_row
from pomt_ref.bounds.fixedpoint import Integers, exponential, fixed, logarithm, spectral_up
from pomt_ref.bounds.layer import Forms, logit_forms
from pomt_ref.bounds.softplanes import SoftmaxPlanes, step_planes
from properties.bounds import TokenProblem, contradictions, make_token_problem
from properties.test_bounds_tokens import float32_scores

BITS: Final = 160
"""Of the unit that planes are held against their conditions in."""

SEEDS: Final = range(4)


def problems(radius: float = 0.1) -> list[TokenProblem]:
    """Some boxes of tokens on which planes matter."""
    return [make_token_problem(seed, radius=radius) for seed in SEEDS]


def refuted(certificates: list[Certificate]) -> int:
    """How many the replay refutes."""
    return sum(not certificate.check() for certificate in certificates)


def changed_planes(change: Callable[[SoftmaxPlanes], SoftmaxPlanes]) -> Callable[..., SoftmaxPlanes]:
    """The planes of a row with something wrong."""
    right = softplanes._with_room  # noqa: SLF001 -- mutated here
    return lambda *arguments: change(right(*arguments))


def without_remainder(*arguments: Any) -> Forms:  # noqa: ANN401 -- those of logit_forms
    """Logits as if they were linear in the tokens."""
    forms = logit_forms(*arguments)
    return replace(forms, remainder=torch.zeros_like(forms.remainder))


WRONG: Final[dict[str, Callable[[SoftmaxPlanes], SoftmaxPlanes]]] = {
    "upper planes that are too low": lambda planes: replace(planes, upper_value=planes.upper_value - 1e-4),
    "lower planes that are too high": lambda planes: replace(planes, lower_value=planes.lower_value + 1e-4),
    "lower planes that are too flat": lambda planes: replace(planes, lower=planes.lower * 0.5),
    "upper planes that are too flat": lambda planes: replace(planes, upper=planes.upper * 0.5),
}
"""Planes that are not sound."""


class TestWrongCertificates:
    """LIN-1: a certificate from wrong parts is refuted, by a replay with right parts and by one with the same wrong."""

    @pytest.mark.long
    def test_right_certificates_are_confirmed(self) -> None:
        assert refuted([problem.certify() for problem in problems()]) == 0

    @pytest.mark.long
    @pytest.mark.parametrize("name", WRONG)
    def test_planes_that_are_not_sound(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(softplanes, "_with_room", changed_planes(WRONG[name]))
            certificates = [problem.certify() for problem in problems()]
            assert refuted(certificates) > 2, "expected the same planes to be found unsound"
        assert refuted(certificates) > 2

    @pytest.mark.long
    def test_a_forgotten_remainder(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with monkeypatch.context() as patched:
            for module in ("layer", "tokens"):
                patched.setattr(f"pomt_ref.bounds.{module}.logit_forms", without_remainder)
            certificates = [problem.certify() for problem in problems()]
        assert refuted(certificates) > 2

    @pytest.mark.long
    def test_a_norm_that_is_too_small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(layer, "NORM_ROOM", 0.5)
            certificates = [problem.certify() for problem in problems()]
        assert refuted(certificates) > 2

    @pytest.mark.long
    @pytest.mark.parametrize("claim", ["kept", "discarded"])
    def test_a_flipped_fate(self, claim: str) -> None:
        for problem in problems():
            certificate = problem.certify()
            patch = int(getattr(certificate, claim)[0].logical_not().nonzero()[0])
            flipped = getattr(certificate, claim).clone()
            flipped[0, patch] = True
            forged = replace(certificate, **{claim: flipped})
            assert forged.check().refuted == (f"{claim}[0, {patch}]",)

    @pytest.mark.long
    @pytest.mark.parametrize("claim", ["attention", "values", "largest"])
    def test_ranges_that_are_too_narrow(self, claim: str) -> None:
        certificate = problems()[0].certify()
        box = getattr(certificate, claim)
        forged = replace(certificate, **{claim: type(box)(box.center, box.center)})
        assert any(each.startswith(claim) for each in forged.check().refuted)

    def test_weights_are_suggestions(self) -> None:
        """Without them less can be derived; with others no more than is true."""
        certificates = [problem.certify() for problem in problems() if problem.layer.query_weight.shape[0] > 1]
        bare = [replace(certificate, weights=None) for certificate in certificates]
        assert refuted(bare) > 0
        wild = [
            replace(each, weights=-3 * torch.ones_like(each.weights))
            for each in certificates
            if each.weights is not None
        ]
        assert refuted(wild) > 0


class TestMargin:
    """FLOAT-1: where scores are nearly tied, runs in float32 deny a certificate that has no margin."""

    @pytest.mark.long
    def test_runs_in_float32_kill_a_certificate_without_margin(self) -> None:
        denied = {"real": 0, "float32": 0}
        for seed in range(6):
            problem = make_token_problem(seed, radius=0.0, apart=1e-6)
            scores = float32_scores(problem, problem.tokens.lo)
            for arithmetic in denied:
                denied[arithmetic] += bool(contradictions(problem.certify(arithmetic=arithmetic), scores))
        assert denied["float32"] == 0
        assert denied["real"] > 0


class TestConditions:
    """LIN-1: planes pass if and only if they are sound, up to the room that they have."""

    @pytest.mark.long
    @pytest.mark.parametrize("radius", [0.0, 0.01, 0.1, 0.5])
    def test_planes_of_the_package_pass(self, radius: float) -> None:
        for row, planes, head in rows(radius):
            lower, upper = passed(row, planes, head)
            assert unchanged(lower, planes.lower[head], planes.lower_value[head])
            assert unchanged(upper, planes.upper[head], planes.upper_value[head])

    @pytest.mark.long
    @pytest.mark.parametrize("radius", [0.01, 0.1, 0.5])
    def test_planes_moved_by_more_than_their_room_do_not(self, radius: float) -> None:
        """They touch what they bound, so a little is enough; constants come in their place."""
        for row, planes, head in rows(radius):
            moved = replace(planes, lower_value=planes.lower_value + 1e-6, upper_value=planes.upper_value - 0.05)
            lower, upper = passed(row, moved, head)
            assert not lower.slopes.any()
            assert not unchanged(upper, moved.upper[head], moved.upper_value[head])

    @pytest.mark.long
    def test_what_passes_is_sound_at_points(self) -> None:
        """Planes of all kinds, most of them wrong: those that pass hold at every point of the box that is tried."""
        generator, count = torch.Generator().manual_seed(0), 0
        for problem in problems(0.3):
            points = [problem.attend(x)[0][0] for x in problem.points(30, generator)]
            for row, planes, head in rows(0.3, [problem]):
                shift = 0.05 * torch.randn(planes.lower_value.shape, generator=generator, dtype=torch.float64)
                tried = replace(planes, lower_value=planes.lower_value + shift, upper_value=planes.upper_value + shift)
                below, above = passed(row, tried, head)
                count += int((below.slopes != 0).any() or (above.slopes != 0).any())
                for logits in points:
                    z = logits[head, row.query].numpy()
                    shares = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
                    deviation = z - row.center.astype(np.float64) / 2.0**BITS
                    assert (at(below, deviation) <= shares[row.prefix :] + 1e-12).all()
                    assert (at(above, deviation) >= shares[row.prefix :] - 1e-12).all()
        assert count > 20


def rows(radius: float, chosen: list[TokenProblem] | None = None) -> Iterator[tuple[ExactRow, SoftmaxPlanes, int]]:
    """Rows of some problems, exactly, with their planes."""
    for problem in chosen or problems(radius)[:3]:
        step = problem.certify().step
        maps = exact_maps(problem.tokens, problem.layer, 0)
        forms = exact_forms(maps, BITS)
        logits = exact_logits(maps, forms)
        for query, planes in step_planes(logit_forms(problem.tokens, problem.layer, 0), step, 0):
            for head in range(len(planes.lower)):
                yield exact_row(forms, logits, head, query, step.prefix), planes, head


def passed(row: ExactRow, planes: SoftmaxPlanes, head: int) -> tuple[ExactPlanes, ExactPlanes]:
    """What passes the conditions, below and above."""

    def exact(part: torch.Tensor) -> Integers:
        return fixed(as_array(part[head]), BITS)

    touch, mixed = exact(planes.touch), exact(planes.mixed)
    below = sound_below(row, exact(planes.lower), exact(planes.lower_value), touch=touch, mixed=mixed)
    return below, sound_above(row, exact(planes.upper), exact(planes.upper_value))


def unchanged(planes: ExactPlanes, slopes: torch.Tensor, value: torch.Tensor) -> bool:
    """Whether all planes passed as they are."""
    pairs = ((planes.slopes, slopes), (planes.value, value))
    return all(bool((exact == fixed(as_array(given), BITS)).all()) for exact, given in pairs)


def at(planes: ExactPlanes, deviation: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The heights of planes in plain float64."""
    slopes, value = (part.astype(np.float64) / 2.0**BITS for part in (planes.slopes, planes.value))
    return np.asarray(value + slopes @ deviation)


class TestNumbers:
    """LIN-1: integers that stand for real numbers bracket them."""

    def test_exponentials_and_logarithms_are_bracketed(self) -> None:
        for x in (-700, -3, 0, 2, 500):
            down, up = exponential(x << 60, 60)
            assert down <= float(np.exp(float(x))) * 2.0**60 * (1 + 1e-12) + 1
            assert up >= float(np.exp(float(x))) * 2.0**60 * (1 - 1e-12) - 1
            assert up - down <= 2 or x > 0
        down, up = logarithm(3 << 40, 40)
        assert down < np.log(3) * 2.0**40 < up

    def test_spectral_norms_are_upper_bounds(self) -> None:
        generator = np.random.default_rng(0)
        for shape in ((1, 1), (3, 5), (20, 7)):
            matrix = generator.normal(size=shape)
            found = spectral_up(fixed(matrix, 80)) / 2.0**80
            assert 1 <= found / np.linalg.norm(matrix, 2) < 1 + 1e-5


class TestFarLogits:
    """Where exponentials would be too large, nothing is known, and constants take the place of planes."""

    def test_planes_by_means_need_logits_that_are_near(self, monkeypatch: pytest.MonkeyPatch) -> None:
        (row, planes, head), *_ = rows(0.05)
        near, _ = passed(row, planes, head)
        monkeypatch.setattr(exactplanes, "LARGEST_ARGUMENT", 0)
        far, _ = passed(row, planes, head)
        assert (np.count_nonzero(far.slopes.any(axis=1))) <= np.count_nonzero(near.slopes.any(axis=1))
