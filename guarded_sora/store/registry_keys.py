"""Keys of the registry, all derived from one secret of the installation, and what they do.

Names and templates are sealed with AES-256-GCM, bound to the row they belong to, so that a row
moved to another subject does not open. Names are looked up by HMAC. Grants and consent tokens are
signed with Ed25519. Nothing of the secret is in the database.
"""

from __future__ import annotations

import hashlib
import hmac
import os

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from guarded_sora.errors import StoreError

_NONCE = 12


class RegistryKeys:
    """Seals, looks up and signs. ``secret``: at least 32 bytes, kept outside the database."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < 32:
            raise ValueError("the registry's secret has at least 32 bytes")
        self._secret = secret
        self._cipher = AESGCM(self._derive("seal"))
        self._names = self._derive("names")
        self._signing = Ed25519PrivateKey.from_private_bytes(self._derive("consent signing"))

    def __repr__(self) -> str:
        return "RegistryKeys()"

    def seal(self, data: bytes, place: str) -> bytes:
        """``data`` encrypted for the row that ``place`` names."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, data, place.encode())

    def open(self, sealed: bytes, place: str) -> bytes:
        """What :meth:`seal` encrypted for this ``place``.

        Raises:
            StoreError: the row was damaged, exchanged, or sealed under other keys.
        """
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], place.encode())
        except (InvalidTag, ValueError) as error:
            raise StoreError(
                f"The registry's row {place} cannot be opened; it was changed, or its keys are not these. "
                "Restore both from one backup, or remove and enrol the subject again."
            ) from error

    def name_key(self, form: str) -> str:
        """What a name is looked up by: 64 hex digits that say nothing without the key."""
        return hmac.new(self._names, form.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()

    def template_key(self, epoch: int) -> bytes:
        """32 bytes that templates of this epoch are transformed with."""
        return self._derive(f"templates {epoch}")

    def sign(self, data: bytes) -> bytes:
        """64-byte Ed25519 signature."""
        return self._signing.sign(data)

    def signed(self, data: bytes, signature: bytes) -> bool:
        """Whether ``signature`` is ours over ``data``."""
        try:
            self._signing.public_key().verify(signature, data)
        except (InvalidSignature, ValueError):
            return False
        return True

    @property
    def public(self) -> bytes:
        """The raw 32-byte public key that grants and tokens verify with."""
        return self._signing.public_key().public_bytes(
            serialization.Encoding.Raw, serialization.PublicFormat.Raw
        )

    def _derive(self, purpose: str) -> bytes:
        info = f"guarded-sora registry {purpose}".encode()
        return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(self._secret)
