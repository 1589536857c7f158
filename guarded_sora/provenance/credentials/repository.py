"""Ask another manifest repository (C2PA Soft Binding Resolution API 2.2) for the manifest behind a mark.

Only addresses that the operator named are asked. What they answer is a stranger's word: the manifest still
has to be signed by somebody we trust and to name the mark itself. An ``endpoint`` in an answer is not
followed, because it would let a repository choose whom this machine talks to.
"""

from __future__ import annotations

import base64
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from guarded_sora.errors import ProvenanceError
from guarded_sora.provenance.credentials.library import MAX_STORE_MIB
from guarded_sora.provenance.credentials.report import SoftBindingClaim
from guarded_sora.provenance.credentials.stored import describe

_TIMEOUT = 15.0
_LONGEST_REPLY = 1 << 20
_MOST_TRIED = 5
_LEAST_SIMILARITY = 50
_LONGEST_LABEL = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A manifest store that names the mark. ``alike``: the repository's own comparison says that the picture
    is that of the manifest."""

    label: str
    store: bytes
    alike: bool


def ask(address: str, binding: SoftBindingClaim, film: Path) -> Found | None:
    """The manifest for ``binding`` in the repository at ``address``; None when it has none.

    The film is sent there too, to be compared: a mark alone can be lifted onto other content. Raises
    ``ProvenanceError`` when the repository cannot be asked or answers nonsense.
    """
    base = _base(address)
    value = base64.b64encode(binding.value.encode()).decode()
    query = urlencode({"alg": binding.algorithm, "value": value, "maxResults": _MOST_TRIED})
    labels = [label for label, _ in _matches(_get(f"{base}/matches/byBinding?{query}", _LONGEST_REPLY))]
    for label in labels[:_MOST_TRIED]:
        store = _get(f"{base}/manifests/{quote(label, safe='')}", (MAX_STORE_MIB << 20) + 1)
        described = describe(store)
        if described.label == label and binding in described.bindings:
            return Found(label=label, store=store, alike=_alike(base, label, film))
    return None


def _alike(base: str, label: str, film: Path) -> bool:
    with film.open("rb") as stream:
        request = urllib.request.Request(  # noqa: S310  the scheme was checked
            f"{base}/matches/byContent",
            data=stream,
            headers={"Content-Type": "video/mp4", "Content-Length": str(film.stat().st_size)},
            method="POST",
        )
        reply = _send(request, _LONGEST_REPLY)
    return any(name == label and score >= _LEAST_SIMILARITY for name, score in _matches(reply))


def _matches(reply: bytes) -> Iterator[tuple[str, float]]:
    try:
        found = json.loads(reply)["matches"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ProvenanceError("The manifest repository's answer is no list of matches.") from error
    for item in found if isinstance(found, list) else ():
        label = item.get("manifestId") if isinstance(item, dict) else None
        if isinstance(label, str) and 0 < len(label) <= _LONGEST_LABEL:
            score: Any = item.get("similarityScore")
            yield label, float(score) if isinstance(score, int | float) else 0.0


def _base(address: str) -> str:
    parts = urlsplit(address)
    local = parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1", "::1")
    if not parts.hostname or not (parts.scheme == "https" or local):
        raise ProvenanceError(
            "A manifest repository's address must begin with https:// (http:// only on this machine)."
        )
    return address.rstrip("/")


def _get(url: str, most: int) -> bytes:
    return _send(urllib.request.Request(url), most)  # noqa: S310


def _send(request: urllib.request.Request, most: int) -> bytes:
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=_TIMEOUT) as answer:
            data: bytes = answer.read(most + 1)
    except (OSError, ValueError, urllib.error.URLError, http.client.HTTPException) as error:
        raise ProvenanceError("The manifest repository gave no answer; try again when it is up.") from error
    if len(data) > most:
        raise ProvenanceError("The manifest repository's answer is too long; it was not read.")
    return data


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None
