"""Reads nodes of the tree out of the database, tile by tile, and keeps full tiles in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict

from sqlalchemy import Connection, select

from guarded_sora.audit import tree
from guarded_sora.audit.errors import LogCorrupt
from guarded_sora.audit.tables import open_leaves, tiles


class TileCache:
    """The inner nodes of tiles, least recently used first out.

    A tile is known by its level, index and width: with the same width it never changes, so a part of
    a tile is kept too, for as long as proofs are made against the same checkpoint. One tile takes
    16 kB; safe to share between threads.
    """

    def __init__(self, capacity: int = 2048) -> None:
        self._capacity = capacity
        self._nodes: OrderedDict[tuple[int, int, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[int, int, int]) -> bytes | None:
        with self._lock:
            found = self._nodes.get(key)
            if found is not None:
                self._nodes.move_to_end(key)
            return found

    def put(self, key: tuple[int, int, int], nodes: bytes) -> None:
        with self._lock:
            self._nodes[key] = nodes
            while len(self._nodes) > self._capacity:
                self._nodes.popitem(last=False)

    def clear(self) -> None:
        with self._lock:
            self._nodes.clear()


class TileReader:
    """Nodes of the tree of the first ``size`` leaves; call it as ``reader(height, index)``.

    ``edge``: the frontier of exactly this tree where it is known: it saves reading the tiles at the
    right edge, which most paths end in.
    """

    def __init__(
        self, connection: Connection, size: int, cache: TileCache, edge: tree.Frontier | None = None
    ) -> None:
        self._connection = connection
        self._size = size
        self._cache = cache
        self._edge: dict[tuple[int, int], bytes] = {}
        if edge is not None and edge.size == size:
            at = 0
            for height, item in zip(_ones(size), edge.hashes, strict=True):
                self._edge[height, at >> height] = item
                at += 1 << height

    def __call__(self, height: int, index: int) -> bytes:
        known = self._edge.get((height, index))
        if known is not None:
            return known
        level, inside = divmod(height, tree.TILE_HEIGHT)
        first = index << inside
        tile = first >> tree.TILE_HEIGHT
        width = min(tree.TILE_WIDTH, (self._size >> (tree.TILE_HEIGHT * level)) - (tile << tree.TILE_HEIGHT))
        nodes = self._nodes(level, tile, width)
        return tree.node_of_tile(nodes, width, inside, index - ((tile << tree.TILE_HEIGHT) >> inside))

    def preload(self, index: int) -> None:
        """Fetch the full tiles above leaf ``index`` that are not in memory, in one query."""
        wanted = []
        level, tile = 0, index >> tree.TILE_HEIGHT
        while (tile + 1) << (tree.TILE_HEIGHT * (level + 1)) <= self._size:
            if self._cache.get((level, tile, tree.TILE_WIDTH)) is None:
                wanted.append((tiles.c.level == level) & (tiles.c.idx == tile))
            level, tile = level + 1, tile >> tree.TILE_HEIGHT
        if not wanted:
            return
        condition = wanted[0]
        for other in wanted[1:]:
            condition |= other
        for row in self._connection.execute(
            select(tiles.c.level, tiles.c.idx, tiles.c.data).where(condition)
        ):
            if len(row.data) == tree.TILE_WIDTH * tree.HASH:
                self._cache.put((row.level, row.idx, tree.TILE_WIDTH), tree.tile_nodes(row.data))

    def row(self, level: int, tile: int, width: int) -> bytes:
        """The lowest row of a tile: ``width`` hashes of 32 bytes, joined."""
        if width == tree.TILE_WIDTH:
            data = self._connection.execute(
                select(tiles.c.data).where(tiles.c.level == level, tiles.c.idx == tile)
            ).scalar()
            if data is None or len(data) != tree.TILE_WIDTH * tree.HASH:
                raise LogCorrupt(f"The row tiles.level={level}, idx={tile} is missing or damaged.")
            return bytes(data)
        low = tile << tree.TILE_HEIGHT
        if level == 0:
            return self._leaves(tile, low, width)
        high = low + width - 1
        hashes = (
            self._connection.execute(
                select(tiles.c.root)
                .where(tiles.c.level == level - 1, tiles.c.idx.between(low, high))
                .order_by(tiles.c.idx)
            )
            .scalars()
            .all()
        )
        if len(hashes) != width or any(len(item) != tree.HASH for item in hashes):
            raise LogCorrupt(
                f"Rows are missing or damaged among tiles.level={level - 1}, idx {low} to {high}."
            )
        return b"".join(hashes)

    def _leaves(self, tile: int, low: int, width: int) -> bytes:
        """Part of a lowest row: from the tile where it is full by now, else from the open leaves."""
        full = select(tiles.c.data).where(tiles.c.level == 0, tiles.c.idx == tile)
        data = self._connection.execute(full).scalar()
        if data is None:
            data = read_open(self._connection, low)
        if len(data) < width * tree.HASH:
            # Another writer may have filled the tile between the two reads.
            data = self._connection.execute(full).scalar() or b""
        if len(data) < width * tree.HASH:
            raise LogCorrupt(f"Rows are missing or damaged among open_leaves.seq {low} to {low + width - 1}.")
        return bytes(data[: width * tree.HASH])

    def _nodes(self, level: int, tile: int, width: int) -> bytes:
        key = (level, tile, width)
        nodes = self._cache.get(key)
        if nodes is None:
            nodes = tree.tile_nodes(self.row(level, tile, width))
            self._cache.put(key, nodes)
        return nodes


def read_open(connection: Connection, low: int) -> bytes:
    """The leaves of the tile that begins at ``low`` and is not full, joined, up to the first gap."""
    query = select(open_leaves).where(open_leaves.c.seq >= low).order_by(open_leaves.c.seq)
    found = b""
    for row in connection.execute(query):
        if row.seq != low + len(found) // tree.HASH:
            break
        found += row.leaves
    return found


def _ones(size: int) -> list[int]:
    """Places of the ones in the binary form of ``size``, highest first."""
    return [place for place in range(size.bit_length() - 1, -1, -1) if size >> place & 1]
