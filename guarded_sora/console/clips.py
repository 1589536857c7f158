"""The clip page: what the store and the log know of one clip, with the proof of its outcome."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, RedirectResponse, Response

from guarded_sora.audit.verifier import CheckFailed, check_proof
from guarded_sora.console.light import light
from guarded_sora.console.logs import tone
from guarded_sora.console.render import page
from guarded_sora.console.session import Person, sees
from guarded_sora.errors import MediaError, UsageError
from guarded_sora.provenance.clip_id import ClipId
from guarded_sora.server.pool import film_path
from guarded_sora.server.previews import Sheet, spritesheet
from guarded_sora.server.problems import Problem
from guarded_sora.server.state import Here, Server
from guarded_sora.store import ClipRecord

router = APIRouter(prefix="/console/clips")
Reader = Annotated[Person, sees("audit.read")]


@router.get("")
def find(server: Here, person: Reader, q: Annotated[str, Query(max_length=200)] = "") -> RedirectResponse:
    """Go to the clip with this id, or of the file with this SHA-256; else search the log for it."""
    wanted = q.strip()
    if len(wanted) == 64:
        found = server.services.store.by_sha256(wanted.lower())
        wanted = str(found[0].clip_id) if found else wanted
    return RedirectResponse(f"/console/clips/{wanted}" if _known(server, wanted) else "/console/log", 303)


@router.get("/{clip_id}")
def clip_page(clip_id: str, request: Request, server: Here, person: Reader) -> Response:
    """One clip."""
    record = _record(server, clip_id)
    log = server.services.log
    entries = [*log.search(subject=record.intent_id, limit=200), *log.search(subject=clip_id, limit=200)]
    entries.sort(key=lambda entry: entry.seq)
    proof = checked = None
    fault = ""
    if record.audit_seq is not None:
        proof = log.prove(record.audit_seq)
        try:
            checked = check_proof(proof.text(), proof.entry, proof.key)
        except CheckFailed as error:
            fault = str(error)
    film = film_path(server.services, clip_id)
    return page(
        request,
        "clip.html",
        person=person,
        token=person.token,
        light=light(server),
        clip=record,
        entries=[(entry, tone(entry.kind, dict(entry.body))) for entry in entries],
        proof=proof,
        checked=checked,
        fault=fault,
        sheet=sheet_of(server, film.name) if person.may("review") and film.is_file() else None,
        sheet_url=f"/console/clips/{clip_id}/sheet.jpg",
    )


@router.get("/{clip_id}/sheet.jpg")
def sheet_image(clip_id: str, server: Here, person: Annotated[Person, sees("review")]) -> Response:
    """The spritesheet of a released clip."""
    _record(server, clip_id)
    film = film_path(server.services, clip_id)
    try:
        path = spritesheet(server.services, film).path
    except MediaError as error:
        raise Problem(404, "No picture can be made of this film.", code="media") from error
    return FileResponse(path, media_type="image/jpeg", headers={"cache-control": "no-store"})


def sheet_of(server: Server, name: str) -> Sheet | None:
    """The spritesheet of a film under ``home/clips``; None where none can be made."""
    try:
        return spritesheet(server.services, server.services.settings.clips / name)
    except MediaError:
        return None


def _record(server: Server, clip_id: str) -> ClipRecord:
    try:
        record = server.services.store.by_id(ClipId.parse(clip_id))
    except UsageError:
        record = None
    if record is None:
        raise Problem(404, "There is no clip with this id.", code="not_found")
    return record


def _known(server: Server, clip_id: str) -> bool:
    try:
        _record(server, clip_id)
    except Problem:
        return False
    return True
