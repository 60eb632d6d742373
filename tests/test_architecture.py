"""Who may import whom: the way of the data is one line, the oracle stands apart, the laws never see the reference."""

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parent.parent

MAY_IMPORT: Mapping[str, frozenset[str]] = {
    # one step of pruning
    "errors": frozenset(),
    "version": frozenset(),
    "types": frozenset(),
    "counting": frozenset(),
    "choosing": frozenset(),
    "contracts": frozenset({"errors", "types"}),
    "attention": frozenset({"types", "contracts"}),
    "magnitude": frozenset({"types", "contracts"}),
    "ranking": frozenset({"attention", "magnitude"}),
    "pruning": frozenset({"ranking", "counting"}),
    "siblings": frozenset({"ranking", "pruning"}),
    "tracing": frozenset({"ranking", "pruning"}),
    "streaming": frozenset({"attention", "magnitude", "pruning"}),
    "__init__": frozenset({"version", "siblings", "tracing", "choosing"}),
    # the step of several processes
    "sharding": frozenset({"attention", "magnitude", "pruning"}),
    # sound bounds of a step
    "bounds": frozenset({"types", "contracts", "counting"}),
    # real models
    "vision": frozenset({"pruning", "siblings", "tracing", "choosing", "streaming", "bounds", "version"}),
    # what the package is held against
    "oracle": frozenset(),
    "testing": frozenset({"oracle", "errors", "types"}),
    "conformance": frozenset({"testing", "oracle", "version"}),
    "pytest_plugin": frozenset(),
    "cli": frozenset({"conformance", "choosing", "version"}),
    "__main__": frozenset({"cli"}),
    "properties": frozenset({"testing", "oracle", "conformance", "bounds", "streaming", "pytest_plugin", "__init__"}),
}
"""A room, and the rooms it imports directly; what those may import it may import too, but not through a front door."""

FRONT_DOORS = frozenset({"__init__", "streaming"})
"""Public names: who imports them has not asked for what stands behind them."""

MAY_IMPORT_LATE: Mapping[str, frozenset[str]] = {
    "cli": frozenset({"vision"}),
    "pytest_plugin": frozenset({"conformance"}),
}
"""Beyond that, inside functions only: `pomt-ref --help` must not wait for torch."""

OPEN_TO_ALL = "errors"
"""A leaf that imports nothing, so everyone may raise the project's errors; all but the oracle, which stands alone."""

ORACLE_PACKAGES = frozenset({"numpy", "jaxtyping"})
"""The oracle computes with NumPy alone, so that it shares no fault of torch; jaxtyping writes its shapes down."""


@dataclass(frozen=True)
class Import:
    """One imported module, where it is imported, and whether that happens only when a function runs."""

    target: str
    line: int
    late: bool


def module_name(path: str) -> str:
    """The dotted name under which a file is imported."""
    parts = PurePosixPath(path).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(module: str) -> str:
    """The row of the table that a module of ours belongs to."""
    top, _, rest = module.partition(".")
    if top != "pomt_ref":
        return top
    return rest.partition(".")[0] or "__init__"


def allowed(name: str, *, late: bool) -> frozenset[str]:
    """Every room that a room may import: its row, and the rows of that row."""
    rooms = {name} if name == "oracle" else {name, OPEN_TO_ALL}
    waiting = set(MAY_IMPORT[name] | (MAY_IMPORT_LATE.get(name, frozenset()) if late else frozenset()))
    while waiting:
        other = waiting.pop()
        rooms.add(other)
        if other not in FRONT_DOORS:
            waiting |= MAY_IMPORT[other] - rooms
    return frozenset(rooms)


def imported_modules(node: ast.AST, package: list[str], modules: frozenset[str]) -> Iterator[str]:
    """The modules that one statement or call imports; `from pomt_ref import x` is the module x if there is one."""
    match node:
        case ast.Import(names=names):
            yield from (name.name for name in names)
        case ast.ImportFrom(module=module, names=names, level=level):
            start = package[: len(package) + 1 - level] if level else []
            base = ".".join([*start, *([module] if module else [])])
            for name in names:
                inner = f"{base}.{name.name}"
                yield inner if inner in modules else base
        case ast.Call(args=[ast.Constant(value=str(target)), *_]):
            yield target
        case _:
            return


