"""Taking checkpoints out of the database, where nobody who owns it can reach them any more.

Inside its database a log cannot show that it was rolled back to an older copy. A checkpoint that lies
elsewhere can: in an append-only file, at a web address, or with a witness who signs it too.
"""

from __future__ import annotations

import base64
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from guarded_sora.audit.checkpoint import DASH, Checkpoint
from guarded_sora.audit.connections import reading, writing
from guarded_sora.audit.errors import FileFailed, ProofInvalid
from guarded_sora.audit.log import AuditLog
from guarded_sora.audit.tables import cosignatures

COSIGNATURE = b"\x04"
SECONDS = 10.0

Post = Callable[[str, bytes], tuple[int, str, str]]
"""``post(url, body) -> (status, content type, text)``."""


class Publisher(Protocol):
    """Where checkpoints go."""

    def publish(self, checkpoint: Checkpoint) -> None:
        """Keep the checkpoint. Raises ``FileFailed``."""


class FilePublisher:
    """Appends every checkpoint to one file: put it on another disk, or on one that only appends."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def publish(self, checkpoint: Checkpoint) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                file.write(checkpoint.note.encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise FileFailed(
                f"The checkpoint could not be written to {self.path} ({error.strerror})."
            ) from error

    def read(self) -> list[str]:
        """Every checkpoint in the file, for ``verify(published=...)``; a last one cut off is left out."""
        try:
            text = self.path.read_text(encoding="utf-8")
        except OSError as error:
            raise FileFailed(f"{self.path} cannot be read ({error.strerror}).") from error
        return [note for note in split_notes(text) if _is_whole(note)]


def split_notes(text: str) -> list[str]:
    """The checkpoints in a text that holds one or many, as :class:`FilePublisher` writes them."""
    parts = text.split("\n\n")
    notes = [f"{head}\n\n{lines.rstrip()}\n" for head, lines in zip(parts[::2], parts[1::2], strict=False)]
    return notes or [text]


def _is_whole(note: str) -> bool:
    _, blank, lines = note.partition("\n\n")
    return bool(blank) and lines.startswith(DASH)


class HttpPublisher:
    """Sends every checkpoint as the body of a POST."""

    def __init__(self, url: str, post: Post | None = None) -> None:
        self.url = _checked(url)
        self._post = post or _post

    def publish(self, checkpoint: Checkpoint) -> None:
        status, _, _ = self._post(self.url, checkpoint.note.encode())
        if not 200 <= status < 300:
            raise FileFailed(f"{self.url} answered {status} to the checkpoint; it was not published.")


class ObjectStorePublisher:
    """Puts every checkpoint into an object store of its own name, locked until its retention ends.

    ``client`` speaks S3 (``put_object``, ``head_object``), such as boto3's. The lock is in compliance
    mode: nobody, the account's owner included, can delete or overwrite the object before its time. A
    bucket made without object lock refuses, and a store that takes the object without locking it is
    found out by asking.
    """

    def __init__(self, client: Any, bucket: str, prefix: str = "", *, days: int = 365) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix
        self._days = days

    @classmethod
    def at(cls, place: str, *, days: int = 365, endpoint: str | None = None) -> ObjectStorePublisher:
        """For ``BUCKET/PREFIX``, with boto3 and the credentials it finds. Raises ``FileFailed``."""
        try:
            import boto3
        except ImportError as error:
            raise FileFailed(
                "Publishing to an object store needs boto3; install guarded-sora[objects]."
            ) from error
        bucket, _, prefix = place.removeprefix("s3://").partition("/")
        try:
            client = boto3.client("s3", endpoint_url=endpoint)
        except Exception as error:
            raise FileFailed(
                f"No client for the object store could be made ({type(error).__name__}); check its settings."
            ) from error
        return cls(client, bucket, prefix, days=days)

    def publish(self, checkpoint: Checkpoint) -> None:
        # Zero-padded, so that a listing runs in the order of the log; the root keeps two logs apart.
        name = f"{self._prefix}{checkpoint.size:019d}-{checkpoint.root.hex()[:16]}.checkpoint"
        until = datetime.now(UTC) + timedelta(days=self._days)
        try:
            self._client.put_object(
                Bucket=self._bucket,
                Key=name,
                Body=checkpoint.note.encode(),
                ContentType="text/plain; charset=utf-8",
                ChecksumAlgorithm="SHA256",
                ObjectLockMode="COMPLIANCE",
                ObjectLockRetainUntilDate=until,
            )
            kept = self._client.head_object(Bucket=self._bucket, Key=name)
        except Exception as error:
            raise FileFailed(
                f"The object store did not take the checkpoint ({type(error).__name__}); check that the "
                "bucket was made with object lock and that this account may write to it."
            ) from error
        held = kept.get("ObjectLockRetainUntilDate")
        if kept.get("ObjectLockMode") != "COMPLIANCE" or held is None or held < until - timedelta(minutes=5):
            raise FileFailed(
                "The object store took the checkpoint without locking it; use a bucket made with object lock."
            )


class Witness:
    """A third party that signs checkpoints it found consistent with the last one it saw (tlog-witness)."""

    def __init__(self, log: AuditLog, url: str, vkey: str, post: Post | None = None) -> None:
        self._log = log
        self._url = _checked(url).rstrip("/") + "/add-checkpoint"
        self._name, self._id, self._key = _witness_key(vkey)
        self._post = post or _post
        self._seen = 0

    def cosign(self, checkpoint: Checkpoint) -> str:
        """Ask for a cosignature, check it, keep it, and return the note with it.

        Raises ``ProofInvalid`` when the witness refuses or its signature does not hold, ``FileFailed``
        when it cannot be reached.
        """
        for _ in range(2):
            path = self._log.prove_consistency(self._seen, checkpoint.size).path
            proof = "".join(base64.b64encode(item).decode() + "\n" for item in path)
            body = f"old {self._seen}\n{proof}\n{checkpoint.note}".encode()
            status, kind, text = self._post(self._url, body)
            if status == 200:
                line = self._check(checkpoint, text)
                self._keep(checkpoint.size, line)
                self._seen = checkpoint.size
                return f"{checkpoint.note}{line}\n"
            told = text.strip()
            if status == 409 and kind.startswith("text/x.tlog.size") and told.isascii() and told.isdecimal():
                # The witness knows another size than we remember; it tells which.
                self._seen = int(told)
                continue
            break
        reason = {
            403: "does not trust this key",
            404: "does not know this log",
            422: "found the log rewritten",
        }
        raise ProofInvalid(
            f"The witness {self._name} {reason.get(status, f'answered {status}')}; nothing was cosigned."
        )

    def _check(self, checkpoint: Checkpoint, text: str) -> str:
        body = checkpoint.note.split("\n\n")[0] + "\n"
        for line in text.splitlines():
            name, _, encoded = line.removeprefix(DASH).partition(" ")
            if not line.startswith(DASH) or name != self._name:
                continue
            try:
                raw = base64.b64decode(encoded, validate=True)
                if len(raw) == 76 and raw[:4] == self._id:
                    stamp = int.from_bytes(raw[4:12])
                    self._key.verify(raw[12:], f"cosignature/v1\ntime {stamp}\n{body}".encode())
                    return line
            except (ValueError, InvalidSignature):
                continue
        raise ProofInvalid(f"The witness {self._name} sent no signature that holds.")

    def _keep(self, size: int, line: str) -> None:
        with reading(self._log.engine) as connection:
            where = (cosignatures.c.size == size, cosignatures.c.name == self._name)
            if connection.execute(select(cosignatures.c.size).where(*where)).first() is not None:
                return
        row = {"size": size, "name": self._name, "ts": time.time_ns() // 1_000_000, "line": line}
        # Another process may keep the same one at this moment; one of the two is enough.
        with suppress(IntegrityError), writing(self._log.engine) as connection:
            connection.execute(insert(cosignatures).values(row))


def _witness_key(vkey: str) -> tuple[str, bytes, Ed25519PublicKey]:
    import binascii
    from hashlib import sha256

    try:
        name, identity, encoded = vkey.strip().split("+", 2)
        raw = base64.b64decode(encoded, validate=True)
        expected = sha256(name.encode() + b"\n" + raw).digest()[:4]
        if raw[:1] != COSIGNATURE or bytes.fromhex(identity) != expected:
            raise ValueError
        return name, expected, Ed25519PublicKey.from_public_bytes(raw[1:])
    except (ValueError, binascii.Error) as error:
        raise ProofInvalid("This is no witness key for cosignatures; it reads name+id+base64.") from error


def _checked(url: str) -> str:
    if not url.startswith(("https://", "http://")):
        raise FileFailed("Checkpoints are sent to an http or https address.")
    return url


def _post(url: str, body: bytes) -> tuple[int, str, str]:
    request = urllib.request.Request(url, data=body, method="POST", headers={"content-type": "text/plain"})  # noqa: S310
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=SECONDS) as answer:
            return (
                answer.status,
                answer.headers.get("content-type", ""),
                answer.read(65_536).decode("utf-8", "replace"),
            )
    except urllib.error.HTTPError as error:
        return (
            error.code,
            error.headers.get("content-type", ""),
            error.read(65_536).decode("utf-8", "replace"),
        )
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise FileFailed(
            f"{url} could not be reached ({type(error).__name__}); the checkpoint waits."
        ) from error


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST goes on as a GET without its body: its 200 would count as published."""

    def redirect_request(self, *_: Any) -> None:
        return None
