"""Declared metadata: what a file says of itself without proof.

IPTC's digital source type in XMP, and the ``AIGC`` key of the Chinese labelling measures (GB 45438-2025,
appendix E; for the place in MP4 and MOV: TC260-PG-20257A, 6.1.1, ``moov.udta.meta`` with ``keys`` and
``ilst``). Anybody can write or remove these, so they only ever support a verdict that says "declared".

Pure Python, bounded: at most 4096 boxes and 1 MiB of any value are read, XMP is searched and never
parsed as XML (no entity can expand).
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO

from guarded_sora.errors import MediaError
from guarded_sora.provenance.credentials.cleaning import clean_text
from guarded_sora.provenance.credentials.container import DEFAULT_LIMITS, Limits, inspect
from guarded_sora.provenance.credentials.manifest import IPTC, says_ai

XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
AIGC_KEY = "AIGC"

_MAX_BOXES = 4096
_MAX_VALUE = 1 << 20
_SCAN = 4 << 20
_SOURCE_TYPE = re.compile(
    rb"""DigitalSourceType(?:\s*=\s*["']([^"'<>]{1,200})["']|[^>]{0,200}?resource\s*=\s*["']([^"'<>]{1,200})["']"""
    rb"""|[^>]{0,200}>\s*([^<>\s]{1,200}))""",
    re.IGNORECASE,
)
_XMP_AIGC = re.compile(
    rb"""(?:TC260:)?AIGC(?:\s*=\s*["']([^"'<>]{1,4000})["']|[^>]{0,200}>\s*([^<>]{1,4000}))"""
)
_AIGC_CHARACTERS = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Aigc:
    """The implicit label of GB 45438-2025, field by field.

    ``label``: "1" is AI-made, "2" possibly, "3" suspected. Producer fields belong to who made the content,
    propagator fields to who spread it. Characters: printable ASCII without space, quote and backslash.
    """

    label: str = "1"
    content_producer: str = ""
    produce_id: str = ""
    reserved_code1: str = ""
    content_propagator: str = ""
    propagate_id: str = ""
    reserved_code2: str = ""

    def to_json(self) -> str:
        """The value to write under the key ``AIGC``: one JSON object, fields in the standard's order.

        Raises ``MediaError`` when a value uses characters that the standard forbids.
        """
        if problems := self.problems():
            raise MediaError(f"The AIGC label cannot be written: {problems[0]}.")
        return json.dumps({name: getattr(self, field) for field, name in _AIGC_NAMES}, separators=(",", ":"))

    def problems(self) -> tuple[str, ...]:
        """What the standard forbids in these values; empty when nothing."""
        found = []
        if self.label not in ("1", "2", "3"):
            found.append("Label must be 1, 2 or 3")
        for field, name in _AIGC_NAMES:
            if not _AIGC_CHARACTERS.fullmatch(getattr(self, field)):
                found.append(f"{name} uses a character that is not allowed")
        for field in ("content_producer", "produce_id", "content_propagator", "propagate_id"):
            if not getattr(self, field):
                found.append(f"{dict(_AIGC_NAMES)[field]} is empty")
        return tuple(found)


_AIGC_NAMES = tuple(
    (item.name, "".join(part.capitalize() for part in item.name.split("_")).replace("Id", "ID"))
    for item in fields(Aigc)
)


def first_label(producer: str, produce_id: str, *, reserved: str = "") -> Aigc:
    """The label a generator writes: the maker counts as the first one to spread it."""
    return Aigc(
        content_producer=producer,
        produce_id=produce_id,
        reserved_code1=reserved,
        content_propagator=producer,
        propagate_id=produce_id,
        reserved_code2=reserved,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What the file declares. ``says_ai`` is None when it declares nothing; ``where`` names the places read.

    ``aigc_count`` is how many AIGC labels stand in the file; the standard allows one. ``tags`` are
    container tags, cleaned, without the AIGC label.
    """

    says_ai: bool | None = None
    source_type: str = ""
    aigc: Aigc | None = None
    aigc_count: int = 0
    tags: tuple[tuple[str, str], ...] = ()
    where: tuple[str, ...] = ()


