"""The part of JSON Schema that the manifest's schema is written in, so that reading a manifest needs no package."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pomt_ref.conformance.vectors.errors import Fault

ASSERTIONS: Final = (
    "const",
    "enum",
    "type",
    "minimum",
    "pattern",
    "required",
    "properties",
    "additionalProperties",
    "minItems",
    "items",
)
"""Keywords that are understood, in the order in which they are asked; titles and descriptions assert nothing."""

SHOWN: Final = 40
"""Characters of a value that a message shows."""

NAMES: Final[Mapping[str, str]] = {
    "object": "an object",
    "array": "an array",
    "string": "text",
    "integer": "an integer",
    "number": "a number",
    "null": "null",
}
"""JSON's types as a message calls them."""

TYPES: Final[Mapping[str, type | tuple[type, ...]]] = {
    "object": dict,
    "array": list,
    "string": str,
    "number": (int, float),
    "null": type(None),
}
"""Python's words for JSON's types; an integer is a number without a fraction, and no truth value is a number."""

Schema = Mapping[str, Any]


def faults(value: Any, schema: Schema, root: Schema, where: str) -> Iterator[Fault]:  # noqa: ANN401 -- any JSON
    """Everything that is wrong with a value, in the order of the document.

    Arguments:
        value: what JSON was read to.
        schema: what it is held against.
        root: the document that references such as ``#/$defs/case`` are looked up in.
        where: the file and a colon, or the place in it.

    >>> schema = {"properties": {"seed": {"type": "integer"}}, "additionalProperties": False}
    >>> for fault in faults({"seed": "x", "sed": 1}, schema, schema, "manifest.json:"): print(fault)
    vectors manifest.json: seed: expected an integer, got "x"
    vectors manifest.json: expected no field "sed", got one
    """
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    expected = _expected(value, schema)
    if expected is not None:
        yield Fault(where.removesuffix(":"), expected, told(value))
    elif isinstance(value, dict):
        yield from _faults_of_fields(value, schema, root, where)
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from faults(item, schema.get("items", {}), root, f"{where}[{place}]")


def told(value: Any) -> str:  # noqa: ANN401 -- any JSON
    """A value as a message shows it: its beginning, if it is long.

    >>> told(["a" * 99])
    '["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…'
    """
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _faults_of_fields(value: Schema, schema: Schema, root: Schema, where: str) -> Iterator[Fault]:
    """What is wrong with the fields of an object, and which are missing or unknown."""
    known = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield Fault(where.removesuffix(":"), f'a field "{name}"', "none")
    for name, field in value.items():
        if name in known:
            yield from faults(field, known[name], root, _inside(where, name))
        else:  # every object of the schema is closed
            yield Fault(where.removesuffix(":"), f"no field {told(name)}", "one")


def _inside(where: str, name: str) -> str:
    """The place of a field: ``file: field``, and from there on ``file: field.field``."""
    return f"{where} {name}" if where.endswith(":") else f"{where}.{name}"


def _expected(value: Any, schema: Schema) -> str | None:  # noqa: ANN401 -- any JSON
    """What the value itself should have been; None if it is that."""
    allowed = schema["enum"] if "enum" in schema else [schema["const"]] if "const" in schema else None
    if allowed is not None:
        return None if any(_same(value, each) for each in allowed) else " or ".join(map(told, allowed))
    types = schema.get("type", ())
    types = [types] if isinstance(types, str) else types
    if types and not any(_is(value, name) for name in types):
        return " or ".join(NAMES[name] for name in types)
    if isinstance(value, int | float) and value < schema.get("minimum", value):
        return f"{schema['minimum']} or more"
    if isinstance(value, str) and not re.search(_python(schema.get("pattern", "")), value):
        return f"text of the pattern {schema['pattern']}"
    short = isinstance(value, list) and len(value) < schema.get("minItems", 0)
    return f"{schema['minItems']} or more items" if short else None


def _same(one: Any, other: Any) -> bool:  # noqa: ANN401 -- any JSON
    """Equal as JSON says it: a truth value is no number."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _is(value: Any, name: str) -> bool:  # noqa: ANN401 -- any JSON
    """Whether a value is of one of JSON's types."""
    if isinstance(value, bool):
        return False
    if name == "integer":
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return isinstance(value, TYPES[name])


def _python(pattern: str) -> str:
    """A pattern in Python's words: JSON Schema's ``$`` is the end of the text, and not before a last newline either."""
    return f"{pattern[:-1]}\\Z" if pattern.endswith("$") else pattern
