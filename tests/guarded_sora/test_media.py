"""What is good is read exactly: every container, rate, rotation and size."""

from __future__ import annotations

import resource
import shutil
import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.media import (
    ClipFrames,
    FrameStream,
    encode,
    probe,
)
from guarded_sora.media.colour import tone_map
from guarded_sora.media.sampling import Sampler, is_disposable
from guarded_sora.worker import Worker
from tests.guarded_sora.films import FPS, number_of, numbered, read, write_with


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker() as made:
        yield made


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    encode(ClipFrames(numbered(30), FPS), path, fps=FPS, crf=8)
    return path


def test_a_film_survives_the_round_trip(film: Path, worker: Worker) -> None:
    frames, times = read(film, worker)
    assert frames.shape == (30, 64, 96, 3)
    assert np.allclose(times, np.arange(30) / FPS)
    assert [number_of(frame) for frame in frames] == list(range(30))
    difference = np.abs(frames.astype(int) - numbered(30).astype(int))
    assert np.median(difference) <= 1 and difference[:, 24:, 40:].max() <= 4, "matrix and range agree"


def test_probe_says_what_the_film_is(film: Path, worker: Worker) -> None:
    info = probe(film, worker)
    assert (info.width, info.height, info.fps, info.frames, info.duration) == (96, 64, 10.0, 30, 3.0)
    assert (info.codec, info.pixel_format, info.container) == ("h264", "yuv420p", "mov")
    assert (info.has_audio, info.rotation, info.hdr, info.start) == (False, 0, False, 0.0)
    assert info.bytes == film.stat().st_size


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("f.mp4", "libx264", "yuv420p"),
        ("f.mov", "libx264", "yuv444p"),
        ("f.mp4", "libx265", "yuv420p"),
        ("f.mkv", "ffv1", "yuv422p"),
        ("f.webm", "libvpx-vp9", "yuv420p"),
        ("f.webm", "libsvtav1", "yuv420p"),
        ("f.gif", "gif", "rgb8"),
        ("f.mov", "prores_ks", "yuv422p10le"),
        ("f.mp4", "libx264", "yuv420p10le"),
        ("f.avi", "mjpeg", "yuvj420p"),
    ],
)
def test_containers_and_codecs(tmp_path: Path, worker: Worker, name: str, codec: str, pix_fmt: str) -> None:
    path = write_with(tmp_path / name, codec, pix_fmt, numbered(12))
    info = probe(path, worker)
    assert (info.width, info.height) == (96, 64) and info.pixel_format
    frames, times = read(path, worker)
    assert len(frames) == 12
    assert [number_of(frame) for frame in frames] == pytest.approx(
        list(range(12)), abs=5 if codec == "gif" else 1
    )
    assert np.allclose(times, np.arange(12) / FPS, atol=0.011)


def test_a_stream_can_be_read_again(film: Path, worker: Worker) -> None:
    stream = FrameStream(film, worker)
    first = [batch.times[0] for batch in stream]
    for _ in stream:
        break
    assert [batch.times[0] for batch in stream] == first


def test_chunks_stay_small(film: Path, worker: Worker) -> None:
    frame_bytes = 64 * 96 * 3
    sizes = [len(batch) for batch in FrameStream(film, worker, chunk_bytes=4 * frame_bytes)]
    assert sum(sizes) == 30 and max(sizes) == 4
    assert max(len(batch) for batch in FrameStream(film, worker, chunk_bytes=1)) == 1


@pytest.mark.parametrize("sample_fps", [0.5, 2.0, 3.0, 10.0, 100.0])
def test_sampling_takes_the_first_frame_of_each_tick(film: Path, worker: Worker, sample_fps: float) -> None:
    frames, times = read(film, worker, sample_fps=sample_fps)
    all_times = np.arange(30) / FPS
    ticks = sorted({int(np.floor(time * sample_fps + 1e-6)) for time in all_times})
    expected = [
        next(time for time in all_times if np.floor(time * sample_fps + 1e-6) == tick) for tick in ticks
    ]
    assert np.allclose(times, expected)
    assert [number_of(frame) for frame in frames] == [round(time * FPS) for time in expected]


