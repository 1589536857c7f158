"""Dropping the oldest entries. Their hashes stay, so every later proof goes on holding."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select, text

from guarded_sora.audit import tree
from guarded_sora.audit.append import read_state
from guarded_sora.audit.entry import Event
from guarded_sora.audit.errors import EntryInvalid, ErasureRefused
from guarded_sora.audit.payloads import Vault, erase_payloads
from guarded_sora.audit.tables import events, holds, payloads, tree_state
from guarded_sora.audit.writer import Writer


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """``minimum``: the first event that is still there. ``seq``: the event that tells of it."""

    minimum: int
    events: int
    seq: int


def prune(writer: Writer, vault: Vault, before: int, *, actor: str, reason: str) -> Pruned:
    """Drop entries below ``before`` (rounded down to a whole tile), with their payloads, and log it.

    The tiles stay: inclusion of later events, consistency and ``verify`` need nothing else. Cases and
    holds cannot be rebuilt from events that are gone, so prune only what is closed. On PostgreSQL this
    must run as the owner of the tables.

    Raises ``ErasureRefused`` when a hold protects a payload among them.
    """
    with writer.transaction() as tx:
        state = read_state(tx.connection)
        minimum = before >> tree.TILE_HEIGHT << tree.TILE_HEIGHT
        if not state.pruned < minimum <= state.frontier.size:
            raise EntryInvalid(
                f"Nothing to prune: give a position above {state.pruned + tree.TILE_WIDTH - 1} "
                f"and at most {state.frontier.size}."
            )
        held = select(holds.c.owner).where(holds.c.until.is_(None) | (holds.c.until > tx.now))
        old = payloads.c.seq < minimum
        protected = select(payloads.c.seq).where(old, payloads.c.owner.in_(held)).limit(1)
        if tx.connection.execute(protected).first() is not None:
            raise ErasureRefused("A hold protects data among these entries; lift it first.")
        erase_payloads(tx.connection, vault, old, tx.now)
        with _unlocked(tx.connection):
            count = tx.connection.execute(delete(events).where(events.c.seq < minimum)).rowcount
        tx.connection.execute(delete(payloads).where(old))
        tx.connection.execute(tree_state.update().values(pruned=minimum))
        body = {"from": state.pruned, "minimum": minimum, "reason": reason}
        (place,) = tx.append([Event(kind="log.pruned", actor=actor, subject="log", body=body)])
    return Pruned(minimum=minimum, events=count, seq=place.seq)


@contextmanager
def _unlocked(connection: Connection) -> Iterator[None]:
    """Deleting from ``events`` is allowed inside; both databases undo this with the transaction."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("ALTER TABLE events DISABLE TRIGGER events_append_only"))
        yield
        connection.execute(text("ALTER TABLE events ENABLE TRIGGER events_append_only"))
        return
    query = "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name = 'events_no_delete'"
    statement = connection.execute(text(query)).scalar_one()
    connection.execute(text("DROP TRIGGER events_no_delete"))
    yield
    connection.exec_driver_sql(statement)
