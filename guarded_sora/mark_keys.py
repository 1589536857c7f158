"""The keys of the invisible mark: epochs, tenants, and what was revoked.

Epoch 0 has the secret of the key ring. Every rotation draws a new one, raises the epoch that films
are marked in and keeps the old keys for reading; there are 32 epochs. Tenants of an epoch differ in
their data keys, so a partner who was given one tenant's key reads and writes that tenant's marks
alone. A revoked key still reads, because its films are still out there, and every verdict says so.

``home/keys/marks.json`` holds all of this but the secrets, which lie beside it, one file an epoch.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from guarded_sora.errors import KeyMissing, UsageError
from guarded_sora.provenance.payload import EPOCH_BITS
from guarded_sora.provenance.watermark.keys import MarkKey

BOOK = "marks.json"
LOCAL = "local"
EPOCHS = 1 << EPOCH_BITS
MOST_TENANTS = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """The key of ``tenant`` (None: of every tenant) in ``epoch`` counts no more since ``since`` (UTC)."""

    epoch: int
    tenant: str | None
    since: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkKeys:
    """``secrets``: 32 bytes for each epoch. ``epoch``: the one that films are marked in."""

    folder: Path
    epoch: int
    secrets: Mapping[int, bytes] = field(repr=False)
    tenants: tuple[str, ...] = (LOCAL,)
    revocations: tuple[Revocation, ...] = ()

    def writer(self, tenant: str) -> MarkKey:
        """The key that marks films of ``tenant``; tenants without a key of their own share ``local``'s.

        Raises:
            UsageError: that key is revoked.
        """
        owner = tenant if tenant in self.tenants else LOCAL
        if self.revocation(self.epoch, owner) is not None:
            raise UsageError(
                "The key that would mark this film is revoked; "
                "draw a new one with 'guarded-sora keys mark rotate'."
            )
        return MarkKey(secret=self.secrets[self.epoch], epoch=self.epoch, tenant=owner)

    @property
    def readers(self) -> tuple[MarkKey, ...]:
        """Every key that a film may carry, the epoch in use first."""
        epochs = sorted(self.secrets, key=lambda epoch: (epoch != self.epoch, -epoch))
        return tuple(
            MarkKey(secret=self.secrets[epoch], epoch=epoch, tenant=tenant)
            for epoch in epochs
            for tenant in self.tenants
        )

    def revocation(self, epoch: int, tenant: str | None) -> Revocation | None:
        """What revoked the key, if anything did."""
        return next(
            (item for item in self.revocations if item.epoch == epoch and item.tenant in (None, tenant)), None
        )

    def rotate(self) -> MarkKeys:
        """Draw a new secret and mark films with it from now on.

        Raises:
            UsageError: all 32 epochs are used.
            KeyMissing: the folder cannot be written.
        """
        following = max(self.secrets) + 1
        if following >= EPOCHS:
            raise UsageError(f"All {EPOCHS} epochs of the mark are used; a new installation must be made.")
        secret = secrets.token_bytes(32)
        _write(self.folder / _file(following), secret.hex())
        return self._stored(replace(self, epoch=following, secrets={**self.secrets, following: secret}))

    def with_tenant(self, tenant: str) -> MarkKeys:
        """Give ``tenant`` a key of its own, in every epoch.

        Raises:
            UsageError: a name that cannot be used, or too many.
        """
        if not tenant or len(tenant) > 100 or not tenant.isprintable():
            raise UsageError("A tenant's name has 1 to 100 printable characters.")
        if tenant in self.tenants:
            return self
        if len(self.tenants) >= MOST_TENANTS:
            raise UsageError(f"At most {MOST_TENANTS} tenants have keys of their own; share one.")
        return self._stored(replace(self, tenants=(*self.tenants, tenant)))

    def revoke(self, epoch: int, tenant: str | None, reason: str) -> MarkKeys:
        """From now on a mark by this key says that its key was revoked; ``tenant`` None means all.

        Raises:
            UsageError: there is no such key.
        """
        if epoch not in self.secrets or (tenant is not None and tenant not in self.tenants):
            raise UsageError("There is no such mark key; 'guarded-sora keys mark list' shows them.")
        if self.revocation(epoch, tenant) is not None:
            return self
        item = Revocation(epoch=epoch, tenant=tenant, since=datetime.now(UTC), reason=reason[:200])
        return self._stored(replace(self, revocations=(*self.revocations, item)))

    def _stored(self, changed: MarkKeys) -> MarkKeys:
        document = {
            "version": 1,
            "epoch": changed.epoch,
            "secrets": {str(epoch): _fingerprint(secret) for epoch, secret in changed.secrets.items()},
            "tenants": list(changed.tenants),
            "revocations": [
                {"epoch": i.epoch, "tenant": i.tenant, "since": i.since.isoformat(), "reason": i.reason}
                for i in changed.revocations
            ],
        }
        _write(self.folder / BOOK, json.dumps(document, indent=2))
        return changed


def open_mark_keys(folder: Path, first: bytes) -> MarkKeys:
    """The book in ``folder``; ``first`` is the ring's secret, of epoch 0. Without a book only that key lives.

    Raises:
        KeyMissing: the book or a secret it names is gone, or was exchanged.
    """
    path = folder / BOOK
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if (folder / _file(1)).exists():
            raise KeyMissing(f"{path} is missing although keys were rotated; restore your backup.") from None
        return MarkKeys(folder=folder, epoch=0, secrets={0: first})
    except OSError as error:
        raise KeyMissing(f"{path} cannot be read; restore it from your backup.") from error
    try:
        book = json.loads(text)
        keys = MarkKeys(
            folder=folder,
            epoch=int(book["epoch"]),
            secrets={int(epoch): _secret(folder, int(epoch), first) for epoch in book["secrets"]},
            tenants=tuple(str(name) for name in book["tenants"]),
            revocations=tuple(_revocation(item) for item in book["revocations"]),
        )
        known = {int(epoch): str(digest) for epoch, digest in book["secrets"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise KeyMissing(f"{path} is damaged; restore it from your backup.") from error
    if keys.epoch not in keys.secrets or LOCAL not in keys.tenants:
        raise KeyMissing(f"{path} is damaged; restore it from your backup.")
    for epoch, secret in keys.secrets.items():
        if not hmac.compare_digest(known[epoch], _fingerprint(secret)):
            raise KeyMissing(f"{folder / _file(epoch)} is not the key of its epoch; restore your backup.")
    return keys


def _revocation(item: Mapping[str, Any]) -> Revocation:
    return Revocation(
        epoch=int(item["epoch"]),
        tenant=None if item["tenant"] is None else str(item["tenant"]),
        since=datetime.fromisoformat(item["since"]),
        reason=str(item["reason"]),
    )


def _secret(folder: Path, epoch: int, first: bytes) -> bytes:
    if epoch == 0:
        return first
    path = folder / _file(epoch)
    try:
        secret = bytes.fromhex(path.read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        raise KeyMissing(f"The mark key {path} is missing or damaged; restore your backup.") from error
    if len(secret) != 32:
        raise KeyMissing(f"The mark key {path} is damaged; restore it from your backup.")
    return secret


def _file(epoch: int) -> str:
    return f"mark-epoch-{epoch}.key"


def _fingerprint(secret: bytes) -> str:
    return hashlib.sha256(b"guarded-sora mark key\0" + secret).hexdigest()


def _write(path: Path, text: str) -> None:
    """Whole or not at all, for the owner's eyes only."""
    aside = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise KeyMissing(f"{path} cannot be written ({error.strerror}); check its rights.") from error
