"""POMT-PRUNE, POMT-COUNT · laws of what comes out: length, copies, mean, partition."""

import numpy as np
from jaxtyping import Float64, Int64

from pomt_ref.testing.cases import Case
from pomt_ref.testing.laws.law import law
from pomt_ref.testing.laws.reading import Scores, readings, require_mean, require_shape
from pomt_ref.testing.subject import Outcome, Subject
from pomt_ref.testing.violation import InapplicableError, LawViolation


@law(
    "POMT-PRUNE-1",
    families=("ordinary", "identical tokens", "contrasting tokens"),
    kills=("no mean row", "length of one prefix token", "prefix pruned", "one token too few"),
    sizes="mixed",
)
def output_has_prefix_kept_and_mean(case: Case, subject: Subject) -> None:
    """The output is the P prefix rows, the T best patch rows in rank order, one mean row: length P + T + 1."""
    require_shape(case, subject.run(case))


@law(
    "POMT-PRUNE-2",
    families=("signed zeros", "ordinary", "contrasting tokens"),
    kills=("copies through arithmetic", "copies through half precision", "prefix scaled", "input changed in place"),
)
def copies_are_bit_exact(case: Case, subject: Subject) -> None:
    """Prefix rows and kept rows are bit-exact copies (-0.0 too), and the inputs stay as they were."""
    outcome = subject.run(case)
    if outcome.changed_inputs:
        raise LawViolation("POMT-PRUNE-2", f"modified in place: {', '.join(outcome.changed_inputs)}")
    require_shape(case, outcome)
    prefix = case.shape.prefix
    wrong = _bits(outcome.tokens[:, :prefix]) != _bits(case.x[:, :prefix])
    if wrong.any():
        sample, row, channel = (int(i) for i in np.argwhere(wrong)[0])
        got, expected = float(outcome.tokens[sample, row, channel]), float(case.x[sample, row, channel])
        raise LawViolation(
            "POMT-PRUNE-2", f"prefix row {row} of sample {sample} has {got!r} in channel {channel}, x has {expected!r}"
        )
    readings(case, outcome, _no_scores(case))


@law(
    "POMT-PRUNE-3",
    families=("ordinary", "offset tokens", "contrasting tokens"),
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
    sizes="mixed",
)
def last_row_is_the_mean_of_the_discarded(case: Case, subject: Subject) -> None:
    """The last row is the arithmetic mean of the discarded patch rows, accumulated in at least float32."""
    outcome = subject.run(case)
    require_mean(case, outcome, readings(case, outcome, _no_scores(case)))


@law(
    "POMT-PRUNE-4",
    families=("ordinary", "ties", "contrasting tokens"),
    kills=("best token twice", "prefix offset forgotten", "index in 8 bits"),
    sizes="mixed",
)
def kept_and_discarded_are_a_partition(case: Case, subject: Subject) -> None:
    """Kept and discarded together are the patch tokens, each once; indices refer to the input sequence."""
    outcome = subject.run(case)
    readings(case, outcome, _no_scores(case))
    _require_partition(case, outcome)


@law(
    "POMT-COUNT-1",
    families=("ordinary",),
    kills=("length of one prefix token", "nothing pruned when nothing is kept", "one token too few"),
)
def output_is_shorter_by_r(case: Case, subject: Subject) -> None:
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


def _require_partition(case: Case, outcome: Outcome) -> None:
    """Hold the offered indices against the patch tokens and against the rows of the output."""
    if outcome.kept is None or outcome.discarded is None:
        return
    prefix, keep = case.shape.prefix, case.shape.keep
    for name, found, columns in (("kept", outcome.kept, keep), ("discarded", outcome.discarded, case.shape.discarded)):
        if found.shape != (case.shape.batch, columns):
            raise LawViolation("POMT-PRUNE-4", f"{name} of shape {found.shape}, expected {(case.shape.batch, columns)}")
    for sample, (kept, discarded) in enumerate(zip(outcome.kept, outcome.discarded, strict=True)):
        together: Int64[np.ndarray, " patches"] = np.sort(np.concatenate([kept, discarded]))
        if not np.array_equal(together, np.arange(prefix, case.shape.tokens)):
            raise LawViolation(
                "POMT-PRUNE-4",
                f"kept and discarded of sample {sample} are together {together.tolist()}, "
                f"expected every index from {prefix} to {case.shape.tokens - 1} once",
            )
        wrong = _bits(outcome.tokens[sample, prefix : prefix + keep]) != _bits(case.x[sample, kept])
        if wrong.any():
            place = int(np.argwhere(wrong)[0, 0])
            raise LawViolation(
                "POMT-PRUNE-4",
                f"kept[{sample}, {place}] = {kept[place]}, but output row {prefix + place} is not that row",
            )


def _no_scores(case: Case) -> Scores:
    """For a reading in which equal rows may stand for each other."""
    return np.zeros((case.shape.batch, case.shape.patches))


def _bits(rows: Float64[np.ndarray, "*axes"]) -> Int64[np.ndarray, "*axes"]:
    """The rows as integers: -0.0 and 0.0 differ."""
    return np.ascontiguousarray(rows).view(np.int64)
