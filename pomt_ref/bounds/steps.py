"""LIN-1 · what a certificate is asked of: one pruning step whose inputs are boxes."""

from dataclasses import dataclass

from pomt_ref.bounds.box import Box
from pomt_ref.bounds.margins import Arithmetic
from pomt_ref.types import Normalisation


@dataclass(frozen=True)
class Step:
    """One pruning step over boxes, its shapes checked; exactly one of logits and attention is there."""

    values: Box
    """Of v, (batch, heads, tokens, features)."""
    logits: Box | None
    """Of the attention before softmax, (batch, heads, tokens, tokens)."""
    attention: Box | None
    """Of the attention after softmax, (batch, heads, tokens, tokens)."""
    x: Box | None
    """Of the tokens, (batch, tokens, channels)."""
    prefix: int
    """P."""
    keep: int
    """T, in [0, N - P - 1]."""
    normalisation: Normalisation
    """POMT-ATT-2: over what M is taken."""
    arithmetic: Arithmetic
    """Of the run that the certificate covers."""
