"""Decoders: text hidden as base64, hex, percent or entity escapes, rot13, backwards, or as tags.

Decoded views raise false positives, so they are matched against severity 3 only. Decoding is
bounded: two levels deep, and all levels together give at most as many characters as came in.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from guarded_sora.policies.text.normalise import View, base_views, derive_views

MAX_DEPTH: Final = 2
MAX_RUNS: Final = 512
MIN_HIDDEN: Final = 3

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}")
_HEX = re.compile(r"(?:0x|\\x)?[0-9A-Fa-f]{2}(?:(?:[\s:,]|\\x|\s*0x)?[0-9A-Fa-f]{2}){3,}")
_BINARY = re.compile(r"[01]{8}(?:\s?[01]{8}){2,}")
_PERCENT = re.compile(r"(?:%[0-9A-Fa-f]{2}){3,}")
_ENTITY = re.compile(r"(?:&#[xX]?[0-9A-Fa-f]{1,6};){3,}")
_ESCAPE = re.compile(r"(?:\\u[0-9A-Fa-f]{4}){3,}")
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
_ROT13: Final = str.maketrans(_LETTERS, _LETTERS[13:] + _LETTERS[:13])
_BLACK_FLAG: Final = "\U0001f3f4"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hidden:
    """A run of the original that spells something else. ``smuggled``: invisible to a reader."""

    kind: str
    start: int
    end: int
    text: str
    smuggled: bool = False


def find_hidden(text: str) -> list[Hidden]:
    """Every run of ``text`` (sanitised) that decodes to readable words."""
    found = list(_smuggled(text))
    budget = len(text) + 64
    for kind, pattern, decoder in _DECODERS:
        for number, match in enumerate(pattern.finditer(text)):
            if number >= MAX_RUNS or budget <= 0:
                break
            for decoded in decoder(match[0]):
                if _readable(decoded):
                    budget -= len(decoded)
                    found.append(Hidden(kind=kind, start=match.start(), end=match.end(), text=decoded))
    return found


def decoded_views(base: View, runs: Sequence[Hidden]) -> list[View]:
    """Views of the hidden ``runs``, of ``base`` backwards and of its rot13."""
    views = [_reversed(base), _rot13(base)]
    pending = [(hidden, 1) for hidden in runs]
    budget = len(base.text) + 64
    while pending and budget > 0:
        hidden, depth = pending.pop()
        budget -= len(hidden.text)
        bases = base_views(hidden.text)
        for view in [*bases, *derive_views(bases), _reversed(bases[0]), _rot13(bases[0])]:
            size = len(view.text)
            views.append(
                View(
                    name=f"{hidden.kind}+{view.name}",
                    text=view.text,
                    starts=[hidden.start] * size,
                    ends=[hidden.end] * size,
                    tricky=True,
                    decoded=True,
                    joined=view.joined,
                    squeezed=view.squeezed,
                )
            )
        if depth < MAX_DEPTH:
            for inner in find_hidden(hidden.text):
                outer = Hidden(
                    kind=f"{hidden.kind}+{inner.kind}", start=hidden.start, end=hidden.end, text=inner.text
                )
                pending.append((outer, depth + 1))
    return views


def _reversed(view: View) -> View:
    size = len(view.text)
    starts = list(range(size)) if view.starts is None else list(view.starts)
    ends = list(range(1, size + 1)) if view.ends is None else list(view.ends)
    return View(
        name=f"{view.name}+reversed",
        text=view.text[::-1],
        starts=starts[::-1],
        ends=ends[::-1],
        tricky=True,
        decoded=True,
    )


def _rot13(view: View) -> View:
    return View(
        name=f"{view.name}+rot13",
        text=view.text.translate(_ROT13),
        starts=view.starts,
        ends=view.ends,
        tricky=True,
        decoded=True,
    )


def _smuggled(text: str) -> Iterator[Hidden]:
    if text.isascii():
        return
    import disarm

    try:
        payloads = disarm.decode_smuggled(text)
    except disarm.DisarmError:
        return
    data = text.encode()
    byte = char = 0
    for payload in sorted(payloads, key=lambda item: int(item.start))[:MAX_RUNS]:
        # The library counts bytes of UTF-8; findings count characters.
        char += len(data[byte : payload.start].decode(errors="ignore"))
        start, end = char, char + len(data[payload.start : payload.end].decode(errors="ignore"))
        byte = payload.start
        # The flags of England, Scotland and Wales are spelled with tags; they hide nothing.
        flag = start > 0 and text[start - 1] == _BLACK_FLAG
        if payload.text and len(payload.text) >= MIN_HIDDEN and not flag:
            yield Hidden(
                kind=str(payload.scheme),
                start=start,
                end=end,
                text=payload.text,
                smuggled=True,
            )


def _readable(text: str) -> bool:
    if len(text) < MIN_HIDDEN:
        return False
    good = sum(char.isalnum() or char in " \n.,:;!?'\"+/=%-_&#\\" for char in text)
    return good >= 0.85 * len(text)


def _utf8(data: bytes) -> Iterator[str]:
    try:
        yield data.decode("utf-8")
    except UnicodeDecodeError:
        return


def _base64(run: str) -> Iterator[str]:
    body = run.rstrip("=").replace("-", "+").replace("_", "/")
    # Words of lower-case letters are no base64, whatever they decode to.
    if body.islower() and body.isalpha():
        return
    # A letter glued in front shifts the groups of four, so all four alignments are read.
    for shift in range(min(4, max(1, len(body) - 7))):
        part = body[shift:]
        part = part[: len(part) - (len(part) % 4 == 1)]
        try:
            data = base64.b64decode(part + "=" * (-len(part) % 4))
        except (binascii.Error, ValueError):
            continue
        yield from _utf8(data)


def _hex(run: str) -> Iterator[str]:
    digits = re.sub(r"0x|\\x|[\s:,]", "", run)
    if len(digits) % 2 == 0:
        yield from _utf8(bytes.fromhex(digits))


def _binary(run: str) -> Iterator[str]:
    bits = "".join(run.split())
    yield from _utf8(bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits) - 7, 8)))


def _percent(run: str) -> Iterator[str]:
    yield unquote(run, errors="replace")


def _entity(run: str) -> Iterator[str]:
    yield html.unescape(run)


def _escape(run: str) -> Iterator[str]:
    yield "".join(
        chr(int(code, 16)) for code in run.split("\\u")[1:] if not 0xD800 <= int(code, 16) <= 0xDFFF
    )


_Decoder = Callable[[str], Iterator[str]]
_DECODERS: Final[tuple[tuple[str, re.Pattern[str], _Decoder], ...]] = (
    ("base64", _BASE64, _base64),
    ("hex", _HEX, _hex),
    ("binary", _BINARY, _binary),
    ("percent", _PERCENT, _percent),
    ("entity", _ENTITY, _entity),
    ("escape", _ESCAPE, _escape),
)
