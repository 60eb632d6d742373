"""The oracle · the clauses in NumPy float64 and plain loops, written from the equations alone.

It imports nothing else of the project, so that the laws can hold the reference and every other implementation
against it. It reads like the specification and is as slow as that costs.
"""

from .attention import Normalisation, attention_score, attention_sums, head_maximum, share_of_largest
from .choosing import choose_remove, utility
from .magnitude import magnitude_score, value_softmax, value_sums
from .pruning import Pruned, fused_row, mean_row, prune
from .ranking import order, rank, score
from .siblings import class_score, evit_prune, topk_prune
from .softmax import attention, attention_output, logits, logsumexp

__all__ = [
    "Normalisation",
    "Pruned",
    "attention",
    "attention_output",
    "attention_score",
    "attention_sums",
    "choose_remove",
    "class_score",
    "evit_prune",
    "fused_row",
    "head_maximum",
    "logits",
    "logsumexp",
    "magnitude_score",
    "mean_row",
    "order",
    "prune",
    "rank",
    "score",
    "share_of_largest",
    "topk_prune",
    "utility",
    "value_softmax",
    "value_sums",
]
