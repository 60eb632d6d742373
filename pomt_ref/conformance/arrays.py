"""Arrays of other frameworks: what an implementation is given, and what it gives back, as torch tensors."""

import inspect
import re
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final, Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from pomt_ref.conformance.errors import SubjectError, SubjectFailedError

Framework = Literal["torch", "numpy", "jax"]
"""Whose arrays an implementation is called with; it may return those of any framework that speaks DLPack."""

FRAMEWORKS: Final[tuple[Framework, ...]] = get_args(Framework)


def framework_of(function: Callable[..., Any]) -> Framework:
    """The framework that the annotation of the first parameter names; torch where there is none.

    >>> def kernel(x: np.ndarray, attn, v, *, prefix, keep): ...
    >>> framework_of(kernel)
    'numpy'
    """
    try:
        first = next(iter(inspect.signature(function).parameters.values()))
    except Exception:  # noqa: BLE001 -- a builtin has none, and an object may have a strange one
        return "torch"
    if first.annotation is inspect.Parameter.empty:
        return "torch"
    # numpy.ndarray, NumPy's alias NDArray, jax.Array, the same words in quotes, or what jaxtyping wraps around them.
    annotation = getattr(first.annotation, "array_type", first.annotation)
    words = re.findall(r"\w+", f"{getattr(annotation, '__module__', '')} {annotation}")
    named: tuple[Framework, ...] = tuple(name for name in FRAMEWORKS[1:] if name in words or f"{name}lib" in words)
    return named[0] if named else "torch"


def require_framework(subject: str, framework: str, dtype: str) -> None:
    """Tell a framework that is not there, or that has no such dtype, before the first case.

    Raises:
        SubjectError: one of the two.
    """
    if framework not in FRAMEWORKS:
        raise SubjectError(subject, f"arrays of {', '.join(FRAMEWORKS)}", f"{framework}")
    if framework == "numpy" and dtype == "bfloat16":
        raise SubjectError(subject, "a dtype that NumPy has", "bfloat16")
    try:
        import_module(framework)
    except ImportError as error:
        raise SubjectError(subject, f"the package {framework}", f"{type(error).__name__}: {error}") from error


def given(tensor: Tensor, framework: Framework) -> Any:  # noqa: ANN401 -- an array of another framework
    """The tensor as an array of the framework; NumPy's shares its memory, so that a change in place is seen."""
    if framework == "numpy":
        return tensor.numpy()
    if framework == "jax":
        return import_module("jax.numpy").from_dlpack(tensor)
    return tensor


def as_tensor(answer: object) -> Tensor | None:
    """What came back as a torch tensor, sharing its memory where that can be; None if it is no array at all."""
    if isinstance(answer, Tensor):
        return answer
    try:
        if isinstance(answer, np.ndarray):
            # Negative strides and read-only memory are NumPy's own: torch needs a copy of those.
            plain = answer.flags.writeable and all(stride >= 0 for stride in answer.strides)
            return torch.from_numpy(answer if plain else answer.copy())
        if hasattr(answer, "__dlpack__"):
            return from_dlpack(answer)
        if hasattr(answer, "__array__"):
            return torch.from_numpy(np.array(answer))
    except Exception as error:
        told = str(error).strip().partition("\n")[0]
        raise SubjectFailedError(f"returned an array that cannot be read: {type(error).__name__}: {told}") from error
    return None


def view_of(tensor: Tensor, inputs: dict[str, Tensor]) -> str:
    """The name of the input whose memory an output lies in; empty if it has memory of its own."""
    for name, source in inputs.items():
        memory = source.untyped_storage()
        if tensor.device == source.device and 0 <= tensor.data_ptr() - memory.data_ptr() < memory.nbytes():
            return name
    return ""
