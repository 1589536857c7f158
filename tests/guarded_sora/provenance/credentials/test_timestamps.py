"""Timestamps and revocation answers from a local authority: no other machine is asked."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from guarded_sora.errors import ProvenanceError
from guarded_sora.provenance.credentials.certificates import (
    Chain,
    Issuer,
    issue_leaf,
    key_to_pem,
    load_certificates,
    load_key,
    to_pem,
)
from guarded_sora.provenance.credentials.read import read
from guarded_sora.provenance.credentials.sign import sign
from guarded_sora.provenance.credentials.signer import FileKeySigner
from guarded_sora.provenance.credentials.states import State
from guarded_sora.provenance.credentials.timestamps import TimestampPolicy, TimestampUnavailable
from guarded_sora.provenance.credentials.trust import Trust
from tests.guarded_sora.provenance.credentials.authority import (
    Responder,
    TimestampAuthority,
    responder_for,
    served,
    timestamp_authority,
)
from tests.guarded_sora.provenance.credentials.conftest import content_of, flip, sign_briefly, wait_for

QUICK = TimestampPolicy(attempts=2, pause=0.0, timeout=0.5)


@pytest.fixture(scope="module")
def authority() -> TimestampAuthority:
    return timestamp_authority()


def test_a_trusted_timestamp(film: Path, tmp_path: Path, ours: Chain, authority: TimestampAuthority) -> None:
    with served(authority) as host:
        signer = FileKeySigner.of(ours, timestamp_url=f"http://{host}/")
        made = sign(film, tmp_path / "t.mp4", content_of(), signer)
    assert made.timestamped
    found = read(tmp_path / "t.mp4", Trust(own_root_pem=ours.root_pem, tsa_anchors_pem=authority.root_pem))
    assert found.state is State.TRUSTED
    assert found.timestamp.startswith(str(datetime.now(UTC).year))
    unknown = read(tmp_path / "t.mp4", Trust(own_root_pem=ours.root_pem))
    assert unknown.state is State.TRUSTED
    assert unknown.timestamp == "" and "timeStamp.untrusted" in unknown.notices


def test_a_claim_list_never_vouches_for_time(
    film: Path, tmp_path: Path, ours: Chain, authority: TimestampAuthority
) -> None:
    with served(authority) as host:
        url, path = f"http://{host}/", tmp_path / "t.mp4"
        sign_briefly(
            ours, lambda chain: sign(film, path, content_of(), FileKeySigner.of(chain, timestamp_url=url))
        )
    only_ours = Trust(own_root_pem=ours.root_pem)
    wait_for(lambda: read(path, only_ours).state is State.EXPIRED_NO_TIMESTAMP)
    right = Trust(own_root_pem=ours.root_pem, tsa_anchors_pem=authority.root_pem)
    wrong = Trust(own_root_pem=ours.root_pem, claim_anchors_pem=authority.root_pem)
    assert read(tmp_path / "t.mp4", right).state is State.TRUSTED
    assert read(tmp_path / "t.mp4", wrong).state is State.EXPIRED_NO_TIMESTAMP
    assert read(flip(tmp_path / "t.mp4", tmp_path / "f.mp4"), right).state is State.TAMPERED


def test_the_authority_is_asked_again(film: Path, tmp_path: Path, ours: Chain) -> None:
    shaky = timestamp_authority()
    shaky.fail_first = 1
    with served(shaky) as host:
        signer = FileKeySigner.of(ours, timestamp_url=f"http://{host}/")
        assert sign(film, tmp_path / "t.mp4", content_of(), signer, timestamp=QUICK).timestamped
    assert shaky.requests == 3  # refused, then our question, then the library's


@pytest.fixture
def dead_ends() -> Iterator[list[str]]:
    """An address nobody listens on, and one that accepts and then says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        yield [f"http://127.0.0.1:{closed.getsockname()[1]}/", f"http://127.0.0.1:{silent.getsockname()[1]}/"]


def test_an_authority_that_is_down(film: Path, tmp_path: Path, ours: Chain, dead_ends: list[str]) -> None:
    for url in dead_ends:
        signer = FileKeySigner.of(ours, timestamp_url=url)
        target = tmp_path / "t.mp4"
        with pytest.raises(TimestampUnavailable, match="did not answer"):
            sign(film, target, content_of(), signer, timestamp=QUICK)
        assert not target.exists()
        lenient = TimestampPolicy(required=False, attempts=1, timeout=0.3)
        assert not sign(film, target, content_of(), signer, timestamp=lenient).timestamped
        assert read(target, Trust(own_root_pem=ours.root_pem)).state is State.TRUSTED
        target.unlink()


def test_an_authority_that_answers_nonsense(film: Path, tmp_path: Path, ours: Chain) -> None:
    class Nonsense(TimestampAuthority):
        def answer(self, request: bytes) -> bytes:
            return b"junk"

    class Forged(TimestampAuthority):
        def answer(self, request: bytes) -> bytes:
            data = bytearray(super().answer(request))
            data[-1] ^= 1
            return bytes(data)

    good = timestamp_authority()
    for kind in (Nonsense, Forged):
        with served(kind(signer=good.signer, root=good.root)) as host:
            signer = FileKeySigner.of(ours, timestamp_url=f"http://{host}/")
            with pytest.raises(TimestampUnavailable, match="no usable answer"):
                sign(film, tmp_path / "t.mp4", content_of(), signer, timestamp=QUICK)
        assert not (tmp_path / "t.mp4").exists()


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/", "not an address"])
def test_addresses_that_are_no_authority(film: Path, tmp_path: Path, ours: Chain, url: str) -> None:
    with pytest.raises(ProvenanceError, match="http://"):
        sign(
            film, tmp_path / "t.mp4", content_of(), FileKeySigner.of(ours, timestamp_url=url), timestamp=QUICK
        )


def signed_with_status(film: Path, target: Path, ours: Chain, responder: Responder, host: str) -> int:
    middle = load_certificates(ours.chain_pem)[1]
    issuer = Issuer(certificate=middle, key=load_key(ours.authority_key_pem))
    leaf = issue_leaf("Alpha Studio", issuer, now=datetime.now(UTC), ocsp_url=f"http://{host}/")
    responder.leaves.append(leaf.certificate)
    chain_pem = to_pem(leaf.certificate) + to_pem(middle)
    sign(film, target, content_of(), FileKeySigner(chain_pem=chain_pem, key_pem=key_to_pem(leaf.key)))
    return leaf.certificate.serial_number


def test_revocation_is_asked_only_where_allowed(film: Path, tmp_path: Path, ours: Chain) -> None:
    responder = responder_for(ours.chain_pem, ours.authority_key_pem)
    target = tmp_path / "o.mp4"
    with served(responder) as host:
        serial = signed_with_status(film, target, ours, responder, host)
        asking = Trust(own_root_pem=ours.root_pem, ocsp_hosts=(host,))
        silent = Trust(own_root_pem=ours.root_pem)
        elsewhere = Trust(own_root_pem=ours.root_pem, ocsp_hosts=("ocsp.example.org",))
        assert read(target, silent).state is State.TRUSTED
        assert read(target, elsewhere).state is State.TRUSTED
        assert responder.requests == 0
        assert read(target, asking).state is State.TRUSTED
        assert responder.requests == 1
        responder.revoked.add(serial)
        found = read(target, asking)
        assert found.state is State.REVOKED
        assert found.issuer == "" and "signingCredential.ocsp.revoked" in found.codes
        assert read(target, silent).state is State.TRUSTED  # the offline list is for that
