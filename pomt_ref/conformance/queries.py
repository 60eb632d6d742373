"""Implementations that take queries and keys: called with some whose attention is that of the case."""

import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from pomt_ref.conformance.answer import STAGES
from pomt_ref.errors import DtypeError

NO_ATTENTION: Final = -1000.0
"""The logit of an attention of zero: its exponential is zero in float64, and products with it are finite."""


def queries_and_keys(
    attn: Float[Tensor, "batch heads tokens tokens"],
) -> tuple[Float64[Tensor, "batch heads tokens tokens"], Float64[Tensor, "batch heads tokens tokens"]]:
    """Queries and keys of N features whose attention, with a scale of one, is the one that is given.

    The queries are its logarithm and the keys are unit vectors, so that the logits are the logarithms themselves.
    They are float64, in which the rounding of a logarithm is far below that of any narrower attention.

    >>> q, k = queries_and_keys(torch.tensor([[[[0.25, 0.75], [1.0, 0.0]]]]))
    >>> (q @ k.mT).softmax(dim=-1)
    tensor([[[[0.2500, 0.7500],
              [1.0000, 0.0000]]]], dtype=torch.float64)
    """
    logits = attn.double().log()
    q = torch.where(attn > 0, logits, NO_ATTENTION)
    return q, torch.eye(attn.shape[-1], dtype=torch.float64, device=attn.device).expand_as(q)


def from_queries(function: Callable[..., Any]) -> Callable[..., Any]:
    """An implementation of the kind that the check calls, from one that takes queries and keys.

    Arguments:
        function: called as ``(x, q, k, v, *, prefix, keep, scale)`` with tensors in float64, and with
            ``normalisation`` if it has such an argument. It answers like any implementation.

    Returns:
        ``(x, attn, v, *, prefix, keep)``, as the check calls it; its output is in the dtype of x. It is for attention
        in float32 or float64: rows in half precision do not sum to one, and no softmax has such rows.

    Raises:
        DtypeError: when it is called with attention in half precision.

    >>> from pomt_ref.conformance import check
    >>> from pomt_ref.streaming import prune_qkv
    >>> check(from_queries(prune_qkv), clauses=["POMT-ATT-1"], max_examples=20).conforms
    True
    """

    def prune(x: Tensor, attn: Tensor, v: Tensor, *, prefix: int, keep: int, **options: object) -> object:
        if attn.dtype.itemsize < torch.float32.itemsize:
            expected = "attention in float32 or float64, whose rows a softmax can have"
            raise DtypeError("from_queries", "POMT-ATT-1", expected, f"{attn.dtype}")
        q, k = queries_and_keys(attn)
        answer = function(x.double(), q, k, v.double(), prefix=prefix, keep=keep, scale=1.0, **options)
        if isinstance(answer, Tensor):
            return answer.to(x.dtype)
        named = {name: getattr(answer, name) for name in ("kept", "discarded", *STAGES) if hasattr(answer, name)}
        return SimpleNamespace(tokens=answer.tokens.to(x.dtype), **named)

    own = inspect.signature(prune).parameters
    offered = [inspect.signature(function).parameters.get("normalisation")]
    known = [each for each in own.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
    known += [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in offered if each]
    prune.__dict__["__signature__"] = inspect.Signature(known)  # what the check asks for the options that are offered
    return prune
