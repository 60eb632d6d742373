"""The release: which cases a set of vectors consists of. It changes with its number and for no other reason."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, get_args
from zlib import crc32

import numpy as np

from pomt_ref.conformance.vectors.drawing import settled_case
from pomt_ref.conformance.vectors.errors import Fault, VectorsError
from pomt_ref.conformance.vectors.expecting import expect
from pomt_ref.conformance.vectors.vector import Vector
from pomt_ref.testing import FAMILIES, Case, Dtype, Method, Shape, laws_of

RELEASE: Final = 4
"""Of the list below, and of what its families draw. Another list is another release."""

DTYPES: Final[tuple[Dtype, ...]] = get_args(Dtype)
METHODS: Final[tuple[Method, ...]] = get_args(Method)

SMALL: Final = (
    Shape(batch=1, heads=2, tokens=9, features=2, channels=3, prefix=1, keep=4),
    Shape(batch=2, heads=1, tokens=8, features=4, channels=2, prefix=0, keep=5),
    Shape(batch=1, heads=3, tokens=16, features=2, channels=5, prefix=2, keep=9),
    Shape(batch=3, heads=2, tokens=8, features=1, channels=3, prefix=1, keep=3),
    Shape(batch=1, heads=2, tokens=22, features=4, channels=2, prefix=5, keep=11),
    Shape(batch=2, heads=4, tokens=10, features=2, channels=1, prefix=3, keep=6),
    Shape(batch=1, heads=2, tokens=18, features=2, channels=4, prefix=1, keep=14),
)
"""Every family is drawn in one of these a dtype, and in another one for the next dtype."""

EDGES: Final = tuple(
    Shape(batch=1, heads=2, tokens=prefix + patches, features=2, channels=3, prefix=prefix, keep=keep)
    for prefix in (0, 1, 2, 3, 5)
    for patches, keep in ((7, 0), (7, 1), (7, 6), (1, 0))
)
"""Every prefix with T = 0, T = 1, T = n - 1 and with a single patch token."""

BROAD: Final[tuple[tuple[str, Dtype, Shape], ...]] = (
    ("disagreeing heads", "float16", Shape(batch=1, heads=21, tokens=37, features=2, channels=2, prefix=1, keep=18)),
    ("contrasting samples", "float16", Shape(batch=3, heads=1, tokens=70, features=1, channels=2, prefix=1, keep=35)),
    ("contrasting samples", "float32", Shape(batch=11, heads=1, tokens=7, features=2, channels=2, prefix=1, keep=3)),
    ("values alone", "float32", Shape(batch=1, heads=2, tokens=11, features=130, channels=2, prefix=1, keep=5)),
    ("ordinary", "float32", Shape(batch=1, heads=2, tokens=11, features=2, channels=770, prefix=1, keep=5)),
    *[
        ("faint attention", dtype, Shape(batch=1, heads=2, tokens=10, features=2, channels=2, prefix=1, keep=5))
        for dtype in ("float32", "bfloat16", "float32", "float16")
    ],
    *[
        ("near ties", "float64", Shape(batch=1, heads=1, tokens=16, features=2, channels=2, prefix=0, keep=8))
        for _ in range(4)
    ],
)
"""For faults that wait: many heads, and an odd number of them; many samples, and several of a longer sequence; many
features and channels; very faint attention; what only float64 tells."""

IMAGE: Final = Shape(batch=1, heads=1, tokens=197, features=4, channels=2, prefix=1, keep=98)
"""A ViT's 196 patches and its class token."""

COPIED: Final = frozenset({"POMT-PRUNE-2", "POMT-PRUNE-4", "POMT-PREC-1"})
READ: Final[Mapping[Method, frozenset[str]]] = {
    "pomt": COPIED | {"POMT-RANK-1", "POMT-PRUNE-1", "POMT-PRUNE-3"},
    "topk": COPIED | {"TOPK-1"},
    "evit": COPIED | {"EVIT-1"},
}
"""The clauses by which every output of a method is read."""

LONG: Final = Shape(batch=1, heads=1, tokens=306, features=2, channels=2, prefix=1, keep=2)
"""Indices that eight bits do not hold, and a mean of 303 rows."""

SPACING: Final = 1000
"""Seeds between one name's and the next one's."""

LARGEST_SEED: Final = 1000
"""So that every case's seed is a whole number for JavaScript too."""


@dataclass(frozen=True)
class Entry:
    """One line of the list."""

    method: Method
    family: str
    dtype: Dtype
    shape: Shape
    closest: bool = False
    """Whether T is chosen anew, so that the cut falls between the two scores that are closest."""


