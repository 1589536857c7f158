"""The log page: search, facets, chart over time, live tail; one entry with its proof."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

import orjson
from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import PlainTextResponse, Response
from sqlalchemy import func, select

from guarded_sora.audit.connections import reading
from guarded_sora.audit.entry import Entry, from_row
from guarded_sora.audit.errors import AuditError, LogCorrupt, NotFound
from guarded_sora.audit.search import first_at, of_kind
from guarded_sora.audit.tables import events
from guarded_sora.audit.verifier import CheckFailed, check_proof
from guarded_sora.console.light import light
from guarded_sora.console.render import is_fragment, page
from guarded_sora.console.session import Person, acts, sees
from guarded_sora.server.problems import Problem
from guarded_sora.server.state import Here, Server

router = APIRouter(prefix="/console/log")
Reader = Annotated[Person, sees("audit.read")]
Seq = Annotated[int, Path(ge=0, lt=2**62)]

PAGE = 50
BARS = 48
SPANS = {"1h": 3600, "24h": 86_400, "7d": 7 * 86_400, "30d": 30 * 86_400, "all": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """A search as it stands in the address: words, kind, span and how far back."""

    q: str = ""
    kind: str = ""
    span: str = "7d"
    before: int | None = None

    def where(self, server: Server, low: int) -> list[Any]:
        """Conditions on the table of events; ``low`` is the first entry of the span."""
        found: list[Any] = [events.c.seq >= low]
        kind = self.kind
        for word in self.q.split()[:8]:
            name, colon, value = word.partition(":")
            if colon and name == "kind":
                kind = value
            elif colon and name == "actor":
                known = value.startswith(("actor-", "reviewer-", "system", "verifier"))
                pseudonym = value if known else server.services.keys.pseudonym("actor", value)
                found.append(events.c.actor == pseudonym)
            elif colon and name == "seq" and value.isdecimal() and len(value) < 16:
                found.append(events.c.seq == int(value))
            else:
                # A clip id, an intent, a case, a file's SHA-256: whatever an entry is about.
                found.append(events.c.subject == (value if colon and name == "subject" else word))
        if kind:
            found.append(of_kind(kind))
        return found

    def link(self, **changes: Any) -> str:
        """The address of this search with ``changes``."""
        values = {"q": self.q, "kind": self.kind, "span": self.span, **changes}
        return "/console/log?" + urlencode({name: value for name, value in values.items() if value})


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
    now = time.time_ns() // 1_000_000
    with reading(server.services.engine) as connection:
        seconds = SPANS[wanted.span]
        low = first_at(connection, now - seconds * 1000) if seconds else 0
        where = wanted.where(server, low)
        below = [*where, events.c.seq < before] if before is not None else where
        rows = connection.execute(
            select(events).where(*below).order_by(events.c.seq.desc()).limit(PAGE + 1)
        ).all()
        facets = [] if is_fragment(request) and live else _facets(connection, where)
        bars = [] if is_fragment(request) and live else _bars(connection, where, wanted, now)
    values: dict[str, Any] = {
        "person": person,
        "token": person.token,
        "filter": wanted,
        "rows": [_row(row) for row in rows[:PAGE]],
        "older": rows[PAGE - 1].seq if len(rows) > PAGE else None,
        "spans": list(SPANS),
        "facets": facets,
        "bars": bars,
        "total": sum(count for _, count in facets),
        "live": live,
        "now": now,
    }
    if is_fragment(request):
        return page(request, "log-rows.html", **values)
    return page(request, "log.html", light=light(server), report=None, **values)


@router.post("/verify")
def rehash(request: Request, server: Here, person: Annotated[Person, acts("audit.read")]) -> Response:
    """Hash the whole log again and say which rows were changed."""
    report = server.services.log.verify()
    return page(request, "report.html", person=person, token=person.token, report=report)


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


def entry_link(entry: Entry) -> str:
    """Where an entry's own page is."""
    return f"/console/log/{entry.seq}"


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


def _facets(connection: Any, where: list[Any]) -> list[tuple[str, int]]:
    """How many entries of each kind match, most first."""
    query = select(events.c.kind, func.count()).where(*where).group_by(events.c.kind)
    found = [(str(kind), int(count)) for kind, count in connection.execute(query)]
    return sorted(found, key=lambda item: (-item[1], item[0]))


def _bars(connection: Any, where: list[Any], wanted: Filter, now: int) -> list[dict[str, Any]]:
    """Entries over time, in ``BARS`` equal spans up to now; heights are per cent of the highest."""
    seconds = SPANS[wanted.span]
    if seconds:
        start = now - seconds * 1000
    else:
        start = connection.execute(select(func.min(events.c.ts))).scalar() or now - 1000
    width = max(1, (now - start) // BARS + 1)
    place = (events.c.ts - start) // width
    query = select(place.label("place"), func.count()).where(*where, events.c.ts >= start).group_by(place)
    counts = {int(index): int(count) for index, count in connection.execute(query)}
    most = max(counts.values(), default=0)
    return [
        {
            "x": index,
            "count": counts.get(index, 0),
            "height": max(2, round(100 * counts[index] / most)) if counts.get(index) else 0,
            "start": start + index * width,
        }
        for index in range(BARS)
    ]
