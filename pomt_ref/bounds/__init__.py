"""Sound bounds of POMT: the maximum over heads between two planes, and certificates of what is kept."""

from pomt_ref.bounds.box import Box
from pomt_ref.bounds.envelope import max_envelope, worst_gap
from pomt_ref.bounds.linear import LinearBounds
from pomt_ref.bounds.maximum import Lower, Upper, relax_max

__all__ = ["Box", "LinearBounds", "Lower", "Upper", "max_envelope", "relax_max", "worst_gap"]
