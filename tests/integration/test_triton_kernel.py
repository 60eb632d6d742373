"""The Triton kernel of the guide, under Triton's interpreter: held like any implementation, and wrong ones rejected."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent.parent
KERNEL: Final = ROOT / "docs" / "examples" / "triton_pomt.py"

pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is made for Linux")

ODD_SHAPES: Final = """
import sys
from importlib import import_module
import torch
from pomt_ref.testing import LAYER_FAMILIES, LawViolation, LayerShape, build_layer
from pomt_ref.testing.laws import sums_from_a_logsumexp_are_those_of_the_matrix

shapes = [(1, 1, 1, 1, 0), (2, 3, 7, 4, 2), (1, 2, 66, 5, 1), (1, 1, 70, 3, 69), (2, 1, 65, 17, 0)]


def hold(attention_sums, dtype):
    for seed, (family, (batch, heads, tokens, features, prefix)) in enumerate(zip(LAYER_FAMILIES, shapes)):
        shape = LayerShape(batch, heads, tokens, features, 1, prefix, 1)
        case = build_layer(family, shape, seed=seed, dtype=dtype)
        q, k = (torch.tensor(each).to(getattr(torch, dtype)) for each in (case.q, case.k))
        lse = torch.tensor(case.lse).to(torch.float64 if dtype == "float64" else torch.float32)
        sums = attention_sums(q, k, lse, prefix=prefix, scale=case.scale)
        sums_from_a_logsumexp_are_those_of_the_matrix(case, sums.double().numpy())


for name in sys.argv[1:]:
    try:
        for dtype in ("float32", "float64", "float16"):
            hold(import_module(name).attention_sums, dtype)
        print(name, "holds")
    except LawViolation as violation:
        print(name, violation)
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


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """A Python that interprets Triton, in a folder of kernels."""
    path = os.pathsep.join(map(str, (folder, ROOT)))
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(name="kernels")
def write_kernels(tmp_path: Path) -> Path:
    """A folder with the kernel as it stands, and one wrong one a fault."""
    text = KERNEL.read_text(encoding="utf-8")
    (tmp_path / "kernel.py").write_text(text, encoding="utf-8")
    for name, (old, new) in FAULTS.items():
        assert text.count(old) == 1
        (tmp_path / f"{name.replace(' ', '_')}.py").write_text(text.replace(old, new), encoding="utf-8")
    return tmp_path


class TestKernel:
    """POMT-ATT-1 as a kernel: a tile of keys, all heads in the inner loop, the maximum before the exponential."""

    @pytest.mark.parametrize(
        ("name", "status"),
        [("kernel", 0), ("minimum_over_heads", 1), ("logsumexp_forgotten", 1), ("scale_forgotten", 1)],
    )
    def test_check_accepts_the_kernel_and_no_other(self, name: str, status: int, kernels: Path) -> None:
        clauses = ["--clause", "POMT-ATT-1", "--clause", "POMT-SCORE-1"]
        done = run(["-m", "pomt_ref", "check", f"{name}:prune", "--quick", "--no-save", *clauses], kernels)
        assert done.returncode == status, done.stdout + done.stderr
        assert f"{name}:prune {'does not conform' if status else 'conforms to 2 clauses'}" in done.stdout

    def test_law_accepts_the_kernel_in_odd_shapes_and_no_other(self, kernels: Path) -> None:
        names = ["kernel", *(name.replace(" ", "_") for name in FAULTS)]
        done = run(["-c", ODD_SHAPES, *names], kernels)
        assert done.returncode == 0, done.stderr
        first, *others = done.stdout.splitlines()
        assert first == "kernel holds"
        assert [each.partition(": ")[0] for each in others] == [f"{name} POMT-ATT-1 wrong" for name in names[1:]]
