"""Excerpts of a film and parts of its pictures: the very frames and pixels that the whole would give."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from guarded_sora.errors import UsageError
from guarded_sora.media import Box, Excerpts, FrameStream, MediaLimits
from guarded_sora.media.decode import _open
from guarded_sora.media.excerpts import Passage
from guarded_sora.worker import Worker
from tests.guarded_sora.films import FPS, numbered, write_with

TWO_OF_FIVE = Excerpts(seconds=2.0, every=5.0)


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker() as made:
        yield made


def noisy(count: int, size: tuple[int, int] = (64, 96)) -> np.ndarray:
    noise = np.random.default_rng(3).integers(0, 60, (count, *size, 3), np.uint8)
    return np.pad(numbered(count) // 2, ((0, 0), (0, size[0] - 64), (0, size[1] - 96), (0, 0))) + noise


def frames_of(stream: FrameStream) -> tuple[np.ndarray, np.ndarray]:
    batches = list(stream)
    return np.concatenate([b.frames for b in batches]), np.concatenate([b.times for b in batches])


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("one.mp4", "libx264", {"g": "1000", "bf": "3", "sc_threshold": "0"}),
        ("short.mp4", "libx264", {"g": "7", "bf": "3", "b-pyramid": "normal"}),
        ("open.mp4", "libx264", {"g": "12", "bf": "3", "x264-params": "open-gop=1"}),
        ("short.mkv", "libx264", {"g": "9", "bf": "2"}),
        ("hevc.mp4", "libx265", {"x265-params": "keyint=12:open-gop=1:log-level=none"}),
        ("vp9.webm", "libvpx-vp9", {"g": "12", "cpu-used": "8", "auto-alt-ref": "1", "lag-in-frames": "8"}),
        ("plain.avi", "mpeg4", {"g": "6", "bf": "2"}),
        ("intra.mov", "mjpeg", {}),
        ("stream.ts", "libx264", {"g": "11", "bf": "2"}),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value else "",
)
@pytest.mark.parametrize("sample_fps", [None, 4.0], ids=["all", "sampled"])
def test_frames_of_excerpts_are_those_of_the_whole(
    tmp_path: Path, worker: Worker, name: str, codec: str, options: dict[str, str], sample_fps: float | None
) -> None:
    pixel_format = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = write_with(tmp_path / name, codec, pixel_format, noisy(130), **options)
    stream = FrameStream(path, worker, sample_fps=sample_fps, strict=False)
    everything, times = frames_of(stream)
    chosen, chosen_times = frames_of(stream.in_part(TWO_OF_FIVE))
    held = np.array([TWO_OF_FIVE.holds(float(time)) for time in times])
    assert 0 < held.sum() < len(held)
    assert np.allclose(chosen_times, times[held])
    assert np.array_equal(chosen, everything[held])


def decoded(path: Path, excerpts: Excerpts | None) -> int:
    """How many packets reach the decoder."""
    with _open(path, MediaLimits(), strict=False) as (container, stream):
        again = av.open(str(path))
        passage = Passage(excerpts, lambda: again.demux(again.streams.video[0]))
        count = 0
        for packet in passage.needed(container.demux(stream), stream):
            count += packet.size > 0
            for frame in stream.codec_context.decode(packet if packet.size else None):
                passage.start = passage.start or 0.0
                passage.shown = float(frame.pts * stream.time_base)
        again.close()
    return count


def test_packets_between_excerpts_are_not_decoded_and_a_film_of_one_group_is_decoded_through(
    tmp_path: Path,
) -> None:
    short = write_with(
        tmp_path / "short.mp4", "libx264", "yuv420p", noisy(130), g="10", bf="0", sc_threshold="0"
    )
    one = write_with(
        tmp_path / "one.mp4", "libx264", "yuv420p", noisy(130), g="1000", bf="0", sc_threshold="0"
    )
    assert decoded(short, None) == 130
    assert decoded(short, TWO_OF_FIVE) < 80
    # Up to the end of the last excerpt (second 12) everything is needed, and nothing after it.
    assert 120 <= decoded(one, TWO_OF_FIVE) < 130


@pytest.mark.parametrize(
    ("duration", "spans"),
    [
        (0.0, [(0.0, 0.0)]),
        (1.5, [(0.0, 1.5)]),
        (5.0, [(0.0, 2.0)]),
        (11.0, [(0.0, 2.0), (5.0, 7.0), (10.0, 11.0)]),
    ],
)
def test_spans_say_what_is_looked_at(duration: float, spans: list[tuple[float, float]]) -> None:
    assert TWO_OF_FIVE.spans(duration) == spans
    assert all(TWO_OF_FIVE.holds(start) for start, _ in spans)


@pytest.mark.parametrize(("seconds", "every"), [(0.0, 1.0), (2.0, 1.0), (1.0, float("inf")), (-1.0, 1.0)])
def test_excerpts_that_make_no_sense(seconds: float, every: float) -> None:
    with pytest.raises(ValueError, match="make no sense"):
        Excerpts(seconds=seconds, every=every)


@pytest.mark.parametrize("box", [(0, 0, 8, 8), (33, 41, 50, 62), (100, 130, 28, 30), (90, 150, 128, 128)])
@pytest.mark.parametrize(
    ("codec", "pixel_format"),
    [("libx264", "yuv420p"), ("mjpeg", "yuvj420p"), ("libx264", "yuv444p"), ("libx264", "yuv420p10le")],
    ids=["video", "full-range", "full-chroma", "ten-bits"],
)
def test_a_part_has_the_pixels_of_the_whole(
    tmp_path: Path, worker: Worker, codec: str, pixel_format: str, box: tuple[int, int, int, int]
) -> None:
    path = write_with(tmp_path / "f.mov", codec, pixel_format, noisy(6, (128, 160)))
    top, left, height, width = box
    stream = FrameStream(path, worker)
    everything, _ = frames_of(stream)
    smaller, _ = frames_of(stream.sampled(max_short_side=32))
    part = Box(top=top, left=left, height=height, width=width)
    pairs = list(stream.sampled(max_short_side=32).with_part(part))
    assert np.array_equal(np.concatenate([small.frames for small, _ in pairs]), smaller)
    inset = np.concatenate([batch.frames for _, batch in pairs])
    assert np.array_equal(inset, everything[:, top : top + height, left : left + width])


@pytest.mark.parametrize("size", [(64, 96), (720, 1280)], ids=["small", "large"])
def test_an_untagged_part_is_coloured_like_its_picture(
    tmp_path: Path, worker: Worker, size: tuple[int, int]
) -> None:
    """What the matrix is taken for depends on the size of the picture, not on that of the part."""
    path = write_with(tmp_path / "f.mp4", "libx264", "yuv420p", noisy(2, size), preset="ultrafast")
    stream = FrameStream(path, worker)
    everything, _ = frames_of(stream)
    (_, inset), *_ = stream.sampled(max_short_side=16).with_part(Box(top=10, left=20, height=30, width=40))
    assert np.array_equal(inset.frames, everything[: len(inset), 10:40, 20:60])


def turned(source: Path, target: Path) -> Path:
    with av.open(str(source)) as read, av.open(str(target), "w") as write:
        stream: Any = write.add_stream_from_template(read.streams.video[0])
        stream.set_display_rotation(90)
        for packet in read.demux(read.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                write.mux(packet)
    return target


def test_a_part_of_a_turned_film_is_upright(tmp_path: Path, worker: Worker) -> None:
    path = turned(write_with(tmp_path / "f.mp4", "libx264", "yuv420p", noisy(4)), tmp_path / "turned.mp4")
    stream = FrameStream(path, worker)
    assert stream.info.rotation in (90, 270)
    everything, _ = frames_of(stream)
    assert everything.shape[1:3] == (96, 64)
    (_, inset), *_ = stream.sampled(max_short_side=16).with_part(Box(top=50, left=10, height=40, width=30))
    assert np.array_equal(inset.frames, everything[:, 50:90, 10:40])


def test_the_first_picture_is_the_first_frame(tmp_path: Path, worker: Worker) -> None:
    path = write_with(tmp_path / "f.mp4", "libx264", "yuv420p", noisy(5))
    stream = FrameStream(path, worker, max_short_side=16)
    first = stream.first_picture()
    everything, _ = frames_of(FrameStream(path, worker))
    assert np.array_equal(first.frames[0], everything[0])
    assert stream.info == FrameStream(path, worker).info
    assert first.fps == pytest.approx(FPS)


@pytest.mark.parametrize("box", [(-1, 0, 5, 5), (0, -1, 5, 5), (0, 0, 0, 5), (0, 0, 5, 0)])
def test_a_box_that_is_no_part_of_a_picture(box: tuple[int, int, int, int]) -> None:
    with pytest.raises(UsageError):
        Box(top=box[0], left=box[1], height=box[2], width=box[3])
