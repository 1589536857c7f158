"""Bring the store's schema up to date."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from guarded_sora.errors import StoreError

MIGRATIONS = Path(__file__).with_name("migrations")
VERSION_TABLE = "guarded_sora_version"


def head() -> str:
    """The newest schema version this program knows."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def current(connection: Connection) -> str | None:
    """The schema version of the database, None when it is empty."""
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return context.get_current_revision()


def upgrade(engine: Engine) -> None:
    """Apply what is missing; nothing to do costs one SELECT.

    Raises:
        StoreError: the database was made by a newer version of this program.
    """
    known = {revision.revision for revision in ScriptDirectory.from_config(_config()).walk_revisions()}
    with engine.begin() as connection:
        version = current(connection)
        if version == head():
            return
        if version is not None and version not in known:
            raise StoreError(
                f"The database has the newer schema version {version}; "
                "install the version of guarded-sora that made it, or restore an older copy."
            )
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def downgrade(engine: Engine, revision: str) -> None:
    """Go back to ``revision``; for tests and for an operator who must return to an older release."""
    with engine.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.downgrade(config, revision)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    # Paths may hold a space or a colon; the default separator rules would split them.
    config.set_main_option("path_separator", "os")
    return config
