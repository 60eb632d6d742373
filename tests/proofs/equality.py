"""Equality: what the exported graph of each public function computes is what the scalar specification says.

For all real inputs, at listed sizes. A proof goes in two stages. First the scores of the graph are those of the
specification. Then the scores are cut out and replaced by constants of which nothing is known, and everything that
follows from them is proved the same: order, rows, mean. Ties are among those scores, so the order of equal
scores is proved too. Exponentials and quotients may be any functions, so M = 0 is covered.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np
import torch
import z3
from torch import Tensor

from tests.proofs import scalars
from tests.proofs.algebra import Numeric, Symbolic
from tests.proofs.graphs import Graph, Sizes, graph_of, proved, random_inputs, same, symbolic_layer, to_numbers
from tests.proofs.operators import Array, Operators, filled
from tests.proofs.scalars import Layer
from tests.proofs.sources import public
from tests.proofs.statement import Statement, refute

SMALL: Final = Sizes(batch=2, heads=3, tokens=6, features=2, channels=2, prefix=2, keep=1)
"""Different numbers wherever they can be told apart; here N ≤ 6 and every role has more than one of its kind."""

SIZES: Final = (
    SMALL,
    Sizes(2, 2, 4, 2, 1, prefix=0, keep=2),
    Sizes(1, 1, 3, 1, 1, prefix=1, keep=0),
    Sizes(2, 1, 5, 3, 2, prefix=1, keep=3),
    Sizes(3, 2, 6, 1, 1, prefix=1, keep=2),
    Sizes(1, 4, 6, 2, 3, prefix=3, keep=1),
    Sizes(2, 2, 6, 2, 2, prefix=0, keep=0),
    Sizes(1, 2, 7, 1, 1, prefix=1, keep=3),
)
"""Listed in the table as the scope of the equality of POMT."""

OF_STAGES: Final = SIZES[:4]
"""For trace, which is prune with every stage shown."""

OF_SIBLINGS: Final = (SMALL, Sizes(2, 2, 5, 1, 2, prefix=1, keep=0), Sizes(1, 3, 6, 1, 2, prefix=3, keep=2))
"""For Top-K and EViT, which need a prefix row."""

POMT: Final = ("x", "attn", "v")
SIBLING: Final = ("x", "attn")


def must_be_same(algebra: Symbolic, got: Mapping[str, Array], expected: Mapping[str, Array], what: str) -> None:
    """Every expected field, by its shape and then by its numbers."""
    for field, array in expected.items():
        refute(unless=field in got, why=f"{what}: no {field}")
        refute(unless=got[field].shape == array.shape, why=f"{what}: {field} is {got[field].shape}, not {array.shape}")
        if array.size:
            answer = proved(algebra, same(got[field], array))
            refute(unless=answer == z3.unsat, why=f"{what}: {field} is not what the clauses say ({answer})")


@dataclass(frozen=True)
class Step:
    """A public function that makes a whole step, and its specification in the two stages."""

    path: str
    tensors: tuple[str, ...]
    options: Mapping[str, object]
    sizes: Sizes
    before: Callable[[Layer], Mapping[str, Array]]
    """What it gives up to the scores."""
    after: Callable[[scalars.Ranking], Mapping[str, Array]]
    """What it gives from the order on."""

    def exported(self) -> Graph:
        """Its graph."""
        return graph_of(public(self.path), random_inputs(self.sizes, self.tensors), {**self.options, "check": "none"})

    def prove(self) -> None:
        """Both stages."""
        what = f"{self.path}({', '.join(f'{k}={v}' for k, v in self.options.items())}) at {self.sizes}"
        graph = self.exported()
        algebra = Symbolic()
        layer = symbolic_layer(self.sizes, algebra)
        inputs = [getattr(layer, each) for each in self.tensors]
        cut = graph.sorted_node()

        got = graph.run(Operators(algebra), inputs)
        expected = self.before(layer)
        must_be_same(algebra, got, expected, what)
        must_be_same(algebra, {"scores": got[f"node:{cut}"]}, {"scores": expected["scores"]}, f"{what}: what is sorted")

        free = layer.per_patch(lambda sample, token: z3.Real(f"score[{sample}, {token}]"))
        got = graph.run(Operators(algebra), inputs, {cut: free})
        must_be_same(algebra, got, self.after(scalars.ranking(layer, free)), what)


def pomt(path: str, sizes: Sizes, options: Mapping[str, object], normalisation: str) -> Step:
    """Prune or trace."""
    traced = path == "tracing.trace"
    return Step(
        path,
        POMT,
        options,
        sizes,
        (lambda layer: scalars.stages(layer, normalisation))
        if traced
        else (lambda layer: {"scores": scalars.scores(layer, normalisation)}),
        (lambda ranked: scalars.after_order(ranked, sizes.keep))
        if traced
        else (lambda ranked: scalars.step(ranked, sizes.keep, [scalars.mean])),
    )


def sibling(path: str, sizes: Sizes, options: Mapping[str, object], appended: Iterable[scalars.Appended]) -> Step:
    """Top-K or EViT."""
    row = options.get("class_index", 0)
    assert isinstance(row, int)
    return Step(
        path,
        SIBLING,
        options,
        sizes,
        lambda layer: {"scores": scalars.class_scores(layer, row)},
        lambda ranked: scalars.step(ranked, sizes.keep, appended),
    )


def pomt_steps(path: str, every: Sequence[Sizes] = SIZES) -> Iterable[Step]:
    """Every size, with either count, either normalisation; and once with what a caller leaves out."""
    for sizes in every:
        counts = {"keep": sizes.keep, "remove": sizes.tokens - sizes.prefix - sizes.keep - 1}
        for (given, count), normalisation in zip(counts.items(), ("sample", "batch"), strict=True):
            if given == "keep" or count >= 1:
                options = {"prefix": sizes.prefix, given: count, "normalisation": normalisation}
                yield pomt(path, sizes, options, normalisation)
    left_out = Sizes(2, 2, 5, 2, 2, prefix=1, keep=2)
    yield pomt(path, left_out, {"keep": 2}, "batch")


def sibling_steps(every: Sequence[Sizes] = OF_SIBLINGS) -> Iterable[Step]:
    """Every size, with either count and any class row; and once with what a caller leaves out."""
    kinds: list[tuple[str, dict[str, object], list[scalars.Appended]]] = [
        ("siblings.topk_prune", {}, []),
        ("siblings.evit_prune", {}, [scalars.weighted]),
        ("siblings.evit_prune", {"normalise": True}, [scalars.weighted_average]),
    ]
    for path, options, appended in kinds:
        for sizes in every:
            removed = sizes.tokens - sizes.prefix - sizes.keep - len(appended)
            here = {**options, "prefix": sizes.prefix, "class_index": sizes.prefix - 1}
            yield sibling(path, sizes, {**here, "keep": sizes.keep}, appended)
            yield sibling(path, sizes, {**here, "remove": removed}, appended)
        yield sibling(path, replace(OF_SIBLINGS[1], keep=2), {**options, "keep": 2}, appended)


@dataclass(frozen=True)
class Piece:
    """A public function that is one stage, with what a caller leaves out left out."""

    path: str
    tensors: tuple[str, ...]
    options: Mapping[str, object]
    gives: Callable[[Layer, Mapping[str, Array]], Array]
    prefix: int = SMALL.prefix

    def prove(self) -> None:
        """Its one output, from tensors all of whose numbers are constants of their own."""
        algebra = Symbolic()
        layer = symbolic_layer(replace(SMALL, prefix=self.prefix), algebra)
        shapes = {
            "scores": (2, 4),
            "order": (2, 4),
            "sums": (2, 4),
            "rows": (2, 3),
            "discarded": (2, 3, 2),
            "weights": (2, 3),
        }
        made: dict[str, Array] = {name: getattr(layer, name) for name in POMT}
        examples: dict[str, Tensor] = dict(zip(POMT, random_inputs(SMALL, POMT), strict=True))
        for name, shape in shapes.items():
            integer = name in {"order", "rows"}
            kind = z3.Int if integer else z3.Real
            made[name] = np.array([kind(f"{name}[{i}]") for i in range(np.prod(shape))], dtype=object).reshape(shape)
            examples[name] = torch.zeros(shape, dtype=torch.int64 if integer else torch.float32)
        graph = graph_of(public(self.path), [examples[each] for each in self.tensors], self.options)
        got = graph.run(Operators(algebra), [made[each] for each in self.tensors])
        expected = self.gives(layer, made)
        for name in ("order", "rows"):
            algebra.axioms += [z3.And(each >= 0, each < 4) for each in made[name].ravel()]
        must_be_same(algebra, got, {"": expected}, self.path)


def chosen(algebra: Symbolic, value: Callable[[int], Any], index: object, count: int) -> Any:  # noqa: ANN401 -- a scalar
    """The value at an index that is a term."""
    found = algebra.undefined()
    for place in range(count):
        found = algebra.choose(algebra.equals(index, place), value(place), found)
    return found


def largest(layer: Layer, made: Mapping[str, Array], normalisation: str) -> Array:
    """M as a column: one row for the batch, or one a sample."""
    each = scalars.largest_sums(layer, made["sums"], normalisation)
    rows = each if normalisation == "sample" else each[:1]
    return np.array(rows, dtype=object).reshape(-1, 1)


def gathered(layer: Layer, made: Mapping[str, Array]) -> Array:
    """Rows of x by indices."""
    algebra, x = layer.algebra, layer.x
    assert isinstance(algebra, Symbolic)
    entry = lambda at: chosen(algebra, lambda row: x[at[0], row, at[2]], made["rows"][at[0], at[1]], x.shape[1])  # noqa: E731 -- one line
    return filled((2, 3, 2), entry)


def mean_of_rows(layer: Layer, made: Mapping[str, Array]) -> Array:
    """The mean of three rows."""
    rows = made["discarded"]
    return filled((2, 1, 2), lambda at: layer.algebra.total([rows[at[0], j, at[2]] for j in range(3)]) / 3)


def fused(layer: Layer, made: Mapping[str, Array], *, normalise: bool) -> Array:
    """The weighted sum of three rows, or their weighted average."""
    rows, weights, algebra = made["discarded"], made["weights"], layer.algebra

    def entry(at: tuple[int, ...]) -> Any:  # noqa: ANN401 -- a scalar
        total = algebra.total([algebra.product(weights[at[0], j], rows[at[0], j, at[2]]) for j in range(3)])
        return algebra.quotient(total, algebra.total([weights[at[0], j] for j in range(3)])) if normalise else total

    return filled((2, 1, 2), entry)


def gaps(layer: Layer, made: Mapping[str, Array], keep: int) -> Array:
    """The score at the last kept place of an order less that at the next one."""
    algebra = layer.algebra
    assert isinstance(algebra, Symbolic)

    def at(sample: int, place: int) -> Any:  # noqa: ANN401 -- a scalar
        return chosen(algebra, lambda patch: made["scores"][sample, patch], made["order"][sample, place], 4)

    return filled((2,), lambda place: at(place[0], keep - 1) - at(place[0], keep))


NO_CHECK: Final = {"check": "none"}
PIECES: Final = (
    Piece("attention.head_maximum", ("attn",), {"prefix": 2}, lambda layer, _: scalars.head_maximum(layer)),
    Piece("attention.attention_sums", ("attn",), {"prefix": 2}, lambda layer, _: scalars.attention_sums(layer)),
    Piece("attention.largest_sum", ("sums",), {}, partial(largest, normalisation="batch")),
    Piece("attention.largest_sum", ("sums",), {"normalisation": "sample"}, partial(largest, normalisation="sample")),
    Piece(
        "attention.attention_score", ("attn",), NO_CHECK, lambda layer, _: scalars.attention_scores(layer, "batch"), 1
    ),
    Piece(
        "attention.attention_score",
        ("attn",),
        {"prefix": 2, "normalisation": "sample", **NO_CHECK},
        lambda layer, _: scalars.attention_scores(layer, "sample"),
    ),
    Piece("magnitude.value_sums", ("v",), {}, lambda layer, _: scalars.value_sums(layer)),
    Piece("magnitude.magnitude_score", ("v",), NO_CHECK, lambda layer, _: scalars.magnitude_scores(layer), 1),
    Piece(
        "magnitude.magnitude_score", ("v",), {"prefix": 2, **NO_CHECK}, lambda layer, _: scalars.magnitude_scores(layer)
    ),
    Piece("ranking.score", ("attn", "v"), NO_CHECK, lambda layer, _: scalars.scores(layer, "batch"), 1),
    Piece(
        "ranking.score",
        ("attn", "v"),
        {"prefix": 2, "normalisation": "sample", **NO_CHECK},
        lambda layer, _: scalars.scores(layer, "sample"),
    ),
    Piece(
        "ranking.rank",
        ("scores",),
        NO_CHECK,
        lambda layer, made: scalars.ranking(layer, made["scores"]).rows(range(4)) - 2,
    ),
    Piece(
        "ranking.rank",
        ("scores",),
        {"prefix": 2, **NO_CHECK},
        lambda layer, made: scalars.ranking(layer, made["scores"]).rows(range(4)),
    ),
    Piece("pruning.gather", ("x", "rows"), {}, gathered),
    Piece("pruning.mean_row", ("discarded",), {}, mean_of_rows),
    Piece("siblings.class_score", ("attn",), {}, lambda layer, _: scalars.class_scores(layer, 0), 1),
    Piece(
        "siblings.class_score",
        ("attn",),
        {"prefix": 2, "class_index": 1},
        lambda layer, _: scalars.class_scores(layer, 1),
    ),
    Piece("siblings.fused_row", ("discarded", "weights"), {}, partial(fused, normalise=False)),
    Piece("siblings.fused_row", ("discarded", "weights"), {"normalise": True}, partial(fused, normalise=True)),
    Piece("tracing.gap_at_cut", ("scores", "order"), {"keep": 2}, partial(gaps, keep=2)),
)


def prove_all(makes: Callable[[], Iterable[Step | Piece]]) -> None:
    """Each of a family."""
    for each in makes():
        each.prove()


def prove_table(table: type[Operators] = Operators) -> None:
    """The table of operators, run on numbers, gives what torch gives eagerly in float64, ties included."""
    for number, step in enumerate([*pomt_steps("tracing.trace", OF_STAGES), *sibling_steps()]):
        numbers = torch.Generator().manual_seed(number)
        shapes = [step.sizes.shapes[each] for each in step.tensors]
        # Few distinct values, so that equal scores occur; attention above zero, so that M is.
        inputs = [torch.randint(1, 4, shape, generator=numbers).double() / 4 for shape in shapes]
        options = {**step.options, "check": "none"}
        expected = public(step.path)(*inputs, **options)
        graph = graph_of(public(step.path), inputs, options)
        got = graph.run(table(Numeric()), [to_numbers(each) for each in inputs])
        for field in graph.outputs:
            ours = torch.tensor(got[field].astype(np.float64)).reshape(got[field].shape)
            theirs = getattr(expected, field).double()
            alike = ours.shape == theirs.shape and torch.allclose(ours, theirs, rtol=1e-12, atol=1e-12)
            refute(unless=alike, why=f"{step.path} at {step.sizes}: {field} by the table is not what torch computes")


def sizes_in_words(sizes: Iterable[Sizes]) -> str:
    """A scope for the table."""
    return "all reals at (B,H,N,D,C,P,T) = " + ", ".join(
        "(" + ",".join(str(getattr(each, name)) for name in each.__dataclass_fields__) + ")" for each in sizes
    )


STATEMENTS: Final = (
    Statement(
        "prune equals",
        "The exported graph of prune gives the tokens, rows and scores of the scalar specification.",
        "POMT-ATT to POMT-PRUNE",
        "torch.export, z3",
        sizes_in_words(SIZES),
        partial(prove_all, partial(pomt_steps, "pruning.prune")),
        partial(prove_all, partial(pomt_steps, "pruning.prune", SIZES[:1])),
    ),
    Statement(
        "trace equals",
        "Every stage of trace is the one of the scalar specification.",
        "POMT-ATT to POMT-PRUNE",
        "torch.export, z3",
        sizes_in_words(OF_STAGES),
        partial(prove_all, partial(pomt_steps, "tracing.trace", OF_STAGES)),
        partial(prove_all, partial(pomt_steps, "tracing.trace", SIZES[:1])),
    ),
    Statement(
        "siblings equal",
        "Top-K and EViT, the latter with and without normalising, give what the scalar specification gives.",
        "TOPK-1, EVIT-1, SIB-1",
        "torch.export, z3",
        sizes_in_words(OF_SIBLINGS),
        partial(prove_all, sibling_steps),
        partial(prove_all, partial(sibling_steps, OF_SIBLINGS[:1])),
    ),
    Statement(
        "pieces equal",
        "Every function that is one stage gives that stage, with what a caller leaves out at its documented default.",
        "POMT-ATT to POMT-PRUNE, TOPK-1, EVIT-1",
        "torch.export, z3",
        sizes_in_words([SMALL]),
        partial(prove_all, lambda: PIECES),
    ),
    Statement(
        "operator table",
        "The table by which graphs are read gives on numbers what torch gives, to 1e-12.",
        "trust base",
        "torch float64",
        "one random input with ties at each of these sizes",
        prove_table,
    ),
)
