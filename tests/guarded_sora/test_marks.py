"""Marks in verdicts: public ones that say "synthetic", and readers that are missing or break."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from guarded_sora import GuardedSora, VerdictName
from guarded_sora.errors import MediaError, UsageError
from guarded_sora.media import ClipFrames, FrameStream, encode
from guarded_sora.media.planes import PlaneStream
from guarded_sora.policies.finding import RequestContext
from guarded_sora.provenance.watermark.readers import KnownMessage, MessageReader, bits_of_number
from guarded_sora.timeline import draw_timeline
from guarded_sora.verification import verify
from tests.guarded_sora.conftest import Painter, moving_scene
from tests.guarded_sora.provenance.watermark.test_readers import FixedDecoder
from tests.guarded_sora.test_plane_marking import _source as source_film

PROMPT = "a red balloon rising over a sandy beach"
MESSAGE = bits_of_number(0xFEDCBA987654, 48)


@pytest.fixture(scope="module")
def sora(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedSora]:
    with GuardedSora.open(home=tmp_path_factory.mktemp("marks") / "home", backend=Painter()) as opened:
        yield opened


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("foreign") / "film.mp4"
    encode(ClipFrames(moving_scene(404), 8.0), path, fps=8.0)
    return path


class Broken(FixedDecoder):
    def decode(self, frame: np.ndarray, mode: str, count: int) -> None:
        raise RuntimeError("no")


class Missing(Broken):
    unavailable = "install it"


def _with(sora: GuardedSora, decoder: FixedDecoder, *, synthetic: bool) -> MessageReader:
    return MessageReader(decoder, [KnownMessage(name="known", bits=MESSAGE, synthetic=synthetic)])


@pytest.mark.parametrize(
    ("decoder", "synthetic", "verdict", "state"),
    [
        (FixedDecoder(MESSAGE), True, VerdictName.DECLARED_SYNTHETIC, "present"),
        (FixedDecoder(MESSAGE), False, VerdictName.NO_EVIDENCE, "present"),
        (FixedDecoder(tuple(not bit for bit in MESSAGE)), True, VerdictName.NO_EVIDENCE, None),
        (Broken(MESSAGE), True, VerdictName.NO_EVIDENCE, "failed"),
        (Missing(MESSAGE), True, VerdictName.NO_EVIDENCE, None),
    ],
    ids=["synthetic", "other", "absent", "broken", "missing"],
)
def test_public_mark_in_a_verdict(
    sora: GuardedSora,
    foreign: Path,
    decoder: FixedDecoder,
    synthetic: bool,
    verdict: VerdictName,
    state: str | None,
) -> None:
    services = dataclasses.replace(sora.services, mark_readers=(_with(sora, decoder, synthetic=synthetic),))
    found = verify(services, foreign, depth="provenance")
    assert found.verdict is verdict
    public = [item for item in found.evidence if item.kind == "watermark" and item.detail.get("public")]
    assert [item.state for item in public] == ([state] if state else [])
    if verdict is VerdictName.DECLARED_SYNTHETIC:
        assert found.reason == "public_watermark"
        assert public[0].detail["message"] == "known"
        assert public[0].detail["frames"] == 3


def test_public_marks_are_not_read_where_ours_is_found(sora: GuardedSora, tmp_path: Path) -> None:
    release = sora.generate("a red balloon rising over a sandy beach", seed=5, output=tmp_path / "a.mp4")
    decoder = FixedDecoder(MESSAGE)
    services = dataclasses.replace(sora.services, mark_readers=(_with(sora, decoder, synthetic=True),))
    assert verify(services, release.path, depth="provenance").verdict is VerdictName.OURS_INTACT
    assert decoder.frames == 0


# -- our own mark: tenants, rotation, revocation, and the picture of a timeline


def _film(path: Path, frames: np.ndarray) -> Path:
    encode(ClipFrames(frames, 8.0), path, fps=8.0)
    return path


def test_mark_by_a_revoked_key_says_so(tmp_path: Path) -> None:
    home = tmp_path / "home"
    context = RequestContext(tenant="studio")
    with GuardedSora.open(home=home, backend=Painter()) as sora:
        sora.services.mark_keys.with_tenant("studio")
    with GuardedSora.open(home=home, backend=Painter()) as sora:
        release = sora.generate(PROMPT, seed=7, output=tmp_path / "a.mp4", context=context)
        before = sora.verify(release.path, depth="provenance")
        assert before.verdict is VerdictName.OURS_INTACT
        assert before.notices == ()
        sora.services.mark_keys.rotate().revoke(0, "studio", "stolen")
    with GuardedSora.open(home=home, backend=Painter()) as sora:
        after = sora.verify(release.path, depth="provenance")
        assert "mark_key_revoked" in after.notices
        (mark,) = [item for item in after.evidence if item.kind == "watermark"]
        assert (mark.detail["key"], mark.detail["epoch"]) == ("revoked", 0)
        assert mark.detail["key_revoked_since"]
        assert "studio" not in str(mark.detail)
        newer = sora.generate(PROMPT, seed=8, output=tmp_path / "b.mp4", context=context)
        verdict = sora.verify(newer.path, depth="provenance")
        assert (verdict.verdict, verdict.notices) == (VerdictName.OURS_INTACT, ())
        assert next(i for i in verdict.evidence if i.kind == "watermark").detail["epoch"] == 1


def test_splice_is_told_by_the_second_and_drawn(sora: GuardedSora, tmp_path: Path) -> None:
    """Two clips of ours inside other footage: edges within half a second, and a picture that shows them."""
    payloads = []
    parts = [moving_scene(70, frames=24)]
    for seed in (71, 72):
        release = sora.generate(PROMPT, seconds=4, seed=seed, output=tmp_path / f"{seed}.mp4")
        payloads.append(release.clip_id)
        frames = np.concatenate([batch.frames for batch in FrameStream(release.path, sora.services.worker)])
        parts += [frames[:32], moving_scene(seed + 100, frames=24)]
    film = _film(tmp_path / "mixed.mp4", np.concatenate(parts))
    verdict = sora.verify(film, depth="provenance")
    ours = [part for part in verdict.segments if part.clip_id is not None]
    assert [part.clip_id for part in ours] == payloads
    for part, (start, end) in zip(ours, [(3.0, 7.0), (10.0, 14.0)], strict=True):
        assert abs(part.start - start) <= 0.5
        assert abs(part.end - end) <= 0.5
    picture = Image.open(draw_timeline(verdict, tmp_path / "timeline.png")).convert("RGB")
    bar = [
        picture.getpixel((32 + round(second / 17.0 * (1280 - 64)), 100)) for second in (1.0, 5.0, 8.5, 12.0)
    ]
    assert bar[0] == bar[2] != bar[1]
    assert bar[3] not in (bar[0], bar[1])


def test_timeline_of_a_film_with_nothing_in_it(sora: GuardedSora, foreign: Path, tmp_path: Path) -> None:
    verdict = sora.verify(foreign, depth="provenance")
    picture = Image.open(draw_timeline(verdict, tmp_path / "nothing.png"))
    assert picture.width == 1280
    with pytest.raises(MediaError):
        draw_timeline(verdict, tmp_path / "no such folder" / "x.png")


# -- what goes in: marked inputs, and films that are protected as they were coded


def test_marked_input_is_recorded_as_ingredient(sora: GuardedSora, tmp_path: Path) -> None:
    """Credentials are stripped by re-encoding; the mark still tells what the new clip was made from."""
    first = sora.generate(PROMPT, seconds=2, seed=41, output=tmp_path / "first.mp4")
    frames = np.concatenate([batch.frames for batch in FrameStream(first.path, sora.services.worker)])
    bare = _film(tmp_path / "bare.mp4", frames)
    second = sora.generate(PROMPT, seconds=2, seed=42, video=bare, output=tmp_path / "second.mp4")
    check = next(item for item in second.checks if item.name == "watermark.input")
    assert check.result == str(first.clip_id)
    record = sora.services.store.by_id(second.clip_id)
    assert record is not None
    assert f"video prompt, carries {first.clip_id}".encode() in second.path.read_bytes()
    # Neither film has lost its own mark to the other.
    assert sora.verify(second.path, depth="provenance").clip_id == second.clip_id
    assert sora.verify(bare, depth="provenance").clip_id == first.clip_id


def test_protecting_a_film_of_ours_again_is_refused_and_leaves_its_mark(
    sora: GuardedSora, tmp_path: Path
) -> None:
    first = sora.generate(PROMPT, seconds=2, seed=43, output=tmp_path / "first.mp4")
    with pytest.raises(UsageError, match="already carries a mark"):
        sora.protect(first.path, prompt=PROMPT, output=tmp_path / "again.mp4")
    assert not (tmp_path / "again.mp4").exists()
    assert sora.verify(first.path, depth="provenance").verdict is VerdictName.OURS_INTACT


def test_protected_film_keeps_depth_times_and_rotation(sora: GuardedSora, tmp_path: Path) -> None:
    kind = {"pixel_format": "yuv420p10le", "codec": "libx265", "hdr": True, "turned": -90.0, "sound": True}
    source = source_film(tmp_path / "source.mp4", **kind)  # type: ignore[arg-type]
    context = RequestContext(region="US")
    release = sora.protect(source, prompt=PROMPT, output=tmp_path / "protected.mp4", context=context)
    before, after = (PlaneStream(path, sora.services.worker) for path in (source, release.path))
    assert dataclasses.replace(after.format, fps=before.format.fps) == before.format
    times = [np.concatenate([batch.times for batch in stream]) for stream in (before, after)]
    assert np.allclose(times[0], times[1], atol=1e-4)
    assert sora.verify(release.path, depth="provenance").verdict is VerdictName.OURS_INTACT
