"""Consumption: what a user's type checker sees of the package, as the wheel that is built of it installs it.

``python -m tests.proofs.consumption`` builds the wheel, installs it into an environment of its own beside what the
shared one has, and checks tests/consumer.py there with mypy and pyright; then pyright counts the types that are known.
"""

import os
import re
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path
from typing import Final

from tests.proofs.sources import ROOT

CONSUMER: Final = ROOT / "tests" / "consumer.py"
COMPLETE: Final = "Type completeness score: 100%"


def install(folder: Path) -> Path:
    """Build the wheel and unpack it where an environment has its packages; answer with that environment's Python."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    (wheel,) = folder.glob("*.whl")
    environment = folder / "environment"
    venv.create(environment, with_pip=False, symlinks=True)
    (packages,) = environment.glob("lib/python3.*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    shared = [each for each in sys.path if each.endswith("site-packages")]
    (packages / "shared.pth").write_text("\n".join([*shared, ""]), encoding="utf-8")
    return environment / "bin" / "python"


def run(folder: Path, python: Path, *command: str | Path) -> tuple[int, str]:
    """Exit code and output of a checker that sees the wheel and not the sources."""
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "MYPYPATH"}}
    # To verify types pyright asks the first python on the path, whatever it is told otherwise.
    environment |= {
        "PATH": f"{python.parent}{os.pathsep}{environment['PATH']}",
        "VIRTUAL_ENV": str(python.parent.parent),
    }
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def complaints(folder: Path) -> list[str]:
    """What is wrong with the package as a user has it."""
    python = install(folder)
    found = []
    use = folder / "uses.py"
    use.write_text(CONSUMER.read_text(encoding="utf-8"), encoding="utf-8")
    options = [
        "--strict",
        "--warn-unused-ignores",
        "--warn-unreachable",
        "--config-file=",
        "--cache-dir",
        str(folder / "cache"),
    ]
    code, output = run(folder, python, "mypy", *options, "--python-executable", python, use)
    found += [output] if code else []
    (folder / "pyrightconfig.json").write_text(
        '{"include": ["uses.py"], "typeCheckingMode": "strict"}', encoding="utf-8"
    )
    code, output = run(folder, python, "pyright", "--pythonpath", python)
    found += [output] if code else []
    _, output = run(folder, python, "pyright", "--verifytypes", "pomt_ref", "--ignoreexternal")
    symbols = re.search(r"Symbols exported by \"pomt_ref\": (\d+)", output)
    found += [] if COMPLETE in output and symbols else [output]
    print(f"{CONSUMER.name} agrees with the wheel; types of {symbols[1] if symbols else 'no'} public symbols looked at")  # noqa: T201 -- a command
    return found


def main() -> int:
    """Print what is wrong; answer with an exit status."""
    with tempfile.TemporaryDirectory(prefix="consumer") as folder:
        found = complaints(Path(folder))
    print(*found, sep="\n")  # noqa: T201 -- a command
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
