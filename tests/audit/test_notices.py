import json

import pytest

from guarded_sora.audit import CaseBook
from guarded_sora.audit.errors import Conflict, EntryInvalid, ErasureRefused
from guarded_sora.audit.notices import HOUR_MS, Clock, NoticeDesk, clocks, shortest, statement_of_reasons
from tests.audit.conftest import open_log

NOW = 1_800_000_000_000


@pytest.fixture
def log(engine):
    return open_log(engine, clock=lambda: NOW)


@pytest.fixture
def desk(log):
    return NoticeDesk(log)


@pytest.mark.parametrize(
    ("claim", "by", "jurisdiction", "hours"),
    [
        ("intimate", "person", "US", 48),
        ("intimate", "person", "IN", 2),
        ("likeness", "authority", "IN", 3),
        ("copyright", "authority", "IN", 3),
        ("likeness", "person", "IN", 36),
        ("copyright", "anybody", "IN", 168),
        ("likeness", "person", "DE", 168),
        ("other", "anybody", "*", 168),
        ("child_safety", "anybody", "DE", 1),
    ],
)
def test_the_shortest_clock_that_runs(claim, by, jurisdiction, hours):
    assert shortest(claim, by, jurisdiction).hours == hours


def test_every_clock_names_its_source():
    assert len({clock.id for clock in clocks()}) == len(clocks()) >= 6
    assert all(len(clock.source) > 20 and clock.hours > 0 for clock in clocks())
    with pytest.raises(EntryInvalid, match="No clock"):
        shortest(
            "other",
            "person",
            "FR",
            [Clock(id="x", jurisdiction="US", claims=("*",), by=("*",), hours=1, source="x")],
        )


def test_a_notice_is_a_case_with_a_clock_and_an_erasable_complainant(desk, log):
    notice = desk.receive(
        "likeness",
        "gs1:0badcafe:0000000001",
        by="person",
        jurisdiction="IN",
        statement="that is me \ud800",
        contact="me@example.org",
        link="https://example.org/x",
        now=NOW,
    )
    book = CaseBook(log)
    case = book.show(notice.case_id)
    assert (case.kind, case.subject, case.due_ts) == (
        "notice.likeness",
        "gs1:0badcafe:0000000001",
        NOW + 36 * HOUR_MS,
    )
    assert json.loads(book.payload(notice.case_id))["contact"] == "me@example.org"
    assert b"example.org/x" not in log.read(case.opened_seq).canonical
    with pytest.raises(Conflict):
        desk.answer(notice.case_id, actor="anna", text="done")
    book.decide(notice.case_id, "remove", reviewer="anna", reason_code="likeness")
    place = desk.answer(notice.case_id, actor="anna", text="It was taken down.")
    assert log.payload(place) == b"It was taken down."
    log.erase(notice.complainant, actor="officer", reason="request")
    assert log.payload(place) is None and book.payload(notice.case_id) is None
    assert log.verify().ok


def test_overdue_notices(desk, log):
    first = desk.receive("copyright", "clip-1", now=NOW)
    second = desk.receive("intimate", "clip-2", by="person", jurisdiction="US", now=NOW)
    assert desk.overdue(NOW) == []
    assert [case.case_id for case in desk.overdue(NOW + 48 * HOUR_MS)] == [second.case_id]
    assert [case.case_id for case in desk.overdue(NOW + 200 * HOUR_MS)] == [second.case_id, first.case_id]
    CaseBook(log).decide(second.case_id, "remove", reviewer="anna", reason_code="intimate")
    assert [case.case_id for case in desk.overdue(NOW + 200 * HOUR_MS)] == [first.case_id]


def test_a_child_safety_notice_is_kept_and_needs_two_people(desk, log):
    notice = desk.receive("child_safety", "clip-1", statement="x", now=NOW)
    with pytest.raises(ErasureRefused):
        log.erase(notice.complainant, actor="officer", reason="request")
    assert CaseBook(log).decide(notice.case_id, "remove", reviewer="a", reason_code="x").state == "second"


@pytest.mark.parametrize(("claim", "by"), [("nonsense", "person"), ("likeness", "nobody"), ("", "")])
def test_unknown_claims_and_complainants(desk, claim, by):
    with pytest.raises(EntryInvalid, match="claims one of"):
        desk.receive(claim, "clip", by=by, now=NOW)


def test_a_statement_of_reasons(desk, log):
    book = CaseBook(log)
    notice = desk.receive("likeness", "clip-1", now=NOW)
    words = {
        "visibility": ["DECISION_VISIBILITY_CONTENT_REMOVED"],
        "category": "STATEMENT_CATEGORY_DATA_PROTECTION_AND_PRIVACY_VIOLATIONS",
        "ground": "House rule 3",
        "explanation": "The clip shows a person without consent.",
        "facts": "A notice was received and found right.",
        "territories": ["DE"],
        "automated_detection": False,
    }
    with pytest.raises(Conflict):
        statement_of_reasons(book.show(notice.case_id), **words)
    case = book.decide(notice.case_id, "remove", reviewer="anna", reason_code="likeness")
    made = statement_of_reasons(case, **words)
    assert made["source_type"] == "SOURCE_ARTICLE_16" and made["application_date"] == "2027-01-15"
    assert made["automated_detection"] == "No" and len(made["puid"]) <= 500 and "anna" not in json.dumps(made)
    for name, value in (
        ("ground", "x" * 501),
        ("facts", ""),
        ("explanation", "x" * 2001),
        ("visibility", []),
    ):
        with pytest.raises(EntryInvalid):
            statement_of_reasons(case, **{**words, name: value})
