"""Views of a prompt: the same text as a reader, a model or a trickster would see it.

Every view carries an offset map, so that whatever is found in it points into the original text.
Transliteration ("ρ" is r) and visual confusables ("ρ" looks like p, Unicode TR39) are different
folds and give different views; both are needed. All work is linear in the length of the text.

Views, in order: ``surface`` (case, width and accents only: what honest typing needs), ``fold``
(invisible and combining characters gone, compatibility forms resolved), ``latin`` (transliterated),
``skeleton`` (confusables), ``emoji`` (names), then for each the spaced, joined, leet and squeezed forms.
A view whose text equals an earlier one is dropped.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final

Spans = tuple[tuple[int, int], ...]

_SURROGATE = re.compile("[\ud800-\udfff]")
_BLANKS: Final = frozenset("\u115f\u1160\u3164\uffa0\u2800\u17b4\u17b5\u034f\ufffc")
_RUN = re.compile(r"(.)\1+", re.DOTALL)
_SPACED = re.compile(r"(?<![^\W_])[^\W_](?:[\W_]{1,3}[^\W_](?![^\W_])){2,}")
_PARTED = re.compile(r"[\s_/\-\u2010-\u2015]+")
_LEET_TOKEN = re.compile(r"(?<![^\W_])[^\W_0-9]*[0-9@$!|+€£¡][0-9a-z@$!|+€£¡]*", re.IGNORECASE)
_LEET: Final = {
    "0": "o",
    "1": "i",
    "2": "z",
    "3": "e",
    "4": "a",
    "5": "s",
    "6": "g",
    "7": "t",
    "8": "b",
    "9": "g",
    "@": "a",
    "$": "s",
    "!": "i",
    "|": "i",
    "¡": "i",
    "+": "t",
    "€": "e",
    "£": "l",
}
_LEET_L: Final = {**_LEET, "1": "l", "!": "l", "|": "l"}
_EMOJI = re.compile("[\u203c-\u3299\U0001f000-\U0001faff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One reading of a text. ``starts``/``ends`` hold, for every character, its half-open range in
    the original; None means that both texts have the same offsets.

    ``tricky``: a hit that only this view shows was hidden on purpose. ``decoded``: the view comes
    from a decoder and is matched against severity 3 only. ``joined``: ranges (in this view) that
    were single letters in the original, where words have no boundaries. ``squeezed``: runs of equal
    characters were collapsed, so it is matched against the squeezed terms.
    """

    name: str
    text: str
    starts: Sequence[int] | None = None
    ends: Sequence[int] | None = None
    tricky: bool = False
    decoded: bool = False
    joined: Spans = ()
    squeezed: bool = False

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The range of the original that the characters ``start`` to ``end`` of this view came from."""
        if self.starts is None or self.ends is None:
            return start, end
        return min(self.starts[start:end]), max(self.ends[start:end])


def sanitise(text: str) -> str:
    """Lone surrogates replaced by U+FFFD; offsets stay as they are. Rust libraries refuse them."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def map_characters(source: View, name: str, convert: Callable[[str], str], *, tricky: bool) -> View:
    """A view in which every character is replaced by ``convert(character)`` (any length)."""
    pieces: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    from_starts = source.starts
    from_ends = source.ends
    for index, char in enumerate(source.text):
        piece = convert(char)
        if not piece:
            continue
        if piece in "\u3099\u309a" and pieces:
            composed = unicodedata.normalize("NFC", pieces[-1] + piece)
            if len(composed) == len(pieces[-1]):
                pieces[-1] = composed
                ends[-1] = index + 1 if from_ends is None else from_ends[index]
                continue
        start = index if from_starts is None else from_starts[index]
        end = index + 1 if from_ends is None else from_ends[index]
        pieces.append(piece)
        if len(piece) == 1:
            starts.append(start)
            ends.append(end)
        else:
            starts.extend([start] * len(piece))
            ends.extend([end] * len(piece))
    return View(name=name, text="".join(pieces), starts=starts, ends=ends, tricky=tricky)


@lru_cache(maxsize=32768)
def _surface_char(char: str) -> str:
    if char < "\x80":
        return char.lower()
    if "\uff00" <= char <= "\uffef":
        char = unicodedata.normalize("NFKC", char)
    parts = unicodedata.normalize("NFD", char)
    if len(parts) > 1 and parts[0].isascii():
        char = parts[0]
    return char.casefold()


