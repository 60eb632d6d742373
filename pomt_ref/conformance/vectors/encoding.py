"""Tensors as the bytes of a safetensors file: the same bytes whatever version of a library is installed.

The format is a length, a JSON header that says where every tensor lies, and the tensors, little-endian. Libraries
write it too, in an order of their own that changes between versions; so it is written here, and read by a library.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Float64, Int64, UInt8
from safetensors import SafetensorError, safe_open
from torch import Tensor

from pomt_ref.conformance.vectors.errors import Fault, VectorsError
from pomt_ref.conformance.vectors.vector import Stored

Array = Float64[np.ndarray, "..."] | Int64[np.ndarray, "..."] | UInt8[np.ndarray, "..."]

CODES: Final[Mapping[Stored, str]] = {
    "float16": "F16",
    "bfloat16": "BF16",
    "float32": "F32",
    "float64": "F64",
    "int64": "I64",
    "uint8": "U8",
}
"""The format's words for dtypes."""

ALIGNMENT: Final = 8
"""Bytes: the data begin at a multiple of it, so that every tensor lies where its dtype may lie in memory."""


def pack(tensors: Mapping[str, tuple[Stored, Array]], metadata: Mapping[str, str]) -> bytes:
    r"""The file: wide dtypes first, then by name.

    >>> file = pack({"y": ("float16", np.array([1.0])), "x": ("uint8", np.array([7], np.uint8))}, {})
    >>> int.from_bytes(file[:8], "little"), file[8:41], file[-3:]
    (128, b'{"__metadata__":{},"y":{"dtype":"', b'\x00<\x07')
    """
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    data = b""
    for name, (dtype, array) in sorted(tensors.items(), key=lambda named: _place(*named)):
        stored = _encode(array, dtype)
        offsets = [len(data), len(data) + len(stored)]
        header[name] = {"dtype": CODES[dtype], "shape": list(array.shape), "data_offsets": offsets}
        data += stored
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    return len(text).to_bytes(8, "little") + text + data


def unpack(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and metadata of a file.

    Raises:
        VectorsError: no such file, or one that is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118 -- it is no mapping
    except (OSError, SafetensorError) as error:
        raise VectorsError([Fault(f"{path}", "a safetensors file", f"{error}")]) from error


def widened(tensor: Tensor) -> Array:
    """A tensor as the array that stands for it here: floats as float64, exactly; whole numbers as they are."""
    array: Array = (tensor.to(torch.float64) if tensor.is_floating_point() else tensor).numpy()
    return array


def dtype_of(tensor: Tensor) -> str:
    """The dtype by its name."""
    return str(tensor.dtype).removeprefix("torch.")


def _place(name: str, typed: tuple[Stored, Array]) -> tuple[int, str]:
    """Where a tensor comes in the file."""
    widths = {"float16": 2, "bfloat16": 2, "float32": 4, "uint8": 1}
    return -widths.get(typed[0], 8), name


def _encode(array: Array, dtype: Stored) -> bytes:
    """Numbers that the dtype can represent, little-endian."""
    if dtype == "bfloat16":  # the upper half of a float32
        return (array.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
    return array.astype(np.dtype(dtype).newbyteorder("<")).tobytes()
