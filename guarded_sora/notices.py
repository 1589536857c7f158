"""Notices from outside: taken in with a clock, searched for copies, acted on, answered.

A notice is a case of the review queue, of kind ``notice.CLAIM``. Deciding it ``block`` takes the film
and its copies down and keeps them down; ``allow`` leaves them. Everything that is done about it is an
event whose subject is the case, so that one look-up tells the story.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from guarded_sora.audit.case import Case
from guarded_sora.audit.entry import Event
from guarded_sora.audit.errors import AuditError
from guarded_sora.audit.notices import CLAIMS, COMPLAINANTS, Notice, NoticeDesk
from guarded_sora.copies import Copy, CopySearch, Wanted, find_copies, search_records
from guarded_sora.detectors.fingerprint import SecondHash, fingerprint
from guarded_sora.errors import MediaError, StoreError, UsageError
from guarded_sora.finish import look_at
from guarded_sora.progress import Progress, Silent
from guarded_sora.provenance.clip_id import ClipId
from guarded_sora.recovery import held_film
from guarded_sora.release import place
from guarded_sora.services import Services
from guarded_sora.verification import verify

PREFIX = "notice."
COPIES = "notice.copies"
LONGEST_STATEMENT = 20_000
_HASH_BYTES = 69  # second in milliseconds, quality, 32 bytes of frequencies, 32 of cells


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """What somebody tells us. Identity is optional: ``contact`` may be empty.

    ``claim`` and ``by`` as in :data:`~guarded_sora.audit.notices.CLAIMS` and ``COMPLAINANTS``.
    ``about``: words that name a clip by its id. ``upload``: the film itself, as the complainant has it.
    """

    claim: str
    by: str = "anybody"
    jurisdiction: str = "*"
    about: str = ""
    statement: str = ""
    contact: str = ""
    link: str = ""
    upload: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A notice as it was taken in, and the copies that were found at once."""

    notice: Notice
    wanted: Wanted
    found: CopySearch


def receive_notice(
    services: Services,
    complaint: Complaint,
    *,
    folders: Sequence[Path] = (),
    open_films: bool = True,
    progress: Progress | None = None,
) -> Received:
    """Open a case for a complaint, and look for copies of what it is about.

    Args:
        folders: where else films lie, beside the settings' ``libraries`` and this installation's own.
        open_films: False searches only store and log now; films are then opened with the decision.

    Raises:
        UsageError: the complaint names nothing that can be found: no clip of ours, no upload, no link.
        MediaError: the upload is no film that can be read.
        StoreError: log or store refused; nothing was taken in.
    """
    shown = progress or Silent()
    wanted = _target(services, complaint, shown)
    about = str(wanted.clip_id or wanted.file_sha256 or "elsewhere")
    now = time.time_ns() // 1_000_000
    try:
        notice = NoticeDesk(services.log, services.cases).receive(
            complaint.claim,
            about,
            by=complaint.by,
            jurisdiction=complaint.jurisdiction,
            statement=complaint.statement[:LONGEST_STATEMENT],
            contact=complaint.contact[:500],
            link=(complaint.link or complaint.about)[:2000],
            evidence={"file_sha256": wanted.file_sha256, "seconds": len(wanted.hashes)},
            attached={"hashes": pack_hashes(wanted.hashes)} if wanted.clip_id is None else {},
            now=now,
        )
    except AuditError as error:
        if error.code == "audit.entry_invalid":
            raise UsageError(str(error)) from error
        raise StoreError(f"The notice could not be taken in: {error}") from error
    if complaint.upload is not None:
        services.settings.held.mkdir(parents=True, exist_ok=True)
        place(complaint.upload, held_film(services, notice.case_id))
    if about == "elsewhere":
        return Received(notice=notice, wanted=wanted, found=CopySearch(copies=()))
    case = services.cases.show(notice.case_id)
    found = look_for_copies(services, case, wanted, folders=folders, open_films=open_films, progress=shown)
    return Received(notice=notice, wanted=wanted, found=found)


