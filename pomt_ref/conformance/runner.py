"""The check itself: what is asked for is there, then law after law; one law's failure never hides another's."""

import platform
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, get_args

import hypothesis
import numpy as np
import torch

from pomt_ref.conformance.arrays import Framework, require_framework
from pomt_ref.conformance.call import TIME_LIMIT, TimeLimitError, Watch
from pomt_ref.conformance.errors import NoTensorError, SubjectError, SubjectFailedError
from pomt_ref.conformance.judging import Progress
from pomt_ref.conformance.known import apply_known, load_known
from pomt_ref.conformance.loading import as_subject, load_subject
from pomt_ref.conformance.report import Report
from pomt_ref.conformance.saving import save_failures
from pomt_ref.conformance.subject import OUTPUT, CallableSubject
from pomt_ref.conformance.units import Plan, Shard, joined, run_units, units
from pomt_ref.testing import (
    FAMILIES,
    PROFILES,
    Captured,
    Case,
    Dtype,
    Law,
    Method,
    ProfileName,
    Shape,
    laws_of,
    load_captured,
)
from pomt_ref.testing.rounding import representable
from pomt_ref.version import __version__

MAX_EXAMPLES: Final = 200
"""Cases a clause by default."""

QUICK_EXAMPLES: Final = 40
"""Cases a clause of a quick check."""

DTYPES: Final[tuple[Dtype, ...]] = get_args(Dtype)
"""The dtypes of POMT-PREC-1, by name."""


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
        quick: a fifth of the cases, and none of more than 300 tokens.
        max_examples: cases a clause; 200 by default, 40 of a quick check.
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
        time_limit: seconds that one call may take.
        jobs: processes to share the work between; the implementation is then imported in each.
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
    held = _held(subject, method, device, profile, framework, fixed, Watch(float(time_limit)))
    name = _dtype_name(held.name, dtype)
    laws = _of_families(held.name, _chosen(held.name, method, clauses), families)
    examples = (QUICK_EXAMPLES if quick else MAX_EXAMPLES) if max_examples is None else max_examples
    for what, count in (("max_examples", examples), ("jobs", jobs)):
        if count < 1:
            raise SubjectError(held.name, f"{what} of 1 or more", f"{count}")
    share = parse_shard(held.name, shard) if isinstance(shard, str) else shard
    deviations = [] if known is None else load_known(Path(known), [law.clause for law in laws_of(method)])
    captured = load_captured(Path(captured)) if isinstance(captured, (str, Path)) else captured
    require_framework(held.name, held.framework, name)
    _require_device(held.name, device, name)
    _require_captured(captured, method, name)
    offered = _offered(held, name)

    todo = units(laws, captured, examples=examples, shard=share)
    plan = Plan(name, seed, long=not quick)
    rows = run_units(todo, plan, held, jobs=jobs, progress=progress or Progress())
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
) -> None:
    """Hold an implementation against one clause on one case: what a report's snippet ends with.

    Raises:
        LawViolation: the clause is broken.
        SubjectFailedError: the implementation raised, or returned what is no output.
    """
    held = _held(subject, method, device, claims, framework, None, Watch())
    for law in _chosen(held.name, method, [clause]):
        law.check(case, held)


def parse_shard(subject: str, text: str) -> Shard:
    """Read ``k/n``.

    >>> parse_shard("a:b", "2/3")
    Shard(number=2, of=3)
    """
    number, slash, count = text.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise SubjectError(subject, "a shard k/n with 1 <= k <= n", f"{text!r}")
    return Shard(int(number), int(count))


def _held(
    subject: Callable[..., Any] | str,
    method: Method,
    device: str,
    claims: ProfileName | None,
    framework: Framework | None,
    fixed: Mapping[str, int] | None,
    watch: Watch,
) -> CallableSubject:
    """The subject, imported where it is named."""
    name = subject if isinstance(subject, str) else _name(subject)
    if method not in get_args(Method):
        raise SubjectError(name, f"a method in {', '.join(get_args(Method))}", f"{method}")
    if claims is not None and claims not in PROFILES:
        raise SubjectError(name, f"a profile in {', '.join(PROFILES)}", f"{claims}")
    axes = set(Shape.__dataclass_fields__)
    for axis, size in (fixed or {}).items():
        if axis not in axes or size < (0 if axis in {"prefix", "keep"} else 1):
            raise SubjectError(name, f"a size of one of {', '.join(sorted(axes))}", f"{axis}={size}")
    if isinstance(subject, str):
        return load_subject(
            subject, method=method, device=device, claims=claims, framework=framework, fixed=fixed, watch=watch
        )
    return as_subject(
        subject, name=name, method=method, device=device, claims=claims, framework=framework, fixed=fixed, watch=watch
    )


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


def _of_families(subject: str, laws: list[Law], families: Iterable[str] | str | None) -> list[Law]:
    """The laws with these families alone; those that none of them is for are left out."""
    if families is None:
        return laws
    wanted = [families] if isinstance(families, str) else list(families)
    for family in wanted:
        if family not in FAMILIES:
            raise SubjectError(subject, f"a family in {', '.join(FAMILIES)}", f"{family}")
    narrowed = [replace(law, families=tuple(name for name in law.families if name in wanted)) for law in laws]
    left = [law for law in narrowed if law.families]
    if not left:
        raise SubjectError(subject, "a family that one of the clauses draws from", f"{', '.join(wanted)}")
    return left


def _versions() -> dict[str, str]:
    """What the verdict was reached with."""
    return {
        "pomt_ref": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "hypothesis": hypothesis.__version__,
    }


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
    except Exception as error:
        found = "available" if torch.cuda.is_available() else "not available"
        got = f"{(str(error).strip() or type(error).__name__).splitlines()[0]} (CUDA: {found})"
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


def _offered(subject: CallableSubject, dtype: Dtype) -> tuple[str, ...]:
    """One ordinary call: what returns beside its output, by name. What raises is left to the laws to tell.

    Raises:
        SubjectError: no tensor came, which cannot be held against the laws.
    """
    ordinary = Shape(batch=2, heads=2, tokens=6, features=3, channels=4, prefix=1, keep=2)
    shape = replace(ordinary, **subject.fixed)
    shape = replace(shape, keep=min(shape.keep, shape.patches - 1))
    if shape.patches < 1 or shape.keep < 0:
        raise SubjectError(subject.name, "sizes that leave a patch token to discard", f"{shape}")
    with suppress(SubjectFailedError, TimeLimitError):
        try:
            outcome = subject.run(FAMILIES["ordinary"].build(shape, seed=0, dtype=dtype))
        except NoTensorError as error:
            raise SubjectError(subject.name, f"a call that returns {OUTPUT}", error.kind) from error
        rows = {"kept": outcome.kept, "discarded": outcome.discarded}
        return (*outcome.stages, *(name for name, indices in rows.items() if indices is not None))
    return ()
