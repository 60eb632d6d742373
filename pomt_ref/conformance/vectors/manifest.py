"""The manifest: what stands in a folder of vectors, as JSON that a published schema describes."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from pomt_ref.conformance.schema import mismatches, parsed
from pomt_ref.conformance.vectors.errors import Fault, VectorsError
from pomt_ref.conformance.vectors.release import RELEASE
from pomt_ref.conformance.vectors.vector import Vector
from pomt_ref.testing import Shape

FORMAT: Final = 1
"""Of manifest and files; a field or tensor that goes or changes its meaning raises it."""

MANIFEST: Final = "manifest.json"
SCHEMA: Final = "manifest.schema.json"
"""The JSON Schema, in the package and in every folder of vectors."""

Document = Mapping[str, Any]


def schema_text() -> str:
    """The JSON Schema that every manifest satisfies.

    >>> json.loads(schema_text())["additionalProperties"]
    False
    """
    return files("pomt_ref.conformance.vectors").joinpath(SCHEMA).read_text(encoding="utf-8")


def as_json(entries: list[dict[str, Any]], *, seed: int, version: str) -> str:
    """The manifest of these cases, a line a case."""
    head = {"format": FORMAT, "release": RELEASE, "generator": f"pomt_ref {version}", "seed": seed}
    fields = [f' "{name}": {json.dumps(value)}' for name, value in head.items()]
    cases = ",\n".join(f"  {json.dumps(entry, allow_nan=False)}" for entry in entries)
    return "{\n" + ",\n".join([*fields, f' "cases": [\n{cases}\n ]']) + "\n}\n"


def as_entry(vector: Vector) -> dict[str, Any]:
    """One case of the manifest, but for the checksum of its file."""
    shape = asdict(vector.case.shape)
    counts = {name: shape.pop(name) for name in ("prefix", "keep")}
    return {
        "id": vector.name,
        "file": file_name(vector.name),
        "method": vector.method,
        "clauses": list(vector.clauses),
        "family": vector.case.family,
        "dtype": vector.case.dtype,
        "seed": vector.case.seed,
        "shape": shape,
        **counts,
        "cuts": [asdict(cut) for cut in vector.expected.cuts],
    }


def metadata_of(entry: Document) -> dict[str, str]:
    """What a file says of itself, as text; ``prefix`` is what ``pomt-ref check --cases`` asks a file for."""
    about = {"pomt_ref": f"vector {FORMAT}"}
    about |= {name: str(entry[name]) for name in ("id", "method", "family", "dtype")}
    about |= {name: str(entry[name]) for name in ("seed", "prefix", "keep")}
    return about | {"clauses": " ".join(entry["clauses"])}


def file_name(name: str) -> str:
    """Where the tensors of a case are."""
    return f"{name}.safetensors"


def shape_of(entry: Document) -> Shape:
    """The shape of a case."""
    return Shape(**entry["shape"], prefix=entry["prefix"], keep=entry["keep"])


def read_manifest(folder: Path) -> Document:
    """The manifest of a folder, which satisfies its schema, and whose cases can be.

    Raises:
        VectorsError: there is none, or what is there is no manifest; every fault is named.
    """
    path = folder / MANIFEST
    try:
        document = parsed(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise VectorsError([Fault(f"{path}", "a manifest in JSON", f"{error}")]) from error
    root = json.loads(schema_text())
    against = mismatches(document, root, root, f"{path}:")
    found = [Fault(each.where, each.expected, each.got) for each in against] or _impossible(document, path)
    if found:
        raise VectorsError(found)
    return dict(document)


def _impossible(document: Document, path: Path) -> list[Fault]:
    """What a schema cannot say: names that occur once, counts that fit, a cut a sample."""
    found, seen = [], set()
    for place, entry in enumerate(document["cases"]):
        where, shape = f"{path}: cases[{place}]", shape_of(entry)
        if entry["id"] in seen:
            found.append(Fault(f"{where}.id", "each case once", f"{entry['id']} again"))
        seen.add(entry["id"])
        if entry["file"] != file_name(entry["id"]):
            found.append(Fault(f"{where}.file", file_name(entry["id"]), f"{entry['file']}"))
        if not 0 <= shape.keep < shape.patches:
            expected = f"0 <= keep < tokens - prefix = {shape.patches}"
            found.append(Fault(f"{where}.keep", expected, f"{shape.keep}"))
        if entry["method"] != "pomt" and shape.prefix == 0:
            found.append(Fault(f"{where}.prefix", "a class token (SIB-1)", "0"))
        if len(entry["cuts"]) != shape.batch:
            found.append(Fault(f"{where}.cuts", f"{shape.batch}, one a sample", f"{len(entry['cuts'])}"))
    return found
