"""Exports: one graph for all sizes of batch and sequence, with nothing in it that the clauses do not need.

torch.export traces the public functions with every axis a symbol. What is asked of the graph: the shape of its outputs
and the range of N under which it holds; that no input is written to; that each operator is on the allowlist; that
scores and means are computed in float32 or wider; that rows of x are moved and never computed; and that no gradient
reaches the attention or the values.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import product
from typing import Any, Final

import numpy as np
import sympy
import torch
from torch import Tensor
from torch.export import Dim
from torch.fx import Node

from tests.proofs.algebra import Numeric
from tests.proofs.equality import OF_STAGES, POMT, SIBLING, SMALL, pomt_steps, sibling_steps
from tests.proofs.graphs import ALLOWED, Graph, Sizes, graph_of, must_be_of_kind, random_inputs, to_numbers
from tests.proofs.operators import Operators, name_of
from tests.proofs.sources import public
from tests.proofs.statement import Statement, refute

LARGEST: Final = 1 << 20
"""The longest sequence that the exported graphs declare."""

COUNTS: Final = ((0, 1), (2, 0), (1, 139))
"""P and T: each pair is one export for all B and N."""

EXAMPLE: Final = Sizes(2, 3, 150, 4, 5, prefix=1, keep=1)

METHODS: Final[tuple[tuple[str, tuple[str, ...], dict[str, object], int], ...]] = (
    ("pruning.prune", POMT, {}, 1),
    ("pruning.prune", POMT, {"normalisation": "sample"}, 1),
    ("siblings.topk_prune", SIBLING, {}, 0),
    ("siblings.evit_prune", SIBLING, {}, 1),
    ("siblings.evit_prune", SIBLING, {"normalise": True}, 1),
)
"""Function, tensors, options, and the number of rows that it appends."""


def nodes(graph: Graph) -> Iterator[tuple[str, Node]]:
    """Every computing node, by the name of its operator."""
    for node in graph.program.graph.nodes:
        if node.op == "call_function" and "getitem" not in str(node.target):
            yield name_of(node.target), node


def expression(size: object) -> Any:  # noqa: ANN401 -- sympy has no types
    """A size of a traced tensor as sympy has it."""
    return size.node.expr if isinstance(size, torch.SymInt) else sympy.Integer(size)


def prove_export(path: str, tensors: tuple[str, ...], options: Mapping[str, object], appended: int) -> None:
    """Shapes, ranges, inputs and operators, for every pair of counts."""
    for prefix, keep in COUNTS:
        if prefix == 0 and tensors == SIBLING:
            continue
        fewest = prefix + keep + 2
        batch, heads, features, channels = (Dim(name, min=1, max=4096) for name in ("B", "H", "D", "C"))
        tokens = Dim("N", min=fewest, max=LARGEST)
        axes: dict[str, dict[int, object]] = {
            "x": {0: batch, 1: tokens, 2: channels},
            "attn": {0: batch, 1: heads, 2: tokens, 3: tokens},
            "v": {0: batch, 1: heads, 2: tokens, 3: features},
        }
        given = {**options, "prefix": prefix, "keep": keep, "check": "none"}
        dynamic = {"tensors": tuple(axes[each] for each in tensors)}
        graph = graph_of(public(path), random_inputs(EXAMPLE, tensors), given, dynamic)
        what = f"{path}(prefix={prefix}, keep={keep})"

        x, attn = [node.meta["val"] for node in graph.program.graph.nodes if node.op == "placeholder"][:2]
        b, n, c = map(expression, (x.shape[0], attn.shape[2], x.shape[2]))
        results: Any = graph.program.graph.output_node().args[0]
        got = [[expression(size) for size in each.meta["val"].shape] for each in results]
        expected = [[b, prefix + keep + appended, c], [b, keep], [b, n - prefix - keep], [b, n - prefix]]
        refute(unless=got == expected, why=f"{what}: shapes {got}, not {expected}")
        allowed = graph.program.range_constraints[n]
        refute(unless=(allowed.lower, allowed.upper) == (fewest, LARGEST), why=f"{what}: holds for N in {allowed} only")
        only_outputs(graph, what)


def only_outputs(graph: Graph, what: str) -> None:
    """Nothing is written to, and every operator is on the allowlist and writes to nothing itself."""
    kinds = {each.kind.name for each in graph.program.graph_signature.output_specs}
    refute(unless=kinds == {"USER_OUTPUT"}, why=f"{what}: outputs of kind {kinds}")
    for name, node in nodes(graph):
        if isinstance(node.meta["val"], torch.SymInt):
            continue  # a size made of sizes; which one, the shapes of the outputs say
        refute(unless=name in ALLOWED, why=f"{what}: the operator {node.target} is not on the allowlist")
        schema = getattr(node.target, "_schema", None)
        refute(unless=schema is not None and not schema.is_mutable, why=f"{what}: {node.target} writes to its input")


def prove_exports() -> None:
    """Every method."""
    for method in METHODS:
        prove_export(*method)


WIDE: Final = frozenset(
    {"sum_dim_intlist", "mean_dim", "div_tensor", "softmax_int", "add_tensor", "sub_tensor", "mul_tensor"}
)
"""Arithmetic: what rounds."""

DTYPES: Final = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


TRACED: Final[tuple[str, tuple[str, ...], dict[str, object], int]] = ("tracing.trace", POMT, {}, 1)
"""As the methods."""


def graphs_in(dtype: torch.dtype) -> Iterator[tuple[str, Graph]]:
    """Every method with inputs of a dtype, and trace."""
    for path, tensors, options, _ in (*METHODS, TRACED):
        given = {**options, "prefix": 2, "keep": 1, "check": "none"}
        yield path, graph_of(public(path), random_inputs(SMALL, tensors, dtype), given)


def prove_devices() -> None:
    """What has no data has no copy elsewhere: an operator that is given a tensor of another device too refuses."""
    for path, tensors, options, _ in (*METHODS, TRACED):
        inputs = [each.to("meta") for each in random_inputs(SMALL, tensors)]
        try:
            result = public(path)(*inputs, **options, prefix=2, keep=1, check="none")
        except (NotImplementedError, RuntimeError) as error:
            refute(unless=False, why=f"{path}: {error}")
        else:
            for name, made in vars(result).items():
                refute(unless=made.device.type == "meta", why=f"{path}: {name} is on {made.device}")


def prove_step_from_scores() -> None:
    """The one public function that has words before its tensors is held against its annotations here."""
    given = ("prune", torch.zeros(1, 3, 1), torch.zeros(1, 2))
    prune_by = public("pruning.prune_by")
    must_be_of_kind(prune_by, given, prune_by(*given, prefix=1, keep=1, check="none"))


def prove_dtypes(dtypes: tuple[torch.dtype, ...] = DTYPES) -> None:
    """Arithmetic and scores in float32 or wider, rows of x in x's own dtype, rows and their numbers in int64."""
    prove_step_from_scores()
    for dtype in dtypes:
        wide = torch.promote_types(dtype, torch.float32)
        own = {
            "tokens": dtype,
            "mean": dtype,
            "head_maximum": dtype,
            **dict.fromkeys(("kept", "discarded", "order"), torch.int64),
        }
        for path, graph in graphs_in(dtype):
            for name, node in nodes(graph):
                computed = node.meta["val"].dtype if name in WIDE else None
                fine = computed in {None, wide, torch.int64}
                refute(unless=fine, why=f"{path} in {dtype}: {node.target} is computed in {computed}, not in {wide}")
            results: Any = graph.program.graph.output_node().args[0]
            for field, result in zip(graph.outputs, results, strict=True):
                stored, expected = result.meta["val"].dtype, own.get(field, wide)
                refute(unless=stored == expected, why=f"{path} in {dtype}: {field} is {stored}, not {expected}")


