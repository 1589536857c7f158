"""A bounded reader of the JUMBF boxes of a manifest store (ISO/IEC 19566-5).

The C2PA library reports who signed, but not the certificates themselves nor the label of a store it
just made. Both stand in plain boxes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from guarded_sora.errors import ProvenanceError

_MAX_BOXES = 20_000
_MAX_DEPTH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Superbox:
    """A labelled box: its child superboxes, and the content boxes as (type, payload)."""

    label: str
    children: tuple[Superbox, ...]
    contents: tuple[tuple[bytes, memoryview], ...]

    def child(self, label: str) -> Superbox | None:
        return next((child for child in self.children if child.label == label), None)


def parse_store(store: bytes) -> tuple[Superbox, ...]:
    """The manifests of ``store``, oldest first; the last one is active.

    Raises ``ProvenanceError`` when the bytes are no manifest store.
    """
    budget = [_MAX_BOXES]
    try:
        boxes = _superboxes(memoryview(store), 0, budget)[0]
    except (struct.error, RecursionError, UnicodeDecodeError) as error:
        raise ProvenanceError("The bytes are no manifest store.") from error
    if len(boxes) != 1 or boxes[0].label != "c2pa":
        raise ProvenanceError("The bytes are no manifest store.")
    return boxes[0].children


def active_label(store: bytes) -> str:
    """The label of the newest manifest in ``store``; raises ``ProvenanceError`` when there is none."""
    manifests = parse_store(store)
    if not manifests:
        raise ProvenanceError("The manifest store is empty.")
    return manifests[-1].label


def _superboxes(
    data: memoryview, depth: int, budget: list[int]
) -> tuple[tuple[Superbox, ...], list[tuple[bytes, memoryview]]]:
    if depth > _MAX_DEPTH:
        raise ProvenanceError("The manifest store is nested too deep.")
    found: list[Superbox] = []
    contents: list[tuple[bytes, memoryview]] = []
    position = 0
    while position + 8 <= len(data):
        budget[0] -= 1
        if budget[0] < 0:
            raise ProvenanceError("The manifest store holds too many boxes.")
        length, name = struct.unpack(">I4s", data[position : position + 8])
        start = position + 8
        if length == 1:
            length = struct.unpack(">Q", data[start : start + 8])[0]
            start += 8
        elif length == 0:
            length = len(data) - position
        end = position + length
        if end < start or end > len(data):
            raise ProvenanceError("The manifest store is cut off.")
        body = data[start:end]
        if name == b"jumb":
            children, inner = _superboxes(body, depth + 1, budget)
            label = _label(inner[0][1]) if inner and inner[0][0] == b"jumd" else ""
            found.append(Superbox(label=label, children=children, contents=tuple(inner[1:])))
        else:
            contents.append((name, body))
        position = end
    return tuple(found), contents


def _label(description: memoryview) -> str:
    """The label of a description box: 16 bytes type, one byte toggles, then text up to a zero byte."""
    if len(description) < 18 or not description[16] & 0x02:
        return ""
    text = bytes(description[17 : 17 + 512]).split(b"\0", 1)[0]
    return text.decode("utf-8")
