"""Floors: what the parts of the one pass cost alone, at the sizes in which it does them, in the same run."""

from collections.abc import Mapping

import torch

from pomt_ref.streaming import default_rows
from tests.bench.subjects import FEATURES
from tests.bench.timing import Thunk


def parts(tokens: int, *, dtype: torch.dtype) -> Mapping[str, Thunk]:
    """Both products, the exponentials and the maximum of one block of one head."""
    rows = default_rows(tokens, dtype)
    numbers = torch.Generator().manual_seed(0)
    q = torch.randn(rows, FEATURES, generator=numbers, dtype=dtype)
    k = torch.randn(tokens, FEATURES, generator=numbers, dtype=dtype)
    block = torch.rand(rows, tokens, generator=numbers, dtype=dtype)
    logits, powers, largest = (torch.empty_like(block) for _ in range(3))
    out = torch.empty(rows, FEATURES, dtype=dtype)
    return {
        "queries and keys": lambda: torch.mm(q, k.T, out=logits),
        "exponentials": lambda: torch.exp(block, out=powers),
        "softmax": lambda: torch.softmax(block, dim=-1, out=powers),
        "attention and values": lambda: torch.mm(block, k, out=out),
        "maximum over heads": lambda: torch.maximum(block, largest, out=largest),
    }


def blocks(tokens: int, heads: int, *, dtype: torch.dtype) -> float:
    """How many such blocks a layer has; a partial one counts as its part."""
    return heads * tokens / default_rows(tokens, dtype)