def prove_detached() -> None:
    """Every way from attention or values to an output leads through a detach, and no way from x does."""
    for path, graph in graphs_in(torch.float32):
        ranking = [each for each in graph.program.graph.nodes if each.op == "placeholder"][1:]
        reached = set(ranking)
        for node in graph.program.graph.nodes:
            name = name_of(node.target)
            if node.op != "placeholder" and name != "detach_default" and reached & set(node.all_input_nodes):
                reached.add(node)
            refute(unless=node.op != "output" or node not in reached, why=f"{path}: a gradient reaches the ranking")
            from_x = name == "detach_default" and not set(ranking) & set(node.all_input_nodes)
            refute(unless=not from_x, why=f"{path}: a gradient to the rows is cut")


class Row:
    """A number of x that can be moved and compared, and that no arithmetic takes without leaving a trace."""

    def __init__(self, computed: bool = False) -> None:  # noqa: FBT002 -- two kinds of one thing
        """Come from x, or from arithmetic."""
        self.computed = computed

    def _arithmetic(self, other: object) -> "Row":
        del other
        return Row(computed=True)

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _arithmetic


def prove_moved() -> None:
    """Prefix rows and kept rows are the very numbers of x: the graph moves them, and no arithmetic touches them."""
    for number, step in enumerate([*pomt_steps("pruning.prune", OF_STAGES), *sibling_steps()]):
        numbers = torch.Generator().manual_seed(number)
        tensors: list[Tensor] = [torch.rand(step.sizes.shapes[each], generator=numbers) for each in step.tensors]
        graph = graph_of(public(step.path), tensors, {**step.options, "check": "none"})
        rows = np.array([Row() for _ in range(tensors[0].numel())], dtype=object).reshape(tensors[0].shape)
        got = graph.run(Operators(Numeric()), [rows, *map(to_numbers, tensors[1:])])
        batch, _, channels = rows.shape
        for sample, row, channel in product(range(batch), range(got["tokens"].shape[1]), range(channels)):
            here = got["tokens"][sample, row, channel]
            kept = row - step.sizes.prefix
            if kept >= step.sizes.keep:
                refute(unless=here.computed, why=f"{step.path}: the last row is not computed")
                continue
            source = row if kept < 0 else got["kept"][sample, kept]
            refute(unless=here is rows[sample, source, channel], why=f"{step.path}: row {row} is not row {source} of x")


