"""The benchmark of verification counts the time of children too, and makes its films itself."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.verification import CASES, bare, draw, spent, watched
from benchmarks.watermark_memory import Memory, repeat
from guarded_sora.verification import verify

BUSY = "import time\nwhile time.process_time() < 0.4: pass"


def test_processor_time_of_children_counts_while_they_live_and_after() -> None:
    assert spent(lambda: subprocess.run([sys.executable, "-c", BUSY], check=True)) >= 0.3
    with subprocess.Popen([sys.executable, "-c", f"{BUSY}\ninput()"], stdin=subprocess.PIPE) as living:
        seen, until = 0.0, time.monotonic() + 60.0
        while seen < 0.3 and time.monotonic() < until:
            seen += spent(lambda: time.sleep(0.1))
        living.communicate(b"\n")
    assert seen >= 0.3
    assert spent(lambda: time.sleep(0.2)) < 0.15


def test_the_film_is_made_and_made_longer(tmp_path: Path) -> None:
    film, longer = draw(tmp_path / "film.mp4", lines=96, seconds=0.5), tmp_path / "longer.mp4"
    repeat(film, longer, 3, 24, 12)
    assert (bare(film), bare(longer)) == (12, 36)


def test_memory_of_children_is_watched_while_the_block_runs() -> None:
    memory, code = Memory(), "held = b'x' * (60 << 20)\nprint('held', flush=True)\ninput()"
    with watched(memory, every=0.01):
        child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        with child:
            assert child.stdout is not None and child.stdout.readline() == b"held\n"
            time.sleep(0.3)
            child.communicate(b"\n")
    assert memory.most - memory.samples[0] > 50


def test_every_case_is_a_way_to_verify() -> None:
    known = set(verify.__kwdefaults__ or {})
    assert all(set(options) <= known for options in CASES.values())
