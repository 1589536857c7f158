"""Films are written as told, or not at all."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.errors import MediaError
from guarded_sora.media import (
    ClipFrames,
    FrameStream,
    encode,
    probe,
    sha256_file,
)
from guarded_sora.worker import Worker
from tests.guarded_sora.films import FPS, numbered, packets, read, sound


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker() as made:
        yield made


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    encode(ClipFrames(numbered(30), FPS), path, fps=FPS, crf=8)
    return path


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


def test_a_source_without_sound_gives_a_film_without(film: Path, tmp_path: Path, worker: Worker) -> None:
    told = encode(FrameStream(film, worker), tmp_path / "o.mp4", audio_from=film, worker=worker)
    assert not told.has_audio and told.frames == 30


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
