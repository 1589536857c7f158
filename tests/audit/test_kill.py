"""kill -9 at random instants: what was acknowledged is there, once, in a tree that holds."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from guarded_sora.audit import migrate
from guarded_sora.audit.verifier import check_proof
from tests.audit.conftest import open_log, some

WRITERS = 8
PATIENCE = 0.3
"""Seconds within which a worker dies, counted from its first acknowledged event."""


@contextmanager
def fork_server():
    """A process that starts workers; see ``kill_worker``."""
    command = [sys.executable, "-m", "tests.audit.kill_worker"]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(line):
        server.stdin.write(line + "\n")
        server.stdin.flush()
        return [int(word) for word in server.stdout.readline().split()]

    try:
        yield ask
    finally:
        server.stdin.close()
        server.wait(60)


def one_kill(engine, ask, folder, dice):
    """Two processes with four writers each; both die at a random instant. Returns what they were told."""
    url = engine.url.render_as_string(hide_password=False)
    files = [folder / f"told-{dice.getrandbits(64):x}" for _ in range(2)]
    workers = [ask(f"start {url} {file} {WRITERS // 2}")[0] for file in files]
    try:
        deadline = time.monotonic() + 120
        while not all(file.exists() and file.stat().st_size for file in files):
            assert time.monotonic() < deadline, "a worker never got an answer"
            time.sleep(0.005)
        time.sleep(dice.random() * PATIENCE)
    finally:
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
    assert ask("reap") == [signal.SIGKILL, signal.SIGKILL]
    lines = [line.split() for file in files for line in file.read_text().splitlines()]
    assert all(len(line) == 2 for line in lines)
    return {identity: int(seq) for seq, identity in lines}


def kills(engine, count, folder):
    migrate.upgrade(engine)
    dice = random.Random(7)
    acknowledged = {}
    with fork_server() as ask:
        for done in range(count):
            acknowledged |= one_kill(engine, ask, folder, dice)
            engine.dispose()
            log = open_log(engine)
            # Payloads with the last kill only: opening thousands of them a hundred times shows nothing more.
            report = log.verify(with_payloads=done == count - 1)
            assert report.ok, report.problems[:3]
            assert len(log.append(some(1))) == 1, "no repair is needed"
            print(f"kill {done + 1}: {len(acknowledged)} acknowledged of {log.size}", flush=True)
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


@pytest.mark.slow
def test_three_kills(empty, tmp_path):
    kills(empty, 3, tmp_path)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_a_hundred_kills(empty, tmp_path):
    kills(empty, 100, tmp_path)
