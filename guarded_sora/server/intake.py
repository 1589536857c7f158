"""Bodies of requests: forms and JSON into values, uploads into files that are gone afterwards."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile

from guarded_sora.errors import UsageError
from guarded_sora.policies.finding import AgeTier, RequestContext
from guarded_sora.prompts import PromptRequest
from guarded_sora.server.access import Principal
from guarded_sora.server.asked import Asked
from guarded_sora.server.options import MIB
from guarded_sora.server.problems import Problem
from guarded_sora.services import Services
from guarded_sora.work_folders import WorkFolder

DEFAULT_SECONDS = "2"
MODEL = "guarded-sora"
_MOST_FIELDS = 64
_FIELD_BYTES = 1 * MIB
_DEEPEST = 8

_SIZE = re.compile(r"([0-9]{2,4})x([0-9]{2,4})")
_SECONDS = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3})?")
_DATA_URL = re.compile(r"data:(image|video)/([a-z0-9.+-]{1,40});base64,", re.IGNORECASE)
_SUFFIX = {"jpeg": ".jpg", "png": ".png", "webp": ".webp", "gif": ".gif", "mp4": ".mp4", "webm": ".webm"}
_IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif")
_AGES: tuple[AgeTier, ...] = ("minor", "adult", "verified_adult", "unknown")


@asynccontextmanager
async def work_folder(services: Services) -> AsyncIterator[Path]:
    """A folder of this request's own under ``home/work``, gone when the answer is."""
    folder = await run_in_threadpool(WorkFolder.make, services.settings.work, "upload-")
    try:
        yield folder.path
    finally:
        await run_in_threadpool(folder.close)


