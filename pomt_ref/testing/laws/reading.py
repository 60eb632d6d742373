"""How a law reads an output: its shape, its rows, its order and its mean, each under the clause that says so."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int64

from pomt_ref import oracle
from pomt_ref.testing import rounding
from pomt_ref.testing.admissible import Disorder, Reading, first_disorder, intervals, read_rows, worst_exchange
from pomt_ref.testing.cases import Case
from pomt_ref.testing.evidence import Evidence, Grade
from pomt_ref.testing.formats import Profile
from pomt_ref.testing.subject import Outcome
from pomt_ref.testing.violation import InapplicableError, LawViolation

Scores = Float64[np.ndarray, "batch patches"]


@contextmanager
def under(clause: str) -> Iterator[None]:
    """Tell what is broken inside as broken under this clause, which says the same of a wider thing."""
    try:
        yield
    except LawViolation as violation:
        told = violation.message if violation.clause == clause else f"{violation.message} (as in {violation.clause})"
        raise LawViolation(clause, told, sample=violation.sample) from violation


def scores_and_bounds(
    case: Case, profile: Profile, *, normalisation: Literal["batch", "sample"] = "batch"
) -> tuple[Scores, Scores]:
    """POMT-SCORE-1 by the oracle, and FLOAT-1: how far the scores of an implementation of this profile may be from it.

    Raises:
        InapplicableError: no order is defined (M = 0), or the profile promises nothing for scores like these.
    """
    if not case.defined:
        raise InapplicableError
    prefix = case.shape.prefix
    sums = case.sums
    parts = [slice(None)] if normalisation == "batch" else [slice(b, b + 1) for b in range(case.shape.batch)]
    bounds = np.concatenate(
        [rounding.score_bound(sums[part], case.v[part].max(axis=1), prefix=prefix, profile=profile) for part in parts]
    )
    if np.isinf(bounds).all():
        raise InapplicableError
    if normalisation == "batch":
        return case.scores, bounds
    return oracle.score(case.attn, case.v, prefix=prefix, normalisation=normalisation), bounds


def class_scores_and_bounds(case: Case, profile: Profile, *, class_index: int = 0) -> tuple[Scores, Scores]:
    """TOPK-1 by the oracle, and how far a mean over heads may be from it."""
    scores = oracle.class_score(case.attn, prefix=case.shape.prefix, class_index=class_index)
    return scores, rounding.sum_bound(scores, terms=case.shape.heads, profile=profile, roundings=2)


def require_shape(case: Case, outcome: Outcome, *, clause: str = "POMT-PRUNE-1", appended: int = 1) -> None:
    """POMT-PRUNE-1: (batch, P + T + 1, channels), and numbers."""
    shape = case.shape
    expected = (shape.batch, shape.prefix + shape.keep + appended, shape.channels)
    if outcome.tokens.shape != expected:
        raise LawViolation(clause, f"output of shape {outcome.tokens.shape}, expected {expected}")
    if not np.isfinite(outcome.tokens).all():
        place = tuple(np.argwhere(~np.isfinite(outcome.tokens))[0].tolist())
        raise LawViolation(clause, f"output{list(place)} is {outcome.tokens[place]}, expected a finite number")


def require_dtype(case: Case, outcome: Outcome) -> None:
    """POMT-PREC-1: the output has x's dtype and device."""
    if outcome.dtype != case.dtype:
        raise LawViolation("POMT-PREC-1", f"output in {outcome.dtype}, expected {case.dtype}")
    if not outcome.same_device:
        raise LawViolation("POMT-PREC-1", "output on another device than x")


def kept_rows(case: Case, outcome: Outcome, sample: int) -> Float64[np.ndarray, "keep channels"]:
    """The rows of the output between the prefix and the appended row."""
    return outcome.tokens[sample, case.shape.prefix : case.shape.prefix + case.shape.keep]


def readings(case: Case, outcome: Outcome, scores: Scores, *, appended: int = 1) -> list[Reading]:
    """POMT-PRUNE-1, -2, -4: which patch tokens the output of every sample consists of.

    Its rows say so, bit for bit. Indices that agree with them say it more exactly, since equal rows have different
    ones; and where a row is no copy of anything, the index tells what it was meant to be, so that a wrong copy is not
    taken for a wrong order.
    """
    require_shape(case, outcome, appended=appended)
    return [_reading(case, outcome, scores[sample], sample) for sample in range(case.shape.batch)]


def _reading(case: Case, outcome: Outcome, scores: Float64[np.ndarray, " patches"], sample: int) -> Reading:
    """One sample of the output."""
    prefix, rows = case.shape.prefix, kept_rows(case, outcome, sample)
    indexed = None if outcome.kept is None else _by_index(case, outcome.kept, sample)
    if indexed is not None and rows.tobytes() == case.patch_rows(sample)[list(indexed.kept)].tobytes():
        return indexed
    try:
        return read_rows(rows, case.patch_rows(sample), scores, prefix=case.x[sample, :prefix], sample=sample)
    except LawViolation:
        if indexed is None:
            raise
        return indexed


def _by_index(case: Case, kept: Int64[np.ndarray, "..."], sample: int) -> Reading | None:
    """The kept tokens as an implementation names them; none if these are no T different patch tokens."""
    prefix, tokens = case.shape.prefix, case.shape.tokens
    if kept.shape != (case.shape.batch, case.shape.keep):
        return None
    rows = kept[sample].tolist()
    if len(set(rows)) < len(rows) or not all(prefix <= row < tokens for row in rows):
        return None
    others = sorted(set(range(prefix, tokens)) - set(rows))
    return Reading(tuple(row - prefix for row in rows), tuple(row - prefix for row in others), by_index=True)


