"""Sessions of the project: ``nox -l`` lists them, ``nox -s tests`` is all that a contributor needs.

All sessions share one environment, ``.nox/environment``: torch is installed once, and again only when what it is made
of (pyproject.toml, constraints.txt, the interpreter) has changed. The sources are not installed: they run in place.

``nox --no-venv -s tests`` installs nothing and uses the interpreter that runs nox: for a machine without network, or
with a build of torch of its own.
"""

import hashlib
import os
import shutil
import sys
from pathlib import Path
from typing import Final

import nox

nox.needs_version = ">=2025.5"
nox.options.sessions = ["tests", "properties", "types", "lint", "docs", "demo"]

ROOT: Final = Path(__file__).parent
BUILD: Final = Path("build")
"""Where sessions write, beside the caches of the tools; git ignores it."""
OWN_INTERPRETER: Final = Path(".nox", "environment", "Scripts/python.exe" if os.name == "nt" else "bin/python")
NO_SHAPE_CHECKER: Final = "--jaxtyping-packages="
"""Switches the run-time checker of annotations off: pyproject.toml says what cannot run under it."""
WRITE_STAMP: Final = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text(sys.argv[2])"
"""A step of the installation, so that `nox --no-install`, which skips installing, does not call it done."""

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
    session.install("-c", "constraints.txt", *project["project"]["dependencies"], *extras, *contributor)
    session.run_install("python", "-c", WRITE_STAMP, stamp, fingerprint, log=False)


def _python(session: nox.Session, *arguments: str | Path, success_codes: tuple[int, ...] = (0,)) -> None:
    """Run a module in the shared environment, the project's sources importable from every folder."""
    session.run(_interpreter, *arguments, env={"PYTHONPATH": str(ROOT)}, success_codes=success_codes, external=True)


@nox.session(venv_backend="none", requires=["environment"])
def tests(session: nox.Session) -> None:
    """Run unit tests, properties, every example in docs and docstrings, on CPU and CUDA as found; coverage 100 %."""
    if session.posargs:
        _python(session, "-m", "pytest", *session.posargs)
        return
    _python(session, "-m", "coverage", "erase")
    _python(session, "-m", "coverage", "run", "-m", "pytest")
    apart = ("tests/isolated", "--doctest-modules", "pomt_ref", NO_SHAPE_CHECKER)
    _python(session, "-m", "coverage", "run", "-m", "pytest", *apart)
    _python(session, "-m", "coverage", "combine", "--quiet")
    _python(session, "-m", "coverage", "report")


@nox.session(venv_backend="none", requires=["environment"])
def properties(session: nox.Session) -> None:
    """Run every law on every implementation, with more examples than `tests` draws (profile nightly)."""
    session.env["HYPOTHESIS_PROFILE"] = os.environ.get("HYPOTHESIS_PROFILE", "nightly")
    _python(session, "-m", "pytest", "properties", *session.posargs)


@nox.session(venv_backend="none", requires=["environment"])
def types(session: nox.Session) -> None:
    """Check all annotations with mypy --strict: package, properties, tests, docs and this file."""
    _python(session, "-m", "mypy", *session.posargs)


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
def docs(session: nox.Session) -> None:
    """Build the site into build/docs; a warning or a dead reference is an error."""
    shutil.rmtree(BUILD / "docs", ignore_errors=True)
    _python(session, "-m", "sphinx", "-W", "--keep-going", "-n", "-E", "-q", "docs", BUILD / "docs", *session.posargs)
    session.log(f"built {BUILD / 'docs' / 'index.html'}")


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
