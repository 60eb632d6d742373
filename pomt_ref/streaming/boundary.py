"""What the streaming functions may be passed beyond a layer, and what is said of memory that runs out."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite, log, prod
from numbers import Integral, Real
from typing import Final

import torch
from torch import Tensor

from pomt_ref import contracts
from pomt_ref.errors import (
    CountError,
    DeviceError,
    DtypeError,
    KindError,
    MemoryLimitError,
    OptionError,
    ShapeError,
    ValuesError,
)
from pomt_ref.types import Check, Normalisation, score_dtype

CLAUSE: Final = "POMT-ATT-1"

NO_MEMORY: Final = ("can't allocate memory", "not enough memory", "out of memory")
"""What torch's allocators say in a RuntimeError: on Linux, on other systems, on accelerators."""

MIB: Final = 2**20
"""Bytes."""


LARGEST_SIZE: Final = 2**31
"""Of a block, in rows: no sequence is as long, and an operator takes an int64."""

COARSEST: Final = torch.finfo(torch.bfloat16).eps
"""The spacing to which a kernel may round what it multiplies: that of bfloat16, whatever the queries are stored in."""


def scale_of(function: str, scale: object, *, features: int, dtype: torch.dtype) -> float:
    """What products of queries and keys are multiplied by, in the dtype of scores: one over the root of D, unless told.

    >>> scale_of("streaming_attention", None, features=64, dtype=torch.float32)
    0.125
    """
    if scale is None:
        return float(features**-0.5)
    # A symbol of torch, while a graph is traced: an operator takes a number, so the graph is for this one.
    if isinstance(scale, bool) or not isinstance(scale, Real | torch.SymFloat):
        raise KindError(function, CLAUSE, "scale, a number", f"scale={scale!r}")
    try:
        number = float(scale)
    except OverflowError:
        raise OptionError(function, CLAUSE, "a finite scale", "a number beyond float64") from None
    if not isfinite(number):
        raise OptionError(function, CLAUSE, "a finite scale", f"scale={scale!r}")
    wide = score_dtype(dtype)
    if abs(number) > torch.finfo(wide).max:
        raise OptionError(function, CLAUSE, f"a scale that {wide} holds", f"scale={scale!r}")
    return number


def rows_of(function: str, rows: object) -> int | None:
    """Query rows a block, at least one; None leaves the choice to the algorithm.

    More rows than there are tokens are as many as there are: so many as no sequence has stand for all of them.
    """
    return None if rows is None else min(size_of(function, rows=rows), LARGEST_SIZE)


def size_of(function: str, **named: object) -> int:
    """A number of rows or tokens, at least one."""
    ((name, size),) = named.items()
    if isinstance(size, bool) or not isinstance(size, Integral):
        raise KindError(function, CLAUSE, f"{name}, an int", f"{name}={size!r}")
    if int(size) < 1:
        raise CountError(function, CLAUSE, f"{name} >= 1", f"{name}={size}")
    return int(size)


def lse(function: str, lse: Tensor, *, q: Tensor, check: Check) -> None:
    """A logsumexp is one number a query, in the dtype of scores, on the device of the queries."""
    if check == "none":
        return
    if lse.shape != q.shape[:3]:
        got = f"q {tuple(q.shape)}, lse {tuple(lse.shape)}"
        raise ShapeError(function, CLAUSE, "q and lse with the same batch, heads and tokens", got)
    if lse.dtype != score_dtype(q.dtype):
        got = f"q {q.dtype}, lse {lse.dtype}"
        raise DtypeError(function, "POMT-PREC-1", f"lse in {score_dtype(q.dtype)} beside such queries", got)
    if lse.device != q.device:
        raise DeviceError(function, "POMT-PREC-1", "q and lse on one device", f"q on {q.device}, lse on {lse.device}")


