"""The log page: search, facets, chart over time, live tail; one entry with its proof."""

from __future__ import annotations

from typing import Annotated, Any, cast

import orjson
from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import PlainTextResponse, RedirectResponse, Response

from guarded_sora.audit.entry import Entry, from_row
from guarded_sora.audit.errors import AuditError, LogCorrupt, NotFound
from guarded_sora.audit.verifier import CheckFailed, check_proof
from guarded_sora.console.light import light
from guarded_sora.console.rehashing import Rehashing
from guarded_sora.console.render import is_fragment, page
from guarded_sora.console.search import SPANS, Filter, search
from guarded_sora.console.session import Person, acts, sees
from guarded_sora.console.tally import Tally
from guarded_sora.server.problems import Problem
from guarded_sora.server.state import Here, Server

router = APIRouter(prefix="/console/log")
Reader = Annotated[Person, sees("audit.read")]
Seq = Annotated[int, Path(ge=0, lt=2**62)]


@router.get("")
def log_page(
    request: Request,
    server: Here,
    person: Reader,
    q: Annotated[str, Query(max_length=400)] = "",
    kind: Annotated[str, Query(max_length=64)] = "",
    span: Annotated[str, Query(max_length=4)] = "7d",
    before: Annotated[int | None, Query(ge=0, lt=2**62)] = None,
    live: bool = False,
) -> Response:
    """Newest entries first."""
    wanted = Filter(q=q.strip(), kind=kind, span=span if span in SPANS else "7d", before=before)
    # Words of a prompt may be looked for by those who may read one.
    found = search(server.services, tally_of(request), wanted, texts=person.may("review"))
    values: dict[str, Any] = {
        "person": person,
        "token": person.token,
        "filter": wanted,
        "found": found,
        "rows": [_row(row) for row in found.rows],
        "spans": list(SPANS),
        "live": live,
    }
    if is_fragment(request):
        return page(request, "log-rows.html", **values)
    return page(request, "log.html", light=light(server), **values)


@router.post("/verify")
def start_rehash(request: Request, server: Here, person: Annotated[Person, acts("audit.read")]) -> Response:
    """Begin to hash the whole log again; it may take longer than a request should."""
    rehash_of(request).start(server.services.log)
    return RedirectResponse("/console/log/verify", 303)


@router.get("/verify")
def rehash_page(request: Request, person: Reader) -> Response:
    """How far the re-hash is, or which rows were changed."""
    values: dict[str, Any] = {"person": person, "token": person.token, "rehash": rehash_of(request).state()}
    return page(request, "report-body.html" if is_fragment(request) else "report.html", **values)


@router.get("/{seq}")
def entry_page(seq: Seq, request: Request, server: Here, person: Reader) -> Response:
    """One entry and its inclusion proof, checked here by the stand-alone verifier."""
    entry = _entry(server, seq)
    proof = server.services.log.prove(seq)
    try:
        checked, fault = check_proof(proof.text(), proof.entry, proof.key), ""
    except CheckFailed as error:
        checked, fault = None, str(error)
    body = orjson.dumps(dict(entry.body), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode()
    return page(
        request,
        "entry.html",
        person=person,
        token=person.token,
        light=light(server),
        entry=entry,
        gist=_gist(dict(entry.body)),
        body=body,
        proof=proof,
        checked=checked,
        fault=fault,
    )


@router.get("/{seq}/{name}")
def proof_file(seq: Seq, name: str, server: Here, person: Reader) -> Response:
    """One of the three files that prove an entry offline."""
    _entry(server, seq)
    proof = server.services.log.prove(seq)
    contents: dict[str, str | bytes] = {
        "entry.json": proof.entry,
        "proof.tlog-proof": proof.text(),
        "key.vkey": f"{proof.key}\n",
    }
    if name not in contents:
        raise Problem(404)
    disposition = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
    return PlainTextResponse(contents[name], headers=disposition)


def _entry(server: Server, seq: int) -> Entry:
    try:
        return server.services.log.read(seq)
    except NotFound as error:
        raise Problem(404, str(error), code="not_found") from error
    except AuditError as error:
        raise Problem(503, str(error), code=error.code) from error


def _row(row: Any) -> dict[str, Any]:
    try:
        body = dict(from_row(row).body)
    except LogCorrupt:
        body = {"reason": "this row was changed"}
    return {
        "seq": row.seq,
        "ts": row.ts,
        "kind": row.kind,
        "actor": row.actor,
        "subject": row.subject,
        "gist": _gist(body),
        "tone": tone(row.kind, body),
    }


def _gist(body: dict[str, Any]) -> str:
    """The few words of an entry that a reader looks for first."""
    said = [
        str(body[name]) for name in ("action", "verdict", "reason", "reason_code", "stage") if body.get(name)
    ]
    rules = body.get("rules") or []
    said += [str(rule["id"]) for rule in rules[:3] if isinstance(rule, dict) and "id" in rule]
    return ", ".join(dict.fromkeys(said))[:200]


def tone(kind: str, body: dict[str, Any]) -> str:
    """How an entry is coloured: good, bad, open or plain."""
    word = str(body.get("action") or body.get("verdict") or kind.rpartition(".")[2])
    if word in ("block", "blocked", "tampered", "failed", "undone", "ours_altered", "unreadable"):
        return "bad"
    if word in ("review", "held", "inconclusive", "opened", "appealed"):
        return "open"
    if word in ("allow", "released", "ours_intact"):
        return "good"
    return "plain"


def tally_of(request: Request) -> Tally:
    """The counts of this server's log."""
    return cast(Tally, request.app.state.tally)


def rehash_of(request: Request) -> Rehashing:
    """The one re-hash of this server."""
    return cast(Rehashing, request.app.state.rehashing)
