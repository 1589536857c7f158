"""Entries: one event as canonical JSON, the bytes the tree is built over.

The JSON has sorted keys, no spaces, no floats, integers below 2^53 in magnitude and ASCII keys;
within these limits it equals RFC 8785 byte for byte. An entry has at most 65,535 bytes, because
the tile format stores its length in two bytes.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import orjson

from guarded_sora.audit.errors import EntryInvalid, LogCorrupt

MAX_ENTRY = 65_535
MAX_INT = 2**53 - 1
MAX_DEPTH = 32

_KIND = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)*")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def uuid7() -> str:
    """A new UUID of version 7: 48 bits of milliseconds, then random (RFC 9562)."""
    value = (time.time_ns() // 1_000_000 & (1 << 48) - 1) << 80 | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What a caller hands in.

    ``kind``: dotted lower-case name, at most 64 characters. ``actor`` and ``subject``: pseudonyms,
    at most 200 characters. ``body``: JSON without floats and without personal data. ``id``: UUID
    text; the same id is never written twice, so a failed append can be repeated with it.
    ``payload``: personal data, kept encrypted beside the log and erasable; ``owner`` says whose it
    is (default: the subject). ``searchable``: its words go, in clear, into the erasable search index.
    """

    kind: str
    actor: str
    subject: str
    body: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    id: str = field(default_factory=uuid7)
    payload: bytes | None = field(default=None, repr=False)
    owner: str | None = None
    searchable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Commitment:
    """What the leaf keeps of a payload: ``hmac`` = HMAC-SHA256(salt, payload) in hex, and its length."""

    hmac: str
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One event as it stands in the log. ``ts``: milliseconds since 1970, never smaller than the
    one before. ``canonical``: the exact bytes the leaf hash is taken over."""

    seq: int
    id: str
    ts: int
    kind: str
    actor: str
    subject: str
    body: Mapping[str, Any]
    payload: Commitment | None
    canonical: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Prepared:
    """An event ready to be written: everything but its time, which the writer sets under the lock.

    ``body``: canonical JSON. ``commitment``: 32 bytes of HMAC and 4 of length, or None.
    """

    event: Event
    id: bytes
    body: bytes
    head: bytes
    commitment: bytes | None
    salt: bytes | None

    def entry(self, ts: int) -> bytes:
        return b'%b,"ts":%d,"v":1}' % (self.head, ts)

    def owner(self) -> str:
        return self.event.subject if self.event.owner is None else self.event.owner


def canonical_head(
    identity: str, kind: str, actor: bytes, subject: bytes, body: bytes, commitment: bytes | None
) -> bytes:
    """The entry up to its time. ``actor``, ``subject`` and ``body`` are encoded already."""
    if commitment is None:
        return b'{"actor":%b,"body":%b,"id":"%b","kind":"%b","subject":%b' % (
            actor,
            body,
            identity.encode(),
            kind.encode(),
            subject,
        )
    return b'{"actor":%b,"body":%b,"id":"%b","kind":"%b","payload":{"hmac":"%b","length":%d},"subject":%b' % (
        actor,
        body,
        identity.encode(),
        kind.encode(),
        commitment[:32].hex().encode(),
        int.from_bytes(commitment[32:]),
        subject,
    )


def canonical(
    identity: bytes, ts: int, kind: str, actor: str, subject: str, body: bytes, commitment: bytes | None
) -> bytes:
    """The exact bytes of an entry from the columns of its row (version 1 of the form)."""
    head = canonical_head(
        id_text(identity), kind, orjson.dumps(actor), orjson.dumps(subject), body, commitment
    )
    return b'%b,"ts":%d,"v":1}' % (head, ts)


def id_text(identity: bytes) -> str:
    """16 bytes as UUID text."""
    text = identity.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def prepare(event: Event, commitment: Commitment | None = None, salt: bytes | None = None) -> Prepared:
    """Check ``event`` and encode it.

    Raises:
        EntryInvalid: a name, value or size the log does not take; the message says which.
    """
    if not isinstance(event.kind, str) or len(event.kind) > 64 or not _KIND.fullmatch(event.kind):
        raise EntryInvalid("An event's kind is a dotted lower-case name such as policy.decision.")
    _check_name("actor", event.actor)
    _check_name("subject", event.subject)
    if event.owner is not None:
        _check_name("owner", event.owner)
    if not isinstance(event.id, str) or not _UUID.fullmatch(event.id):
        raise EntryInvalid("An event's id is a UUID in lower-case text form.")
    if not isinstance(event.body, Mapping):
        raise EntryInvalid("An event's body is a mapping with text keys.")
    content = event.body if _is_plain(event.body, 1) else _plain(event.body, "body", 0)
    try:
        body = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
        actor, subject = orjson.dumps(event.actor), orjson.dumps(event.subject)
    except (TypeError, ValueError) as error:
        raise EntryInvalid(
            "The event holds text that is not valid Unicode; replace lone surrogates before logging it."
        ) from error
    kept = None
    if commitment is not None:
        kept = bytes.fromhex(commitment.hmac) + commitment.length.to_bytes(4)
    head = canonical_head(event.id, event.kind, actor, subject, body, kept)
    # 30 bytes are more than the time and the version can take.
    if len(head) + 30 > MAX_ENTRY:
        raise EntryInvalid(
            f"The event has {len(head):,} bytes and an entry at most {MAX_ENTRY:,}; "
            "put large data into its payload."
        )
    return Prepared(event, bytes.fromhex(event.id.replace("-", "")), body, head, kept, salt)


def _check_name(what: str, value: object) -> None:
    if not isinstance(value, str) or not 1 <= len(value) <= 200 or _CONTROL.search(value):
        raise EntryInvalid(f"An event's {what} is text of 1 to 200 characters without control characters.")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise EntryInvalid(f"An event's {what} must be valid Unicode.") from error


def _is_plain(value: Any, depth: int) -> bool:
    """Whether ``value`` can be encoded as it stands. The quick way for what nearly always comes;
    anything else takes :func:`_plain`, which converts it or says what is wrong with it."""
    kind = type(value)
    items: Iterable[Any]
    if kind is dict:
        for key in value:
            if type(key) is not str or not key.isascii():
                return False
        items = value.values()
    elif kind is list or kind is tuple:
        items = value
    else:
        return False
    for item in items:
        inner = type(item)
        if inner is str or item is None or inner is bool:
            continue
        if inner is int:
            if -MAX_INT <= item <= MAX_INT:
                continue
            return False
        if depth >= MAX_DEPTH or not _is_plain(item, depth + 1):
            return False
    return True


def _plain(value: Any, where: str, depth: int) -> Any:
    """``value`` in the plain types JSON has, or ``EntryInvalid`` naming the place."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is int:
        if not -MAX_INT <= value <= MAX_INT:
            raise EntryInvalid(f"{where} is an integer beyond 2^53; write it as text.")
        return value
    if depth >= MAX_DEPTH:
        raise EntryInvalid(f"{where} is nested deeper than {MAX_DEPTH} levels.")
    if isinstance(value, Mapping):
        plain = {}
        for key, item in value.items():
            if not isinstance(key, str) or not key.isascii():
                raise EntryInvalid(f"{where} has a key that is not ASCII text.")
            plain[str(key)] = _plain(item, f"{where}.{key}" if len(where) < 200 else where, depth + 1)
        return plain
    if isinstance(value, (list, tuple)):
        return [_plain(item, where, depth + 1) for item in value]
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float):
        raise EntryInvalid(f"{where} is a float; write it as an integer, for example in parts per million.")
    raise EntryInvalid(f"{where} is a {kind.__name__}, which an entry cannot hold.")


