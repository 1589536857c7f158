import pytest
from sqlalchemy import text

from guarded_sora.audit import searches
from guarded_sora.audit.errors import EntryInvalid, LogCorrupt, NotFound
from tests.audit.conftest import some


def test_a_search_is_kept_changed_and_forgotten(engine):
    assert searches.kept(engine) == {}
    searches.keep(engine, "blocked", {"kind": "request.blocked", "since": "7d"})
    searches.keep(engine, "a.b", {"text": 'ü "two words"'})
    searches.keep(engine, "blocked", {"kind": "request.*"})
    assert searches.kept(engine) == {"a.b": {"text": 'ü "two words"'}, "blocked": {"kind": "request.*"}}
    assert searches.find(engine, "blocked") == {"kind": "request.*"}
    searches.drop(engine, "blocked")
    for gone in (searches.find, searches.drop):
        with pytest.raises(NotFound, match="blocked"):
            gone(engine, "blocked")


@pytest.mark.parametrize(
    ("name", "filters"),
    [
        ("", {"kind": "x"}),
        ("../x", {"kind": "x"}),
        ("Ü", {"kind": "x"}),
        ("a" * 65, {"kind": "x"}),
        ("ok", {}),
        ("ok", {"other": "x"}),
        ("ok", {"kind": "x" * 1001}),
    ],
    ids=["empty", "path", "letter", "long", "nothing", "unknown", "too much"],
)
def test_what_is_no_search(small, name, filters):
    with pytest.raises(EntryInvalid):
        searches.keep(small.engine, name, filters)


@pytest.mark.parametrize("content", ["", "[", "7", '"x"'])
def test_a_row_that_holds_no_search(small, content):
    searches.keep(small.engine, "x", {"kind": "y"})
    with small.engine.begin() as connection:
        connection.execute(text("UPDATE searches SET filters = :content"), {"content": content})
    with pytest.raises(LogCorrupt, match="keep it again"):
        searches.find(small.engine, "x")


def test_words_and_filters_together(log):
    for number in range(6):
        kind = "prompt.received" if number % 2 else "prompt.other"
        log.append(some(1, kind=kind, payload=b"red balloon over the beach", searchable=True))
    log.append(some(1, kind="prompt.received", payload=b"a blue boat", searchable=True))
    found = lambda **filters: [entry.seq for entry in log.search(**filters)]  # noqa: E731
    assert found(text='"red balloon"', kind="prompt.received") == [1, 3, 5]
    assert found(text="beach red", after=2, limit=2) == [3, 4]
    assert found(text='"balloon red"') == [] == found(text="boat", kind="prompt.other")
    assert [entry.seq for entry in log.search_text("boat")] == [6]
    with pytest.raises(EntryInvalid, match="words"):
        log.search(text='"" -- *')
