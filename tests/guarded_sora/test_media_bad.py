"""What is no good gets one clear sentence, and nothing a file does escapes."""

from __future__ import annotations

import errno
import os
import signal
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from guarded_sora.errors import MediaError, UsageError
from guarded_sora.media import (
    ClipFrames,
    FrameStream,
    MediaLimits,
    encode,
    probe,
    sha256_file,
)
from guarded_sora.worker import Worker
from tests.guarded_sora.films import FPS, number_of, numbered, read, sound, write_with


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker() as made:
        yield made


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    encode(ClipFrames(numbered(30), FPS), path, fps=FPS, crf=8)
    return path


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


def test_a_decoder_that_hangs_is_a_media_error(film: Path) -> None:
    with Worker(processes=1) as worker:
        assert probe(film, worker).frames == 30
        freeze(worker)
        with pytest.raises(MediaError, match="takes too long"):
            probe(film, worker, limits=MediaLimits(open_seconds=0.2))
        stream = FrameStream(film, worker, limits=MediaLimits(chunk_seconds=0.2))
        assert stream.info.frames == 30
        freeze(worker)
        with pytest.raises(MediaError, match="takes too long"):
            list(stream)
        assert probe(film, worker).frames == 30


def freeze(worker: Worker) -> None:
    """Stop the process that waits for work, so that it answers nothing from now on."""
    (process,) = worker._idle
    os.kill(process.pid, signal.SIGSTOP)


@pytest.mark.parametrize(
    "options",
    [{"max_short_side": 0}, {"sample_fps": 0.0}, {"sample_fps": -1.0}, {"sample_fps": float("nan")}],
)
def test_senseless_options(film: Path, worker: Worker, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        FrameStream(film, worker, **options)


def test_damage_that_the_decoder_papers_over_is_still_damage(tmp_path: Path, worker: Worker) -> None:
    noise = np.random.default_rng(5).integers(0, 60, (30, 64, 96, 3), np.uint8)
    path = write_with(tmp_path / "f.mp4", "libx264", "yuv420p", numbered(30) // 2 + noise)
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    for place in range(start + (len(data) - start) // 3, start + (len(data) - start) // 2, 701):
        data[place] ^= 0x55
    path.write_bytes(data)
    with pytest.raises(MediaError, match="is damaged after"):
        list(FrameStream(path, worker))
    first, _ = read(path, worker, strict=False)
    again, _ = read(path, worker, strict=False)
    assert len(first) >= 20 and np.array_equal(first, again)
