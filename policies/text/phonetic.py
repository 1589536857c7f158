"""Names as they sound: one spelling for the many ways a name is written in other scripts.

"Маргарет Уиллоубрук", "マーガレット・ウィローブルック" and "Margret Willowbrok" are one name to a
reader. A text is written in Latin letters character by character (so every letter knows where it
came from), cut into tokens, and each token is reduced to how it sounds. Two names are near when few
letters of that form differ.

Sources: transliteration tables of ``anyascii``; F. Damerau, "A technique for computer detection and
correction of spelling errors", CACM 1964 (optimal string alignment).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from guarded_sora.policies.text.normalise import View, is_cjk

_SOUNDS: Final = (
    (re.compile("tch|tsch|dsch"), "c"),
    (re.compile("sch|sh|ch|zh|cz|tz|ts"), "c"),
    (re.compile("ph|pf|v|b"), "f"),
    (re.compile("ck|qu|q|gh|g|x|kh"), "k"),
    (re.compile("c(?=[eiy])"), "s"),
    (re.compile("th|dh|d"), "t"),
    (re.compile("[zj]"), "s"),
    (re.compile("[lr]+"), "l"),
    (re.compile("[mn]+"), "n"),
    (re.compile("h"), ""),
)
_VOWELS = re.compile("[aeiouwy]+")
_REPEAT = re.compile(r"(.)\1+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A run of letters of one script in a view: its Latin ``letters``, and where it lies there."""

    letters: str
    start: int
    end: int


def romanise(char: str) -> str:
    """``char`` in lower-case Latin letters, kana, Hangul and Han included; itself where nothing fits."""
    if char < "\x80":
        return char.lower()
    from anyascii import anyascii

    return anyascii(char).lower() or char


def tokens(view: View) -> list[Token]:
    """The words of ``view`` in Latin letters. Scripts without spaces break where the script changes."""
    found: list[Token] = []
    letters: list[str] = []
    start, script = 0, ""
    for index, char in enumerate(f"{view.text} "):
        kind = _script(char)
        if kind != script or not kind:
            if letters:
                text = "".join(character for piece in letters for character in piece if character.isalpha())
                if text:
                    found.append(Token(letters=text, start=start, end=index))
            letters, start, script = [], index, kind
        if kind:
            letters.append(romanise(char))
    return found


def sound(letters: str) -> str:
    """How ``letters`` (lower-case Latin) sound: consonant classes, any run of vowels as one ``a``.

    A vowel at the end is dropped: Japanese adds one, other languages drop it.
    """
    text = _REPEAT.sub(r"\1", letters)
    for pattern, replacement in _SOUNDS:
        text = pattern.sub(replacement, text)
    text = _VOWELS.sub("a", text)
    return _REPEAT.sub(r"\1", text).rstrip("a") or "a"


def skeleton(sounds: str) -> str:
    """The consonants of :func:`sound`: what is left when vowels are unsure."""
    return _REPEAT.sub(r"\1", sounds.replace("a", ""))


def distance(a: str, b: str, most: int) -> int:
    """Edits (insert, drop, change, swap of neighbours) from ``a`` to ``b``; ``most + 1`` when more."""
    if abs(len(a) - len(b)) > most:
        return most + 1
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, start=1):
        last, row, older = row, [i, *([0] * len(b))], before
        for j, right in enumerate(b, start=1):
            row[j] = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (left != right))
            if i > 1 and j > 1 and left == b[j - 2] and a[i - 2] == right:
                row[j] = min(row[j], older[j - 2] + 1)
        before = last
        if min(row) > most:
            return most + 1
    return min(row[-1], most + 1)


def name_form(name: str) -> str:
    """One spelling for equal names: Latin letters, tokens apart; what a name is looked up by."""
    view = View(name="name", text=name)
    return " ".join(token.letters for token in tokens(view)) or " ".join(name.casefold().split())


def slips(forms: Sequence[str]) -> int:
    """How many edits of the sound a name of these tokens may have and still be itself."""
    letters = sum(map(len, forms))
    if letters < 7:
        return 0
    return 1 if letters < 12 else 2


def _script(char: str) -> str:
    if not char.isalpha() and char not in "ー'’":
        return ""
    if not is_cjk(char):
        return "word"
    if "\u30a1" <= char <= "\u30fa" or char == "ー":
        return "katakana"
    if "\u3040" <= char <= "\u309f":
        return "hiragana"
    return "hangul" if "\uac00" <= char <= "\ud7af" else "han"
