"""Stand-alone check: is this entry, this export or this whole tile tree what this key signs?

Needs the standard library and ``cryptography`` alone, loads nothing else of this project, and
shares no code with the part that makes proofs. Run it as::

    python -m guarded_sora.audit.verifier PROOF --entry FILE --key FILE     one proof
    python -m guarded_sora.audit.verifier EXPORT.jsonl --key FILE           an export of entries
    python -m guarded_sora.audit.verifier FOLDER --key FILE                 a tree of static tiles

Exit status 0: it holds; 1: it does not; 2: the call is wrong.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import json
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_HEADER = "c2sp.org/tlog-proof@v1"
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
_LINE = re.compile(rb'\{"entry":(\{.*\}),"proof":(\[[A-Za-z0-9+/=",]*\]),"seq":(0|[1-9][0-9]{0,18})\}\n')
_MAX_PROOF = 1_000_000
_MAX_ENTRY = 65_535


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
    if len(proof_text) > _MAX_PROOF:
        raise CheckFailed("The proof file is too large to be a proof.")
    if len(entry) > _MAX_ENTRY:
        raise CheckFailed(f"The entry has more than {_MAX_ENTRY:,} bytes.")
    head, blank, note = proof_text.partition("\n\n")
    lines = head.split("\n")
    if not blank or lines[0] != _HEADER:
        raise CheckFailed(f"This is no proof file: its first line must be {_HEADER}.")
    rest = lines[1:]
    if rest and rest[0].startswith("extra "):
        rest = rest[1:]
    if not rest or not rest[0].startswith("index ") or not _NUMBER.fullmatch(rest[0][6:]):
        raise CheckFailed("The proof does not say which entry it is about.")
    index = int(rest[0][6:])
    path = [_hash_of(line) for line in rest[1:]]
    tree = check_checkpoint(note, vkey)
    leaf = hashlib.sha256(b"\x00" + entry).digest()
    if _climb(index, tree.size, leaf, path) != tree.root:
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
    if len(lines) < 4 or lines[0] != name or not _NUMBER.fullmatch(lines[1]):
        raise CheckFailed("The signed text is no checkpoint of the log this key belongs to.")
    return SignedTree(origin=lines[0], size=int(lines[1]), root=_hash_of(lines[2]))


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
            fr, sr = _parent(step, fr), _parent(step, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = _parent(sr, step)
        fn, sn = fn >> 1, sn >> 1
    if sn or fr != old.root or sr != new.root:
        raise failed


def check_export(lines: Iterable[bytes], note: str, vkey: str) -> tuple[SignedTree, int]:
    """Check every line of a JSONL export against its checkpoint; returns the tree and how many lines.

    Shows that every entry stands in the log; a selection cannot show that nothing was left out.
    """
    tree = check_checkpoint(note, vkey)
    count, last = 0, -1
    for number, line in enumerate(lines, 1):
        where = f"Line {number} of the export"
        found = _LINE.fullmatch(line)
        if found is None or len(found[1]) > _MAX_ENTRY:
            raise CheckFailed(f"{where} is no exported entry.")
        index = int(found[3])
        path = [_hash_of(item) for item in json.loads(found[2])]
        leaf = hashlib.sha256(b"\x00" + found[1]).digest()
        if index <= last or _climb(index, tree.size, leaf, path) != tree.root:
            raise CheckFailed(f"{where} is not in this log: its hash does not lead to the signed root.")
        count, last = count + 1, index
    return tree, count


def check_tiles(folder: Path, vkey: str) -> SignedTree:
    """Check a whole static tile tree: entries against leaves, leaves against every tile and the root."""
    tree = check_checkpoint(_read(str(folder / "checkpoint")).decode(), vkey)
    row: list[bytes] = []
    minimum = _minimum(folder)
    for index, width in _tiles_of(tree.size):
        if (index + 1) << 8 <= minimum:
            tile = _tile(folder, "0", index, width)
            row.extend(tile[at : at + 32] for at in range(0, len(tile), 32))
            continue
        where = f"entries {index << 8} to {(index << 8) + width - 1}"
        leaves = [hashlib.sha256(b"\x00" + entry).digest() for entry in _entries(folder, index, width)]
        if len(leaves) != width:
            raise CheckFailed(f"The bundle with {where} does not hold as many as it should.")
        tile = _tile(folder, "0", index, width)
        for at, leaf in enumerate(leaves):
            if tile[32 * at : 32 * at + 32] != leaf:
                raise CheckFailed(f"Entry {(index << 8) + at} is not the one its tile holds: it was changed.")
        row.extend(leaves)
    edge: list[bytes] = []
    level = 0
    while row:
        whole = len(row) >> 8
        edge = [*_peaks(row[whole << 8 :]), *edge]
        above = []
        for index in range(whole):
            top = _peaks(row[index << 8 : (index + 1) << 8])
            above.extend(top)
        row, level = above, level + 1
        for index, width in _tiles_of(len(row)):
            if _tile(folder, str(level), index, width) != b"".join(row[index << 8 : (index << 8) + width]):
                raise CheckFailed(
                    f"Tile {index} of level {level} does not hold the hashes of those below it."
                )
    root = hashlib.sha256(b"").digest()
    if edge:
        root = edge[-1]
        for left in reversed(edge[:-1]):
            root = _parent(left, root)
    if root != tree.root:
        raise CheckFailed("The tiles do not lead to the signed root.")
    return tree


def _minimum(folder: Path) -> int:
    """Entries below this were pruned by the log's owner; their hashes must still lead to the root."""
    path = folder / "minimum"
    text = path.read_text().strip() if path.exists() else "0"
    if not _NUMBER.fullmatch(text):
        raise CheckFailed("The file minimum holds no number.")
    return int(text)


