"""Typos: words one slip away from a term (a letter dropped, added, changed, or two swapped).

Every term is stored with each of its letters deleted in turn; a word is looked up the same way, so
one word costs a few dictionary look-ups however many terms there are. Words that are real words
("modest") are guarded by a list in the pack.

Source: symmetric deletion (W. Garbe, SymSpell, 2012); optimal string alignment distance.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

MIN_LETTERS: Final = 6
MIN_SLIPPED: Final = 5
MAX_TERMS: Final = 50_000
MAX_WORD: Final = 40

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Typo:
    """A run of one to three words that was meant to be the term number ``term``."""

    term: int
    start: int
    end: int


class TypoIndex:
    """Finds words one slip away from ``terms`` (folded text to number).

    ``joined`` also compares two or three words written together, as names need it. Terms shorter
    than six letters are left out, and all beyond the first 50,000.
    """

    def __init__(
        self, terms: Mapping[str, int], *, guards: Collection[str] = (), joined: bool = False
    ) -> None:
        self._guards = frozenset(guards)
        self._most_words = 3 if joined else 1
        self._exact: dict[str, int] = {}
        self._words: dict[str, tuple[str, ...]] = {}
        for text, number in terms.items():
            compact = re.sub(r"[\s'’.-]+", "", text)
            if (joined or compact == text) and compact.isalpha() and MIN_LETTERS <= len(compact) <= MAX_WORD:
                self._exact.setdefault(compact, number)
                self._words.setdefault(compact, tuple(re.split(r"[\s.-]+", text)))
                if len(self._exact) >= MAX_TERMS:
                    break
        self._deleted: dict[str, list[str]] = {}
        for compact in self._exact:
            for variant in _deletions(compact):
                self._deleted.setdefault(variant, []).append(compact)

    def find(self, text: str) -> Iterator[Typo]:
        """Typos in ``text`` (folded); words spelled right are not reported."""
        if not self._exact:
            return
        answers: dict[str, str | None] = {}
        words = [(match[0], match.start(), match.end()) for match in _WORD.finditer(text)]
        for index, (first, start, _) in enumerate(words):
            compact = ""
            for count in range(self._most_words):
                if index + count >= len(words):
                    break
                word, _, end = words[index + count]
                compact += word.replace("'", "").replace("’", "")
                if len(compact) > MAX_WORD:
                    break
                if len(compact) < MIN_LETTERS or compact in self._exact or compact in self._guards:
                    continue
                if count == 0 and first in self._guards:
                    continue
                if compact not in answers:
                    answers[compact] = self._nearest(compact)
                meant = answers[compact]
                if meant is None or not self._plausible(meant, text[start:end], count + 1):
                    continue
                yield Typo(term=self._exact[meant], start=start, end=end)

    def _nearest(self, word: str) -> str | None:
        for variant in (word, *_deletions(word)):
            if variant in self._exact and variant[0] == word[0]:
                return variant
            for term in self._deleted.get(variant, ()):
                if term[0] == word[0] and one_slip(term, word):
                    return term
        return None

    def _plausible(self, meant: str, written: str, count: int) -> bool:
        """Whether a run of ``count`` words can be a slip: as many words as meant, or all written
        together, and the slip in a word of five letters or more ("the rope" is no "the pope")."""
        wanted = self._words[meant]
        if count == 1:
            return True
        if count != len(wanted):
            return False
        parts = _WORD.findall(written)
        return all(
            part == word or (min(len(part), len(word)) >= MIN_SLIPPED and part != word + "s")
            for part, word in zip(parts, wanted, strict=True)
        )


def _deletions(word: str) -> set[str]:
    # The first letter is nearly always right, and keeping it halves the false alarms.
    return {word[:index] + word[index + 1 :] for index in range(1, len(word))}


def one_slip(a: str, b: str) -> bool:
    """Whether one letter dropped, added, changed, or two neighbours swapped, turn ``a`` into ``b``."""
    if abs(len(a) - len(b)) > 1:
        return False
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    if len(a) == len(b):
        swapped = a[start : start + 2][::-1] == b[start : start + 2] and a[start + 2 :] == b[start + 2 :]
        return a[start + 1 :] == b[start + 1 :] or swapped
    longer, shorter = (a, b) if len(a) > len(b) else (b, a)
    return longer[start + 1 :] == shorter[start:]