def look_for_copies(
    services: Services,
    case: Case,
    wanted: Wanted,
    *,
    folders: Sequence[Path] = (),
    open_films: bool = True,
    progress: Progress | None = None,
) -> CopySearch:
    """Search for copies and keep what was found with the case; paths and fingerprints encrypted."""
    if open_films:
        found = find_copies(services, wanted, (*services.settings.libraries, *folders), progress)
    else:
        found = search_records(services, wanted)
    # The upload that waits for the reviewer is the complaint's own film and no copy.
    own = held_film(services, case.case_id).resolve()
    kept = tuple(copy for copy in found.copies if copy.path is None or copy.path.resolve() != own)
    found = CopySearch(copies=kept, examined=found.examined, failed=found.failed)
    body = {
        "about": case.subject,
        "clips": sorted({str(copy.clip_id) for copy in kept if copy.clip_id and copy.place == "store"}),
        "copies": [
            {"place": copy.place, "by": copy.by, "file_sha256": copy.file_sha256} for copy in kept[:500]
        ],
        "total": len(kept),
        "examined": found.examined,
        "failed": len(found.failed),
        "opened": open_films,
    }
    _write(services, COPIES, case, body, payload=orjson.dumps([_pack(copy) for copy in kept]))
    return found


def wanted_of(services: Services, case: Case) -> Wanted:
    """The film that a notice is about."""
    try:
        clip_id = ClipId.parse(case.subject)
    except UsageError:
        data = services.cases.payload(case.case_id)
        words = orjson.loads(data) if data else {}
        sha256 = case.subject if len(case.subject) == 64 else None
        return Wanted(file_sha256=sha256, hashes=unpack_hashes(words.get("hashes", "")))
    record = services.store.by_id(clip_id)
    return Wanted(
        clip_id=clip_id,
        file_sha256=None if record is None else record.file_sha256,
        hashes=services.store.fingerprint(clip_id),
    )


def known_copies(services: Services, case: Case) -> tuple[Copy, ...] | None:
    """What all searches that opened films found; None when there was none, or they were erased.

    A later search may look in fewer folders: what an earlier one found is not forgotten for that.
    """
    entries = services.log.search(kind=COPIES, subject=case.case_id, limit=1000)
    opened = [services.log.payload(entry.seq) for entry in entries if entry.body["opened"]]
    if all(data is None for data in opened):
        return None
    found = (_unpack(item) for data in opened if data is not None for item in orjson.loads(data))
    return tuple({(copy.place, copy.path, copy.clip_id, copy.file_sha256): copy for copy in found}.values())


def answer_notice(services: Services, case_id: str, *, actor: str, text: str = "") -> str:
    """Record the answer to the complainant and return its words.

    Raises:
        UsageError: no such notice, or it is not decided.
    """
    try:
        case = services.cases.show(case_id)
        words = text or default_answer(case)
        NoticeDesk(services.log, services.cases).answer(case_id, actor=actor, text=words)
    except AuditError as error:
        raise UsageError(str(error)) from error
    return words


def default_answer(case: Case) -> str:
    """What a complainant is told, where nobody wrote something better."""
    day = time.strftime("%d %B %Y", time.gmtime(case.opened_ts / 1000))
    if case.action == "block":
        done = (
            "We found your notice right. The clip and the copies we know of were taken down, and this "
            "service refuses to make, protect or release it again."
        )
    else:
        done = "We looked at the clip and did not find that it breaks our rules or the law you named."
    reason = case.decisions[-1].reason_code if case.decisions else "none"
    return (
        f"Your notice of {day} about {case.subject} (number {case.case_id}) was decided by a person.\n"
        f"{done}\nReason: {reason}.\n"
        "If you do not agree, answer with this number: somebody who was not part of the decision will look "
        "at it again. You can also turn to an out-of-court dispute settlement body or to a court."
    )


def is_notice(case: Case) -> bool:
    """Whether a case came from outside."""
    return case.kind.startswith(PREFIX)


