"""What honest variants come to: false alarms, and the share of FLOAT-1 and FLOAT-2 that they use."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, get_args

import numpy as np
import torch

from pomt_ref.conformance import CallableSubject
from pomt_ref.oracle import mean_row
from pomt_ref.testing import PROFILES, Case, Dtype, InapplicableError, NotOfferedError, Profile, ProfileName, laws_of
from pomt_ref.testing.laws.reading import scores_and_bounds
from pomt_ref.testing.mutants import HONEST, Mutant, Step
from pomt_ref.testing.rounding import mean_bound

from .recording import QUICK, recorded, subject_of

DTYPES: Final[tuple[Dtype, ...]] = get_args(Dtype)

SCORED: Final = ("POMT-ATT-1", "POMT-ATT-2", "POMT-MAG-1", "POMT-SCORE-1", "POMT-PREC-1")
"""The laws on whose cases scores are measured."""

Store = Callable[[torch.Tensor], torch.Tensor]


@dataclass
class Counted:
    """How many outputs were held."""

    outputs: int = 0
    function: Callable[..., object] = field(default=Step())

    def __call__(self, *tensors: torch.Tensor, prefix: int, keep: int) -> object:
        """Count the call."""
        self.outputs += 1
        return self.function(*tensors, prefix=prefix, keep=keep)


def outputs_held(mutant: Mutant, dtype: Dtype) -> int:
    """Hold one variant to all laws of its method in one dtype, and say how many outputs that took.

    Raises:
        LawViolation: a false alarm.
    """
    counted = Counted(function=mutant.function)
    subject = CallableSubject(counted, f"mutants:{mutant.name}", mutant.method)
    for law in laws_of(mutant.method):
        for case in recorded(law, dtype, QUICK):
            try:
                law.check(case, subject)
            except (InapplicableError, NotOfferedError):
                continue
    return counted.outputs


def honest_table() -> str:
    """Outputs by variant and dtype."""
    lines = ["| variant | " + " | ".join(DTYPES) + " | what it does |", "|---" * (len(DTYPES) + 2) + "|"]
    total = 0
    for mutant in HONEST:
        counts = [outputs_held(mutant, dtype) for dtype in DTYPES]
        total += sum(counts)
        lines.append(f"| {mutant.name} | " + " | ".join(map(str, counts)) + f" | {mutant.description} |")
    pairs = len(HONEST) * len(DTYPES)
    return "\n".join([*lines, "", f"{pairs} pairs of variant and dtype, {total} outputs, 0 false alarms."])


def _tensors(case: Case, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """attn and v."""
    return torch.from_numpy(case.attn).to(dtype), torch.from_numpy(case.v).to(dtype)


def _through(narrow: torch.dtype) -> Store:
    """Stored in a narrow dtype."""
    return lambda stage: stage.to(narrow).to(stage.dtype)


def _stored(step: Step, store: Store) -> Step:
    """The same step, with every stage stored."""
    return replace(
        step,
        sums=lambda a, prefix: store(step.sums(a, prefix)),
        relative=lambda s, a, prefix: store(step.relative(s, a, prefix)),
        value_sums=lambda v: store(step.value_sums(v)),
        share=lambda t, prefix: store(step.share(t, prefix)),
        combine=lambda m, p: store(step.combine(m, p)),
    )


def _running(terms: torch.Tensor, dim: int) -> torch.Tensor:
    """A sum that rounds to its dtype after every term."""
    total = torch.zeros_like(terms.select(dim, 0))
    for term in terms.unbind(dim):
        total = total + term
    return total


def _native_share(t: torch.Tensor, prefix: int) -> torch.Tensor:
    """A softmax all in the dtype of t."""
    exponentials = (t - t.amax(1, keepdim=True)).exp()
    return (exponentials / _running(exponentials, 1).unsqueeze(1))[:, prefix:]


NATIVE: Final = Step(
    sums=lambda a, prefix: _running(a[:, :, prefix:, prefix:].amax(1), 1),
    value_sums=lambda v: _running(v.amax(1), 2),
    share=_native_share,
)
"""Every operation in the dtype of its input."""


def scores(step: Step, case: Case, dtype: torch.dtype) -> np.ndarray:
    """The scores of a step."""
    attn, v = _tensors(case, dtype)
    prefix = case.shape.prefix
    m = step.relative(step.sums(attn, prefix), attn, prefix)
    return step.combine(m, step.share(step.value_sums(v), prefix)).double().numpy()


def attained_by_scores(steps: list[Step], profile: Profile, dtype: Dtype) -> tuple[float, float]:
    """FLOAT-1, used: as it is, and with one more rounding upwards."""
    worst = more = 0.0
    for law in laws_of("pomt"):
        for case in recorded(law, dtype, QUICK) if law.clause in SCORED else ():
            try:
                exact, bound = scores_and_bounds(case, profile)
            except InapplicableError:
                continue
            for step in steps:
                got = scores(step, case, getattr(torch, dtype))
                known = np.isfinite(bound)
                once_more = got + got * profile.storage.unit
                worst = max(worst, (np.abs(got - exact)[known] / bound[known]).max(initial=0.0))
                more = max(more, (np.abs(once_more - exact)[known] / bound[known]).max(initial=0.0))
    return worst, more


def attained_by_means(steps: list[Step], profile: Profile, dtype: Dtype) -> float:
    """FLOAT-2, used."""
    worst = 0.0
    law = next(law for law in laws_of("pomt") if law.clause == "POMT-PRUNE-3")
    for case in recorded(law, dtype, QUICK):
        x = torch.from_numpy(case.x).to(getattr(torch, dtype))
        rows = torch.arange(case.shape.prefix, case.shape.prefix + case.shape.discarded).expand(case.shape.batch, -1)
        for step in steps:
            got = step.mean(x, rows[:, :0], rows, case.shape.prefix).double().numpy()
            for sample, indices in enumerate(rows.numpy()):
                bound = mean_bound(case.x[sample, indices], profile=profile, dtype=dtype)
                error = np.abs(got[sample, 0] - mean_row(case.x[sample, indices]))
                used = np.divide(error, bound, out=np.zeros_like(error), where=np.isfinite(bound) & (error > 0))
                worst = max(worst, float(used.max()))
    return worst


def attained_table() -> str:
    """A row a profile."""
    variants = [mutant.function for mutant in HONEST if isinstance(mutant.function, Step)]
    lines = [
        "| profile | standing | inputs | FLOAT-1 | with one more rounding | FLOAT-2 |",
        "|---|---|---|---|---|---|",
    ]
    for name, dtypes, narrow in RUNS:
        profile = PROFILES[name]
        for dtype in dtypes:
            if narrow is None:
                steps = [NATIVE] if profile.standing == "reported" else variants
            else:
                steps = [_stored(step, _through(narrow)) for step in variants]
            worst, more = attained_by_scores(steps, profile, dtype)
            means = attained_by_means(steps, profile, dtype)
            if max(worst, means) > 1:
                raise AssertionError(f"{name}, {dtype}: an honest run goes beyond its bound, {worst:.3f}, {means:.3f}")
            lines.append(f"| {name} | {profile.standing} | {dtype} | {worst:.2f} | {more:.2f} | {means:.2f} |")
    return "\n".join(lines)


RUNS: Final[tuple[tuple[ProfileName, tuple[Dtype, ...], torch.dtype | None], ...]] = (
    ("float64", ("float64",), None),
    ("float32", ("float32", "float16", "bfloat16"), None),
    ("float32/float16", ("float32", "float16"), torch.float16),
    ("float32/bfloat16", ("float32", "bfloat16"), torch.bfloat16),
    ("float16", ("float16",), None),
    ("bfloat16", ("bfloat16",), None),
)
"""Profiles, the inputs that they are measured with, and where every stage is stored."""

__all__ = ["attained_table", "honest_table", "subject_of"]
