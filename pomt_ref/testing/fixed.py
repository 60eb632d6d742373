"""Fixed cases: sizes that drawing reaches too seldom, for faults that wait until a block or a batch is full."""

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Final

from pomt_ref.testing.cases import Case, Shape
from pomt_ref.testing.families import FAMILIES
from pomt_ref.testing.formats import Dtype
from pomt_ref.testing.laws.law import Law

BRIEF: Final = (
    Shape(batch=11, heads=5, tokens=24, features=101, channels=272, prefix=4, keep=12),
    Shape(batch=2, heads=3, tokens=10, features=3, channels=2, prefix=0, keep=6),
    Shape(batch=3, heads=5, tokens=346, features=2, channels=3, prefix=1, keep=40),
)
"""What a quick check holds: much of everything at once, and no prefix, for every law; for those of mixed sizes a long
sequence last."""

BROAD: Final = Shape(batch=5, heads=5, tokens=43, features=80, channels=200, prefix=2, keep=30)
"""Many samples, features and channels, and heads that do not come in pairs, for every family of every law."""

MODELS: Final = (
    Shape(batch=4, heads=12, tokens=197, features=64, channels=768, prefix=1, keep=139),
    Shape(batch=5, heads=7, tokens=128, features=4, channels=48, prefix=0, keep=119),
    Shape(batch=11, heads=9, tokens=32, features=3, channels=16, prefix=1, keep=8),
    Shape(batch=1, heads=21, tokens=132, features=130, channels=1030, prefix=4, keep=24),
    Shape(batch=2, heads=3, tokens=577, features=128, channels=80, prefix=1, keep=300),
    Shape(batch=1, heads=16, tokens=520, features=24, channels=256, prefix=8, keep=256),
)
"""A layer of ViT-B, whole blocks of queries and of keys, few rows to discard, many samples, short and long, more heads
and channels than most kernels are tried with, and counts of heads, features and channels that fill blocks or none;
for the first family of a law."""

LONG: Final = (
    Shape(batch=2, heads=3, tokens=1041, features=2, channels=3, prefix=0, keep=512),
    Shape(batch=2, heads=1, tokens=2109, features=1, channels=16, prefix=9, keep=1030),
)
"""Sequences past the block sizes that kernels are written for, for the first family of laws of mixed sizes; the second
for the long ones alone."""

MANY: Final = Shape(batch=1, heads=1, tokens=2101, features=1, channels=16, prefix=1, keep=1)
"""More discarded rows than half precision counts, and an odd number; for the law of the mean, which has that family."""

OFFSET: Final = "offset tokens"
"""Whose mean is far from zero: a wrong number of rows is seen."""


@lru_cache(maxsize=8)
def _built(family: str, shape: Shape, *, seed: int, dtype: Dtype) -> Case:
    """Several laws begin with the same family: its large cases are made once, and what the oracle says of them too."""
    return FAMILIES[family].build(FAMILIES[family].fit(shape), seed=seed, dtype=dtype)


def fixed_cases(law: Law, *, dtype: Dtype, seed: int, long: bool = True) -> Iterator[Case]:
    """The fixed cases of a law, the same for every check with this seed: broad ones, and its long ones last.

    Arguments:
        law: whose families they are of; the first of them shows most.
        dtype: of the cases.
        seed: of the tensors.
        long: all of them; without it the brief ones alone.

    >>> from pomt_ref.testing.laws import laws_of
    >>> rank = laws_of("pomt")[4]
    >>> [case.shape.tokens for case in fixed_cases(rank, dtype="float32", seed=0, long=False)]
    [24, 10, 346]
    """
    first = law.families[0]
    if long:
        chosen = [(first, shape) for shape in MODELS] + [(name, BROAD) for name in law.families]
        lengths = LONG if law.sizes == "long" else LONG[:1]
        chosen += [(OFFSET, MANY)] if OFFSET in law.families else []
    else:
        chosen = [(first, shape) for shape in BRIEF[:2]]
        lengths = BRIEF[2:]
    if law.sizes != "small":
        chosen += [(first, shape) for shape in lengths]
    class_rows = 0 if law.method == "pomt" else 1
    for name, shape in chosen:
        prefix = max(shape.prefix, class_rows)
        yield _built(name, replace(shape, prefix=prefix, tokens=prefix + shape.patches), seed=seed, dtype=dtype)
