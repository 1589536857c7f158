import pytest
from sqlalchemy import create_engine, make_url, select, text

from guarded_sora.audit import migrate, postgres
from guarded_sora.audit.errors import EntryInvalid, WriteFailed
from guarded_sora.audit.search import of_subject
from guarded_sora.audit.tables import events
from tests.audit.conftest import open_log, some


@pytest.mark.slow
def test_copy_and_insert_make_the_same_log(postgres, monkeypatch):
    engine = postgres
    migrate.upgrade(engine)
    log = open_log(engine, clock=lambda: 1000)
    events = some(600, subject="ü€𝄞")
    copied = log.append(events[:300])
    monkeypatch.setattr("guarded_sora.audit.postgres.COPY_FROM", 10**9)
    inserted = log.append(events[300:])
    with engine.begin() as connection:
        rows = connection.execute(text("SELECT octet_length(id), ts, kind, subject FROM events")).all()
    assert len(set(rows)) == 1 and len(rows) == 600
    assert [item.seq for item in (*copied, *inserted)] == list(range(600))
    assert log.verify().ok


@pytest.mark.slow
def test_copy_finds_ids_that_stand_there(postgres):
    migrate.upgrade(postgres)
    log = open_log(postgres)
    events = some(40)
    first = log.append(events[:20])
    assert log.append(events)[:20] == first and log.size == 40


@pytest.mark.slow
def test_a_subject_is_found_by_the_index(postgres):
    migrate.upgrade(postgres)
    log = open_log(postgres)
    log.append([*some(500), *some(3, subject="clip-ü"), *some(500)])
    assert [entry.seq for entry in log.search(subject="clip-ü")] == [500, 501, 502]
    with postgres.begin() as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        connection.execute(text("SET LOCAL enable_indexscan = off"))
        query = select(events.c.seq).where(of_subject("clip-ü")).compile(connection)
        plan = connection.exec_driver_sql(f"EXPLAIN {query}", query.params)
        assert "events_subject" in " ".join(plan.scalars())


@pytest.fixture
def roles(postgres):
    """One connection for every role, each made for this test and dropped after it."""
    migrate.upgrade(postgres)
    open_log(postgres).append(some(300, payload=b"x"))
    names = {what: f"{what}_{make_url(postgres.url).database}" for what in ("writer", "reader", "auditor")}
    engines = {}
    for what, name in names.items():
        with postgres.begin() as connection:
            connection.execute(text(f'CREATE ROLE "{name}" LOGIN'))
        from guarded_sora.audit.postgres import grant

        grant(postgres, name, what)
        engines[what] = create_engine(postgres.url.set(username=name))
    yield engines
    for engine in engines.values():
        engine.dispose()
    with postgres.begin() as connection:
        for name in names.values():
            connection.execute(text(f'DROP OWNED BY "{name}"'))
            connection.execute(text(f'DROP ROLE "{name}"'))


@pytest.mark.slow
def test_a_writer_appends_erases_and_cannot_rewrite(roles):
    log = open_log(roles["writer"])
    log.append(some(300))
    assert not log.erase("thing", actor="officer", reason="request").scrubbed, "only the owner can"
    assert log.verify().ok
    for table in ("events", "tiles", "checkpoints"):
        for statement in (f"DELETE FROM {table}", f"UPDATE {table} SET ctid = ctid", f"TRUNCATE {table}"):
            with pytest.raises(Exception, match=r"permission denied|cannot assign"), log.engine.begin() as tx:
                tx.execute(text(statement))


@pytest.mark.slow
def test_a_reader_reads_and_cannot_write(roles):
    log = open_log(roles["reader"])
    assert log.payload(3) == b"x" and log.prove(5).seq == 5
    with pytest.raises(WriteFailed, match="writer role"):
        log.append(some(1))


@pytest.mark.slow
def test_an_auditor_sees_the_tree_and_no_payloads(roles):
    log = open_log(roles["auditor"])
    assert log.verify(with_payloads=False).ok
    with pytest.raises(Exception, match="could not be read"):
        log.payload(3)


@pytest.mark.parametrize(
    ("role", "what"), [("x; DROP TABLE events", "writer"), ("ok", "owner"), ("ok", "writer")]
)
def test_grants_are_checked(small, role, what):
    with pytest.raises(EntryInvalid):
        postgres.grant(small.engine, role, what)
