"""From the jaxtyping annotations of the sources to the symbolic shapes that pyrefly checks.

``Float[Tensor, "batch tokens-{prefix}"]`` becomes ``Shaped[Tensor, "[batch, tokens-prefix]"]``, an ``int`` argument
becomes the symbol of its own name, and after every assignment stands a ``reveal_type``, so that a shape which the
checker lost is seen. What an option decides is read once for each of its values: see :class:`Reading`.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from itertools import product
from typing import Final

COUNTS: Final = ("keep", "remove")
"""Two arguments of which exactly one is given; in a reading the other one is None."""

NORMALISATIONS: Final = ("batch", "sample")

SYMBOL: Final = re.compile(r"[A-Za-z_]\w*")
FITS: Final = "fits_"
HEADER: Final = "from shape_extensions import Shaped, shape_vars\nfrom typing import assert_type, reveal_type\n"


@dataclass(frozen=True)
class Reading:
    """One of the ways in which a function can be called: which count is given, and which normalisation is asked for."""

    given: str | None
    normalisation: str | None

    @property
    def suffix(self) -> str:
        """What the name of the function gets in this reading."""
        return "".join(f"__{each}" for each in (self.given, self.normalisation) if each)

    @property
    def absent(self) -> str | None:
        """The count that is None."""
        return next((each for each in COUNTS if self.given and each != self.given), None)

    def decides(self, test: ast.expr) -> bool | None:
        """What a condition is in this reading; nothing if the reading says nothing of it."""
        match test:
            case ast.Compare(
                left=ast.Name(id=name), ops=[ast.Is() | ast.IsNot() as is_], comparators=[ast.Constant(None)]
            ):
                return (name == self.absent) == isinstance(is_, ast.Is) if self.given and name in COUNTS else None
            case ast.Compare(
                left=ast.Name("normalisation"), ops=[ast.Eq() | ast.NotEq() as equals], comparators=[ast.Constant(word)]
            ) if self.normalisation:
                return (word == self.normalisation) == isinstance(equals, ast.Eq)
            case _:
                return None


@dataclass(frozen=True)
class Signature:
    """What decides how a function is read: its arguments, and the default of its normalisation."""

    arguments: tuple[str, ...]
    default: str | None

    @property
    def readings(self) -> list[Reading]:
        """Every way to call it; one without options if nothing is to be decided."""
        given = COUNTS if set(COUNTS) <= set(self.arguments) else (None,)
        return [Reading(*each) for each in product(given, NORMALISATIONS if self.default else (None,))]


def arguments_of(function: ast.FunctionDef) -> list[ast.arg]:
    """All arguments, in the order in which they are written."""
    return [*function.args.args, *function.args.kwonlyargs]


def signature_of(function: ast.FunctionDef) -> Signature:
    """Read it off the definition."""
    defaults = zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    normalisations = [
        each.value for name, each in defaults if name.arg == "normalisation" and isinstance(each, ast.Constant)
    ]
    return Signature(tuple(each.arg for each in arguments_of(function)), str(*normalisations) or None)


def signatures_of(texts: Mapping[str, str]) -> dict[str, Signature]:
    """Every function that has more than one reading."""
    functions = (node for text in texts.values() for node in ast.parse(text).body if isinstance(node, ast.FunctionDef))
    signatures = {each.name: signature_of(each) for each in functions}
    return {name: each for name, each in signatures.items() if len(each.readings) > 1}


class Read(ast.NodeTransformer):
    """Calls go to the reading that they ask for, and a branch that a reading never takes is not there."""

    def __init__(self, reading: Reading, signatures: Mapping[str, Signature]) -> None:
        """Know the reading of the function that is translated, and the readings of those that it calls."""
        self.reading = reading
        self.signatures = signatures

    def visit_Call(self, node: ast.Call) -> ast.Call:
        """Drop a None that is handed on under its own name; any other use of it stays, and is wrong."""
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and (called := self.signatures.get(node.func.id)):
            normalisation = self._normalisation(node, called) if called.default else None
            two_counts = set(COUNTS) <= set(called.arguments)
            node.func.id += Reading(self.reading.given if two_counts else None, normalisation).suffix
            named = zip(called.arguments, node.args, strict=False)
            node.args = [each for name, each in named if not (two_counts and self._handed_on(name, each))]
            node.keywords = [
                each for each in node.keywords if not (two_counts and self._handed_on(each.arg, each.value))
            ]
        return node

    def visit_If(self, node: ast.If) -> ast.If | list[ast.stmt]:
        """Put the branch that is taken in the place of the condition."""
        self.generic_visit(node)
        decided = self.reading.decides(node.test)
        return node if decided is None else node.body if decided else node.orelse

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        """As for a statement."""
        self.generic_visit(node)
        decided = self.reading.decides(node.test)
        return node if decided is None else node.body if decided else node.orelse

    def _handed_on(self, name: str | None, value: ast.expr) -> bool:
        return name == self.reading.absent and isinstance(value, ast.Name) and value.id == name

    def _normalisation(self, node: ast.Call, called: Signature) -> str | None:
        handed = [each.value for each in node.keywords if each.arg == "normalisation"]
        match handed:
            case [ast.Name("normalisation")]:
                return self.reading.normalisation
            case [ast.Constant(value=str(word))]:
                return word
            case _:
                return called.default


def axes(annotation: ast.expr | None) -> str | None:
    """The axes of a jaxtyping annotation as pyrefly writes them; nothing for any other annotation."""
    match annotation:
        case ast.Subscript(
            value=ast.Name(id="Float" | "Int"),
            slice=ast.Tuple(elts=[ast.Name("Tensor"), ast.Constant(value=str(words))]),
        ):
            return ", ".join(words.replace("{", "").replace("}", "").split())
        case _:
            return None


def shaped(kind: str, shape: str) -> ast.expr:
    """An annotation in pyrefly's form."""
    return ast.parse(f'Shaped[{kind}, "{shape}"]', mode="eval").body


