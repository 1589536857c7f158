"""Connections of the store, with the database's refusals told in our words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from guarded_sora.errors import StoreError


def refused(error: SQLAlchemyError, of: str = "store") -> StoreError:
    """The refusal of the database ``of`` the store or of the registry."""
    return StoreError(
        f"The {of}'s database refused ({type(error).__name__}); check disk space and access, then retry."
    )


@contextmanager
def reading(engine: Engine, of: str = "store") -> Iterator[Connection]:
    """A connection to read from. Raises :class:`StoreError` where the database refuses."""
    try:
        with engine.connect() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise refused(error, of) from error


@contextmanager
def writing(engine: Engine, of: str = "store") -> Iterator[Connection]:
    """A transaction. Raises :class:`StoreError` where the database refuses; then nothing was written."""
    try:
        with engine.begin() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise refused(error, of) from error
