"""The command as a user gives it: its exit status, its one-line messages, its report; never a traceback."""

import io
import json
import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, get_args

import numpy as np
import pytest
from safetensors.numpy import save_file

from pomt_ref import __version__
from pomt_ref.cli import COULD_NOT_RUN, DTYPES, PROFILES, build_parser, main
from pomt_ref.cli.numbers import LONGEST, SHORTEST
from pomt_ref.cli.parser import reworded
from pomt_ref.conformance import call
from pomt_ref.conformance.call import TIME_LIMIT
from pomt_ref.testing import Dtype, formats, laws_of

ROOT: Final = Path(__file__).parent.parent

OUTPUT: Final = "an array, a tuple that begins with one, or an object that has one as tokens"

SUBJECTS: Final = '''
"""Implementations, right and wrong."""

import functools
import sys
from types import SimpleNamespace

import torch

from pomt_ref import trace
from pomt_ref.testing.mutants import ClassStep, Step

right = Step()


def prune(x, attn, v, *, prefix, keep):
    return right(x, attn, v, prefix=prefix, keep=keep)


def changed(change):
    return lambda x, attn, v, *, prefix, keep: change(prune(x, attn, v, prefix=prefix, keep=keep))


class Kernel:
    def __call__(self, x, attn, v, prefix, keep):
        return prune(x, attn, v, prefix=prefix, keep=keep)

    @classmethod
    def step(cls, x, attn, v, **counts):
        return right(x, attn, v, **counts)


class Outer:
    Inner = Kernel


def in_place(x, attn, v, *, prefix, keep):
    output = prune(x, attn, v, prefix=prefix, keep=keep)
    x.mul_(2)
    return output


def view(x, attn, v, *, prefix, keep):
    """Its input itself, where that is right: one patch token that is its own mean."""
    return x[:] if x.shape[1] == prefix + 1 else prune(x, attn, v, prefix=prefix, keep=keep)


def printing(x, attn, v, *, prefix, keep):
    print("I print")
    return prune(x, attn, v, prefix=prefix, keep=keep)


def two_faults(x, attn, v, *, prefix, keep):
    if keep == 0:
        raise RuntimeError("nothing to keep")
    return prune(x, attn, v, prefix=prefix, keep=keep) + 1


def listing(x, attn, v, *, prefix, keep):
    return SimpleNamespace(tokens=prune(x, attn, v, prefix=prefix, keep=keep), scores=[1.0])


kernel = Kernel()
partial = functools.partial(prune)
late = lambda *tensors, **counts: right(*tensors, **counts)
topk = ClassStep()
raising = changed(lambda tokens: 1 / 0)
exiting = changed(lambda tokens: sys.exit(0))
interrupting = changed(lambda tokens: (_ for _ in ()).throw(KeyboardInterrupt))
nan = changed(lambda tokens: tokens * float("nan"))
shorter = changed(lambda tokens: tokens[:, 1:])
flat = changed(lambda tokens: tokens.flatten())
double = changed(torch.Tensor.double)
integers = changed(torch.Tensor.long)
random = changed(lambda tokens: tokens + torch.rand(()))
nothing = changed(lambda tokens: None)
number = changed(lambda tokens: 3)
listed = changed(lambda tokens: [tokens])
array = changed(torch.Tensor.numpy)
two_arguments = lambda x, attn: x
a_number = 3
'''


def line_of(beginning: str) -> str:
    """Where a line of the module is, as a message tells it."""
    number = [line.strip().startswith(beginning) for line in SUBJECTS.splitlines()].index(True) + 1
    return f"(cli_subjects.py:{number})"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder with a module of implementations, which the command is given in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    (tmp_path / "cli_subjects.py").write_text(SUBJECTS)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("cli_")]:
        del sys.modules[name]


Given = Callable[..., tuple[int, str, str]]


