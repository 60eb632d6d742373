"""The meaning of every ATen operator that the exported steps may contain, over arrays of scalars of either algebra.

An operator that is not in the table has no meaning here, and a graph that contains it is rejected: the table is the
allowlist. It is held against torch by :mod:`tests.proofs.graphs`.
"""

import math
import operator
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tests.proofs.algebra import Algebra, Scalar
from tests.proofs.statement import RefutedError, refute

Array = NDArray[np.object_]


def filled(shape: Sequence[int], entry: Callable[[tuple[int, ...]], Scalar]) -> Array:
    """An array with one entry a place."""
    array = np.empty(tuple(shape), dtype=object)
    for place in product(*map(range, shape)):
        array[place] = entry(place)
    return array


def along(array: Array, axis: int, reduce: Callable[[list[Scalar]], Scalar], *, keepdim: bool = False) -> Array:
    """Reduce one axis."""
    moved = np.moveaxis(array, axis, -1)
    reduced = filled(moved.shape[:-1], lambda place: reduce(list(moved[place])))
    return np.expand_dims(reduced, axis) if keepdim else reduced


def only(axes: int | list[int]) -> int:
    """The one axis that is reduced."""
    (axis,) = axes if isinstance(axes, list) else [axes]
    return axis


class Operators:
    """The table. A method's name is that of the operator with underscores: ``aten.max.dim`` is ``max_dim``."""

    def __init__(self, algebra: Algebra) -> None:
        """Compute in an algebra."""
        self.algebra = algebra

    def __call__(self, target: Any, arguments: Sequence[Any], options: dict[str, Any]) -> Any:  # noqa: ANN401 -- any node
        """Apply the operator that a node of a graph names."""
        if target is operator.getitem:
            return arguments[0][arguments[1]]
        name = name_of(target)
        if name not in MEANINGS:
            raise RefutedError(f"the operator {target} has no meaning here")
        return getattr(self, name)(*arguments, **options)

    # ---- the same numbers, elsewhere or under another type ----------------------------------------------------------

    def detach_default(self, array: Array) -> Array:
        """Change what gradients do, not the numbers."""
        return array

    def alias_default(self, array: Array) -> Array:
        """Name the same tensor again, as a slice that cuts nothing does."""
        return array

    def to_dtype(self, array: Array, dtype: object) -> Array:
        """Convert: over the reals, nothing happens."""
        del dtype
        return array

    def slice_tensor(self, array: Array, axis: int, start: int | None, stop: int | None) -> Array:
        """Cut one axis; stop may lie beyond the end."""
        return array[(slice(None),) * axis + (slice(start, stop),)]

    def select_int(self, array: Array, axis: int, place: int) -> Array:
        """Take one place of one axis."""
        return array[(slice(None),) * (axis % array.ndim) + (place,)]

    def unsqueeze_default(self, array: Array, axis: int) -> Array:
        """Add an axis of one."""
        return np.expand_dims(array, axis)

    def expand_default(self, array: Array, sizes: list[int]) -> Array:
        """Repeat axes of one; minus one leaves an axis as it is."""
        return np.broadcast_to(array, [old if new == -1 else new for old, new in zip(array.shape, sizes, strict=True)])

    def reshape_default(self, array: Array, sizes: list[int]) -> Array:
        """Read the same numbers in the same order under other axes."""
        return array.reshape(sizes)

    def flatten_using_ints(self, array: Array, first: int = 0, last: int = -1) -> Array:
        """Read several axes as one."""
        last %= array.ndim
        return array.reshape((*array.shape[:first], -1, *array.shape[last + 1 :]))

    def arange_default(self, count: int, **options: object) -> Array:
        """Count from zero."""
        refute(unless=options.get("dtype") is None, why="arange: of a dtype")
        return filled((count,), lambda place: place[0])

    def cat_default(self, arrays: list[Array], axis: int = 0) -> Array:
        """Put arrays one after the other."""
        return np.concatenate(arrays, axis=axis)

    def gather_default(self, array: Array, axis: int, index: Array) -> Array:
        """Take along one axis the entry that each index names."""
        refute(unless=array.ndim == index.ndim, why="gather: an index for every axis")

        def entry(place: tuple[int, ...]) -> Scalar:
            chosen = self.algebra.undefined()
            for candidate in range(array.shape[axis]):
                there = (*place[:axis], candidate, *place[axis + 1 :])
                chosen = self.algebra.choose(self.algebra.equals(index[place], candidate), array[there], chosen)
            return chosen

        return filled(index.shape, entry)

    def embedding_default(self, rows: Array, index: Array) -> Array:
        """Take the row that each index names."""
        refute(unless=rows.ndim == 2, why="embedding: rows of a matrix")

        def entry(place: tuple[int, ...]) -> Scalar:
            chosen = self.algebra.undefined()
            for row in range(len(rows)):
                same = self.algebra.equals(index[place[:-1]], row)
                chosen = self.algebra.choose(same, rows[row, place[-1]], chosen)
            return chosen

        return filled((*index.shape, rows.shape[1]), entry)

    # ---- arithmetic -------------------------------------------------------------------------------------------------

    def add_tensor(self, one: Array, other: Array | Scalar, *, alpha: int = 1) -> Array:
        """Add, entry by entry, the second so many times."""
        return np.asarray(one + other * alpha, dtype=object)

    def sub_tensor(self, one: Array, other: Array | Scalar) -> Array:
        """Subtract, entry by entry."""
        return np.asarray(one - other, dtype=object)

    def mul_tensor(self, one: Array, other: Array | Scalar) -> Array:
        """Multiply, entry by entry; by a plain number too."""
        if not isinstance(other, np.ndarray):
            return np.asarray(one * other, dtype=object)
        pairs = np.broadcast_arrays(one, other)
        return filled(pairs[0].shape, lambda place: self.algebra.product(pairs[0][place], pairs[1][place]))

    def div_tensor(self, one: Array, other: Array) -> Array:
        """Divide, entry by entry."""
        pairs = np.broadcast_arrays(one, other)
        return filled(pairs[0].shape, lambda place: self.algebra.quotient(pairs[0][place], pairs[1][place]))

    def sum_dim_intlist(self, array: Array, axes: list[int], keepdim: bool = False, *, dtype: object = None) -> Array:  # noqa: FBT002 -- torch's own signature
        """Add up along one axis."""
        del dtype
        return along(array, only(axes), self.algebra.total, keepdim=keepdim)

    def mean_dim(self, array: Array, axes: list[int], keepdim: bool = False, *, dtype: object = None) -> Array:  # noqa: FBT002 -- as above
        """Add up along one axis and divide by its length."""
        del dtype
        return along(array, only(axes), lambda terms: self.algebra.total(terms) / len(terms), keepdim=keepdim)

    def softmax_int(self, array: Array, axis: int, dtype: object = None) -> Array:
        """Divide exponentials by their sum along one axis."""
        refute(unless=dtype is None, why="softmax: converts on its way")
        powers = filled(array.shape, lambda place: self.algebra.exponential(array[place]))
        return self.div_tensor(powers, along(powers, axis, self.algebra.total, keepdim=True))

    def full_like_default(self, array: Array, value: float, **options: object) -> Array:
        """Fill with one number."""
        refute(unless=options.get("pin_memory") in {None, False}, why="full_like: pinned")
        number = self.algebra.infinity if value == math.inf else value
        return filled(array.shape, lambda _: number)

    # ---- comparison -------------------------------------------------------------------------------------------------

    def max_dim(self, array: Array, axis: int, keepdim: bool = False) -> tuple[Array, None]:  # noqa: FBT002 -- as above
        """Take the largest along one axis. Where it stood has no meaning here: with ties torch may say any place."""
        return along(array, axis, self.algebra.maximum, keepdim=keepdim), None

    def amax_default(self, array: Array, axes: list[int], keepdim: bool = False) -> Array:  # noqa: FBT002 -- as above
        """Take the largest along one axis."""
        return along(array, only(axes), self.algebra.maximum, keepdim=keepdim)

    def max_default(self, array: Array) -> Array:
        """Take the largest of all."""
        return filled((), lambda _: self.algebra.maximum(list(array.ravel())))

    def argsort_stable(self, array: Array, *, stable: bool, dim: int = -1, descending: bool = False) -> Array:
        """Sort: which place comes first, second and so on; equal entries stay in order, or there is no meaning."""
        refute(unless=stable, why="argsort: not stable, so that equal entries come in any order")
        sign = 1 if descending else -1
        moved = np.moveaxis(array, dim, -1)
        size = moved.shape[-1]

        def rank(line: Array, place: int) -> Scalar:
            others = [other for other in range(size) if other != place]
            wins = (
                self.algebra.before(sign * line[other], sign * line[place], wins_ties=other < place) for other in others
            )
            return self.algebra.number_of(wins)

        def entry(place: tuple[int, ...]) -> Scalar:
            found = self.algebra.undefined(index=True)
            for candidate in range(size):
                here = self.algebra.equals(ranks[(*place[:-1], candidate)], place[-1])
                found = self.algebra.choose(here, candidate, found)
            return found

        ranks = filled(moved.shape, lambda place: rank(moved[place[:-1]], place[-1]))
        return np.moveaxis(filled(moved.shape, entry), -1, dim)


NO_MEANING_NEEDED: Final = frozenset({"_assert_tensor_metadata_default", "promote_types_default"})
"""Nodes that compute no numbers."""

MEANINGS: Final = frozenset(name for name in vars(Operators) if not name.startswith("_"))


def name_of(target: Any) -> str:  # noqa: ANN401 -- an operator of torch
    """The method of an operator: ``aten.sum.dim_IntList`` is ``sum_dim_intlist``."""
    package, _, rest = str(target).partition(".")
    return rest.replace(".", "_").lower() if package == "aten" else str(target)
