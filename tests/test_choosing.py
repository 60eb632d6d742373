"""The choice of R against curves worked by hand."""

from dataclasses import FrozenInstanceError
from typing import Final

import pytest

from pomt_ref import Choice, choose_remove
from pomt_ref.choosing import utility

TOKENS: Final = [50, 100, 197]
LATENCY: Final = [1.0, 2.0, 4.0]
ACCURACY: Final = [0.25, 0.375, 0.5]
"""U = alpha (3/4, 1/2, 0) + (1 - alpha) (1/2, 3/4, 1)."""


class TestUtility:
    """CHOOSE-1: U(k) = α(1 - L(k) / max L) + (1 - α) A(k) / max A, 0 <= α <= 1, by default 1/2."""

    @pytest.mark.parametrize(
        ("alpha", "expected"),
        [
            (0.0, (0.5, 0.75, 1.0)),
            (0.25, (0.5625, 0.6875, 0.75)),
            (0.5, (0.625, 0.625, 0.5)),
            (0.75, (0.6875, 0.5625, 0.25)),
            (1.0, (0.75, 0.5, 0.0)),
        ],
    )
    def test_utility_weighs_latency_by_alpha(self, alpha: float, expected: tuple[float, ...]) -> None:
        assert utility(LATENCY, ACCURACY, alpha=alpha) == expected

    def test_utility_weighs_both_alike_unless_told(self) -> None:
        assert utility(LATENCY, ACCURACY) == (0.625, 0.625, 0.5)

    @pytest.mark.parametrize("unit", [2.0**-10, 1.0, 1024.0])
    def test_utility_has_no_unit(self, unit: float) -> None:
        latency, accuracy = [unit * time for time in LATENCY], [unit * share for share in ACCURACY]
        assert utility(latency, ACCURACY) == utility(LATENCY, accuracy) == (0.625, 0.625, 0.5)

    def test_utility_of_accuracies_that_may_be_zero(self) -> None:
        assert utility([1.0, 2.0], [0.0, 4.0], alpha=0.5) == (0.25, 0.5)


class TestChooseRemove:
    """CHOOSE-1: k* = argmax U (largest k on a tie); R = N - k*, and "no pruning" when k* = N."""

    @pytest.mark.parametrize(
        ("alpha", "remove", "tokens"), [(0.0, 0, 197), (0.25, 0, 197), (0.5, 97, 100), (0.75, 147, 50), (1.0, 147, 50)]
    )
    def test_choose_remove_takes_the_largest_utility(self, alpha: float, remove: int, tokens: int) -> None:
        choice = choose_remove(TOKENS, LATENCY, ACCURACY, alpha=alpha)
        assert (choice.remove, choice.tokens) == (remove, tokens)

    def test_choose_remove_takes_the_largest_count_on_a_tie_wherever_it_stands(self) -> None:
        """At alpha 1/2 the counts 50 and 100 have a utility of 5/8 both."""
        assert choose_remove(TOKENS, LATENCY, ACCURACY) == Choice(97, 100, (0.625, 0.625, 0.5))
        assert choose_remove(TOKENS[::-1], LATENCY[::-1], ACCURACY[::-1]) == Choice(97, 100, (0.5, 0.625, 0.625))

    @pytest.mark.parametrize(("total", "remove"), [(None, 97), (197, 97), (198, 98), (257, 157)])
    def test_choose_remove_subtracts_from_the_whole_count(self, total: int | None, remove: int) -> None:
        """Erratum 4: the authors' code subtracts from N - 2, and deploys two tokens more than it measured."""
        assert choose_remove(TOKENS, LATENCY, ACCURACY, total=total).remove == remove

    def test_choose_remove_of_one_measurement(self) -> None:
        assert choose_remove([139], [2.0], [0.75], total=197) == Choice(58, 139, (0.5,))
        assert choose_remove([1], [2.0], [0.75]) == Choice(0, 1, (0.5,))

    @pytest.mark.parametrize("sequence", [list, tuple])
    def test_choose_remove_takes_any_sequence_and_leaves_it_alone(self, sequence: type) -> None:
        curves = sequence(TOKENS), sequence(LATENCY), sequence(ACCURACY)
        assert choose_remove(*curves).remove == 97
        assert [list(curve) for curve in curves] == [[50, 100, 197], [1.0, 2.0, 4.0], [0.25, 0.375, 0.5]]

    def test_choice_is_frozen(self) -> None:
        choice = choose_remove(TOKENS, LATENCY, ACCURACY)
        with pytest.raises(FrozenInstanceError):
            choice.remove = 0  # type: ignore[misc]
