"""HTML made of elements: text is escaped where it is put in, so that no caller can forget it."""

from collections.abc import Iterable
from html import escape
from typing import Final

from pomt_ref.conformance.printable import printable

VOID: Final = frozenset({"meta"})
"""Elements that have no end."""


class Html(str):
    """Text that is HTML already. All other text is escaped."""

    __slots__ = ()


def element(name: str, /, *content: str, **attributes: object) -> Html:
    """One element: attributes that are None are left out, and ``aria_label`` reads as ``aria-label``.

    >>> element("p", "a < b", class_="message")
    '<p class="message">a &lt; b</p>'
    """
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_escaped(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{name}{told}>") if name in VOID else Html(f"<{name}{told}>{together(content)}</{name}>")


def together(parts: Iterable[str], *, between: str = "") -> Html:
    """Pieces one after the other.

    >>> together(["1 < 2", element("b", "!")], between=" ")
    '1 &lt; 2 <b>!</b>'
    """
    return Html(between.join(part if isinstance(part, Html) else _escaped(part) for part in parts))


def _escaped(text: str) -> str:
    """The text as HTML, for content and for attributes."""
    return escape(printable(text))
