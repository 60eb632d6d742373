"""How a patched layer prunes: POMT, Top-K or EViT with its options, and what is read of a step afterwards."""

from dataclasses import dataclass
from typing import Final, Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pomt_ref import contracts
from pomt_ref.counting import kept_count
from pomt_ref.errors import CountError, OptionError
from pomt_ref.pruning import gather, mean_row
from pomt_ref.siblings import fused_row
from pomt_ref.types import Check, Normalisation, Pruned

Method = Literal["pomt", "topk", "evit"]
"""How a layer prunes: the reference, or one of its siblings."""

Ties = Literal["lower", "any"]
"""POMT-RANK-1: equal scores by the lower index, or in any order: through TopK, which every exporter knows."""

APPENDED: Final[dict[Method, int]] = {"pomt": 1, "topk": 0, "evit": 1}
"""Rows appended after the kept ones."""


@dataclass(frozen=True)
class Step:
    """What one layer pruned in the last forward pass; indices refer to the sequence that the layer received."""

    layer: int
    """Index of the block."""
    prefix: int
    """P: rows that were never candidates."""
    kept: Int[Tensor, "batch keep"]
    """Rows that were kept, best first, in [P, N)."""
    discarded: Int[Tensor, "batch discarded"]
    """The other patch rows, in rank order, in [P, N)."""
    scores: Float[Tensor, "batch patches"]
    """The score of every patch row in input order, float32 or wider."""
    tokens_before: int
    """N: rows that came into the layer."""
    tokens_after: int
    """N - R: rows that left it."""


@dataclass(frozen=True)
class Options:
    """How a step prunes, whatever R is."""

    method: Method = "pomt"
    normalisation: Normalisation = "batch"
    """POMT-ATT-2: over what POMT's largest attention sum is taken."""
    class_index: int = 0
    """SIB-1: the row of the class token, for Top-K and EViT."""
    normalise: bool = False
    """EVIT-1: divide the fused row by the sum of its weights."""
    ties: Ties = "lower"
    check: Check = "values"

    def verify(self, function: str, *, prefix: int) -> None:
        """Words from their lists; a class row among the prefix where a sibling needs one (SIB-1)."""
        for name, words in {"method": Method, "ties": Ties}.items():
            value = getattr(self, name)
            if not isinstance(value, str) or value not in get_args(words):
                raise OptionError(function, "CHOOSE-3", f"{name} in {get_args(words)}", f"{name}={value!r}")
        if not isinstance(self.normalise, bool):
            raise OptionError(function, "EVIT-1", "normalise, a bool", f"normalise={self.normalise!r}")
        contracts.options(function, normalisation=self.normalisation, check=self.check)
        if self.method != "pomt":
            contracts.class_row(function, self.class_index, prefix=prefix, check="shapes")


def verify_remove(function: str, remove: int, *, tokens: int, prefix: int, method: Method) -> None:
    """POMT-COUNT-1: how much shorter a sequence can become; R = 0 leaves it as it is."""
    most = tokens - prefix - APPENDED[method]
    if not 0 <= remove <= most:
        got = f"remove={remove} (tokens={tokens}, prefix={prefix})"
        raise CountError(function, "POMT-COUNT-1", f"0 <= remove <= {most}", got)


def prune_in_order(
    options: Options,
    x: Float[Tensor, "batch tokens channels"],
    scores: Float[Tensor, "batch patches"],
    order: Int[Tensor, "batch patches"],
    *,
    prefix: int,
    remove: int,
) -> Pruned:
    """One step with R >= 1 once scores and order are there: the rows of the method, and the one that it appends.

    >>> x, scores = torch.tensor([[[9.0], [1.0], [2.0], [6.0]]]), torch.tensor([[0.5, 1.5, 1.0]])
    >>> prune_in_order(Options(), x, scores, torch.tensor([[2, 3, 1]]), prefix=1, remove=1).tokens.flatten()
    tensor([9.0000, 2.0000, 3.5000])
    """
    keep = kept_count(x.shape[1], prefix=prefix, remove=remove, appended=APPENDED[options.method])
    kept, discarded = order[:, :keep], order[:, keep:]
    rows = [x[:, :prefix], gather(x, kept)]
    if options.method == "pomt":
        rows.append(mean_row(gather(x, discarded)))
    if options.method == "evit":
        weights = scores.gather(1, discarded - prefix)
        rows.append(fused_row(gather(x, discarded), weights, normalise=options.normalise))
    return Pruned(torch.cat(rows, dim=1), kept, discarded, scores)


def any_order(scores: Float[Tensor, "batch patches"], *, prefix: int) -> Int[Tensor, "batch patches"]:
    """POMT-RANK-1 with equal scores in any order, through TopK: for exporters that know no stable sort.

    >>> any_order(torch.tensor([[0.5, 1.5, 1.0]]), prefix=1)
    tensor([[2, 3, 1]])
    """
    return scores.topk(scores.shape[1], dim=1).indices + prefix
