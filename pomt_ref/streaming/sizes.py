"""How many query rows a block has, where the caller leaves it open: a matter of speed and memory, not of the answer."""

from math import ceil
from typing import Final

import torch

from pomt_ref import contracts
from pomt_ref.errors import DtypeError
from pomt_ref.streaming import boundary
from pomt_ref.types import score_dtype

WHOLE: Final = 512
"""A sequence of up to so many tokens is one block: its matrix of one head is no larger than the buffers of others."""

OF_ALL_HEADS: Final = 2 * WHOLE**2
"""Numbers of attention of all heads that are held at once: as many as the two buffers of the longest single block."""

MOST: Final = 288
"""Rows of a longer sequence: more make products faster and leave the cache, in which a buffer is read again; measured,
see docs/performance.md."""

BUFFER: Final = 15 * 2**20
"""Bytes of a buffer of a very long one, to save memory."""

FEWEST: Final = 256
"""Rows of the longest: fewer would slow the products down."""


def default_rows(tokens: int, dtype: torch.dtype) -> int:
    """Query rows a block, unless told.

    Blocks are of one length, as nearly as N allows: N is often one more than a multiple, and a block of one row takes
    as long as one of many.

    Raises:
        PomtError: no number of tokens, or none of the four dtypes.

    >>> [default_rows(tokens, torch.float32) for tokens in (197, 1370, 4096, 16384)]
    [197, 274, 274, 256]
    """
    tokens = boundary.size_of("default_rows", tokens=tokens)
    if dtype not in contracts.DTYPES:
        expected = "dtype in float16, bfloat16, float32 or float64"
        raise DtypeError("default_rows", "POMT-PREC-1", expected, f"dtype={dtype!r}")
    if tokens <= WHOLE:
        return tokens
    most = max(min(BUFFER // (tokens * score_dtype(dtype).itemsize), MOST), FEWEST)
    return ceil(tokens / ceil(tokens / most))


def is_short(tokens: int, *, heads: int, rows: int) -> bool:
    """Whether a block of so many rows is the whole sequence, and all heads have at most ``OF_ALL_HEADS`` numbers.

    >>> [is_short(tokens, heads=12, rows=tokens) for tokens in (197, 257)]
    [True, False]
    """
    return rows == tokens and heads * tokens**2 <= OF_ALL_HEADS
