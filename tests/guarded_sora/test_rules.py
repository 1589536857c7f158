"""Laws end to end: a film made for a profile fails no clause of it; a bare one fails the marking clauses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from guarded_sora import GuardedSora, RequestContext, UsageError
from guarded_sora.media import FrameStream, encode

LAWS = ("eu", "us-ca", "cn", "in", "kr")
PROMPT = "a red balloon rising over a sandy beach"


def failed(rules: dict[str, dict[str, dict[str, str]]]) -> set[str]:
    return {
        f"{law}.{name}" for law in rules for name, clause in rules[law].items() if clause["state"] == "fail"
    }


def test_one_profile_satisfies_every_law_at_once(sora: GuardedSora, tmp_path: Path) -> None:
    release = sora.generate(PROMPT, seconds=3, seed=4, profile=LAWS, output=tmp_path / "clip.mp4")
    verdict = sora.verify(release.path, laws=LAWS, rubric=True)
    assert set(verdict.rules) == {*LAWS, "rubric"}
    assert failed(verdict.rules) == set()
    assert not verdict.clause_failed

    bare = tmp_path / "bare.mp4"
    encode(FrameStream(release.path, sora.services.worker), bare, crf=26)
    stripped = sora.verify(bare, laws=LAWS)
    assert stripped.verdict == "ours_altered"
    assert stripped.clause_failed
    # What rested on metadata is gone; the labels in the picture and the mark are still there.
    assert "cn.G2" in failed(stripped.rules) and "us-ca.C1" in failed(stripped.rules)
    assert stripped.rules["eu"]["E2"]["state"] == "pass"
    assert stripped.rules["cn"]["G1"]["state"] == "pass"


def test_a_film_without_marks_fails_the_marking_clauses(sora: GuardedSora, film: Callable[..., Path]) -> None:
    verdict = sora.verify(film(), laws=("eu", "cn"))
    assert {"eu.E2", "cn.G1", "cn.G2"} <= failed(verdict.rules)
    assert verdict.clause_failed


@pytest.mark.parametrize("region", ["EU", "FR", ""])
def test_an_unknown_or_european_region_gets_the_label(sora: GuardedSora, tmp_path: Path, region: str) -> None:
    context = RequestContext(region=region)
    release = sora.generate(PROMPT, seconds=2, context=context, output=tmp_path / "clip.mp4")
    assert "label:eu" in release.decision.obligations
    assert sora.verify(release.path, laws=("eu",)).rules["eu"]["D1"]["state"] == "pass"


def test_another_region_gets_none(sora: GuardedSora, tmp_path: Path) -> None:
    context = RequestContext(region="US")
    release = sora.generate(PROMPT, seconds=2, context=context, output=tmp_path / "clip.mp4")
    assert sora.verify(release.path, laws=("eu",)).rules["eu"]["D1"]["state"] == "fail"


def test_a_law_nobody_knows_is_refused_before_anything_is_made(
    sora: GuardedSora, film: Callable[..., Path]
) -> None:
    with pytest.raises(UsageError, match="atlantis"):
        sora.generate(PROMPT, profile=("atlantis",))
    with pytest.raises(UsageError, match="atlantis"):
        sora.verify(film(), laws=("atlantis",))
    assert sora.services.log.size == 0
