"""The public names: listed once, sorted, loaded on first use, the same for a type checker and at run time."""

import ast
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest

import pomt_ref
import pomt_ref.vision
from pomt_ref import errors

PACKAGES: Final[tuple[ModuleType, ...]] = (pomt_ref, pomt_ref.vision)
"""Those whose names load on first use."""


def names_for_type_checkers(package: ModuleType) -> dict[str, list[str]]:
    """The names that the imports under TYPE_CHECKING bring, by module."""
    source = Path(str(package.__file__)).read_text(encoding="utf-8")
    conditional = (node for node in ast.parse(source).body if isinstance(node, ast.If))
    (block,) = (node for node in conditional if ast.unparse(node.test) == "TYPE_CHECKING")
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    assert len(imports) == len(block.body), "nothing but imports belongs there"
    return {
        str(node.module).removeprefix(f"{package.__name__}."): [alias.asname or alias.name for alias in node.names]
        for node in imports
    }


def test_version_is_a_public_name() -> None:
    assert pomt_ref.__version__ == "0.2.0"


class TestPublicNames:
    """`__init__.py`: the public names, re-exported one by one, sorted."""

    @pytest.mark.parametrize("package", PACKAGES)
    def test_names_are_sorted_and_listed_once(self, package: ModuleType) -> None:
        assert package.__all__ == sorted(set(package.__all__))

    def test_names_are_those_of_the_design(self) -> None:
        functions = {name for name in pomt_ref.__all__ if name.islower() and name != "__version__"}
        assert functions == {
            "attention_score",
            "choose_remove",
            "evit_prune",
            "magnitude_score",
            "prune",
            "rank",
            "score",
            "topk_prune",
            "trace",
        }

    @pytest.mark.parametrize("package", PACKAGES)
    def test_names_load_from_where_type_checkers_find_them(self, package: ModuleType) -> None:
        homes = {module: list(names) for module, names in package._HOMES.items()}  # noqa: SLF001 - held to the imports
        assert homes == names_for_type_checkers(package)
        loaded = [name for names in homes.values() for name in names]
        assert sorted(loaded) == [name for name in package.__all__ if name != "__version__"]

    @pytest.mark.parametrize(
        ("package", "name"),
        [(package, name) for package in PACKAGES for name in package.__all__ if name != "__version__"],
    )
    def test_name_is_loaded_when_asked_for_and_then_stays(
        self, package: ModuleType, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (home,) = (module for module, names in names_for_type_checkers(package).items() if name in names)
        expected = getattr(import_module(f"{package.__name__}.{home}"), name)
        monkeypatch.delitem(vars(package), name, raising=False)
        assert getattr(package, name) is expected
        assert vars(package)[name] is expected

    @pytest.mark.parametrize("package", PACKAGES)
    def test_names_show_before_they_are_loaded(self, package: ModuleType) -> None:
        assert dir(package) == package.__all__

    @pytest.mark.parametrize("package", PACKAGES)
    @pytest.mark.parametrize("name", ["prunes", "attention_sums", "_Homes"])
    def test_unknown_name_is_refused(self, package: ModuleType, name: str) -> None:
        with pytest.raises(AttributeError, match=f"^module '{package.__name__}' has no attribute '{name}'$"):
            getattr(package, name)

    def test_error_classes_are_all_public(self) -> None:
        classes = [value for value in vars(errors).values() if isinstance(value, type)]
        assert {name for name in pomt_ref.__all__ if name.endswith("Error")} == {error.__name__ for error in classes}
