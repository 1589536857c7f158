"""The doctor tries keys, credentials and trust for real."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest

from guarded_sora import GuardedSora
from guarded_sora.doctor import Examined, examine
from guarded_sora.errors import ProvenanceError
from guarded_sora.provenance.credentials.certificates import Chain, issue_chain
from tests.guarded_sora.conftest import Painter
from tests.guarded_sora.provenance.credentials.authority import served, timestamp_authority
from tests.guarded_sora.test_timestamps import opened


def parts(sora: GuardedSora) -> dict[str, Examined]:
    """What is said up to the trust lists; the rest loads models."""
    found: dict[str, Examined] = {}
    for item in examine(sora.services):
        found[item.part] = item
        if item.part == "trust lists":
            break
    return found


def test_what_is_well(sora: GuardedSora) -> None:
    found = parts(sora)
    assert {found[part].state for part in ("keys", "credentials", "trust lists", "signing and trust")} == {
        "ok"
    }
    assert "changed one as tampered; no timestamp" in found["credentials"].detail
    assert "30 for claims of 2026-08-05" in found["trust lists"].detail


def test_keys_that_others_can_read(sora: GuardedSora, home: Path) -> None:
    for name in ("", "log.pem", "mark-epoch-0.key", "ring.json"):
        path = home / "keys" / name
        before = path.stat().st_mode
        path.chmod(0o750 if not name else 0o640)
        found = next(examine(sora.services))
        assert (found.part, found.state) == ("keys", "failed") and "chmod" in found.detail
        path.chmod(before)
    assert next(examine(sora.services)).state == "ok"


def test_a_timestamp_authority_that_works_and_one_that_does_not(tmp_path: Path) -> None:
    authority = timestamp_authority()
    with served(authority) as host:
        with opened(tmp_path / "good", host, authority.root_pem) as sora:
            assert parts(sora)["credentials"].detail.endswith("the timestamp is trusted")
        with opened(tmp_path / "unlisted", host) as sora:
            assert "on no list for time" in parts(sora)["credentials"].detail
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with opened(tmp_path / "down", f"127.0.0.1:{taken.getsockname()[1]}") as sora:
            assert parts(sora)["credentials"].state == "failed"


def test_a_signer_whose_root_is_not_ours(tmp_path: Path) -> None:
    chain: Chain = issue_chain("Somebody Else")
    (tmp_path / "chain.pem").write_bytes(chain.chain_pem)
    signer = {"kind": "remote", "url": "http://127.0.0.1:9/", "chain": tmp_path / "chain.pem"}
    with GuardedSora.open(home=tmp_path / "home", backend=Painter(), signer=signer) as sora:
        found = parts(sora)["credentials"]
        assert found.state == "failed" and "signing service" in found.detail


def test_a_damaged_list_is_named_when_the_installation_opens(tmp_path: Path) -> None:
    home = tmp_path / "home"
    GuardedSora.open(home=home, backend=Painter()).close()
    (home / "trust").mkdir()
    (home / "trust" / "time.json").write_text("{}")
    with pytest.raises(ProvenanceError, match="keys trust update"):
        GuardedSora.open(home=home, backend=Painter())
    shutil.rmtree(home / "trust")
    GuardedSora.open(home=home, backend=Painter()).close()
