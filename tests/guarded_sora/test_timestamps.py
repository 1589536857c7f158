"""The timestamp authority of the settings, from the signature to the clause that rests on it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from guarded_sora import GuardedSora, ReviewRequired, UsageError, VerdictName
from guarded_sora.errors import ProvenanceError
from guarded_sora.policies.finding import Action
from guarded_sora.provenance.credentials.read import read
from guarded_sora.settings import load_settings
from tests.guarded_sora.conftest import Painter
from tests.guarded_sora.provenance.credentials.authority import (
    TimestampAuthority,
    served,
    timestamp_authority,
)

PROMPT = "a red balloon rising over a sandy beach"
PROFILE = ("eu", "us-ca", "cn", "in", "kr")


@pytest.fixture(scope="module")
def authority() -> TimestampAuthority:
    return timestamp_authority()


@contextmanager
def opened(home: Path, host: str, anchors: bytes | None = None, **timestamp: Any) -> Iterator[GuardedSora]:
    home.mkdir(parents=True, exist_ok=True)
    if anchors is not None:
        (home / "time.pem").write_bytes(anchors)
        timestamp["anchors"] = home / "time.pem"
    settings = {"url": f"http://{host}/", "attempts": 1, "pause": 0.0, "timeout": 1.0, **timestamp}
    with GuardedSora.open(home=home, backend=Painter(), timestamp=settings) as sora:
        yield sora


@pytest.fixture
def closed_port() -> Iterator[str]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


def states(rules: dict[str, Any]) -> dict[str, str]:
    return {
        f"{law}/{name}": item["state"] for law, clauses in rules.items() for name, item in clauses.items()
    }


def time_of(sora: GuardedSora, seq: int) -> object:
    return sora.services.log.read(seq).body["time"]


def test_a_timestamped_film_fails_no_clause(tmp_path: Path, authority: TimestampAuthority) -> None:
    with served(authority) as host, opened(tmp_path / "home", host, authority.root_pem) as sora:
        release = sora.generate(PROMPT, seconds=3, seed=5, profile=PROFILE, output=tmp_path / "o.mp4")
        verdict = sora.verify(release.path, laws=PROFILE)
        assert verdict.verdict is VerdictName.OURS_INTACT
        found = states(verdict.rules)
        assert "fail" not in found.values() and not verdict.clause_failed
        assert found["eu/E1"] == "pass"
        assert time_of(sora, release.audit_seq) == "trusted" and release.warnings == ()
        assert ("timestamp", "trusted") in {(check.name, check.result) for check in release.checks}


def test_without_an_authority_the_time_stays_the_signers_word(tmp_path: Path) -> None:
    operator = {"detector_url": "https://check.example.org/"}
    with GuardedSora.open(home=tmp_path / "home", backend=Painter(), operator=operator) as sora:
        release = sora.generate(PROMPT, seconds=2, seed=5, profile=("eu",), output=tmp_path / "o.mp4")
        claims = read(release.path, sora.services.trust).claims
        assert claims.detector_url == "https://check.example.org/"
        assert b"c2pa.thumbnail.claim" in release.path.read_bytes()
        assert states(sora.verify(release.path, laws=("eu",)).rules)["eu/E1"] == "unconfirmed"
        assert time_of(sora, release.audit_seq) == "none"


def test_an_authority_on_no_list_is_said_so(tmp_path: Path, authority: TimestampAuthority) -> None:
    with served(authority) as host, opened(tmp_path / "home", host) as sora:
        release = sora.generate(PROMPT, seconds=2, seed=5, output=tmp_path / "o.mp4")
        assert "no list for time" in release.warnings[0]
        assert time_of(sora, release.audit_seq) == "unlisted"
        assert states(sora.verify(release.path, laws=("eu",)).rules)["eu/E1"] == "unconfirmed"


def test_refused_while_the_authority_is_down(tmp_path: Path, closed_port: str) -> None:
    with opened(tmp_path / "home", closed_port) as sora:
        with pytest.raises(ProvenanceError, match="authority did not answer"):
            sora.generate(PROMPT, seconds=2, output=tmp_path / "o.mp4")
        assert sora.services.log.read(sora.services.log.size - 1).kind == "request.failed"
    assert not (tmp_path / "o.mp4").exists()


def test_released_without_and_said_so(tmp_path: Path, closed_port: str) -> None:
    with opened(tmp_path / "home", closed_port, when_down="sign_without") as sora:
        release = sora.generate(PROMPT, seconds=2, output=tmp_path / "o.mp4")
        assert release.warnings == ("Signed without a timestamp: the authority gave no answer.",)
        assert time_of(sora, release.audit_seq) == "unavailable"
        assert ("timestamp", "failed") in {(check.name, check.state.value) for check in release.checks}
        assert sora.verify(release.path).verdict is VerdictName.OURS_INTACT


def test_held_until_a_person_decides(tmp_path: Path, closed_port: str) -> None:
    with opened(tmp_path / "home", closed_port, when_down="hold") as sora:
        with pytest.raises(ReviewRequired) as caught:
            sora.generate(PROMPT, seconds=2, output=tmp_path / "o.mp4")
        case_id = caught.value.case_id
        assert not (tmp_path / "o.mp4").exists()
        assert caught.value.decision.action is Action.ALLOW
        case = sora.services.cases.show(case_id)
        assert case.summary["reason"] == "timestamp_unavailable"
        assert sora.services.cases.claim("ann", case_id=case_id) is not None
        sora.services.cases.decide(case_id, "allow", reviewer="ann", reason_code="no_time_needed")
        release = sora.release_case(case_id, output=tmp_path / "o.mp4")
        assert sora.verify(release.path).verdict is VerdictName.OURS_INTACT


@pytest.mark.parametrize(
    "values",
    [
        {"url": "ftp://time.example.org"},
        {"url": "time.example.org"},
        {"attempts": 0},
        {"timeout": 0},
        {"when_down": "ignore"},
        {"ulr": "http://time.example.org/"},
    ],
)
def test_settings_that_cannot_be_used(values: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="timestamp"):
        load_settings(timestamp=values)


def test_settings_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUARDED_SORA_TIMESTAMP_URL", "http://time.example.org/tsa")
    monkeypatch.setenv("GUARDED_SORA_TIMESTAMP_WHEN_DOWN", "hold")
    monkeypatch.setenv("GUARDED_SORA_OPERATOR_PLACED", "2026-05-01")
    monkeypatch.setenv("GUARDED_SORA_SIGNER_TOKEN", "a secret")
    settings = load_settings()
    assert (settings.timestamp.url, settings.timestamp.when_down) == ("http://time.example.org/tsa", "hold")
    assert str(settings.operator.placed) == "2026-05-01"
    assert "a secret" not in repr(settings)


def test_anchors_that_are_missing_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        GuardedSora.open(home=tmp_path / "home", timestamp={"anchors": tmp_path / "none.pem"})
