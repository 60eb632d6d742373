"""POMT-PRUNE-1 · one step, of which every rank has a share: samples of the batch, or query rows of the attention."""

from collections.abc import Mapping
from typing import Final, Literal, get_args

from jaxtyping import Float
from torch import Tensor
from torch import distributed as dist

from pomt_ref import contracts
from pomt_ref.attention import attention_sums, largest_sum
from pomt_ref.errors import OptionError, PomtError, RankError, ValuesError
from pomt_ref.magnitude import magnitude_score
from pomt_ref.pruning import planned_keep, prune_by
from pomt_ref.sharding import exactsums
from pomt_ref.sharding.ranks import Facts, Ranks, require_group
from pomt_ref.types import Check, Normalisation, Pruned, score_dtype

Split = Literal["batch", "queries"]
"""What is divided: the samples, each rank with all of its own, or the query rows of the attention of all samples."""

FUNCTION: Final = "prune_sharded"


def prune_sharded(
    x: Float[Tensor, "batch tokens channels"],
    attn: Float[Tensor, "batch heads queries tokens"],
    v: Float[Tensor, "batch heads tokens features"],
    *,
    prefix: int = 1,
    keep: int | None = None,
    remove: int | None = None,
    split: Split = "batch",
    normalisation: Normalisation = "batch",
    group: "dist.ProcessGroup | None" = None,
    check: Check = "values",
) -> Pruned:
    r"""POMT-PRUNE-1 on several ranks: the step that one process would make of all their shares together.

    Every score is divided by the largest sum of the *whole* batch (POMT-ATT-2), so ranks that each divided by their own
    would rank differently.

    Arguments:
        x: with ``split="batch"`` the samples of this rank; with ``"queries"`` all of them, the same on every rank.
        attn: with ``"batch"`` the attention of these samples, all N query rows; with ``"queries"`` this rank's rows
            of all samples, those of rank 0 first, N of them on all ranks together.
        v: as x.
        prefix: number P of prefix tokens, the same on every rank, as all counts and options are.
        keep: number T of patch tokens kept, 0 <= T <= N - P - 1.
        remove: number R that the sequence shrinks by; exactly one of ``keep`` and ``remove``.
        split: what is divided.
        normalisation: over what the largest attention sum is taken, see :func:`pomt_ref.attention_score`.
        group: the process group, by default that of all processes; its timeout is how long a rank waits for another.
        check: as for :func:`pomt_ref.prune`; ranks that disagree, or do not answer, are told whatever it says.

    Returns:
        The step of this rank's samples, or of all samples. With ``"batch"`` bit-equal to the undivided step; with
        ``"queries"`` within FLOAT-1 of it, and the same bits on any number of ranks.

    Raises:
        PomtError: inputs outside the specification.
        RankError: there is no process group, ranks disagree, one refused its inputs, or one does not answer.

    Source: arXiv 2407.05941 sections 3.3 and 3.4; the maximum over the batch is that of the authors' code.
    """
    contracts.options(FUNCTION, normalisation=normalisation, check=check)
    if split not in get_args(Split):
        raise OptionError(FUNCTION, "POMT-PRUNE-1", f"split in {get_args(Split)}", f"split={split!r}")
    require_group(FUNCTION, group)
    ranks = Ranks(FUNCTION, x.device, group)
    refused: PomtError | None = None
    facts: Facts = dict.fromkeys(_NAMES, 0)
    try:
        _check(x, attn, v, prefix=prefix, split=split, check=check)
        keep = planned_keep(FUNCTION, x.shape[1], prefix=prefix, keep=keep, remove=remove, check=check)
        facts = _facts(x, attn, v, prefix=prefix, keep=keep, split=split, normalisation=normalisation)
    except PomtError as error:
        refused = error
    told = ranks.compare(facts, refused)
    assert keep is not None  # noqa: S101 -- tells the type checker what planned_keep has just made of it
    ranks.require_same(told, *_NAMES[2:], *(["samples"] if split == "queries" else []), words=_WORDS)
    if split == "batch":
        sums = attention_sums(attn.detach(), prefix=prefix)
    else:
        first = _first_row(ranks, told, rank=dist.get_rank(group))
        sums = _sums_of_rows(ranks, attn.detach(), prefix=prefix, first=first)
    largest = largest_sum(sums, normalisation=normalisation)
    if split == "batch" and normalisation == "batch":  # ranks that have all sums have one largest already
        largest = ranks.largest(largest)
    return _step(x, sums, largest, v, prefix=prefix, keep=keep, check=check)


