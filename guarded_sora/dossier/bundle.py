"""Put a dossier together: entries with their proofs, policy text, words where the role may read them.

Its form is what :mod:`guarded_sora.audit.verifier.dossier` checks. The last step is an entry of the log
over the manifest: a file that was exchanged afterwards does not fit it any more.
"""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson

from guarded_sora.audit import tree
from guarded_sora.audit.checkpoint import Checkpoint
from guarded_sora.audit.connections import reading
from guarded_sora.audit.entry import Entry, Event
from guarded_sora.audit.errors import AuditError
from guarded_sora.audit.tiles import TileCache, TileReader
from guarded_sora.dossier.contents import About, Contents, gather, parse_about
from guarded_sora.dossier.page import write_page
from guarded_sora.errors import MediaError, StoreError, UsageError
from guarded_sora.media.files import write_private
from guarded_sora.services import Services

FORM = "guarded-sora dossier 1"
_WITH_POLICY = ("regulator", "court")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dossier:
    """A dossier as it was written. ``seq`` is its seal in the log."""

    path: Path
    about: About
    role: str
    entries: int
    withheld: int
    payloads: int
    policies: tuple[str, ...]
    seq: int
    sha256: str


def make_dossier(
    services: Services, about: str, path: Path, *, role: str = "regulator", viewer: str
) -> Dossier:
    """Write the dossier of a clip, a case or a period to ``path``, a ``.zip``.

    Args:
        about: as :func:`parse_about` reads it.
        role: who it is for; see :data:`guarded_sora.dossier.ROLES`.
        viewer: the pseudonym of whoever makes it: every payload in it is logged as seen by them.

    Raises:
        UsageError: nothing of that name, an unknown role, too much, or ``path`` is no ``.zip``.
        MediaError: ``path`` cannot be written.
        StoreError: log or store refused.
    """
    if path.suffix != ".zip":
        raise UsageError(f"{path.name} must end in .zip: a dossier is one archive.")
    if not path.parent.is_dir():
        raise MediaError(f"The folder {path.parent} does not exist; make it first.")
    try:
        found = gather(services, parse_about(services, about), role)
        if not found.entries:
            raise UsageError(f"The log holds nothing about {about[:60]}.")
        payloads = _payloads(services, found, role, viewer)
        checkpoint = services.log.checkpoint()
        files = {
            "entries.jsonl": _lines(services, found.entries, checkpoint),
            "entries.checkpoint": checkpoint.note.encode(),
            "log.vkey": f"{services.log.vkey}\n".encode(),
        }
        policies, left_out = _policies(services, found, role, files)
        _credentials(services, found, files)
        if payloads:
            files["payloads.json"] = orjson.dumps(payloads, option=orjson.OPT_INDENT_2)
        files["page.html"] = write_page(
            services, found, role, checkpoint, payloads=payloads, policies=policies
        ).encode()
        manifest = _manifest(found, role, checkpoint, files, left_out, bool(payloads))
        seal = _seal(services, found, role, manifest, checkpoint, viewer)
    except AuditError as error:
        raise StoreError(f"The dossier could not be made: {error}") from error
    data = _archive({**files, "manifest.json": manifest, **seal.files})
    _write(path, data)
    return Dossier(
        path=path,
        about=found.about,
        role=role,
        entries=len(found.entries),
        withheld=found.withheld,
        payloads=len(payloads),
        policies=policies,
        seq=seal.seq,
        sha256=hashlib.sha256(data).hexdigest(),
    )


def _payloads(services: Services, found: Contents, role: str, viewer: str) -> dict[str, dict[str, str]]:
    """Words that the role may read, with the salts their commitments are checked with."""
    if found.sealed or (found.owners is not None and not found.owners):
        return {}
    opened: dict[str, dict[str, str]] = {}
    for entry in found.entries:
        if entry.payload is None or entry.subject in found.closed:
            continue
        if found.owners is not None and _owner(found, entry) not in found.owners:
            continue
        disclosed = services.log.disclose(entry.seq, viewer=viewer, reason=f"dossier for {role}")
        if disclosed is not None:
            salt, payload = disclosed
            opened[str(entry.seq)] = {
                "salt": base64.b64encode(salt).decode(),
                "payload": base64.b64encode(payload).decode(),
            }
    return opened


