"""The Merkle tree of RFC 6962: hashes, the right edge, and which nodes a proof needs.

Nothing here touches a database. A *node* is named by ``(height, index)``: the root of the
perfect subtree over leaves ``index << height`` up to ``(index + 1) << height``. A *tile* is 256
neighbouring nodes of height ``8 * level`` (C2SP tlog-tiles); only full tiles are stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

HASH = 32
"""Bytes of one hash."""

TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT

EMPTY_ROOT = sha256(b"").digest()
"""Root of the tree without leaves."""

NodeReader = Callable[[int, int], bytes]
"""``(height, index) -> hash`` for any perfect subtree that lies whole inside the tree."""


def leaf_hash(entry: bytes) -> bytes:
    """Hash of a leaf: SHA-256(0x00 || entry)."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node: SHA-256(0x01 || left || right)."""
    return sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class ClosedTile:
    """A tile that became full: its root is the node of height ``8 * (level + 1)`` at ``idx``."""

    level: int
    idx: int
    root: bytes


class Frontier:
    """The right edge of a tree: one hash for every 1 in the binary form of its size.

    ``hashes`` run from the largest subtree (leftmost) to the smallest.
    """

    __slots__ = ("hashes", "size")

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        self.size = size
        self.hashes = list(hashes)
        if len(self.hashes) != size.bit_count() or any(len(item) != HASH for item in self.hashes):
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} frontier hashes of 32 bytes")

    @classmethod
    def from_bytes(cls, size: int, data: bytes) -> Frontier:
        """From the stored form; ``ValueError`` when size and data do not fit each other."""
        return cls(size, [data[at : at + HASH] for at in range(0, len(data), HASH)])

    def to_bytes(self) -> bytes:
        return b"".join(self.hashes)

    def push(self, leaf: bytes, closed: list[ClosedTile] | None = None) -> None:
        """Append one leaf hash; tiles that this completes are added to ``closed``, lowest first."""
        hashes = self.hashes
        hashes.append(leaf)
        rest, height = self.size, 0
        while rest & 1:
            right = hashes.pop()
            hashes[-1] = sha256(b"\x01" + hashes[-1] + right).digest()
            rest >>= 1
            height += 1
            if closed is not None and not height % TILE_HEIGHT:
                closed.append(ClosedTile(height // TILE_HEIGHT - 1, self.size >> height, hashes[-1]))
        self.size += 1

    def extend(self, leaves: Sequence[bytes], closed: list[ClosedTile]) -> None:
        """:meth:`push` for many leaves."""
        at, count = 0, len(leaves)
        while at < count:
            if self.size & (TILE_WIDTH - 1) or count - at < TILE_WIDTH:
                self.push(leaves[at], closed)
                at += 1
                continue
            # A whole tile at once: its rows are hashed quicker than leaf by leaf.
            row = b"".join(leaves[at : at + TILE_WIDTH])
            while len(row) > HASH:
                row = _row_above(row)
            self._carry(row, TILE_HEIGHT, closed)
            self.size += TILE_WIDTH
            at += TILE_WIDTH

    def _carry(self, node: bytes, height: int, closed: list[ClosedTile]) -> None:
        """Put the root of a full tile at the edge, joined with its equals to the left."""
        size, rest = self.size, self.size >> height
        closed.append(ClosedTile(0, rest, node))
        while rest & 1:
            node = node_hash(self.hashes.pop(), node)
            rest >>= 1
            height += 1
            if not height % TILE_HEIGHT:
                closed.append(ClosedTile(height // TILE_HEIGHT - 1, size >> height, node))
        self.hashes.append(node)

    def root(self) -> bytes:
        if not self.hashes:
            return EMPTY_ROOT
        folded = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            folded = node_hash(left, folded)
        return folded


def range_root(low: int, high: int, node: NodeReader) -> bytes:
    """Root over leaves ``low`` up to ``high`` (RFC 6962's MTH), from perfect subtrees."""
    width = high - low
    if width < 1:
        raise ValueError("a range of leaves holds at least one")
    if not width & (width - 1):
        height = width.bit_length() - 1
        return node(height, low >> height)
    split = 1 << ((width - 1).bit_length() - 1)
    return node_hash(range_root(low, low + split, node), range_root(low + split, high, node))


def tree_root(size: int, node: NodeReader) -> bytes:
    """Root of the first ``size`` leaves."""
    return range_root(0, size, node) if size else EMPTY_ROOT


def inclusion_path(index: int, size: int, node: NodeReader) -> tuple[bytes, ...]:
    """Hashes that prove leaf ``index`` in the tree of ``size``, leaf to top (RFC 6962, 2.1.1)."""
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    path: list[bytes] = []
    low, high = 0, size
    while high - low > 1:
        split = low + (1 << ((high - low - 1).bit_length() - 1))
        if index < split:
            path.append(range_root(split, high, node))
            high = split
        else:
            path.append(range_root(low, split, node))
            low = split
    return tuple(reversed(path))


def consistency_path(old: int, size: int, node: NodeReader) -> tuple[bytes, ...]:
    """Hashes that prove the tree of ``old`` a prefix of the tree of ``size`` (RFC 6962, 2.1.2)."""
    if not 0 <= old <= size:
        raise ValueError(f"a tree of {old} is no prefix of a tree of {size}")
    if old in (0, size):
        return ()
    path: list[bytes] = []
    low, high, whole = 0, size, True
    while old != high:
        split = low + (1 << ((high - low - 1).bit_length() - 1))
        if old <= split:
            path.append(range_root(split, high, node))
            high = split
        else:
            path.append(range_root(low, split, node))
            low, whole = split, False
    if not whole:
        path.append(range_root(low, high, node))
    return tuple(reversed(path))


def tile_nodes(data: bytes) -> bytes:
    """All nodes of one tile or part of one, as one run of hashes, lowest row first.

    ``data`` is the tile's row of W hashes; the rows above hold only complete nodes, so a full
    tile gives 256 + 128 + ... + 1 = 511 hashes.
    """
    rows = [data]
    row = data
    while len(row) >= 2 * HASH:
        row = _row_above(row)
        rows.append(row)
    return b"".join(rows)


def _row_above(row: bytes) -> bytes:
    """Parents of the hashes in ``row``; a last one without a neighbour has none yet."""
    return b"".join(
        [sha256(b"\x01" + row[at : at + 2 * HASH]).digest() for at in range(0, len(row) - HASH, 2 * HASH)]
    )


def node_of_tile(nodes: bytes, width: int, height: int, index: int) -> bytes:
    """The node ``height`` rows above the bottom, ``index`` from the left, of :func:`tile_nodes`."""
    start, row = 0, width
    for _ in range(height):
        start += row
        row >>= 1
    if index >= row:
        raise ValueError("this node is not complete in the tile")
    at = (start + index) * HASH
    return nodes[at : at + HASH]


def tile_path(level: int | str, idx: int, width: int = TILE_WIDTH) -> str:
    """Path of a tile as static file: ``tile/0/x001/x234/067`` or ``tile/entries/000.p/17``."""
    groups = [f"{idx % 1000:03d}"]
    while idx := idx // 1000:
        groups.append(f"x{idx % 1000:03d}")
    name = "/".join(reversed(groups))
    return f"tile/{level}/{name}" + ("" if width == TILE_WIDTH else f".p/{width}")
