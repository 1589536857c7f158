"""The C2PA Soft Binding Resolution API (2.2, with the discovery documents of 2.4), without a web server.

Values in and out are exactly those of the HTTP interface, so that a router only has to pass them on. Not
offered: look-up by a URL that a stranger names, which would make this machine fetch it.
"""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from guarded_sora.detectors.fingerprint import MIN_QUALITY, SecondHash, match, mirrored
from guarded_sora.errors import ProvenanceError, UsageError
from guarded_sora.provenance.clip_id import ClipId
from guarded_sora.provenance.credentials.manifest import SOFT_BINDING_ALGORITHM
from guarded_sora.provenance.credentials.report import SoftBindingClaim
from guarded_sora.provenance.credentials.stored import active_only, describe
from guarded_sora.store import ClipRecord, ClipState, ClipStore

API_VERSION = "2.4.0"
MANIFEST_TYPE = "application/c2pa"
MOST_RESULTS = 100
_LONGEST_VALUE = 1024
_LOOKED_UP = 60
_LEAST_SIMILARITY = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A manifest that may belong to the clip; ``similarity`` is 0 to 100 and only known from content."""

    manifest_id: str
    similarity: int | None = None

    def as_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"manifestId": self.manifest_id}
        if self.similarity is not None:
            found["similarityScore"] = self.similarity
        return found


def matches_json(matches: Sequence[Match]) -> dict[str, Any]:
    """The reply to every query; no match is an empty list, not an error."""
    return {"matches": [item.as_json() for item in matches]}


def binding_value(clip_id: ClipId) -> str:
    """The text that stands in the manifest and, base64 of its UTF-8, in a query: ``gs1.<issuer><id>``."""
    return f"gs1.{clip_id.issuer}{clip_id.id:010x}"


def match_binding(store: ClipStore, *, alg: str, value: str, max_results: int = 10) -> tuple[Match, ...]:
    """``/matches/byBinding``: manifests that name exactly this mark.

    ``value`` is base64. Raises ``UsageError`` (400) for a query that is not well formed or an algorithm we
    do not serve.
    """
    limit = _limit(max_results)
    if alg != SOFT_BINDING_ALGORITHM:
        raise UsageError(f"This repository resolves {SOFT_BINDING_ALGORITHM} only.")
    text = _decode(value)
    clip_id = _clip_id(text)
    if clip_id is None or clip_id.issuer != store.issuer:
        return ()
    wanted = SoftBindingClaim(algorithm=alg, value=text)
    found = []
    for record in store.by_number(clip_id.id):
        label = _public_label(store, record, wanted)
        if label:
            found.append(Match(manifest_id=label))
    return tuple(found[:limit])


def match_content(
    store: ClipStore,
    hashes: Sequence[SecondHash],
    *,
    number: int | None = None,
    alg: str = "",
    max_results: int = 10,
) -> tuple[Match, ...]:
    """``/matches/byContent``: manifests of clips whose stored fingerprint the content resembles, best first.

    ``hashes`` are the content's; ``number`` is the 40-bit id of a mark that was read from it, or None. A
    mark alone finds a candidate, but only likeness scores: a mark can be lifted onto other content. Raises
    ``UsageError`` (400) for an algorithm we do not serve.
    """
    limit = _limit(max_results)
    if alg and alg != SOFT_BINDING_ALGORITHM:
        raise UsageError(f"This repository resolves {SOFT_BINDING_ALGORITHM} only.")
    candidates = [record.clip_id for record in store.by_number(number)] if number is not None else []
    candidates += _lookalikes(store, hashes)
    found = []
    for clip_id in dict.fromkeys(candidates):
        record = store.by_id(clip_id)
        stored = store.fingerprint(clip_id)
        if record is None or not stored or not hashes:
            continue
        label = _public_label(store, record, None)
        compared = match(hashes, stored)
        if label and compared.similarity >= _LEAST_SIMILARITY:
            found.append(Match(manifest_id=label, similarity=round(100 * compared.similarity)))
    return tuple(sorted(found, key=lambda item: -(item.similarity or 0))[:limit])


def manifest(store: ClipStore, manifest_id: str, *, return_active_manifest: bool = False) -> bytes | None:
    """``/manifests/{manifestId}``: the store, or only its newest manifest; None (404) when it is not
    public."""
    if not manifest_id.startswith("urn:") or len(manifest_id) > 256:
        return None
    data = store.manifest(manifest_id)
    if data is None:
        return None
    try:
        described = describe(data)
        record = store.by_id(ClipId.parse(described.clip_id))
        if record is None or record.state is not ClipState.RELEASED or record.manifest_label != manifest_id:
            return None
        return active_only(data) if return_active_manifest else data
    except (ProvenanceError, UsageError):
        return None


def supported_algorithms() -> dict[str, Any]:
    """``/services/supportedAlgorithms``; our fingerprint has no registered name, so it is not listed."""
    return {"watermarks": [{"alg": SOFT_BINDING_ALGORITHM}], "fingerprints": []}


def capabilities() -> dict[str, Any]:
    """``/services/capabilities``."""
    return {"c2paSpecificationVersion": API_VERSION, "supportedCapabilities": ["queryByContent"]}


def discovery(api_endpoint: str) -> dict[str, Any]:
    """``/.well-known/c2pa-soft-binding-resolution`` for an API that lies at ``api_endpoint``."""
    base = api_endpoint.rstrip("/")
    return {
        "apiEndpoint": base,
        "c2paSpecificationVersion": API_VERSION,
        "capabilitiesEndpoint": f"{base}/services/capabilities",
        "statusEndpoint": f"{base}/services/status",
    }


def _public_label(store: ClipStore, record: ClipRecord, wanted: SoftBindingClaim | None) -> str:
    """The manifest's label when the clip was released and its manifest names the mark itself; else empty."""
    if record.state is not ClipState.RELEASED or record.manifest_label is None:
        return ""
    data = store.manifest(record.manifest_label)
    try:
        described = describe(data) if data is not None else None
    except ProvenanceError:
        return ""
    if described is None or described.label != record.manifest_label:
        return ""
    return described.label if wanted is None or wanted in described.bindings else ""


def _lookalikes(store: ClipStore, hashes: Sequence[SecondHash]) -> list[ClipId]:
    telling = [item for item in hashes if item.quality >= MIN_QUALITY]
    votes: Counter[ClipId] = Counter()
    for item in telling[:: max(1, len(telling) // _LOOKED_UP)]:
        votes.update(
            {hit.clip_id for bits in (item.bits, mirrored(item.bits)) for hit in store.resembling(bits)}
        )
    return [clip_id for clip_id, _ in votes.most_common(MOST_RESULTS)]


def _limit(max_results: int) -> int:
    if max_results < 1:
        raise UsageError("maxResults must be 1 or more.")
    return min(max_results, MOST_RESULTS)


def _decode(value: str) -> str:
    if not value or len(value) > _LONGEST_VALUE:
        raise UsageError(f"The value must be base64 of 1 to {_LONGEST_VALUE} characters.")
    try:
        # A plus sign in a query arrives as a space, and both alphabets are in use.
        plain = value.replace(" ", "+").replace("-", "+").replace("_", "/")
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True).decode("utf-8")
    except (binascii.Error, ValueError) as error:
        raise UsageError("The value is not base64 of a UTF-8 text.") from error


def _clip_id(text: str) -> ClipId | None:
    digits = text.removeprefix("gs1.")
    try:
        return ClipId.parse(f"gs1:{digits[:8]}:{digits[8:]}") if digits != text else None
    except UsageError:
        return None
