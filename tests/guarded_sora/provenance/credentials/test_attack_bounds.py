"""The table of attacks in the killable worker, with the bounds it has in service."""

from __future__ import annotations

from pathlib import Path

from guarded_sora.provenance.credentials.trust import Trust
from guarded_sora.worker import Worker
from tests.guarded_sora.provenance.credentials.test_attacks import ATTACKS

READ = "guarded_sora.provenance.credentials.read:read"


def test_every_attack_stays_within_the_workers_bounds(signed: Path, tmp_path: Path, trust: Trust) -> None:
    """One process for the whole table, with 1 GiB of address space: a process that was killed would raise."""
    path = tmp_path / "a.mp4"
    with Worker(memory_bytes=1 << 30, processes=1) as worker:
        for change, state, _ in ATTACKS.values():
            path.write_bytes(change(signed.read_bytes()))
            assert worker.call(READ, path, trust, deadline=120.0).state is state
