"""A vision transformer small enough to read and to train in half a minute, open where POMT prunes.

A digit of 8 x 8 pixels becomes 16 patches of 2 x 2 and one class token; four blocks of width 64 follow. Attention is
written out, so the softmax and the values that a pruning step receives are the very tensors the block computed with.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pomt_ref.errors import CountError

IMAGE_SIDE: Final = 8
"""Pixels along one side of an image, as scikit-learn's digits come."""

PATCH_SIDE: Final = 2
"""Pixels along one side of a patch: 4 x 4 patches an image."""

PREFIX: Final = 1
"""Prefix tokens P: the class token, row 0."""

PRUNED_BLOCK: Final = 1
"""Index of the block that prunes by default: the second of four, after a quarter of the depth (CHOOSE-3)."""

PruneStep = Callable[
    [
        Float[Tensor, "batch tokens channels"],
        Float[Tensor, "batch heads tokens tokens"],
        Float[Tensor, "batch heads tokens features"],
    ],
    Float[Tensor, "batch remaining channels"],
]
"""What may stand between the two residuals of a block: (x, attn, v) to the tokens that go on."""


@dataclass(frozen=True)
class Captured:
    """What a pruning step receives at one block."""

    x: Float[Tensor, "batch tokens channels"]
    """The token sequence after the attention residual."""
    attn: Float[Tensor, "batch heads tokens tokens"]
    """The attention after softmax: rows are queries and sum to one, columns are keys."""
    v: Float[Tensor, "batch heads tokens features"]
    """The values of every head."""


def patches(images: Float[Tensor, "batch rows columns"]) -> Float[Tensor, "batch patches pixels"]:
    """Cut images into square patches, row by row.

    Arguments:
        images: both sides divisible by ``PATCH_SIDE``.

    Returns:
        One row a patch in reading order, its pixels in reading order too.

    >>> patches(torch.arange(16.0).reshape(1, 4, 4))[0, 1]
    tensor([2., 3., 6., 7.])
    """
    down, across = images.shape[1] // PATCH_SIDE, images.shape[2] // PATCH_SIDE
    grid = images.reshape(-1, down, PATCH_SIDE, across, PATCH_SIDE)
    return grid.transpose(2, 3).reshape(-1, down * across, PATCH_SIDE**2)


class Block(nn.Module):
    """One pre-norm transformer block: attention residual, the place of pruning, MLP residual."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm: nn.LayerNorm = nn.LayerNorm(width)
        self.queries_keys_values: nn.Linear = nn.Linear(width, 3 * width)
        self.projection: nn.Linear = nn.Linear(width, width)
        self.mlp_norm: nn.LayerNorm = nn.LayerNorm(width)
        self.mlp: nn.Sequential = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def attend(self, tokens: Float[Tensor, "batch tokens channels"]) -> Captured:
        r"""The attention residual, with everything it was made from.

        .. math:: A = \mathrm{softmax}(q k^\top / \sqrt{D}), \qquad x = \mathrm{tokens} + \mathrm{projection}(A v)
        """
        mixed: Tensor = self.queries_keys_values(self.attention_norm(tokens))
        q, k, v = mixed.reshape(*tokens.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        attn = (q @ k.transpose(2, 3) / q.shape[3] ** 0.5).softmax(dim=3)
        x = tokens + self.projection((attn @ v).transpose(1, 2).flatten(2))
        return Captured(x=x, attn=attn, v=v)

    def forward(
        self, tokens: Float[Tensor, "batch tokens channels"], prune_step: PruneStep | None = None
    ) -> Float[Tensor, "batch remaining channels"]:
        """The block; ``prune_step`` stands between the attention residual and the MLP residual (CHOOSE-3)."""
        seen = self.attend(tokens)
        x = seen.x if prune_step is None else prune_step(seen.x, seen.attn, seen.v)
        update: Tensor = self.mlp(self.mlp_norm(x))
        return x + update


class DigitsViT(nn.Module):
    """A vision transformer for 8 x 8 digits with 202 186 parameters.

    >>> sum(parameter.numel() for parameter in DigitsViT().parameters())
    202186
    >>> DigitsViT()(torch.zeros(3, 8, 8)).shape
    torch.Size([3, 10])
    """

    def __init__(self, *, width: int = 64, depth: int = 4, heads: int = 4, classes: int = 10) -> None:
        super().__init__()
        tokens = PREFIX + (IMAGE_SIDE // PATCH_SIDE) ** 2
        self.num_prefix_tokens: int = PREFIX
        self.embedding: nn.Linear = nn.Linear(PATCH_SIDE**2, width)
        self.class_token: nn.Parameter = nn.Parameter(torch.zeros(1, 1, width))
        self.positions: nn.Parameter = nn.Parameter(torch.randn(1, tokens, width) / 2)
        self.blocks: nn.ModuleList = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm: nn.LayerNorm = nn.LayerNorm(width)
        self.head: nn.Linear = nn.Linear(width, classes)

    def forward(
        self,
        images: Float[Tensor, "batch 8 8"],
        *,
        prune_step: PruneStep | None = None,
        prune_after: int = PRUNED_BLOCK,
    ) -> Float[Tensor, "batch classes"]:
        """The logits of every class; pruning, if any, happens in one block (CHOOSE-3).

        Arguments:
            images: pixels in [0, 1].
            prune_step: shortens the token sequence and leaves row 0, the class token, in its place; ``None`` runs
                the unpruned model, which is what R = 0 means.
            prune_after: index of the block whose attention the step sees, 0 <= prune_after < depth.

        Returns:
            Logits, read from the class token after the last block.

        Raises:
            CountError: there is no block ``prune_after``, so that the step would never run.
        """
        last = len(self.blocks) - 1
        if prune_step is not None and not 0 <= prune_after <= last:
            raise CountError("DigitsViT", "CHOOSE-3", f"0 <= prune_after <= {last}", f"prune_after={prune_after}")
        embedded: Tensor = self.embedding(patches(images))
        tokens = torch.cat([self.class_token.expand(len(images), -1, -1), embedded], dim=1) + self.positions
        for index, block in enumerate(self.blocks):
            tokens = block(tokens, prune_step if index == prune_after else None)
        logits: Tensor = self.head(self.norm(tokens[:, 0]))
        return logits

    @torch.no_grad()
    def capture(self, images: Float[Tensor, "batch 8 8"], *, prune_after: int = PRUNED_BLOCK) -> Captured:
        """What a pruning step would receive: recorded by such a step, in a forward pass that prunes nothing.

        Arguments:
            images: as for :meth:`forward`.
            prune_after: as for :meth:`forward`.

        Returns:
            x, attn and v of that block, without gradient.
        """
        seen: list[Captured] = []

        def record(x: Tensor, attn: Tensor, v: Tensor) -> Tensor:
            seen.append(Captured(x=x, attn=attn, v=v))
            return x

        self(images, prune_step=record, prune_after=prune_after)
        return seen[0]
