"""One generation through the public API, and what happens when any part of it fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guarded_sora import (
    Blocked,
    GuardedSora,
    MediaError,
    ReviewRequired,
    UsageError,
    VerdictName,
)
from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.errors import GuardedSoraError
from guarded_sora.policies.finding import Action, Finding, Modality
from tests.guarded_sora.conftest import Painter, paint

PROMPT = "a red balloon rising over a sandy beach"
REFUSED = "a photorealistic beheading, blood everywhere"


def events(sora: GuardedSora, kind: str = "request.*") -> list[Any]:
    return sora.services.log.search(kind=kind, limit=1000)


def test_one_id_ties_decision_clip_mark_manifest_and_log(sora: GuardedSora, tmp_path: Path) -> None:
    release = sora.generate(PROMPT, seconds=2, seed=3, output=tmp_path / "clip.mp4")

    outcome = sora.services.log.read(release.audit_seq)
    assert outcome.kind == "request.released"
    assert outcome.body["clip_id"] == str(release.clip_id)
    assert outcome.body["file_sha256"] == release.sha256
    assert outcome.body["action"] == "allow"
    intent = sora.services.log.read_id(outcome.subject)
    assert intent.kind == "request.intent"

    verdict = sora.verify(release.path)
    assert verdict.verdict is VerdictName.OURS_INTACT
    assert verdict.clip_id == release.clip_id
    assert verdict.audit.included
    legs = {item.kind: item for item in verdict.evidence}
    assert legs["watermark"].detail["payload"] == f"{release.clip_id.id:010x}"
    assert legs["credentials"].detail["clip_id"] == str(release.clip_id)
    manifest = sora.services.store.manifest(legs["credentials"].detail["label"])
    assert manifest is not None
    assert release.clip_id.issuer.encode() in manifest
    assert sora.services.log.verify().ok


def test_the_prompt_stands_nowhere_in_clear(sora: GuardedSora, home: Path, tmp_path: Path) -> None:
    words = "a quartzite zeppelin over turquoise dunes"
    release = sora.generate(words, output=tmp_path / "clip.mp4")
    sora.services.log.checkpoint()
    for word in (b"quartzite", b"zeppelin", b"turquoise"):
        assert word not in release.path.read_bytes()
        for file in home.rglob("*"):
            if file.is_file():
                assert word not in file.read_bytes(), file
    assert sora.services.log.payload(events(sora, "request.intent")[0].seq) == words.encode()


def test_every_check_leaves_a_record_even_those_that_cannot_run(sora: GuardedSora, tmp_path: Path) -> None:
    release = sora.generate(PROMPT, output=tmp_path / "clip.mp4")
    states = {check.name: check.state.value for check in release.checks}
    assert states["lexicon"] == "ran"
    assert states["frames.violence"] == "unavailable"
    assert states["mark.read_back"] == "ran"
    logged = sora.services.log.read(release.audit_seq).body["checks"]
    assert {check["name"] for check in logged} >= {"lexicon", "frames.unsafe", "frames.violence"}


def test_a_refused_prompt_makes_no_film_and_says_why(sora: GuardedSora, tmp_path: Path) -> None:
    target = tmp_path / "never.mp4"
    with pytest.raises(Blocked) as caught:
        sora.generate(REFUSED, output=target)
    assert not target.exists()
    assert caught.value.decision.rules
    assert "beheading" not in str(caught.value)
    entry = sora.services.log.read(caught.value.audit_seq or -1)
    assert entry.kind == "request.blocked"
    assert entry.body["rules"]
    assert not [event for event in events(sora) if event.kind == "request.released"]


def test_repeated_blocks_are_counted_for_the_policy(sora: GuardedSora, tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(Blocked):
            sora.generate(REFUSED, output=tmp_path / "never.mp4")
    from guarded_sora.passage import Passage
    from guarded_sora.policies.finding import RequestContext
    from guarded_sora.progress import Silent

    passage = Passage(sora.services, RequestContext(), Silent())
    passage.count_history()
    assert passage.context.counters["actor.blocks_24h"] == 2


def test_several_films_of_one_decision_have_ids_of_their_own(sora: GuardedSora, tmp_path: Path) -> None:
    from guarded_sora.guard import generate
    from guarded_sora.policies.finding import RequestContext
    from guarded_sora.prompts import PromptRequest

    releases = generate(
        sora.services,
        PromptRequest(prompt=PROMPT, seed=5),
        RequestContext(),
        output=tmp_path / "clip.mp4",
        count=2,
    )
    assert [release.seed for release in releases] == [5, 6]
    assert len({release.clip_id for release in releases}) == 2
    assert [release.path.name for release in releases] == ["clip-1.mp4", "clip-2.mp4"]
    assert len(events(sora, "request.intent")) == 1
    assert all(sora.verify(release.path).verdict == "ours_intact" for release in releases)


class RedAlarm:
    """A detector that fires on red pictures: a real check, for want of a model."""

    name = "test.red"
    version = "1"
    unavailable = ""

    def __init__(self, category: str) -> None:
        self._category = category

    def inspect(self, frames: FrameBatch) -> list[Finding]:
        red = frames.frames[..., 0].mean() > frames.frames[..., 1:].mean() + 60
        if not red:
            return []
        return [
            Finding(
                category=self._category,
                severity=3,
                score=0.99,
                detector=self.name,
                detector_version=self.version,
                modality=Modality.VIDEO,
            )
        ]


def red_film(request: Any) -> np.ndarray:
    film = paint(request)
    film[..., 1:] //= 8
    film[..., 0] = np.maximum(film[..., 0], 180)
    return film


def with_check(sora: GuardedSora, check: Any) -> GuardedSora:
    from dataclasses import replace

    return GuardedSora(replace(sora.services, frame_checks=(*sora.services.frame_checks, check)))


def test_frames_decide_too(home: Path, tmp_path: Path) -> None:
    with GuardedSora.open(home=home, backend=Painter(red_film)) as plain:
        sora = with_check(plain, RedAlarm("violence.graphic"))
        target = tmp_path / "clip.mp4"
        with pytest.raises((Blocked, ReviewRequired)) as caught:
            sora.generate(PROMPT, output=target)
        assert not target.exists()
        assert any(finding.modality is Modality.VIDEO for finding in caught.value.decision.findings)


class Broken:
    """A frame check that raises."""

    name = "test.broken"
    version = "1"
    unavailable = ""

    def inspect(self, frames: FrameBatch) -> list[Finding]:
        raise RuntimeError("secret words of a prompt")


def test_a_check_that_fails_sends_the_film_to_review_and_a_reviewer_can_release_it(
    sora: GuardedSora, tmp_path: Path
) -> None:
    target = tmp_path / "clip.mp4"
    with pytest.raises(ReviewRequired) as caught:
        with_check(sora, Broken()).generate(PROMPT, output=target)
    case_id = caught.value.case_id
    assert not target.exists()
    held = sora.services.settings.held / f"{case_id}.mp4"
    assert held.is_file()
    assert sora.verify(held).verdict is VerdictName.OURS_INTACT
    failed = [check for check in caught.value.decision.checks if check.name == "test.broken"]
    assert failed[0].state.value == "failed"
    assert "secret" not in failed[0].reason

    with pytest.raises(UsageError, match="only a case decided 'allow'"):
        sora.release_case(case_id, output=target)
    sora.services.cases.decide(case_id, "allow", reviewer="reviewer-a", reason_code="looked")
    release = sora.release_case(case_id, output=target)
    assert target.is_file() and not held.exists()
    assert sora.verify(target).verdict is VerdictName.OURS_INTACT
    assert release.audit_seq > 0
    with pytest.raises(UsageError, match="released before"):
        sora.release_case(case_id, output=tmp_path / "again.mp4")


def test_a_held_film_that_was_changed_is_not_released(sora: GuardedSora, tmp_path: Path) -> None:
    with pytest.raises(ReviewRequired) as caught:
        with_check(sora, Broken()).generate(PROMPT, output=tmp_path / "clip.mp4")
    case_id = caught.value.case_id
    held = sora.services.settings.held / f"{case_id}.mp4"
    held.write_bytes(held.read_bytes() + b"x")
    sora.services.cases.decide(case_id, "allow", reviewer="reviewer-a", reason_code="looked")
    with pytest.raises(MediaError, match="was changed"):
        sora.release_case(case_id, output=tmp_path / "clip.mp4")
    assert not (tmp_path / "clip.mp4").exists()


def test_nothing_is_left_in_the_work_folder(sora: GuardedSora, tmp_path: Path) -> None:
    sora.generate(PROMPT, output=tmp_path / "clip.mp4")
    with pytest.raises(Blocked):
        sora.generate(REFUSED, output=tmp_path / "never.mp4")
    assert list(sora.services.settings.work.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompt": ""}, "prompt is empty"),
        ({"prompt": " \n\t"}, "prompt is empty"),
        ({"prompt": "a" * 100_001}, "100,001 characters"),
        ({"prompt": PROMPT, "seconds": 0}, "more than 0"),
        ({"prompt": PROMPT, "seconds": -3}, "more than 0"),
        ({"prompt": PROMPT, "seconds": float("nan")}, "more than 0"),
        ({"prompt": PROMPT, "size": (0, 256)}, "48 to 4096"),
        ({"prompt": PROMPT, "seed": -1}, "seed"),
        ({"prompt": PROMPT, "output": "clip.avi"}, ".mp4"),
    ],
)
def test_input_that_cannot_be_used_is_refused_at_the_door(
    sora: GuardedSora, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        sora.generate(**arguments)
    assert events(sora) == []


def test_lone_surrogates_are_replaced_and_logged(sora: GuardedSora, tmp_path: Path) -> None:
    release = sora.generate("a \ud800 balloon \udfff", output=tmp_path / "clip.mp4")
    assert sora.services.log.read(release.audit_seq).kind == "request.released"


def test_a_huge_prompt_is_judged_in_bounded_time(sora: GuardedSora, tmp_path: Path) -> None:
    try:
        sora.generate("balloon over a beach " * 4700, output=tmp_path / "clip.mp4")
    except (Blocked, ReviewRequired) as answer:
        assert answer.audit_seq is not None
    assert sora.services.log.verify().ok


@pytest.mark.parametrize("target", ["missing/clip.mp4", "."])
def test_an_output_that_cannot_be_written_is_refused_before_anything_is_made(
    sora: GuardedSora, tmp_path: Path, target: str
) -> None:
    path = tmp_path / target
    with pytest.raises((MediaError, UsageError)):
        sora.generate(PROMPT, output=path)
    assert events(sora) == []


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((0, 64, 64, 3), np.uint8),
        np.zeros((4, 64, 64), np.uint8),
        "not frames",
        None,
    ],
)
def test_a_generator_that_returns_no_film_releases_nothing(home: Path, tmp_path: Path, frames: Any) -> None:
    with GuardedSora.open(home=home, backend=Painter(lambda request: frames)) as sora:
        with pytest.raises(GuardedSoraError):
            sora.generate(PROMPT, output=tmp_path / "clip.mp4")
        assert not (tmp_path / "clip.mp4").exists()
        assert events(sora)[-1].kind == "request.failed"


def test_check_decides_without_a_trace(sora: GuardedSora) -> None:
    assert sora.check(PROMPT).action is Action.ALLOW
    assert sora.check(REFUSED).action is Action.BLOCK
    assert sora.services.log.size == 0
