"""POMT-ATT without the N x N x H matrix: exact in O(N) memory, held to the plain functions by the laws.

``streaming_attention`` is attention and its metric in one pass over blocks of query rows; ``attention_sums_from_lse``
is the metric alone, beside a fused kernel that returns its logsumexp; ``prune_qkv`` is a whole step from queries, keys
and values, and ``prune_sums`` is what it does once the sums are there. The plain functions say what all of them
compute.
"""

from pomt_ref.streaming.attention import streaming_attention
from pomt_ref.streaming.fused import attention_sums_from_lse, logsumexp
from pomt_ref.streaming.sizes import default_rows
from pomt_ref.streaming.step import Algorithm, StreamedStep, prune_qkv, prune_sums

__all__ = [
    "Algorithm",
    "StreamedStep",
    "attention_sums_from_lse",
    "default_rows",
    "logsumexp",
    "prune_qkv",
    "prune_sums",
    "streaming_attention",
]
