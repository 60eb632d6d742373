"""An implementation under check: any callable on torch tensors, made to answer in the terms of the laws."""

import inspect
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from pomt_ref.conformance.errors import NoTensorError, SubjectError, SubjectFailedError
from pomt_ref.testing import Case, Gradients, Method, Outcome

TENSORS: Final[Mapping[Method, tuple[str, ...]]] = {
    "pomt": ("x", "attn", "v"),
    "topk": ("x", "attn"),
    "evit": ("x", "attn"),
}
"""The tensors that an implementation of each method is called with, by position."""

OPTIONS: Final = ("normalisation", "normalise", "class_index", "remove")
"""Options of the clauses that an implementation may offer and the laws then use."""

OUTPUT: Final = "a torch.Tensor, a tuple that begins with one, or an object that has one as tokens"
"""What an implementation may return, in the words of a message."""

STAGES: Final = ("sums", "attention", "value_sums", "magnitude", "scores")
"""Fields of an answer that are held against the oracle where they are offered, by their names in pomt_ref.Trace."""


@dataclass(frozen=True)
class TorchSubject:
    """A callable ``(x, attn, v, *, prefix, keep)``; Top-K and EViT are called without v.

    It answers with the output tensor; with a tuple that begins with output, kept, discarded; or with an object that
    has ``tokens`` and, if it likes, ``kept``, ``discarded`` and stages, as ``pomt_ref.Pruned`` does.
    """

    function: Callable[..., Any]
    name: str
    method: Method = "pomt"
    device: str = "cpu"

    def options(self) -> frozenset[str]:
        """The options that the callable names in its signature."""
        return frozenset(OPTIONS) & frozenset(_parameters(self.function))

    def run(self, case: Case, **options: str | int | bool) -> Outcome:
        """Call the implementation on fresh tensors, and read what it answers."""
        inputs = self.inputs(case)
        answer = self._call(case, inputs, options)
        tokens = self._tokens(answer)
        changed = tuple(
            name for name, tensor in inputs.items() if not _same_bits(_to_numpy(tensor), getattr(case, name))
        )
        return Outcome(
            tokens=_to_numpy(tokens),
            dtype=str(tokens.dtype).removeprefix("torch."),
            same_device=tokens.device == inputs["x"].device,
            changed_inputs=changed,
            kept=_indices(_part(answer, "kept", 1)),
            discarded=_indices(_part(answer, "discarded", 2)),
            stages=_stages(answer),
        )

    def gradients(self, case: Case, weights: Float64[np.ndarray, "batch output channels"]) -> Gradients | None:
        """Differentiate the weighted sum of the output; None if the output carries no gradient."""
        inputs = {name: tensor.requires_grad_() for name, tensor in self.inputs(case).items()}
        tokens = self._tokens(self._call(case, inputs, {}))
        if not tokens.requires_grad:
            return None
        try:
            (tokens * torch.as_tensor(weights).to(tokens)).sum().backward()
        except Exception as error:
            raise SubjectFailedError(f"raised in the backward pass {_told(error)}") from error
        found = {name: None if tensor.grad is None else _to_numpy(tensor.grad) for name, tensor in inputs.items()}
        return Gradients(found["x"], found["attn"], found.get("v"))

    def inputs(self, case: Case) -> dict[str, Tensor]:
        """The tensors of a case, in its dtype, on the device."""
        dtype = getattr(torch, case.dtype)
        arrays = {name: getattr(case, name).copy() for name in TENSORS[self.method]}
        return {name: torch.from_numpy(array).to(dtype).to(self.device) for name, array in arrays.items()}

    def _call(self, case: Case, inputs: Mapping[str, Tensor], options: Mapping[str, str | int | bool]) -> Any:  # noqa: ANN401 -- an answer may be anything
        """Call it; whatever it raises is its answer, an attempt to exit too."""
        count = {} if "remove" in options else {"keep": case.shape.keep}
        try:
            return self.function(*inputs.values(), prefix=case.shape.prefix, **count, **options)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise SubjectFailedError(f"raised {_told(error)}{_place(error)}") from error

    def _tokens(self, answer: object) -> Tensor:
        """The output among what came back."""
        tokens = _part(answer, "tokens", 0)
        if not isinstance(tokens, Tensor):
            raise NoTensorError(_kind(answer), OUTPUT)
        if not tokens.is_floating_point():
            raise SubjectFailedError(f"returned a tensor of {tokens.dtype}, expected a floating one")
        return tokens


