"""An expanded prompt is a prompt: checked, told to the user, and never held against them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from guarded_sora import BackendUnavailable, Blocked, GuardedSora, guard
from guarded_sora.generation.contract import GenerationRequest
from tests.guarded_sora.conftest import Painter, moving_scene
from tests.guarded_sora.test_guard import REFUSED, events

SHORT = "a balloon"


@pytest.fixture
def asked() -> list[str]:
    """What the generator was asked for."""
    return []


@pytest.fixture
def sora(home: Path, asked: list[str]) -> Iterator[GuardedSora]:
    def draw(request: GenerationRequest) -> np.ndarray:
        asked.append(request.prompt)
        return moving_scene(request.seed, frames=9)

    with GuardedSora.open(home=home, backend=Painter(draw)) as opened:
        yield opened


class Saying:
    """An expander that always says the same."""

    name = "saying"

    def __init__(self, words: str) -> None:
        self._words = words

    def expand(self, prompt: str, *, seed: int) -> str:
        return self._words


def test_the_generator_gets_the_expansion_and_the_user_sees_it(
    sora: GuardedSora, asked: list[str], tmp_path: Path
) -> None:
    release = sora.generate(SHORT, seed=3, expand="grammar", output=tmp_path / "clip.mp4")
    assert release.expanded and release.expanded != SHORT and "balloon" in release.expanded
    assert asked == [release.expanded]
    assert release.as_json()["expanded"] == release.expanded
    assert release.expanded not in repr(release)
    (event,) = events(sora, "request.expanded")
    assert event.body["expander"] == "grammar" and event.body["used"] is True
    assert sora.verify(release.path).verdict == "ours_intact"


def test_nothing_is_expanded_unless_asked(sora: GuardedSora, asked: list[str], tmp_path: Path) -> None:
    release = sora.generate(SHORT, seed=3, output=tmp_path / "clip.mp4")
    assert release.expanded is None and asked == [SHORT]


def test_an_expansion_that_the_policy_refuses_is_left_out(
    sora: GuardedSora, asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "load_expander", lambda spec: Saying(REFUSED))
    release = sora.generate(SHORT, seed=3, expand="anything", output=tmp_path / "clip.mp4")
    assert release.expanded is None and asked == [SHORT]
    assert release.decision.action == "allow" and not release.decision.findings
    (event,) = events(sora, "request.expanded")
    assert event.body["expander"] == "saying" and event.body["used"] is False


def test_a_refused_prompt_is_not_expanded(sora: GuardedSora, asked: list[str], tmp_path: Path) -> None:
    with pytest.raises(Blocked):
        sora.generate(REFUSED, expand="grammar", output=tmp_path / "clip.mp4")
    assert not asked and not events(sora, "request.expanded")


def test_an_expander_that_cannot_be_loaded_makes_nothing(
    sora: GuardedSora, asked: list[str], tmp_path: Path
) -> None:
    with pytest.raises(BackendUnavailable, match="safetensors"):
        sora.generate(SHORT, expand=str(tmp_path / "no-model"), output=tmp_path / "clip.mp4")
    assert not asked and not (tmp_path / "clip.mp4").exists()
    assert events(sora, "request.failed")