@asynccontextmanager
async def read_body(request: Request) -> AsyncIterator[dict[str, Any]]:
    """The fields of a JSON object or of a form, bracketed names nested; files as ``UploadFile``.

    Raises:
        Problem: 400 for a body that is neither, 415 for another content type.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in ("application/json", ""):
        yield await read_json(request)
    elif kind in ("multipart/form-data", "application/x-www-form-urlencoded"):
        # A fault in the form is starlette's HTTPException with status 400.
        async with request.form(max_files=2, max_fields=_MOST_FIELDS, max_part_size=_FIELD_BYTES) as form:
            yield _nested(form)
    else:
        raise Problem(415, "Send application/json or multipart/form-data.", code="content_type")


async def read_json(request: Request) -> dict[str, Any]:
    """A JSON object. Raises Problem 400."""
    try:
        document = orjson.loads(await request.body())
    except orjson.JSONDecodeError:
        raise Problem(400, "The body is not valid JSON.", code="invalid_json") from None
    if not isinstance(document, dict):
        raise Problem(400, "The body must be a JSON object.", code="invalid_json")
    return document


def _nested(form: FormData) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in form.multi_items():
        outer, bracket, rest = name.partition("[")
        path = [outer, *rest.rstrip("]").split("][")] if bracket else [outer]
        target = fields
        for part in path[:-1][:_DEEPEST]:
            inner = target.setdefault(part, {})
            if not isinstance(inner, dict):
                raise Problem(400, "A field of the form is given in two ways.", code="invalid_form")
            target = inner
        last = path[-1]
        if last == "" or last in target:  # name[] or a repeated name: a list
            held = target.get(last or "items", [])
            target[last or "items"] = [*(held if isinstance(held, list) else [held]), value]
        else:
            target[last] = value
    return fields


async def read_asked(fields: Mapping[str, Any], principal: Principal, folder: Path, *, limit: int) -> Asked:
    """What ``POST /v1/videos`` asks for; a reference is laid into ``folder``.

    Raises:
        Problem: 400, naming the parameter.
    """
    image, video = await _reference(fields, folder, limit)
    seconds, size = _text(fields, "seconds", DEFAULT_SECONDS), _text(fields, "size", "auto")
    return make_asked(fields, principal, seconds=seconds, size=size, image=image, video=video)


def make_asked(
    fields: Mapping[str, Any],
    principal: Principal,
    *,
    seconds: str,
    size: str,
    image: Path | None = None,
    video: Path | None = None,
    remixed_from: str | None = None,
) -> Asked:
    """Check the values and put the request together. Raises Problem 400."""
    if not _SECONDS.fullmatch(seconds):
        raise _wrong("seconds", "Give seconds as a number such as 4.")
    sides = _SIZE.fullmatch(size)
    if size != "auto" and not sides:
        raise _wrong("size", "Give size as WIDTHxHEIGHT in pixels, such as 1280x720.")
    model = _text(fields, "model", MODEL)
    if len(model) > 64:
        raise _wrong("model", "The name of a model has at most 64 characters.")
    try:
        request = PromptRequest(
            prompt=_text(fields, "prompt", ""),
            seconds=float(seconds),
            size=(int(sides[1]), int(sides[2])) if sides else None,
            seed=_seed(fields.get("seed")),
            image=image,
            video=video,
        )
    except UsageError as error:
        raise _wrong(_param_of(str(error)), str(error)) from error
    return Asked(
        request=request,
        context=_context(fields, principal),
        model=model,
        seconds=seconds,
        size=size,
        remixed_from=remixed_from,
    )


async def store_upload(upload: UploadFile, target: Path, *, limit: int, param: str) -> Path:
    """Copy an upload, at most ``limit`` bytes of it, to ``target``."""

    def copy() -> None:
        left = limit
        with target.open("xb") as file:
            while chunk := upload.file.read(MIB):
                left -= len(chunk)
                if left < 0:
                    raise Problem(
                        413, f"The file is larger than {limit // MIB} MiB.", code="too_large", param=param
                    )
                file.write(chunk)

    await run_in_threadpool(copy)
    return target


def decode_data_url(url: str, *, limit: int, param: str) -> tuple[str, str, bytes]:
    """``(image or video, suffix, bytes)`` of a data URL; other URLs are never fetched.

    Raises:
        Problem: 400.
    """
    head = _DATA_URL.match(url[:200])
    if head is None:
        raise _wrong(param, "Give the picture itself as a data: URL with base64; no address is fetched.")
    if len(url) > limit * 4 // 3 + 200:
        raise Problem(413, f"The reference is larger than {limit // MIB} MiB.", code="too_large", param=param)
    try:
        data = base64.b64decode(url[head.end() :], validate=True)
    except (binascii.Error, ValueError):
        raise _wrong(param, "The data: URL does not hold valid base64.") from None
    kind, name = head[1].lower(), head[2].lower()
    return kind, _SUFFIX.get(name, ".png" if kind == "image" else ".mp4"), data


async def _reference(fields: Mapping[str, Any], folder: Path, limit: int) -> tuple[Path | None, Path | None]:
    """The input reference as (image, video), at most one of them."""
    given = fields.get("input_reference")
    param = "input_reference"
    if given is None or given == "":
        return None, None
    if isinstance(given, UploadFile):
        name = (given.filename or "").lower()
        declared = (given.content_type or "").lower()
        picture = declared.startswith("image/") or (
            not declared.startswith("video/") and name.endswith(_IMAGES)
        )
        suffix = ".png" if picture else ".mp4"
        path = await store_upload(given, folder / f"reference{suffix}", limit=limit, param=param)
        return (path, None) if picture else (None, path)
    if isinstance(given, Mapping):
        if given.get("file_id") is not None:
            raise _wrong(param, "Files are not kept here; send the reference itself instead of a file_id.")
        given = given.get("image_url", given.get("video_url"))
    if not isinstance(given, str):
        raise _wrong(param, "Give the reference as a file or as a data: URL.")
    kind, suffix, data = decode_data_url(given, limit=limit, param=param)
    path = folder / f"reference{suffix}"
    await run_in_threadpool(path.write_bytes, data)
    return (path, None) if kind == "image" else (None, path)


def _context(fields: Mapping[str, Any], principal: Principal) -> RequestContext:
    """Who asks: the key, and what it says about the person behind the request."""
    given = fields.get("guard") or {}
    if not isinstance(given, Mapping):
        raise _wrong("guard", "guard must be an object.")
    person = fields.get("safety_identifier") or fields.get("user") or ""
    consents = given.get("consents") or ()
    if isinstance(consents, Mapping):
        consents = consents.get("items", ())
    if isinstance(consents, str):
        consents = [consents]
    words = (person, given.get("region", ""), given.get("locale", "en"), given.get("age_tier", "unknown"))
    if not isinstance(consents, list | tuple) or not all(
        isinstance(word, str) and len(word) <= 200 for word in (*words, *consents)
    ):
        raise _wrong("guard", "The values of guard and user are short texts.")
    if given.get("age_tier", "unknown") not in _AGES:
        raise _wrong("guard[age_tier]", f"age_tier is one of {', '.join(_AGES)}.")
    return RequestContext(
        actor=f"key:{principal.key_id}/{person}" if person else f"key:{principal.key_id}",
        tenant=f"key:{principal.key_id}",
        age_tier=given.get("age_tier", "unknown"),
        region=given.get("region", ""),
        locale=given.get("locale", "en"),
        consents=tuple(consents),
    )


def _text(fields: Mapping[str, Any], name: str, default: str) -> str:
    value = fields.get(name)
    if value is None or value == "":
        return default
    if isinstance(value, int | float) and not isinstance(value, bool) and name == "seconds":
        return f"{value:g}"
    if not isinstance(value, str):
        raise _wrong(name, f"{name} must be text.")
    return value


def _seed(value: Any) -> int | None:
    if value is None or value == "":
        return None
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,16}", value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise _wrong("seed", "The seed is a whole number.")


def _param_of(message: str) -> str:
    """The parameter that a refused :class:`PromptRequest` speaks of."""
    for word, param in (("prompt", "prompt"), ("length", "seconds"), ("seed", "seed")):
        if word in message:
            return param
    return "size"


def _wrong(param: str, message: str) -> Problem:
    return Problem(400, message, code="invalid_value", param=param, retry=False)