def from_row(row: Any) -> Entry:
    """The entry in a row of ``events``. Raises ``LogCorrupt`` when the row holds none."""
    try:
        commitment = row.payload
        body = orjson.loads(row.body)
        if type(body) is not dict or len(row.id) != 16 or (commitment is not None and len(commitment) != 36):
            raise ValueError
        return Entry(
            seq=row.seq,
            id=id_text(row.id),
            ts=row.ts,
            kind=row.kind,
            actor=row.actor,
            subject=row.subject,
            body=MappingProxyType(body),
            payload=None
            if commitment is None
            else Commitment(hmac=commitment[:32].hex(), length=int.from_bytes(commitment[32:])),
            canonical=row_bytes(row),
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise LogCorrupt(
            f"The row events.seq={row.seq} does not hold an entry; the database was changed."
        ) from error


def row_bytes(row: Any) -> bytes:
    """The canonical bytes of the entry in a row of ``events``."""
    try:
        return canonical(row.id, row.ts, row.kind, row.actor, row.subject, row.body, row.payload)
    except (ValueError, TypeError, AttributeError) as error:
        raise LogCorrupt(
            f"The row events.seq={row.seq} does not hold an entry; the database was changed."
        ) from error


def same_event(row: Any, prepared: Prepared) -> bool:
    """Whether ``row`` is the event that ``prepared`` would write again (time and salt aside)."""
    event = prepared.event
    stored = None if row.payload is None else row.payload[32:]
    again = None if prepared.commitment is None else prepared.commitment[32:]
    return (row.kind, row.actor, row.subject, bytes(row.body), stored) == (
        event.kind,
        event.actor,
        event.subject,
        prepared.body,
        again,
    )
