"""A failing case as Python to paste: it builds the case, shows both answers, and raises the violation again."""

import sys
from dataclasses import asdict

from pomt_ref.conformance.subject import TENSORS, TorchSubject
from pomt_ref.testing import Captured, Case

EXPECTED = {"pomt": "prune", "topk": "topk_prune", "evit": "evit_prune"}
"""The oracle's function for each method."""


def snippet(clause: str, case: Case, subject: TorchSubject, captured: Captured | None = None) -> str:
    """Write the lines; they need this project and the implementation, and nothing else."""
    function, importing = _importing(subject)
    tensors = TENSORS[subject.method]
    arrays = ", ".join(f"case.{name}" for name in tensors)
    counts = f"prefix={case.shape.prefix}, keep={case.shape.keep}"
    where = f', device="{subject.device}"' if subject.device != "cpu" else ""
    method = f', method="{subject.method}"' if subject.method != "pomt" else ""
    return "\n".join(
        [
            "import torch",
            "torch.set_printoptions(precision=9)",
            "from pomt_ref import oracle",
            "from pomt_ref.conformance import require",
            *_case_lines(case, captured),
            importing,
            f"{', '.join(tensors)} = (",
            f"    torch.tensor(array).to(torch.{case.dtype}){_moved(subject)} for array in ({arrays})",
            ")",
            f"expected = oracle.{EXPECTED[subject.method]}({arrays}, {counts})",
            'print("expected", expected.tokens)',
            f'print("got", {function}({", ".join(tensors)}, {counts}))',
            f'require("{clause}", case, {function}{method}{where})',
        ]
    )


def _importing(subject: TorchSubject) -> tuple[str, str]:
    """How to call the implementation, and the line that imports it, where it has a name to import."""
    module, _, attribute = subject.name.partition(":")
    found: object = sys.modules.get(module)
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if found != subject.function:
        return "subject", "# subject = the implementation that was checked; it has no name to import it by"
    return attribute, f"from {module} import {attribute.partition('.')[0]}"


def _case_lines(case: Case, captured: Captured | None) -> list[str]:
    """The lines that build the case."""
    if captured is not None and case.family == captured.name:
        shape = f"batch={case.shape.batch}, keep={case.shape.keep}"
        return [
            "from pathlib import Path",
            "from pomt_ref.testing import load_captured",
            f"captured = load_captured(Path({str(captured.path.resolve())!r}))",
            f'case = captured.build({shape}, seed={case.seed}, dtype="{case.dtype}")',
        ]
    shape = ", ".join(f"{axis}={size}" for axis, size in asdict(case.shape).items())
    return [
        "from pomt_ref.testing import build_case",
        f"shape = dict({shape})",
        f'case = build_case("{case.family}", seed={case.seed}, dtype="{case.dtype}", **shape)',
    ]


def _moved(subject: TorchSubject) -> str:
    """The transfer to the device, where there is one."""
    return f'.to("{subject.device}")' if subject.device != "cpu" else ""
