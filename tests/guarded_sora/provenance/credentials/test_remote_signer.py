"""A signing service on a local port: only claims travel, and every way it can fail is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from guarded_sora.errors import ProvenanceError
from guarded_sora.provenance.credentials.certificates import Chain
from guarded_sora.provenance.credentials.read import read
from guarded_sora.provenance.credentials.sign import sign
from guarded_sora.provenance.credentials.signer import (
    CallbackSigner,
    FileKeySigner,
    RemoteSigner,
    may_travel,
    with_timestamp,
)
from guarded_sora.provenance.credentials.trust import Trust
from tests.guarded_sora.provenance.credentials.authority import served, timestamp_authority
from tests.guarded_sora.provenance.credentials.conftest import content_of
from tests.local_server import Quiet, listening


class Service:
    """Signs with a file key; ``mode`` makes it misbehave. ``seen`` holds (token, bytes) of each request."""

    def __init__(self, chain: Chain, mode: str = "") -> None:
        self.signer = FileKeySigner.of(chain)
        self.mode = mode
        self.seen: list[tuple[str, int]] = []


@contextmanager
def serving(service: Service) -> Iterator[str]:
    class Handler(Quiet):
        def do_POST(self) -> None:
            data = self.body()
            service.seen.append((self.headers.get("Authorization", ""), len(data)))
            if service.mode == "refuses":
                self.send_error(403)
                return
            if service.mode == "sends elsewhere":
                self.send_response(307)
                self.send_header("Location", f"http://127.0.0.1:{self.server.server_address[1]}/x")
                self.end_headers()
                return
            answer = {"empty": b"", "endless": b"x" * 5000, "wrong": bytes(64)}.get(service.mode)
            self.send(service.signer.sign(data) if answer is None else answer)

    with listening(Handler) as address:
        yield f"http://{address}/sign"


def test_only_the_claim_travels(film: Path, tmp_path: Path, ours: Chain, trust: Trust) -> None:
    service = Service(ours)
    with serving(service) as url:
        signer = RemoteSigner(url=url, chain_pem=ours.chain_pem, token="a secret")
        sign(film, tmp_path / "s.mp4", content_of(), signer, trust=trust)
    assert read(tmp_path / "s.mp4", trust).ours
    ((token, size),) = service.seen
    assert token == "Bearer a secret" and size < 4096 < film.stat().st_size
    assert "a secret" not in repr(signer)


@pytest.mark.parametrize("mode", ["refuses", "sends elsewhere", "empty", "endless"])
def test_a_service_that_gives_no_signature(
    mode: str, film: Path, tmp_path: Path, ours: Chain, trust: Trust
) -> None:
    service = Service(ours, mode)
    with serving(service) as url:
        signer = RemoteSigner(url=url, chain_pem=ours.chain_pem)
        with pytest.raises(ProvenanceError, match="signing service"):
            sign(film, tmp_path / "s.mp4", content_of(), signer, trust=trust)
    assert not (tmp_path / "s.mp4").exists()
    assert len(service.seen) == 1  # a redirect is not followed


def test_a_wrong_signature_never_leaves(film: Path, tmp_path: Path, ours: Chain, trust: Trust) -> None:
    with serving(Service(ours, "wrong")) as url:
        signer = RemoteSigner(url=url, chain_pem=ours.chain_pem)
        with pytest.raises(ProvenanceError):
            sign(film, tmp_path / "s.mp4", content_of(), signer, trust=trust)
    assert not (tmp_path / "s.mp4").exists()


def test_a_callback_that_raises_is_named(film: Path, tmp_path: Path, ours: Chain, trust: Trust) -> None:
    def broken(data: bytes) -> bytes:
        raise ConnectionError("the HSM's own words")

    with pytest.raises(ProvenanceError, match="raised ConnectionError") as caught:
        sign(
            film,
            tmp_path / "s.mp4",
            content_of(),
            CallbackSigner(chain_pem=ours.chain_pem, function=broken),
            trust=trust,
        )
    assert "own words" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["", "sign.example.org", "http://sign.example.org/", "ftp://localhost/", "https://"]
)
def test_addresses_that_would_show_the_token(url: str, ours: Chain) -> None:
    with pytest.raises(ProvenanceError, match="https://"):
        RemoteSigner(url=url, chain_pem=ours.chain_pem)


def test_every_kind_of_signer_gets_its_time(film: Path, tmp_path: Path, ours: Chain) -> None:
    authority, service = timestamp_authority(), Service(ours)
    trust = Trust(own_root_pem=ours.root_pem, tsa_anchors_pem=authority.root_pem)
    with served(authority) as host, serving(service) as url:
        address = f"http://{host}/"
        for index, signer in enumerate(
            (
                FileKeySigner.of(ours),
                CallbackSigner(chain_pem=ours.chain_pem, function=service.signer.sign),
                RemoteSigner(url=url, chain_pem=ours.chain_pem),
            )
        ):
            timed = with_timestamp(signer, address)
            target = tmp_path / f"{index}.mp4"
            assert sign(film, target, content_of(), timed, trust=trust).timestamped
            assert read(target, trust).timestamp
            again = with_timestamp(timed, None)
            assert may_travel(timed) != isinstance(signer, CallbackSigner)
            assert again.timestamp_url is None and again.chain_pem == ours.chain_pem
            assert isinstance(again, FileKeySigner) == isinstance(signer, FileKeySigner)
