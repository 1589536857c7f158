"""Each stage made to raise or to hang: nothing is released, and the record names the stage."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from guarded_sora import GuardedSora, MediaError, ReviewRequired, StageFailed, VerdictName
from guarded_sora.errors import GuardedSoraError
from guarded_sora.policies.finding import Finding
from guarded_sora.stages import StageRunner
from tests.guarded_sora.test_guard import PROMPT, events


def failing(monkeypatch: pytest.MonkeyPatch, stage: str, how: str, release: threading.Event) -> None:
    """Make one stage raise, or hang until the test is over."""
    run, run_in_worker = StageRunner.run, StageRunner.run_in_worker

    def fault(*_: Any, **__: Any) -> Any:
        if how == "raise":
            raise OSError("no words of a user here")
        release.wait(60)

    def patched(
        self: StageRunner, name: str, function: Any, /, *args: Any, deadline: float, **kwargs: Any
    ) -> Any:
        if name == stage:
            return run(self, name, fault, deadline=0.3)
        return run(self, name, function, *args, deadline=deadline, **kwargs)

    def patched_worker(
        self: StageRunner, name: str, function: str, /, *args: Any, deadline: float, **kwargs: Any
    ) -> Any:
        if name == stage:
            return run(self, name, fault, deadline=0.3)
        return run_in_worker(self, name, function, *args, deadline=deadline, **kwargs)

    monkeypatch.setattr(StageRunner, "run", patched)
    monkeypatch.setattr(StageRunner, "run_in_worker", patched_worker)


@pytest.fixture
def over() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


STAGES = (
    "audit_intent",
    "load_generator",
    "generate",
    "reserve_id",
    "mark_and_encode",
    "thumbnail",
    "sign",
    "read_mark",
    "read_credentials",
    "fingerprint",
    "contact_sheet",
    "store",
    "audit_outcome",
)


def test_the_list_of_stages_is_whole(sora: GuardedSora, tmp_path: Path) -> None:
    release = sora.generate(PROMPT, output=tmp_path / "clip.mp4")
    deadlined = [stage.name for stage in release.stages]
    assert set(deadlined) - {"prompt_checks", "frame_checks", "publish"} == set(STAGES)


@pytest.mark.parametrize("how", ["raise", "hang"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_fails_releases_nothing_and_is_named(
    sora: GuardedSora,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    over: threading.Event,
    stage: str,
    how: str,
) -> None:
    failing(monkeypatch, stage, how, over)
    target = tmp_path / "clip.mp4"
    with pytest.raises(GuardedSoraError) as caught:
        sora.generate(PROMPT, output=target)
    assert isinstance(caught.value, StageFailed)
    assert caught.value.stage == stage
    assert list(tmp_path.rglob("*.mp4")) == []
    failed = [event for event in events(sora) if event.kind == "request.failed"]
    assert [event.body["stage"] for event in failed] == [stage]
    assert not [event for event in events(sora) if event.kind == "request.released"]


@pytest.mark.parametrize("how", ["raise", "hang"])
def test_a_prompt_check_that_fails_is_reviewed_and_named(
    sora: GuardedSora, tmp_path: Path, over: threading.Event, how: str
) -> None:
    from dataclasses import replace

    class Check:
        name = "test.words"
        version = "1"

        def check(self, text: str, context: Any) -> list[Finding]:
            if how == "raise":
                raise RuntimeError(text)
            over.wait(60)
            return []

    deadlines = sora.services.settings.deadlines.model_copy(update={"check": 0.3})
    settings = sora.services.settings.model_copy(update={"deadlines": deadlines})
    guarded = GuardedSora(replace(sora.services, prompt_checks=(Check(),), settings=settings))
    with pytest.raises(ReviewRequired) as caught:
        guarded.generate("a zeppelin over dunes", output=tmp_path / "clip.mp4")
    assert not (tmp_path / "clip.mp4").exists()
    entry = sora.services.log.read(caught.value.audit_seq or -1)
    (record,) = [check for check in entry.body["checks"] if check["name"] == "test.words"]
    assert record["state"] == "failed"
    assert "zeppelin" not in entry.canonical.decode()

    # A reviewer's yes runs the request that waited, encrypted, in the case.
    sora.services.cases.decide(caught.value.case_id, "allow", reviewer="reviewer-a", reason_code="harmless")
    release = sora.release_case(caught.value.case_id, output=tmp_path / "clip.mp4")
    assert sora.verify(release.path).verdict is VerdictName.OURS_INTACT


def test_publishing_that_fails_is_undone_in_the_log(
    sora: GuardedSora, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from guarded_sora.stages import ReleaseToken

    def refuse(self: ReleaseToken, finished: Path, target: Path) -> Path:
        raise MediaError("There is no room.")

    monkeypatch.setattr(ReleaseToken, "publish", refuse)
    with pytest.raises(MediaError):
        sora.generate(PROMPT, output=tmp_path / "clip.mp4")
    assert not list(tmp_path.glob("*.mp4")) and not list(tmp_path.glob("*.png"))
    kinds = [event.kind for event in events(sora, "release.*")]
    assert kinds == ["release.undone"]
