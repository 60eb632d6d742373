"""Patch tokens back to their places, for models that read a map: segmentation, depth, features by position.

A pruned sequence is the P prefix rows, the T kept rows in rank order and, for POMT and EViT, one row for all the
others. ``kept`` and ``discarded`` say where its rows came from (:class:`pomt_ref.Pruned`, and the steps of a
:class:`pomt_ref.vision.patching.PatchedModel`).
"""

from typing import Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pomt_ref import contracts
from pomt_ref.errors import CountError, DeviceError, KindError, OptionError, ShapeError, ValuesError
from pomt_ref.types import Check

CLAUSE: Final = "POMT-PRUNE-4"
"""Indices refer to the input sequence, prefix included; together they are the patch rows, each once."""


def restore_order(
    x: Float[Tensor, "batch output channels"],
    kept: Int[Tensor, "batch keep"],
    *,
    prefix: int = 1,
    check: Check = "values",
) -> Float[Tensor, "batch output channels"]:
    """POMT-PRUNE-4: the kept rows in the order in which they stood, instead of the order of their rank.

    Arguments:
        x: a pruned sequence, or what later layers made of it: P + T rows, or P + T + 1.
        kept: the input rows that were kept, in rank order, in [P, N).
        prefix: number P of prefix rows.
        check: ``"values"`` checks shapes and indices, ``"shapes"`` shapes alone, ``"none"`` nothing.

    Returns:
        the same rows, bit-exact: prefix rows and the appended row, where there is one, stay in their places.

    Raises:
        PomtError: a sequence and indices that do not belong together.

    >>> x = torch.tensor([[[9.0], [3.0], [1.0], [7.5]]])
    >>> restore_order(x, torch.tensor([[3, 1]])).flatten()
    tensor([9.0000, 1.0000, 3.0000, 7.5000])
    """
    contracts.options("restore_order", check=check)
    _belong("restore_order", x, prefix=prefix, check=check, kept=kept)
    rows = prefix + kept.argsort(dim=1)
    ordered = x.gather(1, rows.unsqueeze(-1).expand(-1, -1, x.shape[2]))
    return torch.cat([x[:, :prefix], ordered, x[:, prefix + kept.shape[1] :]], dim=1)


def dense_scatter(
    x: Float[Tensor, "batch output channels"],
    kept: Int[Tensor, "batch keep"],
    discarded: Int[Tensor, "batch discarded"],
    *,
    prefix: int = 1,
    fill: float | None = None,
    check: Check = "values",
) -> Float[Tensor, "batch tokens channels"]:
    """POMT-PRUNE-4: one row for every input token again, each kept row in the place that it came from.

    Arguments:
        x: as for :func:`restore_order`.
        kept: as for :func:`restore_order`.
        discarded: the other patch rows, in [P, N).
        prefix: number P of prefix rows.
        fill: what stands in the place of a discarded row; ``None`` puts the appended row there, which stands for them.
        check: as for :func:`restore_order`.

    Returns:
        N rows: the prefix, then the patches as they stand in the image. After several steps the last is undone first.

    Raises:
        PomtError: a sequence and indices that do not belong together; no ``fill`` where no row was appended (Top-K).

    >>> x = torch.tensor([[[9.0], [3.0], [1.0], [7.5]]])
    >>> dense_scatter(x, torch.tensor([[3, 1]]), torch.tensor([[4, 2]])).flatten()
    tensor([9.0000, 1.0000, 7.5000, 3.0000, 7.5000])
    """
    contracts.options("dense_scatter", check=check)
    _belong("dense_scatter", x, prefix=prefix, check=check, kept=kept, discarded=discarded)
    last = prefix + kept.shape[1]
    _fill(fill, x.dtype)
    if fill is None and x.shape[1] == last:
        raise OptionError("dense_scatter", CLAUSE, "fill, a number, where no row was appended", "fill=None")
    one_row = x[:, last:] if fill is None else torch.full_like(x[:, :1], fill)
    rows = torch.cat([kept, discarded], dim=1)
    patches = torch.cat([x[:, prefix:last], one_row.expand(-1, discarded.shape[1], -1)], dim=1)
    origin = rows.argsort(dim=1).unsqueeze(-1).expand(-1, -1, x.shape[2])
    return torch.cat([x[:, :prefix], patches.gather(1, origin)], dim=1)


