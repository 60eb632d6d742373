"""POMT-PRUNE, POMT-COUNT · laws of what comes out: length, copies, mean, partition."""

import numpy as np

from pomt_ref.testing.cases import Case
from pomt_ref.testing.evidence import Evidence
from pomt_ref.testing.laws.admissible import require_admissible
from pomt_ref.testing.laws.gathering import no_scores, require_copies, require_partition, require_untouched
from pomt_ref.testing.laws.law import law
from pomt_ref.testing.laws.reading import readings, require_mean, require_shape, under
from pomt_ref.testing.subject import Subject
from pomt_ref.testing.violation import InapplicableError


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
    families=("signed zeros", "ordinary", "contrasting tokens", "subnormal tokens", "large tokens", "huge tokens"),
    kills=(
        "copies through arithmetic",
        "copies through half precision",
        "copies that saturate",
        "prefix scaled",
        "input changed in place",
    ),
    sizes="long",
)
def copies_are_bit_exact(case: Case, subject: Subject) -> Evidence:
    """Prefix rows and kept rows are bit-exact copies (-0.0 too), and the inputs stay as they were."""
    outcome = subject.run(case)
    require_untouched(outcome)
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
            outcome = subject.run(smaller, remove=remove)
            require_shape(smaller, outcome, clause="POMT-COUNT-1")
            with under("POMT-COUNT-1"):
                require_admissible(smaller, outcome, profile=subject.profile(case.dtype))
    return Evidence()
