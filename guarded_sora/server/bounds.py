"""Every body is bounded in bytes and in time before anything reads it.

Plain ASGI, so that nothing is buffered: bytes are counted as they pass.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from guarded_sora.server.options import MIB, ServerOptions
from guarded_sora.server.problems import Problem, answer

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

PLAIN_BYTES = 1 * MIB
_FORM_SLACK = 1 * MIB


class BodyBounds:
    """Refuses a body that is too large (413) or too slow (408); the rest of it is never read."""

    def __init__(self, app: App, options: ServerOptions) -> None:
        self._app = app
        self._options = options

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self.limit(scope["path"])
        path = scope["path"]
        headers = dict(scope["headers"])
        declared = headers.get(b"content-length", b"")
        has_body = declared not in (b"", b"0") or b"transfer-encoding" in headers
        if declared.isdigit() and int(declared[:20]) > limit:
            await self._refuse(path, Problem(413, _too_large(limit), code="too_large"), scope, receive, send)
            return
        seen = 0
        until = time.monotonic() + self._options.body_seconds
        complete = False

        async def bounded() -> Message:
            nonlocal seen, complete
            if complete:
                # The application now only listens for the client going away.
                return await receive()
            left = min(self._options.idle_seconds, until - time.monotonic())
            try:
                message = await asyncio.wait_for(receive(), max(left, 0.0))
            except TimeoutError:
                raise Problem(408, code="too_slow") from None
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                complete = not message.get("more_body", False)
                if seen > limit:
                    raise Problem(413, _too_large(limit), code="too_large")
            return message

        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                if has_body and not complete:
                    # Otherwise the server would go on reading, and dropping, the rest of the body.
                    message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
            await send(message)

        try:
            await self._app(scope, bounded, watched)
        except Problem as problem:
            if started:
                raise
            await self._refuse(path, problem, scope, receive, send)

    def limit(self, path: str) -> int:
        """Bytes that a body sent to ``path`` may have."""
        if path in ("/v1/verify", "/check", "/matches/byContent"):
            return self._options.upload_mib * MIB + _FORM_SLACK
        if path == "/v1/videos":
            return self._options.reference_mib * MIB + _FORM_SLACK
        if path == "/v1/moderations":
            return 16 * MIB
        return PLAIN_BYTES

    async def _refuse(
        self, path: str, problem: Problem, scope: Message, receive: Receive, send: Send
    ) -> None:
        response = answer(path, problem)
        response.headers["connection"] = "close"
        await response(scope, receive, send)


def _too_large(limit: int) -> str:
    return f"The body is larger than the {limit // MIB} MiB this address takes; send a smaller file."