def _owner(found: Contents, entry: Entry) -> str:
    """Whose words an entry's payload holds: the case's owner, else whoever acted."""
    if entry.kind == "case.opened":
        return str(entry.body["owner"])
    if entry.kind.startswith(("case.", "notice.")):
        return ""  # notes of reviewers, and records of searches: for a court alone
    return entry.actor


def _lines(services: Services, entries: Sequence[Entry], checkpoint: Checkpoint) -> bytes:
    lines: list[bytes] = []
    with reading(services.engine) as connection:
        nodes = TileReader(connection, checkpoint.size, TileCache(256))
        for entry in entries:
            path = tree.inclusion_path(entry.seq, checkpoint.size, nodes)
            proof = orjson.dumps([base64.b64encode(item).decode() for item in path])
            lines.append(b'{"entry":%b,"proof":%b,"seq":%d}\n' % (entry.canonical, proof, entry.seq))
    return b"".join(lines)


def _policies(
    services: Services, found: Contents, role: str, files: dict[str, bytes]
) -> tuple[tuple[str, ...], list[str]]:
    """The text of every pack a decision rests on; which were put in, and which were left out."""
    digests = {
        str(entry.body["pack"]["digest"])
        for entry in found.entries
        if isinstance(entry.body.get("pack"), Mapping)
    }
    kept: list[str] = []
    for digest in sorted(digests):
        text = services.policy_texts.text(digest) if role in _WITH_POLICY else None
        if text is not None:
            kept.append(digest)
            files |= {f"policy/{digest}/{name}": data for name, data in text.items()}
    return tuple(kept), sorted(digests - set(kept))


def _credentials(services: Services, found: Contents, files: dict[str, bytes]) -> None:
    """The signed manifests of the clips: what they said of themselves when they were released."""
    for clip_id in found.clips:
        record = services.store.by_id(clip_id)
        manifest = (
            services.store.manifest(record.manifest_label) if record and record.manifest_label else None
        )
        if manifest is not None:
            files[f"credentials/{str(clip_id).replace(':', '-')}.c2pa"] = manifest


def _manifest(
    found: Contents,
    role: str,
    checkpoint: Checkpoint,
    files: Mapping[str, bytes],
    left_out: list[str],
    words: bool,
) -> bytes:
    document = {
        "form": FORM,
        "about": {"kind": found.about.kind, "id": found.about.id},
        "role": role,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "checkpoint": {"size": checkpoint.size, "root": base64.b64encode(checkpoint.root).decode()},
        "entries": len(found.entries),
        "withheld": found.withheld,
        "words": "opened" if words else "sealed" if found.sealed else "left out",
        "policies_left_out": left_out,
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())},
    }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seal:
    seq: int
    files: dict[str, bytes]


def _seal(
    services: Services, found: Contents, role: str, manifest: bytes, checkpoint: Checkpoint, viewer: str
) -> _Seal:
    event = Event(
        kind="dossier.made",
        actor=viewer,
        subject=found.about.id if found.about.kind != "period" else f"period {found.about.id}"[:200],
        body={
            "manifest_sha256": hashlib.sha256(manifest).hexdigest(),
            "role": role,
            "entries": len(found.entries),
        },
    )
    seq = services.log.append([event])[0].seq
    proof = services.log.prove(seq)
    size = int(proof.checkpoint.split("\n", 2)[1])
    path = services.log.prove_consistency(checkpoint.size, size).path
    steps = orjson.dumps([base64.b64encode(item).decode() for item in path])
    return _Seal(
        seq=seq,
        files={
            "seal/entry.json": proof.entry,
            "seal/proof.tlog-proof": proof.text().encode(),
            "seal/consistency.json": steps,
        },
    )


def _archive(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            item = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            item.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(item, data)
    return out.getvalue()


def _write(path: Path, data: bytes) -> None:
    try:
        # It may hold a person's words: for its maker alone until it is handed over.
        write_private(path, data)
    except OSError as error:
        raise MediaError(f"{path} cannot be written ({error.strerror}); choose another place.") from error
