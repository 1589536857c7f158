"""Whom we trust, for which purpose: plain, picklable data that travels into the reading worker.

Three lists are kept apart. A certificate under the timestamping list never makes a claim trusted,
and only the installation's own root makes a clip "ours".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

from cryptography import x509

from guarded_sora.errors import ProvenanceError
from guarded_sora.provenance.credentials.certificates import load_certificates

OWN_LIST = "urn:guarded-sora:trust:own"
CLAIM_LIST = "urn:guarded-sora:trust:claim"
TSA_LIST = "urn:guarded-sora:trust:tsa"

_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:[0-9]{1,5})?", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokedCertificate:
    """A certificate nobody may rely on any more.

    ``serial`` is lower-case hex without leading zeros; ``issuer`` the issuing certificate's
    common name, or empty for any issuer. ``since`` is the day from which it counts, for people.
    """

    serial: str
    issuer: str = ""
    since: date | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9a-f]{1,40}", self.serial):
            raise ProvenanceError(f"The revoked serial {self.serial[:48]!r} is not lower-case hexadecimal.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Anchors by purpose, all PEM; empty bytes means that nobody is trusted for that purpose.

    ``own_leaves_pem`` are our signing certificates from a public authority: others stand under it, too, so
    each certificate is ours only by itself, and only while the authority is on the list for claims.
    ``remote_hosts`` and ``ocsp_hosts`` are ``host`` or ``host:port`` values that may be asked for a remote
    manifest or a revocation answer; empty means that reading opens no connection at all.
    Raises ``ProvenanceError`` when a list holds anything but certificate authorities: the C2PA library
    would silently take junk as "trust nobody".
    """

    own_root_pem: bytes = b""
    own_leaves_pem: bytes = b""
    claim_anchors_pem: bytes = b""
    tsa_anchors_pem: bytes = b""
    revoked: tuple[RevokedCertificate, ...] = ()
    remote_hosts: tuple[str, ...] = ()
    ocsp_hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, pem in (
            ("own root", self.own_root_pem),
            ("claim anchors", self.claim_anchors_pem),
            ("timestamp anchors", self.tsa_anchors_pem),
        ):
            _check_anchors(name, pem)
        if self.own_leaves_pem.strip():
            load_certificates(self.own_leaves_pem)
        for host in self.remote_hosts + self.ocsp_hosts:
            if not _HOST.fullmatch(host):
                raise ProvenanceError(f"{host[:80]!r} is not a host name; write it as host or host:port.")

    def is_revoked(self, serial: str, issuer: str) -> bool:
        """Whether the certificate with hex ``serial`` from the authority named ``issuer`` is on our list."""
        plain = serial.lower().lstrip("0") or "0"
        return any(
            entry.serial.lstrip("0") == plain and entry.issuer in ("", issuer) for entry in self.revoked
        )

    def anchors(self) -> list[dict[str, str]]:
        """The three lists in the shape of the library's ``trust.anchors`` setting; own list first."""
        lists = (
            (self.own_root_pem, "manifest", OWN_LIST),
            (self.claim_anchors_pem, "manifest", CLAIM_LIST),
            (self.tsa_anchors_pem, "tsa", TSA_LIST),
        )
        return [
            {"trust_anchors": _armoured(pem), "trust_kind": kind, "trust_uri": uri}
            for pem, kind, uri in lists
            if pem.strip()
        ]


def revoke(certificates_pem: bytes, *, since: date | None = None, reason: str = "") -> RevokedCertificate:
    """The list entry for the first certificate of ``certificates_pem``."""
    certificate = load_certificates(certificates_pem)[0]
    return RevokedCertificate(
        serial=f"{certificate.serial_number:x}",
        issuer=common_name(certificate.issuer),
        since=since,
        reason=reason,
    )


def common_name(name: x509.Name) -> str:
    """The first common name of a distinguished name, or the empty string."""
    values = name.get_attributes_for_oid(x509.oid.NameOID.COMMON_NAME)
    return str(values[0].value) if values else ""


def join_pem(parts: Iterable[bytes]) -> bytes:
    """Several PEM texts as one, each ending in a line break."""
    return b"".join(part.rstrip() + b"\n" for part in parts if part.strip())


def _check_anchors(name: str, pem: bytes) -> None:
    if not pem.strip():
        return
    try:
        certificates = load_certificates(pem)
    except ProvenanceError as error:
        raise ProvenanceError(
            f"The list of {name} holds something that is not a PEM certificate; "
            "give a file with one or more 'BEGIN CERTIFICATE' blocks."
        ) from error
    if pem.count(b"-----BEGIN ") != len(certificates):
        raise ProvenanceError(f"The list of {name} holds PEM blocks that are not certificates; remove them.")
    for certificate in certificates:
        if not _is_authority(certificate):
            raise ProvenanceError(
                f"The list of {name} holds a certificate that is no authority "
                f"(serial {certificate.serial_number:x}); list roots and intermediates only."
            )


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except (x509.ExtensionNotFound, ValueError):
        return False


@lru_cache(maxsize=16)
def _armoured(pem: bytes) -> str:
    """Only the certificates, without the comments people write between them."""
    from cryptography.hazmat.primitives.serialization import Encoding

    return "".join(
        certificate.public_bytes(Encoding.PEM).decode("ascii") for certificate in load_certificates(pem)
    )
