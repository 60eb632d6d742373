"""Sound bounds of POMT: the maximum over heads between two planes, and certificates of what is kept."""

from pomt_ref.bounds.attack import lowest
from pomt_ref.bounds.block import BlockDifference, block_difference
from pomt_ref.bounds.box import Box
from pomt_ref.bounds.certificate import Certificate, certify
from pomt_ref.bounds.differences import attention_difference, batch_max_bounds, value_difference
from pomt_ref.bounds.envelope import max_envelope, worst_gap
from pomt_ref.bounds.layer import AttentionLayer
from pomt_ref.bounds.linear import LinearBounds
from pomt_ref.bounds.maximum import Lower, Upper, relax_max
from pomt_ref.bounds.mlp import MlpResidual
from pomt_ref.bounds.softmax import softmax_bounds
from pomt_ref.bounds.steps import Arithmetic
from pomt_ref.bounds.tokens import certify_tokens

__all__ = [
    "Arithmetic",
    "AttentionLayer",
    "BlockDifference",
    "Box",
    "Certificate",
    "LinearBounds",
    "Lower",
    "MlpResidual",
    "Upper",
    "attention_difference",
    "batch_max_bounds",
    "block_difference",
    "certify",
    "certify_tokens",
    "lowest",
    "max_envelope",
    "relax_max",
    "softmax_bounds",
    "value_difference",
    "worst_gap",
]
