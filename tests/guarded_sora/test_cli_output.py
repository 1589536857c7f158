"""What the command line prints for people: the laws labels were drawn for, why a clause failed, hints."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from guarded_sora.cli.main import main
from guarded_sora.cli.output import print_table, show_release, show_verdict


def released() -> Any:
    """As much of a release as is shown."""
    pack = SimpleNamespace(id="default", version="1.0.0")
    decision = SimpleNamespace(pack=pack, action=SimpleNamespace(value="allow"), obligations={"label:eu"})
    return SimpleNamespace(
        expanded=None,
        path="a.mp4",
        contact_sheet="a.png",
        clip_id="gs1:00000000:0000000000",
        decision=decision,
        audit_seq=2,
        in_domain=None,
        warnings=(),
        stages=(),
    )


@pytest.mark.parametrize(
    ("profile", "region", "line"),
    [
        pytest.param((), "", "labels for     eu (an unknown region counts as the strictest)", id="unknown"),
        pytest.param((), "DE", "labels for     eu", id="region"),
        pytest.param((), None, "labels for     eu", id="not-asked"),
        pytest.param(("cn", "kr"), "", "labels for     cn, kr, eu", id="profile"),
    ],
)
def test_release_names_the_laws_its_labels_answer(
    profile: tuple[str, ...], region: str | None, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    show_release(released(), as_json=False, profile=profile, region=region)
    assert line in capsys.readouterr().out.splitlines()


def test_failed_clause_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    clauses = {
        "G1": {"state": "fail", "title": "label", "evidence": "no label found"},
        "G2": {"state": "pass", "title": "tag", "evidence": "a tag"},
    }
    verdict: Any = SimpleNamespace(
        file=Path("a.mp4"),
        verdict=SimpleNamespace(value="ours_intact"),
        reason="x",
        clip_id=None,
        evidence=(),
        segments=(),
        rules={"cn": clauses},
        notices=(),
        audit=SimpleNamespace(seq=1),
    )
    show_verdict(verdict)
    out = capsys.readouterr().out
    assert "because: no label found" in out and "a tag" not in out


def test_search_in_prompts_says_when_none_are_indexed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("GUARDED_SORA_INDEX_PROMPTS", raising=False)
    command = ["audit", "search", "--text", "balloon", "--home", str(tmp_path / "home")]
    for variable, expected in ((None, True), ("1", False)):
        if variable is not None:
            monkeypatch.setenv("GUARDED_SORA_INDEX_PROMPTS", variable)
        with pytest.raises(SystemExit) as ended:
            main(command)
        assert ended.value.code == 0
        assert ("GUARDED_SORA_INDEX_PROMPTS=1" in capsys.readouterr().err) is expected


def test_title_of_an_empty_table_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    title = "0 copies; 0 films examined, 0 could not be read"
    print_table(title, ("a", "b"), [])
    assert capsys.readouterr().out.splitlines()[0] == title
