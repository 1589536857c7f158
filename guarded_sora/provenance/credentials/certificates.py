"""Certificates: a root, an intermediate and a signing leaf, made on first use.

Profile (C2PA technical specification 2.x, section "Certificate profile"; RFC 5280):

- root and intermediate: CA, keyCertSign and cRLSign, subject key identifier; the intermediate's path
  length is 0, so it can issue leaves only;
- leaf: CA=false, digitalSignature and nonRepudiation, authority and subject key identifiers, extended key
  usage emailProtection (which every validator accepts today) and the C2PA claim-signing purpose.

The root's private key is dropped as soon as it has signed the intermediate: nobody can ever extend
the trust in it. The intermediate's key stays in :class:`Chain`, because a leaf lives one year and
:func:`renew_leaf` must be able to replace it under the same root.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from guarded_sora.errors import ProvenanceError

CLAIM_SIGNING = x509.ObjectIdentifier("1.3.6.1.4.1.62558.2.1")
"""Extended key usage "C2PA claim signing"."""
DOCUMENT_SIGNING = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.36")

CLAIM_PURPOSES = (ExtendedKeyUsageOID.EMAIL_PROTECTION, CLAIM_SIGNING, DOCUMENT_SIGNING)
"""The purposes that allow a certificate to sign claims, as far as we trust it."""

ROOT_DAYS = 365 * 20
LEAF_DAYS = 365
_BACKDATE = timedelta(minutes=5)  # a verifier's clock may run a little behind ours

Purpose = Literal["claim", "timestamp", "ocsp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A complete set of signing material, all PEM.

    ``chain_pem`` is leaf then intermediate, without the root, as the COSE ``x5chain`` wants it;
    ``key_pem`` is the leaf's key (PKCS#8); ``authority_key_pem`` the intermediate's.
    """

    root_pem: bytes
    chain_pem: bytes
    key_pem: bytes
    authority_key_pem: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """A certificate and its key: whoever signs the next certificate."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def issue_chain(organisation: str, *, now: datetime | None = None, leaf_days: int = LEAF_DAYS) -> Chain:
    """Make root, intermediate and leaf for ``organisation`` (ES256, P-256).

    Raises ``ProvenanceError`` when the name cannot stand in a certificate (1 to 64 characters).
    """
    name = _organisation(organisation)
    now = now or datetime.now(UTC)
    root = issue_authority(name, f"{name} Content Credentials Root", None, path_length=1, now=now)
    middle = issue_authority(name, f"{name} Content Credentials Issuing", root, path_length=0, now=now)
    leaf = issue_leaf(name, middle, now=now, days=leaf_days)
    return Chain(
        root_pem=to_pem(root.certificate),
        chain_pem=to_pem(leaf.certificate) + to_pem(middle.certificate),
        key_pem=key_to_pem(leaf.key),
        authority_key_pem=key_to_pem(middle.key),
    )


def renew_leaf(chain: Chain, *, now: datetime | None = None, leaf_days: int = LEAF_DAYS) -> Chain:
    """The same chain with a new leaf and a new leaf key: old clips keep verifying under the root."""
    now = now or datetime.now(UTC)
    old_leaf, middle = load_certificates(chain.chain_pem)[:2]
    names = old_leaf.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    issuer = Issuer(certificate=middle, key=load_key(chain.authority_key_pem))
    leaf = issue_leaf(str(names[0].value), issuer, now=now, days=leaf_days)
    return replace(chain, chain_pem=to_pem(leaf.certificate) + to_pem(middle), key_pem=key_to_pem(leaf.key))


def issue_authority(
    organisation: str,
    common_name: str,
    issuer: Issuer | None,
    *,
    path_length: int,
    now: datetime,
    days: int = ROOT_DAYS,
) -> Issuer:
    """A certificate authority; self-signed when ``issuer`` is None."""
    key = ec.generate_private_key(ec.SECP256R1())
    usage = _key_usage(key_cert_sign=True, crl_sign=True)
    builder = (
        _builder(_name(organisation, common_name), key, issuer, now, days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(usage, critical=True)
    )
    return Issuer(certificate=_signed(builder, key, issuer), key=key)


def issue_leaf(
    organisation: str,
    issuer: Issuer,
    *,
    now: datetime,
    days: float = LEAF_DAYS,
    purpose: Purpose = "claim",
    ocsp_url: str | None = None,
) -> Issuer:
    """A leaf for one purpose. A claim leaf never carries another purpose, nor the reverse.

    ``ocsp_url`` goes into the authority information access extension.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    usages = {
        "claim": [ExtendedKeyUsageOID.EMAIL_PROTECTION, CLAIM_SIGNING],
        "timestamp": [ExtendedKeyUsageOID.TIME_STAMPING],
        "ocsp": [ExtendedKeyUsageOID.OCSP_SIGNING],
    }[purpose]
    title = {"claim": "Signing", "timestamp": "Timestamping", "ocsp": "OCSP"}[purpose]
    builder = (
        _builder(_name(organisation, f"{organisation} {title}"), key, issuer, now, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            _key_usage(digital_signature=True, content_commitment=purpose == "claim"), critical=True
        )
        # RFC 3161 section 2.3 wants the timestamping purpose critical.
        .add_extension(x509.ExtendedKeyUsage(usages), critical=purpose == "timestamp")
    )
    if purpose == "ocsp":
        builder = builder.add_extension(x509.OCSPNoCheck(), critical=False)
    if ocsp_url is not None:
        access = x509.AccessDescription(
            x509.oid.AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(ocsp_url)
        )
        builder = builder.add_extension(x509.AuthorityInformationAccess([access]), critical=False)
    return Issuer(certificate=_signed(builder, key, issuer), key=key)


def load_certificates(pem: bytes) -> list[x509.Certificate]:
    """Parse one or more PEM certificates.

    Raises ``ProvenanceError`` when there is none, or when any block is not a certificate.
    """
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise ProvenanceError(
            "The certificate file holds no readable PEM certificate; give a file with one or more "
            "'BEGIN CERTIFICATE' blocks."
        ) from error


def load_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """Parse an unencrypted elliptic-curve private key; raises ``ProvenanceError``."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise ProvenanceError(
            "The signing key is not a readable unencrypted PEM key; make a new one with 'guarded-sora keys'."
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ProvenanceError("The signing key is not an elliptic-curve key; use a P-256 key.")
    return key


def to_pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def key_to_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _organisation(organisation: str) -> str:
    name = " ".join(organisation.split())
    if not 1 <= len(name) <= 64 or not name.isprintable():
        raise ProvenanceError(
            "The organisation's name must have 1 to 64 printable characters to stand in a certificate."
        )
    return name


def _name(organisation: str, common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "ZZ"),  # ISO 3166 user-assigned: no country claimed
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64]),
        ]
    )


def _builder(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: Issuer | None,
    now: datetime,
    days: float,
) -> x509.CertificateBuilder:
    parent_key = issuer.key if issuer else key
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATE)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(parent_key.public_key()), critical=False
        )
    )


def _signed(
    builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey, issuer: Issuer | None
) -> x509.Certificate:
    return builder.sign(issuer.key if issuer else key, hashes.SHA256())


def _key_usage(**granted: bool) -> x509.KeyUsage:
    every: dict[str, Any] = {
        "digital_signature": False,
        "content_commitment": False,
        "key_encipherment": False,
        "data_encipherment": False,
        "key_agreement": False,
        "key_cert_sign": False,
        "crl_sign": False,
        "encipher_only": False,
        "decipher_only": False,
    }
    return x509.KeyUsage(**(every | granted))
