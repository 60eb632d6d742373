"""What is shipped: the wheel's contents, and what a plain install of it loads."""

import email
import os
import subprocess
import sys
import textwrap
import tomllib
import zipfile
from collections.abc import Callable
from email.message import Message
from pathlib import Path
from typing import Final

import pytest

import pomt_ref

ROOT: Final = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as a user gets it, built from the sources as they stand."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds what the wheel installs and nothing else of the project."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def names_in(wheel: Path) -> list[str]:
    """Every file of the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def metadata_of(wheel: Path) -> Message:
    """What the wheel says of itself."""
    with zipfile.ZipFile(wheel) as archive:
        (path,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(archive.read(path))


def run_python(installed: Path, program: str) -> str:
    """What a program prints that sees the installed project and not the sources."""
    command = [sys.executable, "-c", program]
    environment = os.environ | {"PYTHONPATH": str(installed)}
    done = subprocess.run(command, check=True, cwd=installed, env=environment, stdout=subprocess.PIPE, text=True)
    return done.stdout


def loaded_by(installed: Path, statement: str) -> set[str]:
    """The top-level modules outside the standard library that a statement loads in a fresh interpreter."""
    program = f"import sys; before = set(sys.modules); {statement}; print(*(set(sys.modules) - before))"
    roots = {name.partition(".")[0] for name in run_python(installed, program).split()}
    return roots - sys.stdlib_module_names


def test_wheel_has_one_top_level(wheel: Path) -> None:
    """Nothing beside the package: the package index has another project named `properties`."""
    assert {name.partition("/")[0] for name in names_in(wheel)} == {
        "pomt_ref",
        f"pomt_ref-{pomt_ref.__version__}.dist-info",
    }


def test_wheel_ships_every_file_of_the_package(wheel: Path) -> None:
    """Types, weights and modules are there, and the laws as pomt_ref.testing.suite."""
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "pomt_ref").rglob("*.py")}
    suite = {f"pomt_ref/testing/suite/{path.name}" for path in (ROOT / "properties").glob("*.py")}
    data = {
        "pomt_ref/py.typed",
        "pomt_ref/vision/digits.safetensors",
        "pomt_ref/conformance/report.schema.json",
        "pomt_ref/conformance/page/style.css",
        "pomt_ref/conformance/vectors/manifest.schema.json",
    }
    assert (modules | suite | data) - set(names_in(wheel)) == set()


def test_wheel_ships_no_leftovers(wheel: Path) -> None:
    """No caches and no tests of the project's own."""
    assert [name for name in names_in(wheel) if "__pycache__" in name or "/tests/" in name] == []


def test_main_job_needs_no_extra(wheel: Path) -> None:
    """The dependencies of a plain install are those of the main job."""
    required = metadata_of(wheel).get_all("Requires-Dist", [])
    plain = {line.partition(">")[0] for line in required if "extra ==" not in line}
    assert plain == {"hypothesis", "jaxtyping", "numpy", "rich", "safetensors", "torch"}


def test_version_is_the_same_everywhere(wheel: Path) -> None:
    """pyproject.toml, the package and the wheel agree."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert pomt_ref.__version__ == project["version"] == metadata_of(wheel)["Version"]


def test_import_loads_torch_numpy_and_jaxtyping_only(installed: Path) -> None:
    """`import pomt_ref`, every public name included, loads nothing that these three do not load themselves."""
    names = "import pomt_ref; [getattr(pomt_ref, name) for name in pomt_ref.__all__]"
    extra = loaded_by(installed, names) - loaded_by(installed, "import torch, numpy, jaxtyping")
    assert extra == {"pomt_ref"}


def test_oracle_loads_no_torch(installed: Path) -> None:
    """The oracle runs where torch is broken or absent, so it can share none of its faults."""
    assert "torch" not in loaded_by(installed, "import pomt_ref.oracle")


def test_help_answers_without_torch(installed: Path) -> None:
    """`pomt-ref --help` must not wait two seconds for a library that it does not use."""
    program = """
        import contextlib, io, sys
        from pomt_ref.cli import main
        sys.argv = ["pomt-ref", "--help"]
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
            main()
        print("torch" in sys.modules)
    """
    assert run_python(installed, textwrap.dedent(program)).strip() == "False"


def test_command_is_the_one_documented(wheel: Path) -> None:
    """The wheel installs `pomt-ref`, and it starts what `python -m pomt_ref` starts."""
    with zipfile.ZipFile(wheel) as archive:
        (path,) = (name for name in archive.namelist() if name.endswith(".dist-info/entry_points.txt"))
        assert "pomt-ref = pomt_ref.cli:program" in archive.read(path).decode()


SUBJECTS: Final = """
from pomt_ref.testing.mutants import ClassStep, Step

