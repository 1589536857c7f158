"""Processor time and memory of verifying a film that is not ours, at each depth that reads pixels.

    python -m benchmarks.verification [--film FILE] [--seconds 10 20 60] [--runs N] [--json]

Without ``--film`` ten seconds of 1920 x 1080 at 24 frames a second are drawn (a camera move over a sample
photograph with film grain) and coded as H.264; longer films repeat the packets. A film is verified by a
running installation, as a service does: one film goes before, so that what is loaded once is loaded, and
the BLAS of numpy has one thread, as the command line gives it.
Processor time is that of this process and its decoder together, the least of ``--runs``; beside it the
bare decoding of every frame of the same film, by FFmpeg on one thread, in the same run. Memory is the
most that both were resident with. The last rows start the command line anew for one film.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from benchmarks.rows import Row, print_report, print_rows, row
from benchmarks.watermark_clips import camera_move
from benchmarks.watermark_memory import Memory, family, repeat
from guarded_sora.services import Services, open_services
from guarded_sora.settings import Settings
from guarded_sora.verification import verify

PHOTO = "motorcycle_left.png"
LINES, FPS, SECONDS = 1080, 24, 10
CODING = {"preset": "veryfast", "crf": "20"}
BARE = "bare decoding of every frame"
DEPTHS = ("provenance", "full")
CASES: dict[str, dict[str, Any]] = {
    "provenance": {"depth": "provenance"},
    "provenance of every second": {"depth": "provenance", "every_second": True},
    "full": {"depth": "full"},
}
TARGETS = {"provenance": 1.0, "full": 3.5}
_TICK = float(os.sysconf("SC_CLK_TCK"))


def draw(path: Path, *, lines: int = LINES, seconds: float = SECONDS, grain: float = 2.4) -> Path:
    """A film that nobody has signed or marked."""
    import skimage

    photo = Path(skimage.__file__).parent / "data" / PHOTO
    rng = np.random.default_rng(1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options=CODING)
        stream.codec_context.thread_count = 1
        stream.height, stream.width, stream.pix_fmt = lines, round(lines * 16 / 9) // 2 * 2, "yuv420p"
        for frame in camera_move(photo, 3, round(seconds * FPS), lines):
            # A quarter of the picture is drawn and laid out in new places: new noise is dear.
            noise = rng.normal(0.0, grain, (frame.shape[0] // 2, frame.shape[1] // 2, 1)).astype(np.float32)
            noise = np.roll(np.tile(noise, (2, 2, 1)), tuple(rng.integers(0, 500, 2)), (0, 1))
            grained = np.clip(frame + noise, 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grained, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def cpu_of_family() -> float:
    """Processor seconds so far of this process and all below it, living and ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = resource.getrusage(resource.RUSAGE_SELF)
    spent = ended.ru_utime + ended.ru_stime + own.ru_utime + own.ru_stime
    for process in family()[1:]:
        try:
            fields = Path("/proc", process, "stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:
            continue
        spent += (int(fields[11]) + int(fields[12])) / _TICK
    return spent


def spent(work: Callable[[], object]) -> float:
    """Processor seconds of one call, here and in child processes."""
    before = cpu_of_family()
    work()
    return cpu_of_family() - before


def bare(path: Path) -> int:
    """Decode every frame and look at none."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_type, stream.codec_context.thread_count = "NONE", 1
        return sum(1 for _ in container.decode(stream))


@contextmanager
def watched(memory: Memory, every: float = 0.1) -> Iterator[None]:
    """Sample ``memory`` from a thread while the block runs."""
    over = threading.Event()

    def sample() -> None:
        while not over.wait(every):
            memory.sample()

    memory.sample()
    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def running(services: Services, film: Path, seconds: float, case: str, runs: int) -> Iterator[Row]:
    """Rows of one way of verifying one film in a running installation."""
    memory, floors, times = Memory(), [], []
    for _ in range(runs):
        floors.append(spent(lambda: bare(film)))
        with watched(memory):
            times.append(spent(lambda: verify(services, film, **CASES[case])))
    least, floor = min(times), min(floors)
    name = f"{case}, {seconds:g} s"
    yield row(name, least, floor, BARE, "lower", "CPU s", digits=2)
    yield row(
        f"{name}, for a second of film",
        1000 * least / seconds,
        1000 * floor / seconds,
        BARE,
        "lower",
        "CPU ms",
        digits=0,
    )
    yield Row(metric=f"{name}, memory", ours=round(memory.most, 0), better="lower", unit="MB resident")


def started(home: Path, film: Path, depth: str) -> float:
    """Processor seconds of the whole command, its own start and its decoder's included."""
    command = [sys.executable, "-m", "guarded_sora", "verify", str(film), "--depth", depth, "--json"]
    environment = {**os.environ, "GUARDED_SORA_HOME": str(home)}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=False, capture_output=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(folder: Path, film: Path, lengths: Sequence[float], runs: int) -> list[Row]:
    """All rows: ``lengths`` in seconds, in multiples of the film's own ten."""
    rows: list[Row] = []
    first = draw(folder / "first.mp4", lines=144, seconds=2.0)
    films = {}
    for seconds in lengths:
        films[seconds] = folder / f"{seconds:g}.mp4"
        repeat(film, films[seconds], round(seconds / SECONDS), FPS, round(SECONDS * FPS))
    with open_services(Settings(home=folder / "home")) as services:
        for options in CASES.values():
            verify(services, first, **options)
        for case in CASES:  # the lighter ones first: a process keeps some of what it once needed
            for seconds, path in films.items():
                rows += running(services, path, seconds, case, runs if seconds == lengths[0] else 1)
    for depth in DEPTHS:
        metric = f"{depth}, {SECONDS} s, the command started anew"
        anew = round(started(folder / "home", film, depth), 2)
        rows.append(Row(metric=metric, ours=anew, better="lower", unit="CPU s"))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--film", type=Path, help="ten seconds at 24 frames a second")
    parser.add_argument("--seconds", type=float, nargs="+", default=[10.0, 20.0, 60.0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if "OPENBLAS_NUM_THREADS" not in os.environ:  # too late for this process: numpy is loaded
        again = [sys.executable, "-m", "benchmarks.verification", *sys.argv[1:]]
        os.execve(sys.executable, again, {**os.environ, "OPENBLAS_NUM_THREADS": "1"})
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        film = options.film or draw(folder / "film.mp4")
        rows = measure(folder, film, options.seconds, options.runs)
        environment = {
            "python": platform.python_version(),
            "machine": platform.machine(),
            "load": round(os.getloadavg()[0], 1),
            "size": f"{LINES} lines, {FPS} frames a second",
            "mbit_per_second": round(film.stat().st_size * 8e-6 / SECONDS, 1),
            "targets": TARGETS,
        }
    if options.json:
        print_report("verification", environment, rows)
    else:
        print(environment)
        print_rows(rows)


if __name__ == "__main__":
    main()
