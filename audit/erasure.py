"""Erasing one person's data, and the holds that forbid it. Both are events of the log themselves."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, delete, insert, select, text
from sqlalchemy.exc import SQLAlchemyError

from guarded_sora.audit import search
from guarded_sora.audit.connections import reading
from guarded_sora.audit.entry import Event
from guarded_sora.audit.errors import ErasureRefused, NotFound
from guarded_sora.audit.payloads import Vault, erase_owner, erase_payloads
from guarded_sora.audit.tables import events, holds, payloads
from guarded_sora.audit.writer import Transaction, Writer

CHILD_SAFETY = "child_safety"
CHILD_SAFETY_MS = 366 * 24 * 3600 * 1000
"""How long a child-safety report is preserved: one year, whatever its length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """What an erasure removed. ``seq``: its own event. ``scrubbed``: whether the database has also
    overwritten the freed bytes; if not, they go with the next call or the database's own clean-up."""

    seq: int
    keys: int
    payloads: int
    scrubbed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A reason to keep ``owner``'s data. ``until``: milliseconds since 1970, None for open end."""

    owner: str
    reason: str
    until: int | None
    seq: int


def erase(engine: Engine, writer: Writer, vault: Vault, owner: str, *, actor: str, reason: str) -> Erased:
    """Delete keys, salts, payloads and search rows of ``owner`` and log it.

    Raises ``ErasureRefused`` when a hold is in force; the refusal is logged too.
    """
    with writer.transaction() as tx:
        standing = [hold for hold in _holds(tx.connection, owner) if _in_force(hold, tx.now)]
        if standing:
            reasons = sorted(hold.reason for hold in standing)
            refusal = {"reason": reason, "holds": reasons}
            tx.append([Event(kind="payload.erasure_refused", actor=actor, subject=owner, body=refusal)])
        else:
            counts = erase_owner(tx.connection, vault, owner, tx.now)
            body = {"reason": reason, "keys": counts["keys"], "payloads": counts["payloads"]}
            (place,) = tx.append([Event(kind="payload.erased", actor=actor, subject=owner, body=body)])
    if standing:
        raise ErasureRefused(
            f"A hold ({', '.join(reasons)}) forbids erasing this person's data; lift it first."
        )
    return Erased(seq=place.seq, keys=counts["keys"], payloads=counts["payloads"], scrubbed=scrub(engine))


def expire(engine: Engine, writer: Writer, vault: Vault, kind: str, before: int, *, actor: str) -> Erased:
    """Delete payloads of events of ``kind`` older than ``before`` (milliseconds), and log it.

    What a hold protects stays. The owners' keys stay too: they may have newer payloads.
    """
    with writer.transaction() as tx:
        held = {item.owner for item in _holds(tx.connection, None) if _in_force(item, tx.now)}
        old = select(events.c.seq).where(search.of_kind(kind), events.c.ts < before)
        which = payloads.c.seq.in_(old) & payloads.c.owner.not_in(sorted(held))
        count = erase_payloads(tx.connection, vault, which, tx.now)
        body = {"kind": kind, "before": before, "payloads": count, "held": len(held)}
        (place,) = tx.append([Event(kind="payload.expired", actor=actor, subject=kind, body=body)])
    return Erased(seq=place.seq, keys=0, payloads=count, scrubbed=scrub(engine))


def hold(writer: Writer, owner: str, reason: str, *, actor: str, until: int | None = None) -> Hold:
    """Forbid erasing ``owner``'s data for ``reason``; a second call for the same reason moves ``until``.

    The reason ``child_safety`` holds for a year when no end is given, and never ends earlier by a
    second call.
    """
    with writer.transaction() as tx:
        if reason == CHILD_SAFETY:
            until = max(until or 0, tx.now + CHILD_SAFETY_MS)
        body = {"reason": reason, "until": until}
        (place,) = tx.append([Event(kind="payload.held", actor=actor, subject=owner, body=body)])
        made = Hold(owner=owner, reason=reason, until=until, seq=place.seq)
        _put(tx.connection, made)
    return made