def right(x, attn, v, *, prefix, keep):
    return Step()(x, attn, v, prefix=prefix, keep=keep)

def wrong(x, attn, v, *, prefix, keep):
    return right(x, attn, v, prefix=prefix, keep=keep) + 0.0

def topk(x, attn, *, prefix, keep):
    return ClassStep()(x, attn, prefix=prefix, keep=keep)
"""


@pytest.fixture(scope="module")
def suite(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[int, list[str]]]:
    """The laws as a user runs them: on the installed wheel, from a folder that holds the implementation alone."""
    folder = tmp_path_factory.mktemp("empty")
    (folder / "kernels.py").write_text(SUBJECTS)
    environment = os.environ | {"PYTHONPATH": str(installed), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}

    def run(*options: str) -> tuple[int, list[str]]:
        plugin = ("-p", "pomt_ref.pytest_plugin", "-p", "no:cacheprovider", "-q")
        command = [sys.executable, "-m", "pytest", *plugin, "--pyargs", "pomt_ref.testing.suite", *options]
        done = subprocess.run(command, check=False, cwd=folder, env=environment, capture_output=True, text=True)
        return done.returncode, [*done.stdout.splitlines(), *done.stderr.splitlines()]

    return run


def test_plugin_is_the_one_that_pytest_finds(wheel: Path) -> None:
    """Installed, the options are there without `-p`."""
    with zipfile.ZipFile(wheel) as archive:
        (path,) = (name for name in archive.namelist() if name.endswith(".dist-info/entry_points.txt"))
        assert "[pytest11]\npomt_ref = pomt_ref.pytest_plugin" in archive.read(path).decode()


def test_suite_accepts_a_right_implementation(suite: Callable[..., tuple[int, list[str]]]) -> None:
    """Every law of the method, in every dtype asked for, and nothing of the reference."""
    options = ("--pomt-subject", "kernels:right", "--pomt-examples", "3")
    status, lines = suite(*options, "--pomt-dtype", "float32", "--pomt-dtype", "bfloat16")
    assert (status, lines[-1].split(" in ")[0]) == (0, "36 passed")


def test_suite_rejects_a_wrong_implementation_by_clause(suite: Callable[..., tuple[int, list[str]]]) -> None:
    """The law that fails carries its clause in its name, and says what is wrong."""
    status, lines = suite("--pomt-subject", "kernels:wrong", "--pomt-examples", "20", "-k", "PRUNE-2 or PRUNE-1")
    assert status == 1
    (failed,) = (line for line in lines if line.startswith("FAILED "))
    assert "[POMT-PRUNE-2-kernels:wrong-float32]" in failed
    assert any("POMT-PRUNE-2 wrong: " in line for line in lines)
    assert lines[-1].startswith("1 failed, 1 passed")


def test_suite_runs_the_laws_of_the_method(suite: Callable[..., tuple[int, list[str]]]) -> None:
    """Top-K has two."""
    status, lines = suite("--pomt-subject", "kernels:topk", "--pomt-method", "topk", "--pomt-examples", "3")
    assert (status, lines[-1].split(" in ")[0]) == (0, "2 passed")


def test_suite_tells_a_subject_that_is_not_there(suite: Callable[..., tuple[int, list[str]]]) -> None:
    """One line, and pytest's status for wrong usage."""
    status, lines = suite("--pomt-subject", "kernels:nobody")
    assert status == 4
    told = "ERROR: check kernels:nobody: expected an attribute nobody of kernels, got AttributeError: "
    assert [line.startswith(told) for line in lines if "kernels:nobody" in line] == [True]