def statement(
    name: str, says: str, clause: str, scope: str, prove: Callable[[], None], quick: Callable[[], None] | None = None
) -> Statement:
    """All of them are about exported graphs."""
    return Statement(name, says, clause, "torch.export", scope, prove, quick)


STATEMENTS: Final = (
    statement(
        "export",
        "prune, Top-K and EViT export with every axis dynamic, write to no input and use listed operators only.",
        "POMT-PRUNE-1, TOPK-1, EVIT-1",
        f"all B, H, D, C ≤ 4096 and P + T + 2 ≤ N ≤ 2^20, for (P, T) = {', '.join(map(str, COUNTS))}",
        prove_exports,
    ),
    statement(
        "dtypes",
        "Whatever rounds is computed in float32 or wider and scores are stored so; tokens have x's dtype.",
        "POMT-PREC-1, POMT-PRUNE-3",
        "float16, bfloat16, float32, float64",
        prove_dtypes,
        partial(prove_dtypes, (torch.float16,)),
    ),
    Statement(
        "devices",
        "Everything is made on the device of the inputs, and nothing is sent to another one.",
        "POMT-PREC-1",
        "torch meta tensors",
        "every operator of prune, trace, Top-K and EViT: they have no branches",
        prove_devices,
    ),
    statement(
        "gradients",
        "No path of the graph leads from attention or values to an output but through a detach; none from x is cut.",
        "POMT-META-7",
        "every graph of prune, trace, Top-K and EViT",
        prove_detached,
    ),
    statement(
        "rows moved",
        "Prefix rows and kept rows are the numbers of x themselves: no arithmetic is on their way.",
        "POMT-PRUNE-2",
        "one order of scores at each size of trace and the siblings: the graphs have no branches",
        prove_moved,
    ),
)
