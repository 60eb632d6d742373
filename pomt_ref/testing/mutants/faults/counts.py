"""Faults of T: how many tokens are kept."""

from collections.abc import Callable
from typing import Final

from pomt_ref.testing.mutants.mutant import Mutant
from pomt_ref.testing.mutants.step import Attention, Rows, Step, Values


def _counted(count: Callable[[int, int], int]) -> Callable[..., Rows]:
    """Another T, made of T and P."""

    def prune(x: Rows, attn: Attention, v: Values, *, prefix: int, keep: int) -> Rows:
        most = x.shape[1] - prefix - 1
        return Step()(x, attn, v, prefix=prefix, keep=min(max(count(keep, prefix), 0), most))

    return prune


def _unpruned_at_zero(x: Rows, attn: Attention, v: Values, *, prefix: int, keep: int) -> Rows:
    """Erratum 2: where no patch token is kept, the input comes back as it is."""
    return x if keep == 0 else Step()(x, attn, v, prefix=prefix, keep=keep)


COUNTS: Final = tuple(
    Mutant(name, "POMT-COUNT-1", description, function)
    for name, description, function in (
        (
            "length of one prefix token",
            "T is counted as if the prefix were one token (erratum 1).",
            _counted(lambda keep, prefix: keep + prefix - 1),
        ),
        ("prefix counted as kept", "T includes the prefix.", _counted(lambda keep, prefix: keep - prefix)),
        (
            "one token too many",
            "T + 1 tokens are kept: R go, and not one more.",
            _counted(lambda keep, _prefix: keep + 1),
        ),
        ("one kept at least", "T = 0 is taken for T = 1.", _counted(lambda keep, _prefix: max(keep, 1))),
        ("nothing pruned when nothing is kept", "T = 0 gives the input back (erratum 2).", _unpruned_at_zero),
    )
)
"""POMT-COUNT-1."""
