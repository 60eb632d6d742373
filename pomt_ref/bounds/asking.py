"""LIN-1 · the boundary of certificates: what is asked is checked once, before anything is computed."""

from typing import get_args

from pomt_ref import contracts, counting
from pomt_ref.bounds.box import CLAUSE, Box, a_box
from pomt_ref.bounds.differences import value_sum_bounds
from pomt_ref.bounds.steps import Arithmetic, Step
from pomt_ref.errors import OptionError, ShapeError
from pomt_ref.types import Normalisation


def checked_step(
    function: str,
    *,
    values: Box,
    logits: Box | None = None,
    attention: Box | None = None,
    x: Box | None = None,
    prefix: int,
    keep: int | None,
    remove: int | None,
    normalisation: Normalisation,
    arithmetic: Arithmetic,
) -> Step:
    """One kind of attention, shapes that agree, counts in their range, and value sums that are finite."""
    _check_boxes(function, {"values": values, "logits": logits, "attention": attention, "x": x})
    contracts.options(function, check="shapes", normalisation=normalisation)
    if arithmetic not in get_args(Arithmetic):
        expected = f"arithmetic in {get_args(Arithmetic)}"
        raise OptionError(function, CLAUSE, expected, f"arithmetic={arithmetic!r}")
    if logits is not None:
        contracts.layer(function, prefix=prefix, check="shapes", v=values.lo, logits=logits.lo)
    if attention is not None:
        contracts.layer(function, prefix=prefix, check="shapes", v=values.lo, attn=attention.lo)
    batch, _, tokens, _ = values.shape
    if x is not None and (x.lo.ndim != 3 or x.shape[:2] != (batch, tokens)):  # noqa: PLR2004 -- batch, tokens, channels
        raise ShapeError(function, CLAUSE, f"x of shape ({batch}, {tokens}, channels)", f"{(*x.shape,)}")
    return Step(
        values=values,
        value_sums=value_sum_bounds(function, values),
        logits=logits,
        attention=attention,
        x=x,
        prefix=contracts.plain(prefix),
        keep=_keep(function, tokens, prefix=prefix, keep=keep, remove=remove),
        normalisation=normalisation,
        arithmetic=arithmetic,
    )


def _check_boxes(function: str, boxes: dict[str, Box | None]) -> None:
    """Boxes that are boxes, values always, and exactly one of logits and attention."""
    for name, box in boxes.items():
        missing = box is None and name != "values"
        if not missing:
            a_box(function, name, box)
    if (boxes["logits"] is None) == (boxes["attention"] is None):
        got = "neither" if boxes["logits"] is None else "both"
        raise OptionError(function, CLAUSE, "exactly one of logits and attention", got)


def _keep(function: str, tokens: int, *, prefix: int, keep: int | None, remove: int | None) -> int:
    """POMT-COUNT-1: T, from exactly one of T itself and R."""
    contracts.one_of(function, keep=keep, remove=remove)
    if remove is not None:
        contracts.remove_count(function, remove, tokens=tokens, prefix=prefix, appended=1, check="shapes")
        return counting.kept_count(tokens, prefix=contracts.plain(prefix), remove=contracts.plain(remove))
    assert keep is not None  # noqa: S101 -- tells the type checker what one_of has just enforced
    contracts.keep_count(function, keep, tokens=tokens, prefix=prefix, clause="POMT-PRUNE-1", check="shapes")
    return contracts.plain(keep)
