"""LIN-1 · what a certificate is asked of: one pruning step whose inputs are boxes."""

from dataclasses import dataclass
from typing import Literal

from pomt_ref.bounds.box import Box
from pomt_ref.bounds.layer import AttentionLayer
from pomt_ref.types import Normalisation

Arithmetic = Literal["real", "float32", "float64"]
"""Whose order is certified: that of the exact scores, or that of every run in this arithmetic (POMT-PREC-1: float32
for inputs in half precision too)."""


@dataclass(frozen=True, eq=False)
class Step:
    """One pruning step over boxes, its shapes checked; exactly one of logits and attention is there."""

    values: Box
    """Of v, (batch, heads, tokens, features)."""
    value_sums: Box
    """Of t, (batch, tokens): the exact range over ``values``, or a better one."""
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
    tokens: Box | None = None
    """(batch, tokens, channels): what logits and values were derived from, if they were: more may be known than their
    boxes say."""
    layer: AttentionLayer | None = None
    """The linear maps that they were derived by; there if and only if the tokens are."""

    @property
    def function(self) -> str:
        """What was called: messages name it."""
        return "certify" if self.tokens is None else "certify_tokens"
