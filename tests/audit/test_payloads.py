import os
import shutil
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import text

from guarded_sora.audit import Event, migrate
from guarded_sora.audit.erasure import rebuild_holds
from guarded_sora.audit.errors import EntryInvalid, ErasureRefused, LogCorrupt, NotFound
from guarded_sora.audit.verifier import check_proof
from tests.audit.conftest import open_log, some, sqlite_engine

SECRET = b"a red balloon over the beach, said somebody"


def with_payload(owner="person", payload=SECRET, **changes):
    return Event(
        **{
            "kind": "prompt.received",
            "actor": "a",
            "subject": "clip",
            "owner": owner,
            "payload": payload,
            **changes,
        }
    )


@pytest.mark.parametrize("payload", [b"", b"x", SECRET, bytes(range(256)) * 4000])
def test_a_payload_comes_back_and_is_not_in_its_entry(log, payload):
    log.append([with_payload(payload=payload), *some(1)])
    assert log.payload(0) == payload
    assert log.payload(1) is None
    entry = log.read(0)
    assert entry.payload.length == len(payload)
    assert not payload or len(payload) < 4 or payload not in entry.canonical


def test_equal_payloads_cannot_be_recognised_by_their_commitments(log):
    log.append([with_payload(), with_payload()])
    assert log.read(0).payload.hmac != log.read(1).payload.hmac


@pytest.mark.parametrize("payload", ["text", 7, bytearray(b"x")])
def test_a_payload_is_bytes(small, payload):
    with pytest.raises(EntryInvalid, match="bytes"):
        small.append([with_payload(payload=payload)])


def test_a_payload_has_a_limit(small, monkeypatch):
    monkeypatch.setattr("guarded_sora.audit.payloads.MAX_PAYLOAD", 10)
    with pytest.raises(EntryInvalid, match="at most"):
        small.append([with_payload()])


def test_erasure_removes_one_person_and_keeps_every_proof(log):
    log.append([with_payload("one"), with_payload("two"), *some(300), with_payload("one")])
    before = log.prove(0)
    erased = log.erase("one", actor="officer", reason="request")
    assert (erased.keys, erased.payloads, erased.scrubbed) == (1, 2, True)
    assert log.payload(0) is None and log.payload(302) is None
    assert log.payload(1) == SECRET
    told = log.read(erased.seq)
    assert (told.kind, told.subject, told.body["payloads"]) == ("payload.erased", "one", 2)
    for proof in (before, log.prove(0)):
        assert check_proof(proof.text(), proof.entry, log.vkey).index == 0
    assert log.verify().ok
    log.append([with_payload("one", b"new data under a new key")])
    assert log.payload(log.size - 1) == b"new data under a new key"
    assert log.payload(0) is None


def test_erasing_a_stranger_is_logged_and_harmless(log):
    erased = log.erase("nobody", actor="officer", reason="request")
    assert (erased.keys, erased.payloads) == (0, 0) and log.size == 1


def test_the_raw_files_hold_nothing_of_the_erased(tmp_path):
    """Neither the text, nor the ciphertext, nor the wrapped key is left in any byte of the database."""
    path = tmp_path / "log.db"
    engine = sqlite_engine(path)
    migrate.upgrade(engine)
    log = open_log(engine)
    log.append([with_payload("one"), with_payload("two", b"somebody else")])
    log.append([with_payload("one", SECRET * 50)])
    raw = sqlite3.connect(path)
    hidden = [row[0] for row in raw.execute("SELECT ciphertext FROM payloads WHERE owner = 'one'")]
    hidden += [row[0] for row in raw.execute("SELECT wrapped FROM subject_keys WHERE owner = 'one'")]
    raw.close()
    assert len(hidden) == 3

    def files():
        return b"".join(item.read_bytes() for item in sorted(tmp_path.iterdir()))

    engine.dispose()
    assert all(item[:64] in files() for item in hidden)
    assert SECRET not in files(), "never in clear, erased or not"
    assert log.erase("one", actor="officer", reason="request").scrubbed
    left = files()
    engine.dispose()
    left += files()
    for item in hidden:
        assert not any(item[at : at + 24] in left for at in range(0, len(item) - 24, 24))


