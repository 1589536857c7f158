"""A timestamp authority (RFC 3161) and an OCSP responder (RFC 6960) on a local port, for tests.

DER is written by hand: the two answers need only a few types.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from guarded_sora.provenance.credentials.certificates import (
    Issuer,
    issue_authority,
    issue_leaf,
    load_certificates,
    load_key,
    to_pem,
)
from tests.local_server import Quiet, listening

TST_INFO = "1.2.840.113549.1.9.16.1.4"


def der(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    length = len(body)
    if length < 128:
        return bytes([tag, length]) + body
    size = (length.bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + length.to_bytes(size, "big") + body


def sequence(*parts: bytes) -> bytes:
    return der(0x30, *parts)


def integer(value: int) -> bytes:
    return der(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def oid(text: str) -> bytes:
    first, second, *rest = (int(part) for part in text.split("."))
    body = bytearray([first * 40 + second])
    for number in rest:
        group = [number & 0x7F]
        while number := number >> 7:
            group.append(0x80 | (number & 0x7F))
        body += bytes(reversed(group))
    return der(0x06, bytes(body))


def elements(data: bytes) -> list[tuple[int, bytes, bytes]]:
    """(tag, body, whole) of every element in ``data``."""
    found, position = [], 0
    while position < len(data):
        length, start = data[position + 1], position + 2
        if length & 0x80:
            size = length & 0x7F
            length, start = int.from_bytes(data[start : start + size], "big"), start + size
        end = start + length
        found.append((data[position], data[start:end], data[position:end]))
        position = end
    return found


@dataclass
class TimestampAuthority:
    """Answers any request, with the given certificates; ``requests`` counts them."""

    signer: Issuer
    root: x509.Certificate
    requests: int = 0
    fail_first: int = 0

    @property
    def root_pem(self) -> bytes:
        return to_pem(self.root)

    def answer(self, request: bytes) -> bytes:
        fields = elements(elements(request)[0][1])
        imprint = fields[1][2]
        nonce = next((whole for tag, _, whole in fields[2:] if tag == 0x02), b"")
        now = datetime.now(UTC)
        info = sequence(
            integer(1),
            oid("1.3.6.1.4.1.99999.1"),
            imprint,
            integer(x509.random_serial_number() >> 96),
            der(0x18, now.strftime("%Y%m%d%H%M%SZ").encode()),
            sequence(integer(1)),
            nonce,
        )
        sha256 = sequence(oid("2.16.840.1.101.3.4.2.1"))
        certificate = self.signer.certificate
        encoded = certificate.public_bytes(Encoding.DER)
        attributes = sorted(
            [
                sequence(oid("1.2.840.113549.1.9.3"), der(0x31, oid(TST_INFO))),
                sequence(
                    oid("1.2.840.113549.1.9.5"), der(0x31, der(0x17, now.strftime("%y%m%d%H%M%SZ").encode()))
                ),
                sequence(oid("1.2.840.113549.1.9.4"), der(0x31, der(0x04, hashlib.sha256(info).digest()))),
                sequence(
                    oid("1.2.840.113549.1.9.16.2.47"),
                    der(
                        0x31,
                        sequence(sequence(sequence(der(0x04, hashlib.sha256(encoded).digest())))),
                    ),
                ),
            ]
        )
        signature = self.signer.key.sign(der(0x31, *attributes), ec.ECDSA(hashes.SHA256()))
        signer_info = sequence(
            integer(1),
            sequence(certificate.issuer.public_bytes(), integer(certificate.serial_number)),
            sha256,
            der(0xA0, *attributes),
            sequence(oid("1.2.840.10045.4.3.2")),
            der(0x04, signature),
        )
        signed = sequence(
            integer(3),
            der(0x31, sha256),
            sequence(oid(TST_INFO), der(0xA0, der(0x04, info))),
            der(0xA0, *sorted([encoded, self.root.public_bytes(Encoding.DER)])),
            der(0x31, signer_info),
        )
        content = sequence(oid("1.2.840.113549.1.7.2"), der(0xA0, signed))
        return sequence(sequence(integer(0)), content)


def timestamp_authority(name: str = "Test Time") -> TimestampAuthority:
    now = datetime.now(UTC)
    root = issue_authority(name, f"{name} Root", None, path_length=0, now=now)
    return TimestampAuthority(
        signer=issue_leaf(name, root, now=now, purpose="timestamp"), root=root.certificate
    )


@dataclass
class Responder:
    """Answers for the leaves of one intermediate."""

    issuer: Issuer
    revoked: set[int] = field(default_factory=set)
    requests: int = 0

    def answer(self, request: bytes) -> bytes:
        asked = ocsp.load_der_ocsp_request(request)
        now = datetime.now(UTC)
        delegate = issue_leaf("Test Status", self.issuer, now=now, purpose="ocsp")
        revoked = asked.serial_number in self.revoked
        certificate = next(c for c in self.leaves if c.serial_number == asked.serial_number)
        response = (
            ocsp.OCSPResponseBuilder()
            .add_response(
                cert=certificate,
                issuer=self.issuer.certificate,
                algorithm=hashes.SHA1(),
                cert_status=ocsp.OCSPCertStatus.REVOKED if revoked else ocsp.OCSPCertStatus.GOOD,
                this_update=now - timedelta(hours=1),
                next_update=now + timedelta(days=1),
                revocation_time=now - timedelta(minutes=1) if revoked else None,
                revocation_reason=x509.ReasonFlags.key_compromise if revoked else None,
            )
            .responder_id(ocsp.OCSPResponderEncoding.HASH, delegate.certificate)
            .certificates([delegate.certificate])
            .sign(delegate.key, hashes.SHA256())
        )
        return response.public_bytes(Encoding.DER)

    leaves: list[x509.Certificate] = field(default_factory=list)


def responder_for(chain_pem: bytes, authority_key_pem: bytes) -> Responder:
    middle = load_certificates(chain_pem)[1]
    return Responder(issuer=Issuer(certificate=middle, key=load_key(authority_key_pem)))


@contextmanager
def served(authority: TimestampAuthority | Responder) -> Iterator[str]:
    """The authority on a free local port; gives ``host:port``."""
    kind = "timestamp-reply" if isinstance(authority, TimestampAuthority) else "ocsp-response"

    class Handler(Quiet):
        def reply(self, request: bytes) -> None:
            authority.requests += 1
            if getattr(authority, "fail_first", 0) >= authority.requests:
                self.send_error(503)
                return
            body = authority.answer(request)
            self.send(body, Content_Type=f"application/{kind}")

        def do_POST(self) -> None:
            self.reply(self.body())

        def do_GET(self) -> None:
            self.reply(base64.b64decode(unquote(self.path.lstrip("/"))))

    with listening(Handler) as address:
        yield address