def is_cjk(char: str) -> bool:
    """Kana, Han or Hangul: scripts without spaces between words, which are never transliterated."""
    return (
        "\u3040" <= char <= "\u30ff"
        or "\u3400" <= char <= "\u9fff"
        or "\uac00" <= char <= "\ud7af"
        or "\u1100" <= char <= "\u11ff"
        or "\uf900" <= char <= "\ufaff"
        or "\U00020000" <= char <= "\U0003ffff"
        or char in "\u3005\u3006\u3007\u30fc"
    )


@lru_cache(maxsize=32768)
def _fold_char(char: str) -> str:
    if char < "\x80":
        return char.lower() if char >= " " else (" " if char in "\t\n\r\v\f" else "")
    if char in _BLANKS:
        return ""
    category = unicodedata.category(char)
    if category in ("Cf", "Mn", "Me", "Cc") and char not in "\u3099\u309a":
        return " " if char in "\x85" else ""
    if category in ("Zs", "Zl", "Zp"):
        return " "
    if "\U0001f1e6" <= char <= "\U0001f1ff":
        return chr(ord(char) - 0x1F1E6 + ord("a"))
    if is_cjk(char):
        return unicodedata.normalize("NFKC", char)
    decomposed = unicodedata.normalize("NFKD", char)
    kept = [c for c in decomposed if unicodedata.category(c) not in ("Mn", "Me", "Cf") or c in "\u3099\u309a"]
    return "".join(kept).casefold()


@lru_cache(maxsize=32768)
def _latin_char(char: str) -> str:
    folded = _fold_char(char)
    if folded.isascii() or any(is_cjk(c) for c in folded):
        return folded
    from anyascii import anyascii

    return anyascii(folded).lower() or folded


@lru_cache(maxsize=32768)
def _skeleton_char(char: str) -> str:
    if char < "\x80":
        return _fold_char(char)
    if is_cjk(char) or "\uff00" <= char <= "\uffef":
        return _fold_char(char)
    import disarm

    look_alike = str(disarm.normalize_confusables(char))
    if look_alike != char and look_alike.isascii():
        return look_alike.lower()
    folded = _fold_char(char)
    if folded.isascii():
        return folded
    return "".join(str(disarm.normalize_confusables(c)) for c in folded).lower()


@lru_cache(maxsize=4096)
def _emoji_char(char: str) -> str:
    if not _EMOJI.match(char) or unicodedata.category(char) != "So":
        return _fold_char(char)
    import disarm

    name = str(disarm.demojize(char))
    return _fold_char(char) if name == char else f" {name.casefold().replace(':', ' ')} "


def surface_text(text: str) -> str:
    """``text`` as the surface view shows it: how lexicon terms are stored."""
    return "".join(map(_surface_char, text)) if not text.isascii() else text.lower()


def squeeze_text(text: str) -> str:
    """Every run of equal characters collapsed to one."""
    return _RUN.sub(r"\1", text)


def join_spaced(source: View) -> View | None:
    """Runs of three or more single characters written together ("n.u.d.e"); None when there are none."""
    ranges = [match.span() for match in _SPACED.finditer(source.text)]
    if not ranges:
        return None
    keep: list[int] = []
    joined: list[tuple[int, int]] = []
    position = 0
    for start, end in ranges:
        keep.extend(range(position, start))
        first = len(keep)
        keep.extend(i for i in range(start, end) if source.text[i].isalnum())
        joined.append((first, len(keep)))
        position = end
    keep.extend(range(position, len(source.text)))
    return _select(source, f"{source.name}+joined", keep, joined=tuple(joined))


def squeeze_view(source: View) -> View | None:
    """Runs of equal characters collapsed to one; None when there are none."""
    text = source.text
    keep: list[int] = []
    position = 0
    for run in _RUN.finditer(text):
        keep.extend(range(position, run.start() + 1))
        position = run.end()
    if not position:
        return None
    keep.extend(range(position, len(text)))
    view = _select(source, f"{source.name}+squeezed", keep, joined=())
    return View(
        name=view.name, text=view.text, starts=view.starts, ends=view.ends, tricky=True, squeezed=True
    )


