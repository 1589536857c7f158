"""``/v1/moderations`` in OpenAI's shape: what the policy's own checks see, in that scheme's words."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.errors import MediaError
from guarded_sora.media import MediaLimits, read_image
from guarded_sora.policies.engine import CHECK_FAILED
from guarded_sora.policies.finding import Action, CheckRun, Decision, Finding, RequestContext
from guarded_sora.policies.taxonomy import CATEGORIES
from guarded_sora.prompts import LONGEST_PROMPT
from guarded_sora.records import decision_json
from guarded_sora.server.access import Principal
from guarded_sora.server.intake import decode_data_url, read_json, work_folder
from guarded_sora.server.judging import Judge
from guarded_sora.server.openapi import MODERATION_BODY
from guarded_sora.server.options import MIB
from guarded_sora.server.problems import Problem, documented
from guarded_sora.server.state import Here, Server, needs
from guarded_sora.services import Services

router = APIRouter(tags=["moderations"])
Key = Annotated[Principal, needs("generate")]

OPENAI_CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)
_MOST_INPUTS = 32
_MOST_PICTURES = 8
_IMAGE_BYTES = 8 * MIB
_LIMITS = MediaLimits(max_picture_pixels=40_000_000, max_picture_bytes=_IMAGE_BYTES, open_seconds=10.0)
_NO_CONTEXT = RequestContext()
_STATES = ("failed", "unavailable", "ran")


@router.post(
    "/v1/moderations",
    response_model=None,
    openapi_extra=MODERATION_BODY,
    responses={200: {"description": "One result an input."}, **documented(400, 401, 403, 408, 413, 503)},
)
async def moderate(request: Request, server: Here, principal: Key) -> JSONResponse:
    """Judge words and pictures without making anything; nothing is logged or kept."""
    fields = await read_json(request)
    model = fields.get("model", "guarded-sora")
    groups = _groups(fields.get("input"))
    _bound(groups)
    async with work_folder(server.services) as folder:
        results = await run_in_threadpool(_judge_all, server, groups, folder)
    return JSONResponse(
        {
            "id": f"modr-{secrets.token_hex(12)}",
            "model": model if isinstance(model, str) and len(model) <= 64 else "guarded-sora",
            "results": results,
        }
    )


def _groups(given: Any) -> list[list[tuple[str, str]]]:
    """The inputs, each a list of ``(text or image, value)``; one result is made of each."""
    if isinstance(given, str):
        given = [given]
    if not isinstance(given, list) or not 1 <= len(given) <= _MOST_INPUTS:
        raise _wrong(f"input is a text, or a list of 1 to {_MOST_INPUTS} texts or parts.")
    if all(isinstance(item, str) for item in given):
        return [[("text", item)] for item in given]
    parts = []
    for item in given:
        kind = item.get("type") if isinstance(item, dict) else None
        value = item.get(kind) if isinstance(item, dict) and isinstance(kind, str) else None
        if kind == "image_url" and isinstance(value, dict):
            value = value.get("url")
        if kind not in ("text", "image_url") or not isinstance(value, str):
            raise _wrong("A part is {type: text, text} or {type: image_url, image_url: {url}}.")
        parts.append(("text" if kind == "text" else "image", value))
    return [parts]


def _bound(groups: Sequence[Sequence[tuple[str, str]]]) -> None:
    """Bound what one request asks for as a whole. Raises Problem 400."""
    parts = [part for group in groups for part in group]
    characters = sum(len(value) for kind, value in parts if kind == "text")
    if characters > LONGEST_PROMPT:
        raise _wrong(f"The texts of one request have at most {LONGEST_PROMPT:,} characters together.")
    if sum(kind == "image" for kind, _ in parts) > _MOST_PICTURES:
        raise _wrong(f"One request has at most {_MOST_PICTURES} pictures.")


def _judge_all(
    server: Server, groups: Sequence[Sequence[tuple[str, str]]], folder: Path
) -> list[dict[str, Any]]:
    with server.judges.one() as judge:
        return [_judge(server.services, judge, group, folder) for group in groups]


def _judge(
    services: Services, judge: Judge, parts: Sequence[tuple[str, str]], folder: Path
) -> dict[str, Any]:
    text = "\n".join(value for kind, value in parts if kind == "text")
    decision = judge.text(text, _NO_CONTEXT)
    pictures = [value for kind, value in parts if kind == "image"]
    seen: list[Finding] = []
    runs: list[CheckRun] = []
    for number, url in enumerate(pictures):
        found, ran = _look(services, judge, url, folder / f"picture-{number}")
        seen += found
        runs += ran
    if pictures:
        findings = [finding for finding in decision.findings if finding.category != CHECK_FAILED]
        decision = services.policy.decide((*findings, *seen), _NO_CONTEXT, (*decision.checks, *runs))
    return _result(decision)


def _look(services: Services, judge: Judge, url: str, path: Path) -> tuple[list[Finding], list[CheckRun]]:
    kind, suffix, data = decode_data_url(url, limit=_IMAGE_BYTES, param="input")
    if kind != "image":
        raise _wrong("Only pictures are judged here; send a film to /v1/verify.")
    path = path.with_suffix(suffix)
    path.write_bytes(data)
    judge.left()
    try:
        picture = read_image(path, services.worker, limits=_LIMITS)
    except MediaError:
        raise _wrong("A picture could not be read; send it as PNG or JPEG.") from None
    finally:
        path.unlink(missing_ok=True)
    batch = FrameBatch(frames=picture[None], times=np.zeros(1), fps=1.0)
    return judge.picture(batch, services.frame_checks)


def _result(decision: Decision) -> dict[str, Any]:
    scores = dict.fromkeys(OPENAI_CATEGORIES, 0.0)
    types: dict[str, list[str]] = {name: [] for name in OPENAI_CATEGORIES}
    flags = dict.fromkeys(OPENAI_CATEGORIES, False)
    ours: dict[str, float] = {}
    for finding in decision.findings:
        score = finding.score if finding.score is not None else finding.severity / 3
        ours[finding.category] = max(ours.get(finding.category, 0.0), score)
        known = CATEGORIES.get(finding.category)
        for name in known.maps["openai"] if known is not None else ():
            if name in scores:
                scores[name] = max(scores[name], score)
                flags[name] = flags[name] or decision.action is not Action.ALLOW
                kind = "text" if finding.modality.value == "prompt" else "image"
                types[name] = sorted({*types[name], kind})
    # A check without a model is said, so that silence is never read as "nothing found"; of several
    # pictures the worst state of a check stands.
    states: dict[str, str] = {}
    for check in sorted(decision.checks, key=lambda check: _STATES.index(check.state.value)):
        states.setdefault(check.name, check.state.value)
    return {
        "flagged": decision.action in (Action.BLOCK, Action.REVIEW),
        "categories": flags,
        "category_scores": scores,
        "category_applied_input_types": types,
        "guard": {"decision": decision_json(decision), "categories": ours, "checks": states},
    }


def _wrong(message: str) -> Problem:
    return Problem(400, message, code="invalid_value", param="input", retry=False)