def read_declared(path: Path, limits: Limits = DEFAULT_LIMITS) -> Declared:
    """The declared metadata of ``path``; an empty ``Declared`` for files the container guard refuses.

    Raises ``MediaError`` only when the file cannot be opened.
    """
    report = inspect(path, limits)
    if report.refused or report.kind == "unknown":
        return Declared()
    try:
        with open(path, "rb") as stream:
            if report.kind == "bmff":
                found = list(_bmff_values(stream, report.size))
            else:
                found = list(_scanned_values(stream, report.size))
    except OSError as error:
        raise MediaError(f"The file {path.name!r} cannot be read; check the path and its rights.") from error
    return _declared(found)


def _declared(found: list[tuple[str, str, bytes]]) -> Declared:
    source, labels, where = "", [], []
    tags: dict[str, str] = {}
    for place, key, value in found:
        if key == "xmp":
            if match := _SOURCE_TYPE.search(value):
                text = next(group for group in match.groups() if group)
                source = source or _full_source_type(clean_text(text.decode("utf-8", "replace")))
                where.append(f"{place}:DigitalSourceType")
            if match := _XMP_AIGC.search(value):
                text = next(group for group in match.groups() if group)
                labels.append(_parse_aigc(text.replace(b"&quot;", b'"')))
                where.append(f"{place}:{AIGC_KEY}")
        elif key == AIGC_KEY:
            labels.append(_parse_aigc(value))
            where.append(f"{place}:{AIGC_KEY}")
        elif len(tags) < 64:
            name = clean_text(key, limit=64)
            tags[name] = clean_text(value.decode("utf-8", "replace"))
            if name.endswith("DigitalSourceType"):
                source = source or _full_source_type(tags[name])
                where.append(f"{place}:DigitalSourceType")
    read = [label for label in labels if label is not None]
    said = [says_ai(source)] + [True for _ in read]
    return Declared(
        says_ai=True if True in said else False if False in said else None,
        source_type=source,
        aigc=read[0] if read else None,
        aigc_count=len(labels),
        tags=tuple(tags.items()),
        where=tuple(dict.fromkeys(where)),
    )


def _full_source_type(text: str) -> str:
    return text if "/" in text else IPTC + text


def _parse_aigc(value: bytes) -> Aigc | None:
    """The label in ``value``, bare or wrapped in ``{"AIGC": ...}``; None when it is no such object."""
    try:
        data: Any = json.loads(value[:8192])
        if isinstance(data, dict) and isinstance(data.get(AIGC_KEY), str | dict):
            data = data[AIGC_KEY]
            data = json.loads(data) if isinstance(data, str) else data
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or "Label" not in data:
        return None
    return Aigc(**{field: clean_text(str(data.get(name, "")), limit=4000) for field, name in _AIGC_NAMES})


def _bmff_values(stream: BinaryIO, size: int) -> Iterator[tuple[str, str, bytes]]:
    """(place, key, value) of every XMP packet and every tag."""
    boxes = _Boxes(stream)
    for name, start, end in boxes.children(0, size):
        if name == b"uuid" and boxes.take(start, start + 16) == XMP_UUID:
            yield "uuid", "xmp", boxes.take(start + 16, end)
        elif name == b"meta":
            yield from _meta(boxes, "meta", start, end)
        elif name == b"moov":
            for inner, inner_start, inner_end in boxes.children(start, end):
                if inner == b"meta":
                    yield from _meta(boxes, "moov.meta", inner_start, inner_end)
                elif inner == b"udta":
                    yield from _user_data(boxes, inner_start, inner_end)


def _user_data(boxes: _Boxes, start: int, end: int) -> Iterator[tuple[str, str, bytes]]:
    for name, inner, inner_end in boxes.children(start, end):
        if name == b"meta":
            yield from _meta(boxes, "moov.udta.meta", inner, inner_end)
        elif name == b"XMP_":
            yield "moov.udta", "xmp", boxes.take(inner, inner_end)


