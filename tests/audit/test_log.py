import threading
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from guarded_sora.audit import AuditLog, Event, tree, uuid7
from guarded_sora.audit.errors import (
    AuditError,
    EntryInvalid,
    LogCorrupt,
    NotFound,
    ProofInvalid,
    SchemaMismatch,
)
from guarded_sora.audit.verifier import SignedTree, check_consistency, check_proof
from tests.audit.conftest import PAYLOAD_KEY, SIGNING_KEY, open_log, some, sqlite_engine


def test_events_come_back_in_order(log):
    first = log.append(some(3))
    second = log.append(
        [Event(kind="policy.decision", actor="b", subject="t", body={"deep": [1, {"x": None}]})]
    )
    assert [item.seq for item in (*first, *second)] == [0, 1, 2, 3]
    assert log.size == 4
    entry = log.read(3)
    assert (entry.kind, entry.actor, entry.subject) == ("policy.decision", "b", "t")
    assert entry.body == {"deep": [1, {"x": None}]}
    assert tree.leaf_hash(entry.canonical) == second[0].leaf
    assert log.read_id(second[0].id) == entry
    assert [item.seq for item in log.tail(2)] == [2, 3]
    assert log.append([]) == ()


@pytest.mark.parametrize("seq", [-1, 0, 10**30])
def test_missing_events(log, seq):
    with pytest.raises(NotFound):
        log.read(seq)
    with pytest.raises(NotFound):
        log.prove(seq)


@pytest.mark.parametrize("identity", ["", "zz", "01890000-0000-7000-8000-000000000000"])
def test_missing_ids(small, identity):
    with pytest.raises(NotFound):
        small.read_id(identity)


def test_odd_batches_give_the_tree_of_the_definition(log):
    leaves = []
    for count in (1, 2, 3, 250, 1, 255, 256, 257, 600, 7):
        leaves += [item.leaf for item in log.append(some(count))]
    frontier = tree.Frontier()
    for leaf in leaves:
        frontier.push(leaf)
    assert log.checkpoint().root == frontier.root()
    report = log.verify()
    assert report.ok and report.size == len(leaves) and report.root == frontier.root()


def test_every_event_is_provable_offline(log):
    log.append(some(700))
    for seq in (0, 1, 255, 256, 511, 512, 698, 699):
        proof = log.prove(seq)
        checked = check_proof(proof.text(), proof.entry, log.vkey)
        assert (checked.index, checked.size, checked.origin) == (seq, 700, log.origin)


def test_a_proof_stays_good_and_uses_a_later_checkpoint(log):
    log.append(some(10))
    early = log.prove(3)
    log.append(some(300))
    later = log.checkpoint()
    assert check_proof(early.text(), early.entry, log.vkey).size == 10
    proof = log.prove(3)
    assert check_proof(proof.text(), proof.entry, log.vkey).size == later.size == 310


def test_checkpoints_are_consistent(log):
    made = [log.checkpoint()]
    for count in (1, 3, 252, 1, 700):
        log.append(some(count))
        made.append(log.checkpoint())
    for old in made:
        for new in made[made.index(old) :]:
            path = log.prove_consistency(old.size, new.size).path
            trees = [SignedTree(item.origin, item.size, item.root) for item in (old, new)]
            check_consistency(trees[0], trees[1], path)
    with pytest.raises(ProofInvalid):
        log.prove_consistency(5, 10_000)
    with pytest.raises(ProofInvalid):
        log.prove_consistency(7, 3)


def test_checkpoints_are_signed_on_a_timer_and_at_the_end(engine):
    with open_log(engine, checkpoint_seconds=3600) as log:
        log.append(some(1))
        log.append(some(5))
        assert log.checkpoint(force=False).size == 1
    assert open_log(engine).checkpoint(force=False).size == 6


def test_the_same_id_is_written_once(log):
    events = some(3)
    first = log.append(events)
    assert log.append(events) == first
    assert log.append([events[1], *some(1), events[1]])[0] == first[1]
    assert log.size == 4
    twice = some(1)[0]
    assert [item.seq for item in log.append([twice, twice])] == [4, 4]
    assert log.verify().ok


def test_an_id_of_another_event_is_refused_and_nothing_is_written(log):
    (first,) = log.append(some(1))
    for clash in (
        [Event(kind="other", actor="a", subject="b", id=first.id)],
        [*some(2), Event(kind="test.made", actor="tester", subject="thing", body={"number": 5}, id=first.id)],
    ):
        with pytest.raises(EntryInvalid, match="another event"):
            log.append(clash)
    new = uuid7()
    with pytest.raises(EntryInvalid, match="another event"):
        log.append([Event(kind=kind, actor="a", subject="b", id=new) for kind in ("one", "two")])
    assert log.size == 1 and log.verify().ok


def test_a_retry_with_payload_is_the_same_event(log):
    event = Event(kind="test.made", actor="a", subject="s", payload=b"words")
    first = log.append([event])
    assert log.append([event]) == first == log.append([event, event])[:1]
    assert log.payload(0) == b"words" and log.size == 1


def test_an_invalid_event_writes_none_of_its_call(log):
    with pytest.raises(EntryInvalid):
        log.append([*some(2), Event(kind="bad", actor="a", subject="b", body={"x": 1.5})])
    assert log.size == 0


