"""The helpers of the proofs: translator, edits, executor, table. The proofs themselves are `nox -s prove`."""

import ast
import os
from collections import Counter
from pathlib import Path
from typing import Final

import numpy as np
import pytest
import z3

from pomt_ref import oracle
from tests.proofs import execution, scalars, shapes, sources, table
from tests.proofs.algebra import Numeric, Symbolic
from tests.proofs.edits import edits
from tests.proofs.everything import BY_NAME, QUICK, STATEMENTS
from tests.proofs.execution import Named, UnmodelledError, Whole, every_path
from tests.proofs.graphs import Sizes
from tests.proofs.kills import KILLS, PREMISES
from tests.proofs.operators import Array, Operators
from tests.proofs.processes import in_processes
from tests.proofs.shape_translation import signatures_of, stub, translate
from tests.proofs.statement import RefutedError

SOURCE: Final = '''
from jaxtyping import Float
from torch import Tensor

def rows(x: Float[Tensor, "batch tokens"], *, prefix: int = 1, keep: int | None = None, remove: int | None = None,
         normalisation: Normalisation = "batch") -> Float[Tensor, "batch rest"]:
    """A docstring."""
    if remove is not None:
        return x[:, remove:]
    largest = x.max() if normalisation == "batch" else x.max(dim=1)
    return x[:, :keep]

def both(
    x: Float[Tensor, "batch tokens"], *, keep: int | None = None, remove: int | None = None
) -> Float[Tensor, "batch tokens"]:
    y = rows(x, keep=keep, remove=remove, normalisation="sample")
    return y
'''


def translated(text: str = SOURCE) -> dict[str, str]:
    """Every function of a translation, by name."""
    tree = ast.parse(translate(text, signatures_of({"module": text})))
    return {each.name: ast.unparse(each) for each in tree.body if isinstance(each, ast.FunctionDef)}


