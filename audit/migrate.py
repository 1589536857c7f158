"""Brings the log's schema up to date. Alembic tree of its own, version table ``audit_version``."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.util.exc import CommandError
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from guarded_sora.audit.connections import newer_schema, reading, write_failure, writing
from guarded_sora.audit.errors import SchemaMismatch
from guarded_sora.audit.tables import REVISIONS, SCHEMA_REVISION, VERSION_TABLE


def current(engine: Engine) -> str | None:
    """The schema revision the database has, or None when it holds no log."""
    with reading(engine) as connection:
        return _current(connection)


def upgrade(engine: Engine) -> str:
    """Create or update the log's tables in one transaction; returns the revision reached.

    Raises:
        SchemaMismatch: the database is newer than this program.
        WriteFailed: the database refused.
    """
    found = current(engine)
    if found == SCHEMA_REVISION:
        return found
    if found is not None and found not in REVISIONS:
        raise newer_schema(found)
    _run(engine, "upgrade", SCHEMA_REVISION)
    return SCHEMA_REVISION


def downgrade(engine: Engine, revision: str) -> None:
    """Take the schema back to an older ``revision`` (``base`` removes the log with all it holds)."""
    if revision != "base" and revision not in REVISIONS:
        raise SchemaMismatch(
            f"There is no schema {revision}; this program knows {', '.join(REVISIONS)} and base."
        )
    _run(engine, "downgrade", revision)


def _current(connection: Connection) -> str | None:
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    heads = context.get_current_heads()
    return heads[0] if heads else None


def _run(engine: Engine, direction: str, revision: str) -> None:
    config = Config()
    # Alembic reads '%' in options as interpolation; a folder may have one in its name.
    location = str(Path(__file__).parent / "migrations").replace("%", "%%")
    config.set_main_option("script_location", location)
    try:
        with writing(engine) as connection:
            config.attributes["connection"] = connection
            getattr(command, direction)(config, revision)
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise write_failure(error) from error
    except CommandError as error:
        raise SchemaMismatch(
            f"The schema of the audit log could not be changed to {revision}: {error}."
        ) from error
