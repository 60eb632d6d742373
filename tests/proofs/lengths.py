"""Lengths: torch traces the public functions with sizes that are symbols, and z3 proves the formula it finds.

A FakeTensor has a shape and no numbers; with sizes that are unbacked symbols torch knows nothing of them, and a branch
on one would stop the trace. So what comes out is one formula for every size: of torch's own kernels for fake tensors,
not of stubs. The formula has minima and maxima, for a slice may reach beyond the end; under the documented
preconditions it is P + T + 1, and z3 also shows that it is not without them.

The interface to symbolic sizes is not torch's public one: it is used in this module alone, with torch pinned.
"""

import functools
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
import z3
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from tests.proofs.sources import public
from tests.proofs.statement import ALL_SIZES, Statement, refute

NAMES: Final = ("B", "H", "N", "D", "C", "P", "T", "R")
B, H, N, D, C, P, T, R = z3.Ints(" ".join(NAMES))

ANY_SIZES: Final = z3.And(*[size >= 0 for size in (B, H, N, D, C, P, T, R)])
A_LAYER: Final = z3.And(B >= 1, H >= 1, N >= 1, D >= 1, C >= 1, P >= 0, P < N)
KEEP_IN_RANGE: Final = z3.And(T >= 0, T <= N - P - 1)

OPERATIONS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "Add": operator.add,
    "Mul": operator.mul,
    "Min": lambda one, other: z3.If(one <= other, one, other),
    "Max": lambda one, other: z3.If(one >= other, one, other),
    "GreaterThan": operator.ge,
    "LessThan": operator.le,
    "StrictGreaterThan": operator.gt,
    "StrictLessThan": operator.lt,
    "And": z3.And,
}


def to_z3(formula: Any, named: Mapping[str, z3.ArithRef]) -> Any:  # noqa: ANN401 -- sympy has no types, z3 few
    """A formula of torch over sizes, or a comparison of two, as a term. A size that torch invented has no name here."""
    if formula.is_Integer:
        return z3.IntVal(int(formula))
    if formula.is_Symbol:
        refute(unless=str(formula) in named, why=f"torch does not know a size and calls it {formula}")
        return named[str(formula)]
    return functools.reduce(OPERATIONS[type(formula).__name__], [to_z3(each, named) for each in formula.args])


@dataclass(frozen=True)
class Traced:
    """What torch found."""

    shapes: Mapping[str, tuple[z3.ArithRef, ...]]
    """The shape of every field of the result, as terms over the names of the sizes."""
    assumed: tuple[z3.BoolRef, ...]
    """What torch puts off to run time: conditions under which the shapes are these."""


def traced(call: "Length", **options: object) -> Traced:
    """Trace a call."""
    environment = ShapeEnv()
    sizes: dict[str, Any] = {name: environment.create_unbacked_symint() for name in NAMES}
    for size in sizes.values():
        torch._check(size >= 0)  # noqa: SLF001 -- what torch offers for it
    named = {str(size.node.expr): z3.Int(name) for name, size in sizes.items()}
    if call.tokens is not None:
        sizes["N"] = call.tokens(sizes)
    shapes = {"x": "BNC", "attn": "BHNN", "v": "BHND"}
    given = {argument: sizes[name] for argument, name in call.counts.items()}
    with FakeTensorMode(shape_env=environment):
        made = [torch.empty([sizes[axis] for axis in shapes[each]]) for each in call.tensors.split()]
        result = public(call.path)(*made, **given, **options, check="none")
    refute(unless=not environment.guards, why=f"{call.path}: torch assumes {environment.guards} of the sizes")
    found = {
        field: tuple(
            to_z3(each.node.expr, named) if isinstance(each, torch.SymInt) else z3.IntVal(each)
            for each in getattr(result, field).shape
        )
        for field in vars(result)
    }
    put_off = [to_z3(each.expr, named) for some in environment.deferred_runtime_asserts.values() for each in some]
    return Traced(found, tuple(put_off))


def follows(claim: z3.BoolRef, given: z3.BoolRef) -> bool:
    """Whether z3 proves it."""
    solver = z3.Solver()
    solver.add(given, z3.Not(claim))
    return bool(solver.check() == z3.unsat)


