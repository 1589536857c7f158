"""Transactions on the log's database, with every failure turned into an error of this package."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from guarded_sora.audit.errors import AuditError, LogCorrupt, ReadFailed, SchemaMismatch, WriteFailed
from guarded_sora.audit.sqlite import READER
from guarded_sora.audit.tables import REVISIONS, SCHEMA_REVISION, VERSION_TABLE

LOCK_SECONDS = 60

_REPEAT = "nothing is half-written, and repeating the same event ids never writes them twice"


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One transaction that only reads and takes no lock. Raises ``ReadFailed``."""
    try:
        with engine.connect().execution_options(**{READER: True}) as connection, connection.begin():
            yield connection
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise _read_failure(error) from error


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction that writes: committed whole, or rolled back. Raises ``WriteFailed``.

    ``IntegrityError`` passes: the caller knows which of its rows may stand there already.
    """
    try:
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
            yield connection
    except IntegrityError:
        raise
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise write_failure(error) from error


def corrupt_rows(error: IntegrityError) -> LogCorrupt:
    """Rows stand where the tree says there are none yet."""
    return LogCorrupt(
        "The database already holds rows beyond the end of the tree; run 'guarded-sora audit verify' on it."
    )


def write_failure(error: Exception) -> AuditError:
    """The typed error for a write that the database refused or lost."""
    words = str(getattr(error, "orig", None) or error).lower()
    if _is_missing(words):
        return _not_migrated()
    if "full" in words or "no space" in words:
        why = "the disk is full; free some space and try again"
    elif "locked" in words or "lock timeout" in words or "busy" in words:
        why = "another process holds the log; try again"
    elif "readonly" in words or "read-only" in words:
        why = "the database is read-only; make it writable"
    elif "append-only" in words:
        why = "the log is append-only"
    elif "permission denied" in words:
        why = "this database user may not write to the log; connect as the writer role"
    else:
        why = f"the database refused it or was lost ({type(error).__name__}); check it and try again"
    return WriteFailed(f"The audit log could not be written: {why} ({_REPEAT}).")


def _read_failure(error: Exception) -> AuditError:
    words = str(getattr(error, "orig", None) or error).lower()
    if _is_missing(words):
        return _not_migrated()
    return ReadFailed(
        f"The audit log could not be read ({type(error).__name__}); "
        "check that the database is there and open to you."
    )


def _is_missing(words: str) -> bool:
    return "no such table" in words or ("relation" in words and "does not exist" in words)


def _not_migrated() -> SchemaMismatch:
    return SchemaMismatch("This database holds no audit log yet; run 'guarded-sora migrate' on it.")


def check_schema(connection: Connection) -> None:
    """Raises ``SchemaMismatch`` unless the database has exactly this program's schema."""
    found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608
    require_revision(found)


def require_revision(found: str | None) -> None:
    """Raises ``SchemaMismatch`` unless ``found`` is the revision this program works with."""
    if found is None:
        raise _not_migrated()
    if found not in REVISIONS:
        raise newer_schema(found)
    if found != SCHEMA_REVISION:
        raise SchemaMismatch(
            f"The audit log has schema {found} and this program needs {SCHEMA_REVISION}; "
            "run 'guarded-sora migrate'."
        )


def newer_schema(found: str) -> SchemaMismatch:
    return SchemaMismatch(
        f"The audit log has schema {found}, which is newer than this program knows "
        f"({SCHEMA_REVISION}); install the version of guarded-sora that made it, or a newer one."
    )
