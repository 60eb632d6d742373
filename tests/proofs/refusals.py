"""Refusals: which inputs the public functions refuse, in which order, with which error and clause; and no others.

The rules below are written from the edge rules of the specification. Each function is executed along every path that
its conditions allow, with all sizes and counts as symbols; z3 proves that each path ends as the first rule that
applies says, or is accepted if none does. Values are predicates of which nothing is assumed.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import partial
from itertools import product
from typing import Any, Final

import torch
import z3

from tests.proofs.execution import Named, Narrow, Outcome, Whole, every_path
from tests.proofs.sources import public
from tests.proofs.statement import ALL_SIZES, Statement, refute

Error = tuple[str, str, str]

LARGEST_PREFIX: Final = 2**31
"""Of an order without its sequence: said here again, and not read from the contracts."""


@dataclass(frozen=True)
class Rule:
    """A condition under which an input is refused, and how."""

    condition: z3.BoolRef
    error: Error
    expected: str = ""
    """What the error must say was expected, where that names the tensor that is wrong."""


P, T, R, CLASS = z3.Ints("prefix keep remove class_index")
AXES: Final = {"x": ("B", "N", "C"), "attn": ("B", "H", "N", "K"), "v": ("B", "H", "N", "D"), "scores": ("B", "n")}
CLAUSES: Final = {"x": "POMT-PRUNE-1", "attn": "POMT-ATT-1", "v": "POMT-MAG-1", "scores": "POMT-RANK-1"}
SHARED: Final = (("x", "attn", "B"), ("x", "attn", "N"), ("attn", "v", "B"), ("attn", "v", "H"), ("attn", "v", "N"))
"""The axes that two tensors have in common."""


def size(tensor: str, axis: str) -> z3.ArithRef:
    """The length of an axis: every tensor has its own, so that they may disagree."""
    return z3.Int(f"{axis}_{tensor}")


def argument(name: str, dtype: torch.dtype = torch.float32) -> Named:
    """A tensor with symbolic sizes."""
    shape = tuple(Whole(size(name, axis)) for axis in AXES[name])
    known = {"shape": shape, "ndim": len(shape), "layout": torch.strided, "device": torch.device("cpu")}
    return Named(name, dtype, **known, is_nested=False, is_meta=False)


def value(name: str) -> z3.BoolRef:
    """A question about values, by the computation that answers it."""
    return z3.Bool(name)


def not_finite(name: str) -> z3.BoolRef:
    """Some entry is NaN or infinite."""
    return z3.Not(value(f"({name}.amin().isfinite() & {name}.amax().isfinite())"))


def no_distribution() -> Iterator[Rule]:
    """POMT-ATT-1: attention below zero, or rows that do not sum to one within the roundings that are allowed."""
    single = torch.finfo(torch.float32)
    common, each = 8 * single.eps / 2, single.eps + single.smallest_normal * single.eps
    off = f"((attn.sum(dim=-1, dtype=torch.float32) - 1).abs() > ({common} + ({size('attn', 'K')} * {each})))"
    yield Rule(value("(attn.amin() < 0)"), ("ValuesError", "", "POMT-ATT-1"))
    yield Rule(value(f"{off}.any()"), ("ValuesError", "", "POMT-ATT-1"))


def layer_rules(tensors: tuple[str, ...], check: str, normalisation: str | None) -> Iterator[Rule]:
    """What x, attn and v must be, alone and together; the function of the error is filled in later."""
    for name in tensors:
        lengths = {axis: size(name, axis) for axis in AXES[name]}
        yield Rule(z3.Or(*[each == 0 for each in lengths.values()]), ("ShapeError", "", CLAUSES[name]))
        if name == "attn":
            yield Rule(lengths["N"] != lengths["K"], ("ShapeError", "", CLAUSES[name]))
        in_range = z3.And(P >= 0, lengths["N"] - 1 >= P)
        yield Rule(z3.Not(in_range), ("CountError", "", CLAUSES[name]))
    for one, other, axis in SHARED:
        if one in tensors and other in tensors:
            yield Rule(size(one, axis) != size(other, axis), ("ShapeError", "", "POMT-PRUNE-1"))
    if check == "shapes":
        return
    for name in tensors:
        yield Rule(not_finite(name), ("ValuesError", "", CLAUSES[name]), f"finite {name}")
    if "attn" in tensors:
        yield from no_distribution()
    if normalisation:
        some = {"batch": "all", "sample": "any"}[normalisation]
        nothing = f"(attn[:, :, {P}:, {P}:].amax(dim=1, 2, 3) == 0).{some}()"
        yield Rule(value(nothing), ("ValuesError", "", "POMT-ATT-2"))


def count_rules(given: str, tokens: z3.ArithRef, clause: str, appended: int) -> Iterator[Rule]:
    """The ranges of T and of R."""
    if given == "keep":
        yield Rule(z3.Not(z3.And(T >= 0, tokens - P - 1 >= T)), ("CountError", "", clause))
    else:
        yield Rule(z3.Not(z3.And(R >= 1, tokens - P - appended >= R)), ("CountError", "", "POMT-COUNT-1"))


@dataclass(frozen=True)
class Function:
    """A public function, and what of it the rules need to know."""

    path: str
    tensors: tuple[str, ...]
    options: tuple[str, ...]
    """Which of prefix, count, normalisation, class_index it takes."""
    clause: str = "POMT-PRUNE-1"
    """The clause of its length."""
    appended: int = 1
    after: Callable[[Any], list[tuple[str, str, str]]] = lambda _: []
    """From its result: the computations whose outcome must be finite, what each is called, and its clause."""
    says: str = ""
    """The name that its errors give, if it is not its own."""

    @property
    def name(self) -> str:
        """The name that its errors give."""
        return self.says or self.path.partition(".")[2]

    def rules(self, check: str, given: str, normalisation: str, accepted: Any) -> list[Rule]:  # noqa: ANN401 -- its result
        """All rules in their order."""
        if check == "none":
            return []
        found: list[Rule] = []
        if self.tensors == ("scores",):
            found.append(Rule(z3.Or(*[size("scores", axis) == 0 for axis in "Bn"]), ("ShapeError", "", "POMT-RANK-1")))
            found.append(Rule(z3.Or(P < 0, P > LARGEST_PREFIX), ("CountError", "", "POMT-RANK-1")))
            found += (
                [Rule(not_finite("scores"), ("ValuesError", "", "POMT-RANK-1"), "finite scores")]
                if check == "values"
                else []
            )
        else:
            found += layer_rules(self.tensors, check, normalisation if "normalisation" in self.options else None)
        if "class_index" in self.options:
            found.append(Rule(P < 1, ("CountError", "", "SIB-1")))
            found.append(Rule(z3.Not(z3.And(CLASS >= 0, CLASS < P)), ("CountError", "", "SIB-1")))
        if "count" in self.options:
            found += count_rules(given, size("x", "N"), self.clause, self.appended)
        if check == "values":
            after = self.after(accepted)
            found += [
                Rule(not_finite(each), ("ValuesError", "", clause), f"finite {name}") for each, name, clause in after
            ]
        return [replace(each, error=(each.error[0], self.name, each.error[2])) for each in found]

    def call(self, **options: object) -> Callable[[], Any]:
        """The call with all its tensors symbolic; options as given, the others left out."""
        tensors = [argument(each) for each in self.tensors]
        return lambda: public(self.path)(*tensors, **options)

    def symbols(self, given: str, normalisation: str) -> dict[str, object]:
        """Options that are symbols, and the word."""
        all_of: dict[str, dict[str, object]] = {
            "prefix": {"prefix": Whole(P)},
            "count": {given: Whole(T if given == "keep" else R)},
            "normalisation": {"normalisation": normalisation},
            "class_index": {"class_index": Whole(CLASS)},
        }
        return {name: each for option in self.options for name, each in all_of[option].items()}


def part(name: str, last: int) -> str:
    """The last array that a concatenation is made of, as it is named."""
    inside = name.removeprefix("torch.cat([").rsplit("], dim=1)", maxsplit=1)[0]
    parts, depth, start = [], 0, 0
    for place, letter in enumerate(inside):
        depth += (letter in "([") - (letter in ")]")
        if depth == 0 and inside[place : place + 2] == ", ":
            parts.append(inside[start:place])
            start = place + 2
    return [*parts, inside[start:]][last]


def of_a_step(got: Any) -> list[tuple[str, str, str]]:  # noqa: ANN401 -- Pruned or Trace
    """What of a step must be finite: its scores and its mean row."""
    return [(str(got.scores), "scores", "POMT-SCORE-1"), (part(str(got.tokens), -1), "mean", "POMT-PRUNE-3")]


FUNCTIONS: Final = (
    Function("pruning.prune", ("x", "attn", "v"), ("prefix", "count", "normalisation"), after=of_a_step),
    Function("tracing.trace", ("x", "attn", "v"), ("prefix", "count", "normalisation"), after=of_a_step, says="prune"),
    Function("attention.attention_score", ("attn",), ("prefix", "normalisation")),
    Function(
        "magnitude.magnitude_score",
        ("v",),
        ("prefix",),
        after=lambda got: [(str(got).rpartition("[")[0], "share", "POMT-MAG-1")],
    ),
    Function(
        "ranking.score",
        ("attn", "v"),
        ("prefix", "normalisation"),
        after=lambda got: [(str(got), "scores", "POMT-SCORE-1")],
    ),
    Function("ranking.rank", ("scores",), ("prefix",)),
    Function("siblings.topk_prune", ("x", "attn"), ("prefix", "count", "class_index"), "TOPK-1", 0),
    Function(
        "siblings.evit_prune",
        ("x", "attn"),
        ("prefix", "count", "class_index"),
        "EVIT-1",
        after=lambda got: [(part(str(got.tokens), -1), "fused", "EVIT-1")],
    ),
)


def all_end_as(rules: list[Rule], outcomes: list[Outcome], what: str) -> None:
    """Every path ends as the first rule that applies says."""
    none = z3.And(*[z3.Not(rule.condition) for rule in rules])
    solver = z3.Solver()
    solver.add(*[size(name, axis) >= 0 for name in AXES for axis in AXES[name]])
    for outcome in outcomes:
        first = [
            z3.And(rule.condition, *[z3.Not(earlier.condition) for earlier in rules[:place]])
            for place, rule in enumerate(rules)
            if rule.error == outcome.error and rule.expected in {"", outcome.expected}
        ]
        solver.push()
        solver.add(outcome.condition, z3.Not(z3.Or(*first) if outcome.error else none))
        answer = solver.check()
        solver.pop()
        ends = f"{outcome.error or 'is accepted'}"
        refute(unless=answer == z3.unsat, why=f"{what}: {ends} where the clauses say otherwise")


def names_of(result: Any) -> dict[str, str]:  # noqa: ANN401 -- any result
    """The computations that a result is made of, by field."""
    parts = {each.name: getattr(result, each.name) for each in fields(result)} if is_dataclass(result) else {"": result}
    return {name: str(each) for name, each in parts.items()}


def prove_function(function: Function, words: tuple[str, ...] = ("batch", "sample")) -> None:
    """Every check, either count, either normalisation; and a check changes nothing of what comes out."""
    counts = ("keep", "remove") if "count" in function.options else ("",)
    words = words if "normalisation" in function.options else ("",)
    for given, word in product(counts, words):
        results = []
        for check in ("none", "shapes", "values"):
            call = function.call(**function.symbols(given, word), check=check)
            outcomes = list(every_path(call))
            accepted = [each for each in outcomes if each.error is None]
            what = f"{function.path}({given} {word} check={check})"
            refute(unless=accepted, why=f"{what}: nothing is accepted")
            all_end_as(function.rules(check, given, word, accepted[0].result), outcomes, what)
            results.append({tuple(names_of(each.result).items()) for each in accepted})
        refute(unless=results[0] == results[1] == results[2], why=f"{function.path}: a check changes what comes out")


def prove_left_out(function: Function) -> None:
    """What a caller leaves out has its documented default: P = 1 (0 for rank), by batch, every check, class row 0."""
    documented: dict[str, object] = {"prefix": 0 if function.path == "ranking.rank" else 1, "check": "values"}
    documented |= {"normalisation": "batch"} if "normalisation" in function.options else {}
    documented |= {"class_index": 0} if "class_index" in function.options else {}
    documented |= {"normalise": False} if function.path == "siblings.evit_prune" else {}
    count: dict[str, object] = {"keep": Whole(T)} if "count" in function.options else {}
    left_out, spelled_out = (
        [
            (each.condition.sexpr(), each.error, str(each.result))
            for each in every_path(function.call(**count, **options))
        ]
        for options in ({}, documented)
    )
    refute(unless=left_out == spelled_out, why=f"{function.path}: a default is not the documented one")


def refused_with(function: Function, error: Error, options: Mapping[str, object]) -> None:
    """Whatever the sizes, one error."""
    got = {each.error for each in every_path(function.call(**options))}
    refute(unless=got == {(error[0], function.name, error[2])}, why=f"{function.path}({dict(options)}): {got}")


def prove_options(function: Function) -> None:
    """Words that are none, and counts that exclude each other, are refused before anything else is looked at."""
    symbols = function.symbols("keep", "batch")
    for check in ("", "value", "all", None):
        refused_with(function, ("OptionError", "", "POMT-PRUNE-1"), {**symbols, "check": check})
    if "normalisation" in function.options:
        for check in ("none", "values"):
            options = {**symbols, "normalisation": "head", "check": check}
            refused_with(function, ("OptionError", "", "POMT-ATT-2"), options)
    if "count" in function.options:
        for count in ({"keep": None, "remove": None}, {"keep": Whole(T), "remove": Whole(R)}):
            refused_with(function, ("OptionError", "", "POMT-COUNT-1"), {**symbols, **count, "check": "none"})
    if function.path == "siblings.evit_prune":
        refused_with(function, ("OptionError", "", "EVIT-1"), {**symbols, "normalise": 1})


def prove_kinds() -> None:
    """Tensors of another kind, dtype, device or number of axes, and counts that are no integers."""
    function = FUNCTIONS[0]
    symbols = function.symbols("keep", "batch")
    changes: list[tuple[Error, dict[str, object]]] = [
        (("KindError", "", ""), {"layout": torch.sparse_coo}),
        (("KindError", "", ""), {"is_nested": True}),
        (("DtypeError", "", "POMT-PREC-1"), {"dtype": torch.int64}),
        (("DtypeError", "", "POMT-PREC-1"), {"dtype": torch.float16}),
        (("DeviceError", "", "POMT-PREC-1"), {"device": torch.device("cuda")}),
        (("ShapeError", "", ""), {"ndim": 5}),
        (("DeviceError", "", "POMT-PREC-1"), {"is_meta": True}),
    ]
    for name, (error, change) in product(function.tensors, changes):
        changed = [argument(each) for each in function.tensors]
        for each in changed:
            each._known |= change if str(each) == name else {}  # noqa: SLF001 -- the executor's own
        expected = (error[0], "prune", error[2] or CLAUSES[name])
        got = {each.error for each in every_path(partial(public(function.path), *changed, **symbols))}
        refute(unless=expected in got and None not in got, why=f"prune with {name} changed by {change}: {got}")
    for option, clause in (("prefix", "POMT-PRUNE-1"), ("keep", "POMT-PRUNE-1")):
        for wrong in (True, 1.5, "1"):
            got = {each.error for each in every_path(function.call(**{**symbols, option: wrong}))}
            expected = ("KindError", "prune", clause)
            refute(unless=expected in got and None not in got, why=f"prune({option}={wrong!r}): {got}")


def prove_plain() -> None:
    """Counts in a caller's own kind of integer are made plain before anything is added to them."""
    for function, given in product(FUNCTIONS, ("keep", "remove")):
        kinds = {
            "prefix": {"prefix": Narrow(1)},
            "count": {given: Narrow(2)},
            "class_index": {"class_index": Narrow(0)},
        }
        options = {name: each for option in function.options for name, each in kinds.get(option, {}).items()}
        accepted = [each for each in every_path(function.call(**options)) if each.error is None]
        refute(unless=accepted, why=f"{function.path}({options}): nothing is accepted")
    for counts in ({"keep": Narrow(2), "remove": None}, {"keep": None, "remove": Narrow(2)}):
        keep = public("pruning.planned_keep")("prune", 9, prefix=Narrow(1), check="values", **counts)
        refute(unless=type(keep) is int, why=f"planned_keep gives {type(keep)}, not a plain int")


def prove_refusals() -> None:
    """Every public function of a step."""
    for function in FUNCTIONS:
        prove_function(function)
        prove_left_out(function)
        prove_options(function)
    prove_kinds()
    prove_plain()


def prove_some_refusals() -> None:
    """By batch, without trace, and without the kinds."""
    for function in FUNCTIONS:
        if function.says:
            continue
        prove_function(function, ("batch",))
        prove_left_out(function)
        prove_options(function)
    prove_plain()


STATEMENTS: Final = (
    Statement(
        "refusals",
        "Each public function refuses what the edge rules refuse, in their order, with their error and clause, and "
        "accepts all else; checks change no result; what is left out has its documented default.",
        "POMT-PRUNE-1, POMT-COUNT-1, edge rules",
        "symbolic execution, z3",
        f"{ALL_SIZES} and counts; values as predicates",
        prove_refusals,
        prove_some_refusals,
    ),
)