def load_subject(path: str, *, method: Method = "pomt", device: str = "cpu") -> TorchSubject:
    """Import ``package.module:attribute``.

    Raises:
        SubjectError: the path, the module, the attribute or the signature is wrong; one line says which.
    """
    module_name, colon, attribute = path.partition(":")
    if not colon or not module_name or not attribute:
        raise SubjectError(path, "package.module:attribute", f"{path!r}")
    try:
        found: Any = import_module(module_name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise SubjectError(path, f"a module {module_name} that can be imported", _told(error)) from error
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except Exception as error:
            raise SubjectError(path, f"an attribute {attribute} of {module_name}", _told(error)) from error
    return as_subject(found, name=path, method=method, device=device)


def as_subject(function: object, *, name: str, method: Method = "pomt", device: str = "cpu") -> TorchSubject:
    """Make a subject of a callable, after a look at its signature.

    Raises:
        SubjectError: not callable, or not callable as ``(x, attn, v, *, prefix, keep)``.
    """
    wanted = f"a callable ({', '.join(TENSORS[method])}, *, prefix, keep)"
    if not callable(function):
        raise SubjectError(name, wanted, f"{type(function).__name__}")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return TorchSubject(function, name, method, device)  # a builtin tells nothing of itself; the first call will
    try:
        signature.bind(*TENSORS[method], prefix=1, keep=1)
    except TypeError as error:
        raise SubjectError(name, wanted, f"{signature}: {error}") from error
    return TorchSubject(function, name, method, device)


def _parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of the parameters, none if the callable does not tell."""
    try:
        return tuple(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return ()


def _part(answer: object, name: str, position: int) -> object:
    """A named or positional part of an answer; the output itself if the answer is a bare tensor."""
    if isinstance(answer, tuple) and not hasattr(answer, name):
        return answer[position] if position < len(answer) else None
    return getattr(answer, name, answer if position == 0 else None)


def _stages(answer: object) -> dict[str, Float64[np.ndarray, "..."]]:
    """The stages that an answer offers; what is offered under the name of a stage has to be one."""
    found = {}
    for name in STAGES:
        stage = getattr(answer, name, None)
        if stage is not None and not isinstance(stage, Tensor):
            raise SubjectFailedError(f"offers {name} as {_kind(stage)}, expected a torch.Tensor")
        if stage is not None:
            found[name] = _to_numpy(stage)
    return found


def _indices(found: object) -> np.ndarray | None:
    """Offered indices as int64, None if there are none: a tuple may hold something else in that place."""
    if not isinstance(found, Tensor) or found.is_floating_point():
        return None
    return _to_numpy(found).astype(np.int64)


def _to_numpy(tensor: Tensor) -> Float64[np.ndarray, "..."]:
    """Convert to float64 without loss, into memory of its own: an implementation may use its output again."""
    try:
        array: Float64[np.ndarray, "..."] = tensor.detach().to("cpu", torch.float64, copy=True).numpy()
    except (RuntimeError, TypeError) as error:
        raise SubjectFailedError(f"returned a tensor that cannot be read: {_told(error)}") from error
    return array


def _same_bits(one: Float64[np.ndarray, "..."], other: Float64[np.ndarray, "..."]) -> bool:
    """Whether two arrays are equal as integers."""
    return one.tobytes() == other.tobytes()


def _kind(answer: object) -> str:
    """The type of an answer that is none; of a tuple, the type of what should have been the output."""
    kind = "None" if answer is None else f"{type(answer).__module__}.{type(answer).__qualname__}"
    kind = kind.removeprefix("builtins.")
    return f"{kind} that begins with {_kind(answer[0])}" if isinstance(answer, tuple) and answer else kind


def _place(error: BaseException) -> str:
    """The line of the implementation that raised, or that called what raised within torch, if there is one."""
    inside = Path(torch.__file__).parent
    called = traceback.extract_tb(error.__traceback__)[1:]  # the first is the call itself
    lines = [line for line in called if inside not in Path(line.filename).parents]
    return f" ({Path(lines[-1].filename).name}:{lines[-1].lineno})" if lines else ""


def _told(error: BaseException) -> str:
    """An error on one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
