"""A pack is tried beside the one in force, compared on texts and on the log, and promoted when it may."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from guarded_sora import Blocked, GuardedSora, UsageError
from guarded_sora.policies.pack import DEFAULT_PACK
from guarded_sora.rollout import choose_pack, choose_shadow, compare_on_log, read_rollout
from tests.guarded_sora.conftest import Painter
from tests.guarded_sora.test_cli import Run, run  # noqa: F401

PROMPT = "a red balloon rising over a sandy beach"
REFUSED = "a photorealistic beheading, blood everywhere"


@pytest.fixture
def candidate(tmp_path: Path) -> Path:
    """The shipped pack with another version: the same rules under another digest."""
    folder = tmp_path / "candidate"
    shutil.copytree(DEFAULT_PACK, folder)
    pack = folder / "pack.yaml"
    pack.write_text(pack.read_text().replace("title: Default policy", "title: Candidate policy"))
    return folder


def last(sora: GuardedSora, kind: str) -> dict[str, Any]:
    return dict(sora.services.log.search(kind=kind)[-1].body)


def test_a_pack_on_trial_is_logged_and_has_no_effect(home: Path, tmp_path: Path, candidate: Path) -> None:
    choose_shadow(home, candidate)
    with GuardedSora.open(home=home, backend=Painter()) as sora:
        release = sora.generate(PROMPT, output=tmp_path / "clip.mp4")
        body = last(sora, "request.released")
        assert body["shadow"]["action"] == "allow"
        assert body["shadow"]["pack"]["digest"] != body["pack"]["digest"]
        assert release.decision.shadow is not None
        with pytest.raises(Blocked):
            sora.generate(REFUSED, output=tmp_path / "never.mp4")
        assert last(sora, "request.blocked")["shadow"]["action"] == "block"


def test_a_trial_that_fails_stops_nothing(home: Path, tmp_path: Path, candidate: Path) -> None:
    class Broken:
        name = "test.broken"
        version = "1"

        def check(self, text: str, context: Any) -> list[Any]:
            raise RuntimeError("out of order")

    choose_shadow(home, candidate)
    with GuardedSora.open(home=home, backend=Painter()) as plain:
        assert plain.services.shadow is not None
        trial = replace(plain.services.shadow, checks=(Broken(),))
        sora = GuardedSora(replace(plain.services, shadow=trial))
        release = sora.generate(PROMPT, output=tmp_path / "clip.mp4")
        assert release.decision.action == "allow"


def test_the_log_can_be_decided_again_without_the_texts(home: Path, tmp_path: Path, candidate: Path) -> None:
    from guarded_sora.policies.pack import load_pack

    with GuardedSora.open(home=home, backend=Painter()) as sora:
        sora.generate(PROMPT, output=tmp_path / "clip.mp4")
        with pytest.raises(Blocked):
            sora.generate(REFUSED, output=tmp_path / "never.mp4")
        sora.services.log.erase(
            sora.services.keys.pseudonym("actor", "local"), actor="test", reason="request"
        )
        found = compare_on_log(load_pack(), load_pack(candidate), sora.services.log)
    assert found.total == 2
    assert {(a.value, b.value) for a, b in found.matrix} == {("allow", "allow"), ("block", "block")}


def test_a_promoted_pack_decides_and_is_pinned(home: Path, tmp_path: Path, candidate: Path) -> None:
    choose_pack(home, candidate)
    with GuardedSora.open(home=home, backend=Painter()) as sora:
        release = sora.generate(PROMPT, output=tmp_path / "clip.mp4")
        assert release.decision.pack.digest == read_rollout(home).decides.digest  # type: ignore[union-attr]
    pack = candidate / "pack.yaml"
    pack.write_text(pack.read_text() + "# a quiet change\n")
    with pytest.raises(UsageError, match="changed after it was chosen"):
        GuardedSora.open(home=home, backend=Painter())


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"decides": 7}', b'{"decides": {"folder": "x"}}'])
def test_a_rollout_file_that_cannot_be_understood_is_never_ignored(home: Path, content: bytes) -> None:
    home.mkdir()
    (home / "policy.json").write_bytes(content)
    with pytest.raises(UsageError, match=r"policy\.json"):
        GuardedSora.open(home=home, backend=Painter())


def test_the_commands(run: Run, tmp_path: Path, candidate: Path) -> None:  # noqa: F811
    lines = tmp_path / "benign.jsonl"
    lines.write_text("\n".join(json.dumps({"text": text}) for text in (PROMPT, "a dog in a garden")))
    home = str(tmp_path / "home")
    with_home = ("--home", home)
    status, (found,), _ = run("policy", "diff", "default", str(candidate), "--on", str(lines), *with_home)
    assert (status, found["total"], found["loosened"]) == (0, 2, 0)
    status, (chosen,), _ = run("policy", "shadow", str(candidate), *with_home)
    assert status == 0 and len(chosen["shadow"]) == 64
    status, (answer,), _ = run("policy", "promote", str(candidate), "--on", str(lines), *with_home)
    assert (status, answer["promoted"]) == (0, True)
    status, (chosen,), _ = run("policy", "shadow", "--stop", *with_home)
    assert (status, chosen["shadow"]) == (0, None)
    status, (answer,), _ = run("policy", "shadow", *with_home)
    assert status == 2 and "--stop" in answer["error"]["message"]


def test_a_pack_that_stops_benign_prompts_is_not_promoted(
    run: Run,  # noqa: F811
    tmp_path: Path,
    candidate: Path,
) -> None:
    """The same golden prompts hold, but a new term stops what people ask for every day."""
    lines = tmp_path / "benign.jsonl"
    texts = ["a quokkaboard in the rain", *(f"a boat on lake number {n}" for n in range(9))]
    lines.write_text("\n".join(json.dumps({"text": text}) for text in texts))
    lexicon = candidate / "lexicons" / "violence.txt"
    term = next(line for line in lexicon.read_text().splitlines() if line.startswith("behead{"))
    lexicon.write_text(lexicon.read_text().replace(term, f"{term}\nquokkaboard", 1))
    status, answers, _ = run(
        "policy", "promote", str(candidate), "--on", str(lines), "--home", str(tmp_path / "home")
    )
    assert (status, answers[0]["promoted"]) == (1, False)
    assert any("points more would be stopped" in reason for reason in answers[0]["reasons"])
    assert not (tmp_path / "home" / "policy.json").exists()


def test_a_pack_whose_golden_prompts_fail_is_not_promoted(run: Run, tmp_path: Path, candidate: Path) -> None:  # noqa: F811
    lines = tmp_path / "benign.jsonl"
    lines.write_text(json.dumps({"text": REFUSED}))
    other = tmp_path / "looser"
    shutil.copytree(candidate, other)
    for path in (other / "rules").glob("violence*.yaml"):
        if ".golden." not in path.name:
            path.write_text(path.read_text().replace("] >= 3", "] >= 9"))
    status, answers, _ = run(
        "policy", "promote", str(other), "--on", str(lines), "--home", str(tmp_path / "home")
    )
    assert (status, answers[0]["promoted"]) == (1, False)
    assert any("golden prompts fail" in reason for reason in answers[0]["reasons"])
    assert not (tmp_path / "home" / "policy.json").exists()
