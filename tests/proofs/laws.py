"""Laws: bounds, partition, mass and the metamorphic clauses, of the exported graph itself over the reals.

Here quotients are those of the reals and exponentials are positive, since bounds need it; the attention is one that
a softmax can give: no entry below zero, every row of sum one, some patch attention above zero.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np
import z3

from tests.proofs.algebra import Symbolic
from tests.proofs.equality import POMT
from tests.proofs.graphs import Graph, Sizes, graph_of, proved, random_inputs, same, symbolic_layer
from tests.proofs.operators import Array, Operators
from tests.proofs.scalars import Layer
from tests.proofs.sources import public
from tests.proofs.statement import Statement, refute

Claims = dict[str, z3.BoolRef]

BOUNDED: Final = (Sizes(1, 2, 4, 1, 1, prefix=1, keep=1), Sizes(2, 1, 3, 1, 1, prefix=0, keep=1))
CUT: Final = (
    Sizes(2, 2, 5, 1, 2, prefix=1, keep=2),
    Sizes(1, 1, 6, 1, 1, prefix=2, keep=1),
    Sizes(1, 2, 6, 1, 1, prefix=0, keep=3),
)
PERMUTED: Final = Sizes(2, 2, 5, 1, 1, prefix=1, keep=2)
NORMALISATIONS: Final = ("batch", "sample")


def trace_at(sizes: Sizes, normalisation: str = "batch") -> Graph:
    """The graph of trace, whose outputs have every stage."""
    options = {"prefix": sizes.prefix, "keep": sizes.keep, "normalisation": normalisation, "check": "none"}
    return graph_of(public("tracing.trace"), random_inputs(sizes, POMT), options)


def run(graph: Graph, algebra: Symbolic, layer: Layer, replaced: dict[str, Array] | None = None) -> dict[str, Array]:
    """Every stage of a layer."""
    return graph.run(Operators(algebra), [layer.x, layer.attn, layer.v], replaced)


def attention_of_a_softmax(layer: Layer, normalisation: str) -> list[z3.BoolRef]:
    """POMT-ATT-1's condition on its input, and that of POMT-ATT-2: something to divide by."""
    rows = layer.attn.reshape(-1, layer.attn.shape[-1])
    patches = layer.attn[:, :, layer.prefix :, layer.prefix :]
    groups = list(patches) if normalisation == "sample" else [patches]
    return [
        *(each >= 0 for each in layer.attn.ravel()),
        *(z3.Sum(*row) == 1 for row in rows),
        *(z3.Or(*[each > 0 for each in group.ravel()]) for group in groups),
    ]


def hold(algebra: Symbolic, claims: Claims, given: Sequence[z3.BoolRef], what: str) -> None:
    """Each claim follows; and what is given can be, so that not everything follows."""
    solver = z3.Solver()
    solver.add(*algebra.axioms, *given)
    refute(unless=solver.check() != z3.unsat, why=f"{what}: the premises contradict each other")
    for name, claim in claims.items():
        answer = proved(algebra, claim, *given)
        refute(unless=answer == z3.unsat, why=f"{what}: {name} ({answer})")


def between(array: Array, low: int, high: int) -> z3.BoolRef:
    """Closed bounds."""
    return z3.And(*[z3.And(each >= low, each <= high) for each in array.ravel()])


def prove_bounds() -> None:
    """0 ≤ m ≤ 1 and the largest is 1; 0 ≤ p ≤ 1 and their sum is at most 1; 0 ≤ s ≤ 2; 0 ≤ S ≤ n."""
    for sizes in BOUNDED:
        for normalisation in NORMALISATIONS:
            algebra = Symbolic(exact=True)
            layer = symbolic_layer(sizes, algebra)
            got = run(trace_at(sizes, normalisation), algebra, layer)
            groups = list(got["attention"]) if normalisation == "sample" else [got["attention"]]
            given = attention_of_a_softmax(layer, normalisation)
            claims: Claims = {
                "0 ≤ S ≤ n": between(got["sums"], 0, len(layer.patches)),
                "0 ≤ m ≤ 1": between(got["attention"], 0, 1),
                "some m = 1": z3.And(*[z3.Or(*[each == 1 for each in group.ravel()]) for group in groups]),
                "0 ≤ p ≤ 1": between(got["magnitude"], 0, 1),
                "Σ p ≤ 1": z3.And(*[z3.Sum(*row) <= 1 for row in got["magnitude"]]),
                "0 ≤ s ≤ 2": between(got["scores"], 0, 2),
            }
            if sizes.prefix == 0:
                claims["Σ p = 1 without a prefix"] = z3.And(*[z3.Sum(*row) == 1 for row in got["magnitude"]])
            hold(algebra, claims, given, f"bounds at {sizes}, {normalisation}")


