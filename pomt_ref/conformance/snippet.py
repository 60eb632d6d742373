"""A failing case as Python to paste: it builds the case, shows both answers, and raises the violation again."""

from dataclasses import asdict

from pomt_ref.conformance.loading import has_name
from pomt_ref.conformance.subject import TENSORS, CallableSubject
from pomt_ref.testing import Captured, Case

EXPECTED = {"pomt": "prune", "topk": "topk_prune", "evit": "evit_prune"}
"""The oracle's function for each method."""


def snippet(clause: str, case: Case, subject: CallableSubject, captured: Captured | None = None) -> str:
    """Write the lines; they need this project and the implementation, and nothing else."""
    function, importing = _importing(subject)
    arrays = ", ".join(f"case.{name}" for name in TENSORS[subject.method])
    counts = f"prefix={case.shape.prefix}, keep={case.shape.keep}"
    return "\n".join(
        [
            "import torch",
            "torch.set_printoptions(precision=9)",
            "from pomt_ref import oracle",
            "from pomt_ref.conformance import require",
            *_case_lines(case, captured),
            importing,
            f"expected = oracle.{EXPECTED[subject.method]}({arrays}, {counts})",
            'print("expected", expected.tokens)',
            *_calling(function, case, subject, arrays, counts),
            f'require("{clause}", case, {function}{_options(subject)})',
        ]
    )


def _calling(function: str, case: Case, subject: CallableSubject, arrays: str, counts: str) -> list[str]:
    """The lines that call the implementation and print what it answers."""
    if subject.framework != "torch":
        return [f'print("got", as_subject({function}, name="{function}"{_options(subject)}).run(case).tokens)']
    tensors = ", ".join(TENSORS[subject.method])
    return [
        f"{tensors} = (",
        f"    torch.tensor(array).to(torch.{case.dtype}){_moved(subject)} for array in ({arrays})",
        ")",
        f'print("got", {function}({tensors}, {counts}))',
    ]


def _options(subject: CallableSubject) -> str:
    """What was not the default."""
    said = {"method": "pomt", "device": "cpu", "claims": None, "framework": "torch"}
    given = {name: getattr(subject, name) for name, default in said.items() if getattr(subject, name) != default}
    return "".join(f', {name}="{value}"' for name, value in given.items())


def _importing(subject: CallableSubject) -> tuple[str, str]:
    """How to call the implementation, and the line that imports it, where it has a name to import."""
    module, _, attribute = subject.name.partition(":")
    if subject.name.endswith(".onnx"):
        importing = f"subject = load_graph({subject.name!r}, method={subject.method!r})"
        return "subject", f"from pomt_ref.conformance import as_subject, load_graph\n{importing}"
    also = "" if subject.framework == "torch" else "from pomt_ref.conformance import as_subject\n"
    if not has_name(subject):
        return "subject", f"{also}# subject = the implementation that was checked; it has no name to import it by"
    return attribute, f"{also}from {module} import {attribute.partition('.')[0]}"


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


def _moved(subject: CallableSubject) -> str:
    """The transfer to the device, where there is one."""
    return f'.to("{subject.device}")' if subject.device != "cpu" else ""
