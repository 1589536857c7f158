"""Trust lists and revocation lists as files: read, checked and described before they replace the old ones."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from cryptography.hazmat.primitives import hashes

from guarded_sora.errors import ProvenanceError
from guarded_sora.provenance.credentials.certificates import load_certificates, to_pem
from guarded_sora.provenance.credentials.trust import RevokedCertificate, Trust

_MAX_BYTES = 4 << 20
_MAX_ENTRIES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustList:
    """Anchors that were checked: ``pem`` holds each once, without comments.

    ``sha256`` is that of the file as given, hex; ``expired`` counts anchors that were left out because
    their time is over.
    """

    pem: bytes
    count: int
    expired: int
    sha256: str
    read_on: date


def read_trust_list(data: bytes, *, now: datetime | None = None) -> TrustList:
    """Check a PEM bundle of certificate authorities.

    Raises ``ProvenanceError`` when it is too large, holds anything else, or nothing that is still valid:
    a broken list must never replace a good one.
    """
    now = now or datetime.now(UTC)
    if len(data) > _MAX_BYTES:
        raise ProvenanceError(
            f"A trust list larger than {_MAX_BYTES >> 20} MiB is not taken; check the file."
        )
    if not data.strip():
        raise ProvenanceError("The trust list is empty; give a file with PEM certificates.")
    Trust(claim_anchors_pem=data)  # refuses junk, keys and certificates that are no authority
    unique = {item.fingerprint(hashes.SHA256()): item for item in load_certificates(data)}
    valid = [item for item in unique.values() if item.not_valid_after_utc > now]
    if not valid:
        raise ProvenanceError("Every authority on the trust list has expired; get a newer list.")
    return TrustList(
        pem=b"".join(to_pem(item) for item in valid),
        count=len(valid),
        expired=len(unique) - len(valid),
        sha256=hashlib.sha256(data).hexdigest(),
        read_on=now.date(),
    )


def read_revocations(data: bytes) -> tuple[RevokedCertificate, ...]:
    """Read a revocation list: JSON, a list of ``{"serial", "issuer", "since", "reason"}``, only ``serial``
    required.

    Raises ``ProvenanceError`` for anything else; a list that cannot be read revokes nothing, so it is
    refused whole.
    """
    try:
        entries: Any = json.loads(data[: _MAX_BYTES + 1]) if len(data) <= _MAX_BYTES else None
    except (ValueError, RecursionError) as error:
        raise ProvenanceError(
            "The revocation list is not JSON; give a list of objects with 'serial'."
        ) from error
    if not isinstance(entries, list) or len(entries) > _MAX_ENTRIES:
        raise ProvenanceError("The revocation list must be a JSON list of at most 10,000 objects.")
    return tuple(_revoked(entry, position) for position, entry in enumerate(entries))


def write_revocations(revoked: tuple[RevokedCertificate, ...]) -> bytes:
    """The file form of a revocation list, sorted by serial."""
    rows = [
        {
            "serial": item.serial,
            "issuer": item.issuer,
            "since": item.since.isoformat() if item.since else None,
            "reason": item.reason,
        }
        for item in sorted(revoked, key=lambda item: (item.serial, item.issuer))
    ]
    return json.dumps(rows, indent=1, ensure_ascii=False).encode() + b"\n"


def _revoked(entry: Any, position: int) -> RevokedCertificate:
    serial = entry.get("serial") if isinstance(entry, dict) else None
    if not isinstance(serial, str):
        raise ProvenanceError(f"Entry {position} of the revocation list has no 'serial'; correct it.")
    try:
        since = date.fromisoformat(entry["since"]) if entry.get("since") else None
    except (TypeError, ValueError) as error:
        raise ProvenanceError(f"Entry {position} of the revocation list has no readable date.") from error
    plain = serial.lower().replace(":", "").lstrip("0") or "0"
    return RevokedCertificate(
        serial=plain,
        issuer=str(entry.get("issuer") or ""),
        since=since,
        reason=str(entry.get("reason") or "")[:200],
    )
