"""Events handed in for a sequencer: durable at once, in the log once, whoever dies in between."""

import threading
import time

import pytest
from sqlalchemy import select, text

from guarded_sora.audit import Event
from guarded_sora.audit.errors import EntryInvalid, NotFound
from guarded_sora.audit.pending import LEADER, Sequencer, waiting
from guarded_sora.audit.tables import pending
from tests.audit.conftest import open_log, some


def left(log):
    with log.engine.connect() as connection:
        return waiting(connection)


def test_what_was_handed_in_stands_in_the_log_in_order(log):
    ids = log.submit(some(5)) + log.submit(some(3, payload=b"words", owner="one", searchable=True))
    assert log.size == 0 and left(log).waiting == 8
    with pytest.raises(NotFound, match="sequencer"):
        log.wait(ids, 0)
    assert Sequencer(log).step() == 8 and Sequencer(log).step() == 0
    places = log.wait(ids, 0)
    assert [(item.seq, item.id) for item in places] == list(enumerate(ids))
    assert log.payload(6) == b"words" and [entry.seq for entry in log.search_text("words")] == [5, 6, 7]
    assert left(log).waiting == 0 and log.verify().ok
    assert log.submit([]) == ()


def test_the_same_event_twice_is_written_once(log):
    events = some(4, payload=b"x")
    assert log.submit(events) == log.submit(events)
    log.submit([*events[:2], *some(1)])
    log.append([events[3]])
    assert Sequencer(log).step() == 5
    assert log.size == 5 and log.verify().ok
    log.submit(events)
    assert Sequencer(log).step() == 4 and log.size == 5


def test_an_event_the_log_does_not_take_stops_nobody(log):
    (old,) = log.append(some(1))
    clash = Event(kind="other", actor="a", subject="b", id=old.id)
    ids = log.submit([*some(2), clash, *some(2)])
    assert Sequencer(log).step() == 5 and Sequencer(log).step() == 0
    assert log.size == 5 and "another event" in left(log).refused[clash.id]
    assert len(log.wait([*ids[:2], *ids[3:]], 0)) == 4
    with pytest.raises(EntryInvalid, match="another event"):
        log.submit([Event(kind="third", actor="a", subject="b", id=clash.id)])
    with pytest.raises(EntryInvalid, match="float"):
        log.submit([*some(1), Event(kind="x", actor="a", subject="b", body={"x": 1.5})])
    assert left(log).waiting == 0


def test_waiting_for_what_was_refused_says_why(small):
    (old,) = small.append(some(1))
    clash = Event(kind="other", actor="a", subject="b", id=old.id)
    (identity,) = small.submit([clash])
    Sequencer(small).step()
    with pytest.raises(EntryInvalid, match="did not take"):
        small.wait([identity], 0)


@pytest.mark.parametrize("change", ["body = x'7b'", "kind = 'Not A Kind'", "ciphertext = zeroblob(60)"])
def test_a_row_that_was_broken_is_put_aside(small, change):
    ids = small.submit(some(3, payload=b"x", owner="one"))
    with small.engine.begin() as connection:
        connection.execute(text(f"UPDATE pending SET {change} WHERE n = 2"))
    Sequencer(small).step()
    assert small.size == 2 and list(left(small).refused) == [ids[1]] and small.verify().ok


def test_erasure_reaches_what_waits(log):
    log.submit(some(2, payload=b"a secret", owner="one"))
    log.submit(some(1, payload=b"other", owner="two"))
    assert log.erase("one", actor="officer", reason="request").payloads == 2
    with log.engine.connect() as connection:
        rows = connection.execute(select(pending.c.owner, pending.c.ciphertext).order_by(pending.c.n)).all()
    assert rows[:2] == [(None, None)] * 2 and rows[2].owner == "two"
    Sequencer(log).step()
    assert log.read(1).payload.length == 8 and log.payload(1) is None
    assert log.payload(3) == b"other" and log.verify().ok


def test_a_key_erased_while_its_payload_was_on_the_way(small):
    small.submit(some(1, payload=b"a secret", owner="one"))
    with small.engine.begin() as connection:
        connection.execute(text("UPDATE subject_keys SET wrapped = NULL, erased_at = 1"))
    Sequencer(small).step()
    assert small.payload(0) is None and small.verify().ok


def test_many_writers_and_two_sequencers(log):
    sequencers = [Sequencer(open_log(log.engine)) for _ in range(2)]
    threads = [threading.Thread(target=item.run, args=(0.005,)) for item in sequencers]
    ids: list[str] = []

    def write(name):
        for _ in range(5):
            ids.extend(log.submit(some(6, actor=f"writer-{name}")))

    writers = [threading.Thread(target=write, args=(name,)) for name in range(6)]
    for thread in [*threads, *writers]:
        thread.start()
    for thread in writers:
        thread.join()
    places = log.wait(ids, 60)
    for item in sequencers:
        item.stop()
    for thread in threads:
        thread.join(30)
    assert sorted(item.seq for item in places) == list(range(180)) and log.size == 180
    assert log.verify().ok and left(log).waiting == 0


@pytest.mark.slow
def test_another_sequencer_takes_over_when_the_leader_dies(postgres):
    from guarded_sora.audit import migrate

    migrate.upgrade(postgres)
    log = open_log(postgres)
    leader = postgres.connect().execution_options(isolation_level="AUTOCOMMIT")
    leader.execute(text("SELECT pg_advisory_lock(:key)"), {"key": LEADER})
    (identity,) = log.submit(some(1))
    follower = Sequencer(log)
    thread = threading.Thread(target=follower.run, args=(0.005,))
    thread.start()
    time.sleep(0.3)
    assert log.size == 0, "only one leads"
    leader.connection.driver_connection.pgconn.finish()
    try:
        assert log.wait([identity], 60)[0].seq == 0
    finally:
        follower.stop()
        thread.join(30)


@pytest.mark.slow
def test_a_writer_role_hands_in_and_moves(postgres):
    from sqlalchemy import create_engine

    from guarded_sora.audit import migrate
    from guarded_sora.audit.postgres import grant

    migrate.upgrade(postgres)
    name = f"w_{postgres.url.database}"
    with postgres.begin() as connection:
        connection.execute(text(f'CREATE ROLE "{name}" LOGIN'))
    grant(postgres, name, "writer")
    engine = create_engine(postgres.url.set(username=name))
    try:
        log = open_log(engine)
        log.submit(some(300, payload=b"x"))
        assert Sequencer(log).step() == 300 and log.verify().ok
        migrate.downgrade(postgres, "0002")
        migrate.upgrade(postgres)
        log.append(some(3))
        log.submit(some(3))
        assert Sequencer(log).step() == 3 and log.size == 306, "rights outlive a migration"
    finally:
        engine.dispose()
        with postgres.begin() as connection:
            connection.execute(text(f'DROP OWNED BY "{name}"'))
            connection.execute(text(f'DROP ROLE "{name}"'))
