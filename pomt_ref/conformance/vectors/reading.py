"""Reading a folder of vectors, and verifying it: every file is the one written, and says what the oracle says."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np

from pomt_ref.conformance.vectors.completeness import another, require_complete
from pomt_ref.conformance.vectors.encoding import Array, dtype_of, unpack, widened
from pomt_ref.conformance.vectors.errors import Fault, VectorsError
from pomt_ref.conformance.vectors.expecting import BOUND_BITS, expect
from pomt_ref.conformance.vectors.judging import judge
from pomt_ref.conformance.vectors.manifest import (
    MANIFEST,
    SCHEMA,
    Document,
    metadata_of,
    read_manifest,
    schema_text,
    shape_of,
)
from pomt_ref.conformance.vectors.vector import AXES, Cut, Expected, Vector, tensor_shapes
from pomt_ref.testing import PROFILES, Case, InapplicableError, LawViolation, Outcome, Shape

ROW_SUM_SLACK: Final = 2.0**-6
"""How far a row of attention may be from one: bfloat16 rounds every number of it by up to 2⁻⁹ of itself."""

BOUND_SLACK: Final = 2.0 ** (1 - BOUND_BITS)
"""Relative: a bound that another machine rounded up may be one step of its last bit off."""


BOUNDS: Final = ("epsilon", "last_row_bound")
"""What is rounded up, and so need not be equal to the bit."""


@dataclass(frozen=True)
class VectorSet:
    """A folder of vectors that is complete and right."""

    folder: Path
    generator: str
    release: int
    seed: int
    vectors: tuple[Vector, ...]


def verify(folder: Path) -> VectorSet:
    """Read every vector, and hold it against its checksum, against the oracle and against the list of the release.

    Raises:
        VectorsError: the folder is damaged or none of this kind; every fault is named.
    """
    document = read_manifest(folder)
    cases = require_complete(document, folder / MANIFEST)
    found, vectors = [*_strangers(folder, document)], []
    for entry in document["cases"]:
        try:
            vector = read_vector(folder, entry)
        except VectorsError as error:
            found += error.faults
            continue
        found += [*wrong(vector, folder / entry["file"])] or [
            *another(vector, cases[vector.name], folder / entry["file"])
        ]
        vectors.append(vector)
    if found:
        raise VectorsError(found)
    return VectorSet(folder, document["generator"], document["release"], document["seed"], tuple(vectors))


def read_vector(folder: Path, entry: Document) -> Vector:
    """The vector of one entry of the manifest: the file that was written, with all its tensors.

    Raises:
        VectorsError: it is missing, another one, or holds other tensors.
    """
    path, shape = folder / entry["file"], shape_of(entry)
    _require_digest(path, entry["sha256"])
    tensors, metadata = unpack(path)
    about = metadata_of(entry)
    if metadata != about:
        differ = sorted(name for name in about.keys() | metadata.keys() if about.get(name) != metadata.get(name))
        named = f"{path}: metadata {differ[0]}"
        raise VectorsError([Fault(named, about.get(differ[0], "nothing"), metadata.get(differ[0], "nothing"))])
    shapes = tensor_shapes(shape, entry["dtype"], entry["method"])
    found = {name: (dtype_of(tensor), tuple(tensor.shape)) for name, tensor in tensors.items()}
    for name in sorted(shapes.keys() | found.keys()):
        if shapes.get(name) != found.get(name):
            raise VectorsError([Fault(f"{path}: {name}", _typed(shapes.get(name)), _typed(found.get(name)))])
    arrays = {name: widened(tensor) for name, tensor in tensors.items()}
    return _vector(entry, shape, arrays)


def wrong(vector: Vector, path: Path) -> Iterator[Fault]:
    """What a vector says that the oracle does not."""
    case = vector.case
    unfit = _unfit(case)
    if unfit is not None:
        yield Fault(f"{path}: {unfit}", "finite input, attention that sums to one", "something else")
        return
    said = vector.expected
    try:
        with np.errstate(all="ignore"):
            differences = [*_differences(said, expect(case, vector.method))]
    except (InapplicableError, OverflowError):
        yield Fault(f"{path}", "input whose sums the formats hold", "larger numbers")
        return
    if differences:
        where, right, found = differences[0]
        yield Fault(f"{path}: {where}", f"{right}, as the oracle says", f"{found}")
        return
    stages = {"scores": said.scores}
    shown = Outcome(said.tokens, case.dtype, kept=said.kept, discarded=said.discarded, stages=stages)
    try:
        judge(vector, shown, PROFILES["float64"])
    except LawViolation as violation:
        yield Fault(f"{path}", "an output that is admissible", f"{violation}")


def _strangers(folder: Path, document: Document) -> Iterator[Fault]:
    """Files that the manifest does not list: not part of the set, or a set that was copied over another."""
    listed = {entry["file"] for entry in document["cases"]} | {MANIFEST, SCHEMA}
    schema = folder / SCHEMA
    if not schema.is_file() or schema.read_bytes() != schema_text().encode():
        yield Fault(f"{schema}", "the schema of the manifest", "something else" if schema.exists() else "nothing")
    for path in sorted(folder.iterdir()):
        if path.name not in listed:
            yield Fault(f"{path}", "files that the manifest lists", "another one")


def _require_digest(path: Path, digest: str) -> None:
    """The file is the one that was written."""
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise VectorsError([Fault(f"{path}", "the file of a case", f"{error}")]) from error
    if found != digest:
        raise VectorsError([Fault(f"{path}", f"SHA-256 {digest[:12]}…", f"{found[:12]}…")])


def _vector(entry: Document, shape: Shape, arrays: dict[str, Array]) -> Vector:
    """Everything of one vector."""
    inputs: dict[str, Any] = {name: arrays[name] for name in ("x", "attn", "v")}
    outputs: dict[str, Any] = {field.name: arrays.get(field.name) for field in fields(Expected)}
    outputs["cuts"] = tuple(_cut(cut) for cut in entry["cuts"])
    case = Case(entry["family"], shape, entry["seed"], entry["dtype"], **inputs)
    return Vector(entry["id"], entry["method"], tuple(entry["clauses"]), case, Expected(**outputs))


def _cut(cut: Document) -> Cut:
    """A cut; JSON may say a number that has a fraction elsewhere as a whole one."""
    gap, allowed = (None if cut[name] is None else float(cut[name]) for name in ("gap", "allowed"))
    return Cut(gap, allowed, cut["decision"])


def _unfit(case: Case) -> str | None:
    """The input tensor that is no input of a step."""
    for name in ("x", "attn", "v"):
        if not np.isfinite(getattr(case, name)).all():
            return name
    with np.errstate(over="ignore"):
        off = np.abs(case.attn.sum(axis=-1) - 1) > ROW_SUM_SLACK
    return "attn" if (case.attn < 0).any() or off.any() or not case.defined else None


def _differences(said: Expected, right: Expected) -> Iterator[tuple[str, object, object]]:
    """Where a vector says something else than it should, what it should say, and what it says."""
    for sample, (cut, right_cut) in enumerate(zip(said.cuts, right.cuts, strict=True)):
        if (cut.gap, cut.decision) != (right_cut.gap, right_cut.decision) or not _near(cut.allowed, right_cut.allowed):
            yield f"cuts[{sample}]", right_cut, cut
    for name in (name for name in AXES if hasattr(right, name)):
        found, expected = getattr(said, name), getattr(right, name)
        if expected is None:  # Top-K has no last row, and none was read
            continue
        slack = BOUND_SLACK if name in BOUNDS else 0.0
        close = np.abs(found.astype(np.float64) - expected) <= slack * np.abs(expected)  # a NaN is close to nothing
        same = close & (np.signbit(found.astype(np.float64)) == np.signbit(expected.astype(np.float64)))
        for place in map(tuple, np.argwhere(~same).tolist()):
            yield f"{name}{list(place)}", expected[place], found[place]


def _near(one: float | None, other: float | None) -> bool:
    """Whether two sums of bounds are the same."""
    if one is None or other is None:
        return one is other
    return abs(one - other) <= BOUND_SLACK * other


def _typed(tensor: tuple[str, tuple[int, ...]] | None) -> str:
    """A tensor as a message tells it."""
    return "no such tensor" if tensor is None else f"{tensor[0]} of shape {list(tensor[1])}"
