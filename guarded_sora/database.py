"""The one Engine of an installation, with both schemas brought up to date.

SQLite under home by default, PostgreSQL by the same code. The log (``audit_version``) and the
store (``guarded_sora_version``) migrate apart, so that the log can be used without the store.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine, create_engine, select
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from guarded_sora.audit.errors import AuditError
from guarded_sora.audit.migrate import upgrade as upgrade_log
from guarded_sora.audit.sqlite import prepare
from guarded_sora.audit.tables import tree_state
from guarded_sora.errors import StoreError, UsageError
from guarded_sora.store.migrate import upgrade as upgrade_store


def open_engine(home: Path, url: str | None = None) -> Engine:
    """Connect and migrate.

    Args:
        home: holds ``guarded-sora.db`` when ``url`` is None.
        url: an SQLAlchemy URL; ``postgresql://`` means the psycopg driver.

    Raises:
        UsageError: ``url`` is no database URL.
        StoreError: the database cannot be reached, or was made by a newer version.
    """
    try:
        # Private when we make it: films wait in it for review, and whoever can read one has it.
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"The folder {home} cannot be made ({error.strerror}); choose another with --home."
        ) from error
    address = url or f"sqlite:///{home / 'guarded-sora.db'}"
    if address.startswith("postgresql://"):
        address = address.replace("postgresql://", "postgresql+psycopg://", 1)
    try:
        engine = create_engine(address)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise UsageError(
            "The database URL cannot be used; write sqlite:///PATH, or postgresql://USER@HOST/NAME "
            "with the extra guarded-sora[postgres] installed."
        ) from error
    if engine.dialect.name == "sqlite":
        prepare(engine)
    try:
        upgrade_log(engine)
        upgrade_store(engine)
    except AuditError as error:
        engine.dispose()
        raise StoreError(str(error)) from error
    except (DBAPIError, SQLAlchemyError) as error:
        engine.dispose()
        raise StoreError(
            f"The database could not be opened ({type(error).__name__}); check that it is reachable, "
            "writable and not corrupt."
        ) from error
    return engine


def log_in_use(engine: Engine) -> bool:
    """Whether the log holds anything: then its keys must exist, and making new ones would be a loss."""
    with engine.connect() as connection:
        return bool(connection.execute(select(tree_state.c.size)).scalar())
