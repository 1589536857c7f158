"""Trust lists and revocation lists as files: read, checked and described before they replace the old ones."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID

from guarded_sora.errors import ProvenanceError
from guarded_sora.provenance.credentials.certificates import CLAIM_PURPOSES, load_certificates, to_pem
from guarded_sora.provenance.credentials.trust import RevokedCertificate, Trust

AnchorPurpose = Literal["claims", "time"]

_MAX_BYTES = 4 << 20
_MAX_ENTRIES = 10_000
_TRUSTED_STATUS = "/trust-list/trusted"
_ALLOWED = {"claims": frozenset(CLAIM_PURPOSES), "time": frozenset({ExtendedKeyUsageOID.TIME_STAMPING})}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustList:
    """Anchors that were checked: ``pem`` holds each once, without comments.

    ``sha256`` is that of the file as given, hex; ``expired`` counts anchors that were left out because
    their time is over. ``issued`` and ``next_update`` are the publisher's own dates, where the file has them.
    """

    purpose: AnchorPurpose
    pem: bytes
    count: int
    expired: int
    sha256: str
    read_on: date
    issued: date | None = None
    next_update: date | None = None


def read_trust_list(
    data: bytes, *, purpose: AnchorPurpose | None = None, now: datetime | None = None
) -> TrustList:
    """Check a list of certificate authorities: PEM, or the JSON that the C2PA publishes beside it.

    ``purpose`` says what the authorities may vouch for; by default what the published list says of itself,
    and claims for a PEM bundle. Raises ``ProvenanceError`` when the file is too large, holds anything else,
    holds an authority whose certificate is for another purpose, or nothing that is still valid: a broken
    list must never replace a good one.
    """
    now = now or datetime.now(UTC)
    if len(data) > _MAX_BYTES:
        raise ProvenanceError(
            f"A trust list larger than {_MAX_BYTES >> 20} MiB is not taken; check the file."
        )
    if not data.strip():
        raise ProvenanceError("The trust list is empty; give a file with PEM certificates.")
    published = _published(data) if data.lstrip().startswith(b"{") else None
    if published is not None and purpose not in (None, published.purpose):
        raise ProvenanceError(
            f"The published list is for {published.purpose}, not for {purpose}; give the other one."
        )
    purpose = published.purpose if published is not None else purpose or "claims"
    pem = published.pem if published is not None else data
    Trust(claim_anchors_pem=pem)  # refuses junk, keys and certificates that are no authority
    unique = {item.fingerprint(hashes.SHA256()): item for item in load_certificates(pem)}
    for item in unique.values():
        _check_purpose(item, purpose)
    valid = [item for item in unique.values() if item.not_valid_after_utc > now]
    if not valid:
        raise ProvenanceError("Every authority on the trust list has expired; get a newer list.")
    return TrustList(
        purpose=purpose,
        pem=b"".join(to_pem(item) for item in valid),
        count=len(valid),
        expired=len(unique) - len(valid),
        sha256=hashlib.sha256(data).hexdigest(),
        read_on=now.date(),
        issued=published.issued if published is not None else None,
        next_update=published.next_update if published is not None else None,
    )


def read_revocations(data: bytes) -> tuple[RevokedCertificate, ...]:
    """Read a revocation list: JSON, a list of ``{"serial", "issuer", "since", "reason"}``, only ``serial``
    required.

    Raises ``ProvenanceError`` for anything else; a list that cannot be read revokes nothing, so it is
    refused whole.
    """
    try:
        entries: Any = json.loads(data) if len(data) <= _MAX_BYTES else None
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Published:
    purpose: AnchorPurpose
    pem: bytes
    issued: date
    next_update: date


def _published(data: bytes) -> _Published:
    """The list of trusted entities (ETSI TS 119 602) in which the C2PA publishes its anchors."""
    try:
        body = json.loads(data)["LoTE"]
        scheme = body["ListAndSchemeInformation"]
        found = [
            certificate["val"]
            for entity in body["TrustedEntitiesList"]
            for service in entity["TrustedEntityServices"]
            for information in (service["ServiceInformation"],)
            if str(information["ServiceStatus"]).endswith(_TRUSTED_STATUS)
            for certificate in information["ServiceDigitalIdentity"]["X509Certificates"]
        ]
        name = " ".join(str(item["value"]) for item in scheme["SchemeName"])
        return _Published(
            purpose="time" if "TSA" in name.split() else "claims",
            pem=b"".join(
                to_pem(x509.load_der_x509_certificate(base64.b64decode(text, validate=True)))
                for text in found[:_MAX_ENTRIES]
            ),
            issued=datetime.fromisoformat(scheme["ListIssueDateTime"]).date(),
            next_update=datetime.fromisoformat(scheme["NextUpdate"]).date(),
        )
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ProvenanceError(
            "The trust list is neither PEM nor a list as the C2PA publishes it; check the file."
        ) from error


def _check_purpose(certificate: x509.Certificate, purpose: AnchorPurpose) -> None:
    """An authority that names its purposes must name this one; a root that names none may have any."""
    try:
        named = set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return
    if not named & (_ALLOWED[purpose] | {ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}):
        raise ProvenanceError(
            f"The list holds an authority that may not vouch for {purpose} "
            f"(serial {certificate.serial_number:x}); give the list for the other purpose."
        )


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
