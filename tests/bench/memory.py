"""Memory beyond what was there before: the peak of a process of its own, as Linux counts it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

STATUS: Final = Path("/proc/self/status")
CLEAR: Final = Path("/proc/self/clear_refs")
PEAK, NOW = "VmHWM", "VmRSS"

CHILD: Final = """
import sys, torch
from tests.bench import memory, subjects
torch.set_num_threads(1)
name, tokens, heads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with torch.no_grad():
    subjects.RUNS[name](*subjects.layer(1, heads, 32, seed=0))  # what is loaded on first use
    layer = subjects.layer(1, heads, tokens, seed=0)
    print(memory.peak_of(lambda: subjects.RUNS[name](*layer)))
"""


def kilobytes(field: str) -> int:
    """One line of this process's status."""
    (line,) = (line for line in STATUS.read_text(encoding="utf-8").splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1])


def peak_of(call: Callable[[], object]) -> int:
    """Bytes that a call needs at its peak beyond what the process holds before; what it returns is counted too."""
    CLEAR.write_text("5", encoding="utf-8")  # the peak is what there is now
    before = kilobytes(NOW)
    kept = call()
    peak = (kilobytes(PEAK) - before) * 1024
    del kept
    return peak


def extra_memory(name: str, *, tokens: int, heads: int) -> int:
    """Of one run of a subject, in a process of its own."""
    command = [sys.executable, "-c", CHILD, name, str(tokens), str(heads)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout)
