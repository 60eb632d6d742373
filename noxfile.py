"""Sessions of the project: ``nox -l`` lists them, ``nox -s tests`` is all that a contributor needs.

All sessions share one environment, ``.nox/environment``: torch is installed once, and again only when what it is made
of (pyproject.toml, constraints.txt, the interpreter) has changed. The sources are not installed: they run in place.

``nox --no-venv -s tests`` installs nothing and uses the interpreter that runs nox: for a machine without network, or
with a build of torch of its own.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import nox

nox.needs_version = ">=2025.5"
nox.options.sessions = ["tests", "integration", "properties", "types", "prove", "vectors", "lint", "docs", "demo"]

ROOT: Final = Path(__file__).parent
BUILD: Final = Path("build")
"""Where sessions write, beside the caches of the tools; git ignores it."""
OWN_INTERPRETER: Final = Path(".nox", "environment", "Scripts/python.exe" if os.name == "nt" else "bin/python")
NO_SHAPE_CHECKER: Final = "--jaxtyping-packages="
"""Switches the run-time checker of annotations off: pyproject.toml says what cannot run under it."""
WRITE_STAMP: Final = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text(sys.argv[2])"
"""A step of the installation, so that `nox --no-install`, which skips installing, does not call it done."""

EXAMPLES: Final = ("docs", "README.md", "pomt_ref", "--doctest-modules")
"""Every example of the pages and of docstrings."""

SOME_LAWS: Final = ("properties/test_bounds_tokens.py", "properties/test_metamorphic.py")
"""As many as make two processes take equally long."""

OTHER_LAWS: Final = ("properties", *(f"--ignore={path}" for path in SOME_LAWS))
"""Every other law, over every implementation."""

OF_SOURCES: Final = ("tests/test_architecture.py", "tests/test_proofs.py")
"""What holds the sources themselves. Not beside the folder that they lie in: pytest would take them for part of it."""

SHORT: Final = ("-m", "not long")
LONG: Final = ("-m", "long")
"""By the mark of pyproject.toml."""

SHAPE_CHECKER: Final = "tests/proofs/shape-checker.txt"
"""What the session that proves shapes installs for itself."""

WHOLE_CHECKS: Final = tuple(
    f"tests/test_{name}.py"
    for name in (
        "apart",
        "arrays",
        "bench_model",
        "bounds",
        "bounds_mutants",
        "bounds_tokens",
        "call",
        "checking",
        "choose",
        "cli",
        "conformance",
        "junit",
        "mutants",
        "page",
        "report_schema",
        "vectors",
    )
)
"""Tests that run a whole check, or write its report: `nox -s types` leaves them out, for it would check the same
annotations in case after case."""

UNITS: Final = (
    "tests",
    *(f"--ignore={path}" for path in (*OF_SOURCES, *WHOLE_CHECKS, "tests/integration")),
)
"""All others."""

WRITE_OUTPUTS: Final = "docs/examples/write_outputs.py"
"""Calls an implementation on every vector, and writes what it returns."""

_interpreter = str(OWN_INTERPRETER) if OWN_INTERPRETER.exists() else sys.executable


@nox.session(reuse_venv=True, default=False)
def environment(session: nox.Session) -> None:
    """Make the environment that all other sessions share; seconds when it is complete already."""
    global _interpreter  # noqa: PLW0603 - nox runs its sessions in one process; this one comes first and decides
    if session.venv_backend == "none":
        _interpreter = sys.executable
        session.log(f"using {sys.executable} as it is; nothing is installed")
        return
    _interpreter = str(OWN_INTERPRETER)
    parts = (sys.version, Path("pyproject.toml").read_text(), Path("constraints.txt").read_text())
    fingerprint = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    stamp = Path(session.virtualenv.location, "installed.sha256")
    if stamp.exists() and stamp.read_text() == fingerprint:
        session.log("complete already; nothing to install")
        return
    stamp.unlink(missing_ok=True)
    project = nox.project.load_toml("pyproject.toml")
    extras = [line for lines in project["project"]["optional-dependencies"].values() for line in lines]
    contributor = nox.project.dependency_groups(project, "dev")
    session.log("installing torch and everything else, once; this takes a minute or a few")
    needed = [*project["project"]["dependencies"], *extras, *contributor]
    # What is imported is compiled then; to compile all of torch and its kin first takes longer than the download.
    session.install("--no-compile", "-c", "constraints.txt", *needed)
    session.run_install("python", "-c", WRITE_STAMP, stamp, fingerprint, log=False)


BESIDE_THE_SOURCES: Final = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": ""}
"""The sources are importable from every folder, and compiled once, whatever the shell says: that is half of the time
that a process takes to start."""


def _python(session: nox.Session, *arguments: str | Path, success_codes: tuple[int, ...] = (0,)) -> None:
    """Run a module in the shared environment, the project's sources importable from every folder."""
    session.run(_interpreter, *arguments, env=BESIDE_THE_SOURCES, success_codes=success_codes, external=True)


