"""Floats: the bounds of POMT-SCORE-1 in IEEE arithmetic, bit by bit, for every value that a format has.

The source divides two floats of one format and adds two: those two operations are stated as z3 has them, with
rounding to nearest, ties to even. That the source does just this is proved by the equality of graphs; that torch's
division and sum are IEEE's is trusted.
"""

from functools import partial
from typing import Final

import z3

from tests.proofs.statement import Statement, refute

FORMATS: Final = {"binary16": (5, 11), "bfloat16": (8, 8), "binary32": (8, 24)}
"""Bits of the exponent, and of the significand with its hidden one."""

MILLISECONDS: Final = 200_000


def holds(claim: z3.BoolRef, *given: z3.BoolRef) -> bool:
    """Whether no bit pattern contradicts it."""
    solver = z3.SolverFor("QF_FP")
    solver.set("timeout", MILLISECONDS)
    solver.add(*given, z3.Not(claim))
    return bool(solver.check() == z3.unsat)


def in_closed(value: z3.FPRef, low: float, high: float) -> z3.BoolRef:
    """low ≤ value ≤ high, and so no NaN."""
    return z3.And(z3.fpLEQ(z3.FPVal(low, value.sort()), value), z3.fpLEQ(value, z3.FPVal(high, value.sort())))


def prove_format(name: str, *, largest_is: bool = True) -> None:
    """0 ≤ S/M ≤ 1 and M/M = 1 for finite 0 ≤ S ≤ M, M > 0; 0 ≤ m + p ≤ 2; and neither bound is smaller in truth."""
    kind = z3.FPSort(*FORMATS[name])
    total, largest, share = z3.FPs("S M p", kind)
    nearest, zero, one = z3.RNE(), z3.FPVal(0.0, kind), z3.FPVal(1.0, kind)
    finite = z3.Not(z3.Or(z3.fpIsInf(largest), z3.fpIsNaN(largest)))
    sums = [finite, z3.fpGT(largest, zero), z3.fpLEQ(zero, total)]
    sums += [z3.fpLEQ(total, largest)] if largest_is else []
    ratio = z3.fpDiv(nearest, total, largest)
    refute(unless=holds(in_closed(ratio, 0.0, 1.0), *sums), why=f"{name}: S / M leaves [0, 1]")
    refute(unless=holds(z3.fpEQ(z3.fpDiv(nearest, largest, largest), one), *sums), why=f"{name}: M / M is not 1")
    attention = z3.FP("m", kind)
    unit = [in_closed(attention, 0.0, 1.0), in_closed(share, 0.0, 1.0)]
    score = z3.fpAdd(nearest, attention, share)
    refute(unless=holds(in_closed(score, 0.0, 2.0), *unit), why=f"{name}: m + p leaves [0, 2]")
    # Over the reals p < 1 gives s < 2. In floats it does not: the bounds are closed, and stated so.
    strict = holds(z3.fpLT(score, z3.FPVal(2.0, kind)), *unit, z3.fpLT(share, one))
    refute(unless=not strict, why=f"{name}: m + p < 2 would hold, so the closed bound says too little")


STATEMENTS: Final = tuple(
    Statement(
        f"floats {name}",
        "0 ≤ S/M ≤ 1, M/M = 1 and 0 ≤ m + p ≤ 2 as rounded; m + p = 2 occurs with p < 1, so the bounds are closed.",
        "POMT-ATT-2, POMT-SCORE-1",
        "z3 floating point",
        f"every {name} value",
        partial(prove_format, name),
    )
    for name in FORMATS
)