@dataclass(frozen=True)
class Order:
    """An order that was accepted."""

    readings: list[Reading]
    evidence: Evidence


def require_order(
    clause: str, case: Case, outcome: Outcome, scores: Scores, bounds: Scores, *, appended: int = 1
) -> Order:
    """POMT-RANK-1: some scores within their errors give this order, in every sample."""
    found = readings(case, outcome, scores, appended=appended)
    evidence = Evidence()
    for sample, reading in enumerate(found):
        # Rows that are equal stand for each other, unless the implementation says which is which.
        rows = None if reading.by_index else case.patch_rows(sample)
        low, high = intervals(rows, scores[sample], bounds[sample])
        disorder = first_disorder(reading, low, high)
        if disorder is not None:
            told = _tell(disorder, case, sample, scores[sample], bounds[sample])
            right_set = first_disorder(_in_order(reading, scores[sample]), low, high) is None
            told = f"{told}; the tokens kept are right, their order is not" if right_set else told
            raise LawViolation(clause, told, sample=sample)
        attained = worst_exchange(reading, low, high)
        evidence |= Evidence(attained, _grade(reading, scores[sample]))
    return Order(found, evidence)


def require_mean(case: Case, outcome: Outcome, found: list[Reading], profile: Profile) -> Evidence:
    """POMT-PRUNE-3: the last row is the mean of the rows that the output itself leaves out, within FLOAT-2."""
    evidence = Evidence()
    for sample, reading in enumerate(found):
        rows = case.patch_rows(sample)[list(reading.discarded)]
        bound = rounding.mean_bound(rows, profile=profile, dtype=case.dtype)
        what = f"mean row of sample {sample}"
        evidence |= require_close("POMT-PRUNE-3", what, outcome.tokens[sample, -1], mean(rows), bound)
    return evidence


def mean(rows: Float64[np.ndarray, "rows channels"]) -> Float64[np.ndarray, " channels"]:
    """POMT-PRUNE-3 by the oracle."""
    return oracle.mean_row(rows)


def require_close(
    clause: str,
    what: str,
    got: Float64[np.ndarray, "..."],
    expected: Float64[np.ndarray, "..."],
    bound: Float64[np.ndarray, "..."],
) -> Evidence:
    """Within the bound, everywhere; the worst place is told, or how much of the bound was used."""
    if got.shape != expected.shape:
        raise LawViolation(clause, f"{what} of shape {got.shape}, expected {expected.shape}")
    with np.errstate(invalid="ignore"):
        error = np.abs(got - expected)
        excess = error - bound
    excess = np.where(np.isnan(excess), np.inf, excess)
    if (excess > 0).any():
        place = np.unravel_index(int(excess.argmax()), excess.shape)
        where = f"{what}[{', '.join(str(int(i)) for i in place)}]"
        allowed = np.broadcast_to(bound, got.shape)[place]
        raise LawViolation(clause, f"{where} is {got[place]:.9g}, expected {expected[place]:.9g} +- {allowed:.1e}")
    used = np.divide(error, bound, out=np.zeros_like(error), where=np.broadcast_to(error > 0, error.shape))
    return Evidence(float(used.max(initial=0.0)))


def separated(case: Case, scores: Scores, bounds: Scores) -> bool:
    """Whether no two scores of a sample are within both their errors, and no two rows of x are equal."""
    for sample in range(case.shape.batch):
        order = np.argsort(scores[sample])
        low, high = scores[sample] - bounds[sample], scores[sample] + bounds[sample]
        if (low[order][1:] <= np.maximum.accumulate(high[order])[:-1]).any():
            return False
        if len({row.tobytes() for row in case.patch_rows(sample)}) < case.shape.patches:
            return False
    return True


def _grade(reading: Reading, scores: Float64[np.ndarray, " patches"]) -> Grade:
    """How an accepted order relates to the oracle's; tokens of equal scores stand in any order there too."""
    best = np.sort(scores)[::-1][: len(reading.kept)]
    mine = scores[list(reading.kept)]
    if np.array_equal(mine, best):
        return "identical order"
    return "same kept set" if np.array_equal(np.sort(mine)[::-1], best) else "admissible"


def _in_order(reading: Reading, scores: Float64[np.ndarray, " patches"]) -> Reading:
    """The same tokens, the kept ones in descending score."""
    return Reading(
        tuple(sorted(reading.kept, key=lambda position: -scores[position])), reading.discarded, reading.by_index
    )


def _tell(
    disorder: Disorder,
    case: Case,
    sample: int,
    scores: Float64[np.ndarray, " patches"],
    bounds: Float64[np.ndarray, " patches"],
) -> str:
    """Name the two tokens, their scores, the gap and what would have been allowed."""
    first, second = disorder.first, disorder.second
    fate = "which is kept after it" if disorder.kept else "which is discarded"
    gap = scores[second] - scores[first]
    return (
        f"sample {sample} keeps token {first + case.shape.prefix} (score {scores[first]:.9g}) before token "
        f"{second + case.shape.prefix} (score {scores[second]:.9g}), {fate}; "
        f"gap {gap:.1e}, rounding explains {bounds[first] + bounds[second]:.1e}"
    )
