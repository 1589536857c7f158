"""Who signs: a protocol that a file key, an HSM, a cloud KMS or a remote service can satisfy."""

from __future__ import annotations

import http.client
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal, Protocol, runtime_checkable
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from guarded_sora.errors import ProvenanceError
from guarded_sora.provenance.credentials.certificates import Chain, load_certificates, load_key

_LONGEST_SIGNATURE = 1024

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


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteSigner:
    """Signs by asking a service: the claim's bytes are posted to ``url``, the raw signature comes back.

    The body is ``application/octet-stream`` both ways; ``token`` is sent as bearer token. The clip itself
    stays here. Raises ``ProvenanceError`` when the address is neither https nor this very machine.
    """

    url: str
    chain_pem: bytes
    algorithm: Algorithm = "es256"
    token: str = field(default="", repr=False)
    timestamp_url: str | None = None
    timeout: float = 10.0

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        local = parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1", "::1")
        if not parts.hostname or not (parts.scheme == "https" or local):
            raise ProvenanceError(
                "The signing service's address must begin with https:// (http:// only on this machine)."
            )

    def sign(self, data: bytes) -> bytes:
        """The signature; raises ``ProvenanceError`` when the service gives none."""
        headers = {"Content-Type": "application/octet-stream"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        request = urllib.request.Request(  # noqa: S310  the scheme was checked above
            self.url, data=data, headers=headers, method="POST"
        )
        try:
            with _opener().open(request, timeout=self.timeout) as answer:
                signature: bytes = answer.read(_LONGEST_SIGNATURE + 1)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise ProvenanceError(
                f"The signing service gave no signature ({type(error).__name__}); try again when it is up."
            ) from error
        if not 32 <= len(signature) <= _LONGEST_SIGNATURE:
            raise ProvenanceError("The signing service's answer is no signature; check its address.")
        return signature


def open_signer(signer: Signer, sign: Callable[[bytes], bytes] | None = None) -> Any:
    """The library's signer object for ``signer``; a context manager, used for one file.

    ``sign`` is called in place of ``signer.sign`` where Python signs. Raises ``ProvenanceError`` when key and
    chain do not belong together or cannot sign claims.
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
            sign or signer.sign, algorithm, signer.chain_pem.decode("ascii"), signer.timestamp_url
        )
    except (c2pa.C2paError, AttributeError, UnicodeDecodeError) as error:
        raise ProvenanceError(
            "The signing key or its certificate chain was refused; check them with 'guarded-sora keys'."
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stamped:
    """A signer of any class with another timestamp authority, or none."""

    signer: Signer
    timestamp_url: str | None

    @property
    def algorithm(self) -> Algorithm:
        return self.signer.algorithm

    @property
    def chain_pem(self) -> bytes:
        return self.signer.chain_pem

    def sign(self, data: bytes) -> bytes:
        return self.signer.sign(data)


def with_timestamp(signer: Signer, url: str | None) -> Signer:
    """The same signer, asking the authority at ``url``; None asks nobody.

    Raises ``ProvenanceError`` for an address that is none.
    """
    if url is not None:
        check_address(url)
    if isinstance(signer, FileKeySigner):  # stays one: the library signs with it natively
        return replace(signer, timestamp_url=url)
    return _Stamped(signer=signer.signer if isinstance(signer, _Stamped) else signer, timestamp_url=url)


def may_travel(signer: Signer) -> bool:
    """Whether ``signer`` is plain data that a worker process can sign with; a callback is not."""
    inner = signer.signer if isinstance(signer, _Stamped) else signer
    return isinstance(inner, FileKeySigner | RemoteSigner)


def check_address(url: str) -> None:
    """Raises ``ProvenanceError`` for an address that no timestamp authority can have."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise ProvenanceError("The timestamp authority's address must begin with http:// or https://.")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A service that sends us elsewhere would send the token there, too."""

    def redirect_request(self, *_: Any) -> None:
        return None


@lru_cache(maxsize=1)
def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_NoRedirect)


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
