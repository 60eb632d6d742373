"""One law a clause: a check of one case, against the NumPy oracle, entered in :data:`LAWS`."""

from pomt_ref.testing.laws import metamorphic, rows, scores, siblings
from pomt_ref.testing.laws.admissible import require_admissible
from pomt_ref.testing.laws.law import LAWS, CheckCase, Law, Sizes, law, laws_of

__all__ = [
    "LAWS",
    "CheckCase",
    "Law",
    "Sizes",
    "law",
    "laws_of",
    "metamorphic",
    "require_admissible",
    "rows",
    "scores",
    "siblings",
]