class TestTranslation:
    """Annotations become symbols, options are read once for each of their values, and every step is looked at."""

    def test_function_has_every_reading(self) -> None:
        names = {f"rows__{given}__{word}" for given in ("keep", "remove") for word in ("batch", "sample")}
        assert {each for each in translated() if not each.startswith("fits_")} == names | {"both__keep", "both__remove"}

    def test_annotation_becomes_symbols(self) -> None:
        assert (
            "x: Shaped[Tensor, '[batch, tokens]'], *, prefix: Shaped[int, 'prefix']=1"
            in translated()["rows__keep__batch"]
        )

    def test_branch_that_a_reading_does_not_take_is_not_there(self) -> None:
        assert "remove:" not in translated()["rows__keep__batch"]
        assert "x[:, remove:]" in translated()["rows__remove__batch"]
        assert "max(dim=1)" not in translated()["rows__keep__batch"]
        assert "max(dim=1)" in translated()["rows__keep__sample"]

    def test_call_goes_to_the_reading_that_it_asks_for(self) -> None:
        assert "rows__keep__sample(x, keep=keep, normalisation='sample')" in translated()["both__keep"]
        assert "rows__remove__sample(x, remove=remove, normalisation='sample')" in translated()["both__remove"]

    def test_none_that_is_handed_on_as_something_else_stays(self) -> None:
        swapped = SOURCE.replace("keep=keep, remove=remove, norm", "keep=remove, remove=keep, norm")
        assert "rows__keep__sample(x, keep=remove, remove=keep," in translated(swapped)["both__keep"]

    def test_step_is_looked_at(self) -> None:
        assert "reveal_type(largest)" in translated()["rows__keep__batch"]
        assert (
            "reveal_type(returned)\n    assert_type(returned, Shaped[Tensor, '[batch, tokens]'])"
            in translated()["both__keep"]
        )

    def test_axis_of_the_result_alone_must_fit(self) -> None:
        assert "fits_rows__keep__batch(returned)" in translated()["rows__keep__batch"]
        assert "returned: Shaped[Tensor, '[batch, rest]']" in translated()["fits_rows__keep__batch"]

    def test_stub_gives_nothing_back_but_for_identities(self) -> None:
        text = stub(
            "def plain(count: int) -> int: return count\ndef other(x: int) -> str: return ''", frozenset({"plain"})
        )
        assert 'def plain(count: Shaped[int, "count"]) -> Shaped[int, "count"]: ...' in text
        assert "def other(x) -> None:" in text

    @pytest.mark.parametrize(
        ("shape", "known"),
        [
            ("Tensor[[batch, tokens - prefix]]", True),
            ("Int[tokens - remove]", True),
            ("Pruned[batch, channels, keep]", True),
            ("Tensor", False),
            ("Unknown", False),
            ("Int[int]", False),
            ("tuple[Int[keep], Tensor[[batch]], Tensor[[batch]]]", True),
            ("tuple[Int[int], Tensor[[batch]]]", False),
        ],
    )
    def test_lost_shape_is_seen(self, shape: str, known: bool) -> None:
        assert bool(shapes.KNOWN.fullmatch(shape)) == known

    def test_checker_that_is_missing_is_an_error(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("POMT_PYREFLY", str(tmp_path / "pyrefly"))
        with pytest.raises(FileNotFoundError, match="pyrefly is not installed"):
            shapes.checker()


LAYER: Final = Sizes(2, 3, 6, 2, 2, prefix=2, keep=1)


def numbers(seed: int, shape: tuple[int, ...]) -> Array:
    """Few distinct numbers, so that scores tie; attention above zero."""
    array: Array = (np.random.default_rng(seed).integers(1, 4, shape) / 4).astype(object)
    return array


class TestScalarSpecification:
    """What the graphs are proved equal to is what the oracle computes, ties included."""

    @pytest.mark.parametrize("normalisation", ["batch", "sample"])
    @pytest.mark.parametrize("seed", range(4))
    def test_scalar_specification_matches_oracle(self, normalisation: oracle.Normalisation, seed: int) -> None:
        arrays = {name: numbers(seed, shape) for name, shape in LAYER.shapes.items()}
        layer = scalars.Layer(Numeric(), **arrays, prefix=LAYER.prefix)
        x, attn, v = (each.astype(np.float64) for each in arrays.values())
        scores = oracle.score(attn, v, prefix=LAYER.prefix, normalisation=normalisation)
        ours = scalars.scores(layer, normalisation).astype(np.float64)
        np.testing.assert_allclose(ours, scores, rtol=1e-12)
        step = scalars.step(scalars.ranking(layer, scores.astype(object)), LAYER.keep, [scalars.mean])
        expected = oracle.prune(x, attn, v, prefix=LAYER.prefix, keep=LAYER.keep, normalisation=normalisation)
        assert step["kept"].tolist() == expected.kept.tolist()
        assert step["discarded"].tolist() == expected.discarded.tolist()
        np.testing.assert_allclose(step["tokens"].astype(np.float64), expected.tokens, rtol=1e-12)


class TestAlgebra:
    """One arithmetic, as terms and as numbers."""

    def test_maximum_of_the_same_terms_is_the_same(self) -> None:
        algebra = Symbolic()
        a, b = z3.Reals("a b")
        assert algebra.maximum([a, b]) is algebra.maximum([b, a, b])
        assert algebra.maximum([a]).eq(a)

    def test_maximum_is_one_of_them_and_none_is_larger(self) -> None:
        algebra = Symbolic()
        a, b = z3.Reals("a b")
        largest = algebra.maximum([a, b])
        solver = z3.Solver()
        solver.add(*algebra.axioms, z3.Not(z3.And(largest >= a, largest >= b, z3.Or(largest == a, largest == b))))
        assert solver.check() == z3.unsat

    def test_operator_without_meaning_is_refused(self) -> None:
        with pytest.raises(RefutedError, match=r"aten\.min\.dim has no meaning"):
            Operators(Numeric())("aten.min.dim", [], {})

    def test_unstable_order_has_no_meaning(self) -> None:
        with pytest.raises(RefutedError, match="not stable"):
            Operators(Numeric()).argsort_stable(numbers(0, (1, 3)), stable=False)

    def test_equal_entries_stay_in_their_order(self) -> None:
        table = Operators(Numeric())
        entries = np.array([[1, 2, 1, 2]], dtype=object)
        assert table.argsort_stable(entries, stable=True, dim=1, descending=True).tolist() == [[1, 3, 0, 2]]
        assert table.argsort_stable(entries, stable=True, dim=1).tolist() == [[0, 2, 1, 3]]


class TestExecution:
    """Every path of a function, with its condition and its end."""

    def test_every_path_is_run(self) -> None:
        count = Whole(z3.Int("count"))
        outcomes = list(every_path(lambda: "small" if count < 3 else "three" if count == 3 else "large"))
        assert Counter(each.result for each in outcomes) == {"small": 1, "three": 1, "large": 1}

    def test_path_that_cannot_be_taken_is_not_run(self) -> None:
        count = Whole(z3.Int("count"))
        assert [each.result for each in every_path(lambda: count < 3 and count > 5)].count(True) == 0

    def test_value_is_a_predicate_and_stays_what_it_was(self) -> None:
        outcomes = list(every_path(lambda: bool(Named("x").any()) == bool(Named("x").any())))
        assert [each.result for each in outcomes] == [True, True]

    def test_symbol_cannot_be_asked_for_its_value(self) -> None:
        with pytest.raises(TypeError):
            range(Whole(z3.Int("count")))  # type: ignore[call-overload]

    def test_branch_outside_a_run_is_an_error(self) -> None:
        with pytest.raises(UnmodelledError):
            bool(Whole(z3.Int("count")))

    def test_endless_paths_are_stopped(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(execution, "MOST_PATHS", 3)

        def many() -> None:
            for number in range(9):
                bool(Named(f"x{number}"))

        with pytest.raises(UnmodelledError, match="more than 3 paths"):
            list(every_path(many))


class TestMutants:
    """Edits are of one token; what is designated for a statement can be made; the table is complete."""

    @pytest.mark.parametrize("module", ["counting", "ranking"])
    def test_edit_changes_the_program(self, module: str) -> None:
        whole = ast.dump(ast.parse(sources.read(module)))
        found = edits(module)
        assert len(found) > 40
        assert all(ast.dump(ast.parse(each.text)) != whole for each in found)

    def test_edits_cover_what_can_be_edited(self) -> None:
        found = {str(each).partition(" ")[2] for each in edits("counting")}
        text = "tokens - prefix - remove - appended"
        assert {f"{text} → tokens - prefix - remove + appended", "1 → 2", "1 → 0", "tokens → appended"} <= found

    def test_every_statement_rejects_something(self) -> None:
        assert {each.statement for each in KILLS} | {each.statement for each in PREMISES} == set(BY_NAME)

    def test_at_least_forty_edits_of_every_kind_are_designated(self) -> None:
        assert len(KILLS) >= 40
        assert {"shape", "arithmetic", "index", "axis", "sign", "order", "dtype", "device", "boundary"} == {
            each.kind for each in KILLS
        }

    def test_designated_edit_can_be_made(self) -> None:
        for kill in KILLS:
            edit = kill.edit()
            compile(edit.text, str(edit), "exec")
            assert edit.text != sources.read(edit.module)

    def test_names_are_unique_and_known(self) -> None:
        assert len(BY_NAME) == len(STATEMENTS)
        assert set(QUICK) <= set(BY_NAME)

    def test_mutant_needs_a_process_of_its_own(self) -> None:
        with pytest.raises(RuntimeError, match="imported already"):
            sources.take_on("counting", "")

    def test_published_table_is_of_these_statements(self) -> None:
        page = table.PAGE.read_text(encoding="utf-8")
        assert all(f"\n| {each.name} | {each.says} |\n" in page for each in STATEMENTS)
        assert all(f"| {' | '.join(table.kill_row(each))} |\n" in page for each in KILLS)


def ends(task: str) -> str:
    """Die, or answer."""
    if task == "die":
        os._exit(3)
    return task.upper()


class TestProcesses:
    """Work is done in processes; one that dies is told apart from one that answers."""

    @pytest.mark.long
    def test_process_that_dies_has_no_answer(self) -> None:
        done = {each.task: each.answer for each in in_processes(ends, ["a", "die", "b"])}
        assert done == {"a": "A", "die": None, "b": "B"}
