"""What one append does inside its transaction: lock, hash, insert, close tiles, move the edge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, select

from guarded_sora.audit import postgres, tree
from guarded_sora.audit.checkpoint import Checkpoint, Signer
from guarded_sora.audit.entry import Prepared, row_bytes, same_event
from guarded_sora.audit.errors import EntryInvalid, LogCorrupt, SchemaMismatch
from guarded_sora.audit.payloads import Vault
from guarded_sora.audit.tables import checkpoints, events, tiles
from guarded_sora.audit.tiles import read_open

# Plain driver text where every append passes: going through the expression layer costs as much as
# all the hashing of a batch.
_READ_STATE = "SELECT size, ts, frontier, pruned FROM tree_state WHERE id = 1"
_LOCK_STATE = f"{_READ_STATE} FOR UPDATE"
_SET_STATE = "UPDATE tree_state SET size = {0}, ts = {0}, frontier = {0} WHERE id = 1"
_INSERT_TILE = "INSERT INTO tiles (level, idx, root, data) VALUES ({0}, {0}, {0}, {0})"
_CLOSE = "DELETE FROM open_leaves"
_INSERT_OPEN = "INSERT INTO open_leaves (seq, leaves) VALUES ({0}, {0})"
_INSERT = f"INSERT INTO events ({', '.join(events.c.keys())}) VALUES ({', '.join('?' * len(events.c))})"  # noqa: S608


class Appended(NamedTuple):
    """Where an event stands: ``seq`` counts from 0, ``leaf`` is its 32-byte leaf hash.

    A named tuple and no dataclass: one is made for every event, and a frozen dataclass costs as much
    to make as hashing the event.
    """

    seq: int
    id: str
    leaf: bytes


@dataclass(frozen=True, slots=True)
class State:
    """The right edge of the tree, the time of the newest entry in milliseconds, and how many of the
    oldest entries were pruned."""

    frontier: tree.Frontier
    ts: int
    pruned: int = 0


def read_state(connection: Connection, *, lock: bool = False) -> State:
    """The state row; with ``lock`` no other writer gets past this until the transaction ends."""
    query = _LOCK_STATE if lock and connection.dialect.name == "postgresql" else _READ_STATE
    row = connection.exec_driver_sql(query).first()
    if row is None:
        raise SchemaMismatch("The log's state row is missing; run 'guarded-sora migrate' on this database.")
    try:
        return State(tree.Frontier.from_bytes(row.size, row.frontier), row.ts, row.pruned)
    except ValueError as error:
        raise LogCorrupt("The row tree_state.id=1 contradicts itself; the database was changed.") from error


@dataclass(slots=True)
class Tail:
    """The leaves of the tile that is not full yet, kept between appends of one process.

    They belong to exactly one right edge; any other edge means that somebody else wrote meanwhile.
    """

    edge: tuple[int, bytes] = (0, b"")
    leaves: Sequence[bytes] = ()


@dataclass(frozen=True, slots=True)
class Written:
    """``places``: one an event, in order. ``refused``: index in the batch to what is wrong with it."""

    places: list[Appended]
    refused: dict[int, EntryInvalid]


def write(
    connection: Connection,
    batch: Sequence[Prepared],
    *,
    now: int,
    vault: Vault,
    known_ids: bool,
    tail: Tail,
) -> Written:
    """Write ``batch`` into the open, locked transaction.

    ``known_ids``: look up ids that stand in the log already and answer with where they stand. An id
    that stands there for another event is refused in the answer, not raised: the others of the batch
    belong to other callers. When anything is refused the caller must roll back.
    """
    if not batch:
        return Written([], {})
    state = read_state(connection, lock=True)
    frontier, ts = state.frontier, max(now, state.ts)
    start, edge = frontier.size, (frontier.size, frontier.to_bytes())
    moment = b',"ts":%d,"v":1}' % ts
    found = _find(connection, batch) if known_ids else {}
    fresh: Sequence[Prepared]
    if found or len({prepared.id for prepared in batch}) < len(batch):
        fresh, places, refused = _sort_out(batch, found, start, moment)
        if refused or not fresh:
            return Written(places, refused)
        by_seq = {item.seq: item.leaf for item in places}
        leaves = [by_seq[seq] for seq in range(start, start + len(fresh))]
    else:
        # What nearly always comes, and worth a way of its own: all events are new.
        fresh = batch
        leaves = [sha256(b"\x00" + prepared.head + moment).digest() for prepared in batch]
        ids = [prepared.event.id for prepared in batch]
        places = list(map(Appended, range(start, start + len(batch)), ids, leaves))
    rows = [
        (
            seq,
            ts,
            prepared.id,
            prepared.event.kind,
            prepared.event.actor,
            prepared.event.subject,
            prepared.body,
            prepared.commitment,
        )
        for seq, prepared in enumerate(fresh, start)
    ]
    closed: list[tree.ClosedTile] = []
    frontier.extend(leaves, closed)
    _insert(connection, rows)
    known = tail.leaves if tail.edge == edge else None
    if closed:
        known = _write_tiles(connection, closed, leaves, start, known)
    elif known is not None:
        known = [*known, *leaves]
    mark = "?" if connection.dialect.name == "sqlite" else "%s"
    first = max(start, frontier.size >> tree.TILE_HEIGHT << tree.TILE_HEIGHT)
    if first < frontier.size:
        opened = b"".join(leaves[first - start :])
        connection.exec_driver_sql(_INSERT_OPEN.format(mark), (first, opened))
    vault.store(connection, ((seq, item) for seq, item in enumerate(fresh, start) if item.commitment), ts)
    after = (frontier.size, frontier.to_bytes())
    connection.exec_driver_sql(_SET_STATE.format(mark), (after[0], ts, after[1]))
    if known is not None:
        tail.edge, tail.leaves = after, known
    return Written(places, {})


def _sort_out(
    batch: Sequence[Prepared], found: dict[bytes, Any], start: int, moment: bytes
) -> tuple[list[Prepared], list[Appended], dict[int, EntryInvalid]]:
    """``(new events, where each of the batch stands, what is wrong with which)``, for a batch with ids
    that were seen before."""
    fresh: dict[bytes, tuple[Appended, Prepared]] = {}
    places: list[Appended] = []
    refused: dict[int, EntryInvalid] = {}
    for at, prepared in enumerate(batch):
        event, row, earlier = prepared.event, found.get(prepared.id), fresh.get(prepared.id)
        if row is not None and same_event(row, prepared):
            places.append(Appended(row.seq, event.id, tree.leaf_hash(row_bytes(row))))
        elif earlier is not None and (earlier[1].head == prepared.head or earlier[1].event == event):
            places.append(earlier[0])
        elif row is not None or earlier is not None:
            refused[at] = EntryInvalid(
                f"The id {event.id} already belongs to another event; give every event its own."
            )
        else:
            leaf = sha256(b"\x00" + prepared.head + moment).digest()
            places.append(Appended(start + len(fresh), event.id, leaf))
            fresh[prepared.id] = (places[-1], prepared)
    return [prepared for _, prepared in fresh.values()], places, refused


def sign(connection: Connection, signer: Signer, now: int) -> Checkpoint:
    """The checkpoint of the whole tree, signed now unless it was signed before. Needs the lock."""
    state = read_state(connection, lock=True)
    size, root = state.frontier.size, state.frontier.root()
    note = connection.execute(select(checkpoints.c.note).where(checkpoints.c.size == size)).scalar()
    if note is not None:
        return Checkpoint(origin=signer.origin, size=size, root=root, note=note)
    checkpoint = signer.sign(size, root)
    connection.execute(insert(checkpoints).values(size=size, ts=now, note=checkpoint.note))
    return checkpoint


def _insert(connection: Connection, rows: list[tuple[Any, ...]]) -> None:
    """Insert event rows the cheapest way the database has."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(_INSERT, rows)
    elif postgres.can_copy(connection, rows):
        postgres.copy_events(connection, rows)
    else:
        connection.execute(insert(events), [dict(zip(events.c.keys(), row, strict=True)) for row in rows])