def _tiles_of(size: int) -> Iterable[tuple[int, int]]:
    """``(index, width)`` of every tile in a row of ``size`` hashes."""
    return ((index, min(256, size - (index << 8))) for index in range((size + 255) >> 8))


def _peaks(row: list[bytes]) -> list[bytes]:
    """Roots of the perfect trees that ``row`` falls into, largest first."""
    peaks: list[bytes] = []
    for at, leaf in enumerate(row):
        peaks.append(leaf)
        while at & 1:
            right = peaks.pop()
            peaks[-1] = _parent(peaks[-1], right)
            at >>= 1
    return peaks


def _tile_name(index: int, width: int) -> str:
    name = f"{index % 1000:03d}"
    while index := index // 1000:
        name = f"x{index % 1000:03d}/{name}"
    return name if width == 256 else f"{name}.p/{width}"


def _tile(folder: Path, level: str, index: int, width: int) -> bytes:
    path = folder / "tile" / level / _tile_name(index, width)
    data = path.read_bytes()
    if len(data) != 32 * width:
        raise CheckFailed(f"The file {path.relative_to(folder)} has the wrong length.")
    return data


def _entries(folder: Path, index: int, width: int) -> Iterable[bytes]:
    data = (folder / "tile" / "entries" / _tile_name(index, width)).read_bytes()
    at = 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 2], "big")
        if at + 2 + length > len(data):
            raise CheckFailed(f"The bundle of entries from {index << 8} on is cut off.")
        yield data[at + 2 : at + 2 + length]
        at += 2 + length


def _climb(index: int, size: int, leaf: bytes, path: Sequence[bytes]) -> bytes:
    """The root that ``path`` leads to from ``leaf`` (RFC 9162, 2.1.3.2)."""
    if index >= size:
        raise CheckFailed(f"The proof is about entry {index}, but the checkpoint covers only {size}.")
    fn, sn, root = index, size - 1, leaf
    for step in path:
        if sn == 0:
            raise CheckFailed("The proof has more hashes than its tree has levels.")
        if fn & 1 or fn == sn:
            root = _parent(step, root)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            root = _parent(root, step)
        fn, sn = fn >> 1, sn >> 1
    if sn:
        raise CheckFailed("The proof has fewer hashes than its tree has levels.")
    return root


def _parent(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _hash_of(line: str) -> bytes:
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


def _read(path: str) -> bytes:
    with Path(path).open("rb") as file:
        return file.read(_MAX_PROOF + 1)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; prints one JSON object and returns the exit status."""
    parser = argparse.ArgumentParser(prog="verifier", description="Check offline what a log has signed.")
    parser.add_argument("path", help="a .tlog-proof file, a .jsonl export, or a folder of tiles")
    parser.add_argument("--entry", help="the entry's bytes, as exported; for a proof")
    parser.add_argument("--key", required=True, help="file with the log's verification key")
    options = parser.parse_args(arguments)
    folder, export = Path(options.path).is_dir(), options.path.endswith(".jsonl")
    if not folder and not export and options.entry is None:
        parser.error("a proof needs --entry, the file with the entry it is about")
    try:
        key = _read(options.key).decode()
        if folder:
            tree = check_tiles(Path(options.path), key)
            answer: dict[str, int | str] = {"entries": tree.size}
        elif export:
            note = _read(options.path + ".checkpoint").decode()
            with Path(options.path).open("rb") as file:
                tree, count = check_export(file, note, key)
            answer = {"entries": count}
        else:
            checked = check_proof(_read(options.path).decode(), _read(options.entry), key)
            tree = SignedTree(origin=checked.origin, size=checked.size, root=checked.root)
            answer = {"index": checked.index, "leaf": base64.b64encode(checked.leaf).decode()}
    except CheckFailed as error:
        print(json.dumps({"holds": False, "reason": str(error)}))
        return 1
    except UnicodeDecodeError:
        print(json.dumps({"holds": False, "reason": "The proof, checkpoint or key is not a text file."}))
        return 1
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    root = base64.b64encode(tree.root).decode()
    print(json.dumps({"holds": True, "origin": tree.origin, "size": tree.size, "root": root, **answer}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
