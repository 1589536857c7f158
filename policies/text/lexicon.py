"""Finds the terms of a pack in every view of a prompt, with one Aho-Corasick automaton.

Terms are stored as the surface view shows them, and again without spaces so that "bl00dbath" finds
"blood bath". A second automaton holds them squeezed. All matches are taken overlapping and word
boundaries are checked afterwards: leftmost-longest matching would lose "bomb" in "bomb makings".

Source of the automaton: A. V. Aho and M. J. Corasick, "Efficient string matching", CACM 1975.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import Any, Final

from guarded_sora.policies.text.normalise import View, is_cjk, squeeze_text, surface_text
from guarded_sora.policies.text.terms import Section

MIN_NOSPACE: Final = 6
MIN_SQUEEZED: Final = 4
MIN_IN_JOINED: Final = 4
MASK: Final = "*"
MASKABLE: Final = range(4, 15)
MASK_LIMIT: Final = 20_000

_MASK_CHARACTERS: Final = "*●○◯〇◎×✕■□＊•·_#"
_MASKS = re.compile(f"(?<=[^\\W_])[{_MASK_CHARACTERS}]")
TO_MASK: Final = str.maketrans(dict.fromkeys(_MASK_CHARACTERS, MASK))


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One term of one section; ``text`` as the pack writes it."""

    text: str
    section: Section


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A term seen in a view: ``start``/``end`` in the view, ``span`` in the original text."""

    term: Term
    view: View
    start: int
    end: int
    span: tuple[int, int]


class Matcher:
    """The automata over all terms of some sections. Immutable; safe to share between threads."""

    def __init__(self, sections: Iterable[Section]) -> None:
        self._terms = [
            Term(text=term, section=section)
            for section in sections
            if section.role != "guard"
            for term in section.terms
        ]
        plain: dict[str, set[int]] = {}
        squeezed: dict[str, set[int]] = {}
        for number, term in enumerate(self._terms):
            text = " ".join(surface_text(term.text).split())
            if not text:
                continue
            forms = {text}
            bare = re.sub(r"[\s'’-]+", "", text)
            if bare != text and len(bare) >= MIN_NOSPACE:
                forms.add(bare)
            for form in forms:
                plain.setdefault(form, set()).add(number)
                short = squeeze_text(form)
                if len(short) >= MIN_SQUEEZED or (short != form and len(short) >= 3):
                    squeezed.setdefault(short, set()).add(number)
        self._slack = [_repeated(surface_text(term.text)) for term in self._terms]
        self._plain = _Automaton(plain)
        self._squeezed = _Automaton(squeezed)

    @property
    def terms(self) -> Sequence[Term]:
        """All terms, in the order of the pack."""
        return self._terms

    @cached_property
    def _masked(self) -> _Automaton:
        least = 2 if len(self._terms) <= MASK_LIMIT else 3
        forms: dict[str, set[int]] = {}
        for number, term in enumerate(self._terms):
            text = surface_text(term.text)
            cjk = any(map(is_cjk, text))
            if term.section.severity < least or " " in text or not (cjk or len(text) in MASKABLE):
                continue
            variants = {text[:i] + MASK + text[i + 1 :] for i in range(1, len(text) - 1)}
            # Two characters with one masked could be too many words.
            if cjk and len(text) >= 3:
                variants.add(text[:-1] + MASK)
            variants.add(text[0] + re.sub(r"[aeiou]", MASK, text[1:-1]) + text[-1])
            if len(text) > 4:
                variants |= {text[:i] + MASK * 2 + text[i + 2 :] for i in range(1, len(text) - 2)}
            for variant in variants - {text}:
                forms.setdefault(variant, set()).add(number)
        return _Automaton(forms)

    def find(self, view: View) -> list[Hit]:
        """Hits in one view: word-bounded, longest of nested ones of a section, exemptions applied."""
        automaton = self._squeezed if view.squeezed else self._plain
        hits = self._collect(automaton, view, view.text)
        if not view.squeezed and _MASKS.search(view.text):
            masked = replace(view, name=f"{view.name}+masked", text=view.text.translate(TO_MASK), tricky=True)
            hits.extend(self._collect(self._masked, masked, masked.text))
        return _without_exempt(_longest(hits))

    def _collect(self, automaton: _Automaton, view: View, text: str) -> list[Hit]:
        hits: list[Hit] = []
        for numbers, start, end in automaton.find(text):
            if not _bounded(text, start, end) and not _inside_joined(view, start, end):
                continue
            span = view.span(start, end)
            for number in numbers:
                term = self._terms[number]
                if view.decoded and term.section.role == "report" and term.section.severity < 3:
                    continue
                if view.squeezed and not _stretched(view, start, end, self._slack[number]):
                    continue
                hits.append(Hit(term=term, view=view, start=start, end=end, span=span))
        return hits


class _Automaton:
    def __init__(self, forms: dict[str, set[int]]) -> None:
        import ahocorasick_rs

        self._numbers = [tuple(sorted(numbers)) for numbers in forms.values()]
        self._automaton: Any = (
            ahocorasick_rs.AhoCorasick(
                list(forms),
                matchkind=ahocorasick_rs.MatchKind.Standard,
                store_patterns=False,
                implementation=ahocorasick_rs.Implementation.ContiguousNFA,
            )
            if forms
            else None
        )

    def find(self, text: str) -> list[tuple[tuple[int, ...], int, int]]:
        if self._automaton is None or not text:
            return []
        found = self._automaton.find_matches_as_indexes(text, overlapping=True)
        return [(self._numbers[pattern], start, end) for pattern, start, end in found]


def _wordlike(char: str) -> bool:
    return char.isalnum() and not is_cjk(char)


def _is_katakana(char: str) -> bool:
    return "\u30a1" <= char <= "\u30fa" or char == "ー"


def _bounded(text: str, start: int, end: int) -> bool:
    """Whether ``text[start:end]`` stands alone as a word.

    Han and hiragana know no spaces, so anything may stand beside them. A katakana word may be
    followed by another but not start in the middle of one.
    """
    if start > 0:
        before, first = text[start - 1], text[start]
        if _wordlike(before) and _wordlike(first):
            return False
        if _is_katakana(before) and _is_katakana(first):
            return False
    return not (end < len(text) and _wordlike(text[end]) and _wordlike(text[end - 1]))


def _inside_joined(view: View, start: int, end: int) -> bool:
    if end - start < MIN_IN_JOINED or not view.joined:
        return False
    place = bisect_right(view.joined, (start, len(view.text)))
    return place > 0 and end <= view.joined[place - 1][1]


def _stretched(view: View, start: int, end: int, repeated: int) -> bool:
    """Whether letters were really repeated: at least two more than the term itself repeats.

    Otherwise every word with a double letter would match its squeezed neighbour ("asses", "ases").
    """
    first, last = view.span(start, end)
    return (last - first) - (end - start) >= repeated + 2


def _repeated(text: str) -> int:
    """How many characters squeezing takes from ``text``."""
    return len(text) - len(squeeze_text(text))


def _longest(hits: list[Hit]) -> list[Hit]:
    """Of hits of the same section that lie inside one another, only the longest."""
    kept: list[Hit] = []
    last_end: dict[str, int] = {}
    for hit in sorted(hits, key=lambda hit: (hit.start, -hit.end)):
        name = hit.term.section.name
        if hit.end > last_end.get(name, -1):
            last_end[name] = hit.end
            kept.append(hit)
    return kept


def _without_exempt(hits: list[Hit]) -> list[Hit]:
    exempt = sorted((hit.start, hit.end) for hit in hits if hit.term.section.role == "exempt")
    if not exempt:
        return hits
    starts = [start for start, _ in exempt]
    furthest = list(accumulate((end for _, end in exempt), max))
    kept: list[Hit] = []
    for hit in hits:
        if hit.term.section.role == "exempt":
            continue
        place = bisect_right(starts, hit.start)
        if place == 0 or furthest[place - 1] < hit.end:
            kept.append(hit)
    return kept