@pytest.mark.slow
def test_the_raw_files_of_postgresql_hold_nothing_of_the_erased(postgres):
    """The write-ahead log aside: it is recycled by the server, and the operator's backups copy it."""
    migrate.upgrade(postgres)
    log = open_log(postgres)
    log.append([with_payload("one", b"xylophonist " + SECRET, searchable=True), with_payload("two")])
    with postgres.begin() as connection:
        (wrapped,) = connection.execute(
            text("SELECT wrapped FROM subject_keys WHERE owner = 'one'")
        ).scalars()
        folder = Path(connection.execute(text("SHOW data_directory")).scalar_one()) / "base"
        folder /= str(
            connection.execute(
                text("SELECT oid FROM pg_database WHERE datname = current_database()")
            ).scalar()
        )

    def files():
        with postgres.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("CHECKPOINT"))
        return b"".join(item.read_bytes() for item in sorted(folder.iterdir()) if item.is_file())

    before = files()
    assert bytes(wrapped) in before and b"xylophonist" in before and SECRET not in before
    assert log.erase("one", actor="officer", reason="request").scrubbed
    left = files()
    assert bytes(wrapped) not in left and b"xylophonist" not in left
    assert log.payload(1) == SECRET and log.verify().ok


def test_a_backup_opens_nothing_once_the_old_payload_key_is_destroyed(tmp_path):
    """Erasure cannot reach a backup; the keys in it die with the payload key they were wrapped under."""
    engine = sqlite_engine(tmp_path / "log.db")
    migrate.upgrade(engine)
    log = open_log(engine)
    log.append([with_payload("one"), with_payload("two", b"somebody else")])
    engine.dispose()
    shutil.copy(tmp_path / "log.db", tmp_path / "backup.db")
    log.erase("one", actor="officer", reason="request")
    new = os.urandom(32)
    log.rewrap(new, actor="operator")
    backup = open_log(sqlite_engine(tmp_path / "backup.db"), payload_key=new)
    for seq in (0, 1):
        with pytest.raises(LogCorrupt, match="payload key"):
            backup.payload(seq)
    assert SECRET not in (tmp_path / "backup.db").read_bytes()
    assert log.payload(0) is None and log.payload(1) == b"somebody else"
    assert backup.verify(with_payloads=False).ok, "its proofs hold all the same"


def test_a_hold_beats_erasure_and_is_logged(engine):
    now = {"ms": 1_000_000}
    log = open_log(engine, clock=lambda: now["ms"])
    log.append([with_payload("one")])
    log.hold("one", "court", actor="counsel")
    log.hold("one", "police", actor="counsel", until=2_000_000)
    with pytest.raises(ErasureRefused, match="court, police"):
        log.erase("one", actor="officer", reason="request")
    assert log.payload(0) == SECRET
    log.lift_hold("one", "court", actor="counsel")
    with pytest.raises(ErasureRefused, match=r"\(police\)"):
        log.erase("one", actor="officer", reason="request")
    now["ms"] = 2_000_000
    assert log.erase("one", actor="officer", reason="request").payloads == 1
    kinds = [entry.kind for entry in log.tail(10)]
    assert kinds.count("payload.held") == 2 and kinds.count("payload.erasure_refused") == 2
    with pytest.raises(NotFound):
        log.lift_hold("one", "court", actor="counsel")
    before = log.holds()
    assert rebuild_holds(log._writer) == 1 and log.holds() == before


def test_child_safety_holds_for_a_year_whatever_is_said_later(engine):
    now = {"ms": 1_000_000}
    log = open_log(engine, clock=lambda: now["ms"])
    log.append([with_payload("one")])
    held = log.hold("one", "child_safety", actor="officer", until=2_000_000)
    assert held.until >= now["ms"] + 365 * 86_400_000
    with pytest.raises(ErasureRefused):
        log.lift_hold("one", "child_safety", actor="officer")
    now["ms"] = held.until - 1
    with pytest.raises(ErasureRefused):
        log.erase("one", actor="officer", reason="request")
    now["ms"] = held.until
    assert log.erase("one", actor="officer", reason="request").payloads == 1


def test_a_look_is_logged_before_anything_is_shown(log):
    log.append([with_payload()])
    assert log.view(0, viewer="reviewer", reason="case") == SECRET
    seen = log.read(1)
    assert (seen.kind, seen.actor, seen.body) == (
        "payload.viewed",
        "reviewer",
        {"event": 0, "reason": "case"},
    )


def test_another_payload_key_opens_nothing(log):
    log.append([with_payload()])
    other = open_log(log.engine, payload_key=os.urandom(32))
    with pytest.raises(LogCorrupt, match="payload key"):
        other.payload(0)


def test_rewrapping_changes_the_key_and_nothing_else(log):
    log.append([with_payload("one"), with_payload("two")])
    log.erase("two", actor="officer", reason="request")
    new = os.urandom(32)
    assert log.rewrap(new, actor="operator") == 1
    assert log.payload(0) == SECRET
    log.append([with_payload("one", b"later")])
    again = open_log(log.engine, payload_key=new)
    assert again.payload(log.size - 1) == b"later" and again.verify().ok
    with pytest.raises(LogCorrupt):
        open_log(log.engine).payload(0)
