"""Who signs: a protocol that a file key, an HSM, a cloud KMS or a remote service can satisfy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from guarded_sora.errors import ProvenanceError
from guarded_sora.provenance.credentials.certificates import Chain, load_certificates, load_key

Algorithm = Literal["es256", "es384", "es512", "ps256", "ps384", "ps512", "ed25519"]


@runtime_checkable
class Signer(Protocol):
    """Signs claims.

    ``sign(data)`` returns the raw signature as COSE wants it: r || s of fixed length for ECDSA
    (IEEE P1363, not DER), PSS with a salt as long as the hash for RSA. It is called once per signed file,
    from any thread. ``timestamp_url`` is an RFC 3161 authority or None. ``chain_pem`` is leaf first, root
    left out.
    """

    @property
    def algorithm(self) -> Algorithm: ...

    @property
    def chain_pem(self) -> bytes: ...

    @property
    def timestamp_url(self) -> str | None: ...

    def sign(self, data: bytes) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FileKeySigner:
    """Signs with a P-256 key held in memory as PEM bytes (ES256)."""

    chain_pem: bytes
    key_pem: bytes = field(repr=False)
    timestamp_url: str | None = None

    @classmethod
    def of(cls, chain: Chain, *, timestamp_url: str | None = None) -> FileKeySigner:
        return cls(chain_pem=chain.chain_pem, key_pem=chain.key_pem, timestamp_url=timestamp_url)

    @property
    def algorithm(self) -> Algorithm:
        return "es256"

    def sign(self, data: bytes) -> bytes:
        r, s = decode_dss_signature(load_key(self.key_pem).sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackSigner:
    """Signs by calling ``function(data) -> raw signature``: a KMS, an HSM or a remote signing service.

    The clip itself never reaches the callback, only the few hundred bytes of the claim.
    """

    chain_pem: bytes
    function: Callable[[bytes], bytes]
    algorithm: Algorithm = "es256"
    timestamp_url: str | None = None

    def sign(self, data: bytes) -> bytes:
        return self.function(data)


def open_signer(signer: Signer) -> Any:
    """The library's signer object for ``signer``; a context manager, used for one file.

    Raises ``ProvenanceError`` when key and chain do not belong together or cannot sign claims.
    """
    import c2pa

    _check_chain(signer)
    timestamp = signer.timestamp_url.encode() if signer.timestamp_url else None
    try:
        if isinstance(signer, FileKeySigner):  # native signing: no call back into Python, smaller reserve
            info = c2pa.C2paSignerInfo(b"es256", signer.chain_pem, signer.key_pem, timestamp)
            return c2pa.Signer.from_info(info)
        algorithm = getattr(c2pa.C2paSigningAlg, signer.algorithm.upper())
        return c2pa.Signer.from_callback(
            signer.sign, algorithm, signer.chain_pem.decode("ascii"), signer.timestamp_url
        )
    except (c2pa.C2paError, AttributeError, UnicodeDecodeError) as error:
        raise ProvenanceError(
            "The signing key or its certificate chain was refused; check them with 'guarded-sora keys'."
        ) from error


def _check_chain(signer: Signer) -> None:
    certificates = load_certificates(signer.chain_pem)
    if not isinstance(signer, FileKeySigner):
        return
    leaf_key = certificates[0].public_key()
    if leaf_key != load_key(signer.key_pem).public_key():
        raise ProvenanceError(
            "The signing key does not belong to the first certificate of the chain; "
            "list the leaf first, then the intermediates, without the root."
        )
