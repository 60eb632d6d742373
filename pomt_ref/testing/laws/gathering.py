"""POMT-PRUNE-2, POMT-PRUNE-4 · what is asked of the rows of an output, and of the indices said to be theirs."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float64, Int64

from pomt_ref.testing.admissible import Reading
from pomt_ref.testing.cases import Case
from pomt_ref.testing.laws.reading import Scores, kept_rows, readings
from pomt_ref.testing.subject import Outcome
from pomt_ref.testing.violation import LawViolation


def require_copies(case: Case, outcome: Outcome, *, appended: int = 1) -> None:
    """POMT-PRUNE-2: the prefix rows are those of x, and every kept row is a patch row, whatever is said of it."""
    prefix = case.shape.prefix
    wrong = bits(outcome.tokens[:, :prefix]) != bits(case.x[:, :prefix])
    if wrong.any():
        sample, row, channel = (int(i) for i in np.argwhere(wrong)[0])
        got, expected = float(outcome.tokens[sample, row, channel]), float(case.x[sample, row, channel])
        raise LawViolation(
            "POMT-PRUNE-2", f"prefix row {row} of sample {sample} has {got!r} in channel {channel}, x has {expected!r}"
        )
    readings(case, replace(outcome, kept=None), no_scores(case), appended=appended)


def require_untouched(outcome: Outcome) -> None:
    """POMT-PRUNE-2: no input is changed, and the output has memory of its own."""
    if outcome.changed_inputs:
        raise LawViolation("POMT-PRUNE-2", f"modified in place: {', '.join(outcome.changed_inputs)}")
    if outcome.shares_memory:
        raise LawViolation("POMT-PRUNE-2", f"the output is a view of {outcome.shares_memory}, expected rows of its own")


def require_partition(case: Case, outcome: Outcome, *, appended: int = 1) -> None:
    """POMT-PRUNE-4: every patch token is kept or discarded, once; indices, where offered, say which."""
    shape = case.shape
    for name, found, count in (("kept", outcome.kept, shape.keep), ("discarded", outcome.discarded, shape.discarded)):
        if found is not None:
            _require_indices(case, name, found, count)
    if outcome.kept is not None and outcome.discarded is not None:
        _require_complete(case, outcome.kept, outcome.discarded)
    readings(case, replace(outcome, kept=None), no_scores(case), appended=appended)
    if outcome.kept is not None:
        _require_gathered(case, outcome, outcome.kept)
    elif outcome.discarded is not None:
        _require_left_out(case, outcome, outcome.discarded)


def waived_order(case: Case, outcome: Outcome) -> list[Reading]:
    """The rows of an output whose order is not asked for, because none is defined (M = 0)."""
    return readings(case, outcome, no_scores(case))


def _require_indices(case: Case, name: str, found: Int64[np.ndarray, "..."], count: int) -> None:
    """Indices of the right shape, all of patch tokens."""
    if found.shape != (case.shape.batch, count):
        raise LawViolation("POMT-PRUNE-4", f"{name} of shape {found.shape}, expected {(case.shape.batch, count)}")
    outside = (found < case.shape.prefix) | (found >= case.shape.tokens)
    if outside.any():
        sample, place = np.argwhere(outside)[0].tolist()
        raise LawViolation(
            "POMT-PRUNE-4",
            f"{name}[{sample}, {place}] = {found[sample, place]}, "
            f"expected an index from {case.shape.prefix} to {case.shape.tokens - 1}",
            sample=sample,
        )


def _require_complete(case: Case, kept: Int64[np.ndarray, "..."], discarded: Int64[np.ndarray, "..."]) -> None:
    """Hold the offered indices against the patch tokens."""
    for sample, rows in enumerate(np.sort(np.concatenate([kept, discarded], axis=1), axis=1)):
        if not np.array_equal(rows, np.arange(case.shape.prefix, case.shape.tokens)):
            raise LawViolation(
                "POMT-PRUNE-4",
                f"kept and discarded of sample {sample} are together {rows.tolist()}, "
                f"expected every index from {case.shape.prefix} to {case.shape.tokens - 1} once",
                sample=sample,
            )


def _require_gathered(case: Case, outcome: Outcome, kept: Int64[np.ndarray, "batch keep"]) -> None:
    """Hold the rows of the output against the indices that are said to have made them."""
    prefix = case.shape.prefix
    for sample, indices in enumerate(kept):
        wrong = bits(kept_rows(case, outcome, sample)) != bits(case.x[sample, indices])
        if wrong.any():
            place = int(np.argwhere(wrong)[0, 0])
            raise LawViolation(
                "POMT-PRUNE-4",
                f"kept[{sample}, {place}] = {indices[place]}, but output row {prefix + place} is not that row",
                sample=sample,
            )


def _require_left_out(case: Case, outcome: Outcome, discarded: Int64[np.ndarray, "batch discarded"]) -> None:
    """Hold the rows of the output against what is said to have been left out of them."""
    for sample, indices in enumerate(discarded):
        left = np.delete(case.x[sample], [*range(case.shape.prefix), *indices], axis=0)
        kept = kept_rows(case, outcome, sample)
        if sorted(row.tobytes() for row in left) != sorted(row.tobytes() for row in kept):
            raise LawViolation(
                "POMT-PRUNE-4",
                f"discarded of sample {sample} is {indices.tolist()}, but the output keeps other rows than the rest",
                sample=sample,
            )


def no_scores(case: Case) -> Scores:
    """For a reading in which equal rows may stand for each other."""
    return np.zeros((case.shape.batch, case.shape.patches))


def bits(rows: Float64[np.ndarray, "*axes"]) -> Int64[np.ndarray, "*axes"]:
    """The rows as integers: -0.0 and 0.0 differ."""
    return np.ascontiguousarray(rows).view(np.int64)
