"""Errors as clients read them: the OpenAI shape on its routes, RFC 9457 problem documents elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi.responses import JSONResponse

OPENAI_ROUTES = ("/v1/videos", "/v1/moderations")

_KINDS = {
    400: ("invalid_request_error", "The request cannot be used as it is."),
    401: ("authentication_error", "Give a key: Authorization: Bearer gs_live_..."),
    403: ("permission_error", "This key does not have the scope that this needs."),
    404: ("invalid_request_error", "There is nothing at this address."),
    405: ("invalid_request_error", "This address does not take this method."),
    408: ("invalid_request_error", "The request took too long to arrive; send it again."),
    409: ("invalid_request_error", "The state of this thing does not allow it now."),
    413: ("invalid_request_error", "The request is larger than this server takes."),
    415: ("invalid_request_error", "This content type is not read here."),
    422: ("invalid_request_error", "A value is not of the form this needs."),
    429: ("rate_limit_error", "The queue is full; try again later."),
    503: ("server_error", "The service cannot do this now; try again later."),
}


class Problem(Exception):
    """An answer other than success. ``retry`` False tells the client's library not to try again."""

    def __init__(
        self,
        status: int,
        message: str = "",
        *,
        code: str | None = None,
        param: str | None = None,
        retry: bool | None = None,
        retry_after: int | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self.status = status
        self.message = message or kind_of(status)[1]
        self.code = code
        self.param = param
        self.retry = retry
        self.retry_after = retry_after
        self.extra = dict(extra or {})
        super().__init__(self.message)


def kind_of(status: int) -> tuple[str, str]:
    """The OpenAI error type and a default sentence for a status."""
    return _KINDS.get(status, ("server_error", "Something went wrong on the server."))


def answer(path: str, problem: Problem) -> JSONResponse:
    """``problem`` in the shape that clients of ``path`` expect."""
    headers = {}
    if problem.retry is not None:
        headers["x-should-retry"] = "true" if problem.retry else "false"
    if problem.retry_after is not None:
        headers["retry-after"] = str(problem.retry_after)
    if problem.status == 401:
        headers["www-authenticate"] = "Bearer"
    kind, _ = kind_of(problem.status)
    if path.startswith(OPENAI_ROUTES):
        error = {
            "message": problem.message,
            "type": kind,
            "param": problem.param,
            "code": problem.code,
            **problem.extra,
        }
        return JSONResponse({"error": error}, problem.status, headers)
    document = {
        "type": "about:blank",
        "title": kind_of(problem.status)[1],
        "status": problem.status,
        "detail": problem.message,
        "code": problem.code or kind,
        **problem.extra,
    }
    return JSONResponse(document, problem.status, headers, media_type="application/problem+json")


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a route for its OpenAPI document."""
    return {status: {"description": kind_of(status)[1]} for status in statuses}
