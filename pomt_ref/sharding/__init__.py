"""One pruning step shared by several processes, on ``torch.distributed`` and nothing else.

:func:`prune_sharded` is :func:`pomt_ref.prune` where every rank has some samples of the batch, or some query rows of
the attention: the ranks tell each other the batch's largest sum (POMT-ATT-2), or the column sums (POMT-ATT-1).
"""

from pomt_ref.sharding.step import Split, prune_sharded

__all__ = ["Split", "prune_sharded"]
