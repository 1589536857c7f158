"""``guarded-sora keys trust update``: what is recorded, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from guarded_sora import GuardedSora
from guarded_sora.cli.main import main
from guarded_sora.provenance.credentials.certificates import issue_chain
from tests.guarded_sora.provenance.credentials.authority import timestamp_authority


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, object]]:
    with pytest.raises(SystemExit) as left:
        main(["keys", *arguments, "--json"])
    out, err = capsys.readouterr()
    return int(left.value.code or 0), json.loads((out or err).splitlines()[-1])


def test_an_update_is_in_force_recorded_and_logged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home, bundle = tmp_path / "home", tmp_path / "time.pem"
    bundle.write_bytes(timestamp_authority().root_pem)
    arguments = ("trust", "update", str(bundle), "--purpose", "time", "--home", str(home))
    status, held = call(capsys, *arguments, "--source", "our own\tauthority", "--issued", "2026-11-01")
    assert (status, held["purpose"], held["count"]) == (0, "time", 1)
    assert (held["source"], held["issued"]) == ("our own authority", "2026-11-01")
    status, shown = call(capsys, "--home", str(home))
    lists = {item["purpose"]: item for item in shown["trust"]}  # type: ignore[attr-defined]
    assert lists["time"]["source"] == "our own authority" and lists["claims"]["count"] == 30
    assert shown["timestamp_authority"] is None
    with GuardedSora.open(home=home) as sora:
        event = sora.services.log.read(sora.services.log.size - 1)
        assert event.kind == "trust.updated" and event.body["sha256"] == held["sha256"]
        assert sora.services.trust.tsa_anchors_pem.count(b"BEGIN") == 1
        assert sora.services.trust.claim_anchors_pem.count(b"BEGIN") == 30


@pytest.mark.parametrize("content", ["", "no list", "{}", "leaf", "key"])
def test_a_list_that_does_not_hold_is_refused_and_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    chain = issue_chain("A")
    data = {"leaf": chain.chain_pem, "key": chain.root_pem + chain.key_pem}.get(content, content.encode())
    (tmp_path / "list").write_bytes(data)
    status, told = call(capsys, "trust", "update", str(tmp_path / "list"), "--home", str(tmp_path / "home"))
    assert status == 2 and "error" in told
    assert not (tmp_path / "home" / "trust").exists()


@pytest.mark.parametrize("arguments", [("none.pem",), (".",), (__file__, "--purpose", "everything")])
def test_arguments_that_cannot_be_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    status, _ = call(capsys, "trust", "update", *arguments, "--home", str(tmp_path / "home"))
    assert status == 2
