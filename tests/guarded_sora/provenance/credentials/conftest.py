"""Real small films, real certificate chains, and a guard against any connection."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from guarded_sora.errors import ProvenanceError
from guarded_sora.provenance.credentials.certificates import Chain, issue_chain, renew_leaf
from guarded_sora.provenance.credentials.manifest import Generator, ManifestContent, SoftBinding
from guarded_sora.provenance.credentials.sign import sign
from guarded_sora.provenance.credentials.signer import FileKeySigner
from guarded_sora.provenance.credentials.trust import Trust

CLIP_ID = "gs1:0a1b2c3d:00112233ff"


def encode(
    path: Path, *, codec: str = "libx264", options: dict[str, str] | None = None, seed: int = 0
) -> Path:
    """One second of moving noise, 64x64 at 8 fps."""
    random = np.random.default_rng(seed)
    still = random.integers(0, 255, (64, 64, 3), dtype=np.uint8)
    with av.open(str(path), "w", options=options or {}) as container:
        stream: Any = container.add_stream(codec, rate=8)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for index in range(8):
            frame = av.VideoFrame.from_ndarray(np.roll(still, index * 3, axis=1), format="rgb24")
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def remux(src: Path, dst: Path, options: dict[str, str] | None = None) -> Path:
    """The same packets in a fresh container: what every upload does."""
    with av.open(str(src)) as source, av.open(str(dst), "w", options=options or {}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    return dst


def flip(src: Path, dst: Path, *, box: bytes = b"mdat", offset: int = 64) -> Path:
    """The same file with one bit changed, ``offset`` bytes behind the name of ``box``."""
    data = bytearray(src.read_bytes())
    position = data.find(box)
    assert position > 0
    data[position + offset] ^= 1
    dst.write_bytes(data)
    return dst


def content_of(**changes: Any) -> ManifestContent:
    values: dict[str, Any] = {
        "clip_id": CLIP_ID,
        "title": "clip",
        "generator": Generator(name="sprites", version="1.2", licence="Apache-2.0", settings={"steps": 3}),
        "created": datetime(2026, 11, 22, 12, 0, tzinfo=UTC),
        "soft_binding": SoftBinding(value="gs1.00112233ff"),
        "provider": "Alpha Studio",
    }
    return ManifestContent(**(values | changes))


def sign_briefly(chain: Chain, sign_with: Callable[[Chain], Any]) -> Any:
    """``sign_with`` a leaf that expires in a moment; on a busy machine the moment grows."""
    for seconds in (1.5, 6.0, 30.0):
        try:
            return sign_with(renew_leaf(chain, leaf_days=seconds / 86400))
        except ProvenanceError:
            continue
    raise AssertionError("signing took longer than half a minute")


def wait_for(happened: Callable[[], bool]) -> None:
    """Until the short life of a certificate is over."""
    for _ in range(400):
        if happened():
            return
        time.sleep(0.1)
    raise AssertionError("the certificate never expired")


@pytest.fixture(scope="session")
def ours() -> Chain:
    return issue_chain("Alpha Studio")


@pytest.fixture(scope="session")
def listed() -> Chain:
    """A signer of somebody else, on the list of claim signers."""
    return issue_chain("Listed Camera Maker")


@pytest.fixture(scope="session")
def stranger() -> Chain:
    """A signer nobody knows, who borrows a famous name."""
    return issue_chain("OpenAI")


@pytest.fixture(scope="session")
def trust(ours: Chain, listed: Chain) -> Trust:
    return Trust(own_root_pem=ours.root_pem, claim_anchors_pem=listed.root_pem)


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("film") / "film.mp4")


@pytest.fixture(scope="session")
def signed(film: Path, ours: Chain, trust: Trust) -> Path:
    target = film.with_name("signed.mp4")
    sign(film, target, content_of(), FileKeySigner.of(ours), trust=trust)
    return target


@pytest.fixture
def sign_as(film: Path, tmp_path: Path) -> Callable[..., Path]:
    """``sign_as(chain, name, **content)`` signs the film and returns the new path."""

    def make(chain: Chain, name: str = "made.mp4", src: Path = film, **changes: Any) -> Path:
        sign(src, tmp_path / name, content_of(**changes), FileKeySigner.of(chain))
        return tmp_path / name

    return make


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Every connection and name look-up of this process is recorded and refused.

    The native library makes its own system calls; for those, tests listen on a local port instead.
    """
    seen: list[str] = []

    def refuse(*arguments: Any, **_: Any) -> None:
        seen.append(repr(arguments[:2]))
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    yield seen
    assert seen == []
