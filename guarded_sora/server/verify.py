"""``/v1/verify``: a clip in, a verdict out; the clip is gone when the answer is."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from starlette.datastructures import UploadFile

from guarded_sora.rules import known_laws
from guarded_sora.server.access import Principal
from guarded_sora.server.intake import read_body, store_upload, work_folder
from guarded_sora.server.openapi import VERIFY_BODY
from guarded_sora.server.options import MIB
from guarded_sora.server.problems import Problem, documented
from guarded_sora.server.state import Here, Server, needs
from guarded_sora.verification import Depth, Verdict, verify

router = APIRouter(tags=["verification"])

LONGEST_NAME = 200


@router.post(
    "/v1/verify",
    response_model=None,
    openapi_extra=VERIFY_BODY,
    responses={
        200: {"description": "A verdict with its evidence."},
        **documented(400, 401, 403, 408, 413, 415, 422, 503),
    },
)
async def verify_upload(
    request: Request,
    server: Here,
    principal: Annotated[Principal, needs("verify")],
    depth: Annotated[Literal["credentials", "provenance", "full"], Query()] = "full",
    rules: Annotated[str, Query(max_length=64, description="Laws, such as eu,us-ca.")] = "",
) -> JSONResponse:
    """Say of an uploaded clip what can be said. Nothing of it is kept but its SHA-256 in the log."""
    laws = known_laws(law.strip() for law in rules.split(",") if law.strip())
    verdict = await examine(request, server, depth, laws)
    return JSONResponse(verdict.as_json())


async def examine(
    request: Request, server: Server, depth: Depth, laws: tuple[str, ...] | None = ()
) -> Verdict:
    """The verdict on the form's ``file``; its name in the verdict is the client's, made harmless.

    With ``laws`` None the form's own ``law`` fields say whose clauses to check.

    Raises:
        Problem: 400 without a file, 413, 415, 503.
        UsageError: a law that is not known.
    """
    limit = server.options.upload_mib * MIB
    async with work_folder(server.services) as folder, read_body(request) as fields:
        upload = fields.get("file")
        if not isinstance(upload, UploadFile):
            raise Problem(400, "Send the clip as the form field 'file'.", code="invalid_value", param="file")
        if laws is None:
            given = fields.get("law") or []
            laws = known_laws(str(law) for law in (given if isinstance(given, list) else [given]))
        path = await store_upload(upload, folder / "clip.mp4", limit=limit, param="file")
        verdict = await run_in_threadpool(_judge, server, path, depth, laws)
        return replace(verdict, file=Path(harmless(upload.filename or "clip")))


def _judge(server: Server, path: Path, depth: Depth, laws: tuple[str, ...]) -> Verdict:
    with server.checks.turn():
        verdict = verify(server.examining, path, depth=depth, laws=laws)
    server.metrics.verified(verdict.verdict.value)
    return verdict


def harmless(name: str) -> str:
    """A file's name without folders, control or direction characters, and not too long."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    shown = "".join(
        character if unicodedata.category(character)[0] != "C" else "\N{REPLACEMENT CHARACTER}"
        for character in last[: 4 * LONGEST_NAME]
    ).strip()
    return shown[:LONGEST_NAME] or "clip"
