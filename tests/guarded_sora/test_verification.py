"""What verify says of films that are ours, altered, foreign, or not films at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from guarded_sora import GuardedSora, Release, UsageError, VerdictName
from guarded_sora.media import ClipFrames, FrameStream, encode
from guarded_sora.provenance.credentials.certificates import issue_chain
from guarded_sora.provenance.credentials.manifest import Generator, Ingredient, ManifestContent
from guarded_sora.provenance.credentials.sign import sign
from guarded_sora.provenance.credentials.signer import FileKeySigner
from guarded_sora.provenance.payload import MarkPayload
from guarded_sora.settings import OperatorWord
from tests.guarded_sora.conftest import Painter, moving_scene
from tests.guarded_sora.strangers import flip_byte, foreign_signed

PROMPT = "a red balloon rising over a sandy beach"


@pytest.fixture(scope="module")
def sora(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedSora]:
    """One installation for all tests here: they only look, and add films of their own."""
    with GuardedSora.open(home=tmp_path_factory.mktemp("shared") / "home", backend=Painter()) as opened:
        yield opened


@pytest.fixture(scope="module")
def release(sora: GuardedSora, tmp_path_factory: pytest.TempPathFactory) -> Release:
    return sora.generate(PROMPT, seconds=4, seed=11, output=tmp_path_factory.mktemp("released") / "ours.mp4")


def remux(source: Path, target: Path) -> None:
    """Copy the packets into a new container, as many upload pipelines do: credentials are lost."""
    with av.open(str(source)) as read, av.open(str(target), "w") as write:
        stream = write.add_stream_from_template(read.streams.video[0])
        for packet in read.demux(read.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                write.mux(packet)


def test_ours_intact(sora: GuardedSora, release: Release) -> None:
    verdict = sora.verify(release.path)
    assert (verdict.verdict, verdict.clip_id) == (VerdictName.OURS_INTACT, release.clip_id)
    assert verdict.audit.included


def test_a_renamed_copy_is_still_intact(sora: GuardedSora, release: Release, tmp_path: Path) -> None:
    copy = release.save(tmp_path / "a copy with spaces ü.mp4")
    assert sora.verify(copy).verdict is VerdictName.OURS_INTACT


def test_one_changed_byte_is_ours_altered(sora: GuardedSora, release: Release, tmp_path: Path) -> None:
    copy = release.save(tmp_path / "copy.mp4")
    flip_byte(copy)
    verdict = sora.verify(copy)
    assert (verdict.verdict, verdict.reason) == (VerdictName.OURS_ALTERED, "bytes_changed")
    assert verdict.clip_id == release.clip_id
    assert not verdict.audit.included


def test_remuxed_without_credentials_is_ours_altered(
    sora: GuardedSora, release: Release, tmp_path: Path
) -> None:
    copy = tmp_path / "remuxed.mp4"
    remux(release.path, copy)
    verdict = sora.verify(copy)
    assert (verdict.verdict, verdict.reason) == (VerdictName.OURS_ALTERED, "credentials_stripped")
    assert verdict.clip_id == release.clip_id


@pytest.mark.parametrize("crf", [23, 28])
def test_reencoded_is_found_through_the_mark(
    sora: GuardedSora, release: Release, tmp_path: Path, crf: int
) -> None:
    copy = tmp_path / "reencoded.mp4"
    encode(FrameStream(release.path, sora.services.worker), copy, crf=crf)
    verdict = sora.verify(copy)
    assert (verdict.verdict, verdict.clip_id) == (VerdictName.OURS_ALTERED, release.clip_id)
    (mark,) = [item for item in verdict.evidence if item.kind == "watermark"]
    assert mark.detail["log10_p"] <= -9
    assert mark.detail["payload"] == f"{release.clip_id.id:010x}"


def test_cut_short_is_ours_altered_with_its_seconds(
    sora: GuardedSora, release: Release, tmp_path: Path
) -> None:
    frames = np.concatenate([b.frames for b in FrameStream(release.path, sora.services.worker)])
    copy = tmp_path / "cut.mp4"
    encode(ClipFrames(frames[8:24], 8.0), copy, fps=8.0)
    verdict = sora.verify(copy)
    assert (verdict.verdict, verdict.reason) == (VerdictName.OURS_ALTERED, "cut_or_mixed")
    assert verdict.segments and verdict.segments[0].clip_id == release.clip_id


def cropped(frames: np.ndarray) -> np.ndarray:
    return frames[:, 20:240, 10:230]


def letterboxed(frames: np.ndarray) -> np.ndarray:
    return np.pad(frames, ((0, 0), (40, 40), (0, 0), (0, 0)))


def mirrored(frames: np.ndarray) -> np.ndarray:
    return frames[:, :, ::-1]


def enlarged(frames: np.ndarray) -> np.ndarray:
    return np.stack([cv2.resize(frame, (640, 640)) for frame in frames])


def cropped_and_enlarged(frames: np.ndarray) -> np.ndarray:
    return np.stack([cv2.resize(frame, (400, 400)) for frame in cropped(frames)])


@pytest.mark.parametrize("edit", [cropped, letterboxed, mirrored, enlarged, cropped_and_enlarged])
def test_cropped_padded_mirrored_or_enlarged_it_is_still_ours(
    sora: GuardedSora, release: Release, tmp_path: Path, edit: Callable[[np.ndarray], np.ndarray]
) -> None:
    """A picture that cannot be laid over ours must not be called tampered for it."""
    frames = np.concatenate([b.frames for b in FrameStream(release.path, sora.services.worker)])
    copy = tmp_path / "edited.mp4"
    encode(ClipFrames(np.ascontiguousarray(edit(frames)), 8.0), copy, fps=8.0, crf=23)
    verdict = sora.verify(copy)
    assert (verdict.verdict, verdict.clip_id) == (VerdictName.OURS_ALTERED, release.clip_id)
    assert [(part.start, part.clip_id) for part in verdict.segments] == [(0.0, release.clip_id)]
    assert verdict.segments[0].end == pytest.approx(len(frames) / 8.0, abs=0.5)
    assert "content_not_confirmed" not in verdict.notices


def test_our_mark_on_another_film_is_found_out_even_when_cropped(
    sora: GuardedSora, release: Release, tmp_path: Path
) -> None:
    """The mark tells how the copy was cropped, so it can be laid over the original all the same."""
    payload = MarkPayload(id=release.clip_id.id, epoch=sora.services.keys.mark_epoch)
    marked = sora.services.mark.embed(ClipFrames(moving_scene(78, frames=32), 8.0), payload)
    frames = cropped(np.concatenate([batch.frames for batch in marked]))
    forged = tmp_path / "forged.mp4"
    encode(ClipFrames(np.ascontiguousarray(frames), 8.0), forged, fps=8.0)
    verdict = sora.verify(forged)
    assert (verdict.verdict, verdict.reason) == (VerdictName.TAMPERED, "mark_transplanted")


def test_our_mark_on_another_film_is_tampered(sora: GuardedSora, release: Release, tmp_path: Path) -> None:
    """Only a key holder can embed; this stands for a mark that was copied over."""
    other = ClipFrames(moving_scene(77, frames=32), 8.0)
    payload = MarkPayload(id=release.clip_id.id, epoch=sora.services.keys.mark_epoch)
    forged = tmp_path / "forged.mp4"
    encode(sora.services.mark.embed(other, payload), forged, fps=8.0)
    verdict = sora.verify(forged)
    assert (verdict.verdict, verdict.reason) == (VerdictName.TAMPERED, "mark_transplanted")


def test_a_foreign_signed_film_is_declared_and_with_one_changed_byte_tampered(
    sora: GuardedSora, film: Callable[..., Path], tmp_path: Path
) -> None:
    signed = tmp_path / "signed.mp4"
    foreign_signed(film(), signed)
    assert sora.verify(signed).verdict is VerdictName.DECLARED_SYNTHETIC
    flip_byte(signed)
    verdict = sora.verify(signed)
    assert (verdict.verdict, verdict.reason) == (VerdictName.TAMPERED, "credentials_broken")
    assert verdict.clip_id is None


def test_our_film_signed_again_by_a_stranger_is_ours_altered(
    sora: GuardedSora, release: Release, tmp_path: Path
) -> None:
    bare, signed = tmp_path / "bare.mp4", tmp_path / "theirs.mp4"
    remux(release.path, bare)
    foreign_signed(bare, signed)
    verdict = sora.verify(signed)
    assert (verdict.verdict, verdict.reason) == (VerdictName.OURS_ALTERED, "resigned")


def test_a_foreign_unsigned_film_gives_no_evidence(sora: GuardedSora, film: Callable[..., Path]) -> None:
    verdict = sora.verify(film())
    assert (verdict.verdict, verdict.clip_id) == (VerdictName.NO_EVIDENCE, None)
    assert {item.kind for item in verdict.evidence} >= {"credentials", "watermark", "fingerprint", "detector"}


def test_another_installation_does_not_take_our_film_for_its_own(release: Release, tmp_path: Path) -> None:
    with GuardedSora.open(home=tmp_path / "elsewhere") as other:
        verdict = other.verify(release.path)
    assert verdict.verdict is VerdictName.DECLARED_SYNTHETIC
    assert verdict.clip_id is None


def test_credentials_depth_reads_no_pixels(sora: GuardedSora, release: Release) -> None:
    verdict = sora.verify(release.path, depth="credentials")
    assert "watermark" not in {item.kind for item in verdict.evidence}
    assert (verdict.verdict, verdict.reason) == (VerdictName.INCONCLUSIVE, "mark_not_checked")


def truncated(path: Path, release: Release) -> None:
    path.write_bytes(release.path.read_bytes()[:2000])


def text(path: Path, release: Release) -> None:
    path.write_text("this is no film\n" * 50)


def empty(path: Path, release: Release) -> None:
    path.write_bytes(b"")


def no_frames(path: Path, release: Release) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=8)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        container.start_encoding()


def random_bytes(path: Path, release: Release) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(100_000))


@pytest.mark.parametrize("make", [truncated, text, empty, no_frames, random_bytes])
def test_what_is_no_film_is_unreadable_and_logged(
    sora: GuardedSora, release: Release, tmp_path: Path, make: Callable[[Path, Release], None]
) -> None:
    path = tmp_path / "bad.mp4"
    make(path, release)
    verdict = sora.verify(path)
    assert verdict.verdict is VerdictName.UNREADABLE
    assert sora.services.log.read(verdict.audit.seq or -1).body["verdict"] == "unreadable"
    (media,) = [item for item in verdict.evidence if item.kind == "media"]
    assert media.detail["reason"]


@pytest.mark.parametrize("name", ["missing.mp4", "."])
def test_what_is_no_file_is_a_usage_error(sora: GuardedSora, tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        sora.verify(tmp_path / name)


def test_a_check_that_fails_is_evidence_and_never_silence(
    sora: GuardedSora, film: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("out of order")

    monkeypatch.setattr(type(sora.services.mark), "detect", broken)
    verdict = sora.verify(film())
    assert verdict.verdict is VerdictName.INCONCLUSIVE
    assert ("watermark", "failed") in {(item.kind, item.state) for item in verdict.evidence}


def test_a_strangers_word_that_a_film_of_ours_is_in_it_proves_nothing(
    sora: GuardedSora, release: Release, film: Callable[..., Path], tmp_path: Path
) -> None:
    """Anybody can name our film as an ingredient of something else."""
    target = tmp_path / "theirs.mp4"
    content = ManifestContent(
        clip_id="gs1:00000000:0000000000",
        title="somebody's film",
        generator=Generator(name="another generator", version="1"),
        created=datetime.now(UTC),
        ingredients=(Ingredient(path=release.path, relationship="inputTo", title="a film of theirs"),),
    )
    sign(
        film(seed=17),
        target,
        content,
        FileKeySigner.of(issue_chain("Somebody Else")),
        trust=sora.services.trust,
    )
    verdict = sora.verify(target)
    assert (verdict.verdict, verdict.clip_id) == (VerdictName.DECLARED_SYNTHETIC, None)


def test_the_operators_word_counts_for_films_of_ours_only(
    release: Release, sora: GuardedSora, film: Callable[..., Path]
) -> None:
    word = OperatorWord(placed=date(2026, 5, 1), looks_real=False)
    settings = sora.services.settings.model_copy(update={"operator": word})
    saying = GuardedSora(replace(sora.services, settings=settings))
    ours = saying.verify(release.path, laws=("eu",)).rules["eu"]
    theirs = saying.verify(film(seed=18), laws=("eu",)).rules["eu"]
    assert ours["D1"]["state"] == "not_applicable" and theirs["D1"]["state"] == "fail"
    assert theirs["E2"]["state"] == "fail"


def test_reading_leaves_the_file_as_it_was(sora: GuardedSora, release: Release, tmp_path: Path) -> None:
    copy = tmp_path / "read-only.mp4"
    shutil.copyfile(release.path, copy)
    copy.chmod(0o400)
    before = copy.read_bytes()
    sora.verify(copy)
    assert copy.read_bytes() == before


def test_several_films_in_one_file_are_said_to_be_there(
    sora: GuardedSora, film: Callable[..., Path], tmp_path: Path
) -> None:
    single, double = film(), tmp_path / "two.mkv"
    with av.open(str(double), "w") as both:
        streams = []
        for _ in range(2):
            streams.append(both.add_stream("libx264", rate=8))
            streams[-1].height = streams[-1].width = 64
        for shade in range(24):
            for number, stream in enumerate(streams):
                pixels = np.full((64, 64, 3), 5 * shade + 100 * number, np.uint8)
                both.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        for stream in streams:
            both.mux(stream.encode(None))
    assert "first_video_track_only" not in sora.verify(single).notices
    assert "first_video_track_only" in sora.verify(double).notices
