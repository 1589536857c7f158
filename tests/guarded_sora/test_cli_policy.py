"""``policy check`` knows the installation's registered names, and ``policy lint`` runs the linter."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from guarded_sora.policies.pack import DEFAULT_PACK
from tests.guarded_sora.test_cli import Run, run  # noqa: F401

PROMPT = "Quorlinda Vexmoor waters her tulips"


def test_check_knows_registered_names_where_an_installation_stands(run: Run, home: Path) -> None:  # noqa: F811
    status, (before,), _ = run("policy", "check", PROMPT, "--home", str(home))
    assert status == 0 and not (home / "keys").exists()
    run("registry", "person", "add", "Quorlinda Vexmoor")
    status, (after,), _ = run("policy", "check", PROMPT, "--home", str(home))
    assert status != 0 and before["text_sha256"] == after["text_sha256"]
    assert "likeness.private" in {finding["category"] for finding in after["findings"]}


def test_check_says_which_checks_did_not_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr("guarded_sora.policies.text.classify.encoder_files", lambda: None)
    status, (answer,), _ = run("policy", "check", "a red balloon", json_output=False)
    assert status == 0 and "not checked by classifier: no text encoder is installed" in answer["text"]


def test_lint_reports_what_loads_and_is_wrong(run: Run, tmp_path: Path) -> None:  # noqa: F811
    folder = tmp_path / "pack"
    shutil.copytree(DEFAULT_PACK, folder)
    status, (answer,), _ = run("policy", "lint", "--pack", str(folder))
    assert (status, answer["holds"]) == (0, True)
    lexicon = folder / "lexicons" / "violence.txt"
    lexicon.write_text(lexicon.read_text() + "\n[left_over] role=group language=en\nsome word\n")
    status, (answer,), _ = run("policy", "lint", "--pack", str(folder))
    assert (status, answer["holds"]) == (1, False)
    assert {"level": "error", "where": "left_over"}.items() <= answer["problems"][0].items()
