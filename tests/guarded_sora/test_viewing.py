"""One decoding serves every leg with what a decoding of its own would give; excerpts say what they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guarded_sora import GuardedSora, VerdictName
from guarded_sora.detectors.fingerprint import Hasher, fingerprint
from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.detectors.synthetic.blocks import SAMPLE_FPS, Cutter
from guarded_sora.errors import MediaError
from guarded_sora.evidence import Verdict
from guarded_sora.finish import look_at
from guarded_sora.media import ClipFrames, encode
from guarded_sora.provenance.payload import MarkPayload
from guarded_sora.verification import verify
from guarded_sora.viewing import EXCERPTS, Viewing
from guarded_sora.worker import Worker
from tests.guarded_sora.conftest import moving_scene
from tests.guarded_sora.provenance.watermark.films import textured

FPS = 8.0


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker() as made:
        yield made


@pytest.fixture(scope="module")
def pan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("films") / "pan.mp4"
    encode(ClipFrames(textured(count=40, size=(400, 500)), 16.0), path, fps=16.0)
    return path


def frames_of(batches: Any) -> np.ndarray:
    return np.concatenate([batch.frames for batch in batches])


def test_every_leg_gets_what_a_decoding_of_its_own_would_give(pan: Path, worker: Worker) -> None:
    stream = look_at(pan, worker)
    view = Viewing(stream, cut=True)
    assert view.begin()
    assert np.array_equal(frames_of(view), frames_of(stream))
    assert view.hashes() == fingerprint(stream)
    wanted = list(Cutter().windows(stream.sampled(sample_fps=SAMPLE_FPS)))
    assert view.cuttings is not None
    found = list(view.cuttings)
    assert len(found) == len(wanted) == 2
    for one, other in zip(wanted, found, strict=True):
        assert (one.start, one.end, one.spots) == (other.start, other.end, other.spots)
        assert np.array_equal(one.blocks, other.blocks)


def test_a_film_that_is_not_ours_is_decoded_once(
    sora: GuardedSora, pan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []
    stream, call = Worker.stream, Worker.call

    def counted(self: Worker, name: str, /, *args: Any, **kwargs: Any) -> Any:
        decoded.append(name)
        return stream(self, name, *args, **kwargs)

    def named(self: Worker, name: str, /, *args: Any, **kwargs: Any) -> Any:
        if ".media." in name:
            decoded.append(name)
        return call(self, name, *args, **kwargs)

    monkeypatch.setattr(Worker, "stream", counted)
    monkeypatch.setattr(Worker, "call", named)
    services = dataclasses.replace(sora.services, mark_readers=())
    kinds = {item.kind for item in verify(services, pan, depth="full").evidence}
    assert kinds >= {"watermark", "fingerprint", "detector"}
    picture, film = "guarded_sora.media.decode:first_picture", "guarded_sora.media.decode:decode_views"
    assert decoded == [picture, film]
    decoded.clear()
    verify(services, pan, depth="provenance")
    assert decoded == [film]


def test_a_leg_that_stops_early_leaves_the_others_whole(pan: Path, worker: Worker) -> None:
    stream = look_at(pan, worker)
    view = Viewing(stream)
    assert view.begin()
    next(iter(view))
    assert view.hashes() == fingerprint(stream)
    view.close()


def test_a_reader_beside_that_breaks_does_not_break_the_one_that_pulls(
    pan: Path, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Hasher, batch: FrameBatch) -> None:
        raise ValueError("out of order")

    stream = look_at(pan, worker)
    view = Viewing(stream)
    with monkeypatch.context() as patched:
        patched.setattr(Hasher, "add", broken)
        assert np.array_equal(frames_of(view), frames_of(stream))
        with pytest.raises(RuntimeError, match="could not be hashed"):
            view.hashes()
    assert view.hashes() == fingerprint(stream)


def test_a_pass_that_nobody_takes_gives_its_process_back(pan: Path) -> None:
    with Worker(processes=1) as only:
        view = Viewing(look_at(pan, only).frame_by_frame())
        assert view.begin()
        view.close()
        view.close()
        assert Viewing(look_at(pan, only)).begin()


def test_what_is_no_film_is_refused_when_it_is_begun(tmp_path: Path, worker: Worker) -> None:
    path = tmp_path / "bad.mp4"
    path.write_bytes(b"no film" * 100)
    for cut in (False, True):
        with pytest.raises(MediaError):
            Viewing(look_at(path, worker), cut=cut).begin()


def spliced(sora: GuardedSora, path: Path, *, seconds: float, ours: tuple[float, float] | None) -> Path:
    """A stranger's film, with a marked one in its place from ``ours[0]`` to ``ours[1]``."""
    count = round(seconds * FPS)
    frames = np.concatenate([moving_scene(seed, frames=40) for seed in range(count // 40 + 1)])[:count]
    if ours is not None:
        first, last = (round(time * FPS) for time in ours)
        payload = MarkPayload(id=5, epoch=sora.services.keys.mark_epoch)
        part = ClipFrames(moving_scene(71, frames=last - first), FPS)
        frames[first:last] = frames_of(sora.services.mark.embed(part, payload))
    encode(ClipFrames(frames, FPS), path, fps=FPS, crf=18)
    return path


def told(verdict: Verdict, kind: str) -> tuple[str, Any]:
    return next((item.state, item.detail["looked_at"]) for item in verdict.evidence if item.kind == kind)


@pytest.mark.slow
def test_excerpts_of_a_strangers_film_say_which_seconds_they_are(sora: GuardedSora, tmp_path: Path) -> None:
    path = spliced(sora, tmp_path / "theirs.mp4", seconds=13.0, ours=None)
    spans = [[0.0, 2.0], [10.0, 12.0]]
    verdict = verify(sora.services, path, depth="provenance")
    assert (verdict.verdict, told(verdict, "watermark")) == (VerdictName.NO_EVIDENCE, ("absent", spans))
    assert told(verdict, "fingerprint") == ("none", spans)
    (detail,) = [item.detail for item in verdict.evidence if item.kind == "watermark"]
    assert [[part["start"], part["end"]] for part in detail["segments"]] == spans
    assert detail["frames"] == 4 * FPS
    every = verify(sora.services, path, depth="provenance", every_second=True)
    assert told(every, "watermark") == ("absent", [[0.0, 13.0]])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ours", "state"), [((9.0, 13.0), "present"), ((4.0, 8.0), "absent")], ids=["seen", "between"]
)
def test_a_trace_in_an_excerpt_has_all_of_the_film_read(
    sora: GuardedSora, tmp_path: Path, ours: tuple[float, float], state: str
) -> None:
    """What lies between two excerpts is seen at depth ``full`` alone, and that is said."""
    path = spliced(sora, tmp_path / "film.mp4", seconds=13.0, ours=ours)
    glance = told(verify(sora.services, path, depth="provenance"), "watermark")
    assert glance == (state, [[0.0, 13.0]] if state == "present" else [[0.0, 2.0], [10.0, 12.0]])
    assert told(verify(sora.services, path), "watermark") == ("present", [[0.0, 13.0]])


@pytest.mark.slow
def test_films_whose_bytes_are_ours_are_read_whole(sora: GuardedSora, tmp_path: Path) -> None:
    release = sora.generate("a red balloon", seconds=3, output=tmp_path / "own.mp4")
    verdict = sora.verify(release.path, depth="provenance")
    assert verdict.verdict is VerdictName.OURS_INTACT
    assert told(verdict, "watermark")[1][0][1] > EXCERPTS.seconds


def test_a_mark_that_fails_leaves_the_fingerprint(
    sora: GuardedSora, film: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("out of order")

    monkeypatch.setattr(type(sora.services.mark), "detect", broken)
    verdict = sora.verify(film(), depth="provenance")
    states = {item.kind: item.state for item in verdict.evidence}
    assert (states["watermark"], states["fingerprint"]) == ("failed", "none")
    assert verdict.verdict is VerdictName.INCONCLUSIVE
