"""Who really signed a manifest: the certificates in its COSE signature, checked against our lists.

The library says "Trusted" for any certificate under any list, whatever the list is for, accepts a
timestamping certificate as a claim signer, and its ``trustListUri`` may name the list of an ingredient's
signer. So the list that counts is worked out here, from the certificates themselves. That the signature
over the claim holds is the library's finding; nothing here repeats or replaces it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from guarded_sora.errors import ProvenanceError
from guarded_sora.provenance.credentials import cbor
from guarded_sora.provenance.credentials.certificates import CLAIM_PURPOSES, load_certificates
from guarded_sora.provenance.credentials.jumbf import Superbox, parse_store
from guarded_sora.provenance.credentials.trust import Trust, common_name

AnchorList = Literal["own", "claim", "none"]

_X5CHAIN = 33  # RFC 9360
_MAX_CHAIN = 10
# What the certificate library raises on a hostile certificate, at any attribute that is parsed late.
_BROKEN = (
    ValueError,
    TypeError,
    RecursionError,
    InvalidSignature,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestSigner:
    """The leaf certificate of one manifest and the list it leads to.

    ``organisation`` is what the certificate says of its holder: proven only when ``anchor`` is not ``none``.
    ``serial`` is lower-case hex; ``expired`` is judged at the time of reading. ``timestamped`` tells only
    that a timestamp token is there, not that it holds.
    """

    serial: str
    issuer: str
    organisation: str
    anchor: AnchorList
    revoked: bool
    expired: bool
    may_sign_claims: bool
    timestamped: bool


def read_signers(store: bytes, trust: Trust, *, now: datetime | None = None) -> dict[str, ManifestSigner]:
    """The signer of every manifest in ``store`` by manifest label; manifests that cannot be opened are
    left out."""
    now = now or datetime.now(UTC)
    try:
        manifests = parse_store(store)
    except ProvenanceError:
        return {}
    own = _anchors(trust.own_root_pem)
    claim = _anchors(trust.claim_anchors_pem)
    signers: dict[str, ManifestSigner] = {}
    for manifest in manifests:
        box = manifest.child("c2pa.signature")
        if box is None:
            continue
        try:
            signers[manifest.label] = _signer(box, trust, own, claim, now)
        except _BROKEN:
            continue
    return signers


def _signer(
    box: Superbox,
    trust: Trust,
    own: list[x509.Certificate],
    claim: list[x509.Certificate],
    now: datetime,
) -> ManifestSigner:
    chain, timestamped = _open(box)
    leaf = chain[0]
    serial, issuer = f"{leaf.serial_number:x}", common_name(leaf.issuer)
    allowed = _may_sign_claims(leaf)
    anchor: AnchorList = "none"
    if allowed:
        anchor = "own" if _leads_to(chain, own) else "claim" if _leads_to(chain, claim) else "none"
    holders = leaf.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return ManifestSigner(
        serial=serial,
        issuer=issuer,
        organisation=str(holders[0].value) if holders else "",
        anchor=anchor,
        revoked=trust.is_revoked(serial, issuer)
        or any(trust.is_revoked(f"{c.serial_number:x}", common_name(c.issuer)) for c in chain[1:]),
        expired=not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc,
        may_sign_claims=allowed,
        timestamped=timestamped,
    )


def _open(box: Superbox) -> tuple[list[x509.Certificate], bool]:
    """The certificate chain, leaf first, and whether a timestamp token is there. Raises ``ValueError``."""
    content = next((bytes(data) for name, data in box.contents if name == b"cbor"), None)
    if content is None:
        raise ValueError("no COSE content")
    message = cbor.decode(content)
    if not isinstance(message, list) or len(message) != 4:
        raise ValueError("not a COSE_Sign1 message")
    protected, unprotected = message[0], message[1]
    headers = cbor.decode(protected) if isinstance(protected, bytes) and protected else {}
    if not isinstance(headers, dict) or not isinstance(unprotected, dict):
        raise ValueError("COSE headers are no maps")
    found = headers.get(_X5CHAIN) or headers.get("x5chain")
    found = found or unprotected.get(_X5CHAIN) or unprotected.get("x5chain")
    encoded = [part for part in (found if isinstance(found, list) else [found]) if isinstance(part, bytes)]
    if not 1 <= len(encoded) <= _MAX_CHAIN:
        raise ValueError("no certificate chain")
    chain = [x509.load_der_x509_certificate(part) for part in encoded]
    return chain, any(name in unprotected for name in ("sigTst", "sigTst2"))


def _leads_to(chain: list[x509.Certificate], anchors: list[x509.Certificate]) -> bool:
    """Whether each certificate is issued by the next and the last one by an anchor.

    Dates are left out on purpose: an expired leaf of ours is still ours, and expiry is its own state.
    """
    known = {anchor.public_bytes(Encoding.DER) for anchor in anchors}
    for index, certificate in enumerate(chain):
        if index > 0 and certificate.public_bytes(Encoding.DER) in known:
            return True
        if any(_issued(certificate, anchor, below=index) for anchor in anchors):
            return True
        if index + 1 == len(chain) or not _issued(certificate, chain[index + 1], below=index):
            return False
    return False


def _issued(certificate: x509.Certificate, issuer: x509.Certificate, *, below: int) -> bool:
    """Whether ``issuer`` is an authority that signed ``certificate``, with ``below`` authorities under it."""
    try:
        constraints = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
        if not constraints.ca or (constraints.path_length is not None and below > constraints.path_length):
            return False
        usage = issuer.extensions.get_extension_for_class(x509.KeyUsage).value
        if not usage.key_cert_sign:
            return False
        certificate.verify_directly_issued_by(issuer)
    except _BROKEN:
        return False
    return True


def _may_sign_claims(leaf: x509.Certificate) -> bool:
    """Whether the purposes allow claims: one of ours, and neither timestamping nor revocation answers."""
    try:
        purposes = set(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except _BROKEN:
        return False
    forbidden = {x509.oid.ExtendedKeyUsageOID.TIME_STAMPING, x509.oid.ExtendedKeyUsageOID.OCSP_SIGNING}
    return bool(purposes & set(CLAIM_PURPOSES)) and not purposes & forbidden


def _anchors(pem: bytes) -> list[x509.Certificate]:
    return load_certificates(pem) if pem.strip() else []
