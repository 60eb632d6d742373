"""The public names: listed once, sorted, loaded on first use, the same for a type checker and at run time."""

import ast
from importlib import import_module
from pathlib import Path
from typing import Final

import pytest

import pomt_ref
from pomt_ref import errors

SOURCE: Final = Path(pomt_ref.__file__)


def names_for_type_checkers() -> dict[str, list[str]]:
    """The names that the imports under TYPE_CHECKING bring, by module."""
    (block,) = (node for node in ast.parse(SOURCE.read_text(encoding="utf-8")).body if isinstance(node, ast.If))
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    assert len(imports) == len(block.body), "nothing but imports belongs there"
    return {
        str(node.module).removeprefix("pomt_ref."): [alias.asname or alias.name for alias in node.names]
        for node in imports
    }


class TestPublicNames:
    """`__init__.py`: the public names, re-exported one by one, sorted."""

    def test_names_are_sorted_and_listed_once(self) -> None:
        assert pomt_ref.__all__ == sorted(set(pomt_ref.__all__))

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

    def test_names_load_from_where_type_checkers_find_them(self) -> None:
        homes = {module: list(names) for module, names in pomt_ref._HOMES.items()}  # noqa: SLF001 - held to the imports
        assert homes == names_for_type_checkers()
        assert sorted([name for names in homes.values() for name in names] + ["__version__"]) == pomt_ref.__all__

    @pytest.mark.parametrize("name", pomt_ref.__all__)
    def test_name_is_loaded_when_asked_for_and_then_stays(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        if name == "__version__":
            assert pomt_ref.__version__ == "0.2.0"
            return
        (home,) = (module for module, names in names_for_type_checkers().items() if name in names)
        expected = getattr(import_module(f"pomt_ref.{home}"), name)
        monkeypatch.delitem(vars(pomt_ref), name, raising=False)
        assert getattr(pomt_ref, name) is expected
        assert vars(pomt_ref)[name] is expected

    def test_names_show_before_they_are_loaded(self) -> None:
        assert dir(pomt_ref) == pomt_ref.__all__

    @pytest.mark.parametrize("name", ["prunes", "attention_sums", "_Homes"])
    def test_unknown_name_is_refused(self, name: str) -> None:
        with pytest.raises(AttributeError, match=f"^module 'pomt_ref' has no attribute '{name}'$"):
            getattr(pomt_ref, name)

    def test_error_classes_are_all_public(self) -> None:
        classes = [value for value in vars(errors).values() if isinstance(value, type)]
        assert {name for name in pomt_ref.__all__ if name.endswith("Error")} == {error.__name__ for error in classes}