def test_the_clock_may_go_backwards(engine):
    now = {"ms": 5_000}
    log = open_log(engine, clock=lambda: now["ms"])
    log.append(some(1))
    now["ms"] = 1_000
    log.append(some(1))
    now["ms"] = 6_000
    log.append(some(1))
    assert [entry.ts for entry in log.tail(3)] == [5_000, 5_000, 6_000]
    assert log.verify().ok


def test_filters(engine):
    now = {"ms": 1_000}
    log = open_log(engine, clock=lambda: now["ms"])
    for number in range(20):
        now["ms"] = 1_000 + number * 100
        kind = "policy.decision" if number % 2 else "policyx.other"
        log.append([Event(kind=kind, actor=f"a{number % 3}", subject=f"s{number % 5}")])
    seqs = lambda **filters: [entry.seq for entry in log.search(**filters)]  # noqa: E731
    assert seqs(kind="policy.decision") == list(range(1, 20, 2))
    assert seqs(kind="policy.*") == list(range(1, 20, 2))
    assert seqs(kind="policyx.*", actor="a0") == [0, 6, 12, 18]
    assert seqs(subject="s1") == [1, 6, 11, 16]
    assert seqs(since=1_500, until=1_800) == [5, 6, 7]
    assert seqs(since=datetime.fromtimestamp(2.75, UTC)) == [18, 19]
    assert seqs(after=16) == [17, 18, 19]
    assert seqs(limit=2) == [0, 1] and seqs(after=1, limit=2) == [2, 3]
    assert seqs(since=10**15) == [] and seqs(until=0) == []
    assert log.count("policy.decision", "a1", 1_000) == 4
    assert log.count(actor="a1", since=2_000) == 4
    assert log.count() == 20
    assert log.count("policy.decision", since=datetime.now(UTC) - timedelta(days=1)) == 0


@pytest.mark.parametrize("limit", [0, -1, 10**9])
def test_page_sizes_are_bounded(small, limit):
    with pytest.raises(EntryInvalid):
        small.search(limit=limit)
    with pytest.raises(EntryInvalid):
        small.tail(limit)


def test_times_without_zone_are_refused(small):
    with pytest.raises(EntryInvalid, match="time zone"):
        small.search(since=datetime(2026, 1, 1))


def test_filters_are_data_not_sql(log):
    log.append(some(1))
    for nasty in ("' OR 1=1 --", "%", "test_made", "*", "a'; DROP TABLE events; --"):
        assert log.search(kind=nasty) == [] == log.search(actor=nasty)
    assert log.size == 1


def test_many_threads(log):
    done: list[int] = []
    failures: list[BaseException] = []

    def work(name: int) -> None:
        try:
            for _ in range(20):
                done.extend(item.seq for item in log.append(some(2, actor=f"thread-{name}")))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert sorted(done) == list(range(480)) and log.size == 480
    assert log.verify().ok


def test_one_callers_clash_does_not_harm_the_others(log):
    (old,) = log.append(some(1))
    results: dict[int, object] = {}

    def work(name: int) -> None:
        bad = Event(kind="other", actor="a", subject="b", id=old.id)
        try:
            results[name] = log.append([bad] if name % 4 == 0 else some(1))
        except EntryInvalid as error:
            results[name] = error

    threads = [threading.Thread(target=work, args=(name,)) for name in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(result, EntryInvalid) for result in results.values()) == 4
    assert log.size == 13 and log.verify().ok


def test_a_transaction_is_all_or_nothing(log):
    with pytest.raises(RuntimeError), log.transaction() as tx:
        tx.append(some(2))
        raise RuntimeError
    assert log.size == 0
    with log.transaction() as tx:
        tx.append(some(2))
        with pytest.raises(AuditError, match="open in this thread"):
            log.append(some(1))
        with pytest.raises(AuditError, match="open in this thread"):
            log.checkpoint()
    assert log.size == 2
    log.append(some(1))
    assert log.size == 3 and log.verify().ok


def test_two_processes_worth_of_logs_share_a_database(engine):
    logs = [open_log(engine) for _ in range(3)]
    threads = [
        threading.Thread(target=lambda log=log: [log.append(some(7)) for _ in range(10)]) for log in logs
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert logs[0].size == 210 and logs[0].verify().ok


def test_a_database_without_log_is_named(empty):
    with pytest.raises(SchemaMismatch, match="migrate"):
        open_log(empty)


def test_another_key_does_not_continue_the_log(log):
    log.append(some(1))
    with pytest.raises(LogCorrupt, match="key"):
        open_log(log.engine, signing_key=Ed25519PrivateKey.generate())
    with pytest.raises(LogCorrupt, match="key"):
        open_log(log.engine, origin="example.org/other")
    assert open_log(log.engine).size == 1


def test_a_payload_key_of_the_wrong_length(tmp_path):
    engine = sqlite_engine(tmp_path / "a.db")
    with pytest.raises(EntryInvalid, match="32 bytes"):
        AuditLog(engine, signing_key=SIGNING_KEY, origin="o", payload_key=PAYLOAD_KEY[:16])
