"""The application: routes, error answers, request ids, structured logs, safe headers."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from guarded_sora import version
from guarded_sora.audit.errors import AuditError
from guarded_sora.console import mount
from guarded_sora.console.render import problem_page, wants_page
from guarded_sora.errors import GuardedSoraError, MediaError, UsageError
from guarded_sora.server import moderations, operations, resolution, transparency, verify, videos
from guarded_sora.server.bounds import App, BodyBounds, Message, Receive, Send
from guarded_sora.server.options import ServerOptions
from guarded_sora.server.problems import Problem, answer
from guarded_sora.server.state import Server, make_server
from guarded_sora.services import Services

log = logging.getLogger("guarded_sora.server")

_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
_HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"x-frame-options": b"DENY",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
}
API_CSP = b"default-src 'none'; frame-ancestors 'none'"


def create_app(services: Services, options: ServerOptions | None = None) -> FastAPI:
    """The application over ``services``, which stay the caller's to close."""
    server = make_server(services, options or ServerOptions())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        server.pool.start()
        try:
            yield
        finally:
            server.pool.close()

    app = FastAPI(
        title="Guarded Sora",
        version=version.__version__,
        description="Guarded text-to-video: every film is checked, marked, signed and logged under one id.",
        lifespan=lifespan,
        # The interactive pages load scripts from elsewhere; the document itself is enough.
        docs_url=None,
        redoc_url=None,
    )
    app.state.server = server
    for routes in (videos, moderations, verify, transparency, resolution, operations):
        app.include_router(routes.router)
    mount(app)
    _errors(app)
    app.add_middleware(BodyBounds, options=server.options)
    app.add_middleware(Observed, server=server)
    return app


def _errors(app: FastAPI) -> None:
    @app.exception_handler(Problem)
    def problem(request: Request, error: Problem) -> Any:
        return _respond(request, error)

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Any:
        # The values themselves are not repeated: they are a client's.
        where = [".".join(str(part) for part in item["loc"][1:]) for item in error.errors()]
        message = f"These values are not of the form this needs: {', '.join(where[:8])}."
        param = where[0] if where else None
        return _respond(request, Problem(422, message, code="invalid_value", param=param))

    @app.exception_handler(HTTPException)
    def plain(request: Request, error: HTTPException) -> Any:
        response = _respond(request, Problem(error.status_code, code=f"http_{error.status_code}"))
        for name, value in (error.headers or {}).items():
            response.headers[name] = value
        return response

    @app.exception_handler(GuardedSoraError)
    def ours(request: Request, error: GuardedSoraError) -> Any:
        status = 400 if isinstance(error, UsageError | MediaError) else 503
        return _respond(request, Problem(status, str(error), code=error.code))

    @app.exception_handler(AuditError)
    def audit(request: Request, error: AuditError) -> Any:
        return _respond(request, Problem(503, str(error), code=error.code))

    @app.exception_handler(Exception)
    def unexpected(request: Request, error: Exception) -> Any:
        return _respond(request, Problem(500, code="internal"))


def _respond(request: Request, problem: Problem) -> Response:
    """A problem as the reader at this address expects it: a page, or a document."""
    if wants_page(request):
        return problem_page(request, problem.status, problem.message)
    return answer(request.url.path, problem)


class Observed:
    """Gives every request an id, times it, logs one line without any text of a user, adds headers."""

    def __init__(self, app: App, server: Server) -> None:
        self._app = app
        self._server = server

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        identity = given if _REQUEST_ID.fullmatch(given) else f"req_{secrets.token_hex(12)}"
        start = time.perf_counter()
        status = 500

        async def tagged(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                present = {name.lower() for name, _ in message.get("headers", ())}
                extra = [(b"x-request-id", identity.encode())]
                extra += [(name, value) for name, value in _HEADERS.items() if name not in present]
                if b"content-security-policy" not in present:
                    extra.append((b"content-security-policy", API_CSP))
                message = {**message, "headers": [*message.get("headers", ()), *extra]}
            await send(message)

        try:
            await self._app(scope, receive, tagged)
        finally:
            seconds = time.perf_counter() - start
            route = getattr(scope.get("route"), "path", "none")
            self._server.metrics.answered(route, status, seconds)
            line = {
                "request_id": identity,
                "method": scope["method"],
                "route": route,
                "status": status,
                "ms": round(1000 * seconds, 1),
                "key": scope.get("state", {}).get("key_id"),
            }
            log.info(orjson.dumps(line).decode())
