"""``guarded-sora cases`` and ``audit dossier`` as a person types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from guarded_sora.audit.verifier.command import main as check
from tests.guarded_sora.test_cli import PROMPT, Run, run

__all__ = ["run"]  # a fixture

RITA = ("--reviewer", "rita")
SAM = ("--reviewer", "sam")


def test_a_notice_from_the_door_to_the_dossier(
    run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    clip = tmp_path / "library" / "clip.mp4"
    clip.parent.mkdir()
    status, (made,), _ = run("generate", PROMPT, "-o", str(clip), "--seconds", "1", "--actor", "ann")
    statement = tmp_path / "words.txt"
    statement.write_text("that is me")
    status, (notice,), _ = run(
        "cases",
        "notice",
        *("--claim", "likeness", "--by", "person", "--jurisdiction", "in", "--clip", made["clip_id"]),
        *("--statement", f"@{statement}", "--library", str(clip.parent)),
    )
    assert status == 0, notice
    assert notice["about"] == made["clip_id"] and notice["clock"] == "in-grievance-36h"
    assert [copy["path"] for copy in notice["copies"]] == [str(clip)] and notice["examined"] == 1
    case_id = notice["case_id"]

    status, cases, _ = run("cases", "list", "--kind", "notice.likeness")
    assert [case["case_id"] for case in cases] == [case_id] and cases[0]["due"] == notice["due"]
    assert run("cases", "list", "--overdue")[1] == []
    assert run("cases", "second", case_id, *RITA)[1][0]["critical"] is True
    assert run("cases", "claim", *RITA, "--kind", "notice.likeness")[0] == 0
    assert run("cases", "claim", case_id, *SAM)[0] == 1, "rita holds it"
    assert run("cases", "give-back", case_id, *RITA)[0] == 0
    status, (shown,), _ = run("cases", "show", case_id, *RITA)
    assert shown["statement"] == "that is me" and shown["prompt" if "prompt" in shown else "film"] is None
    decide = ("cases", "decide", case_id, "--reason", "likeness", "--action")
    assert run(*decide, "block", *RITA)[1][0]["state"] == "second"
    status, (decided,), _ = run(*decide, "block", *SAM)
    assert decided["action"] == "block" and decided["clips"] == [made["clip_id"]]
    assert decided["elsewhere"] == [str(clip)], "a library is not ours to empty"

    status, (verdict,), _ = run("verify", str(clip))
    assert {"code": "stay_down"} in verdict["notices"]
    status, (refused,), _ = run("protect", str(clip), "-o", str(tmp_path / "x.mp4"), "--prompt", PROMPT)
    assert status == 1 and refused["decision"]["rules"][0]["id"] == "stay-down"
    assert run("cases", "strike", case_id, *RITA, "--reason", "likeness")[1][0]["strikes"] == 1
    status, (body,), _ = run("cases", "reasons", case_id, "--territory", "de")
    assert body["statements"][0]["territorial_scope"] == ["DE"]
    assert "taken down" in run("cases", "answer", case_id, *SAM)[1][0]["answer"]

    key, story = tmp_path / "key.vkey", tmp_path / "story.zip"
    status, (dossier,), _ = run("audit", "dossier", case_id, "-o", str(story), "--role", "court")
    assert status == 0 and dossier["payloads"] >= 3
    run("audit", "prove", "0", "-o", str(tmp_path / "proof"))
    key.write_text((tmp_path / "proof" / "key.vkey").read_text())
    assert check([str(story), "--key", str(key)]) == 0
    assert json.loads(capfd.readouterr().out)["about"] == f"case {case_id}"

    assert (
        run("cases", "appeal", case_id, "--by", "ann", "--statement", "it is not")[1][0]["state"]
        == "appealed"
    )
    status, (answered,), _ = run(*decide, "allow", "--reviewer", "tom")
    assert answered["appeal"] == "overturn" and answered["clips"] == [made["clip_id"]]
    status, (strikes,), _ = run("cases", "strikes", "ann")
    assert (strikes["strikes"], strikes["appeals_won"], len(strikes["history"])) == (0, 1, 2)
    assert run("verify", str(clip))[1][0]["verdict"] == "ours_intact"
    assert run("cases", "rebuild")[1][0]["cases"] == 1
    month = notice["due"][:7]
    status, (report,), _ = run("cases", "report", f"2020-01..{month}")
    assert report["appeals"]["overturned"] == 1 and report["measures"]["refused_again"] == 1
    assert (
        "appeals.overturned,1"
        in run("cases", "report", "2020-01.." + month, "--csv", json_output=False)[1][0]["text"]
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["cases", "notice", "--claim", "likeness"], "Say which clip"),
        (["cases", "notice", "--claim", "likeness", "--file", "missing.mp4"], "missing.mp4"),
        (["cases", "notice", "--claim", "likeness", "--link", "x", "--statement", "@missing"], "missing"),
        (["cases", "decide", "no-case", "--action", "allow", "--reason", "x", *RITA], "no case"),
        (["cases", "appeal", "no-case", "--by", "ann"], "no case"),
        (["cases", "golden", "no-case"], "no case"),
        (["cases", "strike", "no-case", "--reason", "x", *RITA], "no case"),
        (["cases", "answer", "no-case", *RITA], "no case"),
        (["cases", "reasons", "no-case"], "no case"),
        (["cases", "report", "yesterday"], "period"),
        (["audit", "dossier", "no-case", "-o", "x.zip"], "period"),
        (["audit", "dossier", "2020-01", "-o", "x.zip"], "nothing"),
        (["audit", "dossier", "2020-01", "-o", "x.tar"], ".zip"),
    ],
)
def test_bad_input_is_one_sentence(run: Run, arguments: list[str], words: str) -> None:
    status, (answer,), _ = run(*arguments)
    assert status == 2 and words in answer["error"]["message"]