def may_import(node: ast.AST) -> bool:
    """Whether it is a statement that imports, or a call that does."""
    match node:
        case ast.Import() | ast.ImportFrom():
            return True
        case ast.Call(func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module")):
            return True
        case _:
            return False


@cache
def importing(source: str) -> tuple[tuple[ast.AST, bool], ...]:
    """What may import anything: statements and calls, each with whether it runs late."""

    def walk(node: ast.AST, *, late: bool) -> Iterator[tuple[ast.AST, bool]]:
        for child in ast.iter_child_nodes(node):
            if may_import(child):
                yield child, late
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from walk(child, late=late or inside)

    return tuple(walk(ast.parse(source), late=False))


def imports(path: str, source: str, modules: frozenset[str]) -> Iterator[Import]:
    """Every import of a file, relative ones resolved, late ones marked."""
    name = module_name(path)
    package = name.split(".") if path.endswith("__init__.py") else name.split(".")[:-1]
    for node, late in importing(source):
        for target in imported_modules(node, package, modules):
            yield Import(target, getattr(node, "lineno", 0), late)


def violations(sources: Mapping[str, str]) -> list[str]:
    """Every import that the table does not allow, one line each."""
    modules = frozenset(map(module_name, sources))
    found = []
    for path, source in sorted(sources.items()):
        here = room(module_name(path))
        if here not in MAY_IMPORT:
            found.append(f"{path}: {here} is in no row of the table")
            continue
        for each in imports(path, source, modules):
            top = each.target.partition(".")[0]
            if top in {"pomt_ref", "properties", "tests"}:
                if room(each.target) not in allowed(here, late=each.late):
                    found.append(f"{path}:{each.line}: {here} must not import {each.target}")
            elif here == "oracle" and top not in sys.stdlib_module_names | ORACLE_PACKAGES:
                found.append(f"{path}:{each.line}: the oracle must not import {top}")
    return found


@cache
def read_sources() -> dict[str, str]:
    """All files that the table speaks of, by their path from the root of the project."""
    files = (path for folder in ("pomt_ref", "properties") for path in (ROOT / folder).rglob("*.py"))
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in files}


def test_imports_follow_the_table() -> None:
    """The project as it stands has no import outside the table."""
    assert violations(read_sources()) == []


def test_every_row_has_its_module() -> None:
    """The table names no room that is not there: a renamed module must not leave a row that allows nothing real."""
    assert set(MAY_IMPORT) - {room(module_name(path)) for path in read_sources()} == set()


@pytest.mark.parametrize(
    ("path", "line", "says"),
    [
        ("pomt_ref/attention.py", "from pomt_ref.ranking import rank", "attention must not import pomt_ref.ranking"),
        ("pomt_ref/attention.py", "from . import pruning", "attention must not import pomt_ref.pruning"),
        ("pomt_ref/types.py", "from pomt_ref import contracts", "types must not import pomt_ref.contracts"),
        ("pomt_ref/ranking.py", "def f():\n    import pomt_ref.pruning", "ranking must not import pomt_ref.pruning"),
        ("pomt_ref/ranking.py", "from pomt_ref import prune", "ranking must not import pomt_ref"),
        ("pomt_ref/oracle/pruning.py", "from ..counting import lengths", "oracle must not import pomt_ref.counting"),
        (
            "pomt_ref/oracle/pruning.py",
            "from pomt_ref.errors import PomtError",
            "oracle must not import pomt_ref.errors",
        ),
        ("pomt_ref/oracle/pruning.py", "import torch", "the oracle must not import torch"),
        ("pomt_ref/testing/laws.py", "import pomt_ref", "testing must not import pomt_ref"),
        (
            "pomt_ref/testing/laws.py",
            "import importlib\nimportlib.import_module('pomt_ref.pruning')",
            "testing must not import pomt_ref.pruning",
        ),
        ("pomt_ref/cli.py", "import pomt_ref.vision.vit", "cli must not import pomt_ref.vision.vit"),
        ("pomt_ref/vision/vit.py", "import tests.conftest", "vision must not import tests.conftest"),
        ("properties/test_rank.py", "import pomt_ref.ranking", "properties must not import pomt_ref.ranking"),
        ("pomt_ref/utils.py", "", "utils is in no row of the table"),
    ],
)
def test_planted_import_is_rejected(path: str, line: str, says: str) -> None:
    """The checker itself can fail: an import against the table, in whatever form, is found and named."""
    found = violations({**read_sources(), path: line})
    assert [each for each in found if each.startswith(path) and each.endswith(says)], found


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("pomt_ref/siblings.py", "from pomt_ref import contracts"),
        ("pomt_ref/oracle/pruning.py", "from .ranking import order"),
        ("pomt_ref/cli.py", "def choose():\n    from pomt_ref.vision import vit"),
        ("properties/test_rank.py", "from pomt_ref import prune\nfrom pomt_ref.testing import laws"),
    ],
)
def test_allowed_import_is_accepted(path: str, line: str) -> None:
    """The rows of a row are allowed too, as are a room's own modules and late imports where the table has them."""
    assert [each for each in violations({**read_sources(), path: line}) if each.startswith(path)] == []
