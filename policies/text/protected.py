"""Registered names in a prompt: of people, characters, brands and works that somebody protects.

Unlike a pack's lists these change while the program runs, and every hit names the registered
subject, so that a consent can be looked up. Names are found in every script and with slips of the
pen, by how they sound (:mod:`guarded_sora.policies.text.phonetic`), and by description when every
telling word of one stands close together.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, runtime_checkable

from guarded_sora.policies.finding import CharacterSpan, Finding, RequestContext
from guarded_sora.policies.text.normalise import View, sanitise
from guarded_sora.policies.text.phonetic import Token, distance, skeleton, slips, sound, tokens
from guarded_sora.policies.text.reading import read

MOST_FINDINGS: Final = 32
MOST_TOKENS: Final = 20_000
MOST_WORDS: Final = 5
"""Words of a name that are compared; a longer name is known by its first five."""

_REACH: Final = 24  # tokens within which all words of a description must stand
_STOP: Final = frozenset(
    re.findall(r"\w+", "a an and as at by de der die das el for from in la le of on the to who whose with")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectedName:
    """One name of a registered subject. ``weak``: a common word, so it only asks for a look.
    ``description``: words that together give the subject away ("the lead singer of ...")."""

    subject: str
    category: str
    severity: int
    text: str
    weak: bool = False
    description: bool = False


@runtime_checkable
class ProtectedNames(Protocol):
    """Where registered names come from."""

    def names_version(self) -> str:
        """Changes with every name; asked before each prompt, so it must be quick. May raise."""
        ...

    def protected_names(self) -> Iterable[ProtectedName]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    name: ProtectedName
    words: tuple[str, ...]
    sound: str


@dataclass(slots=True)
class _Index:
    version: str
    exact: dict[str, list[_Entry]] = field(default_factory=dict)
    sounds: dict[str, list[_Entry]] = field(default_factory=dict)
    descriptions: list[tuple[ProtectedName, frozenset[str]]] = field(default_factory=list)
    longest: int = 0


class ProtectedNamesCheck:
    """A prompt check. The index is made again when the source's version changes."""

    name = "registry.names"
    version = "1.0.0"

    def __init__(self, source: ProtectedNames) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._index = _Index(version="")

    def check(self, text: str, context: RequestContext) -> Sequence[Finding]:
        """At most one finding for each subject: the gravest, in the view that shows it first."""
        index = self._current()
        if not index.exact and not index.descriptions:
            return ()
        best: dict[str, Finding] = {}
        reading = read(text)
        for view in [View(name="original", text=reading.text), *reading.views]:
            for finding in self._look(index, view):
                known = best.get(finding.subject)
                if known is None or finding.severity > known.severity:
                    best[finding.subject] = finding
            if len(best) >= MOST_FINDINGS:
                break
        return tuple(best.values())[:MOST_FINDINGS]

    def _current(self) -> _Index:
        version = self._source.names_version()
        with self._lock:
            if self._index.version != version:
                self._index = _build(version, self._source.protected_names())
            return self._index

    def _look(self, index: _Index, view: View) -> Iterator[Finding]:
        words = tokens(view)[:MOST_TOKENS]
        heard = [sound(word.letters) for word in words]
        bones = [skeleton(item) for item in heard]
        for first in range(len(words)):
            for end in range(first + 1, min(first + index.longest, len(words)) + 1):
                window = words[first:end]
                entry, slip = _match(index, window, heard[first:end], bones[first:end])
                if entry is not None:
                    yield self._finding(entry.name, view, window, "misspelt" if slip else "spelt")
        if index.descriptions:
            yield from self._described(index, view, words)

    def _described(self, index: _Index, view: View, words: Sequence[Token]) -> Iterator[Finding]:
        places: dict[str, list[int]] = {}
        for place, word in enumerate(words):
            places.setdefault(word.letters, []).append(place)
        for name, wanted in index.descriptions:
            if not wanted <= places.keys():
                continue
            rarest = min(wanted, key=lambda word: len(places[word]))
            for place in places[rarest]:
                span = range(place - _REACH, place + _REACH + 1)
                if all(any(other in span for other in places[word]) for word in wanted):
                    yield self._finding(name, view, [words[place]], "described")
                    break

    def _finding(self, name: ProtectedName, view: View, window: Sequence[Token], how: str) -> Finding:
        start, end = view.span(window[0].start, window[-1].end)
        mild = name.weak or name.description
        return Finding(
            category=name.category,
            severity=1 if mild else name.severity,
            detector=self.name,
            detector_version=self.version,
            where=CharacterSpan(start=start, end=end),
            evidence=f"a registered name, {how} ({view.name})",
            subject=name.subject,
        )


def _build(version: str, names: Iterable[ProtectedName]) -> _Index:
    index = _Index(version=version)
    for name in names:
        words = tuple(token.letters for token in tokens(View(name="name", text=sanitise(name.text))))
        if not words:
            continue
        if name.description:
            telling = frozenset(words) - _STOP
            if len(telling) >= 2:
                index.descriptions.append((name, telling))
            continue
        words = words[:MOST_WORDS]
        entry = _Entry(name=name, words=words, sound="".join(map(sound, words)))
        index.exact.setdefault("".join(words), []).append(entry)
        index.longest = max(index.longest, len(words) + 1)
        if slips(words) and not name.weak:
            for key in _keys("".join(skeleton(sound(word)) for word in words)):
                index.sounds.setdefault(key, []).append(entry)
    return index


def _match(
    index: _Index, window: Sequence[Token], heard: Sequence[str], bones: Sequence[str]
) -> tuple[_Entry | None, bool]:
    joined = "".join(word.letters for word in window)
    for entry in index.exact.get(joined, ()):
        # A short name written together may be a piece of anything: then the words must agree too.
        if len(joined) >= 7 or len(entry.words) == len(window):
            return entry, False
    if not index.sounds:
        return None, False
    sounds = "".join(heard)
    for key in _keys("".join(bones)):
        for entry in index.sounds.get(key, ()):
            most = slips(entry.words)
            if abs(len(entry.words) - len(window)) <= 1 and _same(entry, joined, sounds, most):
                return entry, True
    return None, False


def _same(entry: _Entry, joined: str, sounds: str, most: int) -> bool:
    """Near by sound, and not far by letters: sound classes alone would make strangers of one name."""
    if distance(entry.sound, sounds, most) > most:
        return False
    letters = "".join(entry.words)
    most_letters = max(len(letters) * 45 // 100, 2)
    return distance(letters, joined, most_letters) <= most_letters


def _keys(bones: str) -> set[str]:
    """The consonants, and each of them left out once: two texts one consonant apart share a key."""
    if len(bones) > 40:
        return {bones}
    return {bones, *(bones[:place] + bones[place + 1 :] for place in range(len(bones)))}
