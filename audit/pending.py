"""Events handed in now and put in order a little later, for writers that must not wait for the log's lock.

``submit`` stores events in the table ``pending``: durable, in no order, touched by nobody else's lock.
One *sequencer* moves them into the log, many in one transaction. Several hosts may run one each: on
PostgreSQL an advisory lock lets a single one lead, and when it dies its session ends and another
takes over; whoever moves an event deletes it from the table in the same transaction, so that even two
leaders could not write it twice. What waits is not under the tree yet: nothing shows that it was
changed or removed before the sequencer came, so keep the wait short.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import Connection, Engine, delete, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from guarded_sora.audit.append import Appended
from guarded_sora.audit.connections import reading, write_failure, writing
from guarded_sora.audit.entry import Commitment, Event, Prepared, id_text, prepare, same_event
from guarded_sora.audit.errors import EntryInvalid, LogCorrupt, NotFound, WriteFailed
from guarded_sora.audit.payloads import Vault
from guarded_sora.audit.search import locate
from guarded_sora.audit.tables import payloads, pending
from guarded_sora.audit.writer import prepare_all

if TYPE_CHECKING:
    from guarded_sora.audit.log import AuditLog

BATCH = 1000
LEADER = 0x67735F7365710001
"""The advisory lock of the one sequencer that leads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What lies in the table: events that wait, and events the log would not take, by id with the reason."""

    waiting: int
    refused: dict[str, str]


def submit(engine: Engine, vault: Vault, events: Sequence[Event]) -> tuple[str, ...]:
    """Store ``events`` for a sequencer; returns their ids once they are safe on disk.

    An id that waits already is not stored again. Raises ``EntryInvalid``, ``WriteFailed``.
    """
    now = time.time_ns() // 1_000_000
    prepared = prepare_all(events)
    if not prepared:
        return ()
    try:
        with writing(engine) as connection:
            _store(connection, vault, prepared, now)
    except IntegrityError:
        # Some of them wait already; a repeated call is answered like the first.
        try:
            with writing(engine) as connection:
                ids = [item.id for item in prepared]
                known = {
                    bytes(row.id): row
                    for row in connection.execute(select(pending).where(pending.c.id.in_(ids)))
                }
                for item in prepared:
                    if item.id in known and not same_event(known[item.id], item):
                        raise EntryInvalid(f"The id {item.event.id} already belongs to another event.")
                fresh = {item.id: item for item in prepared if item.id not in known}
                _store(connection, vault, tuple(fresh.values()), now)
        except IntegrityError as error:
            raise WriteFailed("Somebody else hands in the same events; try again.") from error
    return tuple(event.id for event in events)


def wait(log: AuditLog, ids: Sequence[str], seconds: float, every: float = 0.02) -> tuple[Appended, ...]:
    """Where the events stand, once a sequencer has moved them.

    Raises ``EntryInvalid`` when the log would not take one, ``NotFound`` when ``seconds`` have passed.
    """
    deadline = time.monotonic() + seconds
    raw = [bytes.fromhex(identity.replace("-", "")) for identity in ids]
    while True:
        with reading(log.engine) as connection:
            found = locate(connection, raw)
            refused = select(pending.c.id, pending.c.refused).where(
                pending.c.id.in_(raw), pending.c.refused.is_not(None)
            )
            for row in connection.execute(refused):
                raise EntryInvalid(f"The log did not take the event {id_text(row.id)}: {row.refused}")
        if len(found) == len(set(raw)):
            return tuple(Appended(found[item][0], id_text(item), found[item][1]) for item in raw)
        if time.monotonic() >= deadline:
            missing = len(set(raw)) - len(found)
            raise NotFound(f"{missing} of the events are not in the log yet; is a sequencer running?")
        time.sleep(every)


def waiting(connection: Connection) -> Waiting:
    """What lies in the table now."""
    rows = connection.execute(select(pending.c.id, pending.c.refused).where(pending.c.refused.is_not(None)))
    count = connection.execute(select(func.count()).where(pending.c.refused.is_(None))).scalar_one()
    return Waiting(waiting=count, refused={id_text(row.id): row.refused for row in rows})


class Sequencer:
    """Moves what waits into the log. Run one on every host: only one of them leads at a time."""

    def __init__(self, log: AuditLog) -> None:
        self._log = log
        self._stop = threading.Event()

    def step(self) -> int:
        """Move up to 1000 events, oldest first; returns how many. Safe beside any other writer."""
        query = select(pending).where(pending.c.refused.is_(None)).order_by(pending.c.n).limit(BATCH)
        with reading(self._log.engine) as connection:
            if connection.execute(query.limit(1)).first() is None:
                return 0
        with self._log.transaction() as tx:
            rows = tx.connection.execute(query).all()
            batch, bad = self._prepare(tx.connection, rows)
            answers = tx.write_each([item for _, item in batch])
            for (row, item), answer in zip(batch, answers, strict=True):
                if isinstance(answer, EntryInvalid):
                    bad[row.n] = str(answer)
                elif item.commitment is not None and item.salt is None:
                    _mark_erased(tx.connection, answer.seq, row.key_id, tx.now)
            for n, reason in bad.items():
                tx.connection.execute(update(pending).where(pending.c.n == n).values(refused=reason))
            done = [row.n for row in rows if row.n not in bad]
            for at in range(0, len(done), 500):
                tx.connection.execute(delete(pending).where(pending.c.n.in_(done[at : at + 500])))
        return len(rows)

    def run(self, every: float = 0.05, moved: Callable[[int], None] | None = None) -> None:
        """Lead whenever nobody else does, until :meth:`stop`. ``moved`` is told how many each time.

        A database that is away for a while is asked again; what waits there goes on waiting.
        """
        while not self._stop.is_set():
            try:
                with self._leading() as leads:
                    while leads and not self._stop.is_set():
                        count = self.step()
                        if count and moved is not None:
                            moved(count)
                        if count < BATCH:
                            self._stop.wait(every)
            except WriteFailed:
                pass
            self._stop.wait(every * 10)

    def stop(self) -> None:
        """End :meth:`run` after the step under way."""
        self._stop.set()

    @contextmanager
    def _leading(self) -> Iterator[bool]:
        """Hold the lead, if it is free, for as long as the block runs and the session lives."""
        engine = self._log.engine
        if engine.dialect.name != "postgresql":
            # One file, one host: the log's own lock is enough.
            yield True
            return
        try:
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                key = {"key": LEADER}
                leads = bool(connection.execute(text("SELECT pg_try_advisory_lock(:key)"), key).scalar())
                try:
                    yield leads
                finally:
                    if leads:
                        connection.execute(text("SELECT pg_advisory_unlock(:key)"), key)
        except SQLAlchemyError as error:
            raise write_failure(error) from error

    def _prepare(
        self, connection: Connection, rows: Sequence[Any]
    ) -> tuple[list[tuple[Any, Prepared]], dict[int, str]]:
        """Rows as the writer takes them, and what is wrong with those it cannot take."""
        batch: list[tuple[Any, Prepared]] = []
        bad: dict[int, str] = {}
        for row in rows:
            try:
                batch.append((row, _prepared(connection, self._log.vault, row)))
            except (EntryInvalid, LogCorrupt, ValueError, TypeError) as error:
                bad[row.n] = str(error)
        return batch, bad


def _store(connection: Connection, vault: Vault, prepared: Sequence[Prepared], now: int) -> None:
    rows = []
    for item in prepared:
        event = item.event
        owner = key_id = sealed = None
        if item.salt is not None and event.payload is not None:
            owner = item.owner()
            key_id, sealed = vault.seal(connection, owner, item.salt + event.payload, item.id, now)
        rows.append(
            {
                "id": item.id,
                "ts": now,
                "kind": event.kind,
                "actor": event.actor,
                "subject": event.subject,
                "body": item.body,
                "payload": item.commitment,
                "owner": owner,
                "key_id": key_id,
                "ciphertext": sealed,
                "searchable": event.searchable,
            }
        )
    if rows:
        connection.execute(insert(pending), rows)


def _prepared(connection: Connection, vault: Vault, row: Any) -> Prepared:
    salt = payload = None
    if row.ciphertext is not None:
        opened = vault.unseal(connection, row.key_id, row.ciphertext, bytes(row.id))
        salt, payload = opened or (None, None)
    event = Event(
        kind=row.kind,
        actor=row.actor,
        subject=row.subject,
        body=orjson.loads(row.body),
        id=id_text(row.id),
        payload=payload,
        owner=row.owner,
        searchable=row.searchable,
    )
    commitment = None
    if row.payload is not None:
        kept = bytes(row.payload)
        commitment = Commitment(hmac=kept[:32].hex(), length=int.from_bytes(kept[32:]))
    return prepare(event, commitment, salt)


def _mark_erased(connection: Connection, seq: int, key_id: bytes | None, now: int) -> None:
    """The payload was erased while its event waited: the entry says that there was one."""
    if connection.execute(select(payloads.c.seq).where(payloads.c.seq == seq)).first() is not None:
        return  # the event stood in the log before
    connection.execute(
        insert(payloads).values(
            seq=seq, owner="", key_id=key_id or os.urandom(16), ciphertext=None, erased_at=now
        )
    )
