"""POMT-ATT-1 · laws of implementations that take queries and keys and never hold the matrix.

FLOAT-3 says how far rounding may take them: the rounding of the products is an error of the logits, and an error of a
logit is a factor of the attention.
"""

import numpy as np
from jaxtyping import Float64

from pomt_ref import oracle
from pomt_ref.testing.evidence import Evidence
from pomt_ref.testing.formats import FORMATS, normative
from pomt_ref.testing.laws.reading import require_close
from pomt_ref.testing.queries import LayerCase
from pomt_ref.testing.rounding import ARGUMENT_ROUNDINGS, EXP_ULPS, ORACLE, softmax_growth, sum_bound

Matrix = Float64[np.ndarray, "batch heads tokens tokens"]


def streamed_sums_are_those_of_the_matrix(case: LayerCase, sums: Float64[np.ndarray, "batch patches"]) -> Evidence:
    """S_j is the sum over patch queries of the maximum over heads of softmax(scale · q k), the prefix left out."""
    allowed = _matrix_bound(case, _softmax_growth(case))
    return _require_sums(case, sums, allowed)


def sums_from_a_logsumexp_are_those_of_the_matrix(
    case: LayerCase, sums: Float64[np.ndarray, "batch patches"]
) -> Evidence:
    """S_j is the sum over patch queries of exp(max over heads of scale · q k − lse), the prefix left out."""
    allowed = _matrix_bound(case, _shifted_growth(case), most=np.inf)
    return _require_sums(case, sums, allowed)


def output_is_that_of_attention(case: LayerCase, out: Float64[np.ndarray, "batch heads tokens values"]) -> Evidence:
    """The output beside the sums is the average of the values by the same attention."""
    stored = FORMATS[case.dtype]
    expected = oracle.attention_output(case.attn, case.v)
    sizes = np.abs(case.v)
    allowed = _matrix_bound(case, _softmax_growth(case))
    weight = (case.attn + allowed) @ sizes
    bound = sum_bound(weight, terms=case.shape.tokens, profile=normative(case.dtype), roundings=1) + allowed @ sizes
    return require_close(
        "POMT-ATT-1", "output", out, expected, (1 + stored.unit) * bound + stored.unit * weight + stored.tiny
    )


def _require_sums(case: LayerCase, sums: Float64[np.ndarray, "batch patches"], allowed: Matrix) -> Evidence:
    """FLOAT-3: the error of a maximum is at most the largest of its terms'; sums then round as in FLOAT-1."""
    prefix = case.shape.prefix
    expected = oracle.attention_sums(case.attn, prefix=prefix)
    moved = allowed[:, :, prefix:, prefix:].max(axis=1).sum(axis=1)
    profile = normative(case.dtype)
    bound = sum_bound(expected + moved, terms=case.shape.tokens - prefix, profile=profile) + moved
    return require_close("POMT-ATT-1", "attention sum", sums, expected, bound)


def _logit_error(case: LayerCase) -> Matrix:
    """FLOAT-3, τ: D products, their sum and the scale round once each, relative to the sizes of the products."""
    arithmetic = normative(case.dtype).arithmetic
    operations = case.shape.features + 1
    error: Matrix = ((1 + arithmetic.unit) ** operations - 1 + ORACLE) * case.sizes + 2 * operations * arithmetic.tiny
    return error


def _softmax_growth(case: LayerCase) -> Matrix:
    """FLOAT-3, ω of a softmax of whole rows: as in FLOAT-1, with the error of the logits in the place of value sums."""
    distance = case.logits.max(axis=-1, keepdims=True) - case.logits
    return softmax_growth(_logit_error(case), distance, profile=normative(case.dtype))


def _shifted_growth(case: LayerCase) -> Matrix:
    """FLOAT-3, ω beside a logsumexp: one exponential of a logit less a number that is rounded itself."""
    unit = normative(case.dtype).arithmetic.unit
    exact = oracle.logsumexp(case.logits)[..., None]
    given = case.lse[..., None]
    subtracted = (3 * unit + ORACLE) * (case.sizes + np.abs(given)) + np.abs(given - exact)
    tau = (1 + 3 * unit) * _logit_error(case) + subtracted
    growth: Matrix = tau + ARGUMENT_ROUNDINGS * unit * (np.abs(case.logits - given) + tau) - np.log1p(-EXP_ULPS * unit)
    return growth


def _matrix_bound(case: LayerCase, growth: Matrix, *, most: float = 1.0) -> Matrix:
    """How far a computed entry of attention may be from the real one; an entry of a softmax by no more than one."""
    profile = normative(case.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        # As in FLOAT-1: an entry too small for this format may still be computed as one.
        shown, exponent = case.attn >= np.finfo(np.float64).tiny, case.logits - oracle.logsumexp(case.logits)[..., None]
        grown = np.where(shown, case.attn * np.expm1(growth), np.exp(growth + exponent))
    underflow = (case.shape.tokens + 1) * profile.arithmetic.tiny + profile.storage.tiny
    allowed: Matrix = np.minimum(grown, most * (1 + 2 * profile.storage.unit)) + underflow
    return allowed
