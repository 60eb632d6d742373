"""What one patched layer does: POMT, Top-K or EViT with its options, and what came of it in the last forward pass."""

from dataclasses import dataclass
from typing import Final, Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pomt_ref import contracts
from pomt_ref.counting import kept_count
from pomt_ref.errors import CountError, OptionError
from pomt_ref.pruning import gather, mean_row, prune
from pomt_ref.ranking import score
from pomt_ref.siblings import class_score, evit_prune, fused_row, topk_prune
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


def prune_by(
    options: Options,
    x: Float[Tensor, "batch tokens channels"],
    attn: Float[Tensor, "batch heads tokens tokens"],
    v: Float[Tensor, "batch heads tokens features"],
    *,
    prefix: int,
    remove: int,
) -> Pruned:
    """One step with R >= 1.

    Where a graph is traced, values cannot be looked at: shapes are checked alone. Where ONNX is written, ties go
    through TopK.
    """
    check = options.check
    if check == "values" and torch.compiler.is_compiling():
        check = "shapes"  # pragma: no cover -- runs while a graph is traced, where nobody counts lines
    if x.dtype == attn.dtype == v.dtype:
        return _prune_alike(options, x, attn, v, prefix=prefix, remove=remove, check=check)
    return _prune_mixed(options, x, attn, v, prefix=prefix, remove=remove, check=check)


def _prune_mixed(
    options: Options, x: Tensor, attn: Tensor, v: Tensor, *, prefix: int, remove: int, check: Check
) -> Pruned:
    """The step where autocast mixes dtypes: each is checked in its own, then all are widened, which is exact.

    Rows stay bit-exact copies (POMT-PRUNE-2), and the mean is rounded once (POMT-PRUNE-3).
    """
    normalisation = options.normalisation if options.method == "pomt" else None
    contracts.layer("patch", attn=attn, prefix=prefix, check=check, normalisation=normalisation)
    contracts.layer("patch", v=v, prefix=prefix, check=check)
    contracts.layer("patch", x=x, prefix=prefix, check=check)
    wide = torch.promote_types(torch.promote_types(x.dtype, attn.dtype), v.dtype)
    widened = (tensor.to(wide) for tensor in (x, attn, v))
    pruned = _prune_alike(
        options, *widened, prefix=prefix, remove=remove, check="none" if check == "none" else "shapes"
    )
    contracts.finite("patch", "POMT-SCORE-1", scores=pruned.scores, check=check)
    return Pruned(pruned.tokens.to(x.dtype), pruned.kept, pruned.discarded, pruned.scores)


def _prune_alike(
    options: Options, x: Tensor, attn: Tensor, v: Tensor, *, prefix: int, remove: int, check: Check
) -> Pruned:
    """The step on tensors of one dtype."""
    row, normalise = options.class_index, options.normalise
    if options.ties == "any" or torch.onnx.is_in_onnx_export():
        return prune_through_topk(options, x, attn, v, prefix=prefix, remove=remove)
    if options.method == "pomt":
        return prune(x, attn, v, prefix=prefix, remove=remove, normalisation=options.normalisation, check=check)
    if options.method == "topk":
        return topk_prune(x, attn, prefix=prefix, remove=remove, class_index=row, check=check)
    return evit_prune(x, attn, prefix=prefix, remove=remove, class_index=row, normalise=normalise, check=check)


def prune_through_topk(
    options: Options,
    x: Float[Tensor, "batch tokens channels"],
    attn: Float[Tensor, "batch heads tokens tokens"],
    v: Float[Tensor, "batch heads tokens features"],
    *,
    prefix: int,
    remove: int,
) -> Pruned:
    """POMT-RANK-1 with equal scores in any order: the same step for exporters that know no stable sort.

    Values are not checked: what is exported cannot raise.
    """
    if options.method == "pomt":
        scores = score(attn.detach(), v.detach(), prefix=prefix, normalisation=options.normalisation, check="none")
    else:
        scores = class_score(attn.detach(), prefix=prefix, class_index=options.class_index)
    order = scores.topk(scores.shape[1], dim=1).indices
    keep = kept_count(x.shape[1], prefix=prefix, remove=remove, appended=APPENDED[options.method])
    kept, discarded = order[:, :keep] + prefix, order[:, keep:] + prefix
    rows = [x[:, :prefix], gather(x, kept)]
    if options.method == "pomt":
        rows.append(mean_row(gather(x, discarded)))
    if options.method == "evit":
        weights = scores.gather(1, order[:, keep:])
        rows.append(fused_row(gather(x, discarded), weights, normalise=options.normalise))
    return Pruned(torch.cat(rows, dim=1), kept, discarded, scores)


class Layer:
    """The step of one layer, as a splice calls it; it remembers what it did last.

    Arguments:
        index: of the block.
        prefix: P.
        remove: R, zero for none.
        options: how it prunes.
    """

    def __init__(self, index: int, *, prefix: int, remove: int, options: Options) -> None:
        self.index = index
        self.prefix = prefix
        self.remove = remove
        self.options = options
        self.last: Step | None = None

    def __call__(
        self,
        x: Float[Tensor, "batch tokens channels"],
        attn: Float[Tensor, "batch heads tokens tokens"],
        v: Float[Tensor, "batch heads tokens features"],
    ) -> Float[Tensor, "batch remaining channels"]:
        """Prune by R, and remember.

        Raises:
            PomtError: R is out of range for this token count, or the attention or the values are outside the
                specification.
        """
        before, method = x.shape[1], self.options.method
        name = f"patch at layer {self.index}"
        verify_remove(name, self.remove, tokens=before, prefix=self.prefix, method=method)
        pruned = prune_by(self.options, x, attn, v, prefix=self.prefix, remove=self.remove)
        # While a graph is exported the tensors are placeholders: they must not outlive it.
        if not torch.compiler.is_exporting() and not torch.onnx.is_in_onnx_export():  # pragma: no branch -- as above
            self.last = Step(
                self.index, self.prefix, pruned.kept, pruned.discarded, pruned.scores, before, pruned.tokens.shape[1]
            )
        return pruned.tokens