def _find(connection: Connection, batch: Sequence[Prepared]) -> dict[bytes, Any]:
    found: dict[bytes, Any] = {}
    ids = [prepared.id for prepared in batch]
    for at in range(0, len(ids), 500):
        query = select(events).where(events.c.id.in_(ids[at : at + 500]))
        found.update((bytes(row.id), row) for row in connection.execute(query))
    return found


def _write_tiles(
    connection: Connection,
    closed: Sequence[tree.ClosedTile],
    leaves: Sequence[bytes],
    start: int,
    known: Sequence[bytes] | None,
) -> Sequence[bytes]:
    """Insert full tiles; returns the leaves of the tile that is open now.

    Their hashes come from this batch, and where they began earlier from ``known`` or the tables.
    """
    roots: dict[tuple[int, int], bytes] = {(tile.level, tile.idx): tile.root for tile in closed}
    rows = []
    for tile in closed:
        low, high = tile.idx << tree.TILE_HEIGHT, (tile.idx + 1) << tree.TILE_HEIGHT
        if tile.level == 0:
            earlier: Sequence[bytes] = ()
            if low < start:
                earlier = (read_open(connection, low),) if known is None else known
            data = b"".join([*earlier, *leaves[max(low, start) - start : high - start]])
        else:
            below = tile.level - 1
            first = next((at for at in range(low, high) if (below, at) in roots), high)
            earlier = _roots(connection, below, low, first)
            data = b"".join([*earlier, *(roots[below, at] for at in range(first, high))])
        if len(data) != tree.TILE_WIDTH * tree.HASH:
            raise LogCorrupt(f"Rows are missing below tiles.level={tile.level}, idx={tile.idx}.")
        rows.append((tile.level, tile.idx, tile.root, data))
    mark = "?" if connection.dialect.name == "sqlite" else "%s"
    connection.exec_driver_sql(_INSERT_TILE.format(mark), rows)
    connection.exec_driver_sql(_CLOSE)
    return leaves[len(leaves) - ((start + len(leaves)) & (tree.TILE_WIDTH - 1)) :]


def _roots(connection: Connection, level: int, low: int, high: int) -> Sequence[bytes]:
    """Roots of stored tiles of ``level``, from ``low`` up to ``high``."""
    if low >= high:
        return ()
    query = select(tiles.c.root).where(tiles.c.level == level, tiles.c.idx >= low, tiles.c.idx < high)
    return [bytes(item) for item in connection.execute(query.order_by(tiles.c.idx)).scalars()]
