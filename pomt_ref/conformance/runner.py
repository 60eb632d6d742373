"""The check itself: what is asked for is there, then law after law; one law's failure never hides another's."""

import platform
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral
from pathlib import Path
from typing import Any, Final, get_args

import hypothesis
import numpy as np
import torch

from pomt_ref.conformance.arrays import Framework, require_framework
from pomt_ref.conformance.asked import (
    chosen_laws,
    dtype_name,
    name_of,
    of_families,
    parse_shard,
    require_captured,
    require_counts,
    require_device,
)
from pomt_ref.conformance.call import LONGEST, SHORTEST, TIME_LIMIT, Watch
from pomt_ref.conformance.errors import SubjectError
from pomt_ref.conformance.judging import Progress
from pomt_ref.conformance.known import apply_known, load_known
from pomt_ref.conformance.loading import as_subject, load_subject
from pomt_ref.conformance.report import Report
from pomt_ref.conformance.saving import save_failures
from pomt_ref.conformance.subject import CallableSubject
from pomt_ref.conformance.units import Plan, Shard, joined, run_units, units
from pomt_ref.testing import (
    PROFILES,
    Captured,
    Case,
    Method,
    ProfileName,
    Shape,
    laws_of,
    load_captured,
)
from pomt_ref.version import __version__

MAX_EXAMPLES: Final = 200
"""Cases a clause by default."""

QUICK_EXAMPLES: Final = 40
"""Cases a clause of a quick check."""


def check(
    subject: Callable[..., Any] | str,
    *,
    dtype: torch.dtype | str = torch.float32,
    device: str = "cpu",
    method: Method = "pomt",
    profile: ProfileName | None = None,
    quick: bool = False,
    max_examples: int | None = None,
    clauses: Iterable[str] | str | None = None,
    families: Iterable[str] | str | None = None,
    seed: int = 0,
    captured: Captured | Path | str | None = None,
    framework: Framework | None = None,
    fixed: Mapping[str, int] | None = None,
    known: Path | str | None = None,
    save: Path | str | None = None,
    time_limit: float = TIME_LIMIT,
    jobs: int = 1,
    apart: bool = False,
    shard: Shard | str | None = None,
    progress: Progress | None = None,
) -> Report:
    """Hold an implementation against the specification, clause by clause.

    Arguments:
        subject: a callable ``(x, attn, v, *, prefix, keep)``, its ``package.module:attribute``, or an ONNX file.
        dtype: of the tensors that it is given: float16, bfloat16, float32 or float64.
        device: where they are.
        method: ``"pomt"``, or ``"topk"`` or ``"evit"``, which are called without v.
        profile: the precision that it works in, by name; by default the normative one of the dtype.
        quick: a fifth of the cases, and none of more than 346 tokens.
        max_examples: cases a clause; 200 by default, 40 of a quick check; ten million at most.
        clauses: which clause or clauses; all of the method by default.
        families: which families of input; all by default. Laws that none of them is for are left out.
        seed: the same seed draws the same cases.
        captured: tensors of a real model, or the file that they lie in; laws that hold on any input are held on them
            too, in a row of their own.
        framework: ``"torch"``, ``"numpy"`` or ``"jax"``: whose arrays it is called with; by default the one that the
            annotation of its first parameter names, else torch.
        fixed: axes of the only shape that it is made for, such as ``{"tokens": 197, "heads": 6}``.
        known: a file of known deviations.
        save: a folder to write every failing case to.
        time_limit: seconds that one call may take, from a thousandth to a million.
        jobs: processes to share the work between; the implementation is then imported in each.
        apart: hold it in a process of its own even where there is one job. What ends a process, as an access to memory
            that is not there does, or cannot be interrupted, is then told as wrong, and the check goes on.
        shard: ``"k/n"``: only the k-th of n shares of the work; :func:`pomt_ref.conformance.merging.merge` joins them.
        progress: called as the check proceeds.

    Returns:
        the report; ``report.conforms``, and ``report.failures`` with clause, family, message, case and snippet.

    Raises:
        SubjectError: the check could not run.

    >>> from pomt_ref import prune
    >>> check(prune, clauses=["POMT-PRUNE-1"], max_examples=10).conforms
    True
    """
    held = _held(subject, method, device, profile, framework, fixed, time_limit)
    name = dtype_name(held.name, dtype)
    laws = of_families(held.name, chosen_laws(held.name, method, clauses), families)
    examples = (QUICK_EXAMPLES if quick else MAX_EXAMPLES) if max_examples is None else max_examples
    require_counts(held.name, max_examples=examples, jobs=jobs)
    share = parse_shard(held.name, shard) if isinstance(shard, str) else shard
    deviations = [] if known is None else load_known(Path(known), [law.clause for law in laws_of(method)])
    captured = load_captured(Path(captured)) if isinstance(captured, (str, Path)) else captured
    require_framework(held.name, held.framework, name)
    require_device(held.name, device, name)
    require_captured(captured, method, name)
    todo = units(laws, captured, examples=examples, shard=share)
    plan = Plan(name, seed, long=not quick)
    offered, rows = run_units(todo, plan, held, jobs=jobs, apart=apart, progress=progress or Progress())
    standing = held.profile(name)
    report = Report(
        held.name,
        method,
        name,
        device,
        seed,
        examples,
        offered,
        _versions(),
        rows if share is not None else joined(rows),
        standing.name,
        certified=standing.standing != "reported",
        shard="" if share is None else str(share),
        remarks=held.watch.remarks(),
    )
    report = apply_known(report, deviations)
    return report if save is None else save_failures(report, held, Path(save))