def _step(
    x: Float[Tensor, "batch tokens channels"],
    sums: Float[Tensor, "batch tokens-{prefix}"],
    largest: Float[Tensor, "samples 1"],
    v: Float[Tensor, "batch heads tokens features"],
    *,
    prefix: int,
    keep: int,
    check: Check,
) -> Pruned:
    """What every rank does alone, once it knows the sums and the largest of them.

    Raises:
        ValuesError: there is nothing to divide by, or a score that is not finite.
    """
    if check == "values" and not bool((largest > 0).all()):
        expected = "some patch-to-patch attention above zero in the batch, or in every sample"
        raise ValuesError(FUNCTION, "POMT-ATT-2", expected, "none")
    scores = sums / largest + magnitude_score(v.detach(), prefix=prefix, check="none")
    contracts.finite(FUNCTION, "POMT-SCORE-1", scores=scores, check=check)
    return prune_by(FUNCTION, x, scores, prefix=prefix, keep=keep, check=check)


_NAMES: Final = (
    *("samples", "rows", "split", "normalisation", "dtype"),
    *("tokens", "channels", "heads", "features", "prefix", "keep"),
)
"""What every rank says of its share; all but the first two are the same for all."""

_WORDS: Final = {"split": get_args(Split), "normalisation": get_args(Normalisation), "dtype": contracts.DTYPES}
"""What is said as its place in a list: ranks exchange numbers."""


def _facts(
    x: Tensor, attn: Tensor, v: Tensor, *, prefix: int, keep: int, split: Split, normalisation: Normalisation
) -> Facts:
    """A rank's share in numbers."""
    numbers = (
        *(x.shape[0], attn.shape[2]),
        *(_WORDS["split"].index(split), _WORDS["normalisation"].index(normalisation), _WORDS["dtype"].index(x.dtype)),
        *(x.shape[1], x.shape[2], v.shape[1], v.shape[3], int(prefix), keep),
    )
    return dict(zip(_NAMES, numbers, strict=True))


def _check(x: Tensor, attn: Tensor, v: Tensor, *, prefix: int, split: Split, check: Check) -> None:
    """POMT-PRUNE-1: the share of this rank is one of a layer."""
    if split == "batch":
        contracts.layer(FUNCTION, x=x, attn=attn, v=v, prefix=prefix, check=check)
    else:
        contracts.layer(FUNCTION, x=x, rows=attn, v=v, prefix=prefix, check=check)


def _first_row(ranks: Ranks, told: Mapping[str, list[int]], *, rank: int) -> int:
    """The place of this rank's rows among all query rows."""
    rows, tokens = told["rows"], told["tokens"][0]
    if sum(rows) != tokens:
        got = f"{sum(rows)} rows on {len(rows)} ranks: {rows}"
        raise RankError(ranks.function, "POMT-ATT-1", f"the {tokens} query rows, each on one rank", got)
    return sum(rows[:rank])


def _sums_of_rows(
    ranks: Ranks, rows: Float[Tensor, "batch heads queries tokens"], *, prefix: int, first: int
) -> Float[Tensor, "batch tokens-{prefix}"]:
    """POMT-ATT-1: the sum over the patch queries of all ranks, exact whatever rank has which."""
    own = rows[:, :, max(0, prefix - first) :, prefix:].amax(dim=1)
    largest = own.amax() if own.numel() else own.new_zeros(())
    power = exactsums.exponent(ranks.largest(largest.double()))
    parts = ranks.total(exactsums.column_sums(own, power=power))
    return exactsums.joined(parts, power=power).to(score_dtype(rows.dtype))
