"""Dossiers: one archive with everything about a clip, a case or a period, bound to the signed log.

``manifest.json`` lists every file with its SHA-256; an entry ``dossier.made`` of the log holds the
SHA-256 of the manifest, so that nothing in the archive can be exchanged. Checked are: every file; every
entry against the signed root; that the seal continues the same log; that an opened payload is what its
entry commits to; that the policy text is the one a decision names by digest.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .exports import check_export
from .signed import CheckFailed, SignedTree, check_checkpoint, check_consistency, check_proof, hash_of

FORM = "guarded-sora dossier 1"
MANIFEST = "manifest.json"
MAX_FILES = 5_000
MAX_BYTES = 1 << 30
_SEAL = ("seal/entry.json", "seal/proof.tlog-proof", "seal/consistency.json")
_PACK = b"guarded-sora policy pack 1\n"


@dataclass(frozen=True)
class CheckedDossier:
    """What a dossier that holds has shown. ``index`` is the place of its seal in the log."""

    tree: SignedTree
    index: int
    entries: int
    payloads: int
    policies: tuple[str, ...]
    about: str
    role: str


def check_dossier(path: Path, vkey: str) -> CheckedDossier:
    """Check a dossier. Raises ``CheckFailed`` unless all of it holds, ``OSError`` when it cannot be read."""
    files = _read(path)
    manifest = _object(files, MANIFEST)
    if manifest.get("form") != FORM:
        raise CheckFailed(f"This is no dossier: its manifest must say {FORM!r}.")
    _check_files(files, manifest)
    tree, entries = _check_entries(files, vkey)
    index = _check_seal(files, tree, vkey)
    bodies = {int(entry["seq"]): entry["entry"] for entry in entries}
    payloads = _check_payloads(files, bodies)
    policies = _check_policies(files, manifest, bodies)
    about = manifest.get("about", {})
    return CheckedDossier(
        tree=tree,
        index=index,
        entries=len(bodies),
        payloads=payloads,
        policies=policies,
        about=f"{about.get('kind')} {about.get('id')}",
        role=str(manifest.get("role")),
    )


def _read(path: Path) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    left = MAX_BYTES
    try:
        with zipfile.ZipFile(path) as archive:
            items = archive.infolist()
            if len(items) > MAX_FILES:
                raise CheckFailed(f"The dossier has more than {MAX_FILES:,} files.")
            for item in items:
                if item.filename in files or item.is_dir():
                    raise CheckFailed("The dossier holds a folder, or two files of one name.")
                if item.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise CheckFailed(f"The file {item.filename} of the dossier is packed in another way.")
                with archive.open(item) as file:
                    # The size the archive states is the sender's word; what comes out counts.
                    data = file.read(left + 1)
                left -= len(data)
                if left < 0:
                    raise CheckFailed(f"The dossier holds more than {MAX_BYTES >> 20} MiB.")
                files[item.filename] = data
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
    ) as error:
        raise CheckFailed("The dossier is no archive that can be read; it was cut off or changed.") from error
    return files


def _object(files: Mapping[str, bytes], name: str) -> dict[str, Any]:
    try:
        value = json.loads(files[name])
    except (KeyError, ValueError, RecursionError) as error:
        raise CheckFailed(f"The dossier has no readable {name}.") from error
    if not isinstance(value, dict):
        raise CheckFailed(f"The file {name} of the dossier holds no JSON object.")
    return value


def _check_files(files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> None:
    listed = manifest.get("files")
    if not isinstance(listed, dict):
        raise CheckFailed("The manifest of the dossier lists no files.")
    there = set(files) - {MANIFEST, *_SEAL}
    for name in sorted(there ^ set(listed)):
        raise CheckFailed(
            f"The file {name} is {'not listed' if name in there else 'missing'} in the dossier."
        )
    for name, sha256 in listed.items():
        if hashlib.sha256(files[name]).hexdigest() != sha256:
            raise CheckFailed(f"The file {name} of the dossier was changed.")


def _check_entries(files: Mapping[str, bytes], vkey: str) -> tuple[SignedTree, list[dict[str, Any]]]:
    try:
        lines = files["entries.jsonl"].splitlines(keepends=True)
        note = files["entries.checkpoint"].decode()
    except (KeyError, UnicodeDecodeError) as error:
        raise CheckFailed("The dossier has no entries, or no checkpoint for them.") from error
    tree, _ = check_export(lines, note, vkey)
    return tree, [json.loads(line) for line in lines]


def _check_seal(files: Mapping[str, bytes], tree: SignedTree, vkey: str) -> int:
    """The manifest is the one the log sealed, in a tree that continues the one of the entries."""
    try:
        entry, proof, steps = (files[name] for name in _SEAL)
        text = proof.decode()
        path = [hash_of(item) for item in json.loads(steps)]
        document = json.loads(entry)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise CheckFailed("The dossier carries no readable seal.") from error
    checked = check_proof(text, entry, vkey)
    body = document.get("body") if isinstance(document, dict) else None
    sealed = body.get("manifest_sha256") if isinstance(body, dict) else None
    if document.get("kind") != "dossier.made" or sealed != hashlib.sha256(files[MANIFEST]).hexdigest():
        raise CheckFailed("The seal is not of this dossier: the log holds another manifest.")
    newer = check_checkpoint(text.partition("\n\n")[2], vkey)
    check_consistency(tree, newer, path)
    return checked.index


def _check_payloads(files: Mapping[str, bytes], entries: Mapping[int, Mapping[str, Any]]) -> int:
    """Every opened payload is what its entry commits to: HMAC-SHA256(salt, payload), and the length."""
    if "payloads.json" not in files:
        return 0
    opened = _object(files, "payloads.json")
    for name, item in opened.items():
        failed = CheckFailed(f"The payload of entry {name} is not what the entry commits to.")
        try:
            committed = entries[int(name)]["payload"]
            salt = base64.b64decode(item["salt"], validate=True)
            payload = base64.b64decode(item["payload"], validate=True)
            right = hmac.new(salt, payload, hashlib.sha256).hexdigest()
            if len(payload) != committed["length"] or not hmac.compare_digest(right, committed["hmac"]):
                raise failed
        except (KeyError, TypeError, ValueError, binascii.Error) as error:
            raise failed from error
    return len(opened)


def _check_policies(
    files: Mapping[str, bytes], manifest: Mapping[str, Any], entries: Mapping[int, Mapping[str, Any]]
) -> tuple[str, ...]:
    """The text under ``policy/DIGEST/`` has that digest, and some decision here rests on it."""
    packs: dict[str, dict[str, bytes]] = {}
    for name, data in files.items():
        if name.startswith("policy/"):
            _, digest, inner = name.split("/", 2) if name.count("/") >= 2 else ("", "", "")
            packs.setdefault(digest, {})[inner] = data
    named = {
        entry["body"]["pack"]["digest"]
        for entry in entries.values()
        if isinstance(entry.get("body"), dict) and isinstance(entry["body"].get("pack"), dict)
    }
    for digest, pack in packs.items():
        total = hashlib.sha256(_PACK)
        for name in sorted(pack):
            for part in (name.encode(), pack[name]):
                total.update(len(part).to_bytes(8, "big") + part)
        if total.hexdigest() != digest:
            raise CheckFailed(f"The policy text under policy/{digest[:12]} is not the one of that digest.")
        if digest not in named:
            raise CheckFailed(f"No decision in the dossier rests on the policy {digest[:12]}.")
    absent = set(manifest.get("policies_left_out", ())) | set(packs)
    if named - absent:
        raise CheckFailed(f"The policy text {min(named - absent)[:12]} is missing, and nothing says why.")
    return tuple(sorted(packs))
