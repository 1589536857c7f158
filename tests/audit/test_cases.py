import threading

import pytest
from sqlalchemy import text

from guarded_sora.audit import CaseBook, Event
from guarded_sora.audit.errors import AuditError, Conflict, EntryInvalid, NotFound
from tests.audit.conftest import open_log


@pytest.fixture
def now():
    return {"ms": 1_700_000_000_000}


@pytest.fixture
def book(engine, now):
    return CaseBook(open_log(engine, clock=lambda: now["ms"]))


def opened(book, number=0, **options):
    return book.open("review.prompt", f"clip-{number}", {"score_ppm": number}, b"the prompt", **options)


def test_a_case_opens_with_what_the_reviewer_needs(book):
    case = book.show(opened(book, owner="person", due_ts=5))
    assert (case.state, case.kind, case.subject, case.owner, case.due_ts) == (
        "open",
        "review.prompt",
        "clip-0",
        "person",
        5,
    )
    assert case.summary == {"score_ppm": 0} and case.decisions == ()
    assert book.payload(case.case_id) == b"the prompt"
    log = book._log
    assert log.size == 1, "the program's own reading is no look"
    assert book.payload(case.case_id, viewer="anna", reason="review") == b"the prompt"
    assert log.tail(1)[0].kind == "payload.viewed"


def test_a_case_is_decided_once(book):
    case_id = opened(book)
    after = book.decide(
        case_id, "block", reviewer="anna", reason_code="likeness", note="too alike", rules=["r1"]
    )
    assert (after.state, after.action) == ("decided", "block") and after == book.show(case_id)
    (decision,) = after.decisions
    assert (decision.reviewer, decision.reason_code, decision.rules, decision.stage) == (
        "anna",
        "likeness",
        ("r1",),
        "open",
    )
    assert book._log.payload(decision.seq) == b"too alike"
    with pytest.raises(Conflict, match="decided"):
        book.decide(case_id, "allow", reviewer="bert", reason_code="x")
    assert book._log.verify().ok


def test_lists_and_states(book):
    ids = [opened(book, number) for number in range(5)]
    book.decide(ids[1], "allow", reviewer="anna", reason_code="ok")
    assert [case.case_id for case in book.list("waiting")] == [ids[0], *ids[2:]]
    assert [case.case_id for case in book.list("decided")] == [ids[1]]
    assert [case.case_id for case in book.list(subject="clip-3")] == [ids[3]]
    page = book.list(limit=2)
    assert [case.case_id for case in book.list(after=page[-1].opened_seq, limit=2)] == ids[2:4]
    assert book.list(kind="other") == []
    with pytest.raises(EntryInvalid, match="waiting"):
        book.list("nonsense")


@pytest.mark.parametrize("case_id", ["", "nonsense", "' OR 1=1"])
def test_missing_cases(book, case_id):
    for call in (
        lambda: book.show(case_id),
        lambda: book.decide(case_id, "allow", reviewer="a", reason_code="x"),
        lambda: book.payload(case_id),
    ):
        with pytest.raises(NotFound):
            call()


@pytest.mark.parametrize("word", ["", "Two Words", "x" * 65, None, 7])
def test_actions_and_reasons_are_one_word(book, word):
    case_id = opened(book)
    with pytest.raises(EntryInvalid):
        book.decide(case_id, word, reviewer="anna", reason_code="x")
    with pytest.raises(EntryInvalid):
        book.decide(case_id, "allow", reviewer="anna", reason_code=word)
    with pytest.raises(EntryInvalid):
        book.open(word, "clip", {})
    assert book.show(case_id).state == "open" and book._log.size == 1


def test_personal_text_never_stands_in_the_entries(book):
    case_id = opened(book)
    book.decide(case_id, "block", reviewer="anna", reason_code="x", note="the prompt says balloon")
    for entry in book._log.tail(10):
        assert b"prompt says" not in entry.canonical and b"the prompt" not in entry.canonical


def test_opening_twice_with_one_id_is_one_case(book):
    case_id = opened(book)
    assert opened(book, case_id=case_id) == case_id
    assert book._log.size == 1
    with pytest.raises(EntryInvalid, match="another event"):
        book.open("other", "clip", {}, case_id=case_id)


def test_a_claim_gives_every_case_to_one_person(book, now):
    ids = [opened(book, number) for number in range(2)]
    first, second = book.claim("anna", lease_seconds=60), book.claim("bert", lease_seconds=60)
    assert [first.case_id, second.case_id] == ids
    assert book.claim("carl") is None
    with pytest.raises(Conflict, match="holds"):
        book.decide(ids[0], "allow", reviewer="bert", reason_code="x")
    now["ms"] += 60_000
    assert book.claim("carl").case_id == ids[0], "a lease that lapsed frees the case"
    with pytest.raises(Conflict):
        book.give_back(ids[0], reviewer="anna")
    assert book.give_back(ids[0], reviewer="carl").holder is None
    assert book.decide(ids[0], "allow", reviewer="bert", reason_code="x").state == "decided"


def test_many_reviewers_at_once_never_share_a_case(engine):
    log = open_log(engine)
    for number in range(12):
        opened(CaseBook(log), number)
    logs = [log, open_log(engine)]
    got: list[str] = []

    def work(name):
        book = CaseBook(logs[name % 2])
        while (case := book.claim(f"reviewer-{name}")) is not None:
            got.append(case.case_id)
            book.decide(case.case_id, "allow", reviewer=f"reviewer-{name}", reason_code="ok")

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == len(set(got)) == 12 and log.verify().ok


