"""A whole static tile tree: entries against leaves, leaves against every tile, tiles against the root."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from .signed import NUMBER, CheckFailed, SignedTree, check_checkpoint, parent, read_small


def check_tiles(folder: Path, vkey: str) -> SignedTree:
    """Check a whole static tile tree: entries against leaves, leaves against every tile and the root."""
    tree = check_checkpoint(read_small(folder / "checkpoint").decode(), vkey)
    row: list[bytes] = []
    minimum = _minimum(folder)
    for index, width in _tiles_of(tree.size):
        if (index + 1) << 8 <= minimum:
            tile = _tile(folder, "0", index, width)
            row.extend(tile[at : at + 32] for at in range(0, len(tile), 32))
            continue
        where = f"entries {index << 8} to {(index << 8) + width - 1}"
        leaves = [hashlib.sha256(b"\x00" + entry).digest() for entry in _entries(folder, index, width)]
        if len(leaves) != width:
            raise CheckFailed(f"The bundle with {where} does not hold as many as it should.")
        tile = _tile(folder, "0", index, width)
        for at, leaf in enumerate(leaves):
            if tile[32 * at : 32 * at + 32] != leaf:
                raise CheckFailed(f"Entry {(index << 8) + at} is not the one its tile holds: it was changed.")
        row.extend(leaves)
    edge: list[bytes] = []
    level = 0
    while row:
        whole = len(row) >> 8
        edge = [*_peaks(row[whole << 8 :]), *edge]
        above = []
        for index in range(whole):
            top = _peaks(row[index << 8 : (index + 1) << 8])
            above.extend(top)
        row, level = above, level + 1
        for index, width in _tiles_of(len(row)):
            if _tile(folder, str(level), index, width) != b"".join(row[index << 8 : (index << 8) + width]):
                raise CheckFailed(
                    f"Tile {index} of level {level} does not hold the hashes of those below it."
                )
    root = hashlib.sha256(b"").digest()
    if edge:
        root = edge[-1]
        for left in reversed(edge[:-1]):
            root = parent(left, root)
    if root != tree.root:
        raise CheckFailed("The tiles do not lead to the signed root.")
    return tree


def _minimum(folder: Path) -> int:
    """Entries below this were pruned by the log's owner; their hashes must still lead to the root."""
    path = folder / "minimum"
    text = path.read_text().strip() if path.exists() else "0"
    if not NUMBER.fullmatch(text):
        raise CheckFailed("The file minimum holds no number.")
    return int(text)


def _tiles_of(size: int) -> Iterable[tuple[int, int]]:
    """``(index, width)`` of every tile in a row of ``size`` hashes."""
    return ((index, min(256, size - (index << 8))) for index in range((size + 255) >> 8))


def _peaks(row: list[bytes]) -> list[bytes]:
    """Roots of the perfect trees that ``row`` falls into, largest first."""
    peaks: list[bytes] = []
    for at, leaf in enumerate(row):
        peaks.append(leaf)
        while at & 1:
            right = peaks.pop()
            peaks[-1] = parent(peaks[-1], right)
            at >>= 1
    return peaks


def _tile_name(index: int, width: int) -> str:
    name = f"{index % 1000:03d}"
    while index := index // 1000:
        name = f"x{index % 1000:03d}/{name}"
    return name if width == 256 else f"{name}.p/{width}"


def _tile(folder: Path, level: str, index: int, width: int) -> bytes:
    path = folder / "tile" / level / _tile_name(index, width)
    data = path.read_bytes()
    if len(data) != 32 * width:
        raise CheckFailed(f"The file {path.relative_to(folder)} has the wrong length.")
    return data


def _entries(folder: Path, index: int, width: int) -> Iterable[bytes]:
    data = (folder / "tile" / "entries" / _tile_name(index, width)).read_bytes()
    at = 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 2], "big")
        if at + 2 + length > len(data):
            raise CheckFailed(f"The bundle of entries from {index << 8} on is cut off.")
        yield data[at + 2 : at + 2 + length]
        at += 2 + length
