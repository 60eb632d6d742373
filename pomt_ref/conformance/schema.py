"""The part of JSON Schema that the published schemas are written in, so that reading a document needs no package."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

ASSERTIONS: Final = (
    "const",
    "enum",
    "type",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "pattern",
    "required",
    "properties",
    "additionalProperties",
    "minItems",
    "uniqueItems",
    "items",
    "oneOf",
    "allOf",
    "if",
    "then",
    "else",
)
"""Keywords that are understood; titles and descriptions assert nothing."""

SHOWN: Final = 40
"""Characters of a value that a message shows."""

DIGITS: Final = 18
"""Of the largest whole number that a document holds; options of the command line take no larger ones either."""

NAMES: Final[Mapping[str, str]] = {
    "object": "an object",
    "array": "an array",
    "string": "text",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
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
Number = int | float


@dataclass(frozen=True)
class Mismatch:
    """One thing in a document that its schema does not allow."""

    where: str
    """The document, or the place in it."""
    expected: str
    got: str


def parsed(text: str) -> Any:  # noqa: ANN401 -- any JSON
    """What JSON says, with numbers that arithmetic has room for.

    Raises:
        ValueError: it is no JSON, or nested beyond what can be read, or a number is no number or too large.

    >>> parsed('{"seed": 1e999}')
    Traceback (most recent call last):
    ValueError: 1e999 is too large a number
    """
    try:
        return json.loads(text, parse_constant=_refuse, parse_int=_integer, parse_float=_real)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def mismatches(value: Any, schema: Schema, root: Schema, where: str) -> Iterator[Mismatch]:  # noqa: ANN401 -- any JSON
    """Everything that is wrong with a value, in the order of the document.

    Arguments:
        value: what JSON was read to.
        schema: what it is held against.
        root: the document that references such as ``#/$defs/case`` are looked up in.
        where: the file and a colon, or the place in it.

    >>> schema = {"properties": {"seed": {"type": "integer"}}, "additionalProperties": False}
    >>> for found in mismatches({"seed": "x", "sed": 1}, schema, schema, "manifest.json:"): print(found)
    Mismatch(where='manifest.json: seed', expected='an integer', got='"x"')
    Mismatch(where='manifest.json', expected='no field "sed"', got='one')
    """
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    expected = _expected(value, schema)
    if expected is not None:
        yield Mismatch(where.removesuffix(":"), expected, told(value))
        return
    if isinstance(value, dict):
        yield from _of_fields(value, schema, root, where)
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from mismatches(item, schema.get("items", {}), root, f"{where}[{place}]")
    yield from _of_parts(value, schema, root, where)


def told(value: Any) -> str:  # noqa: ANN401 -- any JSON
    """A value as a message shows it: its beginning, if it is long.

    >>> told(["a" * 99])
    '["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…'
    """
    try:
        text = json.dumps(value, ensure_ascii=False)
    except RecursionError:  # what was just read may still be nested too deep for writing
        return "what is nested too deep"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _refuse(constant: str) -> None:
    """NaN and Infinity are no JSON."""
    raise ValueError(f"{constant} is no number in JSON")


def _integer(digits: str) -> int:
    """A whole number of a sensible size."""
    if len(digits.removeprefix("-")) > DIGITS:
        raise ValueError(f"an integer of {len(digits.removeprefix('-'))} digits is too large, of at most {DIGITS}")
    return int(digits)


def _real(digits: str) -> Number:
    """A number that float64 holds; one that is whole is an integer in JSON Schema, however it is written."""
    number = float(digits)
    if not isfinite(number):
        raise ValueError(f"{digits[:SHOWN]} is too large a number")
    return int(number) if number.is_integer() and abs(number) < 10**DIGITS else number


def _of_fields(value: Schema, schema: Schema, root: Schema, where: str) -> Iterator[Mismatch]:
    """What is wrong with the fields of an object, and which are missing or unknown."""
    known, others = schema.get("properties", {}), schema.get("additionalProperties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield Mismatch(where.removesuffix(":"), f'a field "{name}"', "none")
    for name, field in value.items():
        if name not in known and others is False:
            yield Mismatch(where.removesuffix(":"), f"no field {told(name)}", "one")
        else:
            yield from mismatches(field, known.get(name, others), root, _inside(where, name))


def _of_parts(value: Any, schema: Schema, root: Schema, where: str) -> Iterator[Mismatch]:  # noqa: ANN401 -- any JSON
    """What is wrong by the schemas that a schema is made of; what fits no alternative is told by the first of them."""
    for part in schema.get("allOf", ()):
        yield from mismatches(value, part, root, where)
    if "oneOf" in schema:
        tried = [[*mismatches(value, part, root, where)] for part in schema["oneOf"]]
        yield from tried[0] if all(tried) else ()
    if "if" in schema:
        holds = not [*mismatches(value, schema["if"], root, where)]
        yield from mismatches(value, schema.get("then" if holds else "else", {}), root, where)


def _inside(where: str, name: str) -> str:
    """The place of a field: ``file: field``, and from there on ``file: field.field``."""
    name = name if len(name) <= SHOWN else f"{name[:SHOWN]}…"
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
    if isinstance(value, int | float):
        return _expected_number(value, schema)
    if isinstance(value, str):
        return _expected_text(value, schema)
    return _expected_items(value, schema) if isinstance(value, list) else None


def _expected_number(value: Number, schema: Schema) -> str | None:
    """What a number should have been."""
    if value < schema.get("minimum", value):
        return f"{schema['minimum']} or more"
    return f"{schema['maximum']} or less" if value > schema.get("maximum", value) else None


def _expected_text(value: str, schema: Schema) -> str | None:
    """What a text should have been."""
    if not re.search(_python(schema.get("pattern", "")), value):
        return f"text of the pattern {schema['pattern']}"
    if len(value) < schema.get("minLength", 0):
        return f"text of {schema['minLength']} or more characters"
    too_long = len(value) > schema.get("maxLength", len(value))
    return f"text of at most {schema['maxLength']} characters" if too_long else None


def _expected_items(value: list[Any], schema: Schema) -> str | None:
    """What a list should have been."""
    if len(value) < schema.get("minItems", 0):
        return f"{schema['minItems']} or more items"
    plain = [item for item in value if isinstance(item, int | float | str)]  # no schema has lists of other unique items
    return "each item once" if schema.get("uniqueItems", False) and len(set(plain)) < len(plain) else None


def _same(one: Any, other: Any) -> bool:  # noqa: ANN401 -- any JSON
    """Equal as JSON says it: a truth value is no number."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _is(value: Any, name: str) -> bool:  # noqa: ANN401 -- any JSON
    """Whether a value is of one of JSON's types."""
    if isinstance(value, bool):
        return name == "boolean"
    if name == "integer":
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        return whole and abs(value) < 10**DIGITS
    return name != "boolean" and isinstance(value, TYPES[name])


def _python(pattern: str) -> str:
    """A pattern in Python's words: JSON Schema's ``$`` is the end of the text, and not before a last newline either."""
    return f"{pattern[:-1]}\\Z" if pattern.endswith("$") else pattern
