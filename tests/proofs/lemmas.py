"""Lemmas: what holds for every N, with arbitrary tokens i, j, k and no list of sizes.

The functions of counting are plain arithmetic, so they are run on terms: the lemmas are about the source itself. The
order is stated with one score a token and any number of tokens.
"""

from collections.abc import Mapping
from typing import Final

import z3

from tests.proofs.sources import public
from tests.proofs.statement import ALL_SIZES, Statement, refute

N, P, T, R, APPENDED = z3.Ints("N P T R appended")
PREFIX: Final = z3.And(P >= 0, P < N)
KEEP: Final = z3.And(PREFIX, T >= 0, T <= N - P - 1)
REMOVE: Final = z3.And(PREFIX, R >= 1, R <= N - P - 1)


def all_follow(claims: Mapping[str, z3.BoolRef], *given: z3.BoolRef) -> None:
    """Each claim follows from what is given, and what is given is no contradiction."""
    solver = z3.Solver()
    solver.set("timeout", 30_000)
    solver.add(*given)
    refute(unless=solver.check() == z3.sat, why="the premises contradict each other")
    for name, claim in claims.items():
        solver.push()
        solver.add(z3.Not(claim))
        refute(unless=solver.check() == z3.unsat, why=f"{name} does not follow")
        solver.pop()


def prove_counts() -> None:
    """T, R, m and the output length determine each other as POMT-COUNT-1 says, whatever is appended."""
    kept, removed = public("counting.kept_count"), public("counting.removed_count")
    discarded, length = public("counting.discarded_count"), public("counting.output_length")
    keep = kept(N, prefix=P, remove=R)
    all_follow(
        {
            "T = N - P - R - 1": keep == N - P - R - 1,
            "0 ≤ T ≤ N - P - 2": z3.And(keep >= 0, keep <= N - P - 2),
            "the output is R shorter": length(prefix=P, keep=keep) == N - R,
            "R + 1 tokens go": discarded(N, prefix=P, keep=keep) == R + 1,
            "R from T": removed(N, prefix=P, keep=keep) == R,
        },
        REMOVE,
    )
    gone = removed(N, prefix=P, keep=T)
    all_follow(
        {
            "R = N - P - T - 1": gone == N - P - T - 1,
            "m = N - P - T": discarded(N, prefix=P, keep=T) == N - P - T,
            "something is discarded": discarded(N, prefix=P, keep=T) >= 1,
            "length P + T + 1": length(prefix=P, keep=T) == P + T + 1,
            "no longer than the input": length(prefix=P, keep=T) <= N,
            "as long only if one token goes": (length(prefix=P, keep=T) == N) == (discarded(N, prefix=P, keep=T) == 1),
            "T from R": kept(N, prefix=P, remove=gone) == T,
        },
        KEEP,
    )
    any_rows = {"prefix": P, "appended": APPENDED}
    all_follow(
        {
            "T for any appended": kept(N, remove=R, **any_rows) == N - P - R - APPENDED,
            "R for any appended": removed(N, keep=T, **any_rows) == N - P - T - APPENDED,
            "length for any appended": length(keep=T, **any_rows) == P + T + APPENDED,
        },
        z3.And(APPENDED >= 0, APPENDED <= 1),
    )


def prove_order(*, ties_by_index: bool = True) -> None:
    """Before, more or as much and of lower index, is a strict total order: one order, whatever the scores."""
    score = z3.Function("score", z3.IntSort(), z3.RealSort())
    i, j, k = z3.Ints("i j k")

    def before(one: z3.ArithRef, other: z3.ArithRef) -> z3.BoolRef:
        return z3.Or(score(one) > score(other), z3.And(ties_by_index, score(one) == score(other), one < other))

    all_follow(
        {
            "irreflexive": z3.Not(before(i, i)),
            "transitive": z3.Implies(z3.And(before(i, j), before(j, k)), before(i, k)),
            "total": z3.Or(i == j, before(i, j), before(j, i)),
        }
    )


def prove_sums(*, among_others: bool = True) -> None:
    """Steps of induction over the tokens, and what follows of sums that they carry to any N."""
    so_far, term, one, largest, rest = z3.Reals("so_far term one largest rest")
    all_follow(
        {"a sum of terms ≥ 0 is at least each": z3.And(so_far + term >= one, so_far + term >= term)},
        so_far >= one,
        one >= 0,
        term >= 0,
    )
    all_follow({"0 ≤ S/M ≤ 1": z3.And(one / largest >= 0, one / largest <= 1)}, one >= 0, largest >= one, largest > 0)
    others = rest > 0 if among_others else rest >= 0
    all_follow({"0 < p < 1 among others": z3.And(one / (one + rest) > 0, one / (one + rest) < 1)}, one > 0, others)
    scale, total = z3.Reals("scale total")
    shifted = (one * scale) / (total * scale) == one / total
    all_follow({"a constant added to every t leaves p": shifted}, one > 0, total >= one, scale > 0)
    low, high, count = z3.Reals("low high count")
    between = z3.And(low <= total / count, total / count <= high)
    all_follow({"a mean lies between its rows": between}, count >= 1, count * low <= total, total <= count * high)


STATEMENTS: Final = (
    Statement(
        "counting lemmas",
        "T = N - P - R - 1 and back, the output is R shorter, R + 1 tokens go, for any appended rows.",
        "POMT-COUNT-1, POMT-PRUNE-1, POMT-PRUNE-4",
        "z3 on the functions of counting",
        ALL_SIZES,
        prove_counts,
    ),
    Statement(
        "order lemmas",
        "Descending score with ties by the lower index is a strict total order: there is one order.",
        "POMT-RANK-1",
        "z3",
        "any number of tokens",
        prove_order,
    ),
    Statement(
        "sum lemmas",
        "Bounds of m and p, p unchanged by a constant added to every t, the mean between its rows: steps of induction.",
        "POMT-ATT-2, POMT-MAG-1, POMT-META-3, POMT-PRUNE-3",
        "z3",
        "any number of tokens, over the reals",
        prove_sums,
    ),
)
