"""What has to come out of a vector: exact scores, their errors, the order, and which of its decisions are forced."""

from decimal import Context, Decimal
from math import fsum
from typing import Final

import numpy as np
from jaxtyping import Float64, Int64

from pomt_ref import oracle
from pomt_ref.conformance.vectors.drawing import WIGGLE
from pomt_ref.conformance.vectors.vector import Cut, Expected
from pomt_ref.testing import Case, Method, normative
from pomt_ref.testing.formats import representable
from pomt_ref.testing.laws.fusing import fused_bound
from pomt_ref.testing.laws.reading import class_scores_and_bounds, scores_and_bounds
from pomt_ref.testing.rounding import mean_bound

BOUND_BITS: Final = 12
"""Significant bits of a bound. Bounds are rounded up: what they allow stays allowed."""

DIGITS: Final = Context(prec=30)
"""Decimal digits of an exponential, which the decimal arithmetic of Python rounds correctly on every machine."""

PerPatch = Float64[np.ndarray, "batch patches"]
PerChannel = Float64[np.ndarray, "batch channels"]


def expect(case: Case, method: Method) -> Expected:
    """Do the step of the case exactly, and say what of it rounding may change."""
    prefix, keep = case.shape.prefix, case.shape.keep
    scores, epsilon = _scores(case, method)
    order = oracle.order(scores) + prefix
    kept, discarded = order[:, :keep], order[:, keep:]
    last_row, last_row_bound = _last_row(case, method, scores, discarded)
    tokens = [case.x[:, :prefix], np.take_along_axis(case.x, kept[:, :, np.newaxis], axis=1)]
    if last_row is not None:
        tokens.append(representable(last_row, case.dtype)[:, np.newaxis])
    ranked, allowed = (np.take_along_axis(each, order - prefix, axis=1) for each in (scores, epsilon))
    return Expected(
        scores=scores,
        epsilon=epsilon,
        order=order,
        kept=kept,
        discarded=discarded,
        forced=((ranked - allowed)[:, :keep] > (ranked + allowed)[:, 1 : keep + 1]).astype(np.uint8),
        tokens=np.concatenate(tokens, axis=1),
        last_row=last_row,
        last_row_bound=last_row_bound,
        cuts=tuple(_cut(*sample, keep) for sample in zip(ranked, allowed, strict=True)),
    )


def rounded_up(bound: Float64[np.ndarray, "*axes"]) -> Float64[np.ndarray, "*axes"]:
    """The bound in few bits, never below it, and the same where it differs in its last bits only.

    >>> rounded_up(np.array([1.0, 1.1, 0.0])).tolist()
    [1.00048828125, 1.10009765625, 0.0]
    """
    mantissa, exponent = np.frexp(bound * (1 + WIGGLE))
    raised: Float64[np.ndarray, "*axes"] = np.ldexp(np.ceil(np.ldexp(mantissa, BOUND_BITS)), exponent - BOUND_BITS)
    return raised


def _scores(case: Case, method: Method) -> tuple[PerPatch, PerPatch]:
    """The scores of the method, and ε in the normative precision of the dtype."""
    profile, prefix = normative(case.dtype), case.shape.prefix
    if method != "pomt":
        scores, bounds = class_scores_and_bounds(case, profile)
        return scores, rounded_up(bounds)
    _, bounds = scores_and_bounds(case, profile)
    # All of the oracle is basic arithmetic, correctly rounded, but for one function: the exponential.
    scores = oracle.attention_score(case.attn, prefix=prefix) + _shares(case)[:, prefix:]
    return scores, rounded_up(bounds)


def _shares(case: Case) -> Float64[np.ndarray, "batch tokens"]:
    """POMT-MAG-1, as the oracle computes it, with exponentials that are correctly rounded."""
    shares = []
    for sums in oracle.value_sums(case.v).tolist():
        exponentials = [float(Decimal(total - max(sums)).exp(DIGITS)) for total in sums]
        divisor = fsum(exponentials)
        shares.append([exponential / divisor for exponential in exponentials])
    return np.array(shares, dtype=np.float64)


def _last_row(
    case: Case, method: Method, scores: PerPatch, discarded: Int64[np.ndarray, "batch discarded"]
) -> tuple[PerChannel | None, PerChannel | None]:
    """POMT-PRUNE-3, EVIT-1: the mean or fused row of every sample, and how far it may be off."""
    if method == "topk":
        return None, None
    profile, rows_and_bounds = normative(case.dtype), []
    for sample, left in enumerate(discarded):
        rows, weights = case.x[sample, left], scores[sample, left - case.shape.prefix]
        if method == "pomt":
            rows_and_bounds.append((oracle.mean_row(rows), mean_bound(rows, profile=profile, dtype=case.dtype)))
        else:
            fused = oracle.fused_row(rows, weights, normalise=False)
            rows_and_bounds.append((fused, fused_bound(case, rows, weights, profile, normalise=False)))
    exact, bounds = zip(*rows_and_bounds, strict=True)
    return np.array(exact), rounded_up(np.array(bounds))


def _cut(ranked: Float64[np.ndarray, " patches"], allowed: Float64[np.ndarray, " patches"], keep: int) -> Cut:
    """The cut of one sample, from its scores and their errors in rank order."""
    if keep == 0:
        return Cut(None, None, "forced")
    forced = (ranked - allowed)[:keep].min() > (ranked + allowed)[keep:].max()
    gap, explained = ranked[keep - 1] - ranked[keep], allowed[keep - 1] + allowed[keep]
    return Cut(float(gap), float(explained), "forced" if forced else "ambiguous")
