"""Every path: CrossHair executes the integer planning symbolically and confirms what is asserted of it.

CrossHair says "Confirmed over all paths" only when it has seen each of them; anything less is red here.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.proofs import sources
from tests.proofs.statement import ALL_SIZES, Statement, refute

CLAIMS: Final = Path(__file__).with_name("counting_claims.py")
CONFIRMED: Final = "Confirmed over all paths."


def prove_paths() -> None:
    """One confirmation for every function of the claims."""
    functions = re.findall(r"^def (\w+)", CLAIMS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    with tempfile.TemporaryDirectory(prefix="paths") as folder:
        package = Path(folder, "pomt_ref")
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "counting.py").write_text(sources.read("counting"), encoding="utf-8")
        command = [sys.executable, "-m", "crosshair", "check", "--analysis_kind=asserts", "--report_all"]
        command += ["--per_condition_timeout=60", str(CLAIMS)]
        environment = {**os.environ, "PYTHONPATH": folder}
        done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    confirmed = [line for line in lines if line.endswith(CONFIRMED)]
    fine = done.returncode == 0 and len(confirmed) == len(lines) == len(functions)
    refute(unless=fine, why=f"CrossHair: {done.stdout.strip()[:300]} {done.stderr.strip()[-300:]}")


STATEMENTS: Final = (
    Statement(
        "counting paths",
        "T, R, m and the output length are as the clauses say and in their ranges, on every path of the planning.",
        "POMT-COUNT-1, POMT-PRUNE-1, POMT-PRUNE-4",
        "CrossHair",
        ALL_SIZES,
        prove_paths,
    ),
)
