"""How long the dossier of a case takes in a large log, and how long its check.

    python -m benchmarks.dossier [--json] [--events 1000000] [--runs 3]

A whole installation on SQLite: one film, one notice against it with its decision, stay-down, statement
of reasons and answer, a tenth of the other events before it and the rest behind. No other project makes
such an archive, so the row stands beside a bar: 10 s for a case at a million events.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.rows import Row, print_report, print_rows, row
from guarded_sora import GuardedSora
from guarded_sora.audit.entry import Event
from guarded_sora.audit.verifier import check_dossier
from guarded_sora.decisions import decide_case
from guarded_sora.dossier import make_dossier
from guarded_sora.notices import Complaint, answer_notice, receive_notice
from guarded_sora.reasons import reasons_for
from guarded_sora.settings import Deadlines

BAR_SECONDS = 10.0
BATCH = 1000


def paint(request: Any) -> NDArray[np.uint8]:
    """A film that moves and has texture, uint8 (T, 128, 128, 3)."""
    random = np.random.default_rng(request.seed)
    ground = random.integers(40, 215, (16, 16, 3)).repeat(8, axis=0).repeat(8, axis=1)
    frames = [np.roll(ground, shift, axis=1) for shift in range(9)]
    return np.stack(frames).astype(np.uint8)


def fill(sora: GuardedSora, count: int, start: int) -> None:
    """``count`` small events of many actors and subjects."""
    for first in range(0, count, BATCH):
        events = [
            Event(
                kind="clip.verified",
                actor=f"actor-{number % 5000}",
                subject=f"clip-{number}",
                body={"number": number, "verdict": "no_evidence"},
            )
            for number in range(start + first, start + min(first + BATCH, count))
        ]
        sora.services.log.append(events)


def measure(function: Callable[[int], object], runs: int) -> tuple[float, float]:
    """Median seconds of wall and of CPU."""
    wall, cpu = [], []
    for run in range(runs):
        before, busy = time.perf_counter(), time.process_time()
        function(run)
        wall.append(time.perf_counter() - before)
        cpu.append(time.process_time() - busy)
    return statistics.median(wall), statistics.median(cpu)


def bench(events: int, runs: int) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="dossier-") as folder:
        home = Path(folder) / "home"
        patient = Deadlines(check=600, parse=600, record=600)  # a busy machine must not turn the story
        with GuardedSora.open(home=home, backend=paint, mark_psnr=38.0, deadlines=patient) as sora:
            services = sora.services
            fill(sora, events // 10, 0)
            release = sora.generate("a red balloon over a beach", seconds=1)
            complaint = Complaint(claim="likeness", about=str(release.clip_id), statement="that is me")
            case_id = receive_notice(services, complaint).notice.case_id
            decide_case(services, case_id, "block", reviewer="reviewer-1", reason_code="likeness")
            reasons_for(services, case_id)
            answer_notice(services, case_id, actor="reviewer-1")
            fill(sora, events - events // 10, events // 10)
            vkey = services.log.vkey
        rows: list[Row] = []
        # Opened anew: caches are cold, as they are for whoever asks on the command line.
        with GuardedSora.open(home=home, backend=paint) as sora:
            services, size = sora.services, sora.services.log.size
            target = Path(folder) / "case.zip"

            def make(_: int) -> None:
                make_dossier(services, case_id, target, role="court", viewer="reviewer-1")

            first, busy = measure(make, 1)
            again, _ = measure(make, runs)
            check, _ = measure(lambda _: check_dossier(target, vkey), runs)
            made = make_dossier(
                services, str(release.clip_id), Path(folder) / "clip.zip", viewer="reviewer-1"
            )
            name = f"{size:,} events"
            timed = {"first": first, "CPU": busy, "again": again}
            rows += [
                *(
                    row(
                        f"dossier of a case at {name}, {which}",
                        spent,
                        BAR_SECONDS,
                        "bar",
                        "lower",
                        "s",
                        digits=None,
                    )
                    for which, spent in timed.items()
                ),
                Row(metric="offline check of it", ours=check, better="lower", unit="s"),
                Row(metric="entries in the dossier of the clip", ours=made.entries, unit=""),
                Row(
                    metric="size of the dossier of the case",
                    ours=target.stat().st_size / 1024,
                    better="lower",
                    unit="KiB",
                ),
            ]
        return rows


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    rows = bench(options.events, options.runs)
    environment = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
    }
    if options.json:
        print_report("dossier", environment, rows)
    else:
        print_rows(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
