"""Whether a set of vectors is the release that its manifest says: all of its cases, no other, with its numbers.

A release is deterministic, so that what a complete set holds is known: it is drawn anew, and compared.
"""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

from pomt_ref.conformance.vectors.errors import Fault, VectorsError
from pomt_ref.conformance.vectors.manifest import Document
from pomt_ref.conformance.vectors.release import LARGEST_SEED, RELEASE, Listed, listed
from pomt_ref.conformance.vectors.vector import Vector

SHOWN: Final = 3
"""Names in a message: as many as a line holds."""


def require_complete(document: Document, path: Path) -> Mapping[str, Listed]:
    """The cases of the release and seed of a manifest, by their names: it has all of them, and no other.

    Raises:
        VectorsError: it is of another release, of a seed that has none, or lists other cases.
    """
    if document["release"] != RELEASE:
        raise VectorsError([Fault(f"{path}: release", f"{RELEASE}, the one known here", f"{document['release']}")])
    if document["seed"] > LARGEST_SEED:
        raise VectorsError([Fault(f"{path}: seed", f"0 to {LARGEST_SEED}", f"{document['seed']}")])
    cases = {one.name: one for one in listed(document["seed"])}
    there = [entry["id"] for entry in document["cases"]]
    missing, other = [name for name in cases if name not in there], [name for name in there if name not in cases]
    expected, found = f"the {len(cases)} cases of release {RELEASE}", []
    if missing:
        found.append(Fault(f"{path}: cases", expected, f"none of {_some(missing)}"))
    if other:
        found.append(Fault(f"{path}: cases", expected, f"{_some(other)} besides"))
    if found:
        raise VectorsError(found)
    return cases


def another(vector: Vector, right: Listed, path: Path) -> Iterator[Fault]:
    """What a vector that is right in itself is, and the one of its name in the release is not."""
    case, expected, which = vector.case, right.case, f"as in release {RELEASE} with this seed"
    told = {
        name: (f"{getattr(expected, name)}", f"{getattr(case, name)}") for name in ("family", "dtype", "shape", "seed")
    }
    told["method"] = (right.method, vector.method)
    told["clauses"] = (" ".join(right.clauses), " ".join(vector.clauses))
    for name, (wanted, got) in told.items():
        if wanted != got:
            yield Fault(f"{path}: {name}", f"{wanted}, {which}", got)
            return
    for name in ("x", "attn", "v"):
        if getattr(case, name).tobytes() != getattr(expected, name).tobytes():
            yield Fault(f"{path}: {name}", f"numbers {which}", "others")


def _some(names: Collection[str]) -> str:
    """The first of them, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join([*names][:SHOWN])}{more}"
