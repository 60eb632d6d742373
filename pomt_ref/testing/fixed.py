"""Fixed cases: sizes that drawing reaches too seldom, for faults that wait until a block or a batch is full."""

from collections.abc import Iterator
from typing import Final

from pomt_ref.testing.cases import Case, Shape
from pomt_ref.testing.families import FAMILIES
from pomt_ref.testing.laws.law import Law
from pomt_ref.testing.rounding import Dtype

BRIEF: Final = (
    Shape(batch=5, heads=16, tokens=24, features=80, channels=200, prefix=2, keep=12),
    Shape(batch=1, heads=2, tokens=346, features=2, channels=3, prefix=1, keep=40),
)
"""What a quick check holds: much of everything at once, for every law; and a long sequence, for laws of mixed sizes."""

BROAD: Final = (
    Shape(batch=5, heads=3, tokens=43, features=80, channels=200, prefix=2, keep=30),
    Shape(batch=1, heads=16, tokens=101, features=5, channels=3, prefix=1, keep=10),
)
"""Many samples, features and channels; many heads, and a mean of many rows. For every family of every law."""

LONG: Final = (
    Shape(batch=1, heads=1, tokens=514, features=2, channels=3, prefix=1, keep=384),
    Shape(batch=1, heads=1, tokens=1026, features=2, channels=3, prefix=1, keep=256),
)
"""Sequences past the block sizes that kernels are written for, for laws of mixed sizes; the oracle takes half a second
for the second."""


def fixed_cases(law: Law, *, dtype: Dtype, seed: int, long: bool = True) -> Iterator[Case]:
    """The fixed cases of a law, the same for every check with this seed: broad ones, and its long ones last.

    Arguments:
        law: whose families they are of; the first of them shows most.
        dtype: of the cases.
        seed: of the tensors.
        long: all of them; without it the brief ones alone.

    >>> from pomt_ref.testing.laws import laws_of
    >>> [case.shape.tokens for case in fixed_cases(laws_of("pomt")[4], dtype="float32", seed=0)][-2:]
    [514, 1026]
    """
    first = law.families[:1]
    if long:
        chosen = [(name, shape) for name in law.families for shape in BROAD]
        lengths = LONG
    else:
        chosen = [(name, shape) for name in first for shape in BRIEF[:1]]
        lengths = BRIEF[1:]
    if law.sizes == "mixed":
        chosen += [(name, shape) for name in first for shape in lengths]
    for name, shape in chosen:
        yield FAMILIES[name].build(FAMILIES[name].fit(shape), seed=seed, dtype=dtype)
