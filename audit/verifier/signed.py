"""Signed checkpoints, inclusion and consistency: the hashing every other check here rests on."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

HEADER = "c2sp.org/tlog-proof@v1"
NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
MAX_FILE = 1_000_000
MAX_ENTRY = 65_535


class CheckFailed(Exception):
    """The proof does not hold; the message says which part."""


@dataclass(frozen=True)
class Checked:
    """What a proof that holds has shown: this entry stands at ``index`` of ``origin``'s log of ``size``."""

    origin: str
    index: int
    size: int
    root: bytes
    leaf: bytes


@dataclass(frozen=True)
class SignedTree:
    """A checkpoint whose signature holds."""

    origin: str
    size: int
    root: bytes


def check_proof(proof_text: str, entry: bytes, vkey: str) -> Checked:
    """Check an inclusion proof. Raises ``CheckFailed`` unless every part of it holds."""
    if len(proof_text) > MAX_FILE:
        raise CheckFailed("The proof file is too large to be a proof.")
    if len(entry) > MAX_ENTRY:
        raise CheckFailed(f"The entry has more than {MAX_ENTRY:,} bytes.")
    head, blank, note = proof_text.partition("\n\n")
    lines = head.split("\n")
    if not blank or lines[0] != HEADER:
        raise CheckFailed(f"This is no proof file: its first line must be {HEADER}.")
    rest = lines[1:]
    if rest and rest[0].startswith("extra "):
        rest = rest[1:]
    if not rest or not rest[0].startswith("index ") or not NUMBER.fullmatch(rest[0][6:]):
        raise CheckFailed("The proof does not say which entry it is about.")
    index = int(rest[0][6:])
    path = [hash_of(line) for line in rest[1:]]
    tree = check_checkpoint(note, vkey)
    leaf = hashlib.sha256(b"\x00" + entry).digest()
    if climb(index, tree.size, leaf, path) != tree.root:
        raise CheckFailed("The entry is not in this log: its hash does not lead to the signed root.")
    return Checked(origin=tree.origin, index=index, size=tree.size, root=tree.root, leaf=leaf)


def check_checkpoint(note: str, vkey: str) -> SignedTree:
    """Check a signed checkpoint against a verification key. Raises ``CheckFailed``."""
    name, identity, public = _read_key(vkey)
    at = note.rfind("\n\n")
    if at < 0:
        raise CheckFailed("The checkpoint carries no signature.")
    text, signatures = note[: at + 1], note[at + 2 :].splitlines()
    if not any(_signed(line, name, identity, public, text.encode()) for line in signatures):
        raise CheckFailed("The signature of the checkpoint does not hold for this key.")
    lines = text.split("\n")
    if len(lines) < 4 or lines[0] != name or not NUMBER.fullmatch(lines[1]):
        raise CheckFailed("The signed text is no checkpoint of the log this key belongs to.")
    return SignedTree(origin=lines[0], size=int(lines[1]), root=hash_of(lines[2]))


def check_consistency(old: SignedTree, new: SignedTree, path: Sequence[bytes]) -> None:
    """Check that ``new`` only added to ``old`` (RFC 9162, 2.1.4.2). Raises ``CheckFailed``."""
    failed = CheckFailed(
        f"The log of {new.size} entries does not continue the log of {old.size}: it was rewritten."
    )
    if old.origin != new.origin or old.size > new.size:
        raise failed
    if old.size in (0, new.size):
        if path or (old.size == new.size and old.root != new.root):
            raise failed
        return
    steps = list(path)
    if not old.size & (old.size - 1):
        steps.insert(0, old.root)
    if not steps:
        raise failed
    fn, sn = old.size - 1, new.size - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = steps[0]
    for step in steps[1:]:
        if sn == 0:
            raise failed
        if fn & 1 or fn == sn:
            fr, sr = parent(step, fr), parent(step, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = parent(sr, step)
        fn, sn = fn >> 1, sn >> 1
    if sn or fr != old.root or sr != new.root:
        raise failed


def climb(index: int, size: int, leaf: bytes, path: Sequence[bytes]) -> bytes:
    """The root that ``path`` leads to from ``leaf`` (RFC 9162, 2.1.3.2)."""
    if index >= size:
        raise CheckFailed(f"The proof is about entry {index}, but the checkpoint covers only {size}.")
    fn, sn, root = index, size - 1, leaf
    for step in path:
        if sn == 0:
            raise CheckFailed("The proof has more hashes than its tree has levels.")
        if fn & 1 or fn == sn:
            root = parent(step, root)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            root = parent(root, step)
        fn, sn = fn >> 1, sn >> 1
    if sn:
        raise CheckFailed("The proof has fewer hashes than its tree has levels.")
    return root


def parent(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def hash_of(line: str) -> bytes:
    try:
        raw = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 32:
        raise CheckFailed("The proof or its checkpoint holds a line that is no hash.")
    return raw


def _read_key(vkey: str) -> tuple[str, bytes, Ed25519PublicKey]:
    try:
        name, identity, encoded = vkey.strip().split("+", 2)
        raw = base64.b64decode(encoded, validate=True)
        expected = hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4]
        if raw[:1] != b"\x01" or bytes.fromhex(identity) != expected:
            raise ValueError
        return name, expected, Ed25519PublicKey.from_public_bytes(raw[1:])
    except (ValueError, binascii.Error) as error:
        raise CheckFailed("The key is no Ed25519 verification key of the form name+id+base64.") from error


def _signed(line: str, name: str, identity: bytes, public: Ed25519PublicKey, text: bytes) -> bool:
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != "\u2014" or parts[1] != name:
        return False
    try:
        raw = base64.b64decode(parts[2], validate=True)
        if raw[:4] != identity:
            return False
        public.verify(raw[4:], text)
    except (binascii.Error, ValueError, InvalidSignature):
        return False
    return True


def read_small(path: str | Path) -> bytes:
    """A file that is small when it is what it should be; one byte too many shows that it is not."""
    with Path(path).open("rb") as file:
        return file.read(MAX_FILE + 1)
