"""How a SQLite database must be opened so that what the log acknowledges survives a power cut."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, event

READER = "audit_reader"
"""Execution option of a connection that only reads: it begins without the write lock."""

BUSY_SECONDS = 60


def prepare(engine: Engine, *, busy_seconds: float = BUSY_SECONDS) -> Engine:
    """Set up every connection of a SQLite ``engine``; any other database is left as it is.

    Write-ahead log, a sync on every commit, deleted bytes overwritten, and ``BEGIN IMMEDIATE``:
    a transaction that may write takes the lock at once, so that it never fails half-way because
    somebody else wrote first. A connection with the execution option ``audit_reader`` begins
    without the lock. Call once, before the first connection.
    """
    if engine.dialect.name != "sqlite":
        return engine

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        try:
            cursor.execute(f"PRAGMA busy_timeout={int(busy_seconds * 1000)}")
            # A database on a read-only medium refuses this; reading it must still work.
            if cursor.execute("PRAGMA journal_mode").fetchone()[0] not in ("wal", "memory"):
                cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=FULL")
            cursor.execute("PRAGMA secure_delete=ON")
            cursor.execute("PRAGMA cache_size=-65536")
            cursor.execute("PRAGMA foreign_keys=ON")
        finally:
            cursor.close()

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        reads = connection.get_execution_options().get(READER, False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine
