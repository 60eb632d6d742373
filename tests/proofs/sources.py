"""The source files that are proved, and the one place through which every proof reads or imports them.

A mutant is a changed text of one module. Only a process that has not yet imported the package can take it on, so each
mutant gets a process of its own.
"""

import importlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent.parent
PACKAGE: Final = ROOT / "pomt_ref"
BUILD: Final = ROOT / "build" / "proofs"
"""Where the proofs write: beside what the other sessions build."""

_changed: dict[str, str] = {}


def path_of(module: str) -> Path:
    """The file of a module of the package: ``streaming.blocks`` is ``pomt_ref/streaming/blocks.py``."""
    return PACKAGE.joinpath(*module.split(".")).with_suffix(".py")


def read(module: str) -> str:
    """The text that is proved: the file as it stands, or the mutant that this process has taken on."""
    return _changed.get(module) or path_of(module).read_text(encoding="utf-8")


def public(path: str) -> Any:  # noqa: ANN401 -- any function or class
    """A name of the package by module and name, imported now: from the files, or from the mutant taken on."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(f"pomt_ref.{module}"), name)


class _Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Import the changed modules from their changed texts."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Answer for the changed modules alone."""
        del path, target
        package, _, module = fullname.partition(".")
        if package != "pomt_ref" or module not in _changed:
            return None
        return importlib.util.spec_from_file_location(fullname, path_of(module), loader=self)

    def exec_module(self, module: ModuleType) -> None:
        """Run the changed text; tracebacks name the file that it is a change of."""
        name = module.__name__.partition(".")[2]
        exec(compile(_changed[name], path_of(name), "exec"), module.__dict__)  # noqa: S102 -- what importing is


def take_on(module: str, text: str) -> None:
    """Let this process see a changed module. It must not have imported the package yet."""
    if "pomt_ref" in sys.modules:
        raise RuntimeError("pomt_ref is imported already: a mutant needs a process of its own")
    _changed[module] = text
    sys.meta_path.insert(0, _Changed())
