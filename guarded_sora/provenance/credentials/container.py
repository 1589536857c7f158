"""The container guard: a linear, bounded look at box headers before a native parser sees the file.

Many tiny boxes make the C2PA library's time grow with their square, in a call that cannot be cancelled; a
size that points past its parent or a 20 GB sparse box costs minutes. Everything here reads headers only,
at most ``Limits.boxes`` of them, with an explicit stack.

Source of the box grammar: ISO/IEC 14496-12, section 4.2; of the C2PA box: C2PA technical specification 2.x,
"Embedding manifests into BMFF-based assets".
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Literal

from guarded_sora.errors import MediaError

Kind = Literal["bmff", "matroska", "png", "jpeg", "riff", "unknown"]

C2PA_UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_CONTAINERS = frozenset(
    {
        b"moov",
        b"trak",
        b"mdia",
        b"minf",
        b"stbl",
        b"moof",
        b"traf",
        b"edts",
        b"dinf",
        b"udta",
        b"mvex",
        b"meta",
    }
)
_FIRST_BOXES = frozenset(
    {b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"moof", b"sidx"}
)
_MIME_BY_BRAND = {
    b"qt  ": "video/quicktime",
    b"M4A ": "audio/mp4",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heif",
    b"avif": "image/avif",
}
MIME_BY_SUFFIX = {".webm": "video/webm", ".mkv": "video/x-matroska"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is still taken. A real film of 1200 fragments has 8425 boxes.

    Pictures have a limit of their own, because the library reads them into memory whole.
    """

    bytes: int = 4 << 30
    picture_bytes: int = 256 << 20
    boxes: int = 20_000
    depth: int = 12
    store_bytes: int = 16 << 20


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerReport:
    """What the headers say. ``refused`` is empty or the reason why no parser may see the file.

    ``refused_code`` is stable: ``empty``, ``too_large``, ``too_many_boxes``, ``too_deep``, ``bad_size``,
    ``trailing_data``, ``store_too_large``. ``stores`` counts boxes that may hold a manifest store;
    ``store_span`` is (offset, length) of the first one's payload.
    """

    kind: Kind
    mime: str
    size: int
    boxes: int = 0
    depth: int = 0
    fragmented: bool = False
    stores: int = 0
    store_span: tuple[int, int] | None = None
    refused: str = ""
    refused_code: str = ""


def inspect(path: Path, limits: Limits = DEFAULT_LIMITS) -> ContainerReport:
    """Look at the headers of ``path``; never raises on what a file holds.

    Raises ``MediaError`` only when the file cannot be opened or read at all.
    """
    try:
        with open(path, "rb") as stream:
            return _inspect(stream, Path(path), limits)
    except (OSError, ValueError) as error:
        raise MediaError(
            f"The file {Path(path).name!r} cannot be read; check the path and its rights."
        ) from error


def _inspect(stream: BinaryIO, path: Path, limits: Limits) -> ContainerReport:
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    head = stream.read(64)
    kind, mime = _recognise(head, path)
    report = ContainerReport(kind=kind, mime=mime, size=size)
    if size == 0:
        return _refuse(report, "empty", "the file is empty")
    most = limits.picture_bytes if mime.startswith("image/") else limits.bytes
    if size > most:
        return _refuse(report, "too_large", f"the file is larger than {most >> 20} MiB")
    if kind == "bmff":
        return _walk_boxes(stream, report, limits)
    if kind in ("riff", "png"):
        return _walk_chunks(stream, report, limits)
    return report


def _recognise(head: bytes, path: Path) -> tuple[Kind, str]:
    if head[4:8] in _FIRST_BOXES:
        brand = head[8:12] if head[4:8] == b"ftyp" else b""
        return "bmff", _MIME_BY_BRAND.get(brand, "video/mp4" if brand else "video/quicktime")
    if head.startswith(b"\x1aE\xdf\xa3"):
        return "matroska", MIME_BY_SUFFIX.get(path.suffix.lower(), "video/x-matroska")
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png", "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg", "image/jpeg"
    if head.startswith(b"RIFF"):
        form = {b"WEBP": "image/webp", b"AVI ": "video/x-msvideo", b"WAVE": "audio/wav"}.get(head[8:12])
        if form:
            return "riff", form
    return "unknown", "application/octet-stream"