def symbols(shape: str) -> set[str]:
    """The names in a shape."""
    return set(SYMBOL.findall(shape))


def declare(found: set[str]) -> ast.expr:
    """The decorator that makes names symbols."""
    return ast.parse(f'shape_vars("{", ".join(sorted(found))}")', mode="eval").body


def without(function: ast.FunctionDef, absent: str) -> None:
    """Take the count that is not given away, make it a local None, and require the other one."""
    given = function.args
    pairs = zip(given.kwonlyargs, given.kw_defaults, strict=True)
    kept = [(each, None if each.arg in COUNTS else default) for each, default in pairs if each.arg != absent]
    given.kwonlyargs, given.kw_defaults = [each for each, _ in kept], [default for _, default in kept]
    given.args = [each for each in given.args if each.arg != absent]
    function.body.insert(0, ast.parse(f"{absent} = None").body[0])


def annotated(function: ast.FunctionDef) -> list[ast.FunctionDef]:
    """Write shapes where the source has jaxtyping's, symbols for ints, and look at every step."""
    found: set[str] = set()
    for argument in arguments_of(function):
        if shape := axes(argument.annotation):
            argument.annotation = shaped("Tensor", f"[{shape}]")
            found |= symbols(shape)
        elif argument.annotation is not None and ast.unparse(argument.annotation) in {"int", "int | None"}:
            argument.annotation = shaped("int", argument.arg)
            found.add(argument.arg)
    if not found:
        return [function]
    promise = deepcopy(function.returns)
    promised = axes(function.returns)
    if promised is None or not symbols(promised) <= found:
        promised = None  # an axis that no argument has: inferred, and held against the claims
    function.returns = shaped("Tensor", f"[{promised}]") if promised else None
    function.body = [step for statement in function.body for step in looked_at(statement, promised, function.name)]
    function.decorator_list.append(declare(found))
    return [function] if promised or promise is None else [fits(function.name, promise), function]


def fits(name: str, promise: ast.expr) -> ast.FunctionDef:
    """A function that takes what another one returns, as annotated, where an axis of it is none of the arguments'."""
    free: set[str] = set()

    class Translate(ast.NodeTransformer):
        def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
            if (shape := axes(node)) is None:
                return self.generic_visit(node)
            free.update(symbols(shape))
            return shaped("Tensor", f"[{shape}]")

    (function,) = ast.parse(f"def {FITS}{name}(returned) -> None: ...").body
    assert isinstance(function, ast.FunctionDef)
    function.args.args[0].annotation = Translate().visit(promise)
    function.decorator_list = [declare(free)] if free else []
    return function