def is_shape(shape: tuple[z3.ArithRef, ...], *expected: z3.ArithRef | int) -> z3.BoolRef:
    """The same axes."""
    refute(unless=len(shape) == len(expected), why=f"{len(shape)} axes, not {len(expected)}")
    return z3.And(*[one == other for one, other in zip(shape, expected, strict=True)])


@dataclass(frozen=True)
class Length:
    """A way to call a function, the precondition of its counts, and the numbers of rows that follow."""

    path: str
    tensors: str
    counts: Mapping[str, str]
    precondition: z3.BoolRef
    output: z3.ArithRef
    kept: z3.ArithRef
    tokens: Callable[[Mapping[str, Any]], Any] | None = None
    """N from the other sizes, where the precondition is put in by it: torch then sees that T is not negative."""

    def prove(self) -> None:
        """The shapes of all four fields, and that the length needs its precondition."""
        option: dict[str, object] = {"normalisation": "sample"} if "v" in self.tensors else {"class_index": 0}
        for options in ({}, option):
            self._prove(options)

    def _prove(self, options: Mapping[str, object]) -> None:
        trace = traced(self, **options)
        claims = {
            "tokens": is_shape(trace.shapes["tokens"], B, self.output, C),
            "kept": is_shape(trace.shapes["kept"], B, self.kept),
            "discarded": is_shape(trace.shapes["discarded"], B, N - P - self.kept),
            "scores": is_shape(trace.shapes["scores"], B, N - P),
        }
        known = ANY_SIZES if self.tokens is None else z3.And(ANY_SIZES, self.tokens({"P": P, "T": T, "R": R}) == N)
        under = z3.And(A_LAYER, self.precondition, known)
        words = f"{self.path}({dict(self.counts)})"
        refute(unless=follows(z3.And(*trace.assumed), under), why=f"{words}: torch assumes {trace.assumed}")
        for field, claim in claims.items():
            refute(unless=follows(claim, under), why=f"{words}: {field} is {trace.shapes[field]}")
        if self.tokens is None:
            needed = not follows(claims["tokens"], z3.And(ANY_SIZES, P < N))
            refute(unless=needed, why=f"{words}: the length needs no precondition")


KEEP: Final = {"prefix": "P", "keep": "T"}
REMOVE: Final = {"prefix": "P", "remove": "R"}


def one_appended(sizes: Mapping[str, Any]) -> Any:  # noqa: ANN401 -- of torch or of z3
    """POMT-COUNT-1 turned round: N from P, T and R, for POMT and EViT."""
    return sizes["P"] + sizes["T"] + sizes["R"] + 1


def none_appended(sizes: Mapping[str, Any]) -> Any:  # noqa: ANN401 -- as above
    """The same for Top-K."""
    return sizes["P"] + sizes["T"] + sizes["R"]


LENGTHS: Final = (
    Length("pruning.prune", "x attn v", KEEP, KEEP_IN_RANGE, P + T + 1, T),
    Length("pruning.prune", "x attn v", REMOVE, R >= 1, N - R, N - P - R - 1, one_appended),
    Length("siblings.topk_prune", "x attn", KEEP, KEEP_IN_RANGE, P + T, T),
    Length("siblings.topk_prune", "x attn", REMOVE, R >= 1, N - R, N - P - R, none_appended),
    Length("siblings.evit_prune", "x attn", KEEP, KEEP_IN_RANGE, P + T + 1, T),
    Length("siblings.evit_prune", "x attn", REMOVE, R >= 1, N - R, N - P - R - 1, one_appended),
)


def prove_lengths() -> None:
    """Every way to call a function."""
    for each in LENGTHS:
        each.prove()


STATEMENTS: Final = (
    Statement(
        "output length",
        "P + T + 1 tokens come out of prune, N - R where R is given; and only under the documented preconditions.",
        "POMT-PRUNE-1, POMT-COUNT-1, TOPK-1, EVIT-1",
        "torch FakeTensor, z3",
        ALL_SIZES,
        prove_lengths,
    ),
)
