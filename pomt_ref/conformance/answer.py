"""What an implementation answered, read part by part: its output, its indices, its stages, or what it raised."""

import traceback
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from pomt_ref.conformance.arrays import as_tensor
from pomt_ref.conformance.errors import SubjectFailedError

NOWHERE: Final = 1_000
"""The place of what an answer that is a tuple does not hold."""

SCORES: Final = 3
"""The place of the scores in an answer that is a tuple: after output, kept and discarded."""

STAGES: Final = ("head_maximum", "sums", "attention", "value_sums", "magnitude", "scores")
"""Fields of an answer that are held against the oracle where they are offered, by their names in pomt_ref.Trace."""


def part(answer: object, name: str, position: int) -> object:
    """A named or positional part of an answer; the output itself if the answer is a bare array."""
    try:
        if isinstance(answer, tuple) and not hasattr(answer, name):
            return answer[position] if position < len(answer) else None
        return getattr(answer, name, answer if position == 0 else None)
    except Exception as error:
        raise SubjectFailedError(f"returned an object whose {name} cannot be read: {told(error)}") from error


def stages(answer: object) -> dict[str, Float64[np.ndarray, "..."]]:
    """The stages that an answer offers; what is offered under the name of a stage has to be one."""
    found = {}
    for name in STAGES:
        stage = part(answer, name, SCORES if name == "scores" else NOWHERE)
        if stage is None:
            continue
        tensor = as_tensor(stage)
        if tensor is None:
            raise SubjectFailedError(f"offers {name} as {kind(stage)}, expected an array")
        found[name] = to_numpy(tensor)
    return found


def indices(answer: object, name: str, position: int, shape: tuple[int, int]) -> Int64[np.ndarray, "..."] | None:
    """Offered indices as int64, None if there are none: a tuple may hold something of another shape in that place."""
    found = part(answer, name, position)
    tensor = as_tensor(found)
    if tensor is not None and not tensor.is_floating_point():
        return to_numpy(tensor).astype(np.int64)
    of_their_shape = tensor is not None and tuple(tensor.shape) == shape and tensor.numel() > 0
    if found is not None and (hasattr(answer, name) or of_their_shape):
        if tensor is not None:
            raise SubjectFailedError(f"offers {name} in {tensor.dtype}, expected an array of integers")
        raise SubjectFailedError(f"offers {name} as {kind(found)}, expected an array of integers")
    return None


def to_numpy(tensor: Tensor) -> Float64[np.ndarray, "..."]:
    """Convert to float64 without loss, into memory of its own: an implementation may use its output again."""
    try:
        array: Float64[np.ndarray, "..."] = tensor.detach().to("cpu", torch.float64, copy=True).numpy()
    except (RuntimeError, TypeError) as error:
        raise SubjectFailedError(f"returned a tensor that cannot be read: {told(error)}") from error
    return array


def same_bits(one: Float64[np.ndarray, "..."], other: Float64[np.ndarray, "..."]) -> bool:
    """Whether two arrays are equal as integers."""
    return one.tobytes() == other.tobytes()


def kind(answer: object) -> str:
    """The type of an answer that is none; of a tuple, the type of what should have been the output."""
    name = "None" if answer is None else f"{type(answer).__module__}.{type(answer).__qualname__}"
    name = name.removeprefix("builtins.")
    return f"{name} that begins with {kind(answer[0])}" if isinstance(answer, tuple) and answer else name


def place(error: BaseException) -> str:
    """The line of the implementation that raised, or that called what raised within torch, if there is one."""
    inside = Path(torch.__file__).parent
    called = traceback.extract_tb(error.__traceback__)[1:]  # the first is the call itself
    lines = [line for line in called if inside not in Path(line.filename).parents]
    return f" ({Path(lines[-1].filename).name}:{lines[-1].lineno})" if lines else ""


def told(error: BaseException) -> str:
    """An error on one line."""
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # noqa: BLE001 -- an error that cannot say what it is
        lines = ["a message that cannot be read"]
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
