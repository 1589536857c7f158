"""Personal data beside the log: encrypted for one person, erasable without breaking a proof.

The leaf holds ``HMAC-SHA256(salt, payload)`` and a length. Salt and payload lie in ``payloads``,
encrypted with AES-256-GCM under a key of the person they belong to (the *owner*); that key lies in
``subject_keys``, wrapped under the key-encryption key the caller gives. Once the owner's key and
the ciphertext are gone, nothing ties the commitment to anybody, and the tree has not changed.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import ColumnElement, Connection, insert, select, update

from guarded_sora.audit import search, words
from guarded_sora.audit.entry import Commitment, Entry, Prepared
from guarded_sora.audit.errors import EntryInvalid, LogCorrupt
from guarded_sora.audit.tables import payloads, pending, subject_keys

SALT = 32
NONCE = 12
MAX_PAYLOAD = 16 * 1024 * 1024


def commit(payload: bytes) -> tuple[Commitment, bytes]:
    """A commitment to ``payload`` and the fresh 32-byte salt it is made with."""
    if not isinstance(payload, bytes):
        raise EntryInvalid("A payload is bytes; encode text as UTF-8 first.")
    if len(payload) > MAX_PAYLOAD:
        raise EntryInvalid(f"A payload has at most {MAX_PAYLOAD:,} bytes; store the file, log its SHA-256.")
    salt = os.urandom(SALT)
    return Commitment(hmac=digest(salt, payload), length=len(payload)), salt


def digest(salt: bytes, payload: bytes) -> str:
    """HMAC-SHA256(salt, payload) in hex."""
    return hmac.new(salt, payload, sha256).hexdigest()


class Vault:
    """Encrypts and decrypts payloads under owner keys, which it wraps under ``payload_key`` (32 bytes)."""

    def __init__(self, payload_key: bytes) -> None:
        if len(payload_key) != 32:
            raise EntryInvalid("The payload key has 32 bytes; make one with os.urandom(32) and keep it.")
        self._wrapper = AESGCM(payload_key)

    def use(self, payload_key: bytes) -> None:
        """Go on with another payload key, after :meth:`rewrap` was committed."""
        self._wrapper = Vault(payload_key)._wrapper

    def store(self, connection: Connection, written: Iterable[tuple[int, Prepared]], now: int) -> None:
        """Encrypt the payloads of events just written as ``(seq, prepared)``. Runs in their transaction."""
        rows: list[dict[str, Any]] = []
        keys: dict[str, tuple[bytes, AESGCM]] = {}
        found: list[tuple[int, bytes]] = []
        for seq, prepared in written:
            if prepared.salt is None or prepared.event.payload is None:
                continue
            owner = prepared.owner()
            if owner not in keys:
                keys[owner] = self._key_for(connection, owner, now)
            key_id, cipher = keys[owner]
            rows.append(
                {
                    "seq": seq,
                    "owner": owner,
                    "key_id": key_id,
                    "ciphertext": _sealed(cipher, prepared.salt + prepared.event.payload, prepared.id),
                    "searchable": prepared.event.searchable,
                }
            )
            if prepared.event.searchable:
                found.append((seq, prepared.event.payload))
        if rows:
            connection.execute(insert(payloads), rows)
            words.index(connection, found)

    def _key_for(self, connection: Connection, owner: str, now: int) -> tuple[bytes, AESGCM]:
        row = connection.execute(
            select(subject_keys.c.key_id, subject_keys.c.wrapped)
            .where(subject_keys.c.owner == owner, subject_keys.c.wrapped.is_not(None))
            .limit(1)
        ).first()
        if row is not None:
            return row.key_id, AESGCM(self._unwrap(row.key_id, row.wrapped))
        key_id, key, nonce = os.urandom(16), os.urandom(32), os.urandom(NONCE)
        connection.execute(
            insert(subject_keys).values(
                key_id=key_id,
                owner=owner,
                wrapped=nonce + self._wrapper.encrypt(nonce, key, key_id),
                created_at=now,
            )
        )
        return key_id, AESGCM(key)

    def _unwrap(self, key_id: bytes, wrapped: bytes) -> bytes:
        try:
            return self._wrapper.decrypt(wrapped[:NONCE], wrapped[NONCE:], key_id)
        except (InvalidTag, ValueError) as error:
            raise LogCorrupt(
                f"The payload key does not open subject_keys.key_id={key_id.hex()}; "
                "use the key this log was made with."
            ) from error

    def seal(
        self, connection: Connection, owner: str, plain: bytes, identity: bytes, now: int
    ) -> tuple[bytes, bytes]:
        """``(key id, ciphertext)`` of salt and payload for an event that is not in the log yet."""
        key_id, cipher = self._key_for(connection, owner, now)
        return key_id, _sealed(cipher, plain, identity)

    def unseal(
        self, connection: Connection, key_id: bytes, ciphertext: bytes, identity: bytes
    ) -> tuple[bytes, bytes] | None:
        """Salt and payload of what :meth:`seal` made; None when its owner was erased since.

        Raises ``LogCorrupt`` when it cannot be opened.
        """
        wrapped = connection.execute(
            select(subject_keys.c.wrapped).where(subject_keys.c.key_id == key_id)
        ).scalar()
        if wrapped is None:
            return None
        try:
            plain = AESGCM(self._unwrap(key_id, wrapped)).decrypt(
                ciphertext[:NONCE], ciphertext[NONCE:], identity
            )
        except (InvalidTag, ValueError) as error:
            raise LogCorrupt("A payload that waits cannot be decrypted; the database was changed.") from error
        return plain[:SALT], plain[SALT:]

    def open(self, connection: Connection, entry: Entry) -> bytes | None:
        """The payload of ``entry``, or None when it has none or it was erased.

        Raises ``LogCorrupt`` when what is stored is not what the entry commits to.
        """
        if entry.payload is None:
            return None
        row = self._row(connection, entry)
        if row.erased_at is not None:
            return None
        return self._open(entry, row.key_id, row.ciphertext, row.wrapped)[1]

    def disclose(self, connection: Connection, entry: Entry) -> tuple[bytes, bytes] | None:
        """Salt and payload of ``entry``, so that others can check the commitment; None as in :meth:`open`."""
        row = None if entry.payload is None else self._row(connection, entry)
        if row is None or row.erased_at is not None:
            return None
        return self._open(entry, row.key_id, row.ciphertext, row.wrapped)

    def _row(self, connection: Connection, entry: Entry) -> Any:
        row = connection.execute(
            select(payloads.c.key_id, payloads.c.ciphertext, payloads.c.erased_at, subject_keys.c.wrapped)
            .outerjoin_from(payloads, subject_keys, payloads.c.key_id == subject_keys.c.key_id)
            .where(payloads.c.seq == entry.seq)
        ).first()
        if row is None:
            raise LogCorrupt(f"The row payloads.seq={entry.seq} is missing; the database was changed.")
        return row

    def _open(
        self, entry: Entry, key_id: bytes, ciphertext: bytes | None, wrapped: bytes | None
    ) -> tuple[bytes, bytes]:
        where = f"The row payloads.seq={entry.seq}"
        if ciphertext is None or wrapped is None or entry.payload is None:
            raise LogCorrupt(f"{where} lost its key or data without an erasure; the database was changed.")
        try:
            plain = AESGCM(self._unwrap(key_id, wrapped)).decrypt(
                ciphertext[:NONCE], ciphertext[NONCE:], bytes.fromhex(entry.id.replace("-", ""))
            )
        except (InvalidTag, ValueError) as error:
            raise LogCorrupt(f"{where} cannot be decrypted; the database was changed.") from error
        salt, payload = plain[:SALT], plain[SALT:]
        if not hmac.compare_digest(digest(salt, payload), entry.payload.hmac):
            raise LogCorrupt(f"{where} is not what its entry commits to; the database was changed.")
        return salt, payload

    def rewrap(self, connection: Connection, new_key: bytes) -> int:
        """Wrap every living owner key under ``new_key``; returns how many.

        Destroy the old key afterwards: keys of erased people that still lie in old backups die
        with it.
        """
        other = Vault(new_key)
        rows = connection.execute(
            select(subject_keys.c.key_id, subject_keys.c.wrapped).where(subject_keys.c.wrapped.is_not(None))
        ).all()
        for row in rows:
            nonce = os.urandom(NONCE)
            wrapped = nonce + other._wrapper.encrypt(nonce, self._unwrap(row.key_id, row.wrapped), row.key_id)
            connection.execute(
                update(subject_keys).where(subject_keys.c.key_id == row.key_id).values(wrapped=wrapped)
            )
        return len(rows)


def _sealed(cipher: AESGCM, plain: bytes, identity: bytes) -> bytes:
    nonce = os.urandom(NONCE)
    return nonce + cipher.encrypt(nonce, plain, identity)


def erase_owner(connection: Connection, vault: Vault, owner: str, now: int) -> Mapping[str, int]:
    """Delete every key, salt, payload and search word of ``owner``; ``{"keys": n, "payloads": n}``."""
    count = erase_payloads(connection, vault, payloads.c.owner == owner, now)
    count += connection.execute(
        update(pending).where(pending.c.owner == owner).values(owner=None, ciphertext=None)
    ).rowcount
    keys = connection.execute(
        update(subject_keys)
        .where(subject_keys.c.owner == owner, subject_keys.c.wrapped.is_not(None))
        .values(wrapped=None, erased_at=now)
    ).rowcount
    return {"keys": keys, "payloads": count}


def erase_payloads(connection: Connection, vault: Vault, which: ColumnElement[bool], now: int) -> int:
    """Delete payloads that match, with their salts and search words; returns how many."""
    living = which & payloads.c.erased_at.is_(None)
    indexed = connection.execute(select(payloads.c.seq).where(living, payloads.c.searchable)).scalars().all()
    opened = ((seq, vault.open(connection, search.read(connection, seq))) for seq in indexed)
    words.forget(connection, [(seq, payload) for seq, payload in opened if payload is not None])
    return connection.execute(
        update(payloads).where(living).values(owner="", ciphertext=None, erased_at=now)
    ).rowcount
