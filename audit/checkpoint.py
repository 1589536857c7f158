"""Checkpoints: the signed size and root of the tree, as C2SP signed notes with Ed25519.

Text of a note: origin, size and base64 root, one a line; a blank line; one signature a line.
Formats: c2sp.org/signed-note, c2sp.org/tlog-checkpoint.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from guarded_sora.audit.errors import EntryInvalid, ProofInvalid

ED25519 = b"\x01"
DASH = "\u2014 "
ORIGIN = re.compile(r"[!-*,-~]{1,200}")
"""An origin is printable ASCII without spaces and without '+', which the key text uses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """``root`` is the RFC 6962 root of the first ``size`` entries; ``note`` the signed text."""

    origin: str
    size: int
    root: bytes
    note: str


def key_id(name: str, public: bytes) -> bytes:
    """The 4 bytes that tell a signature line which key made it."""
    return sha256(name.encode() + b"\n" + ED25519 + public).digest()[:4]


def vkey(origin: str, public: Ed25519PublicKey) -> str:
    """The verification key as text, to be handed to auditors: ``name+id+base64``."""
    raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return f"{origin}+{key_id(origin, raw).hex()}+{base64.b64encode(ED25519 + raw).decode()}"


class Signer:
    """Signs checkpoints of one origin. The key never leaves the caller's object."""

    def __init__(self, origin: str, key: Ed25519PrivateKey) -> None:
        if not ORIGIN.fullmatch(origin):
            raise EntryInvalid(
                "Give the log an origin of 1 to 200 printable ASCII characters without spaces and '+'."
            )
        self.origin = origin
        self._key = key
        self._id = key_id(origin, key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
        self.vkey = vkey(origin, key.public_key())

    def sign(self, size: int, root: bytes) -> Checkpoint:
        text = f"{self.origin}\n{size}\n{base64.b64encode(root).decode()}\n"
        signature = base64.b64encode(self._id + self._key.sign(text.encode())).decode()
        note = f"{text}\n{DASH}{self.origin} {signature}\n"
        return Checkpoint(origin=self.origin, size=size, root=root, note=note)


def parse_vkey(text: str) -> tuple[str, bytes, Ed25519PublicKey]:
    """``(name, key id, key)`` of a verification key; ``ProofInvalid`` when it is none."""
    try:
        name, identity, encoded = text.strip().split("+", 2)
        raw = base64.b64decode(encoded, validate=True)
        if raw[:1] != ED25519 or key_id(name, raw[1:]).hex() != identity:
            raise ValueError
        return name, bytes.fromhex(identity), Ed25519PublicKey.from_public_bytes(raw[1:])
    except (ValueError, binascii.Error) as error:
        raise ProofInvalid(
            "This is no Ed25519 verification key; it reads name+id+base64 on one line."
        ) from error


def open_note(note: str, key: str) -> Checkpoint:
    """The checkpoint in ``note`` if the key whose text is ``key`` signed it, else ``ProofInvalid``."""
    name, identity, public = parse_vkey(key)
    text, blank, signatures = note.rpartition("\n\n")
    if not blank:
        raise ProofInvalid("This checkpoint has no signature lines.")
    text += "\n"
    for line in signatures.splitlines():
        signer, _, encoded = line.removeprefix(DASH).partition(" ")
        if not line.startswith(DASH) or signer != name:
            continue
        try:
            raw = base64.b64decode(encoded, validate=True)
            if raw[:4] == identity:
                public.verify(raw[4:], text.encode())
                break
        except (binascii.Error, ValueError, InvalidSignature) as error:
            raise ProofInvalid(f"The signature of {name} on this checkpoint does not hold.") from error
    else:
        raise ProofInvalid(f"This checkpoint carries no signature of {name}.")
    return read_note(note)


def read_note(note: str) -> Checkpoint:
    """Read origin, size and root without looking at signatures."""
    lines = note.split("\n")
    try:
        if len(lines) < 4 or not lines[0] or not re.fullmatch(r"0|[1-9][0-9]{0,18}", lines[1]):
            raise ValueError
        root = base64.b64decode(lines[2], validate=True)
        if len(root) != 32:
            raise ValueError
    except (ValueError, binascii.Error) as error:
        raise ProofInvalid("This is no checkpoint: origin, size and root must stand on its lines.") from error
    return Checkpoint(origin=lines[0], size=int(lines[1]), root=root, note=note)
