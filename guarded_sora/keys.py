"""The key ring of one installation: made on first use, never silently made again.

Five secrets lie under ``home/keys``: the log's signing key, the key that wraps per-subject
keys of personal payloads, the commitment key (pseudonyms and prompt commitments), the mark key
and the C2PA signing chain. ``ring.json`` holds a fingerprint of each. A file that is missing or
is not the one the ring names stops the program: a new key in its place would cut the tie
between old clips and this installation, and nobody would notice.

A signing certificate lives one year. :func:`renew_signing` replaces it in time, under the same root: the
new files are called ``NAME-2.pem`` and so on, ``ring.json`` names those in force, and what they replace
stays until the renewal after, for a process that is just reading it.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from guarded_sora.errors import KeyMissing
from guarded_sora.provenance.credentials.certificates import (
    Chain,
    issue_chain,
    load_certificates,
    renew_leaf,
)
from guarded_sora.provenance.credentials.trust import join_pem

LOG_KEY = "log.pem"
PAYLOAD_KEY = "payload.key"
COMMITMENT_KEY = "commitment.key"
MARK_KEY = "mark-epoch-0.key"
ROOT_CERTIFICATE = "c2pa-root.pem"
CHAIN = "c2pa-chain.pem"
CHAIN_KEY = "c2pa-leaf-key.pem"
ISSUING_KEY = "c2pa-issuing-key.pem"
RING = "ring.json"
LOCK = "ring.lock"
FILES = (LOG_KEY, PAYLOAD_KEY, COMMITMENT_KEY, MARK_KEY, ROOT_CERTIFICATE, CHAIN, CHAIN_KEY, ISSUING_KEY)
RENEW_BEFORE = timedelta(days=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRing:
    """The opened ring. ``repr`` shows no secret."""

    folder: Path
    log_key: Ed25519PrivateKey
    payload_key: bytes
    commitment_key: bytes
    mark_secret: bytes
    mark_epoch: int
    root_path: Path
    root_pem: bytes
    chain_pem: bytes
    chain_key_pem: bytes
    issuing_key_pem: bytes | None
    """None in a ring made before this key was kept: its renewal begins a new chain beside the old root."""

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
            ISSUING_KEY: chain.authority_key_pem,
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
    names = {role: _in_force(ring, role) or role for role in FILES}
    if names[ISSUING_KEY] not in ring:
        del names[ISSUING_KEY]
    data: dict[str, bytes] = {}
    for role, name in names.items():
        try:
            data[role] = (folder / name).read_bytes()
        except OSError as error:
            raise KeyMissing(f"The key {folder / name} is missing; restore it from your backup.") from error
        if not hmac.compare_digest(str(ring.get(name, "")), _fingerprint(data[role])):
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
        root_path=folder / names[ROOT_CERTIFICATE],
        root_pem=data[ROOT_CERTIFICATE],
        chain_pem=data[CHAIN],
        chain_key_pem=data[CHAIN_KEY],
        issuing_key_pem=data.get(ISSUING_KEY),
    )


def renew_signing(keys: KeyRing, *, organisation: str, now: datetime | None = None) -> tuple[KeyRing, bool]:
    """``keys`` with a new signing certificate where the old one ends within 60 days, and whether it is new.

    Several processes may ask at once: one renews, the others read what it made.

    Raises:
        KeyMissing: the certificate has expired, and the folder cannot be written.
    """
    now = now or datetime.now(UTC)
    if _expires(keys) - now > RENEW_BEFORE:
        return keys, False
    try:
        with (keys.folder / LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            held = _read(keys.folder)
            due = _expires(held) - now <= RENEW_BEFORE
            if due:
                _write_renewal(held, organisation, now)
        return _read(keys.folder), due
    except OSError as error:
        if _expires(keys) > now:
            return keys, False  # it still signs; whoever opens the ring next tries again
        raise KeyMissing(
            f"The signing certificate expired on {_expires(keys):%Y-%m-%d} and {keys.folder} cannot be "
            f"written ({error.strerror}); make it writable, so that the certificate can be renewed."
        ) from error


def _expires(keys: KeyRing) -> datetime:
    return load_certificates(keys.chain_pem)[0].not_valid_after_utc


def _write_renewal(keys: KeyRing, organisation: str, now: datetime) -> None:
    """New files first, then the ring in one step: a crash leaves the old ones in force."""
    if keys.issuing_key_pem is None:
        fresh = issue_chain(organisation, now=now)
        chain = replace(fresh, root_pem=join_pem([keys.root_pem, fresh.root_pem]))
    else:
        old = Chain(
            root_pem=keys.root_pem,
            chain_pem=keys.chain_pem,
            key_pem=keys.chain_key_pem,
            authority_key_pem=keys.issuing_key_pem,
        )
        chain = renew_leaf(old, now=now)
    ring = json.loads((keys.folder / RING).read_text())
    renewed = {CHAIN: chain.chain_pem, CHAIN_KEY: chain.key_pem}
    if chain.root_pem != keys.root_pem:
        renewed |= {ROOT_CERTIFICATE: chain.root_pem, ISSUING_KEY: chain.authority_key_pem}
    outdated = []
    for role, data in renewed.items():
        held = _in_force(ring, role)
        number = _number(held) + 1 if held else 1
        (keys.folder / _name(role, number)).unlink(missing_ok=True)  # of a renewal that was cut off
        _write_private(keys.folder / _name(role, number), data)
        ring.pop(held, None)
        ring[_name(role, number)] = _fingerprint(data)
        outdated += [_name(role, number - 2)] if number > 2 else []
    aside = keys.folder / f".{RING}-{secrets.token_hex(8)}"
    _write_private(aside, json.dumps(ring, indent=2).encode())
    os.replace(aside, keys.folder / RING)
    for name in outdated:
        (keys.folder / name).unlink(missing_ok=True)


def _name(role: str, number: int) -> str:
    return role if number == 1 else f"{role.removesuffix('.pem')}-{number}.pem"


def _number(name: str) -> int:
    return int(found[1]) if (found := re.search(r"-(\d+)\.pem$", name)) else 1


def _in_force(ring: Mapping[str, str], role: str) -> str | None:
    """The file that the ring names for ``role``; None where it names none."""
    return next((name for name in ring if name == _name(role, _number(name))), None)


def _fingerprint(data: bytes) -> str:
    return hashlib.sha256(b"guarded-sora key ring\0" + data).hexdigest()


def _write_private(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
