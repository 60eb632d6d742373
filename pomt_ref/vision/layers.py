"""What one patched layer does with its tokens, its attention and its values, and what it remembers of it."""

import torch
from jaxtyping import Float
from torch import Tensor

from pomt_ref import contracts
from pomt_ref.pruning import prune
from pomt_ref.ranking import score
from pomt_ref.siblings import class_score, evit_prune, topk_prune
from pomt_ref.types import Check, Pruned
from pomt_ref.vision.attending import Attention, QueriesKeys, named
from pomt_ref.vision.methods import Options, Step, any_order, prune_in_order, verify_remove
from pomt_ref.vision.streamed import prune_streamed


def prune_by(
    options: Options,
    x: Float[Tensor, "batch tokens channels"],
    attention: Attention,
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
    if x.dtype == attention.dtype == v.dtype:
        return _prune_alike(options, x, attention, v, prefix=prefix, remove=remove, check=check)
    return _prune_mixed(options, x, attention, v, prefix=prefix, remove=remove, check=check)


def _prune_mixed(
    options: Options, x: Tensor, attention: Attention, v: Tensor, *, prefix: int, remove: int, check: Check
) -> Pruned:
    """The step where autocast mixes dtypes: each is checked in its own, then all are widened, which is exact.

    Rows stay bit-exact copies (POMT-PRUNE-2), and the mean is rounded once (POMT-PRUNE-3).
    """
    is_matrix = isinstance(attention, Tensor)
    normalisation = options.normalisation if is_matrix and options.method == "pomt" else None
    contracts.layer("patch", prefix=prefix, check=check, normalisation=normalisation, **named(attention))
    contracts.layer("patch", v=v, prefix=prefix, check=check)
    contracts.layer("patch", x=x, prefix=prefix, check=check)
    wide = torch.promote_types(torch.promote_types(x.dtype, attention.dtype), v.dtype)
    rest: Check = "none" if check == "none" else "shapes"
    pruned = _prune_alike(options, x.to(wide), attention.to(wide), v.to(wide), prefix=prefix, remove=remove, check=rest)
    contracts.finite("patch", "POMT-SCORE-1", scores=pruned.scores, check=check)
    return Pruned(pruned.tokens.to(x.dtype), pruned.kept, pruned.discarded, pruned.scores)


def _prune_alike(
    options: Options, x: Tensor, attention: Attention, v: Tensor, *, prefix: int, remove: int, check: Check
) -> Pruned:
    """The step on tensors of one dtype."""
    row, normalise = options.class_index, options.normalise
    if isinstance(attention, QueriesKeys):
        return prune_streamed(options, x, attention, v, prefix=prefix, remove=remove, check=check)
    if options.ties == "any" or torch.onnx.is_in_onnx_export():
        return prune_through_topk(options, x, attention, v, prefix=prefix, remove=remove)
    if options.method == "pomt":
        return prune(x, attention, v, prefix=prefix, remove=remove, normalisation=options.normalisation, check=check)
    if options.method == "topk":
        return topk_prune(x, attention, prefix=prefix, remove=remove, class_index=row, check=check)
    return evit_prune(x, attention, prefix=prefix, remove=remove, class_index=row, normalise=normalise, check=check)


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
    return prune_in_order(options, x, scores, any_order(scores, prefix=prefix), prefix=prefix, remove=remove)


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
        attention: Attention,
        v: Float[Tensor, "batch heads tokens features"],
    ) -> Float[Tensor, "batch remaining channels"]:
        """Prune by R, and remember.

        Raises:
            PomtError: R is out of range for this token count, or what was read of the block is outside the
                specification.
        """
        before, method = x.shape[1], self.options.method
        name = f"patch at layer {self.index}"
        verify_remove(name, self.remove, tokens=before, prefix=self.prefix, method=method)
        pruned = prune_by(self.options, x, attention, v, prefix=self.prefix, remove=self.remove)
        # While a graph is exported the tensors are placeholders: they must not outlive it.
        if not torch.compiler.is_exporting() and not torch.onnx.is_in_onnx_export():  # pragma: no branch -- as above
            self.last = Step(
                self.index, self.prefix, pruned.kept, pruned.discarded, pruned.scores, before, pruned.tokens.shape[1]
            )
        return pruned.tokens
