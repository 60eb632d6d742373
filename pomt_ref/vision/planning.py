"""Which blocks prune, and by how much: the arguments of ``patch`` as one R a block (CHOOSE-3)."""

from collections.abc import Sequence
from numbers import Integral
from operator import index
from typing import SupportsIndex, cast

from pomt_ref.errors import CountError, KindError, OptionError
from pomt_ref.vision.methods import Method, verify_remove

CLAUSE = "CHOOSE-3"


def default_layer(depth: int) -> int:
    """CHOOSE-3: the block that prunes where none is named: after a quarter of the depth.

    >>> default_layer(12), default_layer(4), default_layer(1)
    (3, 1, 0)
    """
    return depth // 4


def plan(remove: int | Sequence[int], layer: int | Sequence[int] | None, *, depth: int) -> dict[int, int]:
    """CHOOSE-3: R of every block that is named, by its index, ascending.

    Arguments:
        remove: one R for all blocks, or one for each of them.
        layer: index of a block, or several; ``None`` for the default block, or for all of them where ``remove`` is a
            sequence.
        depth: number of blocks.

    Raises:
        PomtError: no integers, indices out of range or twice, as many R as there are blocks.

    >>> plan(56, None, depth=12)
    {3: 56}
    >>> plan([0, 8, 0, 4], None, depth=4)
    {0: 0, 1: 8, 2: 0, 3: 4}
    >>> plan([4, 8], [2, 1], depth=4)
    {1: 8, 2: 4}
    """
    removes = _integers("remove", remove)
    if layer is None:
        layers = [default_layer(depth)] if not isinstance(remove, Sequence) else list(range(depth))
    else:
        layers = _integers("layer", layer)
    if not isinstance(remove, Sequence):
        removes = removes * len(layers)
    if not layers or len(removes) != len(layers):
        expected = f"one remove for each of {len(layers)} layers" if layers else "one layer or more"
        raise OptionError("patch", CLAUSE, expected, f"remove={remove!r}" if layers else f"layer={layer!r}")
    for each in layers:
        if not 0 <= each < depth:
            raise CountError("patch", CLAUSE, f"0 <= layer <= {depth - 1}", f"layer={each}")
    if len(set(layers)) != len(layers):
        raise OptionError("patch", CLAUSE, "every layer once", f"layer={layers}")
    return dict(sorted(zip(layers, removes, strict=True)))


def verify_plan(removes: dict[int, int], *, tokens: int, prefix: int, method: Method) -> None:
    """POMT-COUNT-1: every R against the tokens that the blocks before it leave.

    Raises:
        CountError: an R is out of range; the message says which are allowed.

    >>> verify_plan({1: 8, 2: 9}, tokens=17, prefix=1, method="pomt")
    Traceback (most recent call last):
        ...
    pomt_ref.errors.CountError: patch at layer 2: expected 0 <= remove <= 7 (POMT-COUNT-1), got ...
    """
    if not 0 <= prefix < tokens:
        raise CountError("patch", CLAUSE, f"0 <= prefix <= {tokens - 1}", f"prefix={prefix} (tokens={tokens})")
    for layer, remove in removes.items():
        verify_remove(f"patch at layer {layer}", remove, tokens=tokens, prefix=prefix, method=method)
        tokens -= remove


def _integers(name: str, value: int | Sequence[int]) -> list[int]:
    """One or several integers; a bool is none, since ``remove=True`` is a slip."""
    values: Sequence[object] = value if isinstance(value, Sequence) else [value]
    if not all(isinstance(each, Integral) and not isinstance(each, bool) for each in values):
        raise KindError("patch", CLAUSE, f"{name}, an int or a sequence of ints", f"{name}={value!r}")
    return [index(cast("SupportsIndex", each)) for each in values]