def _meta(boxes: _Boxes, place: str, start: int, end: int) -> Iterator[tuple[str, str, bytes]]:
    if boxes.take(start + 4, start + 8) != b"hdlr":  # QuickTime leaves out version and flags
        start += 4
    names: list[str] = []
    for name, inner, inner_end in boxes.children(start, end):
        if name == b"keys":
            names = list(_keys(boxes.take(inner, inner_end)))
        elif name == b"ilst":
            for key, item, item_end in boxes.children(inner, inner_end):
                index = int.from_bytes(key, "big")
                label = names[index - 1] if 1 <= index <= len(names) else key.decode("latin-1")
                parts = {
                    part: boxes.take(value, value_end)
                    for part, value, value_end in boxes.children(item, item_end)
                }
                if key == b"----":
                    label = parts.get(b"name", b"")[4:].decode("utf-8", "replace")
                if b"data" in parts:
                    yield place, label, parts[b"data"][8:]


def _keys(data: bytes) -> Iterator[str]:
    position, count = 8, 0
    while position + 8 <= len(data) and count < _MAX_BOXES:
        length = struct.unpack(">I", data[position : position + 4])[0]
        if length < 8:
            return
        yield data[position + 8 : position + length].decode("utf-8", "replace")
        position += length
        count += 1


class _Boxes:
    """Children of boxes in a stream, with one budget for all of them."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.budget = _MAX_BOXES

    def take(self, start: int, end: int) -> bytes:
        self.stream.seek(start)
        return self.stream.read(max(0, min(end - start, _MAX_VALUE)))

    def children(self, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
        position = start
        while position + 8 <= end and self.budget > 0:
            self.budget -= 1
            head = self.take(position, position + 16)
            if len(head) < 8:
                return
            length, name = struct.unpack(">I4s", head[:8])
            inner = position + 8
            if length == 1 and len(head) == 16:
                length = struct.unpack(">Q", head[8:])[0]
                inner = position + 16
            elif length == 0:
                length = end - position
            if position + length < inner or position + length > end:
                return
            yield name, inner, position + length
            position += length


def _scanned_values(stream: BinaryIO, size: int) -> Iterator[tuple[str, str, bytes]]:
    """XMP packets and the AIGC tag found by their text in the first and last 4 MiB of other containers."""
    stream.seek(0)
    data = stream.read(_SCAN)
    if size > _SCAN:
        stream.seek(max(_SCAN, size - _SCAN))
        data += stream.read(_SCAN)
    start = data.find(b"<x:xmpmeta")
    if start >= 0:
        end = data.find(b"</x:xmpmeta>", start)
        yield "xmp", "xmp", data[start : end if end > 0 else start + _MAX_VALUE][:_MAX_VALUE]
    if data.startswith(b"\x1aE\xdf\xa3"):
        yield from _matroska_tags(data)


def _matroska_tags(data: bytes) -> Iterator[tuple[str, str, bytes]]:
    """SimpleTag pairs: TagName (0x45A3) followed by TagString (0x4487) somewhere behind it."""
    position = 0
    for _ in range(256):
        position = data.find(b"\x45\xa3", position)
        if position < 0:
            return
        name, after = _element(data, position + 2)
        position += 2
        value_at = data.find(b"\x44\x87", after, after + 32)
        if name is None or value_at < 0:
            continue
        value, _ = _element(data, value_at + 2)
        if value is not None:
            yield "tags", name.rstrip(b"\0").decode("utf-8", "replace"), value.rstrip(b"\0")


def _element(data: bytes, position: int) -> tuple[bytes | None, int]:
    """The payload of an EBML element whose size starts at ``position``, and where it ends."""
    if position >= len(data) or data[position] == 0:
        return None, position
    width = 9 - data[position].bit_length()
    length = int.from_bytes(data[position : position + width], "big") & ((1 << (7 * width)) - 1)
    start = position + width
    if length > 8192 or start + length > len(data):
        return None, start
    return data[start : start + length], start + length
