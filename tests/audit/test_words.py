import pytest
from sqlalchemy import text

from guarded_sora.audit import Event, migrate
from guarded_sora.audit.errors import EntryInvalid
from tests.audit.conftest import open_log, sqlite_engine

TEXTS = [
    "a red balloon over a sandy beach",
    "a green balloon, red ribbon",
    "Ein Bär läuft über die Brücke",
    "balloon\x00red \ufffd",
]


def prompt(words, owner="one", **changes):
    payload = words if isinstance(words, bytes) else words.encode()
    return Event(
        kind="prompt.received",
        actor="a",
        subject="s",
        payload=payload,
        owner=owner,
        searchable=True,
        **changes,
    )


@pytest.fixture
def filled(log):
    log.append([prompt(words) for words in TEXTS])
    return log


def found(log, query, **options):
    return [entry.seq for entry in log.search_text(query, **options)]


def test_words_and_phrases(filled):
    assert found(filled, "balloon") == [0, 1, 3]
    assert found(filled, "red balloon") == [0, 1, 3]
    assert found(filled, '"red balloon"') == [0]
    assert found(filled, '"red ribbon" green') == [1]
    assert found(filled, "BÄR") == [2]
    assert found(filled, "nothing") == []
    assert found(filled, "balloon", limit=1) == [0] and found(filled, "balloon", after=0, limit=1) == [1]


@pytest.mark.parametrize("query", ["", "   ", "!!!", '""', "word " * 33])
def test_empty_and_endless_queries(filled, query):
    with pytest.raises(EntryInvalid, match="Search for"):
        filled.search_text(query)


@pytest.mark.parametrize(
    "query",
    [
        "red OR green",
        "red NOT ribbon",
        "red*",
        "words:red",
        "NEAR(red ribbon)",
        "red'; DROP TABLE events",
        '"red',
        "red & !x",
    ],
)
def test_operators_are_only_words(filled, query):
    assert set(found(filled, query)) <= {0, 1, 3}
    assert filled.size == 4


def test_only_what_asks_for_it_is_indexed(log):
    log.append([Event(kind="a", actor="a", subject="s", payload=b"balloon")])
    assert found(log, "balloon") == []
    log.append([prompt(b"\xff\xfe balloon \x80")])
    assert found(log, "balloon") == [1]


def test_erasure_takes_the_words_of_one_person_out(filled):
    filled.append([prompt("another red balloon", owner="two")])
    filled.erase("one", actor="officer", reason="request")
    assert found(filled, "balloon") == [4] and found(filled, "sandy") == []
    assert filled.verify().ok


def test_no_erased_word_is_left_in_the_files(tmp_path):
    engine = sqlite_engine(tmp_path / "log.db")
    migrate.upgrade(engine)
    log = open_log(engine)
    log.append([prompt(f"zanzibar{number} quokkaword", owner="one") for number in range(200)])
    log.append([prompt("kept balloon", owner="two")])

    def files():
        engine.dispose()
        return b"".join(item.read_bytes() for item in tmp_path.iterdir())

    assert b"quokkaword" in files()
    assert log.erase("one", actor="officer", reason="request").scrubbed
    left = files()
    assert b"quokkaword" not in left and b"zanzibar" not in left
    assert found(log, "balloon") == [200]


def test_payloads_expire_by_kind_and_age_and_holds_win(engine):
    now = {"ms": 1_000}
    log = open_log(engine, clock=lambda: now["ms"])
    log.append([prompt("old one", "one"), prompt("old held", "two")])
    log.append([Event(kind="other.kind", actor="a", subject="s", owner="one", payload=b"other")])
    now["ms"] = 5_000
    log.append([prompt("new one", "one")])
    log.hold("two", "court", actor="counsel")
    expired = log.expire("prompt.*", 5_000, actor="timer")
    assert expired.payloads == 1 and log.read(expired.seq).body["kind"] == "prompt.*"
    assert [log.payload(seq) for seq in range(4)] == [None, b"old held", b"other", b"new one"]
    assert found(log, "old") == [1] and found(log, "one") == [3]
    assert log.verify().ok


def test_the_index_follows_a_downgrade(engine):
    log = open_log(engine)
    log.append([prompt("balloon")])
    migrate.downgrade(engine, "0001")
    migrate.upgrade(engine)
    assert open_log(engine).payload(0) == b"balloon"
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM payload_words WHERE 1 = 0")).scalar() == 0
