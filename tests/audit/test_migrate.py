import pytest
from sqlalchemy import Engine, inspect, text

from guarded_sora.audit import migrate, tree
from guarded_sora.audit.errors import SchemaMismatch, WriteFailed
from guarded_sora.audit.tables import REVISIONS, SCHEMA_REVISION, metadata
from guarded_sora.audit.verifier import check_proof
from tests.audit.conftest import open_log, some, sqlite_engine


def test_up_again_and_down_with_data_in_it(empty):
    assert migrate.current(empty) is None
    assert migrate.upgrade(empty) == SCHEMA_REVISION == migrate.current(empty)
    log = open_log(empty)
    log.append(some(300))
    assert migrate.upgrade(empty) == SCHEMA_REVISION
    assert log.size == 300 and log.verify().ok
    migrate.downgrade(empty, "base")
    assert migrate.current(empty) is None
    assert set(inspect(empty).get_table_names()) <= {"audit_version"}
    migrate.upgrade(empty)
    assert open_log(empty).size == 0


def test_the_migrations_make_the_tables_the_program_uses(engine):
    inspector = inspect(engine)
    for table in metadata.sorted_tables:
        columns = {column["name"]: column["nullable"] for column in inspector.get_columns(table.name)}
        assert columns == {column.name: bool(column.nullable) for column in table.columns}, table.name
        indexes = {index["name"] for index in inspector.get_indexes(table.name)}
        assert {index.name for index in table.indexes} <= indexes, table.name


def test_every_step_of_the_way(empty):
    for revision in REVISIONS:
        migrate._run(empty, "upgrade", revision)
        assert migrate.current(empty) == revision
    for revision in reversed(REVISIONS[:-1]):
        migrate.downgrade(empty, revision)
        assert migrate.current(empty) == revision


def test_the_steps_keep_a_log_that_has_data_in_it(empty):
    migrate.upgrade(empty)
    log = open_log(empty)
    log.append(some(700, payload=b"words", owner="one", searchable=True))
    log.append(some(40))
    before, checkpoint = [entry.canonical for entry in log.search(limit=1000)], log.checkpoint()
    migrate.downgrade(empty, "0002")
    with empty.connect() as connection:
        old = connection.execute(text("SELECT seq, leaf FROM events ORDER BY seq")).all()
    assert [tree.leaf_hash(entry) for entry in before] == [bytes(row.leaf) for row in old]
    assert migrate.upgrade(empty) == SCHEMA_REVISION
    again = open_log(empty)
    assert [entry.canonical for entry in again.search(limit=1000)] == before
    assert again.verify(published=[checkpoint.note]).ok and again.payload(5) == b"words"
    again.append(some(500))
    assert again.verify().ok and again.size == 1240
    proof = again.prove(735)
    assert check_proof(proof.text(), proof.entry, again.vkey).index == 735
    with pytest.raises(Exception, match="append-only"), empty.begin() as connection:
        connection.execute(text("DELETE FROM events"))


def test_a_newer_schema_is_refused_in_one_sentence(engine):
    with engine.begin() as connection:
        connection.execute(text("UPDATE audit_version SET version_num = '9999'"))
    for attempt in (lambda: migrate.upgrade(engine), lambda: open_log(engine)):
        with pytest.raises(SchemaMismatch, match=r"9999.*newer.*install") as error:
            attempt()
        assert str(error.value).count(". ") == 0
    assert migrate.current(engine) == "9999"


def test_an_unknown_target(engine):
    with pytest.raises(SchemaMismatch, match="0000"):
        migrate.downgrade(engine, "0000")


def test_a_read_only_database_cannot_be_migrated(tmp_path):
    path = tmp_path / "log.db"
    writable = sqlite_engine(path)
    with writable.begin() as connection:
        connection.execute(text("CREATE TABLE other (x INTEGER)"))
    writable.dispose()
    with pytest.raises(WriteFailed, match="read-only"):
        migrate.upgrade(_read_only(path))


def _read_only(path) -> Engine:
    return sqlite_engine(f"file:{path}?mode=ro&uri=true")
