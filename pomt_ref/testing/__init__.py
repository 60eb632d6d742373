"""What an implementation is tested with: cases, families, rounding bounds, laws and mutants; NumPy and Hypothesis only.

Nothing here imports the torch reference: it must not certify itself.
"""

from pomt_ref.testing.building import build_case
from pomt_ref.testing.captured import Captured, load_captured
from pomt_ref.testing.cases import Case, Shape
from pomt_ref.testing.evidence import GRADES, Evidence, Grade
from pomt_ref.testing.families import FAMILIES, Family
from pomt_ref.testing.fixed import fixed_cases
from pomt_ref.testing.formats import PROFILES, Dtype, Profile, ProfileName, normative
from pomt_ref.testing.laws import LAWS, Law, laws_of, require_admissible
from pomt_ref.testing.queries import LAYER_FAMILIES, LayerCase, LayerShape, build_layer, layer_cases
from pomt_ref.testing.strategies import cases, shapes
from pomt_ref.testing.subject import Gradients, Method, Outcome, Subject
from pomt_ref.testing.violation import InapplicableError, LawViolation, NotOfferedError

__all__ = [
    "FAMILIES",
    "GRADES",
    "LAWS",
    "LAYER_FAMILIES",
    "PROFILES",
    "Captured",
    "Case",
    "Dtype",
    "Evidence",
    "Family",
    "Grade",
    "Gradients",
    "InapplicableError",
    "Law",
    "LawViolation",
    "LayerCase",
    "LayerShape",
    "Method",
    "NotOfferedError",
    "Outcome",
    "Profile",
    "ProfileName",
    "Shape",
    "Subject",
    "build_case",
    "build_layer",
    "cases",
    "fixed_cases",
    "laws_of",
    "layer_cases",
    "load_captured",
    "normative",
    "require_admissible",
    "shapes",
]
