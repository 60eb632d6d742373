"""Text of others, such as what an implementation raises, fit for XML and HTML."""

import re
from typing import Final

UNPRINTABLE: Final = re.compile(
    "[^\t\n\r -~\u00a0-\u2029\u202f-\u2065\u206a-\ud7ff\ue000-\ufdcf\ufdf0-\ufffd\U00010000-\U0010fffd]"
)
"""What XML has no room for, or HTML allows in no text (controls, halves of surrogate pairs, non-characters), and what
turns the direction of the text after it."""


def printable(text: str) -> str:
    r"""The text, with a mark in place of every character that cannot stand in a document.

    >>> printable("a\0b")
    'a�b'
    """
    return UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)
