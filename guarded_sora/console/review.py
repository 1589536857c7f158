"""The queue and the case page: take the oldest case, look, decide with a reason."""

from __future__ import annotations

import time
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, RedirectResponse, Response

from guarded_sora.audit.case import APPEALED, STATES, WAITING, Case
from guarded_sora.audit.errors import AuditError, Conflict, NotFound
from guarded_sora.console.evidence import gather, held_film
from guarded_sora.console.light import light
from guarded_sora.console.render import is_fragment, page
from guarded_sora.console.session import Person, acts, sees
from guarded_sora.decisions import decide_case
from guarded_sora.errors import MediaError, StoreError
from guarded_sora.handoff import KIND as CHILD_SAFETY
from guarded_sora.server.previews import forget, spritesheet
from guarded_sora.server.problems import Problem
from guarded_sora.server.state import Here, Server
from guarded_sora.verification import verify

router = APIRouter(prefix="/console")
Reviewer = Annotated[Person, sees("review")]
Deciding = Annotated[Person, acts("review")]

PAGE = 50
REASONS = {
    "rule_applies": "The rule applies",
    "false_positive": "The check was wrong",
    "context_allows": "Context makes it acceptable",
    "consent_on_record": "Consent is on record",
    "looked_fine": "Looked at all of it, nothing found",
    "other": "Other (say it in the note)",
}
SKIPS = {"skipped": "Not now", "conflict": "I know somebody in it", "too_distressing": "Too distressing"}
BREAK_AFTER = 25  # decisions in an hour; then the page suggests a pause


@router.get("/queue")
def queue(
    request: Request,
    server: Here,
    person: Reviewer,
    state: Annotated[str, Query(max_length=16)] = "waiting",
    kind: Annotated[str, Query(max_length=64)] = "",
    after: Annotated[int | None, Query(ge=0)] = None,
) -> Response:
    """Cases, oldest first."""
    cases = server.services.cases
    wanted = state if state in ("waiting", *STATES) else "waiting"
    found = cases.list(wanted, kind=kind or None, after=after, limit=PAGE + 1)
    now = time.time_ns() // 1_000_000
    hour = server.services.log.count(kind="case.decided", actor=person.reviewer, since=now - 3_600_000)
    values: dict[str, Any] = {
        "person": person,
        "token": person.token,
        "cases": found[:PAGE],
        "next": found[PAGE - 1].opened_seq if len(found) > PAGE else None,
        "state": wanted,
        "states": ("waiting", "decided", "appealed", "closed"),
        "kind": kind,
        "now": now,
        "decided": hour,
        "pause": hour >= BREAK_AFTER,
    }
    if is_fragment(request):
        return page(request, "queue-rows.html", **values)
    return page(request, "queue.html", light=light(server), **values)


@router.post("/queue/next")
def take(server: Here, person: Deciding) -> RedirectResponse:
    """Take the oldest case that waits; nobody else gets it for half an hour."""
    return _next(server, person)


@router.get("/cases/{case_id}")
def case_page(case_id: str, request: Request, server: Here, person: Reviewer) -> Response:
    """One case. Whoever holds it sees what it is about, and that look is logged first."""
    case = _case(server, case_id)
    now = time.time_ns() // 1_000_000
    mine = case.held_at(now) and case.holder == person.reviewer
    return page(
        request,
        "case.html",
        person=person,
        token=person.token,
        light=light(server),
        case=case,
        mine=mine,
        held=case.held_at(now),
        waits=case.state in WAITING,
        appealed=case.state == APPEALED,
        evidence=gather(server, case, viewer=person.reviewer if mine else None),
        reasons=REASONS,
        skips=SKIPS,
        now=now,
        sheet_url=f"/console/cases/{case_id}/sheet.jpg",
    )


@router.get("/cases/{case_id}/sheet.jpg")
def sheet_image(case_id: str, server: Here, person: Reviewer) -> Response:
    """The spritesheet of a held film, for whoever holds the case."""
    case = _held(server, case_id, person)
    film = held_film(server, case)
    if case.kind == CHILD_SAFETY:
        raise Problem(404, "Nobody looks at this film; decide by what is known of it.", code="not_found")
    try:
        path = spritesheet(server.services, film).path
    except MediaError as error:
        raise Problem(404, "No picture can be made of this film.", code="media") from error
    return FileResponse(path, media_type="image/jpeg", headers={"cache-control": "no-store"})