def _select(source: View, name: str, keep: list[int], *, joined: Spans) -> View:
    pick: Callable[[Sequence[Any]], Sequence[Any]] = (
        itemgetter(*keep) if len(keep) > 1 else lambda items: [items[i] for i in keep]
    )
    starts = keep if source.starts is None else pick(source.starts)
    ends = [i + 1 for i in keep] if source.ends is None else pick(source.ends)
    text = "".join(pick(source.text))
    return View(name=name, text=text, starts=starts, ends=ends, tricky=True, joined=joined)


def space_view(source: View) -> View | None:
    """Words parted by exactly one space, whatever parted them (two blanks, a hyphen, a line break)."""
    text = source.text
    runs = [match.span() for match in _PARTED.finditer(text) if match[0] != " "]
    if not runs:
        return None
    keep: list[int] = []
    pieces: list[str] = []
    position = 0
    for start, end in runs:
        keep.extend(range(position, start + 1))
        pieces.append(text[position:start] + " ")
        position = end
    keep.extend(range(position, len(text)))
    pieces.append(text[position:])
    view = _select(source, f"{source.name}+spaced", keep, joined=())
    return replace(view, text="".join(pieces), tricky=source.tricky)


def leet_views(source: View) -> Iterator[View]:
    """Digits and signs read as letters, once with 1 as i and once as l; nothing without such tokens."""
    text = source.text
    tokens = [m.span() for m in _LEET_TOKEN.finditer(text) if any(c.isalpha() for c in m[0])]
    if not tokens:
        return
    made: set[str] = set()
    for name, table in (("leet-i", _LEET), ("leet-l", _LEET_L)):
        pieces: list[str] = []
        position = 0
        for start, end in tokens:
            # A sign at the end of a word is punctuation, not a letter.
            while end > start and text[end - 1] in "!|+":
                end -= 1
            pieces.append(text[position:start])
            pieces.append("".join([table.get(c, c) for c in text[start:end]]))
            position = end
        pieces.append(text[position:])
        result = "".join(pieces)
        if result not in made and result != text:
            made.add(result)
            yield View(
                name=f"{source.name}+{name}",
                text=result,
                starts=source.starts,
                ends=source.ends,
                tricky=True,
                joined=source.joined,
            )


def base_views(text: str) -> list[View]:
    """``surface``, ``fold``, ``latin``, ``skeleton`` and ``emoji`` of a sanitised text, without doubles."""
    original = View(name="original", text=text)
    if text.isascii():
        surface = View(name="surface", text=text.lower())
        if text.isprintable():
            return [surface]
        return _distinct([surface, map_characters(original, "fold", _fold_char, tricky=True)])
    views = [
        map_characters(original, "surface", _surface_char, tricky=False),
        map_characters(original, "fold", _fold_char, tricky=True),
        map_characters(original, "latin", _latin_char, tricky=False),
        map_characters(original, "skeleton", _skeleton_char, tricky=True),
    ]
    if _EMOJI.search(text):
        views.append(map_characters(original, "emoji", _emoji_char, tricky=False))
    return _distinct(views)


def derive_views(bases: Sequence[View]) -> list[View]:
    """The spaced, joined, leet and squeezed forms of ``bases``, without doubles and without the bases."""
    derived: list[View] = []
    # Bases that differ often have forms that do not; what follows from a text is made once.
    read_as_leet: set[str] = set()
    squeezed_texts: set[str] = set()
    for base in bases:
        forms = [base]
        spaced = space_view(base)
        if spaced is not None:
            forms.append(spaced)
        joined = join_spaced(base)
        if joined is not None:
            forms.append(joined)
        for form in tuple(forms):
            if form.text not in read_as_leet:
                read_as_leet.add(form.text)
                forms.extend(leet_views(form))
        derived.extend(forms[1:])
        for form in forms:
            if form.text not in squeezed_texts:
                squeezed_texts.add(form.text)
                squeezed = squeeze_view(form)
                if squeezed is not None:
                    derived.append(squeezed)
    return _distinct([*bases, *derived])[len(bases) :]


def make_views(text: str) -> list[View]:
    """All views of ``text`` but the decoded ones; the first is always ``surface``."""
    bases = base_views(sanitise(text))
    return [*bases, *derive_views(bases)]


def _distinct(views: Sequence[View]) -> list[View]:
    seen: set[tuple[str, bool]] = set()
    result: list[View] = []
    for view in views:
        key = (view.text, view.squeezed)
        if key not in seen:
            seen.add(key)
            result.append(view)
    return result
