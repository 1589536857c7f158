"""Somebody with full rights on the database changes it: what is found, and where."""

import json
import shutil

import pytest
from sqlalchemy import text

from guarded_sora.audit import migrate, tree
from guarded_sora.audit.errors import FileFailed, LogCorrupt
from tests.audit.conftest import open_log, some, sqlite_engine

SIZE = 800


@pytest.fixture
def log(tmp_path):
    engine = sqlite_engine(tmp_path / "log.db")
    migrate.upgrade(engine)
    log = open_log(engine, checkpoint_seconds=3600)
    log.append(some(300))
    log.checkpoint()
    log.append(some(SIZE - 300, payload=b"personal", owner="person"))
    log.checkpoint()
    assert log.verify().ok
    return log


def attack(log, *statements):
    """Run ``statements`` as somebody who first removes every trigger."""
    with log.engine.begin() as connection:
        names = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).scalars()
        for name in list(names):
            connection.execute(text(f"DROP TRIGGER {name}"))
        for statement, values in statements:
            connection.execute(text(statement), values)


def places(log, **options):
    return [problem.where for problem in log.verify(**options).problems]


@pytest.mark.parametrize("table", ["events", "tiles", "checkpoints"])
@pytest.mark.parametrize("statement", ["DELETE FROM {}", "UPDATE {} SET {} = {}"])
def test_triggers_refuse_honest_mistakes(engine, table, statement):
    log = open_log(engine)
    log.append(some(300))
    column = {"events": "kind", "tiles": "root", "checkpoints": "note"}[table]
    with pytest.raises(Exception, match="append-only"), engine.begin() as connection:
        connection.execute(text(statement.format(table, column, column)))
    assert log.verify().ok


@pytest.mark.parametrize("statement", ["DELETE FROM tree_state", "UPDATE tree_state SET size = size - 1"])
def test_the_state_row_only_grows(engine, statement):
    open_log(engine).append(some(3))
    with pytest.raises(Exception, match="append-only"), engine.begin() as connection:
        connection.execute(text(statement))


@pytest.mark.parametrize("seq", [0, 17, 255, 256, 511, 767, 768, SIZE - 1])
def test_a_changed_entry_is_named(log, seq):
    body = b'{"number":1000000}'
    attack(log, ("UPDATE events SET body = :body WHERE seq = :seq", {"body": body, "seq": seq}))
    assert places(log) == [f"events.seq={seq}"]


def with_open_leaf(log, seq, entry):
    """``open_leaves`` as somebody would write it who knows how the tree is made."""
    leaves = [tree.leaf_hash(log.read(at).canonical) for at in range(768, SIZE)]
    leaves[seq - 768] = tree.leaf_hash(entry)
    return ("UPDATE open_leaves SET leaves = :leaves WHERE seq = 768", {"leaves": b"".join(leaves)})


def test_a_changed_entry_whose_open_leaf_was_changed_too_breaks_the_checkpoint(log):
    entry = log.read(780).canonical.replace(b'"tester"', b'"nobody"')
    attack(log, ("UPDATE events SET actor = 'nobody' WHERE seq = 780", {}), with_open_leaf(log, 780, entry))
    assert places(log) == [f"checkpoints.size={SIZE}", "tree_state.id=1"]


def test_missing_open_leaves_are_named(log):
    attack(log, ("DELETE FROM open_leaves", {}))
    assert places(log) == ["open_leaves of events.seq=768"]
    with pytest.raises(LogCorrupt, match="missing below"):
        open_log(log.engine).append(some(300))


@pytest.mark.parametrize("column", ["kind", "actor", "subject", "ts", "id", "payload"])
def test_a_changed_column_is_named(log, column):
    value = {"ts": 5, "id": bytes(16), "payload": bytes(36)}.get(column, "other")
    attack(log, (f"UPDATE events SET {column} = :value WHERE seq = 42", {"value": value}))
    assert places(log) == ["events.seq=42"]


