"""Who really signed a manifest: the certificates in its COSE signature, checked against our lists.

The library says "Trusted" for any certificate under any list, whatever the list is for, accepts a
timestamping certificate as a claim signer, and its ``trustListUri`` may name the list of an ingredient's
signer. So the list that counts is worked out here, from the certificates themselves. That the signature
over the claim holds is the library's finding; nothing here repeats or replaces it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
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
    ``serial`` is lower-case hex; ``expired`` is judged at the time of reading. ``time_vouched``: every
    timestamping certificate in the token leads to the timestamp list; that the token itself holds is the
    library's finding.
    """

    serial: str
    issuer: str
    organisation: str
    anchor: AnchorList
    revoked: bool
    expired: bool
    may_sign_claims: bool
    time_vouched: bool


def read_signers(store: bytes, trust: Trust, *, now: datetime | None = None) -> dict[str, ManifestSigner]:
    """The signer of every manifest in ``store``, by label.

    Manifests that cannot be opened are left out, and so are those that could be opened in two ways: a
    second chain or a repeated label might be the one that the library looked at.
    """
    now = now or datetime.now(UTC)
    try:
        manifests = parse_store(store)
    except ProvenanceError:
        return {}
    lists = _Lists(
        own=_anchors(trust.own_root_pem),
        own_leaves=_anchors(trust.own_leaves_pem),
        claim=_anchors(trust.claim_anchors_pem),
        tsa=_anchors(trust.tsa_anchors_pem),
    )
    labels = [manifest.label for manifest in manifests]
    signers: dict[str, ManifestSigner] = {}
    for manifest in manifests:
        boxes = [child for child in manifest.children if child.label == "c2pa.signature"]
        if len(boxes) != 1 or labels.count(manifest.label) > 1:
            continue
        try:
            signers[manifest.label] = _signer(boxes[0], trust, lists, now)
        except _BROKEN:
            continue
    return signers


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lists:
    own: list[x509.Certificate]
    own_leaves: list[x509.Certificate]
    claim: list[x509.Certificate]
    tsa: list[x509.Certificate]


def _signer(box: Superbox, trust: Trust, lists: _Lists, now: datetime) -> ManifestSigner:
    chain, tokens = _open(box)
    leaf = chain[0]
    serial, issuer = f"{leaf.serial_number:x}", common_name(leaf.issuer)
    allowed = _may_sign_claims(leaf)
    anchor: AnchorList = "none"
    if allowed and _leads_to(chain, lists.own):
        anchor = "own"
    elif allowed and _leads_to(chain, lists.claim):
        anchor = "own" if leaf in lists.own_leaves else "claim"
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
        time_vouched=bool(tokens) and all(_time_vouched(token, lists.tsa) for token in tokens),
    )


def _open(box: Superbox) -> tuple[list[x509.Certificate], list[bytes]]:
    """The certificate chain, leaf first, and the timestamp tokens. Raises ``ValueError``."""
    contents = [bytes(data) for name, data in box.contents if name == b"cbor"]
    if len(contents) != 1:
        raise ValueError("not exactly one COSE content")
    message = cbor.decode(contents[0])
    if not isinstance(message, list) or len(message) != 4:
        raise ValueError("not a COSE_Sign1 message")
    protected, unprotected = message[0], message[1]
    headers = cbor.decode(protected) if isinstance(protected, bytes) and protected else {}
    if not isinstance(headers, dict) or not isinstance(unprotected, dict):
        raise ValueError("COSE headers are no maps")
    places = [where[key] for where in (headers, unprotected) for key in (_X5CHAIN, "x5chain") if key in where]
    if len(places) != 1:
        raise ValueError("not exactly one certificate chain")
    found = places[0] if isinstance(places[0], list) else [places[0]]
    encoded = [part for part in found if isinstance(part, bytes)]
    if not 1 <= len(encoded) <= _MAX_CHAIN:
        raise ValueError("no certificate chain")
    chain = [x509.load_der_x509_certificate(part) for part in encoded]
    tokens = []
    for name in ("sigTst", "sigTst2"):
        holder = unprotected.get(name)
        for entry in (holder.get("tstTokens") if isinstance(holder, dict) else None) or []:
            value = entry.get("val") if isinstance(entry, dict) else None
            tokens.append(value if isinstance(value, bytes) else b"")
    return chain, tokens


def _time_vouched(token: bytes, anchors: list[x509.Certificate]) -> bool:
    """Whether each timestamping certificate in ``token`` leads to ``anchors``, and there is one.

    The library takes any list's word for the time. All of them must lead there, because the token may
    carry certificates that did not sign it.
    """
    try:
        certificates = pkcs7.load_der_pkcs7_certificates(_content_info(token))[:_MAX_CHAIN]
        signers = [certificate for certificate in certificates if _stamps_time(certificate)]
    except _BROKEN:
        return False
    return bool(signers) and all(_reaches(signer, certificates, anchors) for signer in signers)


def _content_info(token: bytes) -> bytes:
    """The CMS message of a token, which may be wrapped in an RFC 3161 response with its status."""
    body, outer_end = _der_body(token, 0)
    _, first_end = _der_body(token, body)
    if token[body : body + 1] == b"\x30" and first_end < outer_end:
        return token[first_end:outer_end]
    return token


def _der_body(data: bytes, position: int) -> tuple[int, int]:
    """Where the body of the DER element at ``position`` starts and ends. Raises ``ValueError``."""
    if position + 2 > len(data):
        raise ValueError("the timestamp token is cut off")
    length, start = data[position + 1], position + 2
    if length & 0x80:
        size = length & 0x7F
        length, start = int.from_bytes(data[start : start + size], "big"), start + size
    if start + length > len(data):
        raise ValueError("the timestamp token is cut off")
    return start, start + length


def _reaches(
    certificate: x509.Certificate, pool: list[x509.Certificate], anchors: list[x509.Certificate]
) -> bool:
    """Whether ``certificate`` leads to an anchor through certificates of ``pool``, in any order."""
    for below in range(_MAX_CHAIN):
        if any(_issued(certificate, anchor, below=below) for anchor in anchors):
            return True
        above = [item for item in pool if item != certificate and _issued(certificate, item, below=below)]
        if not above:
            return False
        certificate = above[0]
    return False


def _stamps_time(certificate: x509.Certificate) -> bool:
    try:
        purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return False
    return x509.oid.ExtendedKeyUsageOID.TIME_STAMPING in purposes


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


@lru_cache(maxsize=16)
def _anchors(pem: bytes) -> list[x509.Certificate]:
    return load_certificates(pem) if pem.strip() else []
