"""One law a clause: a check of one case, against the NumPy oracle, entered in :data:`LAWS`."""

from pomt_ref.testing.laws import metamorphic, rows, scores, siblings
from pomt_ref.testing.laws.admissible import require_admissible
from pomt_ref.testing.laws.law import LAWS, CheckCase, Law, Sizes, law, laws_of
from pomt_ref.testing.laws.streamed import (
    output_is_that_of_attention,
    streamed_sums_are_those_of_the_matrix,
    sums_from_a_logsumexp_are_those_of_the_matrix,
)

__all__ = [
    "LAWS",
    "CheckCase",
    "Law",
    "Sizes",
    "law",
    "laws_of",
    "metamorphic",
    "output_is_that_of_attention",
    "require_admissible",
    "rows",
    "scores",
    "siblings",
    "streamed_sums_are_those_of_the_matrix",
    "sums_from_a_logsumexp_are_those_of_the_matrix",
]
