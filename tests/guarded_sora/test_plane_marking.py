"""The mark in a film's own planes: what must be kept is kept, and the mark is read from the result."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from guarded_sora.errors import MediaError
from guarded_sora.media import FrameStream
from guarded_sora.media.plane_encoder import encode_planes
from guarded_sora.media.planes import PlaneBatch, PlaneStream
from guarded_sora.plane_marking import MarkedPlanes
from guarded_sora.provenance.payload import MarkPayload
from guarded_sora.provenance.watermark import KeyedTileMark, MarkKey, MarkState
from guarded_sora.worker import Worker
from tests.guarded_sora.provenance.watermark.films import textured

KEY = MarkKey(secret=b"p" * 32, epoch=2)
PAYLOAD = MarkPayload(id=0x1122334455, epoch=2)
TIMES = [0, 3003, 6006, 15000, 18003, 33000, 36003, 39006, 45000, 60000, 63003, 66006, 81000, 90000]
MASTERING = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker() as opened:
        yield opened


def _source(path: Path, *, pixel_format: str = "yuv420p", codec: str = "libx264", turned: float = 0.0,
            hdr: bool = False, size: tuple[int, int] = (256, 384), sound: bool = False) -> Path:  # fmt: skip
    """A film of 14 frames at uneven times."""
    options = {"crf": "6", "preset": "veryfast"}
    if hdr:
        options["x265-params"] = f"log-level=error:master-display={MASTERING}:max-cll=1000,400"
    elif codec == "libx265":
        options["x265-params"] = "log-level=error"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt = size[1], size[0], pixel_format
        context = stream.codec_context
        context.time_base = Fraction(1, 90_000)
        if hdr:
            context.color_range, context.colorspace, context.color_primaries, context.color_trc = 1, 9, 9, 16
        if turned:
            stream.set_display_rotation(turned)
        audio: Any = container.add_stream("aac", rate=48_000) if sound else None
        for picture, tick in zip(textured(len(TIMES), size, seed=3), TIMES, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixel_format)
            frame.pts, frame.time_base = tick, context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if audio is not None:
            wave = (np.sin(np.arange(48_000) / 20.0) * 0.2).astype(np.float32)[None]
            for start in range(0, 48_000 - 1024, 1024):
                sound_frame = av.AudioFrame.from_ndarray(
                    np.ascontiguousarray(wave[:, start : start + 1024]), format="fltp", layout="mono"
                )
                sound_frame.sample_rate, sound_frame.pts = 48_000, start
                container.mux(audio.encode(sound_frame))
            container.mux(audio.encode(None))
    return path


def _mark(source: Path, target: Path, worker: Worker) -> PlaneStream:
    stream = PlaneStream(source, worker)
    marked = MarkedPlanes(stream=stream, writer=lambda: KeyedTileMark(KEY).writer(PAYLOAD))
    encode_planes(marked, stream.format, target, crf=12, audio_from=source, worker=worker)
    return PlaneStream(target, worker)


def _joined(stream: PlaneStream) -> PlaneBatch:
    batches = list(stream)
    return PlaneBatch(
        luma=np.concatenate([batch.luma for batch in batches]),
        chroma=(
            np.concatenate([batch.chroma[0] for batch in batches]),
            np.concatenate([batch.chroma[1] for batch in batches]),
        ),
        times=np.concatenate([batch.times for batch in batches]),
    )


CASES = {
    "8-bit": {},
    "8-bit-422": {"pixel_format": "yuv422p"},
    "10-bit": {"pixel_format": "yuv420p10le", "codec": "libx265"},
    "hdr10": {"pixel_format": "yuv420p10le", "codec": "libx265", "hdr": True},
    "turned-90": {"turned": -90.0},
    "turned-180": {"turned": 180.0},
    "sound": {"sound": True},
}


@pytest.mark.parametrize("case", CASES)
def test_what_must_be_kept_is_kept_and_the_mark_is_read(case: str, tmp_path: Path, worker: Worker) -> None:
    source = _source(tmp_path / "source.mp4", **CASES[case])  # type: ignore[arg-type]
    result = _mark(source, tmp_path / "marked.mp4", worker)
    before, after = PlaneStream(source, worker).format, result.format
    # The rate is an average over a length of which the last frame's part is a guess.
    assert dataclasses.replace(after, fps=before.fps) == before
    old, new = _joined(PlaneStream(source, worker)), _joined(result)
    assert np.allclose(old.times, new.times, atol=1e-4)
    assert old.luma.dtype == new.luma.dtype
    evidence = KeyedTileMark(KEY).detect(FrameStream(result.path, worker))
    assert (evidence.state, evidence.payload) == (MarkState.PRESENT, PAYLOAD)
    assert evidence.geometry is not None and abs(evidence.geometry.scale - 1.0) < 0.01
    if case == "hdr10":
        assert (after.transfer, after.primaries, after.matrix, after.light) == (16, 9, 9, (1000, 400))
        assert len(after.mastering) == 10
        assert FrameStream(result.path, worker).info.hdr
    if case.startswith("turned"):
        assert (
            FrameStream(result.path, worker).info.rotation == FrameStream(source, worker).info.rotation != 0
        )
    if case == "sound":
        assert _packets(source) == _packets(result.path) != []


def _packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(container.streams.audio[0]) if packet.size]


def test_chroma_reaches_the_encoder_untouched(tmp_path: Path, worker: Worker) -> None:
    stream = PlaneStream(_source(tmp_path / "source.mp4", pixel_format="yuv422p"), worker)
    marked = MarkedPlanes(stream=stream, writer=lambda: KeyedTileMark(KEY).writer(PAYLOAD))
    for before, after in zip(stream, marked, strict=True):
        assert np.array_equal(before.times, after.times)
        assert all(np.array_equal(was, now) for was, now in zip(before.chroma, after.chroma, strict=True))
        change = before.luma.astype(int) - after.luma.astype(int)
        # A small textured film gets up to 3 dB less than 42.
        assert 38.5 < 20 * np.log10(255 / np.sqrt(np.mean(change**2))) < 43


def test_planes_that_are_not_marked_go_through_unchanged_in_number(tmp_path: Path, worker: Worker) -> None:
    source = _source(tmp_path / "source.mp4")
    stream = PlaneStream(source, worker)
    info = encode_planes(stream, stream.format, tmp_path / "copy.mp4")
    assert (info.frames, info.width, info.height, info.has_audio) == (len(TIMES), 384, 256, False)


@pytest.mark.parametrize("pixel_format", ["yuv420p12le", "gray"])
def test_other_formats_are_refused(pixel_format: str, tmp_path: Path, worker: Worker) -> None:
    source = _source(tmp_path / "source.mkv", pixel_format=pixel_format, codec="ffv1")
    with pytest.raises(MediaError, match="planes"):
        _ = PlaneStream(source, worker).format


def test_nothing_is_left_where_the_frames_end_early(tmp_path: Path, worker: Worker) -> None:
    stream = PlaneStream(_source(tmp_path / "source.mp4"), worker)
    with pytest.raises(MediaError, match="no frames"):
        encode_planes([], stream.format, tmp_path / "empty.mp4")
    assert not (tmp_path / "empty.mp4").exists()