def _fill(fill: object, dtype: torch.dtype) -> None:
    """Nothing, or a number that a row can hold."""
    if fill is None:
        return
    if isinstance(fill, bool) or not isinstance(fill, int | float):
        raise KindError("dense_scatter", CLAUSE, "fill, a number or None", f"fill={fill!r}")
    if dtype.is_floating_point and not abs(fill) <= torch.finfo(dtype).max:
        raise ValuesError("dense_scatter", CLAUSE, f"fill, a number that {dtype} holds", f"fill={fill!r:.20}")


def _belong(function: str, x: Tensor, *, prefix: int, check: Check, **rows: Tensor) -> None:
    """A sequence of P + T rows or one more, and indices of rows after the prefix, each at most once."""
    if check == "none":
        return
    _sequence(function, x, prefix=prefix)
    for name, indices in rows.items():
        _indices(function, name, indices, x)
    lengths = [prefix + rows["kept"].shape[1] + appended for appended in (0, 1)]
    if x.shape[1] not in lengths:
        expected = f"x of {lengths[0]} or {lengths[1]} rows (prefix={prefix}, kept {tuple(rows['kept'].shape)})"
        raise ShapeError(function, CLAUSE, expected, f"x {tuple(x.shape)}")
    if check == "shapes":
        return
    ordered = torch.cat(list(rows.values()), dim=1).sort(dim=1).values
    if "discarded" in rows:
        wrong = ordered != torch.arange(prefix, prefix + ordered.shape[1], device=ordered.device)
        expected = f"every patch row from {prefix} to {prefix + ordered.shape[1] - 1} once"
    else:
        wrong = torch.cat([ordered[:, :1] < prefix, ordered[:, 1:] == ordered[:, :-1]], dim=1)
        expected = f"rows of patches, {prefix} or above, each once"
    if wrong.any():
        sample = int(wrong.any(dim=1).nonzero()[0])
        raise ValuesError(function, CLAUSE, f"{' and '.join(rows)}: {expected}", f"{ordered[sample].tolist()}")


def _sequence(function: str, x: Tensor, *, prefix: int) -> None:
    """Three axes and an integer number of prefix rows among them."""
    if not isinstance(x, Tensor):
        raise KindError(function, CLAUSE, "x, a torch.Tensor", type(x).__name__)
    if x.ndim != 3:  # noqa: PLR2004 -- batch, tokens, channels
        raise ShapeError(function, CLAUSE, "x of shape (batch, tokens, channels)", f"{tuple(x.shape)}")
    if isinstance(prefix, bool) or not isinstance(prefix, int):
        raise KindError(function, CLAUSE, "prefix, an int", f"prefix={prefix!r}")
    if not 0 <= prefix <= x.shape[1]:
        raise CountError(function, CLAUSE, f"0 <= prefix <= {x.shape[1]}", f"prefix={prefix} (x {tuple(x.shape)})")


def _indices(function: str, name: str, given: object, x: Tensor) -> None:
    """Integers, a row of them for every sample, on the device of the sequence."""
    indices = given
    if not isinstance(indices, Tensor) or indices.dtype != torch.int64:
        got = f"{name} {indices.dtype}" if isinstance(indices, Tensor) else type(indices).__name__
        raise KindError(function, CLAUSE, f"{name}, an int64 tensor", got)
    if indices.ndim != 2 or len(indices) != len(x):  # noqa: PLR2004 -- batch, rows
        expected = f"{name} of shape ({len(x)}, rows), as x has {len(x)} samples"
        raise ShapeError(function, CLAUSE, expected, f"{tuple(indices.shape)}")
    if indices.device != x.device:
        got = f"{name} on {indices.device}, x on {x.device}"
        raise DeviceError(function, CLAUSE, f"{name} and x on one device", got)
