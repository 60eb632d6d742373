"""The public boundary: what a caller may pass, checked once, with messages that name function, clause, expected, got.

``check="values"`` checks everything, ``"shapes"`` all but the values, ``"none"`` options alone. A check of values
costs a few passes over the tensor and, on an accelerator, a synchronisation a question.
"""

from numbers import Integral
from operator import index
from typing import Final, SupportsIndex, cast, get_args

import torch
from torch import Tensor

from pomt_ref.errors import CountError, DeviceError, DtypeError, KindError, OptionError, ShapeError, ValuesError
from pomt_ref.types import Check, Normalisation, score_dtype

DTYPES: Final = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""The floating dtypes of POMT-PREC-1."""

LAYER: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "x": ("POMT-PRUNE-1", ("batch", "tokens", "channels")),
    "attn": ("POMT-ATT-1", ("batch", "heads", "tokens", "tokens")),
    "rows": ("POMT-ATT-1", ("batch", "heads", "queries", "tokens")),
    "logits": ("LIN-1", ("batch", "heads", "tokens", "tokens")),
    "v": ("POMT-MAG-1", ("batch", "heads", "tokens", "features")),
    "q": ("POMT-ATT-1", ("batch", "heads", "tokens", "features")),
    "k": ("POMT-ATT-1", ("batch", "heads", "tokens", "features")),
    "lse": ("POMT-ATT-1", ("batch", "heads", "tokens")),
}
"""The tensors of a layer: the clause that reads each first, and its axes."""

SHARED: Final = {
    ("x", "attn"): {"batch": (0, 0), "tokens": (1, 2)},
    ("attn", "v"): {"batch": (0, 0), "heads": (1, 1), "tokens": (2, 2)},
    ("x", "rows"): {"batch": (0, 0), "tokens": (1, 3)},
    ("rows", "v"): {"batch": (0, 0), "heads": (1, 1), "tokens": (3, 2)},
    ("logits", "v"): {"batch": (0, 0), "heads": (1, 1), "tokens": (2, 2)},
    ("x", "q"): {"batch": (0, 0), "tokens": (1, 2)},
    ("q", "k"): {"batch": (0, 0), "heads": (1, 1), "tokens": (2, 2), "features": (3, 3)},
    ("q", "v"): {"batch": (0, 0), "heads": (1, 1), "tokens": (2, 2)},
}
"""The axes that two of them have in common, with their places in each."""

LARGEST_PREFIX: Final = 2**31
"""Of an order without its sequence: an index of a row is an int64, and no sequence is as long."""

ROW_SUM_ROUNDINGS: Final = 8
"""Roundings in storage precision that a row of attention may be off by in common: exponential, sum, quotient and
store are four, and as many again for kernels that round twice."""


def options(function: str, *, check: Check, normalisation: Normalisation = "batch") -> None:
    """Options are words from a list; they are checked whatever ``check`` says."""
    if not _word(check, get_args(Check)):
        raise OptionError(function, "POMT-PRUNE-1", f"check in {get_args(Check)}", f"check={check!r}")
    if not _word(normalisation, get_args(Normalisation)):
        expected = f"normalisation in {get_args(Normalisation)}"
        raise OptionError(function, "POMT-ATT-2", expected, f"normalisation={normalisation!r}")


def _word(option: object, words: tuple[str, ...]) -> bool:
    """Whether an option is one of the words; an array is none, and cannot be asked."""
    return isinstance(option, str) and option in words


def one_of(function: str, *, keep: int | None, remove: int | None) -> None:
    """POMT-COUNT-1: T and R determine each other; exactly one of them is given."""
    if (keep is None) == (remove is None):
        raise OptionError(function, "POMT-COUNT-1", "exactly one of keep and remove", f"keep={keep}, remove={remove}")


def layer(
    function: str, *, prefix: int, check: Check, normalisation: Normalisation | None = None, **tensors: Tensor
) -> None:
    """POMT-PRUNE-1: x, attn and v of one layer, or some of them: their shapes, what they share, their values.

    With a normalisation, POMT-ATT-2 needs some patch-to-patch attention to divide by.
    """
    if check == "none":
        return
    for name, tensor in tensors.items():
        clause, axes = LAYER[name]
        _shape(function, clause, name, tensor, axes, prefix=prefix)
    for (one, other), places in SHARED.items():
        if one in tensors and other in tensors:
            _same(function, (one, tensors[one]), (other, tensors[other]), axes=places)
    if check == "shapes":
        return
    for name, tensor in tensors.items():
        _readable(function, name, tensor)
        finite(function, LAYER[name][0], check=check, **{name: tensor})
    for name in tensors.keys() & {"attn", "rows"}:
        _distribution(function, tensors[name])
    if normalisation is not None:
        _some_patch_attention(function, tensors["attn"], prefix=prefix, normalisation=normalisation)


def scores(function: str, scores: Tensor, *, prefix: int, check: Check) -> None:
    """POMT-RANK-1: scores are (batch, patches), and finite: what is not has no place in an order."""
    if check == "none":
        return
    _tensor(function, "POMT-RANK-1", "scores", scores, ("batch", "patches"))
    _integer(function, "POMT-RANK-1", "prefix", prefix)
    if not 0 <= prefix <= LARGEST_PREFIX:
        expected = "prefix >= 0" if prefix < 0 else f"prefix <= {LARGEST_PREFIX}"
        raise CountError(function, "POMT-RANK-1", expected, f"prefix={prefix}")
    if check == "values":
        _readable(function, "scores", scores)
    finite(function, "POMT-RANK-1", scores=scores, check=check)


def keep_count(function: str, keep: int, *, tokens: int, prefix: int, clause: str, check: Check) -> None:
    """POMT-PRUNE-1: at least one patch token is discarded, and none more than there are is kept."""
    if check == "none":
        return
    _integer(function, clause, "keep", keep)
    most = tokens - plain(prefix) - 1
    if not 0 <= keep <= most:
        raise CountError(function, clause, f"0 <= keep <= {most}", f"keep={keep} (tokens={tokens}, prefix={prefix})")


def remove_count(function: str, remove: int, *, tokens: int, prefix: int, appended: int, check: Check) -> None:
    """POMT-COUNT-1: the sequence gets shorter by at least one; R = 0 is the unpruned sequence, not a step."""
    if check == "none":
        return
    _integer(function, "POMT-COUNT-1", "remove", remove)
    most = tokens - plain(prefix) - appended
    if not 1 <= remove <= most:
        got = f"remove={remove} (tokens={tokens}, prefix={prefix})"
        expected = f"1 <= remove <= {most}" if most else f"at least {appended + 1} patch tokens to remove any"
        raise CountError(function, "POMT-COUNT-1", expected, got)


def class_row(function: str, class_index: int, *, prefix: int, check: Check) -> None:
    """SIB-1: the siblings need a class token, and it is one of the prefix rows."""
    if check == "none":
        return
    if prefix < 1:
        raise CountError(function, "SIB-1", "prefix >= 1", f"prefix={prefix}")
    _integer(function, "SIB-1", "class_index", class_index)
    if not 0 <= class_index < prefix:
        raise CountError(function, "SIB-1", f"0 <= class_index <= {prefix - 1}", f"class_index={class_index}")


def plain(count: SupportsIndex) -> int:
    """A NumPy integer as the int that it stands for, so that sums do not overflow; a symbolic one stays symbolic.

    >>> import numpy
    >>> plain(numpy.int8(100)) + 100
    200
    """
    # A symbolic integer stands where an int does, and must not be asked for its value.
    return cast("int", count) if isinstance(count, torch.SymInt) else index(count)


def finite(function: str, clause: str, *, check: Check, **named: Tensor) -> None:
    """No NaN and no infinity, neither in what comes in nor in what goes out."""
    if check != "values":
        return
    for name, tensor in named.items():
        # One end of the numbers is what is not finite, or NaN; to ask every number takes several times as long.
        if not tensor.amin().isfinite() & tensor.amax().isfinite():
            raise ValuesError(function, clause, f"finite {name}", _first(name, tensor, ~tensor.isfinite()))


def _tensor(function: str, clause: str, name: str, tensor: Tensor, axes: tuple[str, ...]) -> None:
    """A floating tensor with these axes, none of them empty."""
    expected = f"{name} of shape ({', '.join(axes)})"
    if not isinstance(tensor, Tensor):
        raise KindError(function, clause, f"{name}, a torch.Tensor", f"{type(tensor).__name__}")
    if tensor.layout != torch.strided or tensor.is_nested:
        kind = "a nested tensor" if tensor.is_nested else f"{tensor.layout}"
        raise KindError(function, clause, f"{name}, a dense tensor", kind)
    if tensor.dtype not in DTYPES:
        raise DtypeError(function, "POMT-PREC-1", f"{name} in float16, bfloat16, float32 or float64", f"{tensor.dtype}")
    if tensor.ndim != len(axes):
        raise ShapeError(function, clause, expected, f"{tuple(tensor.shape)}")
    if 0 in tensor.shape:
        raise ShapeError(function, clause, f"{expected}, no axis empty", f"{tuple(tensor.shape)}")


def _readable(function: str, name: str, tensor: Tensor) -> None:
    """A meta tensor has shapes and no values."""
    if tensor.is_meta:
        raise DeviceError(function, "POMT-PREC-1", f'{name} with values, or check="shapes"', "a meta tensor")


def _integer(function: str, clause: str, name: str, value: object) -> None:
    """An integer; a bool is none, since ``keep=True`` is a slip."""
    if isinstance(value, bool) or not isinstance(value, (Integral, torch.SymInt)):
        raise KindError(function, clause, f"{name}, an int", f"{name}={value!r}")


def _shape(function: str, clause: str, name: str, tensor: Tensor, axes: tuple[str, ...], *, prefix: int) -> None:
    """A tensor with these axes, square where an axis comes twice, in which the prefix leaves a patch token."""
    _tensor(function, clause, name, tensor, axes)
    tokens = axes.index("tokens")
    if axes.count("tokens") > 1 and tensor.shape[tokens] != tensor.shape[tokens + 1]:
        raise ShapeError(function, clause, f"{name} of shape ({', '.join(axes)})", f"{tuple(tensor.shape)}")
    _integer(function, clause, "prefix", prefix)
    count = tensor.shape[tokens]
    if not 0 <= prefix <= count - 1:
        raise CountError(function, clause, f"0 <= prefix <= {count - 1}", f"prefix={prefix} (tokens={count})")


def _same(
    function: str, first: tuple[str, Tensor], second: tuple[str, Tensor], *, axes: dict[str, tuple[int, int]]
) -> None:
    """Two inputs with one dtype, one device, and these axes in common."""
    (one, a), (other, b) = first, second
    if a.dtype != b.dtype:
        got = f"{one} {a.dtype}, {other} {b.dtype}"
        raise DtypeError(function, "POMT-PREC-1", f"{one} and {other} of one dtype", got)
    if a.device != b.device:
        got = f"{one} on {a.device}, {other} on {b.device}"
        raise DeviceError(function, "POMT-PREC-1", f"{one} and {other} on one device", got)
    for axis, (i, j) in axes.items():
        if a.shape[i] != b.shape[j]:
            got = f"{one} {tuple(a.shape)}, {other} {tuple(b.shape)}"
            raise ShapeError(function, "POMT-PRUNE-1", f"{one} and {other} with the same {axis}", got)


def _distribution(function: str, attn: Tensor) -> None:
    """POMT-ATT-1: no negative attention; every row sums to one within the rounding of its dtype and of the sum."""
    if attn.amin() < 0:
        raise ValuesError(function, "POMT-ATT-1", "attn >= 0", _first("attn", attn, attn < 0))
    row_sums = attn.sum(dim=-1, dtype=score_dtype(attn.dtype))
    # Attention in float64 is often float32 attention converted, so it gets the rounding of float32.
    stored, summed = (torch.finfo(torch.float32 if d == torch.float64 else d) for d in (attn.dtype, row_sums.dtype))
    slack = ROW_SUM_ROUNDINGS * stored.eps / 2 + attn.shape[-1] * (summed.eps + stored.smallest_normal * stored.eps)
    off = (row_sums - 1).abs() > slack
    if off.any():
        expected = f"rows of attn that sum to 1 +- {slack:.1e}"
        raise ValuesError(function, "POMT-ATT-1", expected, _first("sum", row_sums, off))


def _some_patch_attention(function: str, attn: Tensor, *, prefix: int, normalisation: Normalisation) -> None:
    """POMT-ATT-2: the largest sum is what the others are divided by, so it cannot be zero."""
    nothing = attn[:, :, prefix:, prefix:].amax(dim=(1, 2, 3)) == 0
    if normalisation == "batch" and nothing.all():
        expected = "some patch-to-patch attention above zero in the batch"
        raise ValuesError(function, "POMT-ATT-2", expected, f"none in all {len(nothing)} samples")
    if normalisation == "sample" and nothing.any():
        expected = "some patch-to-patch attention above zero in every sample"
        raise ValuesError(function, "POMT-ATT-2", expected, f"none in sample {int(nothing.nonzero()[0])}")


def _first(name: str, tensor: Tensor, wrong: Tensor) -> str:
    """Echo the first value that is wrong, and where it stands."""
    place = tuple(wrong.nonzero()[0].tolist())
    return f"{name}[{', '.join(map(str, place))}] = {tensor[place].item():.9g}"
