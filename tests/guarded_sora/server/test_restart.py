"""kill -9 of the server in mid-generation: every accepted job ends, and nothing is unlogged."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from guarded_sora import GuardedSora
from guarded_sora.audit.entry import Event, uuid7
from guarded_sora.server.access import Access
from guarded_sora.server.jobs import Job
from guarded_sora.server.options import ServerOptions
from guarded_sora.server.tables import video_jobs
from tests.guarded_sora.conftest import Painter
from tests.guarded_sora.server.conftest import PROMPT, serving, wait_for

CHILD = """
import sys, time
from pathlib import Path
from guarded_sora import GuardedSora
from tests.guarded_sora.conftest import Painter, paint
from tests.guarded_sora.server.conftest import serving
def slow(request):
    time.sleep(60)
    return paint(request)
with GuardedSora.open(home=Path(sys.argv[1]), backend=Painter(slow)) as sora, serving(sora.services) as it:
    print(it.url, it.key("generate"), flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
def test_after_kill_9_every_accepted_job_ends(tmp_path: Path) -> None:
    home = tmp_path / "home"
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(home)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        url, key = process.stdout.readline().split()
        with httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=60) as client:
            body = {"prompt": PROMPT, "seconds": "1"}
            ids = [client.post("/v1/videos", json=body).json()["id"] for _ in range(3)]
            wait_for(lambda: client.get(f"/v1/videos/{ids[0]}").json()["progress"] >= 8)
            assert client.get(f"/v1/videos/{ids[2]}").json()["status"] == "queued"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    options = ServerOptions(lease_seconds=1)
    with GuardedSora.open(home=home, backend=Painter()) as sora, serving(sora.services, options) as it:
        log = sora.services.log
        with httpx.Client(base_url=it.url, headers={"authorization": f"Bearer {key}"}) as client:

            def states() -> list[str]:
                return [client.get(f"/v1/videos/{video_id}").json()["status"] for video_id in ids]

            wait_for(lambda: states() == ["completed"] * 3, seconds=120)
        intents = log.search(kind="request.intent", limit=100)
        assert len(intents) == 4  # the one that was killed, and one for each film
        for intent in intents:
            kinds = {entry.kind for entry in log.search(subject=intent.subject, limit=100)}
            assert kinds & {"request.released", "request.failed"}, kinds
        assert len(log.search(kind="video.accepted", limit=100)) == 3
        assert log.verify().ok


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """An installation whose pool never ran, so that rows can be left as a dead process leaves them."""
    from guarded_sora.server.state import make_server

    home = tmp_path_factory.mktemp("quiet")
    with GuardedSora.open(home=home, backend=Painter()) as sora:
        yield make_server(sora.services, ServerOptions(lease_seconds=0.01))


def orphan(server, *, attempts: int = 0) -> Job:  # type: ignore[no-untyped-def]
    """A job whose process died right after it took it."""
    from guarded_sora.policies.finding import RequestContext
    from guarded_sora.prompts import PromptRequest
    from guarded_sora.server.asked import Asked

    access: Access = server.access
    principal = access.authenticate(access.issue("dead", ["generate"]))
    assert principal is not None
    request = PromptRequest(prompt=PROMPT, seconds=1)
    asked = Asked(request=request, context=RequestContext(), model="m", seconds="1", size="auto")
    server.jobs.accept(asked, principal)
    for _ in range(attempts):
        job = server.jobs.claim("dead")
        server.jobs.requeue(job)
    job = server.jobs.claim("dead")
    assert job is not None
    time.sleep(0.05)
    assert [found.id for found in server.jobs.orphans()] == [job.id]
    return job


def left(server, job: Job, kind: str, **body: object) -> None:  # type: ignore[no-untyped-def]
    """What the dead process had logged before it died."""
    events = [Event(kind="request.intent", actor="actor-x", subject=job.intent_id or "", body={})]
    if kind:
        events.append(Event(kind=kind, actor="actor-x", subject=job.intent_id or "", body=body))
    server.services.log.append(events)


DECISION = {"action": "block", "rules": [{"id": "r", "reason": "x"}], "pack": None, "obligations": []}


@pytest.mark.parametrize(
    ("kind", "body", "code"),
    [
        ("request.blocked", DECISION, "moderation_blocked"),
        ("request.held", {**DECISION, "case_id": uuid7()}, "review_required"),
        ("request.failed", {"code": "stage_failed"}, "stage_failed"),
    ],
)
def test_an_orphan_ends_as_its_attempt_did(quiet, kind: str, body: dict[str, object], code: str) -> None:  # type: ignore[no-untyped-def]
    job = orphan(quiet)
    left(quiet, job, kind, **body)
    quiet.pool._settle(job)
    ended = quiet.jobs.get(job.id)
    assert (ended.status, ended.error_code) == ("failed", code)


def test_an_orphan_whose_film_was_published_is_complete(quiet) -> None:  # type: ignore[no-untyped-def]
    job = orphan(quiet)
    from guarded_sora.guard import generate
    from guarded_sora.server.asked import recall

    request, context = recall(quiet.services.log, job.accepted_seq, None, Path())
    (release,) = generate(quiet.services, request, context, intent_id=job.intent_id)
    quiet.pool._settle(job)
    ended = quiet.jobs.get(job.id)
    assert (ended.status, ended.clip_id) == ("completed", str(release.clip_id))

    again = orphan(quiet)
    (lost,) = generate(quiet.services, request, context, intent_id=again.intent_id)
    lost.path.unlink()
    quiet.pool._settle(again)
    assert quiet.jobs.get(again.id).status == "queued"
    assert quiet.services.store.by_id(lost.clip_id).state.value == "withdrawn"
    assert quiet.services.log.search(kind="release.undone", subject=again.intent_id)
    with quiet.services.engine.begin() as connection:
        connection.execute(video_jobs.delete())


def test_a_job_that_killed_its_process_twice_is_not_tried_a_third_time(quiet) -> None:  # type: ignore[no-untyped-def]
    job = orphan(quiet, attempts=1)
    left(quiet, job, "")
    quiet.pool._settle(job)
    ended = quiet.jobs.get(job.id)
    assert (ended.status, ended.error_code) == ("failed", "interrupted")
    failed = quiet.services.log.search(kind="request.failed", subject=job.intent_id)
    assert failed[0].body["code"] == "interrupted"
