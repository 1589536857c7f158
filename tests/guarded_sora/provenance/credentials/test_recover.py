from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from guarded_sora.errors import ProvenanceError
from guarded_sora.provenance.credentials.certificates import Chain, issue_chain
from guarded_sora.provenance.credentials.container import inspect
from guarded_sora.provenance.credentials.recover import recover
from guarded_sora.provenance.credentials.report import SoftBindingClaim
from guarded_sora.provenance.credentials.sign import sign
from guarded_sora.provenance.credentials.signer import FileKeySigner
from guarded_sora.provenance.credentials.states import Credentials, State
from guarded_sora.provenance.credentials.trust import Trust, join_pem, revoke
from guarded_sora.provenance.credentials.trust_list import (
    read_revocations,
    read_trust_list,
    write_revocations,
)
from tests.guarded_sora.provenance.credentials.conftest import content_of, remux, sign_briefly, wait_for

BINDING = SoftBindingClaim(algorithm="org.guardedsora.keyseal.1", value="gs1.00112233ff")


@pytest.fixture(scope="module")
def store(signed: Path) -> bytes:
    span = inspect(signed).store_span
    assert span is not None
    return signed.read_bytes()[span[0] : span[0] + span[1]]


@pytest.fixture
def stripped(signed: Path, tmp_path: Path) -> Path:
    return remux(signed, tmp_path / "stripped.mp4")


def test_a_stripped_clip_is_recovered(stripped: Path, store: bytes, trust: Trust) -> None:
    found = recover(stripped, store, trust, binding=BINDING, fingerprint_matches=True)
    assert found.state is State.RECOVERED
    assert found.ours and not found.embedded
    assert found.issuer == "Alpha Studio"
    assert "through the mark" in found.reason


def refused(found: Credentials) -> set[str]:
    assert found.state is State.TAMPERED
    assert found.issuer == ""
    return {code for code in found.codes if code.startswith("recover.")}


def test_every_condition_is_needed(stripped: Path, store: bytes, ours: Chain, trust: Trust) -> None:
    other = SoftBindingClaim(algorithm=BINDING.algorithm, value="gs1.0000000001")
    foreign = SoftBindingClaim(algorithm="com.example.mark.1", value=BINDING.value)
    revoked = Trust(own_root_pem=ours.root_pem, revoked=(revoke(ours.chain_pem),))

    def tried(trust: Trust = trust, binding: SoftBindingClaim = BINDING, same: bool = True) -> set[str]:
        return refused(recover(stripped, store, trust, binding=binding, fingerprint_matches=same))

    assert tried(binding=other) == {"recover.binding_not_in_manifest"}
    assert tried(binding=foreign) == {"recover.binding_not_in_manifest"}
    assert tried(same=False) == {"recover.fingerprint_differs"}
    assert tried(trust=Trust()) == {"recover.signer_not_trusted"}
    assert tried(trust=Trust(tsa_anchors_pem=ours.root_pem)) == {"recover.signer_not_trusted"}
    assert tried(trust=revoked) == {"recover.signer_revoked"}


def test_a_changed_store_is_not_recovered(stripped: Path, store: bytes, trust: Trust) -> None:
    changed = store.replace(b"sprites", b"spritez", 1)
    assert changed != store
    found = recover(stripped, changed, trust, binding=BINDING, fingerprint_matches=True)
    assert refused(found) == {"recover.other_failure"}


def test_an_expired_signer_is_not_recovered(film: Path, tmp_path: Path, ours: Chain, trust: Trust) -> None:
    path = tmp_path / "e.mp4"
    made = sign_briefly(ours, lambda chain: sign(film, path, content_of(), FileKeySigner.of(chain)))
    stripped = remux(path, tmp_path / "r.mp4")

    def found() -> Credentials:
        return recover(stripped, made.store, trust, binding=BINDING, fingerprint_matches=True)

    wait_for(lambda: found().state is not State.RECOVERED)
    assert "recover.signer_expired" in refused(found())


def test_junk_as_store(stripped: Path, trust: Trust) -> None:
    for junk in (b"", b"junk", bytes(5000)):
        found = recover(stripped, junk, trust, binding=BINDING, fingerprint_matches=True)
        assert found.state in (State.INVALID_MANIFEST, State.NO_MANIFEST)
    (stripped.parent / "empty.mp4").write_bytes(b"")
    found = recover(stripped.parent / "empty.mp4", b"junk", trust, binding=BINDING, fingerprint_matches=True)
    assert found.state is State.REJECTED_BY_GUARD


def test_the_original_stays_trusted(signed: Path, store: bytes, trust: Trust) -> None:
    found = recover(signed, store, trust, binding=BINDING, fingerprint_matches=True)
    assert found.state is State.TRUSTED


def test_a_trust_list_is_checked_before_it_counts(ours: Chain, listed: Chain) -> None:
    bundle = b"# comment\n" + join_pem([ours.root_pem, listed.root_pem, ours.root_pem])
    found = read_trust_list(bundle)
    assert (found.count, found.expired) == (2, 0)
    assert Trust(claim_anchors_pem=found.pem).anchors()
    later = datetime.now(UTC) + timedelta(days=365 * 21)
    with pytest.raises(ProvenanceError, match="expired"):
        read_trust_list(bundle, now=later)
    young = issue_chain("Later", now=later - timedelta(days=1))
    mixed = read_trust_list(bundle + young.root_pem, now=later)
    assert (mixed.count, mixed.expired) == (1, 2)


@pytest.mark.parametrize(
    "data", [b"", b"  \n", b"junk", b"-----BEGIN CERTIFICATE-----\nAA\n", b"x" * (5 << 20)]
)
def test_a_broken_trust_list_is_refused(data: bytes) -> None:
    with pytest.raises(ProvenanceError):
        read_trust_list(data)


def test_leaves_are_no_anchors(ours: Chain) -> None:
    with pytest.raises(ProvenanceError, match="no authority"):
        read_trust_list(ours.chain_pem)


def test_revocation_lists_travel(ours: Chain) -> None:
    entry = revoke(ours.chain_pem, since=date(2026, 11, 1), reason="key lost")
    assert read_revocations(write_revocations((entry,))) == (entry,)
    assert read_revocations(b"[]") == ()
    (plain,) = read_revocations(json.dumps([{"serial": "00:AB:CD"}]).encode())
    assert (plain.serial, plain.issuer) == ("abcd", "")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"3",
        b"[1]",
        b'[{"serial": 3}]',
        b'[{"serial": "xyz"}]',
        b"[" * 9000,
        b'[{"serial": "ab", "since": "soon"}]',
        b'[{"serial": "ab", "since": 3}]',
    ],
)
def test_a_broken_revocation_list_is_refused_whole(data: bytes) -> None:
    with pytest.raises(ProvenanceError):
        read_revocations(data)
