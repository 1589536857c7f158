"""``/v1/videos`` in the shape that existing clients of OpenAI's Videos API speak."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse

from guarded_sora.audit.entry import uuid7
from guarded_sora.errors import BackendUnavailable, Blocked, GuardedSoraError, MediaError, ReviewRequired
from guarded_sora.guard import generate
from guarded_sora.policies.finding import Action, Decision
from guarded_sora.records import decision_json
from guarded_sora.server.access import Principal
from guarded_sora.server.asked import Asked, words
from guarded_sora.server.intake import make_asked, read_asked, read_body, read_json, work_folder
from guarded_sora.server.jobs import Job
from guarded_sora.server.openapi import CREATE_BODY, REMIX_BODY, page_answers, video_answers
from guarded_sora.server.options import MIB
from guarded_sora.server.pool import film_path, guard_document
from guarded_sora.server.previews import forget, spritesheet, thumbnail
from guarded_sora.server.problems import Problem, documented
from guarded_sora.server.state import Here, Server, needs
from guarded_sora.services import Services

router = APIRouter(tags=["videos"])
Key = Annotated[Principal, needs("generate")]
Idempotency = Annotated[str | None, Header(alias="Idempotency-Key", max_length=255)]

_POLL_MS = 1000
_EVENT_SECONDS = 0.5
_EVENTS_END = 3600.0


@router.post(
    "/v1/videos",
    response_model=None,
    openapi_extra=CREATE_BODY,
    responses=video_answers(400, 409, 413, 415, 429, 503),
)
async def create(
    request: Request, server: Here, principal: Key, idempotency_key: Idempotency = None
) -> JSONResponse:
    """Ask for a film. The words are checked at once; a refusal is answered here (400)."""
    limit = server.options.reference_mib * MIB
    async with work_folder(server.services) as folder, read_body(request) as fields:
        asked = await read_asked(fields, principal, folder, limit=limit)
        return await run_in_threadpool(_accept, server, principal, asked, idempotency_key, "/v1/videos")


@router.post(
    "/v1/videos/{video_id}/remix",
    response_model=None,
    openapi_extra=REMIX_BODY,
    responses=video_answers(400, 404, 409, 413, 415, 429, 503),
)
async def remix(
    video_id: str, request: Request, server: Here, principal: Key, idempotency_key: Idempotency = None
) -> JSONResponse:
    """Ask for another film that starts from a finished one."""
    fields = await read_json(request)

    def accept() -> JSONResponse:
        source = server.jobs.get(video_id, principal)
        film = _film(server, source)
        asked = make_asked(
            fields,
            principal,
            seconds=source.seconds or "2",
            size=source.size,
            video=film,
            remixed_from=source.id,
        )
        return _accept(server, principal, asked, idempotency_key, f"/v1/videos/{video_id}/remix")

    return await run_in_threadpool(accept)


@router.get("/v1/videos", response_model=None, responses=page_answers(404, 422))
def list_(
    server: Here,
    principal: Key,
    after: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "desc",
) -> JSONResponse:
    """This key's films, newest first."""
    page, more = server.jobs.page(principal, after=after or None, limit=limit, ascending=order == "asc")
    data = [video_object(server, job) for job in page]
    document = {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": more,
    }
    return JSONResponse(document)


@router.get("/v1/videos/{video_id}", response_model=None, responses=video_answers(404))
def retrieve(video_id: str, server: Here, principal: Key) -> JSONResponse:
    """How far a film is; the header ``openai-poll-after-ms`` says when to ask again."""
    return _answer(server, server.jobs.get(video_id, principal))


@router.get(
    "/v1/videos/{video_id}/events",
    response_model=None,
    responses={
        200: {"content": {"text/event-stream": {}}, "description": "Progress as server-sent events."},
        **documented(401, 403, 404),
    },
)
def events(video_id: str, request: Request, server: Here, principal: Key) -> StreamingResponse:
    """The same object as server-sent events, one for each change, until the film is done."""
    server.jobs.get(video_id, principal)

    async def stream() -> AsyncIterator[bytes]:
        last: Any = None
        until = time.monotonic() + _EVENTS_END
        while time.monotonic() < until and not await request.is_disconnected():
            try:
                job = await run_in_threadpool(server.jobs.get, video_id, principal)
            except Problem:
                return
            state = (job.status, job.progress, job.stage)
            if state != last:
                last = state
                document = await run_in_threadpool(video_object, server, job)
                name = f"video.{job.status}"
                yield b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(document))
            if job.status in ("completed", "failed"):
                return
            await asyncio.sleep(_EVENT_SECONDS)

    return StreamingResponse(stream(), media_type="text/event-stream", headers={"cache-control": "no-store"})


@router.delete(
    "/v1/videos/{video_id}",
    response_model=None,
    responses={200: {"description": "The video is gone."}, **documented(401, 403, 404, 409)},
)
def delete(video_id: str, server: Here, principal: Key) -> JSONResponse:
    """Remove the film from this server. Its record stays: a copy elsewhere is still recognised."""
    job = server.jobs.get(video_id, principal)
    server.jobs.delete(job)
    if job.clip_id is not None:
        film = film_path(server.services, job.clip_id)
        forget(server.services, film)
        film.unlink(missing_ok=True)
        film.with_name(f"{film.stem}.contact-sheet.png").unlink(missing_ok=True)
    return JSONResponse({"id": job.id, "object": "video.deleted", "deleted": True})


