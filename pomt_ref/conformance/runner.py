"""The check itself: what is asked for is there, then law after law; one law's failure never hides another's."""

import platform
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, get_args

import hypothesis
import numpy as np
import torch

from pomt_ref.conformance.errors import NoTensorError, SubjectError, SubjectFailedError
from pomt_ref.conformance.judging import Progress, run_law
from pomt_ref.conformance.report import Report, Row
from pomt_ref.conformance.subject import OUTPUT, TorchSubject, as_subject, load_subject
from pomt_ref.testing import (
    FAMILIES,
    Captured,
    Case,
    Dtype,
    Law,
    Method,
    Shape,
    laws_of,
    load_captured,
)
from pomt_ref.testing.rounding import representable

MAX_EXAMPLES: Final = 200
"""Cases a clause by default."""

DTYPES: Final[tuple[Dtype, ...]] = get_args(Dtype)
"""The dtypes of POMT-PREC-1, by name."""


def check(
    subject: Callable[..., Any] | str,
    *,
    dtype: torch.dtype | str = torch.float32,
    device: str = "cpu",
    method: Method = "pomt",
    max_examples: int | None = None,
    clauses: Iterable[str] | str | None = None,
    seed: int = 0,
    captured: Captured | Path | str | None = None,
    progress: Progress | None = None,
) -> Report:
    """Hold an implementation against the specification, clause by clause.

    Arguments:
        subject: a callable ``(x, attn, v, *, prefix, keep)`` on torch tensors, or its ``package.module:attribute``.
        dtype: of the tensors that it is given: float16, bfloat16, float32 or float64.
        device: where they are.
        method: ``"pomt"``, or ``"topk"`` or ``"evit"``, which are called without v.
        max_examples: cases a clause; 200 by default.
        clauses: which clause or clauses; all of the method by default.
        seed: the same seed draws the same cases.
        captured: tensors of a real model, or the file that they lie in; laws that hold on any input are held on them
            too, in a row of their own.
        progress: called as the check proceeds.

    Returns:
        the report; ``report.conforms``, and ``report.failures`` with clause, family, message, case and snippet.

    Raises:
        SubjectError: the check could not run.

    >>> from pomt_ref import prune
    >>> check(prune, clauses=["POMT-PRUNE-1"], max_examples=10).conforms
    True
    """
    held = _held(subject, method, device)
    name = _dtype_name(held.name, dtype)
    laws = _chosen(held.name, method, clauses)
    examples = MAX_EXAMPLES if max_examples is None else max_examples
    if examples < 1:
        raise SubjectError(held.name, "max_examples of 1 or more", f"{examples}")
    captured = load_captured(Path(captured)) if isinstance(captured, (str, Path)) else captured
    _require_device(held.name, device, name)
    _require_captured(captured, method, name)
    offered = _offered(held, name)
    rows: list[Row] = []
    for law in laws:
        sources = [None] if captured is None or not law.any_input else [None, captured]
        rows.extend(
            run_law(law, held, dtype=name, examples=examples, seed=seed, captured=source, progress=progress)
            for source in sources
        )
    versions = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "hypothesis": hypothesis.__version__,
    }
    return Report(held.name, method, name, device, seed, examples, offered, versions, tuple(rows))


def require(
    clause: str, case: Case, subject: Callable[..., Any] | str, *, method: Method = "pomt", device: str = "cpu"
) -> None:
    """Hold an implementation against one clause on one case: what a report's snippet ends with.

    Raises:
        LawViolation: the clause is broken.
        SubjectFailedError: the implementation raised, or returned what is no output.
    """
    held = _held(subject, method, device)
    for law in _chosen(held.name, method, [clause]):
        law.check(case, held)


def _held(subject: Callable[..., Any] | str, method: Method, device: str) -> TorchSubject:
    """The subject, imported where it is named."""
    name = subject if isinstance(subject, str) else _name(subject)
    if method not in get_args(Method):
        raise SubjectError(name, f"a method in {', '.join(get_args(Method))}", f"{method}")
    if isinstance(subject, str):
        return load_subject(subject, method=method, device=device)
    return as_subject(subject, name=name, method=method, device=device)


def _name(subject: Callable[..., Any]) -> str:
    """The ``package.module:attribute`` of a callable, or of its type."""
    module = getattr(subject, "__module__", None) or "__main__"
    return f"{module}:{getattr(subject, '__qualname__', type(subject).__name__)}"


def _chosen(subject: str, method: Method, clauses: Iterable[str] | str | None) -> list[Law]:
    """The laws of these clauses, in the order of the specification."""
    laws = laws_of(method)
    known = [law.clause for law in laws]
    wanted = known if clauses is None else [clauses] if isinstance(clauses, str) else list(clauses)
    for clause in wanted:
        if clause not in known:
            raise SubjectError(subject, f"a clause of {method}", f"{clause}; they are {', '.join(known)}")
    return [law for law in laws if law.clause in wanted]


def _dtype_name(subject: str, dtype: torch.dtype | str) -> Dtype:
    """The dtype by its name, without torch's prefix."""
    for name in DTYPES:
        if str(dtype) in {name, f"torch.{name}"}:
            return name
    raise SubjectError(subject, f"a dtype in {', '.join(DTYPES)}", f"{dtype}")


def _require_device(subject: str, device: str, dtype: Dtype) -> None:
    """A device that is not there, or that cannot give back what it holds, is told before the first case."""
    try:
        torch.zeros(1, dtype=getattr(torch, dtype), device=device).cpu()
    except (RuntimeError, AssertionError, TypeError) as error:
        found = "available" if torch.cuda.is_available() else "not available"
        got = f"{str(error).splitlines()[0]} (CUDA: {found})"
        raise SubjectError(subject, f"the device {device}", got) from error


def _require_captured(captured: Captured | None, method: Method, dtype: Dtype) -> None:
    """Captured tensors that the method or the dtype has no room for are told before the first case."""
    if captured is None:
        return
    if method != "pomt" and captured.prefix == 0:
        raise SubjectError(f"{captured.path}", f"a prefix of 1 or more for {method}", "prefix 0")
    with np.errstate(over="ignore"):
        held = [representable(tensor, dtype) for tensor in (captured.x, captured.attn, captured.v)]
    if not all(np.isfinite(tensor).all() for tensor in held):
        raise SubjectError(f"{captured.path}", f"numbers within the range of {dtype}", "larger ones")


def _offered(subject: TorchSubject, dtype: Dtype) -> tuple[str, ...]:
    """One ordinary call: what returns beside its output, by name. What raises is left to the laws to tell.

    Raises:
        SubjectError: no tensor came, which cannot be held against the laws.
    """
    shape = Shape(batch=2, heads=2, tokens=6, features=3, channels=4, prefix=1, keep=2)
    with suppress(SubjectFailedError):
        try:
            outcome = subject.run(FAMILIES["ordinary"].build(shape, seed=0, dtype=dtype))
        except NoTensorError as error:
            raise SubjectError(subject.name, f"a call that returns {OUTPUT}", error.kind) from error
        rows = {"kept": outcome.kept, "discarded": outcome.discarded}
        return (*outcome.stages, *(name for name, indices in rows.items() if indices is not None))
    return ()
