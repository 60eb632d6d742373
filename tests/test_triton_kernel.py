"""The Triton kernel of the guide, under Triton's interpreter: held like any implementation, and wrong ones rejected."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent
KERNEL: Final = ROOT / "docs" / "examples" / "triton_pomt.py"

pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is made for Linux")

ODD_SHAPES: Final = """
import torch
from kernel import attention_sums
from pomt_ref.testing import LAYER_FAMILIES, LayerShape, build_layer
from pomt_ref.testing.laws import sums_from_a_logsumexp_are_those_of_the_matrix

shapes = [(1, 1, 1, 1, 0), (2, 3, 7, 4, 2), (1, 2, 66, 5, 1), (1, 1, 70, 3, 69), (2, 1, 65, 17, 0)]
for dtype in ("float32", "float64", "float16"):
    for seed, (family, (batch, heads, tokens, features, prefix)) in enumerate(zip(LAYER_FAMILIES, shapes)):
        shape = LayerShape(batch, heads, tokens, features, 1, prefix, 1)
        case = build_layer(family, shape, seed=seed, dtype=dtype)
        q, k = (torch.tensor(each).to(getattr(torch, dtype)) for each in (case.q, case.k))
        lse = torch.tensor(case.lse).to(torch.float64 if dtype == "float64" else torch.float32)
        sums = attention_sums(q, k, lse, prefix=prefix, scale=case.scale)
        sums_from_a_logsumexp_are_those_of_the_matrix(case, sums.double().numpy())
        print(dtype, family)
"""

FAULTS: Final = {
    "minimum over heads": ("strongest = tl.maximum(strongest", "strongest = tl.minimum(strongest"),
    "logsumexp forgotten": (" - shift[:, None]", ""),
    "scale forgotten": (" * SCALE", ""),
    "rows of the prefix counted": ("* tokens + prefix\n", "* tokens\n"),
    "queries beyond the end counted": ('other=float("inf")', "other=0.0"),
    "first tile of queries alone": ("range(0, patches, SIDE)", "range(0, 1, SIDE)"),
    "sum over keys": ("tl.exp(strongest), axis=0", "tl.exp(strongest), axis=1"),
}


def run(arguments: list[str | Path], folder: Path, kernel: str) -> subprocess.CompletedProcess[str]:
    """A Python that interprets Triton, with the kernel as the module ``kernel``."""
    (folder / "kernel.py").write_text(kernel, encoding="utf-8")
    path = os.pathsep.join(map(str, (folder, ROOT)))
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def checked(folder: Path, kernel: str) -> subprocess.CompletedProcess[str]:
    """The check of what the attention decides, quick."""
    clauses = ["--clause", "POMT-ATT-1", "--clause", "POMT-SCORE-1"]
    return run(["-m", "pomt_ref", "check", "kernel:prune", "--quick", "--no-save", *clauses], folder, kernel)


def faulty(name: str) -> str:
    """The kernel with one mistake."""
    old, new = FAULTS[name]
    text = KERNEL.read_text(encoding="utf-8")
    assert text.count(old) == 1
    return text.replace(old, new)


class TestKernel:
    """POMT-ATT-1 as a kernel: a tile of keys, all heads in the inner loop, the maximum before the exponential."""

    def test_check_accepts_the_kernel(self, tmp_path: Path) -> None:
        done = checked(tmp_path, KERNEL.read_text(encoding="utf-8"))
        assert done.returncode == 0, done.stdout + done.stderr
        assert "kernel:prune conforms to 2 clauses" in done.stdout

    def test_kernel_on_odd_shapes(self, tmp_path: Path) -> None:
        done = run(["-c", ODD_SHAPES], tmp_path, KERNEL.read_text(encoding="utf-8"))
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.splitlines()) == 15

    def test_check_rejects_a_wrong_kernel(self, tmp_path: Path) -> None:
        done = checked(tmp_path, faulty("minimum over heads"))
        assert done.returncode == 1
        assert "POMT-ATT-1 wrong" in done.stdout

    @pytest.mark.parametrize("name", FAULTS)
    def test_law_rejects_a_wrong_kernel(self, name: str, tmp_path: Path) -> None:
        done = run(["-c", ODD_SHAPES], tmp_path, faulty(name))
        assert done.returncode == 1
        assert "POMT-ATT-1 wrong: attention sum" in done.stderr
