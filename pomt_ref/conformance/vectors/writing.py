"""Writing a folder of vectors: whole or not at all, and over nothing but an older set."""

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from pomt_ref.conformance.vectors.encoding import pack
from pomt_ref.conformance.vectors.errors import Fault, VectorsError
from pomt_ref.conformance.vectors.manifest import (
    MANIFEST,
    SCHEMA,
    as_entry,
    as_json,
    metadata_of,
    read_manifest,
    schema_text,
)
from pomt_ref.conformance.vectors.release import release
from pomt_ref.conformance.vectors.vector import Vector, tensor_shapes


def write(folder: Path, *, version: str, seed: int = 0) -> int:
    """Write the release into a folder.

    Arguments:
        folder: made if it is not there; empty, or an older set of vectors, which is replaced.
        version: of the package that writes, for the manifest.
        seed: of the release; another one gives other numbers.

    Returns:
        how many cases were written.

    Raises:
        VectorsError: the folder holds something else, or cannot be written.
    """
    folder = folder.resolve()  # what a link points to is replaced, and not the link
    beside = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    try:
        _require_replaceable(folder)
        beside.mkdir(parents=True)
        try:
            count = _fill(beside, seed, version)
            _exchange(beside, folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    except OSError as error:
        raise VectorsError([Fault(f"{folder}", "a folder that can be written", f"{error}")]) from error
    return count


def as_file(vector: Vector, metadata: Mapping[str, str]) -> bytes:
    """The safetensors file of a vector."""
    found = vars(vector.case) | vars(vector.expected)
    shapes = tensor_shapes(vector.case.shape, vector.case.dtype, vector.method)
    return pack({name: (dtype, found[name]) for name, (dtype, _) in shapes.items()}, metadata)


def _fill(folder: Path, seed: int, version: str) -> int:
    """A file a vector, then the manifest."""
    entries = []
    for vector in release(seed):
        entry = as_entry(vector)
        data = as_file(vector, metadata_of(entry))
        (folder / entry["file"]).write_bytes(data)
        entries.append(entry | {"sha256": hashlib.sha256(data).hexdigest()})
    for name, text in ((SCHEMA, schema_text()), (MANIFEST, as_json(entries, seed=seed, version=version))):
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    return len(entries)


def _require_replaceable(folder: Path) -> None:
    """Refuse to write over what is no set of vectors: it may be somebody's work."""
    if not folder.exists():
        return
    present = {path.name for path in folder.iterdir()}
    if not present:
        return
    expected = "no such folder, an empty one, or a set of vectors and nothing else"
    try:
        listed = {entry["file"] for entry in read_manifest(folder)["cases"]} | {MANIFEST, SCHEMA}
    except VectorsError:
        listed = set()
    other = sorted(present - listed)
    if other:
        raise VectorsError([Fault(f"{folder}", expected, f"a folder that holds {other[0]}")])


def _exchange(new: Path, folder: Path) -> None:
    """Put the new folder in the place of the old one; a reader sees the one or the other."""
    old = new.with_suffix(".old")
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
