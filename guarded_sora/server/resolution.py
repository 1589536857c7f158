"""The C2PA Soft Binding Resolution API: from a mark, or a clip, to the manifest that was stripped.

Open to all, as manifests of released clips are public. Content is bounded, braked and deleted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response

from guarded_sora.detectors.fingerprint import fingerprint
from guarded_sora.errors import MediaError, ProvenanceError, StageFailed
from guarded_sora.finish import look_at
from guarded_sora.provenance.credentials import resolution
from guarded_sora.server.intake import read_json, work_folder
from guarded_sora.server.openapi import BINDING_BODY, CONTENT_BODY
from guarded_sora.server.problems import Problem, documented
from guarded_sora.server.state import Here, Server
from guarded_sora.stages import StageRunner

router = APIRouter(tags=["soft binding resolution"])

_CONTENTS_AN_HOUR = 60
_SLOW = "The film takes too long to compare; send a shorter one."
_MATCHES: dict[int | str, dict[str, Any]] = {200: {"description": "Matches, possibly none."}}

Algorithm = Annotated[str, Query(max_length=200)]
Most = Annotated[int, Query(alias="maxResults", ge=1, le=1000)]


@router.get("/matches/byBinding", response_model=None, responses={**_MATCHES, **documented(400, 422)})
def by_binding(
    server: Here, alg: Algorithm, value: Annotated[str, Query(max_length=1400)], most: Most = 10
) -> JSONResponse:
    """Manifests that name this mark; ``value`` is base64."""
    return _by_binding(server, alg, value, most)


@router.post(
    "/matches/byBinding",
    response_model=None,
    openapi_extra=BINDING_BODY,
    responses={**_MATCHES, **documented(400, 408, 413, 422)},
)
async def by_binding_body(request: Request, server: Here, most: Most = 10) -> JSONResponse:
    """The same for values too long for an address."""
    fields = await read_json(request)
    alg, value = fields.get("alg"), fields.get("value")
    if not isinstance(alg, str) or not isinstance(value, str):
        raise Problem(400, "Give alg and value as texts.", code="invalid_value", param="value")
    return await run_in_threadpool(_by_binding, server, alg, value, most)


@router.post(
    "/matches/byContent",
    response_model=None,
    openapi_extra=CONTENT_BODY,
    responses={**_MATCHES, **documented(400, 408, 413, 415, 422, 429, 503)},
)
async def by_content(request: Request, server: Here, alg: Algorithm = "", most: Most = 10) -> JSONResponse:
    """Manifests of clips that the sent film resembles."""
    server.brake("content", request, an_hour=_CONTENTS_AN_HOUR)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not kind.startswith("video/") and kind != "application/octet-stream":
        raise Problem(415, "Send the film itself, as video/mp4.", code="content_type")
    async with work_folder(server.services) as folder:
        path = folder / "content.mp4"
        with path.open("xb") as file:
            async for chunk in request.stream():
                await run_in_threadpool(file.write, chunk)
        found = await run_in_threadpool(_by_content, server, path, alg, most)
    return JSONResponse(resolution.matches_json(found))


@router.get(
    "/manifests/{manifest_id:path}",
    response_model=None,
    responses={
        200: {"description": "A manifest store.", "content": {resolution.MANIFEST_TYPE: {}}},
        **documented(404, 422),
    },
)
def manifest(
    manifest_id: str,
    server: Here,
    active: Annotated[bool, Query(alias="returnActiveManifest")] = False,
) -> Response:
    """The manifest of a released clip, whole or only its newest part."""
    data = resolution.manifest(server.services.store, manifest_id, return_active_manifest=active)
    if data is None:
        raise Problem(404, "There is no public manifest with this id.", code="not_found")
    return Response(data, media_type=resolution.MANIFEST_TYPE)


@router.get("/services/supportedAlgorithms", response_model=None)
def algorithms() -> JSONResponse:
    """The algorithms that this repository resolves."""
    return JSONResponse(resolution.supported_algorithms())


@router.get("/services/capabilities", response_model=None)
def capabilities() -> JSONResponse:
    """What this repository offers beyond the least."""
    return JSONResponse(resolution.capabilities())


@router.get("/services/status", response_model=None)
def status() -> JSONResponse:
    """Whether it works."""
    return JSONResponse({"status": "ok"})


@router.get("/.well-known/c2pa-soft-binding-resolution", response_model=None)
def discovery(server: Here) -> JSONResponse:
    """Where everything is."""
    return JSONResponse(resolution.discovery(server.options.base_url))


def _by_binding(server: Server, alg: str, value: str, most: int) -> JSONResponse:
    found = resolution.match_binding(server.services.store, alg=alg, value=value, max_results=most)
    return JSONResponse(resolution.matches_json(found))


def _by_content(server: Server, path: Path, alg: str, most: int) -> tuple[resolution.Match, ...]:
    services = server.examining
    deadline = services.settings.deadlines.mark
    runner = StageRunner()
    with server.checks.turn():
        look = look_at(path, services.worker, services.limits)
        try:
            hashes = runner.run("fingerprint", fingerprint, look, deadline=deadline)
            mark = runner.run("watermark", services.mark.detect, look, deadline=deadline)
            number = mark.payload.id if mark.payload is not None else None
            return runner.run(
                "compare",
                resolution.match_content,
                services.store,
                hashes,
                number=number,
                alg=alg,
                max_results=most,
                deadline=deadline,
            )
        except (MediaError, ProvenanceError) as error:
            raise Problem(400, "This is no film that can be read.", code="media") from error
        except StageFailed as error:
            raise Problem(503, _SLOW, code="too_slow") from error
