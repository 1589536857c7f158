"""Text from a stranger's file, made safe to show and to log."""

from __future__ import annotations

import unicodedata

_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_ELLIPSIS = "\u2026"


def clean_text(value: object, *, limit: int = 200) -> str:
    """``value`` as one line of at most ``limit`` characters.

    Control, bidirectional, private-use, unassigned and surrogate characters are dropped, white space is
    collapsed: none of them can reorder a line of a log or of a web page. HTML is not escaped here, because
    only a page knows that it is one.
    """
    if not isinstance(value, str):
        return ""
    head = value[: limit * 4]  # nothing a stranger writes may cost more than it shows
    kept = "".join(
        " " if character.isspace() else character
        for character in unicodedata.normalize("NFC", head)
        if character.isspace() or _is_safe(character)
    )
    line = " ".join(kept.split())
    if len(line) > limit or len(value) > len(head):
        line = line[: limit - 1] + _ELLIPSIS
    return line


def _is_safe(character: str) -> bool:
    return character not in _BIDI and not unicodedata.category(character).startswith("C")
