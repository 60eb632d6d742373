"""What ``pomt-ref vectors write``, ``verify`` and ``show`` do; each returns the exit status."""

import argparse
from collections.abc import Callable, Mapping
from typing import Final

from rich.console import Console

from pomt_ref.conformance.vectors.errors import Fault, VectorsError
from pomt_ref.conformance.vectors.judging import judge_outputs
from pomt_ref.conformance.vectors.manifest import MANIFEST, read_manifest
from pomt_ref.conformance.vectors.reading import read_vector, verify, wrong
from pomt_ref.conformance.vectors.showing import list_vectors, show_judgements, show_vector
from pomt_ref.conformance.vectors.writing import write
from pomt_ref.testing import PROFILES


def write_set(parsed: argparse.Namespace) -> int:
    """``pomt-ref vectors write``."""
    count = write(parsed.folder, version=parsed.version, seed=parsed.seed)
    print(f"{parsed.folder}: {count} cases written, seed {parsed.seed}")
    return 0


def verify_set(parsed: argparse.Namespace) -> int:
    """``pomt-ref vectors verify``: the set itself, then outputs for it."""
    found = verify(parsed.folder)
    about = f"release {found.release}, seed {found.seed}, {found.generator}"
    print(f"{parsed.folder}: {len(found.vectors)} cases, complete and right ({about})")
    if parsed.outputs is None:
        return 0
    asked = [
        vector
        for vector in found.vectors
        if vector.method in (parsed.method or [vector.method])
        and vector.case.dtype in (parsed.dtype or [vector.case.dtype])
    ]
    profile = None if parsed.profile is None else PROFILES[parsed.profile]
    judgements = judge_outputs(asked, parsed.outputs, profile=profile)
    show_judgements(judgements, Console(highlight=False))
    return int(any(each.result in {"wrong", "missing"} for each in judgements))


def show_set(parsed: argparse.Namespace) -> int:
    """``pomt-ref vectors show``: the list, or one case of it."""
    document, console = read_manifest(parsed.folder), Console(highlight=False)
    if parsed.case is None:
        list_vectors(document, console)
        return 0
    entries = {entry["id"]: entry for entry in document["cases"]}
    if parsed.case not in entries:
        expected = f"a case of {parsed.folder / MANIFEST}"
        raise VectorsError([Fault("show", expected, f"{parsed.case}")])
    vector = read_vector(parsed.folder, entries[parsed.case])
    faults = [*wrong(vector, parsed.folder / entries[parsed.case]["file"])]
    if faults:
        raise VectorsError(faults)
    show_vector(vector, console)
    return 0


ACTIONS: Final[Mapping[str, Callable[[argparse.Namespace], int]]] = {
    "write": write_set,
    "verify": verify_set,
    "show": show_set,
}
"""The actions by their names on the command line."""