@pytest.mark.parametrize("seq", [0, 100, SIZE - 1])
def test_a_deleted_row_is_named(log, seq):
    attack(log, ("DELETE FROM events WHERE seq = :seq", {"seq": seq}))
    assert f"events.seq={seq}" in places(log)


def test_an_inserted_row_is_named(log):
    attack(
        log,
        ("UPDATE events SET seq = seq + 100000 WHERE seq >= 10", {}),
        ("UPDATE events SET seq = seq - 99999 WHERE seq >= 100000", {}),
        (
            "INSERT INTO events SELECT 10, ts, zeroblob(16), kind, actor, subject, body, payload "
            "FROM events WHERE seq = 9",
            {},
        ),
    )
    found = places(log)
    assert found[0] == f"events.seq={SIZE}" and "events.seq=10" in found


def test_swapped_rows_are_named(log):
    attack(
        log,
        ("UPDATE events SET seq = -1 WHERE seq = 20", {}),
        ("UPDATE events SET seq = 20 WHERE seq = 30", {}),
        ("UPDATE events SET seq = 30 WHERE seq = -1", {}),
    )
    assert places(log) == ["events.seq=20", "events.seq=30"]


def test_a_cut_off_end_is_found(log):
    leaves = [tree.leaf_hash(log.read(seq).canonical) for seq in range(400)]
    frontier = tree.Frontier()
    frontier.extend(leaves, [])
    attack(
        log,
        ("DELETE FROM events WHERE seq >= 400", {}),
        ("DELETE FROM tiles WHERE idx >= 1", {}),
        ("UPDATE open_leaves SET seq = 256, leaves = :leaves", {"leaves": b"".join(leaves[256:])}),
        ("UPDATE tree_state SET size = 400, frontier = :edge", {"edge": frontier.to_bytes()}),
    )
    assert places(log) == [f"checkpoints.size={SIZE}"]
    with pytest.raises(LogCorrupt, match="newest checkpoint"):
        open_log(log.engine)


def test_an_older_copy_is_found_by_a_published_checkpoint(log, tmp_path):
    log.engine.dispose()
    shutil.copy(tmp_path / "log.db", tmp_path / "old.db")
    log.append(some(10))
    published = log.checkpoint().note
    old = open_log(sqlite_engine(tmp_path / "old.db"))
    assert old.verify().ok, "nothing inside an older copy can show that it is old"
    report = old.verify(published=[published])
    assert [problem.where for problem in report.problems] == ["published checkpoint 1"]
    assert "rolled back" in report.problems[0].what
    old.append(some(50, actor="forger"))
    assert places(old, published=[published]) == ["published checkpoint 1"]
    assert log.verify(published=[published]).ok


def test_a_rewritten_log_cannot_sign_its_checkpoints(log, tmp_path):
    """The whole log made anew without the signing key: every row fits, no checkpoint does."""
    note = log.checkpoint().note
    engine = sqlite_engine(tmp_path / "forged.db")
    migrate.upgrade(engine)
    open_log(engine).append(some(SIZE, actor="forger"))
    attack(
        open_log(engine),
        ("DELETE FROM checkpoints", {}),
        ("INSERT INTO checkpoints VALUES (:size, 0, :note)", {"size": SIZE, "note": note}),
    )
    with pytest.raises(LogCorrupt):
        open_log(engine)


@pytest.mark.parametrize("column", ["root", "data"])
def test_a_changed_tile_is_named(log, column):
    value = bytes(32 if column == "root" else 8192)
    attack(log, (f"UPDATE tiles SET {column} = :value WHERE idx = 1", {"value": value}))
    assert "tiles.level=0, idx=1" in places(log)


def test_a_missing_tile_and_one_too_many(log):
    attack(
        log,
        ("DELETE FROM tiles WHERE idx = 2", {}),
        ("INSERT INTO tiles VALUES (0, 77, zeroblob(32), zeroblob(8192))", {}),
    )
    assert places(log) == ["tiles.level=0, idx=77", "tiles.level=0, idx=2"]


