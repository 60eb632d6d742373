"""Vectors: cases with everything that comes out of them, as files that a program in any language reads."""

from pomt_ref.conformance.vectors.errors import Fault, VectorsError
from pomt_ref.conformance.vectors.judging import Judgement, judge_outputs
from pomt_ref.conformance.vectors.manifest import read_manifest, schema_text
from pomt_ref.conformance.vectors.reading import VectorSet, read_vector, verify
from pomt_ref.conformance.vectors.release import RELEASE, release
from pomt_ref.conformance.vectors.vector import Cut, Expected, Vector
from pomt_ref.conformance.vectors.writing import write

__all__ = [
    "RELEASE",
    "Cut",
    "Expected",
    "Fault",
    "Judgement",
    "Vector",
    "VectorSet",
    "VectorsError",
    "judge_outputs",
    "read_manifest",
    "read_vector",
    "release",
    "schema_text",
    "verify",
    "write",
]
