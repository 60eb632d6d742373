"""Edits: every change of one token that could be made to a source file, by kinds, one at a time.

An edit replaces the text of one node of the syntax tree and leaves the rest of the file as it is. Docstrings are left
alone, and so is what changes nothing: a text whose tree is the same is no edit.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tests.proofs import sources

Place = tuple[int, int]
Found = tuple[ast.AST, str]
"""A node and the text in its place."""

WORDS: Final = {
    "batch": ("sample",),
    "sample": ("batch",),
    "values": ("shapes", "none"),
    "shapes": ("values",),
    "none": ("values", "shapes"),
}
"""Options, and what they could be instead."""

OPERATORS: Final[dict[type[ast.AST], str]] = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "/",
    ast.Div: "*",
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Is: "is not",
    ast.IsNot: "is",
    ast.In: "not in",
    ast.NotIn: "in",
}
"""What could stand in the place of an operator."""

METHODS: Final = {
    "max": ("min", "sum"),
    "sum": ("mean", "amax"),
    "mean": ("sum", "amax"),
    "values": ("indices",),
    "amax": ("amin",),
    "softmax": ("log_softmax",),
    "argsort": ("sort",),
    "gather": ("index_select",),
    "cat": ("stack",),
    "unsqueeze": ("squeeze",),
    "reshape": ("expand",),
    "detach": ("clone",),
    "full_like": ("zeros_like",),
    "any": ("all",),
    "all": ("any",),
    "isfinite": ("isnan",),
    "abs": ("sign",),
    "inf": ("nan",),
    "dtype": ("device",),
    "float32": ("float16", "float64"),
    "kept": ("discarded",),
    "discarded": ("kept",),
    "scores": ("tokens",),
    "kept_count": ("removed_count",),
    "keep_count": ("remove_count",),
    "promote_types": ("result_type",),
}
"""What stands after a dot, and what could stand there instead."""


@dataclass(frozen=True)
class Edit:
    """A changed module."""

    module: str
    line: int
    old: str
    new: str
    text: str
    """The whole module with the change made."""

    @property
    def source_line(self) -> str:
        """The line of the file that the change is made in."""
        return sources.path_of(self.module).read_text(encoding="utf-8").splitlines()[self.line - 1]

    @property
    def in_its_line(self) -> str:
        """The edit by what its line says, which outlives the number of the line."""
        return f"{self.module}: {self.source_line.strip()} · {self.old} → {self.new}"

    def __str__(self) -> str:
        """One line."""
        return f"{self.module}:{self.line} {self.old} → {self.new}"


def constants(node: ast.AST) -> Iterator[str]:
    """Numbers one off, truths the other way round, options and clauses by another word."""
    match node:
        case ast.Constant(value=bool() as value):
            yield str(not value)
        case ast.Constant(value=int() as value):
            yield from (str(value + 1), str(value - 1))
        case ast.Constant(value=None):
            yield "0"
        case ast.Constant(value=str() as value) if value in WORDS:
            yield from (f'"{each}"' for each in WORDS[value])
        case ast.Constant(value=str() as value):
            yield from (f'"{each}"' for each in shapes(value))
        case ast.UnaryOp(op=ast.USub() | ast.Not() | ast.Invert(), operand=operand):
            yield ast.unparse(operand)
        case _:
            return


def shapes(axes: str) -> Iterator[str]:
    """A shape with another axis, with one axis less, with another sign; any other word with a letter more."""
    words = axes.split()
    if not re.fullmatch(r"[a-z0-9{} +-]+", axes):
        yield axes + "0"
        return
    for place, word in enumerate(words):
        others = [each for each in words if each != word] or ["channels"]
        yield " ".join([*words[:place], others[0], *words[place + 1 :]])
        yield " ".join([*words[:place], *words[place + 1 :]]) or "1"
        if "-" in word or "+" in word:
            yield " ".join([*words[:place], word.translate(str.maketrans("+-", "-+")), *words[place + 1 :]])


KINDS: Final = {
    "int": ("float", "str"),
    "bool": ("int",),
    "str": ("bool",),
    "Float": ("Int",),
    "Int": ("Float",),
    "Tensor": ("int",),
    "Normalisation": ("Check",),
    "Check": ("Normalisation",),
    "Pruned": ("Trace",),
    "Trace": ("Pruned",),
}
"""What an annotation says, and what it could say instead."""


def types(node: ast.AST) -> Iterator[str]:
    """Another type, another name for an argument that is handed over."""
    match node:
        case ast.Name(id=name) if name in KINDS:
            yield from KINDS[name]
        case ast.keyword(arg=str() as name, value=value):
            yield f"{name}_={ast.unparse(value)}"
            yield f"{'scores' if name != 'scores' else 'mean'}={ast.unparse(value)}"
        case _:
            return


def names(node: ast.AST, scope: list[str]) -> Iterator[str]:
    """Another name of the same function."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in scope:
        place = scope.index(node.id)
        yield from dict.fromkeys(
            each for each in (scope[place - 1], scope[(place + 1) % len(scope)]) if each != node.id
        )


