"""Kills: for each statement, changes that it must reject; a statement that rejects nothing would say nothing.

Most are edits of one token of the sources. A statement that is not about the sources has a premise taken away instead.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np

from tests.proofs import equality, floats, lemmas, sources
from tests.proofs.edits import Edit
from tests.proofs.operators import Array, Operators
from tests.proofs.statement import refute


@dataclass(frozen=True)
class Kill:
    """An edit of the sources, and the statement that must reject it."""

    statement: str
    kind: str
    """Shape, arithmetic, index, axis, sign, order, dtype, device, boundary: what the edit is about."""
    module: str
    old: str
    new: str

    def edit(self) -> Edit:
        """The changed module. The old text must stand there once, so that the edit is the one that is meant."""
        text = sources.path_of(self.module).read_text(encoding="utf-8")
        refute(unless=text.count(self.old) == 1, why=f"{self.module} does not say once: {self.old}")
        line = text[: text.index(self.old)].count("\n") + 1
        return Edit(self.module, line, self.old, self.new, text.replace(self.old, self.new))


KEPT: Final = "tokens - prefix - remove - appended"
LEFT_OUT: Final = "prefix: int, remove: int, appended: int = 1"
PATCHES: Final = "attn[:, :, prefix:, prefix:]\n"
SCORES: Final = 'scores: Float[Tensor, "batch patches"]'
SORT: Final = "dim=1, descending=True, stable=True"
TOKENS: Final = "[x[:, :prefix], rows[:, :keep], mean], dim=1"

KILLS: Final = (
    Kill("shapes", "shape", "attention", PATCHES, "attn[:, :, prefix:, :]\n"),
    Kill("shapes", "axis", "attention", "between_patches.amax(dim=1)", "between_patches.amax(dim=2)"),
    Kill("shapes", "shape", "attention", ".reshape(1, 1)", ".reshape(1)"),
    Kill("shapes", "shape", "magnitude", "share[:, prefix:]", "share[:, :prefix]"),
    Kill("shapes", "axis", "magnitude", "sum(dim=-1", "sum(dim=-2"),
    Kill("shapes", "shape", "pruning", "keepdim=True, ", ""),
    Kill("shapes", "axis", "pruning", TOKENS, TOKENS.replace("dim=1", "dim=2")),
    Kill("shapes", "index", "pruning", "x.flatten(0, 1)", "x.flatten(1, 2)"),
    Kill("shapes", "shape", "siblings", "weights.unsqueeze(-1)", "weights.unsqueeze(1)"),
    Kill("shapes", "arithmetic", "counting", KEPT, "tokens - prefix - remove"),
    Kill("shapes", "index", "streaming.blocks", "start, 0) :, prefix:]", "start, 0) :, :]"),
    Kill("shapes", "axis", "streaming.blocks", "k.to(buffer.dtype).T,", "k.to(buffer.dtype),"),
    Kill("shapes", "arithmetic", "streaming.blocks", "q.shape[2] - prefix, dtype", "q.shape[2], dtype"),
    Kill("shapes", "axis", "streaming.gradients", "weighted.sum(dim=-1, keepdim=True)", "weighted.sum(dim=-1)"),
    Kill("shapes", "axis", "streaming.whole", "k.to(buffer.dtype).transpose(1, 2),", "k.to(buffer.dtype),"),
    Kill("shapes", "shape", "streaming.tiles", "lse.unsqueeze(-1)], dim=-1", "lse.unsqueeze(-1)], dim=-2"),
    Kill("shapes", "axis", "streaming.tiles", "torch.mm(q[head], k[head].T", "torch.mm(q[head], k[head]"),
    Kill("output length", "arithmetic", "counting", KEPT, "tokens - prefix - remove + appended"),
    Kill("output length", "index", "pruning", "order[:, keep:]", "order[:, keep + 1 :]"),
    Kill("output length", "index", "pruning", TOKENS, TOKENS.replace(":prefix", "prefix:")),
    Kill("export", "arithmetic", "magnitude", ".softmax(dim=-1)", ".exp()"),
    Kill("export", "index", "pruning", TOKENS, TOKENS.replace(":prefix", ":1")),
    Kill("dtypes", "dtype", "attention", "dim=1, dtype=score_dtype(attn.dtype)", "dim=1"),
    Kill("dtypes", "dtype", "magnitude", "dim=-1, dtype=score_dtype(v.dtype)", "dim=-1"),
    Kill("dtypes", "dtype", "pruning", ", dtype=score_dtype(discarded.dtype)", ""),
    Kill("dtypes", "dtype", "pruning", ".to(discarded.dtype)", ""),
    Kill("devices", "device", "pruning", "x.shape[0], device=x.device)", "x.shape[0])"),
    Kill("dtypes", "dtype", "pruning", SCORES, SCORES.replace("Float", "Int")),
    Kill("gradients", "boundary", "pruning", "attn.detach()", "attn"),
    Kill("gradients", "boundary", "pruning", "v.detach()", "v"),
    Kill("rows moved", "arithmetic", "pruning", TOKENS, TOKENS.replace("rows[:, :keep]", "rows[:, :keep] + 0")),
    Kill("prune equals", "sign", "ranking", "attention + magnitude_score", "attention - magnitude_score"),
    Kill("prune equals", "axis", "attention", ".sum(dim=1", ".sum(dim=2"),
    Kill("prune equals", "arithmetic", "attention", "between_patches.amax", "between_patches.amin"),
    Kill("prune equals", "order", "ranking", SORT, SORT.replace("True, stable", "False, stable")),
    Kill("prune equals", "order", "ranking", SORT, SORT.replace("stable=True", "stable=False")),
    Kill("prune equals", "index", "pruning", "mean_row(rows[:, keep:])", "mean_row(rows[:, : keep + 1])"),
    Kill("prune equals", "order", "pruning", TOKENS, "[rows[:, :keep], x[:, :prefix], mean], dim=1"),
    Kill(
        "trace equals",
        "sign",
        "tracing",
        "descending[:, keep - 1] - descending",
        "descending[:, keep - 1] + descending",
    ),
    Kill("trace equals", "index", "tracing", "descending[:, keep - 1]", "descending[:, keep - 2]"),
    Kill("trace equals", "index", "tracing", "mean_row(gather(x, step.discarded))", "mean_row(gather(x, step.kept))"),
    Kill("siblings equal", "index", "siblings", "discarded - prefix", "discarded"),
    Kill("siblings equal", "axis", "siblings", "attn[:, :, class_index, prefix:]", "attn[:, :, prefix:, class_index]"),
    Kill("siblings equal", "arithmetic", "siblings", "fused / weights", "fused * weights"),
    Kill("pieces equal", "boundary", "ranking", "*, prefix: int = 0", "*, prefix: int = 1"),
    Kill(
        "pieces equal",
        "order",
        "magnitude",
        "value_sums(v).softmax(dim=-1)",
        "value_sums(v)[:, prefix:].softmax(dim=-1)",
    ),
    Kill(
        "pieces equal",
        "boundary",
        "siblings",
        "normalise: bool = False,\n) -> Float",
        "normalise: bool = True,\n) -> Float",
    ),
    Kill("bounds", "arithmetic", "attention", "return sums / largest_sum", "return sums * largest_sum"),
    Kill("bounds", "arithmetic", "attention", "return sums.max().reshape", "return sums.min().reshape"),
    Kill("partition", "index", "ranking", " + prefix", ""),
    Kill("partition", "order", "ranking", SORT, SORT.replace("True, stable", "False, stable")),
    Kill("token permutation", "index", "ranking", " + prefix", " + 0"),
    Kill("heads", "arithmetic", "attention", "between_patches.amax(dim=1)", "between_patches[:, 0]"),
    Kill("samples", "boundary", "attention", 'if normalisation == "batch"', 'if normalisation != "batch"'),
    Kill("prefix rows", "index", "ranking", " + prefix", " - prefix"),
    Kill("refusals", "boundary", "pruning", "contracts.one_of(function", 'contracts.one_of("prune"'),
    Kill("refusals", "boundary", "pruning", '"POMT-SCORE-1", scores', '"POMT-RANK-1", scores'),
    Kill("refusals", "boundary", "pruning", "mean=mean, check=check", 'mean=mean, check="none"'),
    Kill(
        "refusals",
        "boundary",
        "attention",
        "attn=attn, prefix=prefix, normalisation=normalisation",
        "attn=attn, prefix=prefix",
    ),
    Kill("refusals", "boundary", "contracts", "if not 0 <= keep <= most", "if not 0 < keep <= most"),
    Kill("refusals", "arithmetic", "contracts", "tokens - plain(prefix) - appended", "tokens - plain(prefix)"),
    Kill("refusals", "boundary", "contracts", "0 <= class_index < prefix:", "0 <= class_index <= prefix:"),
    Kill("counting lemmas", "sign", "counting", "return prefix + keep + appended", "return prefix - keep + appended"),
    Kill(
        "counting lemmas",
        "arithmetic",
        "counting",
        "return tokens - prefix - keep\n",
        "return tokens - prefix - keep - 1\n",
    ),
    Kill("counting paths", "boundary", "counting", LEFT_OUT, LEFT_OUT.replace("1", "0")),
    Kill(
        "counting paths", "sign", "counting", "tokens - prefix - keep - appended", "tokens - prefix - keep + appended"
    ),
)


class LastWins(Operators):
    """A table in which equal entries are sorted the other way round."""

    def argsort_stable(self, array: Array, *, stable: bool, dim: int = -1, descending: bool = False) -> Array:
        """Sort the mirror image."""
        size = array.shape[dim]
        order = super().argsort_stable(array[:, ::-1], stable=stable, dim=dim, descending=descending)
        return np.asarray(size - 1 - order, dtype=object)


@dataclass(frozen=True)
class Premise:
    """A statement without one of its premises: it must not hold then."""

    statement: str
    without: str
    prove: Callable[[], Any]


PREMISES: Final = (
    Premise("operator table", "equal entries stay in their order", partial(equality.prove_table, LastWins)),
    Premise("order lemmas", "ties by the lower index", partial(lemmas.prove_order, ties_by_index=False)),
    Premise("sum lemmas", "other tokens weigh something", partial(lemmas.prove_sums, among_others=False)),
    *(
        Premise(f"floats {name}", "S ≤ M", partial(floats.prove_format, name, largest_is=False))
        for name in floats.FORMATS
    ),
)
