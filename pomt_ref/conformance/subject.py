"""An implementation under check: any callable on torch tensors, made to answer in the terms of the laws."""

import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from pomt_ref.conformance.answer import STAGES, indices, kind, part, place, same_bits, stages, to_numpy, told
from pomt_ref.conformance.arrays import Framework, as_tensor, given, view_of
from pomt_ref.conformance.call import TimeLimitError, Watch
from pomt_ref.conformance.errors import NoTensorError, SubjectFailedError
from pomt_ref.testing import (
    PROFILES,
    Case,
    Dtype,
    Gradients,
    LawViolation,
    Method,
    NotOfferedError,
    Outcome,
    Profile,
    ProfileName,
    normative,
)

TENSORS: Final[Mapping[Method, tuple[str, ...]]] = {
    "pomt": ("x", "attn", "v"),
    "topk": ("x", "attn"),
    "evit": ("x", "attn"),
}
"""The tensors that an implementation of each method is called with, by position."""

OPTIONS: Final = ("normalisation", "normalise", "class_index", "remove")
"""Options of the clauses that an implementation may offer and the laws then use."""

OUTPUT: Final = "an array, a tuple that begins with one, or an object that has one as tokens"
"""What an implementation may return, in the words of a message."""


@dataclass(frozen=True)
class CallableSubject:
    """A callable ``(x, attn, v, *, prefix, keep)``; Top-K and EViT are called without v.

    It answers with the output; with a tuple of output, kept, discarded and scores, or the first of them; or with an
    object that has ``tokens`` and, if it likes, ``kept``, ``discarded`` and stages, as ``pomt_ref.Pruned`` does.
    """

    function: Callable[..., Any]
    name: str
    method: Method = "pomt"
    device: str = "cpu"
    claims: ProfileName | None = None
    """The profile that it is held to; by default the normative one of the dtype."""
    framework: Framework = "torch"
    """Whose arrays it is called with."""
    fixed: Mapping[str, int] = field(default_factory=dict)
    """Axes of the only shape that it is made for, by their names in :class:`pomt_ref.testing.cases.Shape`."""
    watch: Watch = field(default_factory=Watch, compare=False)

    def profile(self, dtype: Dtype) -> Profile:
        """What it claims, or what POMT-PREC-1 asks for."""
        return normative(dtype) if self.claims is None else PROFILES[self.claims]

    def options(self) -> frozenset[str]:
        """The options that the callable names in its signature."""
        return frozenset(OPTIONS) & frozenset(_parameters(self.function))

    def run(self, case: Case, **options: str | int | bool) -> Outcome:
        """Call the implementation on fresh tensors, and read what it answers.

        In every other case nothing is recorded for gradients, as where a model is used and not trained.
        """
        inputs = self.inputs(case)
        with torch.set_grad_enabled(case.seed % 2 == 0):
            answer = self._call(case, inputs, options)
        try:
            return self._outcome(case, inputs, answer, self._tokens(answer))
        except (SubjectFailedError, LawViolation, KeyboardInterrupt):
            raise
        except BaseException as error:  # an answer may be an object of any kind, and does what it likes when it is read
            raise SubjectFailedError(f"returned what cannot be read: {told(error)}") from error

    def gradients(self, case: Case, weights: Float64[np.ndarray, "batch output channels"]) -> Gradients | None:
        """Differentiate the weighted sum of the output; None if the output carries no gradient.

        In every other case x alone asks for one, as where the layers before are not trained. Where all weights are one,
        the gradient of a plain sum comes in, which is no tensor of its own size.

        An implementation that runs, and does not on tensors that require a gradient, offers none either.
        """
        if self.framework != "torch":
            return None
        inputs = self.inputs(case)
        for name, tensor in inputs.items():
            tensor.requires_grad_(name == "x" or case.seed % 2 == 0)
        try:
            answer = self._call(case, inputs, {})
        except SubjectFailedError:
            return None
        tokens = self._tokens(answer)
        if not tokens.requires_grad:
            return None
        try:
            weighted = tokens if (weights == 1).all() else tokens * torch.as_tensor(weights).to(tokens)
            weighted.sum().backward()
        except Exception as error:
            raise SubjectFailedError(f"raised in the backward pass {told(error)}") from error
        found = {name: None if tensor.grad is None else to_numpy(tensor.grad) for name, tensor in inputs.items()}
        return Gradients(found["x"], found["attn"], found.get("v"), self._outcome(case, inputs, answer, tokens))

    def inputs(self, case: Case) -> dict[str, Tensor]:
        """The tensors of a case, in its dtype, on the device."""
        dtype = getattr(torch, case.dtype)
        arrays = {name: getattr(case, name).copy() for name in TENSORS[self.method]}
        return {name: torch.from_numpy(array).to(dtype).to(self.device) for name, array in arrays.items()}

    def _call(self, case: Case, inputs: Mapping[str, Tensor], options: Mapping[str, str | int | bool]) -> Any:  # noqa: ANN401 -- an answer may be anything
        """Call it; whatever it raises is its answer, an attempt to exit too."""
        if any(getattr(case.shape, axis) != size for axis, size in self.fixed.items()):
            raise NotOfferedError
        count = {} if "remove" in options else {"keep": case.shape.keep}
        arrays = [given(tensor, self.framework) for tensor in inputs.values()]
        process = os.getpid()
        try:
            with self.watch.call():
                return self.function(*arrays, prefix=case.shape.prefix, **count, **options)
        except (KeyboardInterrupt, TimeLimitError):
            raise
        except BaseException as error:
            raise SubjectFailedError(f"raised {told(error)}{place(error)}") from error
        finally:
            if os.getpid() != process:  # pragma: no cover -- it forked, and a copy of this program came back
                os._exit(1)

    def _outcome(self, case: Case, inputs: dict[str, Tensor], answer: object, tokens: Tensor) -> Outcome:
        """What came back, in the terms of the laws."""
        dtype = getattr(torch, case.dtype)
        changed = tuple(
            name
            for name, tensor in inputs.items()
            if tensor.dtype != dtype or not same_bits(to_numpy(tensor), getattr(case, name))
        )
        offered = STAGES if self.method == "pomt" else ("scores",)
        return Outcome(
            tokens=to_numpy(tokens),
            dtype=str(tokens.dtype).removeprefix("torch."),
            same_device=tokens.device == inputs["x"].device,
            changed_inputs=changed,
            shares_memory=view_of(tokens, inputs),
            kept=indices(answer, "kept", 1, (case.shape.batch, case.shape.keep)),
            discarded=indices(answer, "discarded", 2, (case.shape.batch, case.shape.discarded)),
            stages={name: stage for name, stage in stages(answer).items() if name in offered},
        )

    def _tokens(self, answer: object) -> Tensor:
        """The output among what came back."""
        tokens = as_tensor(part(answer, "tokens", 0))
        if tokens is None:
            raise NoTensorError(kind(answer), OUTPUT)
        if not tokens.is_floating_point():
            raise SubjectFailedError(f"returned a tensor of {tokens.dtype}, expected a floating one")
        return tokens


def _parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of the parameters, none if the callable does not tell."""
    try:
        return tuple(inspect.signature(function).parameters)
    except Exception:  # noqa: BLE001 -- a builtin has none, and an object may have a strange one
        return ()