def structure(node: ast.AST) -> Iterator[str]:
    """Other operators and methods; arguments dropped and exchanged; slices and sequences turned round."""
    match node:
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            yield f"{ast.unparse(left)} {OPERATORS[type(op)]} {ast.unparse(right)}"
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in OPERATORS:
            yield f"{ast.unparse(left)} {OPERATORS[type(op)]} {ast.unparse(right)}"
        case ast.Attribute(value=value, attr=name):
            yield from (f"{ast.unparse(value)}.{each}" for each in METHODS.get(name, ()))
        case ast.Slice():
            start, stop = (ast.unparse(each) if each else "" for each in (node.lower, node.upper))
            yield f"{stop}:{start}"
        case ast.List(elts=items) | ast.Tuple(elts=items) if isinstance(node.ctx, ast.Load) and len(items) > 1:
            yield from exchanged(node, [ast.unparse(each) for each in items])
        case ast.Call():
            yield from calls(node)
        case ast.Expr(value=ast.Call()):
            yield "pass"
        case ast.If(test=test):
            yield ast.unparse(ast.If(ast.UnaryOp(ast.Not(), test), node.body, node.orelse)).replace(
                "\n", f"\n{' ' * node.col_offset}"
            )
        case _:
            return


def exchanged(node: ast.List | ast.Tuple, items: list[str]) -> Iterator[str]:
    """Neighbours exchanged."""
    open_, close = ("[", "]") if isinstance(node, ast.List) else ("", "")
    for place in range(len(items) - 1):
        yield open_ + ", ".join([*items[:place], items[place + 1], items[place], *items[place + 2 :]]) + close


def calls(node: ast.Call) -> Iterator[str]:
    """Each named argument dropped, each pair of neighbours exchanged, and the call itself left out."""
    function = ast.unparse(node.func)
    given = [ast.unparse(each) for each in node.args]
    named = [ast.unparse(each) for each in node.keywords]
    for place in range(len(named)):
        yield f"{function}({', '.join([*given, *named[:place], *named[place + 1 :]])})"
    for place in range(len(given) - 1):
        swapped = [*given[:place], given[place + 1], given[place], *given[place + 2 :]]
        yield f"{function}({', '.join([*swapped, *named])})"
    match node:
        case ast.Call(func=ast.Attribute(value=value)) if not (
            isinstance(value, ast.Name) and value.id in {"torch", "contracts", "counting"}
        ):
            yield ast.unparse(value)
        case ast.Call(args=[first, *_]):
            yield ast.unparse(first)
        case _:
            return


def scope_of(function: ast.FunctionDef) -> list[str]:
    """Arguments and locals, in the order in which they come."""
    given = [each.arg for each in [*function.args.args, *function.args.kwonlyargs]]
    local = [each.id for each in ast.walk(function) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)]
    return list(dict.fromkeys([*given, *local]))


def nodes(tree: ast.Module) -> Iterator[tuple[ast.AST, list[str]]]:
    """Every node but docstrings and parts of f-strings, with the names in its function."""

    def walk(node: ast.AST, scope: list[str]) -> Iterator[tuple[ast.AST, list[str]]]:
        for child in ast.iter_child_nodes(node):
            docstring = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
            if docstring or isinstance(child, ast.JoinedStr | ast.Import | ast.ImportFrom):
                continue
            yield child, scope
            yield from walk(child, scope_of(child) if isinstance(child, ast.FunctionDef) else scope)

    yield from walk(tree, [])


def edits(module: str) -> list[Edit]:
    """Every edit of a module, in the order of its lines."""
    text = sources.path_of(module).read_text(encoding="utf-8")
    tree = ast.parse(text)
    whole = ast.dump(tree)
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found: dict[str, Edit] = {}
    for node, scope in nodes(tree):
        if not hasattr(node, "lineno"):
            continue
        assert isinstance(node, ast.expr | ast.stmt | ast.arg | ast.keyword)
        start = starts[node.lineno - 1] + characters(text, starts, node.lineno, node.col_offset)
        end = starts[(node.end_lineno or 0) - 1] + characters(
            text, starts, node.end_lineno or 0, node.end_col_offset or 0
        )
        for new in (*constants(node), *types(node), *names(node, scope), *structure(node)):
            changed = text[:start] + new + text[end:]
            try:
                if ast.dump(ast.parse(changed)) == whole:
                    continue
            except SyntaxError:
                continue
            found.setdefault(changed, Edit(module, node.lineno, *shortest(text[start:end], new), changed))
    return sorted(found.values(), key=lambda each: each.line)


def characters(text: str, starts: list[int], line: int, offset: int) -> int:
    """The column in characters: the tree counts bytes."""
    content = text[starts[line - 1] : starts[line]]
    return len(content.encode()[:offset].decode())


def shortest(old: str, new: str) -> tuple[str, str]:
    """Both texts on one line."""
    one, other = (" ".join(each.split()) for each in (old, new))
    return one, other


SPECIFICATION: Final = ("counting", "attention", "magnitude", "ranking", "pruning")
"""The modules whose every edit is tried."""
