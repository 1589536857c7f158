"""A server that speaks ``/v1/videos`` (vLLM-Omni, SGLang, ours) as a backend: its films are guarded too.

Only frames come in. Credentials, marks and metadata of the upstream file stay behind, for what
leaves the guard is our own file about our own checks.
"""

from __future__ import annotations

import io
import json
import os
import secrets
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np
from PIL import Image

from guarded_sora.errors import BackendUnavailable, GenerationFailed, MediaError
from guarded_sora.generation.contract import BackendInfo, Clip, GenerationRequest, OnStep, StepEvent
from guarded_sora.media import ClipFrames, FrameStream, encode
from guarded_sora.worker import Worker

KEY_VARIABLE = "GUARDED_SORA_UPSTREAM_KEY"
_LARGEST_FILM = 1 << 30
_LARGEST_ANSWER = 4 << 20
_MOST_BYTES = 4 << 30  # of decoded frames
_CALL_SECONDS = 60.0


class ServerBackend:
    """Films from the server at ``url``, which speaks ``/v1/videos``; its key is in
    ``GUARDED_SORA_UPSTREAM_KEY``. A picture or film to start from goes along as ``input_reference``.

    Raises:
        BackendUnavailable: an address that is none, or no answer from it.
    """

    def __init__(self, url: str, *, poll_seconds: float = 1.0, worker: Worker | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise BackendUnavailable("Give the video server as http(s)://host, without a name in it.")
        self._base = url.rstrip("/").removesuffix("/v1/videos").removesuffix("/v1")
        self._poll = poll_seconds
        self._worker = worker or Worker()
        self._open = urllib.request.build_opener(_NoRedirect).open
        self.info = BackendInfo(
            name=f"server {parts.hostname}", version="v1/videos", licence="unknown", max_frames=100_000,
            accepts=frozenset({"text", "image", "video"}), native_fps=16.0,
        )  # fmt: skip

    def generate(self, request: GenerationRequest, on_step: OnStep | None = None) -> Clip:
        """One film, asked for, waited for, fetched and decoded.

        Raises:
            GenerationFailed: the server refused or failed, or was stopped by ``on_step``.
            BackendUnavailable: no answer.
        """
        fields = {"prompt": request.prompt, "seconds": f"{request.seconds:g}", "seed": str(request.seed)}
        if request.width and request.height:
            fields["size"] = f"{request.width}x{request.height}"
        video = self._create(fields, self._reference(request))
        place = f"/v1/videos/{quote(str(video.get('id', '')), safe='')}"
        while video.get("status") in ("queued", "in_progress"):
            step = _progress(video)
            if on_step is not None and not on_step(StepEvent(step=step, steps=100)):
                raise GenerationFailed("The generation was stopped.")
            time.sleep(self._poll)
            video = self._json("GET", place)
        if video.get("status") != "completed":
            error = video.get("error")
            code = error.get("code") if isinstance(error, dict) else ""
            raise GenerationFailed(f"The video server did not make the film ({_word(code)}).")
        return self._fetch(place, request)

    def _reference(self, request: GenerationRequest) -> tuple[str, str, bytes] | None:
        """(file name, media type, bytes) of what the film starts from, or None."""
        if request.image is not None:
            file = io.BytesIO()
            Image.fromarray(request.image).save(file, format="PNG")
            return "reference.png", "image/png", file.getvalue()
        if request.video is None:
            return None
        with tempfile.TemporaryDirectory(prefix="guarded-sora-server-") as folder:
            path, fps = Path(folder) / "reference.mp4", request.fps or self.info.native_fps
            encode(ClipFrames(request.video, fps), path, fps=fps)
            return path.name, "video/mp4", path.read_bytes()

    def _create(self, fields: dict[str, str], reference: tuple[str, str, bytes] | None) -> dict[str, Any]:
        boundary = secrets.token_hex(16)
        body = "".join(
            f'--{boundary}\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        ).encode("utf-8", "replace")
        if reference is not None:
            name, kind, data = reference
            head = (
                f'--{boundary}\r\ncontent-disposition: form-data; name="input_reference"; '
                f'filename="{name}"\r\ncontent-type: {kind}\r\n\r\n'
            )
            body += head.encode() + data + b"\r\n"
        body += f"--{boundary}--\r\n".encode()
        return self._json("POST", "/v1/videos", body, f"multipart/form-data; boundary={boundary}")

    def _fetch(self, place: str, request: GenerationRequest) -> Clip:
        with tempfile.TemporaryDirectory(prefix="guarded-sora-server-") as folder:
            path = Path(folder) / "film.mp4"
            with self._call("GET", f"{place}/content") as answer, path.open("xb") as file:
                left = _LARGEST_FILM
                while chunk := answer.read(1 << 20):
                    left -= len(chunk)
                    if left < 0:
                        raise GenerationFailed("The video server sent more than a film may have.")
                    file.write(chunk)
            stream = FrameStream(path, self._worker)
            try:
                info = stream.info
                if info.width * info.height * 3 * max(1, info.frames) > _MOST_BYTES:
                    raise GenerationFailed("The video server's film is too large to be guarded at once.")
                frames = np.concatenate([batch.frames for batch in stream])
            except (MediaError, ValueError) as error:
                raise GenerationFailed("The video server sent no film that can be read.") from error
        settings = {"seed": request.seed, "seconds": request.seconds}
        return Clip(frames=frames, fps=info.fps, info=self.info, settings=settings)

    def _json(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> dict[str, Any]:
        with self._call(method, path, body, kind) as answer:
            data = answer.read(_LARGEST_ANSWER + 1)
        try:
            document = json.loads(data) if len(data) <= _LARGEST_ANSWER else None
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise GenerationFailed("The video server answered with something else than a video object.")
        return document

    def _call(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> Any:
        headers = {"accept": "*/*", **({"content-type": kind} if kind else {})}
        key = os.environ.get(KEY_VARIABLE)
        if key:
            headers["authorization"] = f"Bearer {key}"
        call = urllib.request.Request(self._base + path, data=body, headers=headers, method=method)  # noqa: S310
        try:
            return self._open(call, timeout=_CALL_SECONDS)
        except urllib.error.HTTPError as error:
            error.close()
            raise GenerationFailed(f"The video server refused the request ({error.code}).") from None
        except (OSError, ValueError) as error:
            raise BackendUnavailable(
                f"The video server does not answer ({type(error).__name__}); check its address."
            ) from None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The key must not travel to wherever an answer points."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _progress(video: dict[str, Any]) -> int:
    value = video.get("progress")
    return min(99, max(1, int(value))) if isinstance(value, int | float) else 1


def _word(code: object) -> str:
    text = str(code or "no reason given")
    return "".join(character if character.isalnum() or character in "_-. " else "?" for character in text)[
        :64
    ]
