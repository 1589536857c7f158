"""Soft binding resolution over HTTP, and a server of ours as the upstream of another."""

from __future__ import annotations

import base64
from pathlib import Path

import httpx
import numpy as np
import pytest

from guarded_sora import GuardedSora
from guarded_sora.errors import BackendUnavailable, GenerationFailed
from guarded_sora.generation.backends.server import KEY_VARIABLE, ServerBackend
from guarded_sora.generation.contract import GenerationRequest
from guarded_sora.provenance.clip_id import ClipId
from guarded_sora.provenance.credentials.resolution import binding_value
from tests.guarded_sora.conftest import moving_scene
from tests.guarded_sora.console.conftest import altered
from tests.guarded_sora.server.conftest import PROMPT, REFUSED, Running


def test_a_stripped_clip_leads_back_to_its_manifest(
    running: Running, finished: tuple[str, str], tmp_path: Path
) -> None:
    key, video_id = finished
    with httpx.Client(base_url=running.url, timeout=60) as client:
        mine = {"authorization": f"Bearer {key}"}
        clip_id = client.get(f"/v1/videos/{video_id}", headers=mine).json()["guard"]["clip_id"]
        film = tmp_path / "film.mp4"
        film.write_bytes(client.get(f"/v1/videos/{video_id}/content", headers=mine).content)
        (algorithm,) = client.get("/services/supportedAlgorithms").json()["watermarks"]
        value = base64.b64encode(binding_value(ClipId.parse(clip_id)).encode()).decode()
        query = {"alg": algorithm["alg"], "value": value}
        (found,) = client.get("/matches/byBinding", params=query).json()["matches"]
        assert client.post("/matches/byBinding", json=query).json()["matches"] == [found]
        stripped = altered(film, tmp_path / "stripped.mp4").read_bytes()
        headers = {"content-type": "video/mp4"}
        content = client.post("/matches/byContent", content=stripped, headers=headers).json()
        assert content["matches"][0]["manifestId"] == found["manifestId"]
        assert content["matches"][0]["similarityScore"] > 90
        manifest = client.get(f"/manifests/{found['manifestId']}")
        assert manifest.headers["content-type"] == "application/c2pa"
        assert manifest.content in film.read_bytes()
        assert client.get("/manifests/urn:none").status_code == 404
        assert client.get("/matches/byBinding", params={**query, "alg": "x"}).status_code == 400
        assert client.post("/matches/byContent", content=b"no film", headers=headers).status_code == 400
        assert client.post("/matches/byContent", content=b"x").status_code == 415


def test_a_server_of_videos_is_guarded_as_a_generator(
    running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, running.key("generate"))
    upstream = ServerBackend(running.url, poll_seconds=0.05)
    steps: list[int] = []
    clip = upstream.generate(
        GenerationRequest(prompt=PROMPT, seconds=1, seed=4), lambda event: steps.append(event.step) is None
    )
    assert clip.frames.dtype == np.uint8 and clip.frames.shape[1:] == (256, 256, 3)
    assert steps
    with GuardedSora.open(home=tmp_path / "home", backend=upstream) as sora:
        release = sora.generate(PROMPT, seconds=1)
        assert sora.verify(release.path).verdict.value == "ours_intact"
        assert release.clip_id.issuer != running.server.services.keys.issuer
    with pytest.raises(GenerationFailed, match="400"):
        upstream.generate(GenerationRequest(prompt=REFUSED))
    with pytest.raises(GenerationFailed, match="stopped"):
        upstream.generate(GenerationRequest(prompt=PROMPT, seconds=1), lambda _: False)
    scene = moving_scene(5, frames=9)
    for start in ({"image": scene[0]}, {"video": scene}):
        onward = upstream.generate(GenerationRequest(prompt=PROMPT, seconds=1, seed=6, **start))
        assert onward.frames.shape[1:] == (256, 256, 3)
    asked = running.server.services.log.search(kind="request.intent", limit=100)
    assert {(bool(event.body["image"]), bool(event.body["video"])) for event in asked} == {
        (False, False), (True, False), (False, True),
    }  # fmt: skip
    monkeypatch.setenv(KEY_VARIABLE, "wrong")
    with pytest.raises(GenerationFailed, match="401"):
        upstream.generate(GenerationRequest(prompt=PROMPT))


@pytest.mark.parametrize("url", ["ftp://x", "http://", "https://name:word@host", "nothing"])
def test_an_upstream_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(BackendUnavailable):
        ServerBackend(url)
