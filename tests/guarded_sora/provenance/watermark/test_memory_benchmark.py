"""What the memory benchmark measures with: long films made from short ones, and sums over processes."""

import mmap
from pathlib import Path

import av
import numpy as np

from benchmarks import watermark_memory
from benchmarks.watermark_memory import Memory, repeat
from tests.guarded_sora.provenance.watermark.films import flat


def _base(path: Path, fps: int) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for picture in flat(watermark_memory.BASE_FRAMES, (64, 64)):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def test_packets_are_repeated_without_gaps(tmp_path: Path) -> None:
    repeat(_base(tmp_path / "base.mp4", 4), tmp_path / "long.mp4", 3, 4)
    with av.open(str(tmp_path / "long.mp4")) as container:
        times = [float(frame.time or 0.0) for frame in container.decode(video=0)]
    assert len(times) == 3 * watermark_memory.BASE_FRAMES
    assert np.allclose(np.diff(times), 0.25)


def test_memory_is_seen_to_grow() -> None:
    memory = Memory()
    memory.sample()
    # Mapped, not allocated: in a process that has run long, the allocator may have so much at hand.
    with mmap.mmap(-1, 60 * 2**20) as block:
        for _ in range(60):
            block.write(b"\1" * 2**20)
        memory.sample()
    assert memory.samples[1] - memory.samples[0] > 50
    assert memory.peak == max(memory.samples)


def test_the_first_fifth_does_not_count() -> None:
    memory = Memory()
    memory.samples = [900.0, 10.0, 20.0, 30.0, 25.0]
    assert memory.peak == 30.0
