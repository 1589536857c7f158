"""Bodies that are too large, too slow, too many-parted or no film: refused within bounds."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from guarded_sora import GuardedSora
from guarded_sora.server.options import MIB, ServerOptions
from tests.guarded_sora.conftest import Painter
from tests.guarded_sora.server.conftest import Running, serving


@pytest.fixture(scope="module")
def tight(home_of_module: Path) -> Iterator[Running]:
    """A server with small bounds."""
    options = ServerOptions(upload_mib=2, reference_mib=1, idle_seconds=0.4, body_seconds=5)
    with (
        GuardedSora.open(home=home_of_module, backend=Painter()) as sora,
        serving(sora.services, options) as it,
    ):
        yield it


def raw(running: Running, head: bytes, *, linger: float = 180.0) -> bytes:
    """Send ``head``, then nothing; what the server answers until it closes the connection."""
    host, port = running.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=linger) as connection:
        connection.sendall(head)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
        return answer


def test_a_huge_upload_is_refused_before_it_is_sent(tight: Running) -> None:
    key = tight.key("verify")
    head = (
        f"POST /v1/verify HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
        f"content-type: multipart/form-data; boundary=b\r\ncontent-length: {2 << 30}\r\n\r\n"
    )
    answer = raw(tight, head.encode())
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"too_large" in answer


def test_a_body_without_a_length_is_cut_off_at_the_bound(tight: Running) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        yield b'--b\r\ncontent-disposition: form-data; name="file"; filename="x.mp4"\r\n\r\n'
        while sent < 64 * MIB:
            sent += MIB // 4
            yield bytes(MIB // 4)

    with tight.client("verify") as client:
        headers = {"content-type": "multipart/form-data; boundary=b"}
        try:
            answer = client.post("/v1/verify", content=endless(), headers=headers)
            assert answer.status_code == 413
        except Exception as error:  # the server may close while we still send
            assert type(error).__name__ in ("WriteError", "ReadError", "RemoteProtocolError"), error
    assert sent < 64 * MIB
    assert list(tight.server.services.settings.work.glob("upload-*")) == []


def test_a_slow_client_is_cut_off(tight: Running) -> None:
    key = tight.key("verify")
    head = (
        f"POST /v1/verify HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
        "content-type: multipart/form-data; boundary=b\r\ncontent-length: 1000\r\n\r\n--b"
    )
    answer = raw(tight, head.encode())
    assert answer.startswith(b"HTTP/1.1 408")


def test_a_form_of_ten_thousand_parts_is_refused(tight: Running) -> None:
    with tight.client("generate", "verify") as client:
        for path in ("/v1/videos", "/v1/verify"):
            parts = {f"field{index}": (None, "x") for index in range(10_000)}
            answer = client.post(path, files=parts)
            assert answer.status_code in (400, 413), path
        assert client.post("/check", files=parts).status_code in (400, 413)


@pytest.mark.parametrize(
    "content",
    [
        b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + b"\xff\xff\xff\xffmoov" * 1000,
        b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + b"\x00\x00\x00\x08moov" * 100_000,
    ],
    ids=["endless box", "a bomb of boxes"],
)
def test_what_is_no_film_is_said_to_be_none(tight: Running, content: bytes) -> None:
    with tight.client("verify") as client:
        answer = client.post("/v1/verify", files={"file": ("clip.mp4", content)})
    assert answer.status_code == 200
    assert answer.json()["verdict"] in ("unreadable", "tampered", "inconclusive")
    assert answer.json()["file"] == "clip.mp4"


def bomb(path: Path) -> bytes:
    """A small file that unfolds to hours of 4K: one black picture, sent again and again."""
    black = np.zeros((2160, 3840, 3), np.uint8)
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("libx264", rate=2, options={"g": "1", "crf": "51"})
        stream.width, stream.height, stream.pix_fmt = 3840, 2160, "yuv420p"
        packets = stream.encode(av.VideoFrame.from_ndarray(black, format="rgb24")) + stream.encode()
        data, base = bytes(packets[0]), packets[0].time_base
        for index in range(10_000):
            packet = av.Packet(data)
            packet.stream, packet.time_base, packet.is_keyframe = stream, base, True
            packet.pts = packet.dts = int(index / (2 * base))
            out.mux(packet)
    return path.read_bytes()


@pytest.mark.slow
def test_a_small_file_that_unfolds_to_hours_is_given_up_in_time(home_of_module: Path, tmp_path: Path) -> None:
    content = bomb(tmp_path / "bomb.mp4")
    assert len(content) < 30 * MIB
    options = ServerOptions(upload_mib=32, check_seconds=2)
    with (
        GuardedSora.open(home=home_of_module, backend=Painter()) as sora,
        serving(sora.services, options) as it,
        it.client("verify") as client,
    ):
        answer = client.post("/v1/verify", files={"file": ("clip.mp4", content)})
        assert answer.status_code == 200
        # What could not be looked at in time is never "nothing found".
        assert answer.json()["verdict"] in ("unreadable", "inconclusive")
        matched = client.post("/matches/byContent", content=content, headers={"content-type": "video/mp4"})
        assert matched.status_code in (400, 503)
        assert list(sora.services.settings.work.glob("upload-*")) == []


def test_a_film_gets_its_verdict_and_leaves_nothing_behind(tight: Running) -> None:
    services = tight.server.services
    release = GuardedSora(services).generate("a red balloon rising over a sandy beach", seed=77)
    with tight.client("verify") as client:
        body = release.path.read_bytes()
        answer = client.post("/v1/verify", files={"file": ("../../etc/\u202eclip.mp4", body)})
        shallow = client.post("/v1/verify?depth=credentials", files={"file": ("c.mp4", body)})
        assert client.post("/v1/verify?depth=all", files={"file": ("c.mp4", body)}).status_code == 422
        assert client.post("/v1/verify", json={"file": "x"}).status_code == 400
        assert (
            client.post("/v1/verify", content=b"x", headers={"content-type": "text/plain"}).status_code == 415
        )
    verdict = answer.json()
    assert verdict["verdict"] == "ours_intact"
    assert verdict["clip_id"] == str(release.clip_id)
    assert "/" not in verdict["file"] and "\u202e" not in verdict["file"]
    assert all(item["kind"] != "watermark" for item in shallow.json()["evidence"])
    assert list(services.settings.work.glob("upload-*")) == []
    assert services.log.read(verdict["audit"]["seq"]).kind == "clip.verified"


def test_health_metrics_and_request_ids(tight: Running) -> None:
    with tight.client("audit.read") as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        assert client.get("/readyz").json()["parts"] == {"pool": True, "log": True}
        given = client.get("/healthz", headers={"x-request-id": "abcdefgh-1"})
        assert given.headers["x-request-id"] == "abcdefgh-1"
        forged = client.get("/healthz", headers={"x-request-id": "short"})
        assert forged.headers["x-request-id"].startswith("req_")
        text = client.get("/metrics").text
    assert 'guarded_sora_http_seconds_count{route="/healthz",status="200"}' in text
    assert "guarded_sora_jobs" in text


def test_tiles_checkpoint_and_proofs_are_those_of_the_log(tight: Running) -> None:
    import base64
    import hashlib

    log = tight.server.services.log
    log.checkpoint()
    with tight.client("audit.read") as client:
        note = client.get("/audit/checkpoint").text
        size = int(note.splitlines()[1])
        assert 0 < size < 256
        answer = client.get(f"/audit/tile/entries/000.p/{size}")
        bundle = answer.content
        assert "private" in answer.headers["cache-control"], "no shared cache hands it to one without a key"
        leaves = client.get(f"/audit/tile/0/000.p/{size}").content
        hashes = []
        while bundle:
            length = int.from_bytes(bundle[:2], "big")
            hashes.append(hashlib.sha256(b"\x00" + bundle[2 : 2 + length]).digest())
            bundle = bundle[2 + length :]
        assert b"".join(hashes) == leaves

        def root(nodes: list[bytes]) -> bytes:
            if len(nodes) == 1:
                return nodes[0]
            split = 1 << (len(nodes) - 1).bit_length() - 1
            return hashlib.sha256(b"\x01" + root(nodes[:split]) + root(nodes[split:])).digest()

        assert base64.b64encode(root(hashes)).decode() == note.splitlines()[2]
        assert client.get("/audit/proof/0.tlog-proof").text.startswith("c2sp.org/tlog-proof@v1\nindex 0\n")
        for path in (
            f"0/000.p/{size + 1}",
            "0/000",
            "0/000.p/256",
            "1/000.p/1",
            "entries/9",
            "0/x1/000",
            "8/000",
        ):
            assert client.get(f"/audit/tile/{path}").status_code in (404, 422), path
        assert client.get("/audit/proof/100000.tlog-proof").status_code == 404


def test_a_line_of_the_log_names_no_path_no_words_and_no_file(
    tight: Running, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="guarded_sora.server"), tight.client("verify") as client:
        client.post("/v1/verify?depth=credentials", files={"file": ("zeppelin.mp4", b"zeppelin")})
        client.get("/console/log/zeppelin?q=zeppelin")
        client.get("/zeppelin")
        deadline = time.monotonic() + 30  # a line is written after its answer has gone out
        while (
            sum(r.name == "guarded_sora.server" for r in caplog.records) < 3 and time.monotonic() < deadline
        ):
            time.sleep(0.05)
    lines = [json.loads(record.message) for record in caplog.records if record.name == "guarded_sora.server"]
    assert [line["route"] for line in lines] == ["/v1/verify", "/console/log/{seq}", "none"]
    assert all(set(line) == {"request_id", "method", "route", "status", "ms", "key"} for line in lines)
    assert lines[0]["key"] and lines[0]["status"] == 200
    assert "zeppelin" not in caplog.text
