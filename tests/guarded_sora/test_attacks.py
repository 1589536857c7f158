"""Attempts to get something past the guard, each of which once looked possible."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guarded_sora import (
    Blocked,
    GuardedSora,
    GuardedSoraError,
    MediaError,
    Release,
    ReviewRequired,
    VerdictName,
)
from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.generation.contract import BackendInfo, Clip, GenerationRequest, OnStep
from guarded_sora.media import FrameStream
from guarded_sora.policies.finding import CharacterSpan, Finding
from guarded_sora.records import MOST_FINDINGS
from tests.guarded_sora.conftest import Painter, moving_scene
from tests.guarded_sora.test_guard import Broken

PROMPT = "a red balloon rising over a sandy beach"


class Watching:
    """A frame check that remembers what it saw, and then lets the attacker act."""

    name = "test.watching"
    version = "1"
    unavailable = ""

    def __init__(self, then: Callable[[], None]) -> None:
        self.seen: list[np.ndarray] = []
        self._then = then

    def inspect(self, frames: FrameBatch) -> list[Finding]:
        self.seen.append(frames.frames.copy())
        self._then()
        return []


def watched(sora: GuardedSora, check: Any) -> GuardedSora:
    return GuardedSora(replace(sora.services, frame_checks=(check,)))


def difference(sora: GuardedSora, path: Path, wanted: np.ndarray) -> float:
    frames = np.concatenate([batch.frames for batch in FrameStream(path, sora.services.worker)])
    return float(np.abs(frames[: len(wanted)].astype(int) - wanted).mean())


def test_a_backend_that_changes_its_frames_after_the_checks(home: Path, tmp_path: Path) -> None:
    shared = moving_scene(1)

    class Sly:
        info = BackendInfo(name="sly", version="1", licence="none")

        def generate(self, request: GenerationRequest, on_step: OnStep | None = None) -> Clip:
            return Clip(frames=shared, fps=8.0, info=self.info)

    with GuardedSora.open(home=home, backend=Sly()) as plain:
        check = Watching(lambda: shared.fill(255))
        sora = watched(plain, check)
        from guarded_sora import RequestContext

        release = sora.generate(PROMPT, context=RequestContext(region="US"), output=tmp_path / "clip.mp4")
        assert difference(sora, release.path, np.concatenate(check.seen)) < 10


def test_a_source_exchanged_between_check_and_mark(
    sora: GuardedSora, film: Callable[..., Path], tmp_path: Path
) -> None:
    source, other = film("source.mp4", seed=5), film("other.mp4", seed=6)
    guarded = watched(sora, Watching(lambda: os.replace(other, source) if other.exists() else None))
    release = guarded.protect(source, prompt="soft shapes", output=tmp_path / "safe.mp4")
    assert difference(sora, release.path, moving_scene(5, frames=24)) < 12


def test_protect_looks_at_every_frame(sora: GuardedSora, film: Callable[..., Path], tmp_path: Path) -> None:
    """Whoever knows which frames are looked at hides the others between them."""
    check = Watching(lambda: None)
    watched(sora, check).protect(
        film("source.mp4", seed=5, frames=24), prompt="soft shapes", output=tmp_path / "safe.mp4"
    )
    assert sum(len(frames) for frames in check.seen) == 24


def test_neither_words_nor_passwords_stand_in_a_repr(sora: GuardedSora, tmp_path: Path) -> None:
    from guarded_sora.prompts import PromptRequest
    from guarded_sora.settings import load_settings

    seen: list[str] = []

    class Logging(Painter):
        def generate(self, request: GenerationRequest, on_step: OnStep | None = None) -> Clip:
            seen.append(repr(request))
            return replace(super().generate(request, on_step), warnings=("zeppelin",))

    with GuardedSora.open(home=tmp_path / "other", backend=Logging()) as other:
        release = other.generate("a zeppelin", output=tmp_path / "clip.mp4")
        seen += [repr(release), repr(other), repr(other.services.keys)]
    seen.append(repr(PromptRequest(prompt="a zeppelin")))
    seen.append(repr(load_settings(database_url="postgresql://u:zeppelin@127.0.0.1/x")))
    assert not [text for text in seen if "zeppelin" in text]


def test_a_closed_installation_says_so_before_anything_is_made(home: Path, tmp_path: Path) -> None:
    from guarded_sora import UsageError

    with GuardedSora.open(home=home, backend=Painter()) as sora:
        pass
    sora.close()
    with pytest.raises(UsageError, match="closed"):
        sora.generate(PROMPT, output=tmp_path / "clip.mp4")


def test_a_prompt_of_countless_findings_still_leaves_its_record(sora: GuardedSora, tmp_path: Path) -> None:
    class Flood:
        name = "test.flood"
        version = "1"

        def check(self, text: str, context: Any) -> list[Finding]:
            return [
                Finding(
                    category="violence.graphic",
                    severity=3,
                    detector="test.flood",
                    detector_version="1",
                    where=CharacterSpan(start=number, end=number + 1),
                )
                for number in range(20_000)
            ]

    guarded = GuardedSora(replace(sora.services, prompt_checks=(*sora.services.prompt_checks, Flood())))
    with pytest.raises((Blocked, ReviewRequired)) as caught:
        guarded.generate(PROMPT, output=tmp_path / "clip.mp4")
    entry = sora.services.log.read(caught.value.audit_seq or -1)
    assert len(entry.body["findings"]) == MOST_FINDINGS
    assert entry.body["findings_total"] >= 20_000


def held(sora: GuardedSora, tmp_path: Path) -> str:
    with pytest.raises(ReviewRequired) as caught:
        watched(sora, Broken()).generate(PROMPT, output=tmp_path / "never.mp4")
    sora.services.cases.decide(caught.value.case_id, "allow", reviewer="rita", reason_code="looked")
    return caught.value.case_id


def test_two_at_once_release_a_case_once(sora: GuardedSora, tmp_path: Path) -> None:
    case_id = held(sora, tmp_path)
    start = threading.Barrier(4)

    def attempt(number: int) -> Release | GuardedSoraError:
        start.wait()
        try:
            return sora.release_case(case_id, output=tmp_path / f"clip-{number}.mp4")
        except GuardedSoraError as error:
            return error

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(attempt, range(4)))
    released = [item for item in results if isinstance(item, Release)]
    assert len(released) == 1
    assert list(tmp_path.glob("clip-*.mp4")) == [released[0].path]


def test_a_held_film_exchanged_for_another_stays_held(sora: GuardedSora, tmp_path: Path) -> None:
    case_id = held(sora, tmp_path)
    waiting = sora.services.settings.held / f"{case_id}.mp4"
    whole = waiting.read_bytes()
    waiting.write_bytes(b"something else")
    with pytest.raises(MediaError, match="was changed"):
        sora.release_case(case_id, output=tmp_path / "clip.mp4")
    assert not (tmp_path / "clip.mp4").exists()
    # Once the right film is back, the case can still be released.
    waiting.write_bytes(whole)
    release = sora.release_case(case_id, output=tmp_path / "clip.mp4")
    assert sora.verify(release.path).verdict is VerdictName.OURS_INTACT


def test_links_at_the_output_are_replaced_and_not_followed(sora: GuardedSora, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("do not touch")
    for name in ("clip.mp4", "clip.contact-sheet.png"):
        (tmp_path / name).symlink_to(precious)
    release = sora.generate(PROMPT, output=tmp_path / "clip.mp4")
    assert precious.read_text() == "do not touch"
    assert not release.path.is_symlink() and not release.contact_sheet.is_symlink()


def test_a_clip_of_the_same_number_in_another_store_is_not_ours(sora: GuardedSora, tmp_path: Path) -> None:
    """A stranger who knows our ids signs a film that names one of them."""
    from datetime import UTC, datetime

    from guarded_sora.provenance.credentials.certificates import issue_chain
    from guarded_sora.provenance.credentials.manifest import Generator, ManifestContent
    from guarded_sora.provenance.credentials.sign import sign
    from guarded_sora.provenance.credentials.signer import FileKeySigner

    ours = sora.generate(PROMPT, output=tmp_path / "ours.mp4")
    with GuardedSora.open(home=tmp_path / "elsewhere", backend=Painter()) as stranger:
        theirs = stranger.generate(PROMPT, seed=77, output=tmp_path / "theirs.mp4")
        bare = tmp_path / "bare.mp4"
        from guarded_sora.media import encode

        encode(FrameStream(theirs.path, stranger.services.worker), bare)
    forged = tmp_path / "forged.mp4"
    content = ManifestContent(
        clip_id=str(ours.clip_id),
        title="a film of yours, honestly",
        generator=Generator(name="guarded-sora", version="1", settings={}),
        created=datetime.now(UTC),
        provider="Guarded Sora installation",
    )
    sign(bare, forged, content, FileKeySigner.of(issue_chain("Guarded Sora installation")))
    verdict = sora.verify(forged)
    assert verdict.verdict is VerdictName.DECLARED_SYNTHETIC
    assert verdict.clip_id is None


def test_what_a_killed_run_left_behind_is_swept(home: Path, tmp_path: Path) -> None:
    with GuardedSora.open(home=home, backend=Painter()) as sora:
        work = sora.services.settings.work
        work.mkdir(parents=True, exist_ok=True)
        old, fresh = work / "passage-old", work / "passage-fresh"
        for folder in (old, fresh):
            folder.mkdir()
            (folder / "encoded.mp4").write_bytes(b"left over")
        long_ago = old.stat().st_mtime - 3 * 24 * 3600
        os.utime(old, (long_ago, long_ago))
    with GuardedSora.open(home=home, backend=Painter()):
        assert not old.exists()
        assert fresh.exists()  # it may belong to a run of another process that goes on


@pytest.mark.timeout(60)
@pytest.mark.parametrize("character", ["a", "7", "あ", "Б", "*", "a*", "\u200b", "=", "🎈"])
def test_a_long_run_of_one_character_does_not_hold_the_process(sora: GuardedSora, character: str) -> None:
    """Expressions that look at every start of a long run take minutes here, and no deadline stops them."""
    sora.check(character * (100_000 // len(character)))


def test_a_yes_to_the_words_is_no_yes_to_frames_that_were_not_checked(
    sora: GuardedSora, tmp_path: Path
) -> None:
    class Failing:
        name = "test.words"
        version = "1"

        def check(self, text: str, context: Any) -> list[Finding]:
            raise RuntimeError("out of order")

    guarded = GuardedSora(replace(sora.services, prompt_checks=(Failing(),), frame_checks=(Broken(),)))
    with pytest.raises(ReviewRequired) as words:
        guarded.generate(PROMPT, output=tmp_path / "clip.mp4")
    sora.services.cases.decide(words.value.case_id, "allow", reviewer="rita", reason_code="harmless")
    with pytest.raises(ReviewRequired) as frames:
        guarded.release_case(words.value.case_id, output=tmp_path / "clip.mp4")
    assert frames.value.case_id != words.value.case_id
    assert not (tmp_path / "clip.mp4").exists()


def test_a_case_under_appeal_releases_nothing(sora: GuardedSora, tmp_path: Path) -> None:
    from guarded_sora import UsageError

    case_id = held(sora, tmp_path)
    sora.services.cases.appeal(case_id, by="somebody", statement="this shows me")
    with pytest.raises(UsageError, match="appealed"):
        sora.release_case(case_id, output=tmp_path / "clip.mp4")


def test_notes_and_appeals_go_when_their_person_is_erased(
    sora: GuardedSora, home: Path, tmp_path: Path
) -> None:
    with pytest.raises(ReviewRequired) as caught:
        watched(sora, Broken()).generate(PROMPT, output=tmp_path / "never.mp4")
    cases = sora.services.cases
    cases.decide(caught.value.case_id, "block", reviewer="rita", reason_code="looked", note="quartz zeppelin")
    sora.services.log.erase(sora.services.keys.pseudonym("actor", "local"), actor="test", reason="request")
    for entry in sora.services.log.tail(100):
        assert b"zeppelin" not in (sora.services.log.payload(entry.seq) or b"")


def test_several_films_of_one_picture(sora: GuardedSora, tmp_path: Path) -> None:
    from PIL import Image

    from guarded_sora import RequestContext
    from guarded_sora.guard import generate
    from guarded_sora.prompts import PromptRequest

    picture = tmp_path / "start.png"
    Image.fromarray(moving_scene(3)[0]).save(picture)
    releases = generate(
        sora.services,
        PromptRequest(prompt=PROMPT, image=picture, seed=1),
        RequestContext(),
        output=tmp_path / "clip.mp4",
        count=2,
    )
    assert [sora.verify(release.path).verdict for release in releases] == [VerdictName.OURS_INTACT] * 2
    assert list(sora.services.settings.work.iterdir()) == []


def test_free_text_of_a_client_does_not_reach_the_log(sora: GuardedSora, tmp_path: Path) -> None:
    from guarded_sora import RequestContext

    words = "Alice Smith, 12 Main Street"
    context = RequestContext(region=words, locale=words)
    sora.generate(PROMPT, context=context, output=tmp_path / "clip.mp4")
    assert not [entry for entry in sora.services.log.tail(50) if b"Alice" in entry.canonical]


def test_a_home_that_we_make_is_private(sora: GuardedSora) -> None:
    assert sora.services.settings.home.stat().st_mode & 0o077 == 0


def test_quick_cuts_match_themselves(home: Path, tmp_path: Path) -> None:
    """A film whose pictures change faster than they are sampled must still read back as itself."""

    class Flicker:
        info = BackendInfo(name="flicker", version="1", licence="none")

        def generate(self, request: GenerationRequest, on_step: OnStep | None = None) -> Clip:
            shots = np.concatenate([moving_scene(seed, frames=1) for seed in range(48)])
            return Clip(frames=shots, fps=30.0, info=self.info)

    with GuardedSora.open(home=home, backend=Flicker()) as sora:
        release = sora.generate(PROMPT, output=tmp_path / "clip.mp4")
        assert sora.verify(release.path).verdict is VerdictName.OURS_INTACT