def pack_hashes(hashes: Sequence[SecondHash]) -> str:
    """Fingerprints as text."""
    rows = (
        round(item.second * 1000).to_bytes(4, "big")
        + item.quality.to_bytes(1, "big")
        + item.bits
        + (item.cells or bytes(32))
        for item in hashes
    )
    return base64.b64encode(b"".join(rows)).decode()


def unpack_hashes(text: str) -> tuple[SecondHash, ...]:
    """What :func:`pack_hashes` wrote."""
    data = base64.b64decode(text)
    rows = (data[at : at + _HASH_BYTES] for at in range(0, len(data), _HASH_BYTES))
    return tuple(
        SecondHash(
            second=int.from_bytes(row[:4], "big") / 1000, quality=row[4], bits=row[5:37], cells=row[37:]
        )
        for row in rows
    )


def write_event(services: Services, kind: str, case: Case, body: dict[str, Any], *, actor: str) -> int:
    """Append an event about a case; returns its place. Raises StoreError."""
    return _write(services, kind, case, body, actor=actor)


def _write(
    services: Services,
    kind: str,
    case: Case,
    body: dict[str, Any],
    *,
    actor: str = "system",
    payload: bytes | None = None,
) -> int:
    event = Event(kind=kind, actor=actor, subject=case.case_id, body=body, payload=payload, owner=case.owner)
    try:
        return services.log.append([event])[0].seq
    except AuditError as error:
        raise StoreError(f"The log did not take the record: {error}") from error


def _target(services: Services, complaint: Complaint, progress: Progress) -> Wanted:
    if complaint.claim not in CLAIMS or complaint.by not in COMPLAINANTS:
        raise UsageError(
            f"A notice claims one of {', '.join(CLAIMS)} and comes from one of {', '.join(COMPLAINANTS)}."
        )
    named = _named(services, complaint.about) or _named(services, complaint.link)
    if named is not None:
        record = services.store.by_id(named)
        return Wanted(
            clip_id=named,
            file_sha256=None if record is None else record.file_sha256,
            hashes=services.store.fingerprint(named),
        )
    if complaint.upload is not None:
        return _uploaded(services, complaint.upload, progress)
    if not (complaint.link.strip() or complaint.about.strip()):
        raise UsageError("Say which clip the notice is about: its id, a link, or the film itself.")
    return Wanted()


def _uploaded(services: Services, path: Path, progress: Progress) -> Wanted:
    # A clip of ours may be a few seconds of what was handed in.
    verdict = verify(services, path, depth="provenance", every_second=True, progress=progress)
    if verdict.verdict == "unreadable":
        raise MediaError(f"{path.name} is no film that can be read; send the film itself or its clip id.")
    if verdict.clip_id is not None and verdict.verdict != "tampered":
        record = services.store.by_id(verdict.clip_id)
        if record is not None:
            hashes = services.store.fingerprint(record.clip_id)
            return Wanted(clip_id=record.clip_id, file_sha256=record.file_sha256, hashes=hashes)
    return Wanted(file_sha256=verdict.sha256, hashes=fingerprint(look_at(path, services.worker)))


def _named(services: Services, words: str) -> ClipId | None:
    """The clip of ours that some words name."""
    for word in words[:5000].split():
        try:
            clip_id = ClipId.parse(word.strip(".,;()<>\"'"))
        except UsageError:
            continue
        if services.store.by_id(clip_id) is not None:
            return clip_id
    return None


def _pack(copy: Copy) -> dict[str, Any]:
    return {
        "place": copy.place,
        "by": copy.by,
        "clip_id": str(copy.clip_id) if copy.clip_id else None,
        "file_sha256": copy.file_sha256,
        "path": str(copy.path) if copy.path else None,
        "hashes": pack_hashes(copy.hashes),
    }


def _unpack(item: dict[str, Any]) -> Copy:
    return Copy(
        place=item["place"],
        by=item["by"],
        clip_id=ClipId.parse(item["clip_id"]) if item["clip_id"] else None,
        file_sha256=item["file_sha256"],
        path=Path(item["path"]) if item["path"] else None,
        hashes=unpack_hashes(item["hashes"]),
    )
