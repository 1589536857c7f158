"""Reading a prompt: words to the concept tokens of the built-in generator, and what it could not use."""

from __future__ import annotations

import functools
import re
import unicodedata
from dataclasses import dataclass, field

from guarded_sora.generation.vocabulary import (
    CONCEPTS,
    EVENTS,
    KINDS,
    MAX_TOKENS,
    NATURAL,
    PAD,
    SILENT,
    SYNONYMS,
    UNKNOWN,
    concept,
)

LONGEST = 2000
"""Characters of a prompt that are read."""
TOGETHER = ("left", "right", "rise", "fall", "still")
"""The motions that two objects make side by side."""
FOLLOWED = ("still", "spin", "bounce", "rise", "fall")
"""The motions of one object while the camera moves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the generator understood of a prompt.

    ``tokens``: MAX_TOKENS concept indices, padded with PAD. ``in_domain``: every word that carries
    meaning is known, at least one object is named, and no more than the generator can show at once.
    ``warnings`` never repeat the prompt.
    """

    tokens: tuple[int, ...]
    in_domain: bool
    warnings: tuple[str, ...] = ()

    def named(self, kind: str) -> str | None:
        """The concept of a kind of ``KINDS`` ("object", "colour", "background", ...), or None."""
        for token in self.tokens:
            group, _, name = CONCEPTS[token].partition(":")
            if group == kind:
                return name
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A word or phrase of a prompt, and what it names: ``kind`` "object", "colour", ... and the concept's
    ``name``; "silent" for a word that only joins others, "unknown" for one that was never learned."""

    text: str = field(repr=False)
    kind: str
    name: str = ""


def _forms(phrase: str) -> list[str]:
    """A phrase and its plain plural ("balloons")."""
    if phrase.endswith("y") and phrase[-2] not in "aeo":
        return [phrase, phrase[:-1] + "ies"]
    return [phrase, phrase + ("es" if phrase.endswith(("s", "x", "ch", "sh")) else "s")]


@functools.cache
def _phrases(known: int) -> tuple[dict[tuple[str, ...], tuple[str, str]], int]:
    table: dict[tuple[str, ...], tuple[str, str]] = {}
    for name, phrases in SYNONYMS.items():
        kind, _, value = name.partition(":")
        if CONCEPTS.index(name) >= known:
            continue
        for phrase in phrases:
            for form in _forms(phrase) if kind == "object" else [phrase]:
                table[tuple(form.split())] = kind, value
    return table, max(map(len, table))


@dataclass(slots=True)
class _Scan:
    """What was found from left to right."""

    found: dict[str, str] = field(default_factory=dict)
    surplus: list[str] = field(default_factory=list)
    """Kinds that were named once too often."""
    unknown: int = 0
    pending: str | None = None
    """A colour that waits for its object."""
    between: str | None = None
    """The last relation since the first object."""

    def take(self, kind: str, name: str, *, before: str = "") -> None:
        """``before``: the word that stands before. After "is" a colour tells of the object before it."""
        last = "2" if "object2" in self.found else ""
        said_of = before in ("is", "are", "was")
        if kind == "colour" and said_of and f"object{last}" in self.found and self.pending is None:
            if self.found.setdefault(f"colour{last}", name) != name:
                self.surplus.append("colour")
        elif kind == "relation":
            self.between = name if "object" in self.found else None
        elif kind == "colour":
            if self.pending not in (None, name):
                self.surplus.append("colour")
            self.pending = self.pending or name
        elif kind == "object":
            self._take_object(name, the_same=before == "the")
        elif self.found.setdefault(kind, name) != name:
            self.surplus.append(kind)

    def _take_object(self, name: str, *, the_same: bool) -> None:
        first = self.found.get("object")
        again = name == first and self.pending in (None, self.found.get("colour"))
        if first is None:
            self.found["object"] = name
            colour = "colour"
        elif again:  # "a dog and the dog" are one; of "a dog and a dog" the generator shows one
            if self.between and not the_same:
                self.surplus.append("object")
            colour = ""
        elif "object2" not in self.found and self.between:
            self.found |= {"object2": name, "relation": self.between}
            colour = "colour2"
        else:
            if name != self.found.get("object2"):
                self.surplus.append("object")
            colour = ""
        if colour and self.pending:
            self.found[colour] = self.pending
        self.pending = None

    def end(self) -> None:
        """A colour that no object followed ("the balloon is red") belongs to the first."""
        if self.pending is not None and self.found.setdefault("colour", self.pending) != self.pending:
            self.surplus.append("colour")


def read_prompt(prompt: str, *, known: int = len(CONCEPTS)) -> Reading:
    """Turn a prompt into concept tokens: longest known phrase first, from left to right.

    A second object counts where words between the two say how it stands to the first. Only the first
    2,000 characters are read; what follows puts the prompt outside the domain. ``known``: how many of
    ``CONCEPTS`` the weights were trained on; what comes after them is a word like any unknown one.
    """
    scan, before = _Scan(), ""
    for word in read_words(prompt, known=known):
        if word.kind == "unknown":
            scan.unknown += 1
        elif word.kind != "silent":
            scan.take(word.kind, word.name, before=before)
        before = word.text
    scan.end()
    return _judge(scan, truncated=len(prompt) > LONGEST)


def read_words(prompt: str, *, known: int = len(CONCEPTS)) -> list[Word]:
    """The words of a prompt and what each names, in order: the longest known phrase first."""
    text = unicodedata.normalize("NFKC", prompt[:LONGEST].encode("utf-8", "replace").decode())
    words = re.findall(r"[^\W_]+(?:'[^\W_]+)?", text.casefold())
    table, longest = _phrases(known)
    found, at = [], 0
    while at < len(words):
        for length in range(min(longest, len(words) - at), 0, -1):
            meant = table.get(tuple(words[at : at + length]))
            if meant is not None:
                found.append(Word(text=" ".join(words[at : at + length]), kind=meant[0], name=meant[1]))
                at += length
                break
        else:
            found.append(Word(text=words[at], kind="silent" if words[at] in SILENT else "unknown"))
            at += 1
    return found


def _judge(scan: _Scan, *, truncated: bool) -> Reading:
    found, warnings = dict(scan.found), []
    if truncated:
        warnings.append("The prompt is longer than the generator reads; only its beginning was used.")
    if scan.unknown:
        words = "1 word lies" if scan.unknown == 1 else f"{scan.unknown} words lie"
        warnings.append(f"{words} outside the generator's vocabulary and had no effect.")
    if "object" not in found:
        warnings.append("The prompt names no object that the generator learned.")
    for kind in dict.fromkeys(scan.surplus):
        said = "more objects than it says how they stand to each other" if kind == "object" else (
            f"more than one {kind}"
        )  # fmt: skip
        warnings.append(f"The prompt names {said}; the generator uses the first.")
    for thing, colour in (("object", "colour"), ("object2", "colour2")):
        if colour in found and found.get(thing) in NATURAL:
            warnings.append(
                "This object has its natural colours; the colour that was asked for had no effect."
            )
            del found[colour]
    alone = "object2" not in found or (found["relation"] not in EVENTS and found.get("motion") in TOGETHER)
    if not alone and "motion" in found:
        del found["motion"]
        warnings.append("Two objects do not make that motion together; it had no effect.")
    if "camera" in found and ("object2" in found or found.get("motion", "still") not in FOLLOWED):
        del found["camera"]
        warnings.append("The camera does not move beside that; it stands still.")
    kept = [concept(kind, found[kind]) for kind in KINDS if kind in found]
    row = ([UNKNOWN] if scan.unknown and not kept else []) + kept
    tokens = tuple((row + [PAD] * MAX_TOKENS)[:MAX_TOKENS])
    return Reading(tokens=tokens, in_domain=not warnings, warnings=tuple(dict.fromkeys(warnings)))