def test_a_changed_edge_and_a_foreign_checkpoint(log):
    attack(
        log,
        ("UPDATE tree_state SET frontier = zeroblob(length(frontier))", {}),
        ("UPDATE checkpoints SET note = replace(note, '300', '301') WHERE size = 300", {}),
    )
    assert places(log) == ["checkpoints.size=300", "tree_state.id=1"]


def test_a_state_row_that_contradicts_itself(log):
    attack(log, ("UPDATE tree_state SET size = 3", {}))
    assert "tree_state.id=1" in places(log)
    with pytest.raises(LogCorrupt):
        log.append(some(1))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE payloads SET ciphertext = zeroblob(80) WHERE seq = 305",
        "UPDATE payloads SET ciphertext = NULL WHERE seq = 305",
        "DELETE FROM payloads WHERE seq = 305",
        "UPDATE payloads SET ciphertext = (SELECT ciphertext FROM payloads WHERE seq = 306) WHERE seq = 305",
    ],
)
def test_a_changed_payload_is_named(log, statement):
    attack(log, (statement, {}))
    assert places(log) == ["payloads.seq=305"]
    with pytest.raises(LogCorrupt, match=r"payloads\.seq=305"):
        log.payload(305)


def test_a_payload_its_entry_does_not_know(log):
    columns = "(seq, owner, key_id, ciphertext)"
    attack(
        log, (f"INSERT INTO payloads {columns} SELECT 5, owner, key_id, ciphertext FROM payloads LIMIT 1", {})
    )
    assert places(log) == ["payloads.seq=5"]


@pytest.mark.parametrize(
    "change", ["body = x'7b'", "id = x'00'", "payload = x'00'", "actor = 7", "body = x'5b5d'"]
)
def test_a_row_that_is_no_entry_is_reported_not_raised(log, change):
    attack(log, (f"UPDATE events SET {change} WHERE seq = 799", {}))
    assert places(log)[0] == "events.seq=799"


def test_a_leaf_over_a_row_that_is_no_entry(log):
    entry = log.read(799).canonical.replace(b'{"number":499}', b"{")
    attack(log, ("UPDATE events SET body = x'7b' WHERE seq = 799", {}), with_open_leaf(log, 799, entry))
    assert places(log)[0] == "events.seq=799"
    with pytest.raises(LogCorrupt, match=r"events\.seq=799"):
        log.read(799)


def test_progress_is_told(log):
    seen = []
    log.verify(progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (SIZE, SIZE) and json.dumps(seen)


def test_verify_runs_while_others_write(log):
    sizes = []

    def write_more(done, total):
        log.append(some(10))
        log.checkpoint()
        sizes.append(log.size)

    report = log.verify(progress=write_more)
    assert report.ok and report.size == SIZE and sizes[-1] > SIZE


class Stop(Exception):
    pass


def test_a_run_that_was_stopped_goes_on_and_finds_the_same(log, tmp_path, monkeypatch):
    monkeypatch.setattr("guarded_sora.audit.rehash.CHUNK", 256)
    log.append(some(5000))
    attack(log, ("UPDATE events SET kind = 'x' WHERE seq IN (7, 4500)", {}))
    place, done = tmp_path / "place", []

    def stop(at, total):
        done.append(at)
        if at > 4096:
            raise Stop

    with pytest.raises(Stop):
        log.verify(stop, resume=place)
    assert place.exists()
    done.clear()
    report = log.verify(lambda at, total: done.append(at), resume=place)
    assert done[0] == 4096 + 256 and not place.exists()
    assert [problem.where for problem in report.problems] == ["events.seq=7", "events.seq=4500"]
    assert report.root == log.checkpoint().root


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"key": "x", "size": 256}'])
def test_a_place_of_another_log_is_refused(small, tmp_path, content):
    place = tmp_path / "place"
    place.write_bytes(content)
    with pytest.raises(FileFailed, match="delete it"):
        small.verify(resume=place)
