"""The first divergence: of the stages that an implementation shows, the earliest that goes beyond its bound.

Every stage is replayed on what the implementation itself made of the stage before, where it shows that, and on the
oracle's otherwise. So one wrong stage does not blame those after it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64

from pomt_ref import oracle
from pomt_ref.testing import rounding
from pomt_ref.testing.cases import Case
from pomt_ref.testing.formats import Profile
from pomt_ref.testing.laws.gathering import no_scores, require_copies, require_partition
from pomt_ref.testing.laws.reading import readings, require_close, require_mean, require_shape
from pomt_ref.testing.subject import Outcome
from pomt_ref.testing.violation import LawViolation

Array = Float64[np.ndarray, "..."]
Shown = Mapping[str, Array]
Replay = Callable[[Case, Shown, Profile], tuple[Array, Array]]
"""What a stage should be, given the stages before it, and how far it may be from that."""


@dataclass(frozen=True)
class Divergence:
    """Where an implementation first goes another way."""

    stage: str
    clause: str
    message: str

    def __str__(self) -> str:
        """Read as the line of a report."""
        return f"{self.stage} ({self.clause}): {self.message}"


def first_divergence(case: Case, outcome: Outcome, profile: Profile) -> Divergence | None:
    """The earliest stage beyond its bound; none if all that is shown is right.

    Maximum over heads, sum, normalisation, value sums, softmax, score, order, gather, mean, in this order.

    Arguments:
        case: what went in; its scores are defined (M > 0).
        outcome: what came out, with the stages and indices that the implementation returns.
        profile: the precision that it works in.
    """
    for stage, (clause, replay) in REPLAYS.items():
        if stage in outcome.stages:
            expected, bound = replay(case, outcome.stages, profile)
            try:
                require_close(clause, stage, outcome.stages[stage], expected, bound)
            except LawViolation as violation:
                return Divergence(stage, clause, violation.message)
    for stage, require in ROWS.items():
        try:
            require(case, outcome, profile)
        except LawViolation as violation:
            return Divergence(stage, violation.clause, violation.message)
    return None


def _maximum(case: Case, _shown: Shown, _profile: Profile) -> tuple[Array, Array]:
    """G is exact."""
    expected = oracle.head_maximum(case.attn, prefix=case.shape.prefix)
    return expected, np.zeros_like(expected)


def _sums(case: Case, shown: Shown, profile: Profile) -> tuple[Array, Array]:
    """S from its own G."""
    maximum = shown.get("head_maximum", _maximum(case, shown, profile)[0])
    expected = maximum.sum(axis=1)
    return expected, rounding.sum_bound(expected, terms=case.shape.patches, profile=profile)


def _attention(case: Case, shown: Shown, profile: Profile) -> tuple[Array, Array]:
    """The quotient of its own S: a reciprocal and a product, or a division, then stored."""
    sums = shown.get("sums", _sums(case, shown, profile)[0])
    own = "sums" in shown
    terms = 1 if own else 2 * case.shape.patches
    expected = sums / sums.max()
    return expected, rounding.sum_bound(expected, terms=terms, profile=profile, roundings=3)


def _value_sums(case: Case, _shown: Shown, profile: Profile) -> tuple[Array, Array]:
    """The sum over features of an exact maximum."""
    weight = np.abs(case.v.max(axis=1)).sum(axis=2)
    return oracle.value_sums(case.v), rounding.sum_bound(weight, terms=case.shape.features, profile=profile)


def _magnitude(case: Case, shown: Shown, profile: Profile) -> tuple[Array, Array]:
    """The softmax of its own t."""
    own = shown.get("value_sums")
    values = case.v.max(axis=1) if own is None else own[:, :, np.newaxis]
    share, allowed = rounding.share_bound(values, profile=profile)
    return share[:, case.shape.prefix :], allowed[:, case.shape.prefix :]


def _scores(case: Case, shown: Shown, profile: Profile) -> tuple[Array, Array]:
    """The sum of its own two parts; of the oracle's, within FLOAT-1."""
    if "attention" in shown and "magnitude" in shown:
        expected = shown["attention"] + shown["magnitude"]
        return expected, rounding.sum_bound(expected, terms=2, profile=profile)
    prefix = case.shape.prefix
    sums = oracle.attention_sums(case.attn, prefix=prefix)
    bound = rounding.score_bound(sums, case.v.max(axis=1), prefix=prefix, profile=profile)
    return oracle.score(case.attn, case.v, prefix=prefix), bound


REPLAYS: Final[Mapping[str, tuple[str, Replay]]] = {
    "head_maximum": ("POMT-ATT-1", _maximum),
    "sums": ("POMT-ATT-1", _sums),
    "attention": ("POMT-ATT-2", _attention),
    "value_sums": ("POMT-MAG-1", _value_sums),
    "magnitude": ("POMT-MAG-1", _magnitude),
    "scores": ("POMT-SCORE-1", _scores),
}
"""Stages before the order, as they are computed, by their names in :class:`pomt_ref.Trace`."""


def _shape(case: Case, outcome: Outcome, _profile: Profile) -> None:
    """POMT-PRUNE-1."""
    require_shape(case, outcome)


def _own_order(case: Case, outcome: Outcome, _profile: Profile) -> None:
    """POMT-RANK-1 on its own scores, where it shows them: no rounding stands between them and its order."""
    if "scores" not in outcome.stages:
        return
    prefix = case.shape.prefix
    for sample, reading in enumerate(readings(case, outcome, outcome.stages["scores"])):
        scores = outcome.stages["scores"][sample]
        ranked = scores[[*reading.kept]]
        best_left = scores[[*reading.discarded]].max()
        higher = np.append(ranked[1:], best_left)[: len(ranked)] > ranked
        if higher.any():
            place = int(higher.argmax())
            raise LawViolation(
                "POMT-RANK-1",
                f"sample {sample} keeps token {prefix + reading.kept[place]} at place {place}, "
                "before one that its own scores put higher",
                sample=sample,
            )


def _gather(case: Case, outcome: Outcome, _profile: Profile) -> None:
    """POMT-PRUNE-2 and -4."""
    require_copies(case, outcome)
    require_partition(case, outcome)


def _mean(case: Case, outcome: Outcome, profile: Profile) -> None:
    """POMT-PRUNE-3 on the tokens that it leaves out itself."""
    require_mean(case, outcome, readings(case, outcome, no_scores(case)), profile)


ROWS: Final[Mapping[str, Callable[[Case, Outcome, Profile], None]]] = {
    "shape": _shape,
    "order": _own_order,
    "gather": _gather,
    "mean": _mean,
}
"""Stages from the order on."""