def require(
    clause: str,
    case: Case,
    subject: Callable[..., Any] | str,
    *,
    method: Method = "pomt",
    device: str = "cpu",
    claims: ProfileName | None = None,
    framework: Framework | None = None,
    time_limit: float = TIME_LIMIT,
) -> None:
    """Hold an implementation against one clause on one case: what a report's snippet ends with.

    Raises:
        LawViolation: the clause is broken.
        SubjectFailedError: the implementation raised, or returned what is no output.
        TimeLimitError: a call took longer than ``time_limit`` seconds.
    """
    held = _held(subject, method, device, claims, framework, None, time_limit)
    for law in chosen_laws(held.name, method, [clause]):
        law.check(case, held)


def _held(
    subject: Callable[..., Any] | str,
    method: Method,
    device: str,
    claims: ProfileName | None,
    framework: Framework | None,
    fixed: Mapping[str, int] | None,
    time_limit: float,
) -> CallableSubject:
    """The subject, imported where it is named."""
    name = subject if isinstance(subject, str) else name_of(subject)
    if method not in get_args(Method):
        raise SubjectError(name, f"a method in {', '.join(get_args(Method))}", f"{method}")
    if claims is not None and claims not in PROFILES:
        raise SubjectError(name, f"a profile in {', '.join(PROFILES)}", f"{claims}")
    if not SHORTEST <= time_limit <= LONGEST:
        raise SubjectError(name, f"a time_limit of {SHORTEST:g} to {LONGEST:,.0f} seconds", f"{time_limit}")
    watch = Watch(float(time_limit))
    axes = set(Shape.__dataclass_fields__)
    given: Mapping[str, object] = fixed or {}
    for axis, size in given.items():
        least = 0 if axis in {"prefix", "keep"} else 1
        if axis not in axes or isinstance(size, bool) or not isinstance(size, Integral) or int(size) < least:
            raise SubjectError(name, f"a size of one of {', '.join(sorted(axes))}", f"{axis}={size}")
    if isinstance(subject, str):
        return load_subject(
            subject, method=method, device=device, claims=claims, framework=framework, fixed=fixed, watch=watch
        )
    return as_subject(
        subject, name=name, method=method, device=device, claims=claims, framework=framework, fixed=fixed, watch=watch
    )


def _versions() -> dict[str, str]:
    """What the verdict was reached with."""
    return {
        "pomt_ref": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "hypothesis": hypothesis.__version__,
    }
