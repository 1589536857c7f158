"""A manifest store as it lies in a repository: what it binds, whose clip it is, and its newest manifest
alone.

Read from the store's own boxes, without a film: a repository answers by binding only what the manifest
itself says, so that nobody can point somebody else's mark to their manifest.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from guarded_sora.errors import ProvenanceError
from guarded_sora.provenance.credentials import cbor
from guarded_sora.provenance.credentials.cleaning import clean_text
from guarded_sora.provenance.credentials.jumbf import Superbox, parse_store
from guarded_sora.provenance.credentials.manifest import RECORD_LABEL
from guarded_sora.provenance.credentials.report import SoftBindingClaim


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredManifest:
    """The active manifest of a store: its label, our clip id in it (or empty) and the marks it names."""

    label: str
    clip_id: str
    bindings: tuple[SoftBindingClaim, ...]


def describe(store: bytes) -> StoredManifest:
    """What the active manifest of ``store`` says of itself. Nothing here checks a signature.

    Raises ``ProvenanceError`` when the bytes are no manifest store or the store is empty.
    """
    manifests = parse_store(store)
    if not manifests:
        raise ProvenanceError("The manifest store is empty.")
    active = manifests[-1]
    assertions = active.child("c2pa.assertions")
    children = assertions.children if assertions is not None else ()
    record = next((_content(child) for child in children if child.label == RECORD_LABEL), {})
    return StoredManifest(
        label=clean_text(active.label, limit=120),
        clip_id=clean_text(record.get("clipId"), limit=64),
        bindings=tuple(dict.fromkeys(binding for child in children for binding in _bindings(child))),
    )


def active_only(store: bytes) -> bytes:
    """A store that holds nothing but the newest manifest of ``store``.

    Raises ``ProvenanceError`` when the bytes are no manifest store or the store is empty.
    """
    if not parse_store(store):
        raise ProvenanceError("The manifest store is empty.")
    outer = _boxes(store)
    inner = list(_boxes(next(body for name, body in outer if name == b"jumb")))
    description = next(body for name, body in inner if name == b"jumd")
    newest = [body for name, body in inner if name == b"jumb"][-1]
    return _box(b"jumb", _box(b"jumd", description) + _box(b"jumb", newest))


def _content(box: Superbox) -> dict[Any, Any]:
    data = next((bytes(body) for name, body in box.contents if name == b"cbor"), b"")
    try:
        found = cbor.decode(data)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _bindings(box: Superbox) -> Iterator[SoftBindingClaim]:
    if box.label.partition("__")[0] != "c2pa.soft-binding":
        return
    data = _content(box)
    blocks = data.get("blocks")
    for block in blocks[:64] if isinstance(blocks, list) else ():
        value = block.get("value") if isinstance(block, dict) else None
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        if isinstance(value, str) and isinstance(data.get("alg"), str):
            yield SoftBindingClaim(
                algorithm=clean_text(data["alg"], limit=120), value=clean_text(value, limit=400)
            )


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Boxes of ``data``, whose sizes :func:`parse_store` has already checked."""
    position = 0
    while position + 8 <= len(data):
        length, name = struct.unpack(">I4s", data[position : position + 8])
        start = position + 8
        if length == 1:
            length = struct.unpack(">Q", data[start : start + 8])[0]
            start += 8
        length = length or len(data) - position
        yield name, data[start : position + length]
        position += length


def _box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), name) + body
