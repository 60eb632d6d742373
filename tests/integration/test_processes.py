"""The programs of the project as a shell runs them: in processes of their own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from pomt_ref.cli import main

ROOT: Final = Path(__file__).parent.parent.parent

SUBJECT: Final = """
from pomt_ref import prune as reference


def in_place(x, attn, v, *, prefix, keep):
    output = reference(x, attn, v, prefix=prefix, keep=keep, check="none").tokens
    x.mul_(2)
    return output
"""

LIBRARIES: Final = ("timm", "torchvision", "transformers", "sklearn", "matplotlib")
"""Whose models are understood, or what parts of the folder need; none is imported for the sake of patching."""

PROGRAM: Final = """
import sys
for name in {libraries}:
    sys.modules[name] = None  # an import of it fails, as where it is not installed
import torch
from pomt_ref.vision import patch, restore_order, dense_scatter
from pomt_ref.vision.vit import DigitsViT
patched = patch(DigitsViT().eval(), remove=8)
step = patched(torch.zeros(1, 8, 8)) is not None and patched.steps[0]
print(step.tokens_after, dense_scatter(torch.zeros(1, 9, 2), step.kept, step.discarded).shape[1])
layer = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
encoder = torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
print(patch(encoder, remove=2, prefix=1)(torch.zeros(1, 9, 8)).shape[1])
"""

LIMITED: Final = """
import resource, torch
from pomt_ref import MemoryLimitError
from pomt_ref.streaming import attention_sums_from_lse, prune_qkv, streaming_attention
torch.set_num_threads(1)
q = torch.zeros(1, 1, 8192, 4)
streaming_attention(q[:, :, :4], q[:, :, :4], q[:, :, :4], prefix=1)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 100 * 2**20,) * 2)
calls = [
    lambda rows: streaming_attention(q, q, q, prefix=1, rows=rows),
    lambda rows: prune_qkv(q[0], q, q, q, keep=1, rows=rows),
    lambda rows: attention_sums_from_lse(q, q, q[..., 0], prefix=1, rows=rows, scale=0.0),
]
for call in calls:
    try:
        call(8000)
    except MemoryLimitError as error:
        print(error)
    call(64)
"""


def in_a_process(
    folder: Path, *arguments: str, python: tuple[str, ...] = ("-m", "pomt_ref")
) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HYPOTHESIS")}
    return subprocess.run(
        [sys.executable, *python, *arguments],
        cwd=folder,
        env={**inherited, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )


class TestCheck:
    """`pomt-ref check`."""

    def test_help_answers_without_anything_heavy(self, tmp_path: Path) -> None:
        program = (
            "import sys\nfrom pomt_ref.cli import main\ntry:\n    main(['check', '--help'])\nfinally:\n"
            "    print(sorted({'torch', 'numpy', 'hypothesis', 'rich', 'jaxtyping'} & set(sys.modules)))"
        )
        ran = in_a_process(tmp_path, python=("-c", program))
        assert ran.returncode == 0
        assert "exit status: 0 it conforms, 1 it does not, 2 the check could not run" in ran.stdout
        assert ran.stdout.splitlines()[-1] == "[]"

    def test_missing_module_ends_with_status_2(self, tmp_path: Path) -> None:
        ran = in_a_process(tmp_path, "check", "no_such_module:prune")
        assert (ran.returncode, ran.stdout) == (2, "")
        assert ran.stderr.startswith("pomt-ref check no_such_module:prune: expected a module no_such_module that can ")
        assert ran.stderr.count("\n") == 1

    def test_same_seed_gives_the_same_report_anywhere_and_leaves_nothing_behind(self, tmp_path: Path) -> None:
        """Hypothesis would leave a folder .hypothesis."""
        reports: list[bytes] = []
        printed: list[str] = []
        for name in ("one", "tests/two"):
            folder = tmp_path / name
            folder.mkdir(parents=True)
            (folder / "cli_subjects.py").write_text(SUBJECT)
            clauses = ("--clause", "POMT-META-1", "--clause", "POMT-RANK-1", "--clause", "POMT-PRUNE-2")
            options = ("--seed", "3", "--max-examples", "20", "--json", "report.json", "--no-times")
            ran = in_a_process(folder, "check", "cli_subjects:in_place", *options, *clauses)
            assert (ran.returncode, "Traceback" in ran.stderr) == (1, False)
            printed.append(ran.stdout)
            reports.append((folder / "report.json").read_bytes())
            left = {path.name for path in folder.iterdir()} - {"__pycache__"}
            assert left == {"cli_subjects.py", "report.json", "pomt-ref-cases"}
        assert reports[0] == reports[1]
        assert printed[0] == printed[1]
        assert [row["verdict"] for row in json.loads(reports[0])["clauses"]] == ["conforms", "wrong", "conforms"]


class TestChoose:
    """`pomt-ref choose`."""

    def test_killed_process_loses_nothing(self, tmp_path: Path) -> None:
        command = ["choose", "--model", "digits", "--tokens", "17,9", "--batch-size", "16", "--output", str(tmp_path)]
        process = subprocess.Popen(
            [sys.executable, "-m", "pomt_ref", *command, "--rounds", "100000", "--threads", "1"],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stderr=subprocess.DEVNULL,
        )
        file = tmp_path / "measurements.csv"
        deadline = time.monotonic() + 60
        while not (file.exists() and file.read_text().count("\n") > 8):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        before = [line for line in file.read_text().splitlines(keepends=True) if line.endswith("\n")]
        assert main([*command, "--rounds", "2", "--threads", "1"]) == 0
        after = file.read_text().splitlines(keepends=True)
        assert after[: len(before)] == before
        assert {line.partition(",")[0] for line in after[len(before) :]} == {"right", "images"}


class TestNames:
    """`pomt_ref.vision` without what extras install."""

    def test_models_are_patched_where_no_library_is_installed(self) -> None:
        program = PROGRAM.format(libraries=LIBRARIES)
        done = subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, capture_output=True, text=True)
        assert done.stdout.splitlines() == ["9 17", "7"]


class TestMemory:
    """`pomt_ref.streaming` where memory runs out."""

    @pytest.mark.skipif(sys.platform != "linux", reason="limits the address space of a process, as Linux can")
    def test_memory_that_runs_out_names_a_block_size(self) -> None:
        done = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, check=True, timeout=60)
        rows = "memory for 2 x 8000 x 8192 numbers in torch.float32, 500.0 MiB: choose rows=2000"
        tiles = "memory for 2 x 8000 x 8000 numbers in torch.float32, 488.3 MiB: choose rows=2000"
        assert done.stdout.splitlines() == [
            f"streaming_attention: expected {rows} (POMT-ATT-1), got none left",
            f"prune_qkv: expected {rows} (POMT-ATT-1), got none left",
            f"attention_sums_from_lse: expected {tiles} (POMT-ATT-1), got none left",
        ]