def prove_partition() -> None:
    """Kept and discarded rows are the patch rows, each once; no discarded one scores more; the mean has their mass."""
    for sizes in CUT:
        graph = trace_at(sizes)
        algebra = Symbolic()
        layer = symbolic_layer(sizes, algebra)
        free = layer.per_patch(lambda sample, token: z3.Real(f"score[{sample}, {token}]"))
        got = run(graph, algebra, layer, {graph.sorted_node(): free})
        first, count = sizes.prefix, sizes.tokens - sizes.prefix
        discarded = count - sizes.keep
        for sample in range(sizes.batch):
            order = [*got["kept"][sample], *got["discarded"][sample]]
            score = [scored(free[sample], first, each) for each in order]
            pairs = list(zip(range(count), range(1, count), strict=False))
            tokens = got["tokens"][sample]
            claims: Claims = {
                "rows of patches": z3.And(*[z3.And(each >= first, each < sizes.tokens) for each in order]),
                "each once": z3.Distinct(*order),
                "descending": z3.And(*[score[i] >= score[j] for i, j in pairs]),
                "ties by index": z3.And(*[z3.Implies(score[i] == score[j], order[i] < order[j]) for i, j in pairs]),
                "prefix rows first": same(tokens[:first], layer.x[sample, :first]),
            }
            for channel in range(sizes.channels):
                kept_mass = z3.Sum(z3.RealVal(0), *tokens[first : first + sizes.keep, channel])
                mass = kept_mass + discarded * tokens[-1, channel]
                claims[f"mass of channel {channel}"] = mass == z3.Sum(*layer.x[sample, first:, channel])
            hold(algebra, claims, [], f"partition at {sizes}")


def scored(scores: Array, first: int, row: z3.ArithRef) -> z3.ArithRef:
    """The score of a row that is a term."""
    found: z3.ArithRef = z3.Real("no such row")
    for place, score in enumerate(scores):
        found = z3.If(row == first + place, score, found)
    return found


def permuted(layer: Layer, order: Sequence[int]) -> Layer:
    """The same layer with its patch tokens in another order."""
    rows = [*range(layer.prefix), *(layer.prefix + each for each in order)]
    return replace(layer, x=layer.x[:, rows], attn=layer.attn[:, :, rows][:, :, :, rows], v=layer.v[:, :, rows])


def exchanges(count: int) -> list[list[int]]:
    """Each pair of neighbours exchanged: what holds for these holds for every permutation, which is made of them."""
    return [[*range(place), place + 1, place, *range(place + 2, count)] for place in range(count - 1)]


def prove_permutation() -> None:
    """Permuted tokens have permuted scores; with distinct scores the output is the same, with ties it need not be."""
    graph = trace_at(PERMUTED)
    for order in exchanges(PERMUTED.tokens - PERMUTED.prefix):
        algebra = Symbolic()
        layer = symbolic_layer(PERMUTED, algebra)
        one, other = run(graph, algebra, layer), run(graph, algebra, permuted(layer, order))
        claim = same(other["scores"], one["scores"][:, order])
        hold(algebra, {"scores permuted": claim}, [], f"permutation {order}")

        free = layer.per_patch(lambda sample, token: z3.Real(f"score[{sample}, {token}]"))
        cut = graph.sorted_node()
        one = run(graph, algebra, layer, {cut: free})
        other = run(graph, algebra, permuted(layer, order), {cut: free[:, order]})
        distinct = [z3.Distinct(*row) for row in free]
        hold(algebra, {"same output": same(one["tokens"], other["tokens"])}, distinct, f"permutation {order}")
        ties = proved(algebra, same(one["tokens"], other["tokens"]))
        refute(unless=ties == z3.sat, why=f"permutation {order}: the same output with ties too: nothing was permuted")


STAGES: Final = ("scores", "head_maximum", "sums", "attention", "value_sums", "magnitude")


def same_scores(change: Callable[[Layer], Layer], sizes: Sizes, what: str) -> None:
    """A change of the layer changes no stage up to the scores, so nothing that follows from them."""
    algebra = Symbolic()
    layer = symbolic_layer(sizes, algebra)
    changed = change(layer)
    wider = replace(sizes, heads=changed.attn.shape[1])
    one, other = run(trace_at(sizes), algebra, layer), run(trace_at(wider), algebra, changed)
    hold(algebra, {each: same(one[each], other[each]) for each in STAGES}, [], what)


