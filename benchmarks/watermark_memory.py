"""Memory of marking and reading a long 1080p film, through the same streams that protect and verify use.

    python -m benchmarks.watermark_memory [--minutes 5 15] [--fps F] [--json]

A film of ten seconds is drawn and coded once; its packets are repeated until the film is long enough.
Memory is the resident size of this process and its decoder child together, sampled every 50 frames;
what is compared are the peaks of the films, leaving out the first fifth of each, in which buffers fill.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from benchmarks.rows import print_report, print_rows, row
from guarded_sora.media import FrameStream
from guarded_sora.media.plane_encoder import encode_planes
from guarded_sora.media.planes import PlaneBatch, PlaneStream
from guarded_sora.plane_marking import MarkedPlanes
from guarded_sora.provenance.payload import MarkPayload
from guarded_sora.provenance.watermark import KeyedTileMark, MarkKey
from guarded_sora.worker import Worker

KEY = MarkKey(secret=bytes(range(32)), epoch=3, tenant="bench")
PAYLOAD = MarkPayload(id=0x123456789A, epoch=3)
SIZE = (1920, 1080)
BASE_FRAMES = 40
EVERY = 50


class Memory:
    """Resident megabytes of this process and all below it, sampled as a film goes by."""

    def __init__(self) -> None:
        self.samples: list[float] = []

    def sample(self) -> None:
        """Take one sample."""
        self.samples.append(sum(_resident(process) for process in family()))

    @property
    def most(self) -> float:
        """The most of all."""
        return max(self.samples)

    @property
    def peak(self) -> float:
        """The most after the first fifth."""
        return max(self.samples[len(self.samples) // 5 :])


def family() -> list[str]:
    """This process, as ``self``, and the numbers of all below it."""
    found, waiting = [], ["self"]
    while waiting:
        process = waiting.pop()
        found.append(process)
        for task in Path("/proc", process, "task").glob("*/children"):
            waiting += task.read_text().split()
    return found


def _resident(process: str) -> float:
    try:
        lines = Path("/proc", process, "status").read_text().splitlines()
    except FileNotFoundError:
        return 0.0
    return sum(float(line.split()[1]) / 1024.0 for line in lines if line.startswith("VmRSS"))


def draw(path: Path, fps: int) -> None:
    """A slow pan over soft noise with grain, 1080p."""
    rng = np.random.default_rng(5)
    scene = cv2.resize(
        rng.integers(40, 215, (70, 140, 3), dtype=np.uint8), (2200, 1100), interpolation=cv2.INTER_CUBIC
    )
    grain = rng.integers(0, 7, (1080, 1920, 1), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast", "crf": "24"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for index in range(BASE_FRAMES):
            picture = cv2.add(
                scene[:1080, 4 * index : 4 * index + 1920], np.repeat(np.roll(grain, 7 * index, 1), 3, 2)
            )
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def repeat(base: Path, path: Path, times: int, fps: int, frames: int = BASE_FRAMES) -> None:
    """The packets of ``base``, a film of ``frames``, over and over, without coding them again."""
    with av.open(str(base)) as source, av.open(str(path), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        packets = [packet for packet in source.demux(stream) if packet.dts is not None]
        clock = packets[0].time_base
        length = round(Fraction(frames, fps) / clock)
        moments = [(packet.pts, packet.dts) for packet in packets]
        for turn in range(times):
            for packet, (pts, dts) in zip(packets, moments, strict=True):
                packet.pts, packet.dts, packet.stream = pts + turn * length, dts + turn * length, copy
                packet.time_base = clock
                target.mux(packet)


def write_and_read(source: Path, marked: Path, worker: Worker) -> tuple[Memory, Memory, int, bool]:
    """Memory while marking and while reading, frames, and whether the mark was read."""
    writing, reading, frames = Memory(), Memory(), 0
    stream = PlaneStream(source, worker)

    def watched() -> Iterator[PlaneBatch]:
        nonlocal frames
        due = 0
        for batch in MarkedPlanes(stream=stream, writer=lambda: KeyedTileMark(KEY).writer(PAYLOAD)):
            frames += len(batch)
            if frames >= due:
                writing.sample()
                due = frames + EVERY
            yield batch

    encode_planes(watched(), stream.format, marked, worker=worker)

    def seen() -> Iterator[object]:
        count = due = 0
        for batch in FrameStream(marked, worker):
            count += len(batch)
            if count >= due:
                reading.sample()
                due = count + EVERY
            yield batch

    evidence = KeyedTileMark(KEY).detect(seen())  # type: ignore[arg-type]
    return writing, reading, frames, evidence.payload == PAYLOAD


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, nargs="+", default=[5.0, 15.0])
    parser.add_argument("--fps", type=int, default=4)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    rows, first = [], {}
    with tempfile.TemporaryDirectory() as folder, Worker() as worker:
        base, film, marked = (Path(folder, name) for name in ("base.mp4", "film.mp4", "marked.mp4"))
        draw(base, options.fps)
        for minutes in options.minutes:
            repeat(base, film, max(round(minutes * 60 * options.fps / BASE_FRAMES), 1), options.fps)
            writing, reading, frames, found = write_and_read(film, marked, worker)
            for name, memory in (("marking", writing), ("reading", reading)):
                shortest = first.setdefault(name, memory.peak)
                rows.append(
                    row(
                        f"{name} {minutes:g} minutes of 1080p, peak",
                        memory.peak,
                        shortest,
                        f"{options.minutes[0]:g} minutes",
                        "lower",
                        "MB",
                        digits=1,
                        frames=frames,
                        found=found,
                    )
                )
    if options.json:
        print_report("watermark_memory", {"fps": options.fps, "size": list(SIZE)}, rows)
    else:
        print_rows(rows)


if __name__ == "__main__":
    main()