@router.post("/cases/{case_id}/examine")
def examine(case_id: str, request: Request, server: Here, person: Deciding) -> Response:
    """Verify the held film now: mark, credentials, fingerprint."""
    case = _held(server, case_id, person)
    film = held_film(server, case)
    if not film.is_file():
        raise Problem(404, "No film is held for this case.", code="not_found")
    with server.checks.turn():
        verdict = verify(server.examining, film, depth="full")
    return page(request, "examined.html", person=person, token=person.token, verdict=verdict)


@router.post("/cases/{case_id}/decide")
async def decide(
    case_id: str,
    server: Here,
    person: Deciding,
    action: Annotated[str, Form(max_length=16)],
    reason: Annotated[str, Form(max_length=64)] = "",
    note: Annotated[str, Form(max_length=5000)] = "",
    rule: Annotated[list[str] | None, Form()] = None,
) -> Response:
    """Decide; what was allowed is released by the pool. Then the next case."""
    if reason not in REASONS:
        raise Problem(400, "Choose a reason.", code="invalid_value", param="reason")
    if action not in ("allow", "block"):
        raise Problem(400, "A case is allowed or blocked.", code="invalid_value", param="action")
    return await run_in_threadpool(_decide, server, person, case_id, action, reason, note, rule or [])


@router.post("/cases/{case_id}/skip")
def skip(
    case_id: str, server: Here, person: Deciding, reason: Annotated[str, Form(max_length=64)] = "skipped"
) -> Response:
    """Give the case back undecided."""
    if reason not in SKIPS:
        raise Problem(400, "Choose a reason.", code="invalid_value", param="reason")
    try:
        server.services.cases.give_back(case_id, reviewer=person.reviewer, reason_code=reason)
    except Conflict as error:
        raise Problem(409, str(error), code=error.code) from error
    except NotFound as error:
        raise Problem(404, str(error), code=error.code) from error
    return RedirectResponse("/console/queue", 303)


@router.post("/cases/{case_id}/escalate")
def escalate(case_id: str, server: Here, person: Deciding) -> Response:
    """Ask for a second opinion: from now on two people must decide. The case goes back to the queue."""
    _held(server, case_id, person)
    try:
        after = server.services.cases.escalate(
            case_id, reviewer=person.reviewer, reason_code="second_opinion"
        )
    except Conflict as error:
        raise Problem(409, str(error), code=error.code) from error
    query = urlencode({"done": after.case_id, "as": "two people will decide"})
    return RedirectResponse(f"/console/queue?{query}", 303)


def _decide(
    server: Server, person: Person, case_id: str, action: str, reason: str, note: str, rules: list[str]
) -> Response:
    case = _held(server, case_id, person)
    known = {str(rule) for rule in case.summary.get("rules", ())}
    try:
        after = decide_case(
            server.services,
            case_id,
            action,
            reviewer=person.reviewer,
            reason_code=reason,
            note=note,
            rules=[rule for rule in rules if rule in known],
        ).case
    except Conflict as error:
        raise Problem(409, str(error), code=error.code) from error
    except StoreError as error:
        raise Problem(503, str(error), code=error.code) from error
    _follow(server, person, after)
    return _next(server, person, done=after)


def _follow(server: Server, person: Person, case: Case) -> None:
    """What a decision in force brings about."""
    if case.action == "allow" and case.kind in ("film", "prompt"):
        server.jobs.release(case.case_id, person.principal, case.opened_seq)
        server.pool.wake()
    if case.action:
        forget(server.services, held_film(server, case))


def _next(server: Server, person: Person, *, done: Case | None = None) -> RedirectResponse:
    try:
        case = server.services.cases.claim(person.reviewer)
    except AuditError as error:
        raise Problem(503, str(error), code=error.code) from error
    said = {} if done is None else {"done": done.case_id, "as": done.action or done.state}
    query = f"?{urlencode(said)}" if said else ""
    place = "/console/queue" if case is None else f"/console/cases/{case.case_id}"
    return RedirectResponse(f"{place}{query}", 303)


def _case(server: Server, case_id: str) -> Case:
    try:
        return server.services.cases.show(case_id)
    except NotFound as error:
        raise Problem(404, "There is no case with this id.", code="not_found") from error


def _held(server: Server, case_id: str, person: Person) -> Case:
    """The case, if this person holds it now. Raises Problem 404, 409."""
    case = _case(server, case_id)
    if not case.held_at(time.time_ns() // 1_000_000) or case.holder != person.reviewer:
        raise Problem(409, "You do not hold this case; take the next one from the queue.", code="not_held")
    return case