@router.get(
    "/v1/videos/{video_id}/content",
    response_model=None,
    responses={
        200: {
            "content": {"video/mp4": {}, "image/webp": {}, "image/jpeg": {}},
            "description": "The film or a picture of it.",
        },
        **documented(401, 403, 404, 409, 422),
    },
)
def content(
    video_id: str,
    server: Here,
    principal: Key,
    variant: Literal["video", "thumbnail", "spritesheet"] = "video",
) -> FileResponse:
    """The signed film itself, byte for byte, or a picture made of it."""
    film = _film(server, server.jobs.get(video_id, principal))
    try:
        if variant == "video":
            return FileResponse(film, media_type="video/mp4", filename=f"{film.stem}.mp4")
        if variant == "thumbnail":
            return FileResponse(thumbnail(server.services, film), media_type="image/webp")
        return FileResponse(spritesheet(server.services, film).path, media_type="image/jpeg")
    except MediaError as error:
        raise Problem(409, "No picture can be made of this film.", code="media") from error


@router.get(
    "/v1/videos/{video_id}/proof",
    response_model=None,
    responses={200: {"description": "A proof."}, **documented(401, 403, 404, 409)},
)
def proof(video_id: str, server: Here, principal: Key) -> JSONResponse:
    """That the log holds this film's outcome: entry, inclusion proof and key, to check offline."""
    job = server.jobs.get(video_id, principal)
    seq = ((job.guard or {}).get("audit") or {}).get("seq")
    if seq is None:
        raise Problem(409, "The log holds no outcome of this video yet.", code="no_outcome")
    made = server.services.log.prove(int(seq))
    document = {"seq": made.seq, "entry": made.entry.decode(), "proof": made.text(), "key": made.key}
    return JSONResponse(document)


def video_object(server: Server, job: Job) -> dict[str, Any]:
    """One job as clients read it."""
    failed = job.status == "failed"
    guard = None
    if job.guard is not None:
        proven = (job.guard.get("audit") or {}).get("seq") is not None
        guard = {
            **job.guard,
            "proof_url": f"{server.options.base_url}/v1/videos/{job.id}/proof" if proven else None,
            "c2pa": "embedded" if job.status == "completed" else None,
            "watermark": "embedded" if job.status == "completed" else None,
        }
    return {
        "id": job.id,
        "object": "video",
        "status": job.status,
        "progress": job.progress,
        "created_at": job.created_ms // 1000,
        "completed_at": job.completed_ms // 1000 if job.completed_ms and not failed else None,
        "expires_at": None,
        "model": job.model,
        "prompt": words(server.services.log, job.accepted_seq) if not _is_review(job) else None,
        "remixed_from_video_id": job.remixed_from,
        "seconds": job.seconds,
        "size": job.size,
        "error": {"code": job.error_code, "message": job.error_message} if failed else None,
        "guard": guard,
    }


def _is_review(job: Job) -> bool:
    """Whether this row was made by a reviewer's release and so has no request of a client."""
    return job.seconds == ""


def _answer(server: Server, job: Job) -> JSONResponse:
    headers = {"cache-control": "no-store"}
    if job.status in ("queued", "in_progress"):
        headers["openai-poll-after-ms"] = str(_POLL_MS)
    return JSONResponse(video_object(server, job), headers=headers)


def _accept(
    server: Server, principal: Principal, asked: Asked, idempotency: str | None, route: str
) -> JSONResponse:
    if idempotency is not None:
        known = server.jobs.repeated(asked, principal, idempotency, route)
        if known is not None:
            return _answer(server, known)
    _refuse_at_the_door(server, asked)
    job = server.jobs.accept(asked, principal, idempotency=idempotency, route=route)
    server.pool.wake()
    return _answer(server, job)


def _refuse_at_the_door(server: Server, asked: Asked) -> None:
    """Answer at once what the words alone already decide. The guard itself refuses, and logs it.

    A check that is late here settles nothing: the guard runs it again before anything is made.

    Raises:
        Problem: 400 ``moderation_blocked``; 503 when too much is being judged.
    """
    services = server.services
    with server.judges.one() as judge:
        decision = judge.text(asked.request.words, asked.context)
        if not _is_refusal(services, asked, decision):
            return
        try:
            # The guard stops before it needs a generator; should it see the words otherwise than the
            # check above, the request takes the ordinary way.
            generate(
                replace(services, backend=_no_backend),
                replace(asked.request, image=None, video=None),
                asked.context,
                intent_id=uuid7(),
            )
        except Blocked as error:
            server.metrics.decided(error.decision)
            raise Problem(
                400,
                str(error),
                code="moderation_blocked",
                param="prompt",
                retry=False,
                extra={"guard": guard_document(decision=decision_json(error.decision), seq=error.audit_seq)},
            ) from error
        except (ReviewRequired, GuardedSoraError):
            return


def _is_refusal(services: Services, asked: Asked, decision: Decision) -> bool:
    if decision.action is Action.REWRITE:
        return services.rewrite(asked.request.words, decision) is None
    return decision.action is Action.BLOCK


def _no_backend() -> Any:
    raise BackendUnavailable("This request was expected to be refused.")


def _film(server: Server, job: Job) -> Path:
    """The released film of a job. Raises Problem 409 before it is done, 404 when it is gone."""
    if job.status != "completed" or job.clip_id is None:
        raise Problem(409, f"The video is {job.status}; it has no content.", code="not_completed")
    film = film_path(server.services, job.clip_id)
    if not film.is_file():
        raise Problem(404, "The film is no longer on this server.", code="gone")
    return film