def _two_at_a_time(session: nox.Session, *runs: tuple[str, ...]) -> None:
    """Run modules in two processes of one thread, the next where one ends; show what each printed when it has ended."""
    own = {name: value for name, value in session.env.items() if value is not None}
    environment = {**os.environ, **own, **BESIDE_THE_SOURCES, "OMP_NUM_THREADS": "1"}

    def run(arguments: tuple[str, ...]) -> tuple[str, subprocess.CompletedProcess[str]]:
        command = [_interpreter, *arguments]
        told = subprocess.run(  # noqa: S603 -- our own interpreter, our own arguments
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, text=True, check=False
        )
        return " ".join(arguments), told

    failed = []
    with ThreadPoolExecutor(max_workers=2) as pool:
        for ended in as_completed([pool.submit(run, arguments) for arguments in runs]):
            line, told = ended.result()
            session.log(line)
            print(told.stdout, flush=True)  # noqa: T201 -- what pytest printed
            failed += [line] if told.returncode else []
    if failed:
        session.error("failed: " + "; ".join(failed))


@nox.session(venv_backend="none", requires=["environment"])
def tests(session: nox.Session) -> None:
    """Run unit tests, laws, every example in docs and docstrings, on CPU and CUDA as found; coverage 100 %."""
    if session.posargs:
        _python(session, "-m", "pytest", *session.posargs)
        return
    _python(session, "-m", "coverage", "erase")
    alike = ("-m", "tests.measured", NO_SHAPE_CHECKER, *SHORT)
    _two_at_a_time(session, (*alike, *WHOLE_CHECKS, *SOME_LAWS, *OF_SOURCES), (*alike, *UNITS, *OTHER_LAWS, *EXAMPLES))
    _python(session, "-m", "coverage", "combine", "--quiet")
    _python(session, "-m", "coverage", "report")


@nox.session(venv_backend="none", requires=["environment"])
def integration(session: nox.Session) -> None:
    """Run what takes long, or starts programs: compilers, exporters, kernels, ranks, every command of the pages."""
    if session.posargs:
        _python(session, "-m", "pytest", NO_SHAPE_CHECKER, *session.posargs)
        return
    programs = sorted(str(path) for path in Path("tests", "integration").glob("test_*.py"))
    alike = ("-m", "pytest", NO_SHAPE_CHECKER)
    _two_at_a_time(session, (*alike, *programs), (*alike, *LONG, "tests"))


@nox.session(venv_backend="none", requires=["environment"])
def properties(session: nox.Session) -> None:
    """Run every law on every implementation, with more examples than `tests` draws (profile nightly)."""
    session.env["HYPOTHESIS_PROFILE"] = os.environ.get("HYPOTHESIS_PROFILE", "nightly")
    _python(session, "-m", "pytest", "properties", *session.posargs)


@nox.session(venv_backend="none", requires=["environment"])
def types(session: nox.Session) -> None:
    """Check all annotations: with mypy and pyright, both strict, in the built wheel, and as they run, in the tests."""
    if session.posargs:
        _python(session, "-m", "mypy", *session.posargs)
        return
    _two_at_a_time(
        session,
        ("-m", "pytest", *SHORT, *UNITS),
        ("-m", "mypy"),
        ("-m", "pyright", "--pythonpath", _interpreter),
        ("-m", "tests.proofs.consumption"),
    )


@nox.session(reuse_venv=True, requires=["environment"])
def prove(session: nox.Session) -> None:
    """Prove shapes, lengths, graphs, bounds and refusals from the sources, and reject mutants; ends in a table."""
    if session.venv_backend != "none":
        session.install("--no-deps", "-r", SHAPE_CHECKER)
        session.env["POMT_PYREFLY"] = str(Path(session.bin, "pyrefly"))
    session.env["OMP_NUM_THREADS"] = "1"
    _python(session, "-m", "tests.proofs", *session.posargs)


@nox.session(venv_backend="none", requires=["environment"])
def lint(session: nox.Session) -> None:
    """Check style and format with ruff; `nox -s lint -- --fix` mends what it can."""
    if session.posargs:
        _python(session, "-m", "ruff", "check", *session.posargs)
        _python(session, "-m", "ruff", "format")
        return
    _python(session, "-m", "ruff", "check")
    _python(session, "-m", "ruff", "format", "--check")


@nox.session(venv_backend="none", requires=["environment"])
def mutants(session: nox.Session) -> None:
    """Hold laws to mutants and to honest variants, and tests to changes of the source: docs/kills.md, survivors.md."""
    session.env["OMP_NUM_THREADS"] = "1"
    _python(session, "-m", "tests.published.kills", *session.posargs)
    _python(session, "-m", "tests.published.source")


@nox.session(venv_backend="none", requires=["environment"])
def docs(session: nox.Session) -> None:
    """Build the site into build/docs; a warning or a dead reference is an error."""
    shutil.rmtree(BUILD / "docs", ignore_errors=True)
    _python(session, "-m", "sphinx", "-W", "--keep-going", "-n", "-E", "-q", "docs", BUILD / "docs", *session.posargs)
    session.log(f"built {BUILD / 'docs' / 'index.html'}")