def lift(writer: Writer, owner: str, reason: str, *, actor: str) -> None:
    """End a hold and log it. Raises ``NotFound`` when there is none, ``ErasureRefused`` for a
    child-safety hold whose year has not passed."""
    with writer.transaction() as tx:
        found = next((item for item in _holds(tx.connection, owner) if item.reason == reason), None)
        if found is None:
            raise NotFound("There is no such hold on this person's data.")
        if reason == CHILD_SAFETY and _in_force(found, tx.now):
            raise ErasureRefused("A child-safety hold ends by itself after its year; it cannot be lifted.")
        _lift(tx, found, actor)


def list_holds(engine: Engine, owner: str | None = None) -> list[Hold]:
    """Every hold on ``owner``'s data, or on anybody's."""
    with reading(engine) as connection:
        return _holds(connection, owner)


def rebuild_holds(writer: Writer) -> int:
    """Make the table of holds anew from the log; returns how many there are."""
    found: dict[tuple[str, str], Hold] = {}
    with writer.transaction() as tx:
        for kind in ("payload.held", "payload.hold_lifted"):
            after: int | None = None
            while page := search.find(tx.connection, kind=kind, after=after, limit=1000):
                for entry in page:
                    key = (entry.subject, entry.body["reason"])
                    if kind == "payload.held":
                        found[key] = Hold(
                            owner=key[0], reason=key[1], until=entry.body["until"], seq=entry.seq
                        )
                    elif key in found and found[key].seq < entry.seq:
                        del found[key]
                after = page[-1].seq
        tx.connection.execute(delete(holds))
        for item in found.values():
            _put(tx.connection, item)
    return len(found)


def scrub(engine: Engine) -> bool:
    """Overwrite what deleted rows left in the files; False when the database cannot do it now."""
    try:
        if engine.dialect.name == "postgresql":
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                return _rewrite(connection)
        # Deleted bytes are zeroed in the file itself; the write-ahead log still has the old pages.
        raw = engine.raw_connection()
        try:
            row = raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            return row is not None and row[0] == 0
        finally:
            raw.close()
    except (SQLAlchemyError, sqlite3.Error):
        return False


def _rewrite(connection: Connection) -> bool:
    """Write the tables of keys and words anew, for a plain VACUUM leaves the old bytes in their pages.

    Ciphertext without its key may lie there until its place is used again. Only the tables' owner may do
    this; for anybody else PostgreSQL would only warn.
    """
    owned = "SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = 'subject_keys'::regclass"
    if not connection.execute(text(owned)).scalar():
        return False
    connection.execute(text("VACUUM payloads"))
    connection.execute(text("VACUUM (FULL) subject_keys"))
    connection.execute(text("VACUUM (FULL) payload_words"))
    return True


def _in_force(item: Hold, now: int) -> bool:
    return item.until is None or item.until > now


def _holds(connection: Connection, owner: str | None) -> list[Hold]:
    query = select(holds).order_by(holds.c.seq)
    if owner is not None:
        query = query.where(holds.c.owner == owner)
    return [
        Hold(owner=row.owner, reason=row.reason, until=row.until, seq=row.seq)
        for row in connection.execute(query)
    ]


def _put(connection: Connection, item: Hold) -> None:
    connection.execute(delete(holds).where(holds.c.owner == item.owner, holds.c.reason == item.reason))
    connection.execute(
        insert(holds).values(owner=item.owner, reason=item.reason, until=item.until, seq=item.seq)
    )


def _lift(tx: Transaction, item: Hold, actor: str) -> None:
    body = {"reason": item.reason}
    tx.append([Event(kind="payload.hold_lifted", actor=actor, subject=item.owner, body=body)])
    tx.connection.execute(delete(holds).where(holds.c.owner == item.owner, holds.c.reason == item.reason))