def test_critical_cases_need_two_people_who_agree(book):
    case_id = opened(book, critical=True)
    first = book.decide(case_id, "block", reviewer="anna", reason_code="x")
    assert (first.state, first.action) == ("second", "")
    assert book.claim("anna") is None, "nobody gives the second opinion on their own decision"
    with pytest.raises(Conflict, match="another person"):
        book.decide(case_id, "block", reviewer="anna", reason_code="x")
    after = book.decide(case_id, "block", reviewer="bert", reason_code="x")
    assert (after.state, after.action) == ("decided", "block")


def test_two_who_differ_need_a_third(book):
    case_id = opened(book, critical=True)
    book.decide(case_id, "block", reviewer="anna", reason_code="x")
    assert book.decide(case_id, "allow", reviewer="bert", reason_code="y").state == "disputed"
    after = book.decide(case_id, "allow", reviewer="carl", reason_code="y")
    assert (after.state, after.action, len(after.decisions)) == ("decided", "allow", 3)


def test_an_appeal_that_overturns_takes_back_the_strikes(book):
    case_id = opened(book)
    book.decide(case_id, "block", reviewer="anna", reason_code="x")
    assert book.strike(case_id, "user-7", reviewer="anna", reason_code="x") == 1
    case = book.appeal(case_id, by="user-7", statement="it was a balloon", due_ts=9)
    assert case.state == "appealed" and case.due_ts == 9
    assert book._log.payload(case.appeal_seq) == b"it was a balloon"
    with pytest.raises(Conflict, match="another person"):
        book.decide_appeal(case_id, "uphold", reviewer="anna", reason_code="x")
    after = book.decide_appeal(case_id, "overturn", reviewer="bert", reason_code="y", action="allow")
    assert (after.state, after.action, after.appeal_outcome) == ("closed", "allow", "overturn")
    assert book.strikes("user-7") == 0
    with pytest.raises(Conflict):
        book.appeal(case_id, by="user-7")


def test_an_appeal_that_upholds_keeps_them(book):
    case_id = opened(book)
    with pytest.raises(Conflict):
        book.appeal(case_id, by="user-7")
    book.decide(case_id, "block", reviewer="anna", reason_code="x")
    book.strike(case_id, "user-7", reviewer="anna", reason_code="x")
    book.appeal(case_id, by="user-7")
    for wrong in (("maybe", None), ("overturn", None), ("uphold", "allow")):
        with pytest.raises(EntryInvalid):
            book.decide_appeal(case_id, wrong[0], reviewer="bert", reason_code="y", action=wrong[1])
    after = book.decide_appeal(case_id, "uphold", reviewer="bert", reason_code="y")
    assert (after.state, after.action) == ("closed", "block") and book.strikes("user-7") == 1


def test_the_table_is_only_a_copy_of_the_log(book):
    for number in range(4):
        opened(book, number, critical=number == 3)
    book.claim("anna")
    for case in book.list():
        book.decide(case.case_id, "block", reviewer="anna", reason_code="x")
    cases = book.list()
    book.appeal(cases[0].case_id, by="user")
    cases = book.list()
    with book._log.engine.begin() as connection:
        connection.execute(text("DELETE FROM cases WHERE opened_seq > 0"))
        connection.execute(text("UPDATE cases SET state = 'closed'"))
    assert book.rebuild() == 4
    assert book.list() == cases


def test_a_failed_step_leaves_case_and_log_alike(book):
    case_id = opened(book)
    with pytest.raises(AuditError):
        book.decide(case_id, "block", reviewer="anna", reason_code="x", rules=[1.5])
    assert book.show(case_id).state == "open" and book._log.size == 1


def test_other_events_do_not_disturb_the_cases(book):
    case_id = opened(book)
    book._log.append([Event(kind="case.unknown", actor="a", subject=case_id)])
    assert book.rebuild() == 1 and book.show(case_id).state == "open"


def test_a_reviewer_who_is_not_sure_asks_for_a_second_opinion(book):
    case_id = opened(book)
    assert book.escalate(case_id, reviewer="anna", reason_code="unsure").critical
    with pytest.raises(Conflict):
        book.escalate(case_id, reviewer="anna", reason_code="unsure")
    assert book.decide(case_id, "block", reviewer="anna", reason_code="x").state == "second"
    assert book.decide(case_id, "block", reviewer="bert", reason_code="x").state == "decided"
    cases = book.list()
    assert book.rebuild() == 1 and book.list() == cases


def test_a_case_whose_matter_is_gone_is_dropped(book):
    case_id = opened(book, owner="person")
    opened(book, 1, owner="somebody")
    assert [case.case_id for case in book.list(owner="person")] == [case_id]
    after = book.drop(case_id, actor="operator", reason_code="erased")
    assert (after.state, after.action) == ("closed", "dropped") and book.claim("anna").case_id != case_id
    with pytest.raises(Conflict):
        book.drop(case_id, actor="operator", reason_code="erased")
    cases = book.list()
    assert book.rebuild() == 2 and book.list() == cases


def test_one_case_can_be_taken_by_name(book):
    ids = [opened(book, number) for number in range(3)]
    assert book.claim("anna", case_id=ids[2]).case_id == ids[2]
    assert book.claim("bert", case_id=ids[2]) is None


def test_an_appeal_that_is_won_counts_for_whoever_made_it(book):
    case_id = opened(book, owner="complainant")
    book.decide(case_id, "block", reviewer="anna", reason_code="x")
    book.appeal(case_id, by="user-7")
    book.decide_appeal(case_id, "overturn", reviewer="bert", reason_code="y", action="allow")
    assert book.appeals_won("user-7") == 1 and book.appeals_won("complainant") == 0
