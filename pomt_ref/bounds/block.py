"""LIN-1 · pruned against unpruned: by how much the outputs of one block can differ, over a box.

Between the two residuals of a block stands the pruning step. What comes after works row by row, so a row that is kept
comes out as it would have without pruning. A row that is discarded is represented by the mean row from then on.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from pomt_ref.bounds.box import CLAUSE, Box
from pomt_ref.bounds.certificate import Certificate
from pomt_ref.bounds.deciding import Fates, largest_total, mean_bounds
from pomt_ref.bounds.directed import UNIT
from pomt_ref.bounds.mlp import MlpResidual
from pomt_ref.errors import KindError, OptionError


@dataclass(frozen=True, eq=False)
class BlockDifference:
    """Bounds of pruned less unpruned, after one block."""

    rows: Box
    """(batch, patches, channels): the output of what represents a patch, less its own unpruned output. Exactly zero for
    a patch that is certainly kept."""
    pooled: Box
    """(batch, channels): the mean of these over all patches: pruned less unpruned where outputs are averaged, each row
    counted as often as it stands for a patch."""
    symbolic: bool
    """Whether the MLP residual was left out: the bounds are then those of its input, and to ``rows`` comes the
    difference of the MLP at the mean row and at the patch."""


def block_difference(certificate: Certificate, mlp: MlpResidual | None = None) -> BlockDifference:
    r"""LIN-1: bounds of \|output of the pruned block - output of the unpruned block\|, row by row and averaged.

    .. math::
        e_k = \bar x - x_k + g(\bar x) - g(x_k) \quad (k \text{ discarded}), \qquad e_k = 0 \quad (k \text{ kept}),
        \qquad \frac1n \sum_k e_k = \frac{m}{n} \Bigl( g(\bar x) - \frac1m \sum_{k \text{ discarded}} g(x_k) \Bigr)

    In the average the rows themselves cancel: pruning costs it no more than the MLP is curved. In a row, x_k has a part
    in the mean, which is not counted twice.

    Arguments:
        certificate: of a step that was given ``x``, the tokens after the attention residual.
        mlp: the MLP residual, bounded by intervals; left symbolic if not given.

    Returns:
        the bounds, rounded outward.

    Raises:
        PomtError: a certificate without tokens.

    >>> from pomt_ref.bounds import certify
    >>> logits = torch.tensor([[[[3.0, 1.0, 1.0], [3.0, 1.0, 1.0], [3.0, 1.0, 1.0]]]])
    >>> x = Box.point(torch.tensor([[[9.0], [1.0], [2.0]]]))
    >>> values = Box.point(torch.zeros(1, 1, 3, 1))
    >>> certificate = certify(logits=Box.point(logits), values=values, x=x, prefix=0, keep=1)
    >>> block_difference(certificate).rows.center.flatten()
    tensor([ 0.0000,  0.5000, -0.5000], dtype=torch.float64)
    """
    if not isinstance(certificate, Certificate):
        raise KindError("block_difference", CLAUSE, "a Certificate", type(certificate).__name__)
    if mlp is not None and not isinstance(mlp, MlpResidual):
        raise KindError("block_difference", CLAUSE, "mlp, an MlpResidual", type(mlp).__name__)
    step = certificate.step
    if step.x is None or certificate.mean is None:
        raise OptionError("block_difference", CLAUSE, "a certificate of a step with x", "one without")
    fate = Fates(certificate.kept, certificate.discarded)
    x = Box(step.x.lo[:, step.prefix :], step.x.hi[:, step.prefix :])
    count = x.shape[1] - step.keep
    rows = _less_mean(x, fate, count)
    pooled = Box.point(torch.zeros_like(certificate.mean.lo))
    if mlp is not None:
        of_mean, of_rows = mlp.bounds(certificate.mean), mlp.bounds(x)
        rows = _outward(
            rows.lo + (of_mean.lo.unsqueeze(1) - of_rows.hi), rows.hi + (of_mean.hi.unsqueeze(1) - of_rows.lo)
        )
        average = mean_bounds(of_rows, fate, prefix=0, keep=step.keep, arithmetic="real")
        share = count / x.shape[1]
        pooled = _outward(share * (of_mean.lo - average.hi), share * (of_mean.hi - average.lo))
    return BlockDifference(_zero_where_kept(rows, fate), pooled, symbolic=mlp is None)


def _less_mean(x: Box, fate: Fates, count: int) -> Box:
    """x̄ - x_k for every patch k, as if it were discarded: the other rows of the mean, less what x_k lacks in it."""
    lows, highs = [], []
    for patch in range(x.shape[1]):
        with_patch = torch.zeros_like(fate.kept)
        with_patch[:, patch] = True
        assumed = Fates(fate.kept & ~with_patch, fate.discarded | with_patch)
        own = 1 - 1 / count
        highs.append(_others(x.hi, assumed, patch, count) / count - own * x.lo[:, patch])
        lows.append(-_others(-x.lo, assumed, patch, count) / count - own * x.hi[:, patch])
    size = torch.maximum(x.lo.abs(), x.hi.abs())
    slack = 8 * UNIT * (x.shape[1] + 4) * (size + size.amax(dim=1, keepdim=True))
    return Box(torch.stack(lows, dim=1) - slack, torch.stack(highs, dim=1) + slack)


def _others(
    rows: Float64[Tensor, "batch patches channels"], fate: Fates, patch: int, count: int
) -> Float64[Tensor, "batch channels"]:
    """The largest sum of the other rows that are averaged with this patch."""
    without = rows.clone()
    without[:, patch] = 0
    return largest_total(without, fate, count)


def _zero_where_kept(rows: Box, fate: Fates) -> Box:
    """Nothing for a patch that is certainly kept; for an undetermined one, nothing or what it would be."""
    lo = torch.where(fate.discarded.unsqueeze(2), rows.lo, rows.lo.clamp(max=0))
    hi = torch.where(fate.discarded.unsqueeze(2), rows.hi, rows.hi.clamp(min=0))
    kept = fate.kept.unsqueeze(2)
    return Box(torch.where(kept, 0.0, lo), torch.where(kept, 0.0, hi))


def _outward(lo: Float64[Tensor, "*axes"], hi: Float64[Tensor, "*axes"]) -> Box:
    """A box with room for the few roundings that made its ends."""
    slack = 16 * UNIT * torch.maximum(lo.abs(), hi.abs())
    return Box(lo - slack, hi + slack)