def sums(function: str, sums: Tensor, *, x: Tensor, prefix: int, check: Check) -> None:
    """POMT-ATT-1: one sum a patch key, in the dtype of scores, finite and not negative."""
    if check == "none":
        return
    patches = x.shape[1] - contracts.plain(prefix)
    if not isinstance(sums, Tensor):
        raise KindError(function, CLAUSE, "sums, a torch.Tensor", type(sums).__name__)
    if sums.layout != torch.strided:
        raise KindError(function, CLAUSE, "sums, a dense tensor", f"{sums.layout}")
    if sums.shape != (x.shape[0], patches):
        expected = f"sums of shape ({x.shape[0]}, {patches})"
        raise ShapeError(function, CLAUSE, expected, f"{tuple(sums.shape)}")
    if sums.dtype != score_dtype(x.dtype):
        raise DtypeError(function, "POMT-PREC-1", f"sums in {score_dtype(x.dtype)}", f"{sums.dtype}")
    if sums.device != x.device:
        raise DeviceError(
            function, "POMT-PREC-1", "x and sums on one device", f"x on {x.device}, sums on {sums.device}"
        )
    contracts.finite(function, CLAUSE, sums=sums, check=check)
    if check == "values" and (sums < 0).any():
        raise ValuesError(function, CLAUSE, "sums >= 0", f"{sums.min().item():.9g}")


def at_most_one_a_query(function: str, sums: Tensor, *, q: Tensor, k: Tensor, scale: float, check: Check) -> None:
    """POMT-ATT-1: attention is at most one, so that a sum is at most the number of patch queries, but for rounding.

    A lse that is too small tells itself so: one of another scale, of some of the keys, or none at all.
    """
    if check != "values":
        return
    largest, patches = sums.max().item(), sums.shape[1]
    if largest > patches and log(largest / patches) > log_rounding(q, k, scale=scale):
        expected = f"sums <= N - P = {patches}, as of a natural logarithm over all keys, at this scale"
        raise ValuesError(function, CLAUSE, expected, f"{largest:.9g}")


def log_rounding(q: Tensor, k: Tensor, *, scale: float) -> float:
    r"""How far above zero the logarithm of an entry of attention, or of a mean of such, may be rounded.

    .. math:: \bigl(4 (u + D \epsilon) + 2 \epsilon\bigr) (L + 1) + 2 N \epsilon, \qquad
        L = |\mathrm{scale}| \max_i \|q_i\| \max_j \|k_j\|

    No logit is beyond L. Kernel and tiles compute each once: both factors rounded to a spacing of u, that of bfloat16,
    and D products added at :math:`\epsilon`; that is (u + D epsilon) L twice, doubled for kernels that round twice. The
    lse and the difference round L once each. N exponentials are added in the lse, and N - P in the sum; an
    exponential may be as coarse as u.

    >>> round(log_rounding(torch.ones(1, 1, 2, 4), torch.ones(1, 1, 2, 4), scale=0.5), 4)
    0.0938
    """
    wide = torch.finfo(score_dtype(q.dtype))
    length = [float(torch.linalg.vector_norm(each, dim=-1, dtype=score_dtype(q.dtype)).max()) for each in (q, k)]
    logit = abs(scale) * prod(length)
    coarse = 4 * (COARSEST + q.shape[3] * wide.eps) + 2 * wide.eps
    return coarse * (logit + 1) + 2 * q.shape[2] * wide.eps


def some_attention(function: str, sums: Tensor, *, normalisation: Normalisation, check: Check) -> None:
    """POMT-ATT-2: the largest sum is what the others are divided by, so it cannot be zero."""
    if check != "values":
        return
    nothing = sums.amax(dim=1) == 0
    if normalisation == "batch" and nothing.all():
        expected = "some patch-to-patch attention above zero in the batch"
        raise ValuesError(function, "POMT-ATT-2", expected, f"none in all {len(nothing)} samples")
    if normalisation == "sample" and nothing.any():
        expected = "some patch-to-patch attention above zero in every sample"
        raise ValuesError(function, "POMT-ATT-2", expected, f"none in sample {int(nothing.nonzero()[0])}")


@contextmanager
def within_memory(function: str, buffers: tuple[int, int, int], *, dtype: torch.dtype) -> Iterator[None]:
    """Where memory runs out, say how large the buffers are and which block size to choose: a quarter of it.

    Arguments:
        function: whose error it is.
        buffers: their number, and the rows and columns of each.
        dtype: of what they hold.

    Raises:
        PomtError: memory runs out within.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(words in str(error) for words in NO_MEMORY):
            raise
        number, rows, columns = buffers
        size = prod(buffers) * dtype.itemsize / MIB
        held = f"{number} x {rows} x {columns} numbers in {dtype}, {size:.1f} MiB"
        smaller = f"rows={max(rows // 4, 1)}" if rows > 1 else "fewer samples a call"
        raise MemoryLimitError(function, CLAUSE, f"memory for {held}: choose {smaller}", "none left") from error
