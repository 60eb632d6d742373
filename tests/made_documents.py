"""Documents with something changed in them, for the tests of what reads them."""

import random
from collections.abc import Iterator
from typing import Any


def mutated(document: Any, chance: random.Random) -> Any:  # noqa: ANN401 -- any JSON
    """The document with one value replaced, removed or added, somewhere."""
    places = list(places_of(document))
    holder, key = chance.choice(places)
    values = [None, True, 0, -1, 1, 2.0, 1.5, "", "pomt", "é", [], {}, [1], {"a": 1}, "float64", "forced"]
    what = chance.randrange(4)
    if what == 0 and isinstance(holder, dict):
        del holder[key]
    elif what == 1 and isinstance(holder, dict):
        holder["more"] = chance.choice(values)
    else:
        holder[key] = chance.choice(values)
    return document


def places_of(value: Any) -> Iterator[tuple[Any, Any]]:  # noqa: ANN401 -- any JSON
    """Every place in a document: what holds it, and under which name."""
    for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(inner, dict | list):
            yield from places_of(inner)
