"""The store guard: is every CBOR value of a manifest store as long as it says?

A five-kilobyte picture with one wrong length made the C2PA library fill 1.7 GB. So the values are walked
here first, with bounds, and a store that does not hold together never reaches the library.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from guarded_sora.errors import ProvenanceError
from guarded_sora.provenance.credentials import cbor
from guarded_sora.provenance.credentials.container import ContainerReport
from guarded_sora.provenance.credentials.jumbf import Superbox, parse_store
from guarded_sora.provenance.credentials.library import MAX_STORE_MIB

_MAX_BYTES = MAX_STORE_MIB << 20
_MAX_SEGMENTS = 4096


def embedded_store(path: Path, container: ContainerReport) -> bytes | None:
    """The manifest store inside ``path`` as far as the guard finds one; None for none.

    Raises ``OSError`` when the file cannot be read.
    """
    if container.kind != "jpeg" and container.store_span is None:
        return None
    with open(path, "rb") as stream:
        if container.kind == "jpeg":
            return _jpeg_store(stream)
        start, length = container.store_span or (0, 0)
        stream.seek(start)
        return stream.read(min(length, _MAX_BYTES))


def is_malformed(store: bytes) -> bool:
    """Whether a CBOR value in ``store`` is cut off, nested too deep, too long or not allowed by the grammar.

    A store whose boxes cannot be read at all is left to the library, which refuses it at once.
    """
    try:
        manifests = parse_store(store)
    except ProvenanceError:
        return False
    return any(_malformed(manifest) for manifest in manifests)


def _malformed(box: Superbox) -> bool:
    return _any_malformed(bytes(body) for name, body in box.contents if name == b"cbor") or any(
        _malformed(child) for child in box.children
    )


def _any_malformed(values: Iterable[bytes]) -> bool:
    for value in values:
        try:
            cbor.decode(value)
        except (ValueError, RecursionError):
            return True
    return False


def _jpeg_store(stream: BinaryIO) -> bytes | None:
    """The box that is spread over the APP11 segments (ISO/IEC 19566-5, annex D).

    Each segment holds ``JP``, an instance number, a sequence number, and the box header again before its
    part.
    """
    parts: list[bytes] = []
    total = 0
    position = 2
    for _ in range(_MAX_SEGMENTS):
        stream.seek(position)
        head = stream.read(4)
        if len(head) < 4 or head[0] != 0xFF or head[1] in (0xD9, 0xDA):
            break
        length = struct.unpack(">H", head[2:])[0]
        if head[1] == 0xEB:
            body = stream.read(max(0, length - 2))
            if body[:2] == b"JP" and len(body) > 16:
                parts.append(body[8:] if not parts else body[16:])
                total += len(body)
        if total > _MAX_BYTES:
            break
        position += 2 + max(2, length)
    return b"".join(parts) or None
