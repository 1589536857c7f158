"""Settings turned into a signer and into trust."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from guarded_sora import GuardedSora
from guarded_sora.errors import ProvenanceError, UsageError
from guarded_sora.keys import KeyRing, open_keys
from guarded_sora.provenance.credentials.certificates import Chain, issue_chain, load_certificates, to_pem
from guarded_sora.provenance.credentials.signer import CallbackSigner, FileKeySigner, RemoteSigner
from guarded_sora.settings import Settings, load_settings
from guarded_sora.signing import OWN_LEAVES, open_signer, open_trust
from tests.guarded_sora.conftest import Painter


@pytest.fixture
def keys(tmp_path: Path) -> KeyRing:
    return open_keys(tmp_path, organisation="Alpha Studio")


@pytest.fixture(scope="module")
def chain() -> Chain:
    return issue_chain("A Service")


def settings(tmp_path: Path, **more: Any) -> Settings:
    return load_settings(home=tmp_path, **more)


def test_the_key_under_home_signs_unless_told_otherwise(tmp_path: Path, keys: KeyRing) -> None:
    signer = open_signer(settings(tmp_path), keys)
    assert isinstance(signer, FileKeySigner) and signer.timestamp_url is None
    trust = open_trust(settings(tmp_path), keys, signer)
    assert trust.own_leaves_pem == b"" and not (tmp_path / "trust").exists()
    assert trust.claim_anchors_pem.count(b"BEGIN") == 30 and trust.ocsp_hosts == trust.remote_hosts == ()


def test_a_service_signs_and_its_leaves_are_remembered(tmp_path: Path, keys: KeyRing, chain: Chain) -> None:
    path = tmp_path / "chain.pem"
    leaves = []
    for current in (chain, issue_chain("A Service")):  # renewed in between
        path.write_bytes(current.chain_pem)
        chosen = settings(
            tmp_path, signer={"kind": "remote", "url": "https://sign.example.org/", "chain": path}
        )
        signer = open_signer(chosen, keys)
        assert isinstance(signer, RemoteSigner)
        for _ in range(2):
            trust = open_trust(chosen, keys, signer)
        leaves.append(to_pem(load_certificates(current.chain_pem)[0]))
    assert trust.own_leaves_pem == b"".join(leaves) == (tmp_path / "trust" / OWN_LEAVES).read_bytes()


def test_a_root_of_ones_own_stands_beside_the_ring(tmp_path: Path, keys: KeyRing, chain: Chain) -> None:
    (tmp_path / "root.pem").write_bytes(chain.root_pem)
    chosen = settings(tmp_path, signer={"root": tmp_path / "root.pem"}, ocsp_hosts=("ocsp.example.org",))
    trust = open_trust(chosen, keys, open_signer(chosen, keys))
    assert trust.own_root_pem.count(b"BEGIN") == 2 and trust.ocsp_hosts == ("ocsp.example.org",)


def test_a_plug_in_signs_with_the_time_of_the_settings(
    tmp_path: Path, keys: KeyRing, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    hsm = CallbackSigner(chain_pem=chain.chain_pem, function=lambda data: bytes(64))
    monkeypatch.setattr("guarded_sora.signing.load_plugins", lambda group, names: [hsm])
    timed = settings(tmp_path, signer={"kind": "hsm"}, timestamp={"url": "http://time.example.org/"})
    signer = open_signer(timed, keys)
    assert signer.timestamp_url == "http://time.example.org/" and signer.chain_pem == chain.chain_pem
    monkeypatch.setattr("guarded_sora.signing.load_plugins", lambda group, names: [object()])
    with pytest.raises(UsageError, match="no signer"):
        open_signer(timed, keys)


@pytest.mark.parametrize(
    "values", [{"kind": "nobody"}, {"kind": "remote"}, {"kind": "remote", "url": "https://sign.example.org/"}]
)
def test_signers_that_cannot_be_opened(tmp_path: Path, keys: KeyRing, values: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        open_signer(settings(tmp_path, signer=values), keys)


def test_files_that_are_missing_or_wrong(tmp_path: Path, keys: KeyRing, chain: Chain) -> None:
    signer = open_signer(settings(tmp_path), keys)
    with pytest.raises(UsageError, match="cannot be read"):
        open_trust(settings(tmp_path, signer={"root": tmp_path / "none.pem"}), keys, signer)
    (tmp_path / "leaf.pem").write_bytes(chain.chain_pem)
    with pytest.raises(ProvenanceError, match="no authority"):
        open_trust(settings(tmp_path, timestamp={"anchors": tmp_path / "leaf.pem"}), keys, signer)
    with pytest.raises(ProvenanceError, match="host name"):
        open_trust(settings(tmp_path, ocsp_hosts=("http://x/",)), keys, signer)


def test_films_of_before_and_after_a_renewal_are_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    films = []
    for days in (0, 400, 0):
        monkeypatch.setattr("guarded_sora.keys.RENEW_BEFORE", timedelta(days=days))
        with GuardedSora.open(home=tmp_path, backend=Painter()) as sora:
            films.append(sora.generate("a red kite over a field", seconds=1, seed=days).path)
            noted = sora.services.log.search(kind="signing.renewed")
            serial = load_certificates(sora.services.signer.chain_pem)[0].serial_number
            assert [entry.body["serial"] for entry in noted] == ([f"{serial:x}"] if len(films) > 1 else [])
            assert {sora.verify(film).verdict for film in films} == {"ours_intact"}
    assert len({*films}) == 3