def entries() -> Iterator[Entry]:
    """The list: every family for every method, then the edges, then what is broad, and whole images."""
    for method in METHODS:
        for family in sorted(FAMILIES):
            place = crc32(family.encode())
            for turn, dtype in _dtypes(method, place):
                shape = SMALL[(place + turn) % len(SMALL)]
                if FAMILIES[family].patches.least < IMAGE.patches:
                    yield Entry(method, family, dtype, shape)
                elif "16" in dtype:  # a whole image: attention takes the room
                    yield Entry(method, family, dtype, replace(shape, heads=1))
        for place, shape in enumerate(EDGES):
            if method == "pomt" or shape.prefix:
                yield from (Entry(method, "ordinary", dtype, shape) for _, dtype in _dtypes(method, place + place // 4))
    yield from (Entry("pomt", *each) for each in BROAD)
    yield Entry("pomt", "ordinary", "float16", replace(IMAGE, heads=2), closest=True)
    yield Entry("pomt", "ordinary", "float32", IMAGE, closest=True)
    yield Entry("pomt", "ties", "float16", IMAGE)
    yield Entry("pomt", "ordinary", "float16", LONG)


def _dtypes(method: Method, place: int) -> Iterator[tuple[int, Dtype]]:
    """All for POMT; for the siblings, which rank and copy in the same way, one in turn."""
    for turn, dtype in enumerate(DTYPES):
        if method == "pomt" or turn == place % len(DTYPES):
            yield turn, dtype


@dataclass(frozen=True)
class Listed:
    """One case of the release, and nothing of what comes out of it: its name says which line of the list it is."""

    name: str
    method: Method
    clauses: tuple[str, ...]
    case: Case


def listed(seed: int = 0) -> Iterator[Listed]:
    """The cases of the release; another seed gives the same list of families and shapes with other numbers.

    Raises:
        VectorsError: a seed that is out of its range.
    """
    if not 0 <= seed <= LARGEST_SEED:
        raise VectorsError([Fault("--seed", f"0 to {LARGEST_SEED}", f"{seed}")])
    taken: Counter[str] = Counter()
    for entry in entries():
        family = FAMILIES[entry.family]
        shape = family.fit(entry.shape if entry.method == "pomt" else with_class_row(entry.shape))
        stem = f"{entry.method}-{entry.family.replace(' ', '-')}-{entry.dtype}"
        name = f"{stem}-{taken[stem] + 1}"
        case = settled_case(family, shape, seed=first_seed(name, seed), dtype=entry.dtype)
        case = case.keeping(closest_cut(case)) if entry.closest else case
        if not case.defined:  # attention so faint that this dtype has none of it: no order to tell
            continue
        taken[stem] += 1
        yield Listed(name, entry.method, clauses_of(entry.method, entry.family), case)


def release(seed: int = 0) -> Iterator[Vector]:
    """The vectors of the release: every case that is listed, with what comes out of it.

    Raises:
        VectorsError: a seed that is out of its range.
    """
    for one in listed(seed):
        yield Vector(one.name, one.method, one.clauses, one.case, expect(one.case, one.method))


def first_seed(name: str, seed: int) -> int:
    """Where the search for the seed of a case begins: it depends on nothing but its name and the seed of the set.

    >>> first_seed("pomt-ties-float16-1", 0) < first_seed("pomt-ties-float16-1", 1)
    True
    """
    return SPACING * (crc32(name.encode()) + 2**32 * seed)


def closest_cut(case: Case) -> int:
    """T, such that the last token kept and the first one discarded differ in score as little as any two."""
    scores = np.sort(expect(case, "pomt").scores[0])[::-1]
    gaps = scores[:-1] - scores[1:]
    return 1 + int(np.where(gaps > 0, gaps, np.inf).argmin())


def with_class_row(shape: Shape) -> Shape:
    """SIB-1: the siblings need a class token."""
    return shape if shape.prefix else replace(shape, prefix=1, tokens=shape.tokens + 1)


def clauses_of(method: Method, family: str) -> tuple[str, ...]:
    """What an accepted output shows: what every output is read by, and the clauses whose laws draw from the family.

    Metamorphic laws compare two outputs; one alone shows nothing of them.

    >>> clauses_of("topk", "contrasting prefix")
    ('POMT-PRUNE-2', 'POMT-PRUNE-4', 'POMT-PREC-1', 'TOPK-1', 'SIB-1')
    """
    drawn = {law.clause for law in laws_of(method) if family in law.families and "META" not in law.clause}
    specified = dict.fromkeys(law.clause for law in (*laws_of("pomt"), *laws_of(method)))
    return tuple(clause for clause in specified if clause in drawn | READ[method])
