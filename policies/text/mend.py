"""Puts single words right: a slip of the pen or masked letters inside a term of several words.

"svered head" and "s*vered h*ad" become "severed head" in a view of their own, in which the whole
term is then looked for. A word that is put right wrongly does no harm unless the term stands there.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Final

from guarded_sora.policies.text.fuzzy import TypoIndex
from guarded_sora.policies.text.lexicon import MASK, TO_MASK
from guarded_sora.policies.text.normalise import View

MIN_MASKED: Final = 3
MAX_MENDED: Final = 200

# Possessive, bounded and anchored at a word's beginning: a long run of letters is passed over once.
_MASKED = re.compile(r"(?<![^\W_])[^\W_]{1,40}+(?:\*{1,3}[^\W_]{1,40}+)+")


class WordMender:
    """Knows the words that terms of several words are made of."""

    def __init__(self, words: Iterable[str], *, guards: Collection[str] = ()) -> None:
        self._words = sorted({word for word in words if word.isalpha()})
        self._typos = TypoIndex({word: i for i, word in enumerate(self._words)}, guards=guards)
        self._masked: dict[str, str] = {}
        for word in self._words:
            if len(word) >= MIN_MASKED:
                for place in range(1, len(word) - 1):
                    self._masked.setdefault(word[:place] + MASK + word[place + 1 :], word)
                    if place < len(word) - 2:
                        self._masked.setdefault(word[:place] + MASK * 2 + word[place + 2 :], word)

    def view(self, source: View) -> View | None:
        """``source`` with words put right, or None when there is nothing to mend."""
        masked = source.text.translate(TO_MASK)
        repairs: list[tuple[int, int, str]] = []
        hidden = False
        for match in _MASKED.finditer(masked) if MASK in masked else ():
            word = self._masked.get(match[0])
            if word is not None:
                repairs.append((*match.span(), word))
                hidden = True
        repairs.extend(
            (typo.start, typo.end, self._words[typo.term]) for typo in self._typos.find(source.text)
        )
        if not repairs:
            return None
        return _replaced(source, sorted(repairs)[:MAX_MENDED], tricky=source.tricky or hidden)


def _replaced(source: View, repairs: list[tuple[int, int, str]], *, tricky: bool) -> View:
    pieces: list[str] = []
    starts: list[int] = []
    ends: list[int] = []

    def copy(first: int, last: int) -> None:
        pieces.append(source.text[first:last])
        starts.extend(range(first, last) if source.starts is None else source.starts[first:last])
        ends.extend(range(first + 1, last + 1) if source.ends is None else source.ends[first:last])

    position = 0
    for start, end, word in repairs:
        if start < position:
            continue
        copy(position, start)
        first, last = source.span(start, end)
        pieces.append(word)
        starts.extend([first] * len(word))
        ends.extend([last] * len(word))
        position = end
    copy(position, len(source.text))
    return View(name=f"{source.name}+mended", text="".join(pieces), starts=starts, ends=ends, tricky=tricky)
