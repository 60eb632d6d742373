"""The graphs that torch.export makes of the public functions, and what they mean.

A function is exported at listed sizes from the package's own source; the graph is then run over arrays of scalars by
the table of operators. The table is held against torch by running the same graphs on numbers.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Final

import numpy as np
import torch
import z3
from torch import Tensor
from torch.export import ExportedProgram, export

from tests.proofs.algebra import Algebra, Symbolic
from tests.proofs.operators import MEANINGS, NO_MEANING_NEEDED, Array, Operators, filled, name_of
from tests.proofs.scalars import Layer
from tests.proofs.statement import refute


@dataclass(frozen=True)
class Sizes:
    """B, H, N, D, C of a layer, the P of its prefix and the T that is kept."""

    batch: int
    heads: int
    tokens: int
    features: int
    channels: int
    prefix: int
    keep: int

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of x, attn and v."""
        return {
            "x": (self.batch, self.tokens, self.channels),
            "attn": (self.batch, self.heads, self.tokens, self.tokens),
            "v": (self.batch, self.heads, self.tokens, self.features),
        }

    def __str__(self) -> str:
        """Read as the specification names them."""
        return (
            f"B={self.batch} H={self.heads} N={self.tokens} D={self.features} C={self.channels} "
            f"P={self.prefix} T={self.keep}"
        )


class Call(torch.nn.Module):
    """A call as the module that export asks for; a dataclass comes out as its fields."""

    def __init__(
        self, function: Callable[..., Any], options: Mapping[str, object], told: Callable[[list[str]], None]
    ) -> None:
        """Keep the function and everything after its tensors; tell the names of the outputs when they are known."""
        super().__init__()
        self.function, self.options, self.told = function, dict(options), told

    def forward(self, *tensors: Tensor) -> list[Tensor]:
        """Make the call."""
        result = self.function(*tensors, **self.options)
        must_be_of_kind(self.function, tensors, result)
        named = (
            {each.name: getattr(result, each.name) for each in fields(result)} if is_dataclass(result) else {"": result}
        )
        self.told(list(named))
        return list(named.values())


def must_be_of_kind(function: Callable[..., Any], given: tuple[object, ...], result: object) -> None:
    """Where an annotation says Float there are floats, and where it says Int integers: no type checker sees that."""
    said: dict[str, Any] = dict(getattr(function, "__annotations__", {}))
    pairs = [*zip(said.items(), given, strict=False), (("the result", said.get("return")), result)]
    if is_dataclass(result):
        pairs += [((each.name, each.type), getattr(result, each.name)) for each in fields(result)]
    for (name, annotation), tensor in pairs:
        if isinstance(tensor, Tensor) and (kinds := getattr(annotation, "dtypes", None)):
            kind = str(tensor.dtype).removeprefix("torch.")
            refute(unless=kind in kinds, why=f"{function.__name__}: {name} is {kind}, not what its annotation says")


@dataclass(frozen=True)
class Graph:
    """An exported call: its program, and the names of its outputs in their order."""

    program: ExportedProgram
    outputs: tuple[str, ...]

    def run(
        self, operators: Operators, inputs: list[Array], replaced: Mapping[str, Array] | None = None
    ) -> dict[str, Array]:
        """What comes out, by name, and by node under ``node:…``; a replaced node has the value that it is given."""
        values: dict[str, Any] = {}
        waiting = list(inputs)
        for node in self.program.graph.nodes:
            if node.op == "placeholder":
                values[node.name] = waiting.pop(0)
            elif node.op == "output":
                (results,) = node.args
                named = zip(self.outputs, results, strict=True)
                return {name: values[each.name] for name, each in named} | {f"node:{n}": v for n, v in values.items()}
            elif replaced and node.name in replaced:
                values[node.name] = replaced[node.name]
            else:
                refute(unless=node.op == "call_function", why=f"a node of kind {node.op}")
                if name_of(node.target) not in NO_MEANING_NEEDED:
                    arguments = torch.fx.map_arg(node.args, lambda each: values[each.name])
                    options = torch.fx.map_arg(node.kwargs, lambda each: values[each.name])
                    values[node.name] = operators(node.target, arguments, options)
        raise AssertionError("a graph without output")

    def sorted_node(self) -> str:
        """The node whose order is taken: the scores."""
        (found,) = [each for each in self.program.graph.nodes if name_of(each.target) == "argsort_stable"]
        return str(found.args[0].name)


def random_inputs(sizes: Sizes, names: tuple[str, ...], dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Tensors of these sizes: export sees shapes and dtypes, not what is in them."""
    numbers = torch.Generator().manual_seed(7)
    return [torch.rand(sizes.shapes[each], generator=numbers, dtype=torch.float64).to(dtype) for each in names]


def graph_of(
    function: Callable[..., Any], inputs: list[Tensor], options: Mapping[str, object], dynamic: object = None
) -> Graph:
    """Export a call."""
    names: list[list[str]] = []
    call = Call(function, options, names.append)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, about its own modules
        program = export(call, tuple(inputs), dynamic_shapes=dynamic, strict=False)  # type: ignore[arg-type]
    return Graph(program, tuple(names[-1]))


def symbolic_layer(sizes: Sizes, algebra: Algebra, tag: str = "") -> Layer:
    """A layer whose every number is a constant of its own: whatever holds of it holds for all numbers."""
    tensors = {
        name: filled(shape, lambda at, name=name: z3.Real(f"{name}{tag}{list(at)}"))  # type: ignore[misc]
        for name, shape in sizes.shapes.items()
    }
    return Layer(algebra, **tensors, prefix=sizes.prefix)


def proved(algebra: Symbolic, claim: z3.BoolRef, *given: z3.BoolRef, seconds: int = 60) -> z3.CheckSatResult:
    """``unsat`` if the claim follows from the axioms and what is given; ``sat`` with a counterexample; else unknown."""
    solver = z3.Solver()
    solver.set("timeout", seconds * 1000)
    solver.add(*algebra.axioms, *given, z3.Not(claim))
    return solver.check()


def same(one: Array, other: Array) -> z3.BoolRef:
    """Every entry is the same."""
    return z3.And(*[a == b for a, b in zip(one.ravel(), other.ravel(), strict=True)])


def to_numbers(tensor: Tensor) -> Array:
    """An array of Python numbers."""
    return np.array(tensor.tolist(), dtype=object).reshape(tuple(tensor.shape))


ALLOWED: Final = MEANINGS | NO_MEANING_NEEDED
"""The operators that a step may consist of."""