def with_heads(heads: Sequence[int], layer: Layer) -> Layer:
    """The same layer with these of its heads."""
    return replace(layer, attn=layer.attn[:, heads], v=layer.v[:, heads])


def prove_heads() -> None:
    """Neither the order of the heads nor a head that comes twice matters."""
    three = Sizes(2, 3, 4, 2, 1, prefix=1, keep=1)
    for order in [*exchanges(3), [0, 1, 2, 2]]:
        same_scores(partial(with_heads, order), three, f"heads in the order {order}")


def prove_samples() -> None:
    """Normalised by sample, a batch is its samples run alone; normalised by batch it need not be."""
    pair, alone = Sizes(2, 2, 4, 2, 1, prefix=1, keep=1), Sizes(1, 2, 4, 2, 1, prefix=1, keep=1)
    for normalisation in NORMALISATIONS:
        algebra = Symbolic()
        layer = symbolic_layer(pair, algebra)
        together = run(trace_at(pair, normalisation), algebra, layer)
        for sample in range(2):
            here = slice(sample, sample + 1)
            single = replace(layer, x=layer.x[here], attn=layer.attn[here], v=layer.v[here])
            scores = run(trace_at(alone, normalisation), algebra, single)["scores"]
            answer = proved(algebra, same(together["scores"][here], scores))
            expected = z3.unsat if normalisation == "sample" else z3.sat
            refute(unless=answer == expected, why=f"sample {sample} of a batch, by {normalisation}: {answer}")


def prove_prefix_rows() -> None:
    """Two inputs that differ in the prefix rows of x alone differ in the prefix rows of the output alone."""
    for sizes in CUT[:2]:
        graph = trace_at(sizes)
        algebra = Symbolic()
        layer = symbolic_layer(sizes, algebra)
        other = symbolic_layer(sizes, algebra, tag=" other")
        rows = np.concatenate([other.x[:, : sizes.prefix], layer.x[:, sizes.prefix :]], axis=1)
        free = layer.per_patch(lambda sample, token: z3.Real(f"score[{sample}, {token}]"))
        cut = {graph.sorted_node(): free}
        one, changed = run(graph, algebra, layer, cut), run(graph, algebra, replace(layer, x=rows), cut)
        claim = same(one["tokens"][:, sizes.prefix :], changed["tokens"][:, sizes.prefix :])
        hold(algebra, {"the other rows": claim}, [], f"prefix rows at {sizes}")


def scope(*sizes: Sizes) -> str:
    """In words."""
    return "all reals at " + "; ".join(map(str, sizes))


def statements() -> Iterator[Statement]:
    """All of them are about the exported graph of trace."""
    rows: list[tuple[str, str, str, str, Callable[[], None]]] = [
        (
            "bounds",
            "0 ≤ S ≤ n, 0 ≤ m ≤ 1 with some m = 1, 0 ≤ p ≤ 1 of mass at most 1, 0 ≤ s ≤ 2.",
            "POMT-ATT-2, POMT-MAG-1, POMT-SCORE-1",
            scope(*BOUNDED),
            prove_bounds,
        ),
        (
            "partition",
            "Kept and discarded are the patch rows, each once, by score, then by index; the mean has their mass.",
            "POMT-RANK-1, POMT-PRUNE-3, POMT-PRUNE-4",
            scope(*CUT),
            prove_partition,
        ),
        (
            "token permutation",
            "Permuted patch tokens have permuted scores, and with distinct scores the same output; with ties not.",
            "POMT-META-1",
            "all permutations, by exchanges of neighbours, " + scope(PERMUTED),
            prove_permutation,
        ),
        (
            "heads",
            "Neither permuting heads nor having one twice changes a stage.",
            "POMT-META-2, POMT-META-5",
            "three heads in any order, or one of them twice, all reals",
            prove_heads,
        ),
        (
            "samples",
            "By sample a batch is its samples run alone; by batch there is a counterexample.",
            "POMT-META-4",
            "all reals at B=2 H=2 N=4",
            prove_samples,
        ),
        (
            "prefix rows",
            "Prefix rows of x influence no other row of the output.",
            "POMT-META-6",
            scope(*CUT[:2]),
            prove_prefix_rows,
        ),
    ]
    for name, says, clause, where, prove in rows:
        yield Statement(name, says, clause, "torch.export, z3", where, prove)


STATEMENTS: Final = tuple(statements())
