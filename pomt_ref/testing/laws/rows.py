"""POMT-PRUNE, POMT-COUNT · laws of what comes out: length, copies, mean, partition."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float64, Int64

from pomt_ref.testing.admissible import Reading
from pomt_ref.testing.cases import Case
from pomt_ref.testing.evidence import Evidence
from pomt_ref.testing.laws.law import law
from pomt_ref.testing.laws.reading import Scores, kept_rows, readings, require_mean, require_shape
from pomt_ref.testing.subject import Outcome, Subject
from pomt_ref.testing.violation import InapplicableError, LawViolation


@law(
    "POMT-PRUNE-1",
    families=("ordinary", "identical tokens", "contrasting tokens"),
    kills=("no mean row", "length of one prefix token", "prefix pruned", "one token too few"),
    sizes="long",
)
def output_has_prefix_kept_and_mean(case: Case, subject: Subject) -> Evidence:
    """The output is the P prefix rows, the T best patch rows in rank order, one mean row: length P + T + 1."""
    require_shape(case, subject.run(case))
    return Evidence()


@law(
    "POMT-PRUNE-2",
    families=("signed zeros", "ordinary", "contrasting tokens", "subnormal tokens", "large tokens"),
    kills=("copies through arithmetic", "copies through half precision", "prefix scaled", "input changed in place"),
    sizes="mixed",
)
def copies_are_bit_exact(case: Case, subject: Subject) -> Evidence:
    """Prefix rows and kept rows are bit-exact copies (-0.0 too), and the inputs stay as they were."""
    outcome = subject.run(case)
    if outcome.changed_inputs:
        raise LawViolation("POMT-PRUNE-2", f"modified in place: {', '.join(outcome.changed_inputs)}")
    if outcome.shares_memory:
        raise LawViolation("POMT-PRUNE-2", f"the output is a view of {outcome.shares_memory}, expected rows of its own")
    require_shape(case, outcome)
    require_copies(case, outcome)
    return Evidence()


@law(
    "POMT-PRUNE-3",
    families=(
        "ordinary",
        "offset tokens",
        "many offset tokens",
        "contrasting tokens",
        "subnormal tokens",
        "large kept tokens",
        "ties",
        "one-hot attention",
    ),
    kills=(
        "mean of all patches",
        "mean of the kept",
        "mean with the prefix",
        "mean weighted by rank",
        "mean of one row too few",
        "mean of 300 rows at most",
        "mean of 128 channels at most",
        "sum for mean",
        "running sum in dtype",
    ),
    sizes="long",
)
def last_row_is_the_mean_of_the_discarded(case: Case, subject: Subject) -> Evidence:
    """The last row is the arithmetic mean of the discarded patch rows, accumulated in at least float32."""
    outcome = subject.run(case)
    found = readings(case, outcome, no_scores(case))
    return require_mean(case, outcome, found, subject.profile(case.dtype))


@law(
    "POMT-PRUNE-4",
    families=("ordinary", "ties", "contrasting tokens", "equal tokens"),
    kills=("best token twice", "prefix offset forgotten", "index in 8 bits"),
    sizes="long",
)
def kept_and_discarded_are_a_partition(case: Case, subject: Subject) -> Evidence:
    """Kept and discarded together are the patch tokens, each once; indices refer to the input sequence."""
    require_partition(case, subject.run(case))
    return Evidence()


@law(
    "POMT-COUNT-1",
    families=("ordinary",),
    kills=("length of one prefix token", "nothing pruned when nothing is kept", "one token too few"),
)
def output_is_shorter_by_r(case: Case, subject: Subject) -> Evidence:
    """T = N - P - R - 1 gives an output of length N - R, for every R from 1 to N - P - 1."""
    shape = case.shape
    if shape.patches == 1:
        raise InapplicableError
    # Every R of a short sequence; of a longer one the extremes and a few between.
    for remove in sorted({round(r) for r in np.linspace(1, shape.patches - 1, 4).tolist()}):
        smaller = case.keeping(shape.patches - remove - 1)
        require_shape(smaller, subject.run(smaller), clause="POMT-COUNT-1")
        if "remove" in subject.options():
            require_shape(smaller, subject.run(smaller, remove=remove), clause="POMT-COUNT-1")
    return Evidence()


def require_copies(case: Case, outcome: Outcome, *, appended: int = 1) -> None:
    """POMT-PRUNE-2: the prefix rows are those of x, and every kept row is a patch row, whatever is said of it."""
    prefix = case.shape.prefix
    wrong = _bits(outcome.tokens[:, :prefix]) != _bits(case.x[:, :prefix])
    if wrong.any():
        sample, row, channel = (int(i) for i in np.argwhere(wrong)[0])
        got, expected = float(outcome.tokens[sample, row, channel]), float(case.x[sample, row, channel])
        raise LawViolation(
            "POMT-PRUNE-2", f"prefix row {row} of sample {sample} has {got!r} in channel {channel}, x has {expected!r}"
        )
    readings(case, replace(outcome, kept=None), no_scores(case), appended=appended)


def require_partition(case: Case, outcome: Outcome, *, appended: int = 1) -> None:
    """POMT-PRUNE-4: every patch token is kept or discarded, once; indices, where offered, say which."""
    if outcome.kept is not None and outcome.discarded is not None:
        _require_complete(case, outcome.kept, outcome.discarded)
    readings(case, replace(outcome, kept=None), no_scores(case), appended=appended)
    if outcome.kept is not None:
        _require_gathered(case, outcome, outcome.kept)


def waived_order(case: Case, outcome: Outcome) -> list[Reading]:
    """The rows of an output whose order is not asked for, because none is defined (M = 0)."""
    return readings(case, outcome, no_scores(case))


def _require_complete(case: Case, kept: Int64[np.ndarray, "..."], discarded: Int64[np.ndarray, "..."]) -> None:
    """Hold the offered indices against the patch tokens."""
    prefix, batch = case.shape.prefix, case.shape.batch
    for name, found, columns in (("kept", kept, case.shape.keep), ("discarded", discarded, case.shape.discarded)):
        if found.shape != (batch, columns):
            raise LawViolation("POMT-PRUNE-4", f"{name} of shape {found.shape}, expected {(batch, columns)}")
    for sample, rows in enumerate(np.sort(np.concatenate([kept, discarded], axis=1), axis=1)):
        if not np.array_equal(rows, np.arange(prefix, case.shape.tokens)):
            raise LawViolation(
                "POMT-PRUNE-4",
                f"kept and discarded of sample {sample} are together {rows.tolist()}, "
                f"expected every index from {prefix} to {case.shape.tokens - 1} once",
            )


def _require_gathered(case: Case, outcome: Outcome, kept: Int64[np.ndarray, "..."]) -> None:
    """Hold the rows of the output against the indices that are said to have made them."""
    prefix = case.shape.prefix
    if kept.shape != (case.shape.batch, case.shape.keep):
        raise LawViolation(
            "POMT-PRUNE-4", f"kept of shape {kept.shape}, expected {(case.shape.batch, case.shape.keep)}"
        )
    for sample, indices in enumerate(kept):
        outside = indices[(indices < prefix) | (indices >= case.shape.tokens)]
        if outside.size:
            raise LawViolation(
                "POMT-PRUNE-4",
                f"kept of sample {sample} has index {outside[0]}, "
                f"expected indices from {prefix} to {case.shape.tokens - 1}",
            )
        wrong = _bits(kept_rows(case, outcome, sample)) != _bits(case.x[sample, indices])
        if wrong.any():
            place = int(np.argwhere(wrong)[0, 0])
            raise LawViolation(
                "POMT-PRUNE-4",
                f"kept[{sample}, {place}] = {indices[place]}, but output row {prefix + place} is not that row",
            )


def no_scores(case: Case) -> Scores:
    """For a reading in which equal rows may stand for each other."""
    return np.zeros((case.shape.batch, case.shape.patches))


def _bits(rows: Float64[np.ndarray, "*axes"]) -> Int64[np.ndarray, "*axes"]:
    """The rows as integers: -0.0 and 0.0 differ."""
    return np.ascontiguousarray(rows).view(np.int64)