def _walk_boxes(stream: BinaryIO, report: ContainerReport, limits: Limits) -> ContainerReport:
    size = report.size
    quicktime = report.mime == "video/quicktime"
    boxes, deepest, stores = 0, 1, 0
    span: tuple[int, int] | None = None
    fragmented = False
    # (position, end, depth, sizes must hold): a meta box of QuickTime may lack its four version bytes,
    # so nothing inside it may condemn the file.
    stack: list[tuple[int, int, int, bool]] = [(0, size, 1, True)]

    def done(code: str = "", reason: str = "") -> ContainerReport:
        return replace(
            report,
            boxes=boxes,
            depth=deepest,
            stores=stores,
            store_span=span,
            fragmented=fragmented,
            refused=reason,
            refused_code=code,
        )

    while stack:
        position, end, depth, strict = stack.pop()
        if depth > limits.depth:
            return done("too_deep", f"boxes are nested deeper than {limits.depth}")
        deepest = max(deepest, depth)
        while position < end:
            if end - position < 8:
                if depth == 1:
                    return done("trailing_data", "bytes follow the last box")
                break  # writers pad user data with four zero bytes
            header = _header(stream, position, end)
            if header is None:
                if strict:
                    return done("bad_size", "a box is smaller than its header or reaches past its parent")
                break
            name, start, box_end = header
            boxes += 1
            if boxes > limits.boxes:
                return done("too_many_boxes", f"the file holds more than {limits.boxes} boxes")
            if name == b"moof":
                fragmented = True
            if name == b"uuid" and depth == 1 and box_end - start >= 16:
                stream.seek(start)
                if stream.read(16) == C2PA_UUID:
                    if box_end - start > limits.store_bytes:
                        return done(
                            "store_too_large",
                            f"the manifest store is larger than {limits.store_bytes >> 20} MiB",
                        )
                    payload = _store_span(stream, start + 16, box_end)
                    if payload is not None:
                        stores += 1
                        span = span or payload
            if name in _CONTAINERS:
                inner = start + 4 if name == b"meta" else start
                stack.append((box_end, end, depth, strict))
                stack.append((inner, box_end, depth + 1, strict and not (quicktime and name == b"meta")))
                break
            position = box_end
    return done()


def _header(stream: BinaryIO, position: int, end: int) -> tuple[bytes, int, int] | None:
    """Type, start of the payload and end of the box at ``position``; None when its size cannot be."""
    stream.seek(position)
    head = stream.read(16)
    if len(head) < 8:
        return None
    length, name = struct.unpack(">I4s", head[:8])
    start = position + 8
    if length == 1:
        if len(head) < 16:
            return None
        length = struct.unpack(">Q", head[8:])[0]
        start = position + 16
    elif length == 0:
        length = end - position
    if position + length < start or position + length > end:
        return None
    return name, start, position + length


def _store_span(stream: BinaryIO, start: int, end: int) -> tuple[int, int] | None:
    """The payload of a C2PA box that may hold a store; None for the Merkle boxes of fragments."""
    stream.seek(start)
    head = stream.read(min(64, end - start))
    purpose, separator, _ = head[4:].partition(b"\0")
    if not separator or purpose not in (b"manifest", b"original"):
        return None
    payload = start + 4 + len(purpose) + 1 + 8  # version and flags, purpose, its zero, Merkle offset
    return (payload, end - payload) if payload < end else None


def _walk_chunks(stream: BinaryIO, report: ContainerReport, limits: Limits) -> ContainerReport:
    """Top-level chunks of PNG and RIFF: count and sizes only."""
    png = report.kind == "png"
    position, boxes = (8, 0) if png else (12, 0)
    name = b"caBX" if png else b"C2PA"
    span: tuple[int, int] | None = None
    while position + 8 <= report.size:
        stream.seek(position)
        head = stream.read(8)
        length = struct.unpack(">I" if png else "<I", head[:4] if png else head[4:])[0]
        boxes += 1
        if boxes > limits.boxes:
            return replace(
                _refuse(report, "too_many_boxes", f"the file holds more than {limits.boxes} chunks"),
                boxes=boxes,
            )
        if png and head[4:] == b"caBX" and length > limits.store_bytes:
            return _refuse(
                report, "store_too_large", f"the manifest store is larger than {limits.store_bytes >> 20} MiB"
            )
        if span is None and name in (head[4:], head[:4]):
            span = (position + 8, min(length, report.size - position - 8))
        position += 8 + length + (4 if png else length & 1)
    return replace(report, boxes=boxes, depth=1, store_span=span)


def _refuse(report: ContainerReport, code: str, reason: str) -> ContainerReport:
    return replace(report, refused_code=code, refused=reason)
