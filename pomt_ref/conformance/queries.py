"""Implementations that take queries and keys: called with some whose attention is that of the case."""

import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from pomt_ref.conformance.answer import STAGES
from pomt_ref.errors import DtypeError, KindError

NO_ATTENTION: Final = -1000.0
"""The logit of an attention of zero: its exponential is zero in float64, and products with it are finite."""

SCALE: Final = 0.5
"""Of the logits, by which an implementation is called: one that leaves it out has other attention."""

STEPS: Final = 13
"""Different logsumexps of a head's rows, a quarter apart; a prime, so that tiles of rows begin with different ones."""


def queries_and_keys(
    attn: Float[Tensor, "batch heads tokens tokens"], *, scale: float = 1.0
) -> tuple[Float64[Tensor, "batch heads tokens tokens"], Float64[Tensor, "batch heads tokens tokens"]]:
    """Queries and keys of N features whose attention, with this scale, is the one that is given.

    The keys are unit vectors, so that the logits are what the queries are made of: logarithms of the attention, and
    for every row and head another constant, which a softmax takes away and which is the logsumexp of that row. All is
    float64, in which the rounding of a logarithm is far below that of any narrower attention.

    >>> q, k = queries_and_keys(torch.tensor([[[[0.25, 0.75], [1.0, 0.0]]]]))
    >>> (q @ k.mT).softmax(dim=-1)
    tensor([[[[0.2500, 0.7500],
              [1.0000, 0.0000]]]], dtype=torch.float64)
    """
    heads, rows = (torch.arange(size, device=attn.device, dtype=torch.float64) for size in attn.shape[1:3])
    constants = ((5 * heads.unsqueeze(-1) + rows) % STEPS - STEPS // 2) / 4
    logits = attn.double().log() + constants.unsqueeze(-1)
    q = torch.where(attn > 0, logits, NO_ATTENTION) / scale
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
        KindError: it cannot be called.
        DtypeError: when it is called with attention in half precision.

    >>> from pomt_ref.conformance import check
    >>> from pomt_ref.streaming import prune_qkv
    >>> check(from_queries(prune_qkv), clauses=["POMT-ATT-1"], max_examples=20).conforms
    True
    """
    if not callable(function):
        raise KindError("from_queries", "POMT-ATT-1", "a function", type(function).__name__)

    def prune(x: Tensor, attn: Tensor, v: Tensor, *, prefix: int, keep: int, **options: object) -> object:
        if attn.dtype.itemsize < torch.float32.itemsize:
            expected = "attention in float32 or float64, whose rows a softmax can have"
            raise DtypeError("from_queries", "POMT-ATT-1", expected, f"{attn.dtype}")
        q, k = queries_and_keys(attn, scale=SCALE)
        answer = function(x.double(), q, k, v.double(), prefix=prefix, keep=keep, scale=SCALE, **options)
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
