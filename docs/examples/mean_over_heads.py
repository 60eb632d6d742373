"""A plausible mistake: the mean over heads, where POMT takes the maximum. ``pomt-ref check`` tells."""

import torch
from torch import Tensor


def prune(x: Tensor, attn: Tensor, v: Tensor, *, prefix: int, keep: int) -> Tensor:
    """One step of POMT, wrong in its first line."""
    sums = attn[:, :, prefix:, prefix:].float().mean(dim=1).sum(dim=1)  # should be .amax(dim=1)
    magnitude = v.float().amax(dim=1).sum(dim=-1).softmax(dim=-1)[:, prefix:]
    order = (sums / sums.max() + magnitude).argsort(dim=1, descending=True) + prefix
    rows = x.gather(1, order.unsqueeze(-1).expand(-1, -1, x.shape[2]))
    mean = rows[:, keep:].float().mean(dim=1, keepdim=True).to(x.dtype)
    return torch.cat([x[:, :prefix], rows[:, :keep], mean], dim=1)
