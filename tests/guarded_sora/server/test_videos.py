"""The OpenAI Python SDK as client of a real server; then what its client library cannot do."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from PIL import Image

from guarded_sora import GuardedSora
from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.policies.finding import Finding, Modality
from guarded_sora.server.options import ServerOptions
from tests.guarded_sora.conftest import Painter, paint
from tests.guarded_sora.server.conftest import PROMPT, REFUSED, Running, serving, wait_for, with_frame_check

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def sdk(running: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        api_key=running.key("generate"), base_url=f"{running.url}/v1", max_retries=0
    ) as client:
        yield client


def test_create_poll_and_download_three_variants(
    sdk: openai.OpenAI, running: Running, tmp_path: Path
) -> None:
    video = sdk.videos.create_and_poll(prompt=PROMPT, model="sora-2", seconds="2", poll_interval_ms=50)  # type: ignore[arg-type]
    assert video.status == "completed"
    assert video.progress == 100
    assert video.prompt == PROMPT
    assert video.size == "256x256"
    guard = (video.model_extra or {})["guard"]
    assert guard["decision"]["action"] == "allow"
    assert guard["clip_id"].startswith("gs1:")
    assert guard["policy"]["digest"]

    film = sdk.videos.download_content(video.id).read()
    path = tmp_path / "film.mp4"
    path.write_bytes(film)
    verdict = GuardedSora(running.server.services).verify(path)
    assert verdict.verdict.value == "ours_intact"
    assert str(verdict.clip_id) == guard["clip_id"]

    thumbnail = Image.open(io.BytesIO(sdk.videos.download_content(video.id, variant="thumbnail").read()))
    assert (thumbnail.format, thumbnail.size) == ("WEBP", (256, 256))
    sheet = Image.open(io.BytesIO(sdk.videos.download_content(video.id, variant="spritesheet").read()))
    assert sheet.format == "JPEG"
    assert sheet.width == 6 * 320


def test_a_refused_prompt_is_a_400_and_logged(sdk: openai.OpenAI, running: Running) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        sdk.videos.create(prompt=REFUSED)
    assert caught.value.code == "moderation_blocked"
    assert caught.value.param == "prompt"
    assert "beheading" not in str(caught.value)
    seq = caught.value.body["guard"]["audit"]["seq"]  # type: ignore[index]
    assert running.server.services.log.read(seq).kind == "request.blocked"
    assert caught.value.request_id


def test_references_remix_pages_and_delete(sdk: openai.OpenAI) -> None:
    picture = io.BytesIO()
    Image.fromarray(np.full((64, 64, 3), 120, np.uint8)).save(picture, "PNG")
    first = sdk.videos.create_and_poll(
        prompt=PROMPT,
        seconds="1",  # type: ignore[arg-type]
        input_reference=("picture.png", picture.getvalue(), "image/png"),
        poll_interval_ms=50,
    )
    assert first.status == "completed", first.error
    again = sdk.videos.remix(first.id, prompt="the same beach in the evening")
    assert again.remixed_from_video_id == first.id
    assert sdk.videos.poll(again.id, poll_interval_ms=50).status == "completed"
    film = sdk.videos.download_content(first.id).read()
    third = sdk.videos.create_and_poll(
        prompt=PROMPT,
        seconds="1",  # type: ignore[arg-type]
        input_reference=("clip.mp4", film, "video/mp4"),
        poll_interval_ms=50,
    )
    assert third.status == "completed", third.error

    newest = sdk.videos.list(limit=2)
    assert [video.id for video in newest.data] == [third.id, again.id]
    assert newest.has_more
    everything = [video.id for video in sdk.videos.list(limit=2)]
    assert len(everything) == len(set(everything)) >= 3
    oldest = [video.id for video in sdk.videos.list(limit=100, order="asc")]
    assert oldest == everything[::-1]

    assert sdk.videos.delete(first.id).deleted
    with pytest.raises(openai.NotFoundError):
        sdk.videos.retrieve(first.id)


def test_moderations(sdk: openai.OpenAI) -> None:
    answer = sdk.moderations.create(input=[PROMPT, REFUSED])
    assert [result.flagged for result in answer.results] == [False, True]
    refused = answer.results[1]
    assert refused.categories.violence_graphic or refused.categories.violence
    assert not refused.categories.sexual
    one = sdk.moderations.create(input=[{"type": "text", "text": PROMPT}, {"type": "text", "text": REFUSED}])
    assert [result.flagged for result in one.results] == [True]


class RedAlarm:
    """A detector that fires on red pictures."""

    name = "test.red"
    version = "1"
    unavailable = ""

    def inspect(self, frames: FrameBatch) -> list[Finding]:
        if frames.frames[..., 0].mean() < frames.frames[..., 1:].mean() + 60:
            return []
        return [
            Finding(
                category="violence.graphic",
                severity=3,
                score=0.99,
                detector=self.name,
                detector_version=self.version,
                modality=Modality.VIDEO,
            )
        ]


def red(request: Any) -> np.ndarray:
    film = paint(request)
    film[..., 1:] //= 8
    film[..., 0] = np.maximum(film[..., 0], 180)
    return film


def test_a_film_refused_after_it_was_made_fails_with_a_code(tmp_path: Path) -> None:
    with GuardedSora.open(home=tmp_path / "home", backend=Painter(red)) as sora:
        services = with_frame_check(sora.services, RedAlarm())
        with (
            serving(services) as it,
            openai.OpenAI(api_key=it.key("generate"), base_url=f"{it.url}/v1") as client,
        ):
            video = client.videos.create_and_poll(prompt=PROMPT, poll_interval_ms=50)
            assert video.status == "failed"
            assert video.error is not None
            assert video.error.code in ("moderation_blocked", "review_required")
            with pytest.raises(openai.ConflictError):
                client.with_options(max_retries=0).videos.download_content(video.id)


def test_an_idempotency_key_makes_one_film(running: Running) -> None:
    with running.client("generate") as client:
        headers = {"idempotency-key": "one"}
        body = {"prompt": PROMPT, "seconds": "1"}
        first = client.post("/v1/videos", json=body, headers=headers)
        again = client.post("/v1/videos", json=body, headers=headers)
        other = client.post("/v1/videos", json={**body, "prompt": "another beach"}, headers=headers)
        assert first.json()["id"] == again.json()["id"]
        assert other.status_code == 409
        assert other.headers["x-should-retry"] == "false"
        with running.client("generate") as stranger:
            theirs = stranger.post("/v1/videos", json=body, headers=headers)
        assert theirs.json()["id"] != first.json()["id"]


def test_progress_as_events_and_as_a_header(running: Running) -> None:
    with running.client("generate") as client:
        made = client.post("/v1/videos", json={"prompt": PROMPT, "seconds": "1"})
        assert made.headers["openai-poll-after-ms"] == "1000"
        with client.stream("GET", f"/v1/videos/{made.json()['id']}/events") as stream:
            names = [line for line in stream.iter_lines() if line.startswith("event:")]
        assert names[-1] == "event: video.completed"


def test_nobody_sees_the_film_of_another(running: Running, finished: tuple[str, str]) -> None:
    _, video_id = finished
    with running.client("generate") as stranger:
        for method, path in (
            ("GET", ""),
            ("GET", "/content"),
            ("GET", "/proof"),
            ("GET", "/events"),
            ("DELETE", ""),
        ):
            assert stranger.request(method, f"/v1/videos/{video_id}{path}").status_code == 404
        assert stranger.post(f"/v1/videos/{video_id}/remix", json={"prompt": PROMPT}).status_code == 404
        assert stranger.get("/v1/videos").json()["data"] == []


def test_the_prompt_stands_nowhere_in_clear(running: Running, home_of_module: Path) -> None:
    words = "a quartzite zeppelin over turquoise dunes"
    with running.client("generate") as client:
        made = client.post("/v1/videos", json={"prompt": words, "seconds": "1"}).json()
        wait_for(lambda: client.get(f"/v1/videos/{made['id']}").json()["status"] == "completed")
        assert client.get(f"/v1/videos/{made['id']}").json()["prompt"] == words
    running.server.services.log.checkpoint()
    for file in home_of_module.rglob("*"):
        if file.is_file():
            assert b"zeppelin" not in file.read_bytes(), file


def test_a_proof_of_the_outcome_holds_offline(running: Running, finished: tuple[str, str]) -> None:
    from guarded_sora.audit.verifier import check_proof

    key, video_id = finished
    with httpx.Client(base_url=running.url, headers={"authorization": f"Bearer {key}"}) as client:
        guard = client.get(f"/v1/videos/{video_id}").json()["guard"]
        made = client.get(guard["proof_url"].replace("http://127.0.0.1:8000", running.url)).json()
    checked = check_proof(made["proof"], made["entry"].encode(), made["key"])
    assert checked.index == made["seq"]
    assert guard["clip_id"] in made["entry"]


def test_a_full_queue_says_so(tmp_path: Path) -> None:
    with GuardedSora.open(home=tmp_path / "home", backend=Painter()) as sora:
        options = ServerOptions(queue=1, workers=1)
        with serving(sora.services, options) as it, it.client("generate") as client:
            it.server.pool.close()
            bodies = [{"prompt": PROMPT, "seconds": "1"}] * 2
            first, second = (client.post("/v1/videos", json=body) for body in bodies)
            assert first.status_code == 200
            assert second.status_code == 429
            assert int(second.headers["retry-after"]) > 0
            assert client.delete(f"/v1/videos/{first.json()['id']}").json()["deleted"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "prompt"),
        ({"prompt": " "}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": PROMPT, "seconds": "many"}, "seconds"),
        ({"prompt": PROMPT, "seconds": "900"}, "seconds"),
        ({"prompt": PROMPT, "size": "9x9"}, "size"),
        ({"prompt": PROMPT, "seed": -1}, "seed"),
        ({"prompt": PROMPT, "model": "x" * 65}, "model"),
        ({"prompt": PROMPT, "guard": 3}, "guard"),
        ({"prompt": PROMPT, "guard": {"age_tier": "old"}}, "guard[age_tier]"),
        ({"prompt": PROMPT, "input_reference": {"file_id": "f"}}, "input_reference"),
        ({"prompt": PROMPT, "input_reference": {"image_url": "http://127.0.0.1/x.png"}}, "input_reference"),
        ({"prompt": PROMPT, "input_reference": {"image_url": "data:image/png;base64,?"}}, "input_reference"),
        ({"prompt": PROMPT, "input_reference": 7}, "input_reference"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(running: Running, body: dict[str, Any], param: str) -> None:
    with running.client("generate") as client:
        answer = client.post("/v1/videos", json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == param


class Broken:
    """A frame check that raises, so that the film is held for review."""

    name = "test.broken"
    version = "1"
    unavailable = ""

    def inspect(self, frames: FrameBatch) -> list[Finding]:
        raise RuntimeError("broken")


def test_a_film_that_a_reviewer_allows_completes_the_clients_own_video(tmp_path: Path) -> None:
    with GuardedSora.open(home=tmp_path / "home", backend=Painter()) as sora:
        services = with_frame_check(sora.services, Broken())
        with serving(services) as it, it.client("generate") as client:
            made = client.post("/v1/videos", json={"prompt": PROMPT, "seconds": "1"}).json()
            place = f"/v1/videos/{made['id']}"
            wait_for(lambda: client.get(place).json()["status"] == "failed")
            held = client.get(place).json()
            assert held["error"]["code"] == "review_required"
            case_id = held["guard"]["case_id"]
            case = services.cases.decide(case_id, "allow", reviewer="reviewer-a", reason_code="looked_fine")
            principal = it.server.access.authenticate(it.key("review"))
            assert principal is not None
            it.server.jobs.release(case_id, principal, case.opened_seq)
            it.server.pool.wake()
            wait_for(lambda: client.get(place).json()["status"] == "completed")
            done = client.get(place).json()
            assert done["error"] is None
            assert client.get(f"{place}/content").headers["content-type"] == "video/mp4"
            assert [video["id"] for video in client.get("/v1/videos").json()["data"]] == [made["id"]]
