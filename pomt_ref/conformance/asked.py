"""What a check is asked for: a clause, a family, a dtype, a device, tensors, a share; told before the first case."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, get_args

import numpy as np
import torch

from pomt_ref.conformance.errors import SubjectError
from pomt_ref.conformance.units import Shard
from pomt_ref.testing import FAMILIES, Captured, Dtype, Law, Method, laws_of
from pomt_ref.testing.formats import representable

DTYPES: Final[tuple[Dtype, ...]] = get_args(Dtype)
"""The dtypes of POMT-PREC-1, by name."""


LARGEST: Final[Mapping[str, int]] = {"max_examples": 10_000_000, "jobs": 1024}
"""Of counts: the units of more cases, and the processes of more jobs, have no room in memory."""

COUNT: Final = re.compile(r"[1-9][0-9]{0,8}")
"""A shard or a number of them, as the report and its schema write it."""


def parse_shard(subject: str, text: str) -> Shard:
    """Read ``k/n``.

    >>> parse_shard("a:b", "2/3")
    Shard(number=2, of=3)
    """
    number, slash, count = text.partition("/")
    counts = all(COUNT.fullmatch(part) for part in (number, count))
    if not (slash and counts and int(number) <= int(count)):
        raise SubjectError(subject, "a shard k/n with 1 <= k <= n", f"{text!r}")
    return Shard(int(number), int(count))


def name_of(subject: Callable[..., Any]) -> str:
    """The ``package.module:attribute`` of a callable, or of its type."""
    module = getattr(subject, "__module__", None) or "__main__"
    return f"{module}:{getattr(subject, '__qualname__', type(subject).__name__)}"


def chosen_laws(subject: str, method: Method, clauses: Iterable[str] | str | None) -> list[Law]:
    """The laws of these clauses, in the order of the specification."""
    laws = laws_of(method)
    known = [law.clause for law in laws]
    wanted = known if clauses is None else [clauses] if isinstance(clauses, str) else list(clauses)
    for clause in wanted:
        if clause not in known:
            raise SubjectError(subject, f"a clause of {method}", f"{clause}; they are {', '.join(known)}")
    return [law for law in laws if law.clause in wanted]


def of_families(subject: str, laws: list[Law], families: Iterable[str] | str | None) -> list[Law]:
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


def dtype_name(subject: str, dtype: torch.dtype | str) -> Dtype:
    """The dtype by its name, without torch's prefix."""
    for name in DTYPES:
        if str(dtype) in {name, f"torch.{name}"}:
            return name
    raise SubjectError(subject, f"a dtype in {', '.join(DTYPES)}", f"{dtype}")


def require_counts(subject: str, **counts: int) -> None:
    """Counts of nothing, or of more than there can be, are told before the first case."""
    for what, count in counts.items():
        if not 1 <= count <= LARGEST[what]:
            raise SubjectError(subject, f"{what} of 1 to {LARGEST[what]}", f"{count}")


def require_device(subject: str, device: str, dtype: Dtype) -> None:
    """A device that is not there, or that cannot give back what it holds, is told before the first case."""
    try:
        torch.zeros(1, dtype=getattr(torch, dtype), device=device).cpu()
    except Exception as error:
        found = "available" if torch.cuda.is_available() else "not available"
        got = f"{(str(error).strip() or type(error).__name__).splitlines()[0]} (CUDA: {found})"
        raise SubjectError(subject, f"the device {device}", got) from error


def require_captured(captured: Captured | None, method: Method, dtype: Dtype) -> None:
    """Captured tensors that the method or the dtype has no room for are told before the first case."""
    if captured is None:
        return
    if method != "pomt" and captured.prefix == 0:
        raise SubjectError(f"{captured.path}", f"a prefix of 1 or more for {method}", "prefix 0")
    with np.errstate(over="ignore"):
        held = [representable(tensor, dtype) for tensor in (captured.x, captured.attn, captured.v)]
    if not all(np.isfinite(tensor).all() for tensor in held):
        raise SubjectError(f"{captured.path}", f"numbers within the range of {dtype}", "larger ones")
