"""For operators: is it alive, is it ready, what does it do."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from guarded_sora.server.access import Principal
from guarded_sora.server.problems import documented
from guarded_sora.server.state import Here, needs

router = APIRouter(tags=["operations"])


@router.get("/healthz", response_model=None, responses={200: {"description": "The process answers."}})
def healthz() -> JSONResponse:
    """The process answers."""
    return JSONResponse({"status": "ok"})


@router.get(
    "/readyz",
    response_model=None,
    responses={200: {"description": "Log, database and pool work."}, **documented(503)},
)
def readyz(server: Here) -> JSONResponse:
    """Log and database can be read, and the pool runs."""
    parts = {"pool": server.pool.alive}
    try:
        parts["log"] = server.services.log.size >= 0
    except Exception:  # whatever it is, the answer is "not ready"
        parts["log"] = False
    ready = all(parts.values())
    return JSONResponse({"status": "ready" if ready else "not ready", "parts": parts}, 200 if ready else 503)


@router.get(
    "/metrics",
    response_model=None,
    responses={
        200: {"description": "Prometheus' text format.", "content": {"text/plain": {}}},
        **documented(401, 403),
    },
)
def metrics(server: Here, principal: Annotated[Principal, needs("audit.read")]) -> Response:
    """Latencies, decisions by category, checks that did not run, queue depth."""
    return Response(server.metrics.text(server.jobs.depth), media_type=CONTENT_TYPE_LATEST)
