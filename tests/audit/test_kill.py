"""kill -9 at random instants: what was acknowledged is there, once, in a tree that holds."""

import random
import signal
import subprocess
import sys
import time

import pytest

from guarded_sora.audit import migrate
from guarded_sora.audit.verifier import check_proof
from tests.audit.conftest import open_log

WRITERS = 8


def one_kill(engine, patience, dice):
    """Two processes with four writers each; both die at a random instant. Returns what they were told."""
    url = engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-m", "tests.audit.kill_worker", url, str(WRITERS // 2)]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    try:
        first = [worker.stdout.readline() for worker in workers]
        time.sleep(dice.random() * patience)
    finally:
        for worker in workers:
            worker.send_signal(signal.SIGKILL)
    said = b"".join([*first, *(worker.communicate()[0] for worker in workers)])
    assert all(worker.returncode == -signal.SIGKILL for worker in workers)
    lines = [line.split() for line in said.decode().splitlines()]
    return {identity: int(seq) for seq, identity in (line for line in lines if len(line) == 2)}


def kills(engine, count):
    migrate.upgrade(engine)
    dice = random.Random(7)
    acknowledged = {}
    for _ in range(count):
        acknowledged |= one_kill(engine, 0.3, dice)
        engine.dispose()
        log = open_log(engine)
        report = log.verify()
        assert report.ok, report.problems[:3]
        assert log.append([]) == () and log.append(log_event()).__len__() == 1, "no repair is needed"
    places = {}
    after = None
    while page := log.search(after=after, limit=5000):
        for entry in page:
            assert entry.id not in places, "written twice"
            places[entry.id] = entry.seq
        after = page[-1].seq
    assert len(acknowledged) > count
    assert {identity: places.get(identity) for identity in acknowledged} == acknowledged
    proof = log.prove(next(iter(acknowledged.values())))
    assert check_proof(proof.text(), proof.entry, log.vkey).size == log.size


def log_event():
    from tests.audit.conftest import some

    return some(1)


@pytest.mark.slow
def test_three_kills(empty):
    kills(empty, 3)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_hundred_kills(empty):
    kills(empty, 100)
