"""Whatever happens to the database: a typed error, and nothing half-written."""

import os
import sqlite3

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError

from guarded_sora.audit import Event, migrate, sqlite
from guarded_sora.audit.connections import write_failure
from guarded_sora.audit.errors import LogCorrupt, ReadFailed, WriteFailed
from tests.audit.conftest import open_log, some, sqlite_engine


def test_a_full_disk(tmp_path):
    engine = sqlite_engine(tmp_path / "log.db")
    limit = {"pages": 0}

    @event.listens_for(engine, "begin")
    def shrink(connection):
        if limit["pages"]:
            connection.exec_driver_sql(f"PRAGMA max_page_count={limit['pages']}")

    migrate.upgrade(engine)
    log = open_log(engine)
    log.append(some(10))
    with engine.begin() as connection:
        limit["pages"] = connection.execute(text("PRAGMA page_count")).scalar_one() + 20
    big = [Event(kind="test.big", actor="a", subject="s", body={"text": "x" * 60_000}) for _ in range(4)]
    with pytest.raises(WriteFailed, match="disk is full") as error:
        log.append(big)
    assert isinstance(error.value.__cause__.orig, sqlite3.OperationalError)
    assert log.size == 10 and log.verify().ok
    limit["pages"] = 10**6
    assert [item.seq for item in log.append(big)] == [10, 11, 12, 13]
    assert log.verify().ok


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_proof_that_cannot_be_written(small, tmp_path):
    from guarded_sora.audit.errors import FileFailed

    small.append(some(1))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "entry.json").symlink_to("/dev/full")
    with pytest.raises(FileFailed, match="another folder"):
        small.prove(0).write(tmp_path / "out")
    (tmp_path / "file").write_text("x")
    with pytest.raises(FileFailed):
        small.prove(0).write(tmp_path / "file" / "below")


def test_a_read_only_database(tmp_path):
    path = tmp_path / "log.db"
    writable = sqlite_engine(path)
    migrate.upgrade(writable)
    open_log(writable).append(some(3))
    log = open_log(sqlite_engine(f"file:{path}?mode=ro&uri=true"))
    with pytest.raises(WriteFailed, match="read-only"):
        log.append(some(1))
    assert log.size == 3 and log.read(2).body == {"number": 2}
    assert open_log(writable).verify().ok


def test_a_locked_database(tmp_path):
    path = tmp_path / "log.db"
    engine = sqlite_engine(path, busy_seconds=0.05)
    migrate.upgrade(engine)
    log = open_log(engine)
    log.append(some(1))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(WriteFailed, match="another process"):
        log.append(some(1))
    assert log.read(0).seq == 0, "readers go on while somebody else writes"
    other.execute("ROLLBACK")
    assert log.append(some(1))[0].seq == 1


@pytest.mark.slow
def test_a_lock_held_too_long_on_postgresql(postgres, monkeypatch):
    monkeypatch.setattr("guarded_sora.audit.connections.LOCK_SECONDS", 1)
    migrate.upgrade(postgres)
    log = open_log(postgres)
    with postgres.begin() as connection:
        connection.execute(text("SELECT * FROM tree_state FOR UPDATE"))
        with pytest.raises(WriteFailed, match="another process"):
            log.append(some(1))
    assert log.append(some(1))[0].seq == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("point", "count"), [("UPDATE tree_state", 2), ("INSERT INTO open_leaves", 300)], ids=["state", "copied"]
)
def test_a_connection_lost_in_the_middle_of_an_append(postgres, point, count):
    migrate.upgrade(postgres)
    log = open_log(postgres)
    log.append(some(3))
    cut = {"now": True}

    @event.listens_for(postgres, "before_cursor_execute")
    def lose(connection, cursor, statement, parameters, context, executemany):
        if cut["now"] and statement.startswith(point):
            cut["now"] = False
            connection.connection.driver_connection.pgconn.finish()

    events = some(count)
    with pytest.raises(WriteFailed, match="lost"):
        log.append(events)
    assert log.size == 3 and log.verify().ok
    assert [item.seq for item in log.append(events)] == list(range(3, 3 + count))
    assert log.verify().ok


@pytest.mark.slow
def test_a_read_only_postgresql(postgres):
    migrate.upgrade(postgres)
    log = open_log(postgres)
    log.append(some(3))
    name = postgres.url.database
    with postgres.begin() as connection:
        connection.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
    postgres.dispose()
    for write in (lambda: log.append(some(1)), lambda: log.append(some(30)), lambda: log.submit(some(1))):
        with pytest.raises(WriteFailed, match="read-only"):
            write()
    assert log.size == 3 and log.verify().ok


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ('could not extend file "base/1/2": No space left on device', "disk is full"),
        ("could not write to file pg_wal/xlogtemp.1: No space left on device", "disk is full"),
        ("canceling statement due to lock timeout", "another process"),
        ("cannot execute INSERT in a read-only transaction", "read-only"),
        ("permission denied for table events", "writer role"),
        ("server closed the connection unexpectedly", "lost"),
        ("terminating connection due to administrator command", "lost"),
    ],
    ids=["full", "full log", "lock", "read-only", "rights", "closed", "shut down"],
)
def test_what_postgresql_says_becomes_one_sentence(said, words):
    error = write_failure(OperationalError("INSERT", None, RuntimeError(said)))
    assert type(error) is WriteFailed and words in str(error) and "half-written" in str(error)


def test_an_interrupt_in_the_middle_releases_the_log(small):
    fired = {"now": True}

    @event.listens_for(small.engine, "before_cursor_execute")
    def interrupt(connection, cursor, statement, parameters, context, executemany):
        if fired["now"] and statement.startswith("UPDATE tree_state"):
            fired["now"] = False
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        small.append(some(2))
    assert small.size == 0
    assert small.append(some(1))[0].seq == 0


def test_the_database_file_is_gone(tmp_path):
    engine = sqlite_engine(tmp_path / "missing" / "log.db")
    with pytest.raises(ReadFailed):
        open_log(engine)


def test_a_file_that_is_no_database(tmp_path):
    path = tmp_path / "log.db"
    path.write_bytes(b"not a database, but long enough to be looked at" * 100)
    with pytest.raises(ReadFailed):
        open_log(sqlite_engine(path))


def test_rows_beyond_the_end_stop_the_writer(small):
    small.append(some(2))
    with small.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO events (seq, id, ts, kind, actor, subject, body) "
                "VALUES (2, zeroblob(16), 0, 'x', 'x', 'x', zeroblob(1))"
            )
        )
    with pytest.raises(LogCorrupt, match="beyond the end"):
        small.append(some(1))


@pytest.mark.slow
def test_other_databases_are_left_alone(postgres_uri):
    from sqlalchemy import create_engine

    engine = create_engine(postgres_uri)
    assert sqlite.prepare(engine) is engine
    engine.dispose()
