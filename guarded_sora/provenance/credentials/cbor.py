"""Just enough CBOR (RFC 8949) to open a COSE signature, bounded in depth and in items."""

from __future__ import annotations

import struct
from typing import Any

_MAX_DEPTH = 48
_MAX_ITEMS = 400_000


def decode(data: bytes) -> Any:
    """The first item of ``data``; a tag gives its content, an undefined value None.

    Raises ``ValueError`` for anything cut off, nested too deep, too long or not allowed by the grammar.
    """
    return _Decoder(data).item(0)


class _Decoder:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0
        self.items = 0

    def take(self, count: int) -> bytes:
        end = self.position + count
        if count < 0 or end > len(self.data):
            raise ValueError("the CBOR data is cut off")
        part = self.data[self.position : end]
        self.position = end
        return part

    def argument(self, extra: int) -> int | None:
        if extra < 24:
            return extra
        if extra <= 27:
            return int.from_bytes(self.take(1 << (extra - 24)), "big")
        if extra == 31:
            return None
        raise ValueError("the CBOR data holds a reserved length")

    def item(self, depth: int) -> Any:
        self.items += 1
        if depth > _MAX_DEPTH or self.items > _MAX_ITEMS:
            raise ValueError("the CBOR data is nested too deep or too long")
        head = self.take(1)[0]
        major, extra = head >> 5, head & 31
        if major == 7:
            return self.simple(extra)
        count = self.argument(extra)
        if count is None:
            return self.indefinite(major, depth)
        if major == 0:
            return count
        if major == 1:
            return -1 - count
        if major == 2:
            return self.take(count)
        if major == 3:
            return self.take(count).decode("utf-8")
        if major == 4:
            return [self.item(depth + 1) for _ in self.counted(count)]
        if major == 5:
            return _as_map([self.item(depth + 1) for _ in range(2 * len(self.counted(count)))])
        return self.item(depth + 1)

    def counted(self, count: int) -> range:
        if count > len(self.data) - self.position:
            raise ValueError("the CBOR data is cut off")
        return range(count)

    def indefinite(self, major: int, depth: int) -> Any:
        parts: list[Any] = []
        while self.peek() != 0xFF:
            parts.append(self.item(depth + 1))
        self.take(1)
        if major == 2:
            return b"".join(parts)
        if major == 3:
            return "".join(parts)
        if major == 4:
            return parts
        if major == 5 and len(parts) % 2 == 0:
            return _as_map(parts)
        raise ValueError("the CBOR data holds an indefinite item that cannot be one")

    def peek(self) -> int:
        if self.position >= len(self.data):
            raise ValueError("the CBOR data is cut off")
        return self.data[self.position]

    def simple(self, extra: int) -> Any:
        if extra in (20, 21):
            return extra == 21
        if extra in (22, 23):
            return None
        if extra == 24:
            return self.take(1)[0]
        if extra in (25, 26, 27):
            layout = {25: ">e", 26: ">f", 27: ">d"}[extra]
            return struct.unpack(layout, self.take(1 << (extra - 24)))[0]
        raise ValueError("the CBOR data holds a reserved simple value")


def _as_map(parts: list[Any]) -> dict[Any, Any]:
    """Keys and values in turn. A repeated key is refused: two readers might each take another one."""
    keys = parts[::2]
    if any(isinstance(key, list | dict) for key in keys):
        raise ValueError("the CBOR data uses a container as a key")
    found = dict(zip(keys, parts[1::2], strict=True))
    if len(found) != len(keys):
        raise ValueError("the CBOR data repeats a key")
    return found
