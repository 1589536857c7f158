"""Words and pictures judged while a client waits: bounded in time, number and sum; never "nothing found"."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from guarded_sora import GuardedSora
from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.policies.finding import Finding, RequestContext
from guarded_sora.prompts import LONGEST_PROMPT
from guarded_sora.server.judging import Judges
from guarded_sora.server.options import ServerOptions
from guarded_sora.server.problems import Problem
from guarded_sora.services import Services
from guarded_sora.settings import Deadlines
from tests.guarded_sora.conftest import Painter
from tests.guarded_sora.server.conftest import PROMPT, REFUSED, Running, serving, wait_for


class Hanging:
    """A check of words that hangs on the word "slowly", until it is let go."""

    name = "test.hanging"
    version = "1"
    unavailable = ""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.inside = 0

    def check(self, text: str, context: RequestContext) -> Sequence[Finding]:
        if "slowly" in text:
            self.inside += 1
            self.let_go.wait(60)
            self.inside -= 1
        return ()

    def inspect(self, frames: FrameBatch) -> Sequence[Finding]:
        raise RuntimeError("broken")


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    check = Hanging()
    yield check
    check.let_go.set()


@contextmanager
def installed(home: Path, *, prompt: Any = (), frame: Any = (), seconds: float = 0.2) -> Iterator[Services]:
    """Services with the checks given, each of which has ``seconds``."""
    with GuardedSora.open(home=home, backend=Painter()) as sora:
        settings = sora.services.settings.model_copy(update={"deadlines": Deadlines(check=seconds)})
        yield replace(
            sora.services,
            settings=settings,
            prompt_checks=(*sora.services.prompt_checks, *prompt),
            frame_checks=(*sora.services.frame_checks, *frame),
        )


def test_a_check_that_is_late_is_flagged_and_keeps_its_slot(tmp_path: Path, hanging: Hanging) -> None:
    options = ServerOptions(judges=2, judge_seconds=5)
    with (
        installed(tmp_path / "home", prompt=[hanging]) as services,
        serving(services, options) as it,
        it.client("generate") as client,
    ):
        for _ in range(2):
            (result,) = client.post("/v1/moderations", json={"input": "a snail, slowly"}).json()["results"]
            assert result["flagged"]
            assert result["guard"]["checks"]["test.hanging"] == "failed"
            assert result["guard"]["decision"]["action"] == "review"
        assert hanging.inside == 2
        # Both slots hang: what nobody can judge is neither "not flagged" nor taken in.
        impatient = Judges(services, slots=1, behind=1, seconds=0.1)
        with impatient.one(), pytest.raises(Problem) as caught, impatient.one():
            pass
        assert caught.value.status == 503
        hanging.let_go.set()
        wait_for(lambda: hanging.inside == 0)
        answers = [client.post("/v1/moderations", json={"input": PROMPT}) for _ in range(4)]
        assert [answer.json()["results"][0]["flagged"] for answer in answers] == [False] * 4


def test_with_every_slot_taken_the_door_answers_503(tmp_path: Path, hanging: Hanging) -> None:
    options = ServerOptions(judges=1, judge_seconds=3)  # room for the first reading of the encoder
    with (
        installed(tmp_path / "home", prompt=[hanging]) as services,
        serving(services, options) as it,
        it.client("generate") as client,
    ):
        # Late at the door: accepted, since the guard runs the check again before anything is made.
        made = client.post("/v1/videos", json={"prompt": "a snail, slowly", "seconds": "1"})
        assert made.status_code == 200
        for path, body in (("/v1/moderations", {"input": PROMPT}), ("/v1/videos", {"prompt": PROMPT})):
            refused = client.post(path, json=body)
            assert refused.status_code == 503, refused.text
            assert refused.json()["error"]["type"] == "server_error"
        place = f"/v1/videos/{made.json()['id']}"
        wait_for(lambda: client.get(place).json()["status"] == "failed")
        assert client.get(place).json()["error"]["code"] == "review_required"


def test_a_request_as_a_whole_has_a_deadline(tmp_path: Path, hanging: Hanging) -> None:
    options = ServerOptions(judges=1, judge_seconds=0.3)
    with (
        installed(tmp_path / "home", prompt=[hanging], seconds=0.25) as services,
        serving(services, options) as it,
        it.client("generate") as client,
    ):
        answer = client.post("/v1/moderations", json={"input": [f"slowly {index}" for index in range(32)]})
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "too_slow"


@pytest.mark.parametrize(
    "given",
    [
        "x" * (LONGEST_PROMPT + 1),
        ["x" * (LONGEST_PROMPT // 2)] * 3,
        [{"type": "text", "text": "x" * (LONGEST_PROMPT // 2)}] * 3,
        [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}] * 9,
        ["x"] * 33,
        [],
        [3],
        [{"type": "text"}],
        [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}],
        [{"type": "image_url", "image_url": {"url": "data:video/mp4;base64,AAAA"}}],
        [{"type": "image_url", "image_url": {"url": "https://127.0.0.1/x.png"}}],
        None,
    ],
    ids=[
        "one long text",
        "long in sum",
        "parts long in sum",
        "nine pictures",
        "33 texts",
        "nothing",
        "a number",
        "an empty part",
        "no picture",
        "a film",
        "an address",
        "null",
    ],
)
def test_what_is_too_much_or_nothing_is_refused(running: Running, given: Any) -> None:
    with running.client("generate") as client:
        answer = client.post("/v1/moderations", json={"input": given})
    assert answer.status_code == 400, answer.text[:200]
    assert answer.json()["error"]["param"] == "input"


def picture(shade: int = 120) -> dict[str, Any]:
    buffer = io.BytesIO()
    Image.fromarray(np.full((32, 32, 3), shade, np.uint8)).save(buffer, "PNG")
    url = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def test_pictures_are_judged_with_the_words_and_a_broken_check_flags(
    tmp_path: Path, hanging: Hanging
) -> None:
    with (
        installed(tmp_path / "home", frame=[hanging], seconds=10) as services,
        serving(services) as it,
        it.client("generate") as client,
    ):
        parts = [{"type": "text", "text": PROMPT}, picture(), picture(60)]
        (result,) = client.post("/v1/moderations", json={"input": parts}).json()["results"]
        assert result["flagged"]
        assert result["guard"]["checks"]["test.hanging"] == "failed"
        assert "unavailable" in result["guard"]["checks"].values()
        assert list(services.settings.work.glob("upload-*")) == []


def test_a_refused_text_beside_a_picture_stays_refused(running: Running) -> None:
    with running.client("generate") as client:
        parts = [{"type": "text", "text": REFUSED}, picture()]
        (result,) = client.post("/v1/moderations", json={"input": parts}).json()["results"]
        (calm,) = client.post("/v1/moderations", json={"input": [picture()]}).json()["results"]
    assert result["flagged"] and result["guard"]["decision"]["action"] == "block"
    assert "unavailable" in calm["guard"]["checks"].values()