@nox.session(venv_backend="none", requires=["environment"])
def bounds(session: nox.Session) -> None:
    """Hold the bounds against their laws at length, and measure them: writes docs/comparison.md and its picture."""
    session.env["HYPOTHESIS_PROFILE"] = os.environ.get("HYPOTHESIS_PROFILE", "nightly")
    laws = sorted(str(path) for path in Path("properties").glob("test_bounds_*.py"))
    _python(session, "-m", "pytest", *laws, *session.posargs)
    _python(session, "-m", "pomt_ref.bounds.comparison")
    _python(session, "-m", "pomt_ref.vision.certificates", "--picture", "docs/images/certificates.png")


@nox.session(venv_backend="none", requires=["environment"])
def bench(session: nox.Session) -> None:
    """Measure time, memory, checking and start-up against their goals; `-- --write` writes docs/performance.md."""
    session.env["OMP_NUM_THREADS"] = "1"
    _python(session, "-m", "tests.bench", *session.posargs)


@nox.session(venv_backend="none", requires=["environment"])
def demo(session: nox.Session) -> None:
    """Prune real digits in a small ViT, then run the main job on the reference and on a wrong implementation."""
    folder = BUILD / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    captured = folder / "captured.safetensors"
    picture = folder / "digits.png"
    _python(session, "-m", "pomt_ref.vision.demo", "--captured", captured, "--picture", picture)
    _python(session, "-m", "pomt_ref", "check", "pomt_ref:prune", "--cases", captured)
    session.log("the next implementation takes the mean over heads: the check must find it (exit status 1)")
    wrong = "docs.examples.mean_over_heads:prune"
    _python(session, "-m", "pomt_ref", "check", wrong, "--cases", captured, success_codes=(1,))


@nox.session(venv_backend="none", requires=["environment"])
def pictures(session: nox.Session) -> None:
    """Draw the pictures of README and docs again; the latency of a ViT-S is measured, which takes minutes."""
    images = Path("docs", "images")
    _python(session, "-m", "pomt_ref.vision.demo", "--picture", images / "digits.png")
    _python(session, "-m", "pomt_ref.vision.gallery", images)
    _python(session, "-m", "tests.published.latency")


@nox.session(venv_backend="none", requires=["environment"])
def vectors(session: nox.Session) -> None:
    """Write the vectors twice and as another processor would, verify them, judge right and wrong outputs for them."""
    folder = BUILD / "vectors"
    shutil.rmtree(folder, ignore_errors=True)
    once, again, elsewhere = (folder / name for name in ("once", "again", "elsewhere"))
    command = ("-m", "pomt_ref", "vectors")
    _python(session, *command, "write", once)
    _python(session, *command, "write", again)
    session.log("and as a processor without newer instructions, with the oldest kernels of OpenBLAS, computes them")
    simd = "import numpy; print(*numpy.show_config(mode='dicts')['SIMD Extensions'].get('found', []))"
    newer = str(session.run(_interpreter, "-c", simd, silent=True, external=True)).strip()
    with _set(session, OPENBLAS_CORETYPE="Prescott", NPY_DISABLE_CPU_FEATURES=newer):
        _python(session, *command, "write", elsewhere)
    for other in (again, elsewhere):
        _require_same(session, once, other)
    _python(session, *command, "verify", once)
    for method, subject in (("pomt", "prune"), ("topk", "topk_prune"), ("evit", "evit_prune")):
        _python(session, WRITE_OUTPUTS, once, folder / "reference", f"pomt_ref:{subject}", method)
    _python(session, *command, "verify", once, "--outputs", folder / "reference")
    session.log("the next outputs are those of a wrong implementation: verify must find it (exit status 1)")
    _python(session, WRITE_OUTPUTS, once, folder / "wrong", "docs.examples.mean_over_heads:prune")
    _python(session, *command, "verify", once, "--outputs", folder / "wrong", "--method", "pomt", success_codes=(1,))
    node = shutil.which("node")
    if node is None:
        session.warn("no node on this machine: the reader in JavaScript did not run")
    else:
        session.run(node, "docs/examples/vectors.mjs", once, folder / "javascript", external=True)
        _python(session, *command, "verify", once, "--outputs", folder / "javascript")
    _python(session, "-m", "pytest", "tests/vectors_over_mutants.py", NO_SHAPE_CHECKER)


@contextmanager
def _set(session: nox.Session, **variables: str) -> Iterator[None]:
    """Set environment variables for what the block runs."""
    before = dict(session.env)
    session.env.update(variables)
    try:
        yield
    finally:
        session.env.clear()
        session.env.update(before)


def _require_same(session: nox.Session, one: Path, other: Path) -> None:
    """Two folders hold the same files with the same bytes."""
    names = sorted(path.name for path in one.iterdir())
    if names != sorted(path.name for path in other.iterdir()):
        session.error(f"{one} and {other} hold different files")
    for name in names:
        if (one / name).read_bytes() != (other / name).read_bytes():
            session.error(f"{one / name} and {other / name} differ")
    session.log(f"{len(names)} files of {one} and {other} are the same bytes")