def looked_at(statement: ast.stmt, promised: str | None, function: str) -> Iterator[ast.stmt]:
    """A statement, and after it what the checker is asked about it."""
    match statement:
        case ast.Return(value=ast.expr() as value):
            yield from ast.parse(f"returned = {ast.unparse(value)}\nreveal_type(returned)").body
            if promised:
                yield from ast.parse(f'assert_type(returned, Shaped[Tensor, "[{promised}]"])').body
            else:
                yield from ast.parse(f"{FITS}{function}(returned)").body
            yield from ast.parse("return returned").body
        case ast.If():
            statement.body = [step for inner in statement.body for step in looked_at(inner, promised, function)]
            statement.orelse = [step for inner in statement.orelse for step in looked_at(inner, promised, function)]
            yield statement
        case ast.Assign(targets=[target], value=value) if not isinstance(value, ast.Constant):
            yield statement
            named = target.elts if isinstance(target, ast.Tuple) else [target]
            yield from ast.parse("\n".join(f"reveal_type({ast.unparse(each)})" for each in named)).body
        case _:
            yield statement


def result_class(node: ast.ClassDef) -> ast.ClassDef:
    """A dataclass of results has the axes of its fields as parameters."""
    found: set[str] = set()
    for field in node.body:
        if isinstance(field, ast.AnnAssign) and (shape := axes(field.annotation)):
            found |= symbols(shape)
            field.annotation = shaped("Tensor", f"[{shape}]")
    if found:
        node.decorator_list.insert(0, declare(found))
    return node


def readings(function: ast.FunctionDef, signatures: Mapping[str, Signature]) -> Iterator[ast.FunctionDef]:
    """A function in each of its readings, without its docstring and without what it never reaches."""
    function.body = function.body[1:] if ast.get_docstring(function) else function.body
    for reading in signature_of(function).readings:
        copy: ast.FunctionDef = Read(reading, signatures).visit(deepcopy(function))
        if reading.absent:
            without(copy, reading.absent)
        copy.name += reading.suffix
        returns = [place for place, statement in enumerate(copy.body) if isinstance(statement, ast.Return)]
        copy.body = copy.body[: min(returns, default=len(copy.body)) + 1]
        yield from annotated(copy)


def translate(text: str, signatures: Mapping[str, Signature]) -> str:
    """One module in pyrefly's form."""
    tree = ast.parse(text)
    body: list[ast.stmt] = []
    for node in tree.body:
        match node:
            case ast.ClassDef():
                body.append(result_class(node))
            case ast.FunctionDef():
                body.extend(readings(node, signatures))
            case ast.ImportFrom(module="jaxtyping" | "torch.export") | ast.Expr():
                pass  # no shape comes from there
            case ast.ImportFrom(names=names):
                node.names = [each for name in names for each in imported(name, signatures)]
                body.append(node)
            case _:
                body.append(node)
    tree.body = body
    return HEADER + ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def imported(name: ast.alias, signatures: Mapping[str, Signature]) -> list[ast.alias]:
    """The names under which the readings of an imported function are imported."""
    known = signatures.get(name.name)
    return [ast.alias(name.name + each.suffix, name.asname) for each in known.readings] if known else [name]


def stub(text: str, identities: frozenset[str]) -> str:
    """Signatures alone, for a module that returns no tensor; an identity gives its argument back, symbol and all."""
    lines = ["from shape_extensions import Shaped, shape_vars"]
    for node in ast.parse(text).body:
        if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"):
            continue
        if node.name in identities:
            (argument,) = (each.arg for each in arguments_of(node))
            form = f'Shaped[int, "{argument}"]'
            lines.append(f'@shape_vars("{argument}")\ndef {node.name}({argument}: {form}) -> {form}: ...')
            continue
        for each in [*arguments_of(node), node.args.kwarg]:
            if each is not None:
                each.annotation = None
        node.body, node.returns = ast.parse("...").body, ast.parse("None", mode="eval").body
        lines.append(ast.unparse(node))
    return "\n".join(lines) + "\n"
