"""A failing case as Python to paste: it builds the case, shows both answers, and raises the violation again."""

from dataclasses import asdict

from pomt_ref.conformance.subject import TENSORS, TorchSubject
from pomt_ref.testing import Captured, Case

EXPECTED = {"pomt": "prune", "topk": "topk_prune", "evit": "evit_prune"}
"""The oracle's function for each method."""


def snippet(clause: str, case: Case, subject: TorchSubject, captured: Captured | None = None) -> str:
    """Write the lines; they need this project and the implementation, and nothing else."""
    module, _, attribute = subject.name.partition(":")
    first, _, rest = attribute.partition(".")
    function = f"{first}.{rest}" if rest else first
    tensors = TENSORS[subject.method]
    arrays = ", ".join(f"case.{name}" for name in tensors)
    counts = f"prefix={case.shape.prefix}, keep={case.shape.keep}"
    where = f', device="{subject.device}"' if subject.device != "cpu" else ""
    method = f', method="{subject.method}"' if subject.method != "pomt" else ""
    return "\n".join(
        [
            "import torch",
            "from pomt_ref import oracle",
            "from pomt_ref.conformance import require",
            *_case_lines(case, captured),
            f"from {module} import {first}",
            f"{', '.join(tensors)} = (",
            f"    torch.tensor(array).to(torch.{case.dtype}){_moved(subject)} for array in ({arrays})",
            ")",
            f"expected = oracle.{EXPECTED[subject.method]}({arrays}, {counts})",
            'print("expected", expected.tokens)',
            f'print("got", {function}({", ".join(tensors)}, {counts}))',
            f'require("{clause}", case, {function}{method}{where})',
        ]
    )


def _case_lines(case: Case, captured: Captured | None) -> list[str]:
    """The lines that build the case."""
    if captured is not None and case.family == captured.name:
        shape = f"batch={case.shape.batch}, keep={case.shape.keep}"
        return [
            "from pathlib import Path",
            "from pomt_ref.testing import load_captured",
            f'captured = load_captured(Path("{captured.path}"))',
            f'case = captured.build({shape}, seed={case.seed}, dtype="{case.dtype}")',
        ]
    shape = ", ".join(f"{axis}={size}" for axis, size in asdict(case.shape).items())
    return [
        "from pomt_ref.testing import build_case",
        f'case = build_case("{case.family}", seed={case.seed}, dtype="{case.dtype}", {shape})',
    ]


def _moved(subject: TorchSubject) -> str:
    """The transfer to the device, where there is one."""
    return f'.to("{subject.device}")' if subject.device != "cpu" else ""
