"""CHOOSE-2 · a model on fewer tokens: the prefix and a random subset of the patch tokens, from its first block on."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from pomt_ref.errors import CountError


def random_rows(
    batch: int, tokens: int, keep: int, *, prefix: int, generator: torch.Generator
) -> Int64[Tensor, "batch {keep}"]:
    """CHOOSE-2: for every sample, the rows of the prefix and of a random subset of the patches, in ascending order.

    Arguments:
        batch: number of samples; each has a subset of its own.
        tokens: N, the length of the whole sequence.
        keep: k, the length of the shortened sequence, P < k <= N.
        prefix: number P of prefix tokens, which are always kept.
        generator: where the subsets come from.

    Returns:
        Row indices that count the prefix.

    Raises:
        CountError: k is no length that leaves the prefix and a patch.

    >>> random_rows(1, 197, 3, prefix=1, generator=torch.Generator().manual_seed(0)).shape
    torch.Size([1, 3])
    >>> random_rows(2, 4, 4, prefix=1, generator=torch.Generator()).tolist()
    [[0, 1, 2, 3], [0, 1, 2, 3]]
    """
    if not prefix < keep <= tokens:
        raise CountError("random_rows", "CHOOSE-2", f"{prefix + 1} <= k <= {tokens} tokens", f"k={keep}")
    drawn = torch.rand(batch, tokens - prefix, generator=generator).argsort(dim=1)[:, : keep - prefix]
    rows = torch.arange(prefix).expand(batch, prefix)
    return torch.cat([rows, drawn.sort(dim=1).values + prefix], dim=1)


@contextmanager
def shortened(first_block: nn.Module, rows: Int64[Tensor, "batch keep"]) -> Iterator[None]:
    """Let a model see these rows only, from its first block on, while the block of `with` runs.

    Arguments:
        first_block: the module whose first argument is the whole token sequence, positions already added.
        rows: as :func:`random_rows` gives them, for a batch of this size.
    """

    def choose(
        _: nn.Module, inputs: tuple[Float[Tensor, "batch tokens channels"], *tuple[object, ...]]
    ) -> tuple[object, ...]:
        tokens, *others = inputs
        index = rows.to(tokens.device)[:, :, None].expand(-1, -1, tokens.shape[2])
        return (tokens.gather(1, index), *others)

    handle = first_block.register_forward_pre_hook(choose)
    try:
        yield
    finally:
        handle.remove()
