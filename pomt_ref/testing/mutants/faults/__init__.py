"""The mutants: plausible faults, one stage each, in a module a stage."""

from typing import Final

from pomt_ref.testing.mutants.faults import (
    attention,
    calls,
    counts,
    magnitude,
    means,
    normalisation,
    ranking,
    rows,
    siblings,
)
from pomt_ref.testing.mutants.mutant import Mutant

FAULTS: Final[tuple[Mutant, ...]] = (
    *attention.SUMS,
    *normalisation.NORMALISATION,
    *magnitude.MAGNITUDE,
    *ranking.SCORES,
    *ranking.ORDERS,
    *ranking.PRECISION,
    *rows.ROWS,
    *rows.LENGTHS,
    *counts.COUNTS,
    *means.MEANS,
    *means.GRADIENTS,
    *calls.CALLS,
    *siblings.SIBLINGS,
)
"""Every mutant; names are unique within a method."""
