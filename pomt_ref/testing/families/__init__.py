"""Input families: named kinds of input, each of which makes some faults visible that others hide.

A family draws x, attn and v of a given shape from a seed. Its name stands in every report. Those that isolate a stage
leave the others nothing to decide, so that a fault is found by the clause of its own stage.
"""

from pomt_ref.testing.families import attention, layers, ties, tokens, values
from pomt_ref.testing.family import FAMILIES, Family

__all__ = ["FAMILIES", "Family", "attention", "layers", "ties", "tokens", "values"]