@pytest.mark.parametrize(("side", "size"), [(32, (32, 48)), (64, (64, 96)), (1000, (64, 96)), (1, (1, 2))])
def test_scaling_only_down(film: Path, worker: Worker, side: int, size: tuple[int, int]) -> None:
    frames, _ = read(film, worker, max_short_side=side)
    assert frames.shape[1:3] == size
    if side >= 32:
        assert [number_of(frame) for frame in frames] == list(range(30))


def test_sampled_knows_what_the_stream_knows(film: Path, worker: Worker) -> None:
    stream = FrameStream(film, worker)
    assert stream.info.frames == 30
    small = stream.sampled(max_short_side=16, sample_fps=1.0)
    assert small.info is stream.info
    assert sum(len(batch) for batch in small) == 3


@pytest.mark.parametrize(
    ("matrix", "rotation"),
    [
        ((0, 1, -1, 0), 90),
        ((-1, 0, 0, -1), 180),
        ((0, -1, 1, 0), 270),
    ],
)
def test_rotation_is_applied(
    film: Path, tmp_path: Path, worker: Worker, matrix: tuple[int, ...], rotation: int
) -> None:
    data = bytearray(film.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (value << 16 for value in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path = tmp_path / "turned.mp4"
    path.write_bytes(data)
    info = probe(path, worker)
    assert info.rotation == rotation
    frames, _ = read(path, worker)
    upright = np.rot90(numbered(30), -rotation // 90, axes=(1, 2))
    assert frames.shape == upright.shape == (30, info.height, info.width, 3)
    assert np.median(np.abs(frames.astype(int) - upright.astype(int))) <= 2
    bright = [frames[0][y, x].min() > 200 for y, x in ((2, 2), (2, -3), (-3, -3), (-3, 2))]
    assert bright.index(True) == rotation // 90 and sum(bright) == 1
    small, _ = read(path, worker, max_short_side=32)
    assert min(small.shape[1:3]) == 32


def test_pixels_that_are_not_square_become_square(tmp_path: Path, worker: Worker) -> None:
    path = tmp_path / "wide.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 72, 64, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(16, 11)
        for pixels in numbered(3, 64, 72):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    info = probe(path, worker)
    assert (info.width, info.height, info.coded_width) == (105, 64, 72)
    assert read(path, worker)[0].shape == (3, 64, 105, 3)


def test_relative_names_work(
    film: Path, worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(film, tmp_path / "http:odd name%20.mp4")
    monkeypatch.chdir(tmp_path)
    assert probe(Path("http:odd name%20.mp4"), worker).frames == 30
    encode(ClipFrames(numbered(2), FPS), Path("file:out.mp4"), fps=FPS)
    assert (tmp_path / "file:out.mp4").exists()


@pytest.mark.slow
def test_memory_stays_flat(tmp_path: Path) -> None:
    """Eight times the film does not take eight times the memory, here or in the worker."""
    path = tmp_path / "long.mp4"
    block = numbered(50, 360, 640)

    def many(count: int) -> Iterator[FrameBatch]:
        for start in range(0, count, 50):
            yield FrameBatch(frames=block, times=(start + np.arange(50)) / FPS, fps=FPS)

    peaks = []
    functions = "tests.guarded_sora.worker_functions"
    with Worker(packages=("guarded_sora.media", functions)) as own:
        for count in (100, 800):
            encode(many(count), path, fps=FPS, preset="ultrafast")
            assert sum(len(batch) for batch in FrameStream(path, own)) == count
            theirs = own.call(f"{functions}:peak_memory", deadline=60.0)
            peaks.append((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, theirs))
    (ours, theirs), (ours_later, theirs_later) = peaks
    limit = 150_000  # kilobytes; the longer film has 550 MB of pixels
    assert ours_later - ours < limit and theirs_later - theirs < limit


@pytest.mark.parametrize("sample_fps", [0.7, 2.0, 4.0, 9.0])
@pytest.mark.parametrize("options", [{"bf": "3", "b-pyramid": "normal"}, {"bf": "0"}, {"bf": "16"}])
def test_leaving_packets_out_changes_no_frame(
    tmp_path: Path, worker: Worker, sample_fps: float, options: dict[str, str]
) -> None:
    """Packets that no chosen frame depends on are not decoded; every chosen frame stays bit for bit."""
    noise = np.random.default_rng(3).integers(0, 40, (60, 64, 96, 3), np.uint8)
    path = write_with(tmp_path / "f.mp4", "libx264", "yuv420p", numbered(60) // 2 + noise, **options)
    everything, times = read(path, worker)
    chosen, chosen_times = read(path, worker, sample_fps=sample_fps)
    first = np.unique(np.floor(times * sample_fps + 1e-6), return_index=True)[1]
    assert np.array_equal(chosen_times, times[first])
    assert np.array_equal(chosen, everything[first])


def test_packets_are_really_left_out(tmp_path: Path) -> None:
    path = write_with(tmp_path / "f.mp4", "libx264", "yuv420p", numbered(60), bf="3")
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        sampler = Sampler(1.0)
        sampler.start = 0.0
        kept = sum(packet.size > 0 for packet in sampler.needed(container.demux(stream), stream))
    assert kept < 45


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x00\x00\x00\x09", b"\xff" * 9, bytes(4) * 5000])
def test_packets_that_make_no_sense_are_needed(data: bytes) -> None:
    assert not is_disposable(av.Packet(data), 4)


def hdr_film(path: Path, level: float, *, transfer: int) -> Path:
    """Grey of one signal level, 10 bits, BT.2020."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx265", rate=10, options={"x265-params": "log-level=none"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p10le"
        context = stream.codec_context
        context.color_trc, context.color_primaries, context.colorspace, context.color_range = (
            transfer,
            9,
            9,
            1,
        )
        for number in range(3):
            frame = av.VideoFrame(96, 64, "yuv420p10le")
            for plane, value in zip(frame.planes, (round(64 + 876 * level), 512, 512), strict=True):
                plane.update(np.full(plane.buffer_size // 2, value, np.uint16).tobytes())
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("transfer", "level", "shown"),
    [
        (16, 0.0, 0),
        (16, 0.5807, 217),  # PQ, 203 cd/m2: reference white
        (16, 1.0, 255),
        (18, 0.75, 217),  # HLG, reference white (ITU-R BT.2408)
    ],
)
def test_high_dynamic_range_is_mapped_to_srgb(
    tmp_path: Path, worker: Worker, transfer: int, level: float, shown: int
) -> None:
    path = hdr_film(tmp_path / "hdr.mp4", level, transfer=transfer)
    assert probe(path, worker).hdr
    for options in ({}, {"max_short_side": 32}):
        frames, _ = read(path, worker, **options)
        assert np.abs(frames.astype(int) - shown).max() <= 3


@pytest.mark.parametrize("transfer", [16, 18])
def test_brighter_light_never_looks_darker(transfer: int) -> None:
    ramp = np.broadcast_to(np.arange(0, 65536, 257, dtype=np.uint16)[:, None, None], (256, 2, 3))
    shown = tone_map(ramp, transfer).astype(int)
    assert shown[0].max() == 0 and shown[-1].min() >= 250
    assert np.diff(shown, axis=0).min() >= 0
    assert np.ptp(shown, axis=2).max() <= 1, "grey stays grey"


def test_films_joined_end_to_end_are_read_to_their_end(tmp_path: Path, worker: Worker) -> None:
    """The second begins its clock anew; a stream of the pieces of a broadcast looks like this."""
    parts = [
        write_with(tmp_path / f"{n}.ts", "libx264", "yuv420p", numbered(n), g="10", bf="0") for n in (20, 30)
    ]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    frames, times = read(joined, worker, strict=False)
    assert len(frames) >= 48 and (np.diff(times) > 0.5 / FPS).all()
    sampled, _ = read(joined, worker, strict=False, sample_fps=4.0)
    assert [number_of(frame) for frame in sampled[-2:]][-1] > 20 and len(sampled) >= 4 * 50 / FPS - 2