@pytest.fixture
def given(here: Path, capfd: pytest.CaptureFixture[str]) -> Given:
    """Give the command in that folder: exit status, what it said, what it said on standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        assert Path.cwd() == here
        try:
            status = main(arguments)
        except SystemExit as ended:  # argparse
            status = int(str(ended.code))
        said = capfd.readouterr()
        assert "Traceback" not in said.out + said.err
        return status, said.out, said.err

    return run


BIG: Final = "batch=2 heads=2 tokens={tokens} features=3 channels=4 prefix=1 keep=2"

FEW: Final = ("--max-examples", "5", "--clause", "POMT-PRUNE-1", "--clause", "POMT-PRUNE-2")


class TestVerdict:
    """Exit status 0 / 1 / 2: conforms, does not, could not run."""

    @pytest.mark.parametrize(
        "attribute",
        ["prune", "kernel", "Kernel.step", "Outer.Inner.step", "partial", "late", "right", "printing"],
    )
    def test_right_implementation_conforms(self, given: Given, attribute: str) -> None:
        status, out, err = given("check", f"cli_subjects:{attribute}", *FEW)
        assert status == 0
        assert out.splitlines()[-1].startswith(f"cli_subjects:{attribute} conforms to 2 clauses (10 cases, ")
        assert err == "POMT-PRUNE-1   conforms     generated\nPOMT-PRUNE-2   conforms     generated\n"

    @pytest.mark.long
    @pytest.mark.parametrize(
        ("attribute", "says", "blocked"),
        [
            ("raising", f"raised ZeroDivisionError: division by zero {line_of('raising = ')}", False),
            ("exiting", f"raised SystemExit: 0 {line_of('exiting = ')}", False),
            ("nan", "output[0, 0, 0] is nan, expected a finite number", True),
            ("shorter", "output of shape (1, 1, 1), expected (1, 2, 1)", True),
            ("flat", "output of shape (2,), expected (1, 2, 1)", True),
            ("integers", "returned a tensor of torch.int64, expected a floating one", False),
            ("listing", "offers scores as list, expected an array", False),
        ],
    )
    def test_one_fault_in_two_clauses_is_shown_once(
        self, given: Given, attribute: str, says: str, *, blocked: bool
    ) -> None:
        status, out, _ = given("check", f"cli_subjects:{attribute}", *FEW)
        assert status == 1
        _, _, told = out.partition("┘\n\n")
        first, second, last = (
            told[start:] for start in (0, told.index("\nPOMT-PRUNE-2 ") + 1, told.rindex("\ncli_") + 1)
        )
        assert first.startswith(f"POMT-PRUNE-1 wrong: {says}\n  smallest case: batch=1 heads=")
        assert f'\nrequire("POMT-PRUNE-1", case, {attribute})\n\nPOMT-PRUNE-2 ' in first
        other = "POMT-PRUNE-2 blocked by POMT-PRUNE-1 wrong" if blocked else "POMT-PRUNE-2 wrong"
        assert second == f"{other}: {says}\n\n{last}"
        broken = "POMT-PRUNE-1; blocked: POMT-PRUNE-2" if blocked else "POMT-PRUNE-1, POMT-PRUNE-2"
        assert last.startswith(f"cli_subjects:{attribute} does not conform; wrong: {broken} (")

    @pytest.mark.parametrize(
        ("attribute", "says"),
        [
            ("in_place", "POMT-PRUNE-2 wrong: modified in place: x\n"),
            ("random", "POMT-PRUNE-2 wrong: "),
            ("view", "POMT-PRUNE-2 wrong: the output is a view of x, expected rows of its own\n"),
        ],
    )
    def test_fault_in_one_clause_is_told_by_it(self, given: Given, attribute: str, says: str) -> None:
        status, out, _ = given("check", f"cli_subjects:{attribute}", *FEW)
        assert status == 1
        assert says in out
        assert "  smallest case: batch=1 heads=" in out
        assert f'require("POMT-PRUNE-2", case, {attribute})' in out
        assert out.splitlines()[-1].startswith(f"cli_subjects:{attribute} does not conform; wrong: POMT-PRUNE-2 (")

    def test_two_faults_are_shown_both(self, given: Given) -> None:
        status, out, _ = given("check", "cli_subjects:two_faults", *FEW)
        assert status == 1
        place = line_of('raise RuntimeError("nothing to keep")')
        assert f"\nPOMT-PRUNE-1 wrong: raised RuntimeError: nothing to keep {place}\n  smallest case: " in out
        assert 'require("POMT-PRUNE-1", case, two_faults)' in out
        last = out.splitlines()[-1]
        assert last.startswith("cli_subjects:two_faults does not conform; wrong: POMT-PRUNE-1, POMT-PRUNE-2 (")
        alone = given("check", "cli_subjects:two_faults", "--max-examples", "5", "--clause", "POMT-PRUNE-2")[1]
        assert 'require("POMT-PRUNE-2", case, two_faults)' in alone

    def test_what_is_returned_beside_the_output_is_told(self, given: Given, here: Path) -> None:
        status, out, _ = given("check", "cli_subjects:trace", "--json", "report.json", *FEW)
        assert status == 0
        names = ["head_maximum", "sums", "attention", "value_sums", "magnitude", "scores", "kept", "discarded"]
        assert f"┘\nheld as well, since it is returned: {', '.join(names)}\n\ncli_subjects:trace conforms to 2 " in out
        assert json.loads((here / "report.json").read_text(encoding="utf-8"))["offered"] == names

    def test_one_clause_is_one(self, given: Given) -> None:
        out = given("check", "cli_subjects:prune", "--max-examples", "2", "--clause", "POMT-PRUNE-1")[1]
        assert out.splitlines()[-1].startswith("cli_subjects:prune conforms to 1 clause (2 cases, ")
        assert "held as well" not in out

    def test_wrong_dtype_is_told_by_its_clause(self, given: Given) -> None:
        status, out, _ = given("check", "cli_subjects:double", "--clause", "POMT-PREC-1", "--dtype", "float16")
        assert status == 1
        assert "POMT-PREC-1 wrong: output in float64, expected float16" in out

    @pytest.mark.long
    def test_every_clause_is_held_by_default(self, given: Given) -> None:
        status, out, err = given("check", "cli_subjects:raising", "--max-examples", "1")
        assert status == 1
        assert [line.split()[0] for line in err.splitlines()] == [law.clause for law in laws_of("pomt")]
        says = f" wrong: raised ZeroDivisionError: division by zero {line_of('raising = ')}\n"
        assert [line for line in out.splitlines(keepends=True) if line.endswith(says)] == [
            f"{law.clause}{says}" for law in laws_of("pomt")
        ]
        assert out.count("  paste to see it again:\n") == 1

    def test_sibling_is_held_by_its_own_clauses(self, given: Given) -> None:
        status, out, _ = given("check", "cli_subjects:topk", "--method", "topk", "--max-examples", "3")
        assert status == 0
        assert "conforms to 2 clauses" in out

    def test_seed_is_told(self, given: Given) -> None:
        assert ", seed 12, " in given("check", "cli_subjects:prune", "--seed", "12", *FEW)[1]

    def test_fault_of_the_program_ends_in_one_line(self, given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
        """Status 1 would say that the implementation is wrong."""

        def broken(*_arguments: object, **_options: object) -> None:
            raise RuntimeError("something\nand more")

        monkeypatch.setattr("pomt_ref.conformance.commands.runner.check", broken)
        told = "pomt-ref check: a fault of this program: RuntimeError: something (POMT_REF_TRACEBACK=1 shows where)\n"
        assert given("check", "cli_subjects:prune") == (2, "", told)
        monkeypatch.setenv("POMT_REF_TRACEBACK", "1")
        with pytest.raises(RuntimeError, match="something"):
            given("check", "cli_subjects:prune")

    def test_interruption_ends_the_check_in_one_line(self, given: Given) -> None:
        status, out, err = given("check", "cli_subjects:interrupting", *FEW)
        assert (status, out, err) == (2, "", "pomt-ref check: interrupted\n")


class TestCouldNotRun:
    """A wrong module, attribute, signature or return value is told in one clear line, never a traceback."""

    def refused(self, given: Given, *arguments: str) -> str:
        """The one line, after the command's name."""
        status, out, err = given("check", *arguments)
        assert (status, out) == (COULD_NOT_RUN, "")
        assert err.count("\n") == 1
        return err.removeprefix("pomt-ref ").rstrip("\n")

    @pytest.mark.parametrize(
        ("subject", "says"),
        [
            ("cli_subjects", "package.module:attribute, or a file.onnx, got 'cli_subjects'"),
            (
                "cli_subject:prune",
                "a module cli_subject that can be imported, got ModuleNotFoundError: No module named 'cli_subject'",
            ),
            (
                "cli_subjects.py:prune",
                (
                    "a module cli_subjects.py that can be imported, "
                    "got ModuleNotFoundError: No module named 'cli_subjects.py'; 'cli_subjects' is not a package"
                ),
            ),
            (
                "cli_subjects:purne",
                (
                    "an attribute purne of cli_subjects, "
                    "got AttributeError: module 'cli_subjects' has no attribute 'purne'"
                ),
            ),
            ("cli_subjects:a_number", "a callable (x, attn, v, *, prefix, keep), got int"),
            (
                "cli_subjects:two_arguments",
                "a callable (x, attn, v, *, prefix, keep), got (x, attn): too many positional arguments",
            ),
            ("cli_subjects:Kernel", "a callable (x, attn, v, *, prefix, keep), got (): too many positional arguments"),
            ("cli_subjects:nothing", f"a call that returns {OUTPUT}, got None"),
            ("cli_subjects:number", f"a call that returns {OUTPUT}, got int"),
            ("cli_subjects:listed", f"a call that returns {OUTPUT}, got list"),
        ],
    )
    def test_wrong_subject_is_told(self, given: Given, subject: str, says: str) -> None:
        assert self.refused(given, subject) == f"check {subject}: expected {says}"

    @pytest.mark.parametrize(
        ("line", "says"),
        [
            ("import sys; sys.exit('I leave')", "SystemExit: I leave"),
            ("raise RuntimeError('no driver\\nand more')", "RuntimeError: no driver"),
            ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
            ("def prune(:", "SyntaxError: invalid syntax (cli_broken.py, line 1)"),
        ],
    )
    def test_module_that_fails_is_told(self, given: Given, here: Path, line: str, says: str) -> None:
        (here / "cli_broken.py").write_text(line)
        expected = f"check cli_broken:prune: expected a module cli_broken that can be imported, got {says}"
        assert self.refused(given, "cli_broken:prune") == expected

    def test_wrong_device_is_told(self, given: Given) -> None:
        said = self.refused(given, "cli_subjects:prune", "--device", "abacus")
        assert said.startswith("check cli_subjects:prune: expected the device abacus, got Expected one of cpu, cuda, ")

    def test_wrong_clause_is_told(self, given: Given) -> None:
        said = self.refused(given, "cli_subjects:prune", "--clause", "POMT-ATT-9")
        known = ", ".join(law.clause for law in laws_of("pomt"))
        assert said == f"check cli_subjects:prune: expected a clause of pomt, got POMT-ATT-9; they are {known}"

    @pytest.mark.parametrize("place", ["none/report.json", ".", "cli_subjects.py/report.json"])
    def test_report_without_a_place_is_told_before_the_check(self, given: Given, place: str) -> None:
        said = self.refused(given, "cli_subjects:prune", "--json", place)
        assert said == f"check --json: expected a file that can be written, got {Path(place)}"

    def test_report_that_cannot_be_written_in_the_end_is_told(self, given: Given, here: Path) -> None:
        (here / "report.json.part").mkdir()
        status, out, err = given("check", "cli_subjects:prune", "--json", "report.json", *FEW)
        assert status == 2
        assert "conforms to 2 clauses" in out
        assert "pomt-ref check --json: expected a file that can be written, got [Errno 21] Is a directory: " in err

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (["check"], "check: expected package.module:attribute, got none"),
            ([], ": expected COMMAND, got none"),
            (["prove"], ": COMMAND: expected check, replay, merge, vectors, choose, bench-model, got 'prove'"),
            (["check", "a:b", "--dtype", "int8"], "--dtype: expected float16, bfloat16, float32, float64, got 'int8'"),
            (["check", "a:b", "--method", "tome"], "--method: expected pomt, topk, evit, got 'tome'"),
            (["check", "a:b", "--seed", "x"], "--seed: expected an integer, zero or more, got 'x'"),
            (["check", "a:b", "--seed", "-1"], "--seed: expected an integer, zero or more, got '-1'"),
            (
                ["check", "a:b", "--seed", "9" * 19],
                f"--seed: expected an integer, zero or more, of 18 digits at most, got '{'9' * 19}'",
            ),
            (["check", "a:b", "--seed", "9" * 99], f"more, of 18 digits at most, got '{'9' * 36}…'"),
            (["check", "a:b", "--seed"], "--seed: expected one value, got none"),
            (["check", "a:b", "--clause"], "--clause: expected one value, got none"),
            (["check", "a:b", "--max-examples", "x\ny"], "expected an integer, zero or more, got 'x\\ny'"),
            (["check", "a:b", "--max-examples", "0"], "--max-examples: expected an integer above zero, got 0"),
            (["check", "a:b", "--quick=3"], "--quick: expected no value, got '3'"),
            (["check", "a:b", "--no-save", "--save", "x"], "--save: expected without --no-save, got both"),
            (["check", "a:b", "--s", "3"], "--s: expected one of --seed, --shard, --save, got a part of several"),
            (["check", "a:b", "--sed", "3"], "check: expected arguments that it has, got --sed 3"),
            (["check", "a:b", "c:\nd"], "check: expected arguments that it has, got c: d"),
            (["merge"], "merge: expected FILE, got none"),
            (
                ["choose", "--model", "digits", "--threads", "1025"],
                "--threads: expected an integer of 1 to 1024, got 1025",
            ),
        ],
    )
    def test_wrong_argument_is_told_in_one_line(self, given: Given, arguments: list[str], says: str) -> None:
        status, out, err = given(*arguments)
        command = " ".join(["pomt-ref", *arguments[:1]]) if arguments[:1] != ["prove"] else "pomt-ref"
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert err.startswith(f"{command}: ")
        assert err.endswith(f"{says} ({command} --help)\n")

    @pytest.mark.parametrize("number", ["1e300", "inf", "-inf", "nan", "0", "-1", "1e-300", "soon", "1000001"])
    def test_duration_that_no_clock_counts_is_told(self, given: Given, number: str) -> None:
        for command in (["check", "a:b"], ["replay", "case"]):
            status, _, err = given(*command, f"--timeout={number}")
            says = f"--timeout: expected seconds from 0.001 to 1,000,000, got '{number}'"
            assert (status, err) == (2, f"pomt-ref {command[0]}: {says} (pomt-ref {command[0]} --help)\n")

    def test_durations_at_the_ends_are_taken(self, given: Given) -> None:
        few = ("--max-examples", "1", "--clause", "POMT-PRUNE-1")
        assert given("check", "cli_subjects:prune", "--timeout", "1e6", *few)[0] == 0
        assert (SHORTEST, LONGEST) == (call.SHORTEST, call.LONGEST)

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (["--max-examples", "9" * 18], f"max_examples of 1 to 10000000, got {'9' * 18}"),
            (["--jobs", "9" * 18], f"jobs of 1 to 1024, got {'9' * 18}"),
            (["--shard", f"1/{'9' * 5000}"], f"a shard k/n with 1 <= k <= n, got '1/{'9' * 5000}'"),
            (["--fix", f"tokens={'9' * 18}"], f"sizes that memory has room for, got {BIG.format(tokens='9' * 18)}"),
            (["--fix", "tokens=3", "--fix", "keep=2"], f"leave a patch token to discard, got {BIG.format(tokens=3)}"),
        ],
    )
    def test_numbers_beyond_every_memory_are_told(self, given: Given, arguments: list[str], says: str) -> None:
        assert self.refused(given, "cli_subjects:prune", *arguments).endswith(says)

    def test_sizes_beyond_the_memory_of_this_machine_are_told(self, given: Given) -> None:
        said = self.refused(given, "cli_subjects:prune", "--fix", "tokens=500000")
        assert said.startswith("check: not enough memory: ")

    def test_other_sizes_grow_with_what_is_fixed(self, given: Given) -> None:
        for fixed in ("keep=10", "prefix=9"):
            status, _, err = given("check", "cli_subjects:prune", "--fix", fixed, *FEW)
            assert (status, err.count("\n")) == (0, 2)

    @pytest.mark.parametrize("name", ["none.onnx", "folder.onnx"])
    def test_file_that_is_not_there_is_told_before_a_package(
        self, given: Given, here: Path, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
        (here / "folder.onnx").mkdir()
        got = "no such file" if name == "none.onnx" else "what is no file"
        assert self.refused(given, name) == f"check {name}: expected an ONNX file, got {got}"


def test_words_that_argparse_may_have_besides_are_told_as_they_are() -> None:
    assert reworded("argument --x: something\nelse") == "--x: something else"
    assert reworded("one of the arguments --a --b is required") == "expected one of --a --b, got none"
    assert reworded("argument F: expected at least one argument") == "F: expected one value or more, got none"
    assert reworded("argument X: invalid choice: 'c' (choose from a, b)") == "X: expected a, b, got 'c'"  # from 3.12 on


def captured_file(path: Path, metadata: dict[str, str] | None = None, **replaced: np.ndarray | None) -> str:
    """Captured tensors; some replaced, or left out by None."""
    random = np.random.default_rng(0)
    exponentials = np.exp(random.normal(size=(3, 2, 5, 5)))
    tensors: dict[str, np.ndarray | None] = {
        "x": random.normal(size=(3, 5, 4)),
        "attn": exponentials / exponentials.sum(axis=-1, keepdims=True),
        "v": random.normal(size=(3, 2, 5, 3)),
        **replaced,
    }
    arrays = {name: array.astype(np.float32) for name, array in tensors.items() if array is not None}
    save_file(arrays, path, metadata=metadata)
    return path.name


class TestCases:
    """Fed with real captured tensors as well as with generated ones."""

    ONE: Final = {"prefix": "1"}

    def test_captured_tensors_are_held_in_rows_of_their_own(self, given: Given, here: Path) -> None:
        file = captured_file(here / "layer.safetensors", self.ONE)
        status, out, err = given("check", "cli_subjects:prune", "--cases", file, *FEW)
        assert status == 0
        assert "conforms to 2 clauses (20 cases" in out
        assert err.splitlines()[1] == "POMT-PRUNE-1   conforms     captured: layer.safetensors"

    @pytest.mark.parametrize(
        ("metadata", "replaced", "says"),
        [
            (ONE, {"x": None}, "expected a safetensors file with the tensors x, attn and v"),
            (None, {}, "expected metadata prefix, an integer (POMT-PRUNE-1), got FILE: {}"),
            ({"prefix": "one"}, {}, "expected metadata prefix, an integer (POMT-PRUNE-1), got FILE: {'prefix': 'one'}"),
            (ONE, {"x": np.ones((3, 4, 4))}, "expected x (samples, tokens, channels), attn (samples, heads, tokens, "),
            (ONE, {"v": np.full((3, 2, 5, 3), np.nan)}, "expected finite tensors (POMT-PRUNE-1), got FILE: a NaN or "),
            (ONE, {"attn": np.ones((3, 2, 5, 5))}, "expected attn after softmax: no negative entry, rows that sum to "),
        ],
    )
    def test_captured_tensors_that_are_wrong_are_told(
        self,
        given: Given,
        here: Path,
        metadata: dict[str, str] | None,
        replaced: dict[str, np.ndarray | None],
        says: str,
    ) -> None:
        file = captured_file(here / "layer.safetensors", metadata, **replaced)
        said = TestCouldNotRun().refused(given, "cli_subjects:prune", "--cases", file).replace(file, "FILE")
        assert said.startswith(f"load_captured: {says}")

    @pytest.mark.parametrize("content", [None, b"damaged"])
    def test_captured_file_that_is_none_is_told(self, given: Given, here: Path, content: bytes | None) -> None:
        if content is not None:
            (here / "layer.safetensors").write_bytes(content)
        said = TestCouldNotRun().refused(given, "cli_subjects:prune", "--cases", "layer.safetensors")
        assert said.startswith("load_captured: expected a safetensors file with the tensors x, attn and v in float16, ")

    def test_captured_tensors_too_large_for_the_dtype_are_told(self, given: Given, here: Path) -> None:
        file = captured_file(here / "layer.safetensors", self.ONE, x=np.full((3, 5, 4), 1e5))
        said = TestCouldNotRun().refused(given, "cli_subjects:prune", "--cases", file, "--dtype", "float16")
        assert said == "check layer.safetensors: expected numbers within the range of float16, got larger ones"

    def test_captured_tensors_without_a_class_row_are_told(self, given: Given, here: Path) -> None:
        file = captured_file(here / "layer.safetensors", {"prefix": "0"})
        said = TestCouldNotRun().refused(given, "cli_subjects:topk", "--cases", file, "--method", "topk")
        assert said == "check layer.safetensors: expected a prefix of 1 or more for topk, got prefix 0"


class TestJson:
    """``--json FILE`` holds the whole report."""

    def test_json_is_complete_and_alone(self, given: Given, here: Path) -> None:
        before = set(here.iterdir())
        status, out, err = given("check", "cli_subjects:shorter", "--json", "report.json", *FEW)
        assert status == 1
        assert err.splitlines()[-1] == "report: report.json"
        report = json.loads((here / "report.json").read_text(encoding="utf-8"))
        assert (report["subject"], report["conforms"]) == ("cli_subjects:shorter", False)
        assert [(row["clause"], row["verdict"]) for row in report["clauses"]] == [
            ("POMT-PRUNE-1", "wrong"),
            ("POMT-PRUNE-2", "blocked"),
        ]
        assert report["clauses"][0]["failure"]["message"] in out
        assert report["clauses"][1]["failure"]["message"] == (
            "POMT-PRUNE-2 blocked by POMT-PRUNE-1 wrong: output of shape (1, 1, 1), expected (1, 2, 1)"
        )
        assert report["offered"] == []
        written = {"report.json", "pomt-ref-cases", "__pycache__"}
        assert {path.name for path in set(here.iterdir()) - before} <= written


class TestStreams:
    """Whatever the streams are, the report arrives."""

    def test_terminal_shows_a_bar_and_no_lines(self, given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

        terminal = Terminal()
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setattr(sys, "stderr", terminal)
        status, out, _ = given("check", "cli_subjects:prune", *FEW)
        assert status == 0
        assert "conforms to 2 clauses" in out
        assert "\x1b[2K" in terminal.getvalue()
        assert "conforms     generated" not in terminal.getvalue()

    def test_stream_without_unicode_gets_its_report(self, given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
        stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
        monkeypatch.setattr(sys, "stdout", stream)
        assert given("check", "cli_subjects:prune", *FEW)[0] == 0
        stream.seek(0)
        told = stream.read()
        assert told.startswith("cli_subjects:prune \\xb7 pomt")
        assert "conforms to 2 clauses" in told


class TestParser:
    """The options and their defaults."""

    def test_defaults_are_those_of_check(self) -> None:
        parsed = build_parser().parse_args(["check", "a:b"])
        assert (parsed.method, parsed.dtype, parsed.device, parsed.seed) == ("pomt", "float32", "cpu", 0)
        assert (parsed.clause, parsed.cases, parsed.json, parsed.max_examples) == (None, None, None, None)
        assert parsed.timeout == TIME_LIMIT

    def test_words_of_the_parser_are_those_of_the_laws(self) -> None:
        """Written again in the command line, which must not wait for them."""
        assert set(DTYPES) == set(get_args(Dtype))
        assert tuple(formats.PROFILES) == PROFILES

    def test_version_is_told(self, given: Given) -> None:
        assert given("--version") == (0, f"pomt-ref {__version__}\n", "")

    def test_module_runs_as_the_command(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(sys, "argv", ["pomt-ref", "--version"])
        with pytest.raises(SystemExit) as ended:
            runpy.run_module("pomt_ref", run_name="__main__")
        runpy.run_module("pomt_ref.__main__", run_name="imported")
        assert ended.value.code == 0
        assert capsys.readouterr().out == f"pomt-ref {__version__}\n"
