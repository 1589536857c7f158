"""What one append does inside its transaction: lock, hash, insert, close tiles, move the edge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, select

from guarded_sora.audit import postgres, tree
from guarded_sora.audit.checkpoint import Checkpoint, Signer
from guarded_sora.audit.entry import Prepared, same_event
from guarded_sora.audit.errors import EntryInvalid, LogCorrupt, SchemaMismatch
from guarded_sora.audit.payloads import Vault
from guarded_sora.audit.tables import checkpoints, events, tiles

# Plain driver text where every append passes: going through the expression layer costs as much as
# all the hashing of a batch.
_READ_STATE = "SELECT size, ts, frontier, pruned FROM tree_state WHERE id = 1"
_LOCK_STATE = f"{_READ_STATE} FOR UPDATE"
_SET_STATE = "UPDATE tree_state SET size = {0}, ts = {0}, frontier = {0} WHERE id = 1"
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
    state = read_state(connection, lock=True)
    frontier, ts = state.frontier, max(now, state.ts)
    start, edge = frontier.size, (frontier.size, frontier.to_bytes())
    found = _find(connection, batch) if known_ids else {}
    fresh: dict[bytes, tuple[int, Prepared]] = {}
    rows: list[tuple[Any, ...]] = []
    leaves: list[bytes] = []
    places: list[Appended] = []
    refused: dict[int, EntryInvalid] = {}
    moment = b',"ts":%d,"v":1}' % ts
    seq = start
    for prepared in batch:
        event, identity = prepared.event, prepared.id
        if identity in found or identity in fresh:
            answer = _again(found, fresh, prepared, leaves, start)
            if isinstance(answer, Appended):
                places.append(answer)
            else:
                refused[len(places) + len(refused)] = answer
            continue
        leaf = sha256(b"\x00" + prepared.head + moment).digest()
        fresh[identity] = (seq, prepared)
        leaves.append(leaf)
        rows.append(
            (
                seq,
                identity,
                ts,
                event.kind,
                event.actor,
                event.subject,
                prepared.body,
                prepared.commitment,
                leaf,
            )
        )
        places.append(Appended(seq, event.id, leaf))
        seq += 1
    if not rows or refused:
        return Written(places, refused)
    closed: list[tree.ClosedTile] = []
    frontier.extend(leaves, closed)
    _insert(connection, rows)
    known = tail.leaves if tail.edge == edge else None
    if closed:
        known = _write_tiles(connection, closed, leaves, start, known)
    elif known is not None:
        known = [*known, *leaves]
    vault.store(connection, fresh.values(), ts)
    mark = "?" if connection.dialect.name == "sqlite" else "%s"
    after = (frontier.size, frontier.to_bytes())
    connection.exec_driver_sql(_SET_STATE.format(mark), (after[0], ts, after[1]))
    if known is not None:
        tail.edge, tail.leaves = after, known
    return Written(places, refused)


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


def _again(
    found: dict[bytes, Any],
    fresh: dict[bytes, tuple[int, Prepared]],
    prepared: Prepared,
    leaves: Sequence[bytes],
    start: int,
) -> Appended | EntryInvalid:
    """Where an event stands whose id was seen before, in the log or earlier in this batch."""
    event = prepared.event
    row = found.get(prepared.id)
    if row is not None:
        if not same_event(row, prepared):
            return _reused(event.id)
        return Appended(row.seq, event.id, bytes(row.leaf))
    seq, first = fresh[prepared.id]
    if first.head != prepared.head and first.event != event:
        return _reused(event.id)
    return Appended(seq, event.id, leaves[seq - start])


def _reused(identity: str) -> EntryInvalid:
    return EntryInvalid(f"The id {identity} already belongs to another event; give every event its own.")


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
                earlier = (
                    known
                    if known is not None
                    else _column(connection, events.c.leaf, events.c.seq, low, start)
                )
            data = b"".join([*earlier, *leaves[max(low, start) - start : high - start]])
        else:
            below = tile.level - 1
            first = next((at for at in range(low, high) if (below, at) in roots), high)
            earlier = _column(connection, tiles.c.root, tiles.c.idx, low, first, tiles.c.level == below)
            data = b"".join([*earlier, *(roots[below, at] for at in range(first, high))])
        if len(data) != tree.TILE_WIDTH * tree.HASH:
            raise LogCorrupt(f"Rows are missing below tiles.level={tile.level}, idx={tile.idx}.")
        rows.append({"level": tile.level, "idx": tile.idx, "root": tile.root, "data": data})
    connection.execute(insert(tiles), rows)
    return leaves[len(leaves) - ((start + len(leaves)) & (tree.TILE_WIDTH - 1)) :]


def _column(
    connection: Connection, column: Any, key: Any, low: int, high: int, *where: Any
) -> Sequence[bytes]:
    if low >= high:
        return ()
    query = select(column).where(key >= low, key < high, *where).order_by(key)
    return [bytes(item) for item in connection.execute(query).scalars()]
