"""Films in, films out: what is good is read exactly, what is not gets one clear sentence."""

from __future__ import annotations

import errno
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.errors import MediaError, UsageError
from guarded_sora.media import (
    ClipFrames,
    FrameStream,
    MediaLimits,
    encode,
    probe,
    read_image,
    sha256_file,
)
from guarded_sora.worker import Worker

FPS = 10.0


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker() as made:
        yield made


def numbered(count: int, height: int = 64, width: int = 96) -> NDArray[np.uint8]:
    """A soft colour that says which of at most 30 frames it is, and a bright patch at the top left."""
    frames = np.empty((count, height, width, 3), np.uint8)
    level = (20 + 7 * (np.arange(count) % 30))[:, None, None]
    frames[..., 0] = frames[..., 1] = level
    frames[..., 2] = 30 + level // 2
    frames[:, : height // 4, : width // 4] = 250
    return frames


def number_of(frame: NDArray[np.uint8]) -> int:
    height, width = frame.shape[:2]
    return round((float(frame[height // 2, width // 2, 0]) - 20) / 7)


def read(path: Path, worker: Worker, **options: Any) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    batches = list(FrameStream(path, worker, **options))
    return np.concatenate([b.frames for b in batches]), np.concatenate([b.times for b in batches])


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    encode(ClipFrames(numbered(30), FPS), path, fps=FPS, crf=8)
    return path


def write_with(path: Path, codec: str, pix_fmt: str, frames: NDArray[np.uint8], **options: str) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=int(FPS), options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pix_fmt
        for pixels in frames:
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            container.mux(stream.encode(frame.reformat(format=pix_fmt)))
        container.mux(stream.encode(None))
    return path


def sound(
    path: Path, seconds: float, *, pictures: NDArray[np.uint8] | None = None, late: float = 0.0
) -> Path:
    """A film with a tone, or only the tone; the pictures may begin ``late``."""
    with av.open(str(path), "w") as container:
        if pictures is not None:
            video = container.add_stream("libx264", rate=int(FPS), options={"bf": "0"})
            video.height, video.width = pictures.shape[1:3]
            video.pix_fmt = "yuv420p"
            video.codec_context.time_base = Fraction(1, 1000)
        audio = container.add_stream("aac", rate=48000)
        audio.layout = "mono"
        audio.codec_context.time_base = Fraction(1, 48000)
        for index in range(int(seconds * 48000 / 1024)):
            wave = 0.3 * np.sin(2 * np.pi * 440 * (index * 1024 + np.arange(1024)) / 48000)
            samples = av.AudioFrame.from_ndarray(wave[None].astype(np.float32), format="fltp", layout="mono")
            samples.sample_rate, samples.pts = 48000, index * 1024
            container.mux(audio.encode(samples))
        container.mux(audio.encode(None))
        if pictures is not None:
            for index, pixels in enumerate(pictures):
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.pts, frame.time_base = round(1000 * (late + index / FPS)), Fraction(1, 1000)
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
    return path


# What is good is read exactly.


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


def test_what_encode_says_is_what_is_written(tmp_path: Path, worker: Worker) -> None:
    path = tmp_path / "out.part"
    told = encode(ClipFrames(numbered(5), FPS), path, fps=FPS, metadata={"title": "A", "own_key": "B"})
    assert (told.width, told.height, told.fps, told.frames, told.duration) == (96, 64, 10.0, 5, 0.5)
    assert (told.bytes, told.sha256) == (path.stat().st_size, sha256_file(path))
    with av.open(str(path), format="mp4") as container:
        context = container.streams.video[0].codec_context
        assert container.metadata["title"] == "A" and container.metadata["own_key"] == "B"
        assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (
            1,
        ) * 4
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat"), "a player can start before it has the whole file"


def test_the_same_frames_make_the_same_file(tmp_path: Path) -> None:
    one = encode(ClipFrames(numbered(5), FPS), tmp_path / "a.mp4", fps=FPS)
    two = encode(ClipFrames(numbered(5), FPS, chunk_bytes=1), tmp_path / "b.mp4", fps=FPS)
    assert one.sha256 == two.sha256


@pytest.mark.parametrize(("height", "width"), [(1, 1), (63, 85), (64, 85), (63, 96), (2, 500)])
def test_odd_sizes_are_padded_not_cropped(tmp_path: Path, worker: Worker, height: int, width: int) -> None:
    told = encode(ClipFrames(numbered(3, height, width), FPS), tmp_path / "o.mp4", fps=FPS)
    assert (told.width, told.height) == (width + width % 2, height + height % 2)
    frames, _ = read(tmp_path / "o.mp4", worker)
    assert frames.shape == (3, told.height, told.width, 3)
    assert np.abs(frames[1, -1, -1].astype(int) - numbered(3, height, width)[1, -1, -1]).max() <= 12


def test_fractional_rates(tmp_path: Path, worker: Worker) -> None:
    encode(ClipFrames(numbered(24), 24.0), tmp_path / "ntsc.mp4", fps=23.976)
    assert probe(tmp_path / "ntsc.mp4", worker).fps == pytest.approx(24000 / 1001)


def test_a_varying_rate_stays_one(tmp_path: Path, worker: Worker) -> None:
    times = np.array([0.0, 0.05, 0.3, 0.35, 1.0, 1.75, 1.8])
    batch = FrameBatch(frames=numbered(7), times=times, fps=10.0)
    encode([batch], tmp_path / "vfr.mp4")
    _, seen = read(tmp_path / "vfr.mp4", worker)
    assert np.allclose(seen, times, atol=1e-4)
    encode(FrameStream(tmp_path / "vfr.mp4", worker), tmp_path / "again.mp4")
    assert np.allclose(read(tmp_path / "again.mp4", worker)[1], times, atol=1e-4)


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


def test_audio_is_copied_untouched_and_keeps_its_place(tmp_path: Path, worker: Worker) -> None:
    source = sound(tmp_path / "s.mp4", 2.0, pictures=numbered(15), late=0.4)
    stream = FrameStream(source, worker)
    assert stream.audio == source and stream.info.start == pytest.approx(0.4, abs=0.002)
    told = encode(stream, tmp_path / "o.mp4", audio_from=stream.audio, worker=worker, metadata={"title": "T"})
    assert told.has_audio and told.frames == 15
    before, after = packets(source), packets(tmp_path / "o.mp4")
    assert [data for _, data in before] == [data for _, data in after] and len(after) > 80
    shifts = [late - early for (early, _), (late, _) in zip(before, after, strict=True)]
    assert np.allclose(shifts, -stream.info.start, atol=0.002)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o.mp4", "s.mp4"]
    alone = encode(stream, tmp_path / "p.mp4", audio_from=source)
    assert alone.has_audio and packets(tmp_path / "p.mp4") == after


def packets(path: Path) -> list[tuple[float, bytes]]:
    with av.open(str(path)) as container:
        return [
            (round(float(packet.pts * packet.time_base), 5), bytes(packet))
            for packet in container.demux(container.streams.audio[0])
            if packet.size
        ]


def test_a_source_without_sound_gives_a_film_without(film: Path, tmp_path: Path, worker: Worker) -> None:
    told = encode(FrameStream(film, worker), tmp_path / "o.mp4", audio_from=film, worker=worker)
    assert not told.has_audio and told.frames == 30


# What is not good gets one clear sentence.


def bad(name: str, tmp_path: Path, film: Path) -> Path:
    """A hostile or broken file."""
    path = tmp_path / "bad.mp4"
    data = film.read_bytes()
    if name == "missing":
        pass
    elif name == "folder":
        path.mkdir()
    elif name == "pipe":
        os.mkfifo(path)
    elif name == "zero bytes":
        path.write_bytes(b"")
    elif name == "text":
        path.write_text("This is not a film.\n" * 100)
    elif name == "noise":
        path.write_bytes(np.random.default_rng(0).bytes(100_000))
    elif name == "picture":
        Image.new("RGB", (50, 50)).save(path, "PNG")
    elif name == "only sound":
        sound(path, 0.5)
    elif name == "no frames":
        path.write_bytes(empty_track(data))
    elif name == "cut off early":
        path.write_bytes(data[: len(data) // 3])
    elif name == "cut off late":
        path.write_bytes(data[:-200])
    elif name == "header only":
        path.write_bytes(data[:32])
    elif name == "index missing":
        path.write_bytes(data[:32] + struct.pack(">I4s", 108, b"mdat") + bytes(100))
    elif name == "4 GB claim":
        path.write_bytes(data.replace(*_claim(data, 4 << 30)))
    elif name == "playlist":
        path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n")
    elif name == "concat script":
        path.write_text(f"ffconcat version 1.0\nfile {film.name}\n")
    else:
        raise AssertionError(name)
    return path


def _claim(data: bytes, length: int) -> tuple[bytes, bytes]:
    at = data.index(b"mdat") - 4
    return data[at : at + 8], struct.pack(">I4sQ", 1, b"mdat", length)


def empty_track(data: bytes) -> bytes:
    """The same film with sample tables that list nothing."""
    broken = bytearray(data)
    for table in (b"stsz", b"stts", b"stsc", b"stco", b"ctts", b"stss"):
        at = broken.find(table)
        if at > 0:
            offset = at + (12 if table == b"stsz" else 8)
            broken[offset : offset + 4] = bytes(4)
    return bytes(broken)


BAD = {
    "missing": "does not exist",
    "folder": "is a folder",
    "pipe": "not a regular file",
    "zero bytes": "is empty",
    "text": "not a film we can read",
    "noise": "not a film we can read",
    "picture": "still picture",
    "only sound": "holds only sound",
    "no frames": "holds no pictures",
    "cut off early": "is cut off",
    "cut off late": "is cut off",
    "header only": "is cut off",
    "index missing": "is cut off",
    "4 GB claim": "is cut off",
    "playlist": "not a film we can read",
    "concat script": "not a film we can read",
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_get_one_clear_sentence(name: str, tmp_path: Path, film: Path, worker: Worker) -> None:
    path = bad(name, tmp_path, film)
    for attempt in (lambda: probe(path, worker), lambda: list(FrameStream(path, worker))):
        with pytest.raises(MediaError, match=BAD[name]) as caught:
            attempt()
        text = str(caught.value)
        assert text.startswith(str(path)) and text.endswith(".") and "\n" not in text


@pytest.mark.parametrize("name", ["", "x" * 300, "a\x00b"])
def test_names_that_cannot_be(name: str, tmp_path: Path, worker: Worker) -> None:
    with pytest.raises(MediaError):
        probe(tmp_path / name if name else tmp_path, worker)


def test_a_file_without_permission(film: Path, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(MediaError, match="change its permissions"):
        probe(film, worker)
    with pytest.raises(MediaError, match="cannot be read"):
        sha256_file(film)


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        (MediaLimits(max_pixels=96 * 64 - 1), "scale it down"),
        (MediaLimits(max_side=95), "scale it down"),
        (MediaLimits(max_duration=2.9), "cut it first"),
        (MediaLimits(max_bytes=100), "cut or compress"),
    ],
)
def test_limits_hold(film: Path, worker: Worker, limits: MediaLimits, text: str) -> None:
    for attempt in (
        lambda: probe(film, worker, limits=limits),
        lambda: list(FrameStream(film, worker, limits=limits)),
    ):
        with pytest.raises(MediaError, match=text):
            attempt()


def test_too_many_frames(film: Path, worker: Worker) -> None:
    with pytest.raises(MediaError, match="more than 10 frames"):
        list(FrameStream(film, worker, limits=MediaLimits(max_frames=10)))


def test_absurd_dimensions_are_refused_before_decoding(film: Path, tmp_path: Path, worker: Worker) -> None:
    """The sample entry of the film claims 65535 x 65535 pixels."""
    data = bytearray(film.read_bytes())
    at = data.index(b"avc1", data.index(b"stsd")) + 4 + 24
    assert struct.unpack(">HH", data[at : at + 4]) == (96, 64)
    data[at : at + 4] = struct.pack(">HH", 65535, 65535)
    path = tmp_path / "huge.mp4"
    path.write_bytes(data)
    try:
        frames, _ = read(path, worker)
    except MediaError:
        return
    assert frames[0].size < 100_000, "only what the stream itself says counts"


def test_damage_in_the_middle(film: Path, tmp_path: Path, worker: Worker) -> None:
    data = bytearray(film.read_bytes())
    at = data.index(b"mdat") + 4
    at += (len(data) - at) // 2
    data[at : at + 200] = bytes(200)
    path = tmp_path / "spoiled.mp4"
    path.write_bytes(data)
    with pytest.raises(MediaError, match=r"is damaged after \d+ frames"):
        list(FrameStream(path, worker))
    kept, _ = read(path, worker, strict=False)
    assert 5 <= len(kept) <= 30 and number_of(kept[0]) == 0


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [("f.mkv", "ffv1", "yuv420p"), ("f.webm", "libvpx-vp9", "yuv420p"), ("f.avi", "mpeg4", "yuv420p")],
)
@pytest.mark.parametrize("part", [0.3, 0.9])
def test_other_containers_that_are_cut_off(
    tmp_path: Path, worker: Worker, name: str, codec: str, pix_fmt: str, part: float
) -> None:
    path = write_with(tmp_path / name, codec, pix_fmt, numbered(30))
    assert len(read(path, worker)[0]) == 30
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(MediaError, match="is cut off"):
        list(FrameStream(path, worker))
    with pytest.raises(MediaError, match="is cut off"):
        probe(path, worker)


def test_what_is_left_of_a_cut_film_can_be_read(film: Path, tmp_path: Path, worker: Worker) -> None:
    path = tmp_path / "cut.mp4"
    path.write_bytes(film.read_bytes()[: film.stat().st_size * 3 // 4])
    stream = FrameStream(path, worker, strict=False)
    assert stream.info.frames == 30
    kept, _ = read(path, worker, strict=False)
    assert 3 <= len(kept) < 30 and number_of(kept[2]) == 2


def test_random_damage_never_escapes(film: Path, tmp_path: Path, worker: Worker) -> None:
    """Whatever bytes change: frames, or MediaError, and never another exception."""
    random = np.random.default_rng(7)
    data = np.frombuffer(film.read_bytes(), np.uint8)
    path = tmp_path / "mutant.mp4"
    outcomes = {"read": 0, "refused": 0}
    for _ in range(60):
        mutant = data.copy()
        places = random.integers(0, len(mutant), 1 + random.integers(0, 20))
        mutant[places] = random.integers(0, 256, len(places))
        path.write_bytes(mutant.tobytes())
        try:
            for batch in FrameStream(path, worker):
                assert batch.frames.shape[1:] == batch.frames.shape[1:]
            outcomes["read"] += 1
        except MediaError:
            outcomes["refused"] += 1
    assert outcomes["refused"] > 0


def test_a_decoder_that_hangs_is_a_media_error(film: Path, worker: Worker) -> None:
    with pytest.raises(MediaError, match="takes too long"):
        probe(film, worker, limits=MediaLimits(open_seconds=0.0))
    with pytest.raises(MediaError, match="takes too long"):
        list(FrameStream(film, worker, limits=MediaLimits(chunk_seconds=0.0)))
    assert probe(film, worker).frames == 30


@pytest.mark.parametrize(
    "options",
    [{"max_short_side": 0}, {"sample_fps": 0.0}, {"sample_fps": -1.0}, {"sample_fps": float("nan")}],
)
def test_senseless_options(film: Path, worker: Worker, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        FrameStream(film, worker, **options)


# Writing.


@pytest.mark.parametrize(
    ("batches", "text"),
    [
        ([], "no frames"),
        ([FrameBatch(frames=numbered(0), times=np.zeros(0), fps=8.0)], "no frames"),
        (
            [
                FrameBatch(frames=numbered(1), times=np.zeros(1), fps=8.0),
                FrameBatch(frames=numbered(1, 32, 32), times=np.ones(1), fps=8.0),
            ],
            "one size",
        ),
    ],
)
def test_frames_that_make_no_film(tmp_path: Path, batches: list[FrameBatch], text: str) -> None:
    with pytest.raises(MediaError, match=text):
        encode(batches, tmp_path / "o.mp4", fps=8.0)
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_source_leaves_nothing(tmp_path: Path, film: Path) -> None:
    def breaking() -> Iterator[FrameBatch]:
        yield FrameBatch(frames=numbered(20), times=np.arange(20) / 8.0, fps=8.0)
        raise KeyError("the source broke")

    for audio in (None, film):
        with pytest.raises(KeyError):
            encode(breaking(), tmp_path / "o.mp4", fps=8.0, audio_from=audio)
        assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    frames = ClipFrames(numbered(2), FPS)
    with pytest.raises(MediaError, match="does not exist"):
        encode(frames, tmp_path / "missing" / "o.mp4", fps=FPS)
    (tmp_path / "folder").mkdir()
    with pytest.raises(MediaError, match="is a folder"):
        encode(frames, tmp_path / "folder", fps=FPS)
    assert (tmp_path / "folder").is_dir()


FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from guarded_sora.media import ClipFrames, encode
from guarded_sora.errors import MediaError
noise = np.random.default_rng(0).integers(0, 256, (20, 64, 96, 3), np.uint8)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    encode(ClipFrames(noise, 8.0), Path(sys.argv[1]) / "o.mp4", fps=8.0)
except MediaError as error:
    print(error)
"""


@pytest.mark.parametrize("room", [0, 1000, 60_000])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path: Path, room: int) -> None:
    """A limit on the size of files fails the same write that a full disk fails."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path), str(room)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "There is no room to write" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_sound_that_is_no_sound(tmp_path: Path, film: Path, worker: Worker) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_text("no sound here" * 100)
    for helper in (worker, None):
        with pytest.raises(MediaError, match="sound"):
            encode(
                ClipFrames(numbered(3), FPS), tmp_path / "o.mp4", fps=FPS, audio_from=broken, worker=helper
            )
    with pytest.raises(MediaError, match="does not exist"):
        encode(
            ClipFrames(numbered(3), FPS),
            tmp_path / "o.mp4",
            fps=FPS,
            audio_from=tmp_path / "no",
            worker=worker,
        )
    assert [path.name for path in tmp_path.iterdir()] == ["broken.mp4"]


# Pictures.


def test_pictures_are_read_as_they_are_seen(tmp_path: Path, worker: Worker) -> None:
    image = Image.fromarray(numbered(1)[0])
    for name in ("a.png", "a.webp", "a.bmp", "a.tiff"):
        image.save(tmp_path / name, **({"lossless": True} if name == "a.webp" else {}))
        assert np.array_equal(read_image(tmp_path / name, worker), numbered(1)[0])
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "turned.png", worker), np.rot90(numbered(1)[0], -1))


def test_of_an_animation_the_first_frame(tmp_path: Path, worker: Worker) -> None:
    shades = [Image.new("RGB", (20, 10), (value, value, value)) for value in (40, 200)]
    shades[0].save(tmp_path / "a.gif", save_all=True, append_images=shades[1:])
    assert abs(int(read_image(tmp_path / "a.gif", worker)[5, 5, 0]) - 40) <= 2


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1", "I;16", "CMYK"])
def test_every_kind_of_pixel(tmp_path: Path, worker: Worker, mode: str) -> None:
    image = Image.fromarray(np.full((8, 8), 40_000, np.uint16)) if mode == "I;16" else Image.new(mode, (8, 8))
    path = tmp_path / ("a.tiff" if mode == "CMYK" else "a.png")
    image.save(path)
    pixels = read_image(path, worker)
    assert pixels.shape == (8, 8, 3) and pixels.dtype == np.uint8
    if mode == "RGBA":
        assert pixels.min() == 255, "what is transparent is seen on white"
    if mode == "I;16":
        assert pixels[0, 0, 0] == 40_000 >> 8


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda path: path.write_text("no picture"), "not a picture"),
        (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50)), "picture"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: None, "does not exist"),
        (lambda path: Image.new("1", (20_000, 6_000)).save(path, "PNG"), "scale it down"),
    ],
)
def test_bad_pictures(tmp_path: Path, worker: Worker, make: Any, text: str) -> None:
    path = tmp_path / "bad.png"
    make(path)
    with pytest.raises(MediaError, match=text):
        read_image(path, worker)


def test_a_cut_off_picture(tmp_path: Path, worker: Worker) -> None:
    path = tmp_path / "cut.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(MediaError, match="damaged picture"):
        read_image(path, worker)


def test_relative_names_work(
    film: Path, worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(film, tmp_path / "http:odd name%20.mp4")
    monkeypatch.chdir(tmp_path)
    assert probe(Path("http:odd name%20.mp4"), worker).frames == 30
    encode(ClipFrames(numbered(2), FPS), Path("file:out.mp4"), fps=FPS)
    assert (tmp_path / "file:out.mp4").exists()


@pytest.mark.slow
def test_memory_stays_flat(tmp_path: Path, worker: Worker) -> None:
    """Four times the film does not take four times the memory, here or in the worker."""
    import resource

    path = tmp_path / "long.mp4"

    def many(count: int) -> Iterator[FrameBatch]:
        block = numbered(50, 360, 640)
        for start in range(0, count, 50):
            yield FrameBatch(frames=block, times=(start + np.arange(50)) / FPS, fps=FPS)

    peaks = []
    for count in (200, 1600):
        encode(many(count), path, fps=FPS, preset="ultrafast")
        assert sum(len(batch) for batch in FrameStream(path, worker)) == count
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    assert peaks[1] - peaks[0] < 150_000, "kilobytes; the longer film has 1.1 GB of pixels"
