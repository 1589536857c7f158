"""The key ring of one installation: made on first use, never silently made again.

Five secrets lie under ``home/keys``: the log's signing key, the key that wraps per-subject
keys of personal payloads, the commitment key (pseudonyms and prompt commitments), the mark key
and the C2PA signing chain. ``ring.json`` holds a fingerprint of each. A file that is missing or
is not the one the ring names stops the program: a new key in its place would cut the tie
between old clips and this installation, and nobody would notice.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from guarded_sora.errors import KeyMissing
from guarded_sora.provenance.credentials.certificates import issue_chain

LOG_KEY = "log.pem"
PAYLOAD_KEY = "payload.key"
COMMITMENT_KEY = "commitment.key"
MARK_KEY = "mark-epoch-0.key"
ROOT_CERTIFICATE = "c2pa-root.pem"
CHAIN = "c2pa-chain.pem"
CHAIN_KEY = "c2pa-leaf-key.pem"
RING = "ring.json"
FILES = (LOG_KEY, PAYLOAD_KEY, COMMITMENT_KEY, MARK_KEY, ROOT_CERTIFICATE, CHAIN, CHAIN_KEY)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRing:
    """The opened ring. ``repr`` shows no secret."""

    folder: Path
    log_key: Ed25519PrivateKey
    payload_key: bytes
    commitment_key: bytes
    mark_secret: bytes
    mark_epoch: int
    root_pem: bytes
    chain_pem: bytes
    chain_key_pem: bytes

    def __repr__(self) -> str:
        return f"KeyRing(folder={self.folder!s}, issuer={self.issuer})"

    @property
    def issuer(self) -> str:
        """8 hex of SHA-256 of the log's public key: the issuer part of every clip id."""
        return hashlib.sha256(self.log_public).hexdigest()[:8]

    @property
    def log_public(self) -> bytes:
        """The log's raw 32-byte Ed25519 public key."""
        return self.log_key.public_key().public_bytes(
            serialization.Encoding.Raw, serialization.PublicFormat.Raw
        )

    @property
    def origin(self) -> str:
        """The log's origin line in checkpoints: scheme-less, unique to this installation."""
        return f"guarded-sora.invalid/log/{self.issuer}"

    def pseudonym(self, purpose: str, name: str) -> str:
        """What stands in the log instead of an actor's or tenant's name: stable, not reversible."""
        digest = hmac.new(self.commitment_key, f"{purpose}\0{name}".encode(), hashlib.sha256)
        return f"{purpose}-{digest.hexdigest()[:24]}"

    def commit(self, text: str) -> str:
        """Commitment to a prompt: keyed, because a plain hash of a short text can be guessed."""
        data = text.encode("utf-8", "surrogatepass")
        return "hmac-sha256:" + hmac.new(self.commitment_key, b"prompt\0" + data, hashlib.sha256).hexdigest()


def open_keys(home: Path, *, organisation: str, must_exist: bool = False) -> KeyRing:
    """Open ``home/keys``, making it on first use.

    Args:
        must_exist: the database already holds entries, so a missing ring is a loss, not a start.

    Raises:
        KeyMissing: the ring, or one of its files, is gone or was exchanged.
    """
    folder = home / "keys"
    if not (folder / RING).exists():
        if must_exist or (folder.exists() and any(folder.iterdir())):
            raise KeyMissing(
                f"The key ring {folder / RING} is missing although this store is in use; "
                "restore the folder 'keys' from your backup."
            )
        _make(folder, organisation)
    return _read(folder)


def _make(folder: Path, organisation: str) -> None:
    """Write a whole new ring aside and move it into place in one step, so none is half-made."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = folder.with_name(f".keys-{secrets.token_hex(8)}")
        aside.mkdir(mode=0o700)
        chain = issue_chain(organisation)
        log_pem = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        contents = {
            LOG_KEY: log_pem,
            PAYLOAD_KEY: secrets.token_hex(32).encode(),
            COMMITMENT_KEY: secrets.token_hex(32).encode(),
            MARK_KEY: secrets.token_hex(32).encode(),
            ROOT_CERTIFICATE: chain.root_pem,
            CHAIN: chain.chain_pem,
            CHAIN_KEY: chain.key_pem,
        }
        ring = {name: _fingerprint(data) for name, data in contents.items()}
        for name, data in {**contents, RING: json.dumps(ring, indent=2).encode()}.items():
            _write_private(aside / name, data)
        try:
            os.rename(aside, folder)
        except OSError:
            # Another process was first; its ring is as good as ours would have been.
            shutil.rmtree(aside, ignore_errors=True)
            if not (folder / RING).exists():
                raise
    except OSError as error:
        raise KeyMissing(
            f"No keys could be made under {folder.parent} ({error.strerror}); "
            "choose a writable folder with --home."
        ) from error


def _read(folder: Path) -> KeyRing:
    try:
        ring = json.loads((folder / RING).read_text())
        if not isinstance(ring, dict):
            raise ValueError("ring.json holds no table")
    except (OSError, ValueError) as error:
        raise KeyMissing(f"{folder / RING} cannot be read; restore it from your backup.") from error
    data: dict[str, bytes] = {}
    for name in FILES:
        try:
            data[name] = (folder / name).read_bytes()
        except OSError as error:
            raise KeyMissing(f"The key {folder / name} is missing; restore it from your backup.") from error
        if not hmac.compare_digest(str(ring.get(name, "")), _fingerprint(data[name])):
            raise KeyMissing(
                f"{folder / name} is not the key this store was made with; restore it from your backup."
            )
    try:
        log_key = serialization.load_pem_private_key(data[LOG_KEY], password=None)
    except ValueError as error:
        raise KeyMissing(f"{folder / LOG_KEY} holds no usable key; restore it from your backup.") from error
    if not isinstance(log_key, Ed25519PrivateKey):
        raise KeyMissing(f"{folder / LOG_KEY} is no Ed25519 key; restore it from your backup.")
    return KeyRing(
        folder=folder,
        log_key=log_key,
        payload_key=bytes.fromhex(data[PAYLOAD_KEY].decode()),
        commitment_key=bytes.fromhex(data[COMMITMENT_KEY].decode()),
        mark_secret=bytes.fromhex(data[MARK_KEY].decode()),
        mark_epoch=0,
        root_pem=data[ROOT_CERTIFICATE],
        chain_pem=data[CHAIN],
        chain_key_pem=data[CHAIN_KEY],
    )


def _fingerprint(data: bytes) -> str:
    return hashlib.sha256(b"guarded-sora key ring\0" + data).hexdigest()


def _write_private(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
