"""A search of the log as it stands in an address, and what it finds, in bounded time on any log.

Without words the answer comes from memory (:mod:`guarded_sora.console.tally`). With words the newest
``MOST`` matches are taken: what an entry is about (clip, case, request, SHA-256), who did it, its
place, and any other word out of the entry itself (rules, reasons, verdicts, categories) and out of
what was indexed of the people's own words.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import numpy as np
from sqlalchemy import ColumnElement, Connection, LargeBinary, and_, func, literal, or_, select

from guarded_sora.audit import words
from guarded_sora.audit.connections import reading
from guarded_sora.audit.errors import AuditError
from guarded_sora.audit.search import first_at, of_kind, of_subject
from guarded_sora.audit.tables import events
from guarded_sora.console.tally import Counted, Tally
from guarded_sora.services import Services

PAGE = 50
BARS = 48
MOST = 2000
"""Most matches of a search by words that are counted."""
SCANNED = 10_000
"""So many of the newest entries are read for a word that stands in no index."""
SPANS = {"1h": 3600, "24h": 86_400, "7d": 7 * 86_400, "30d": 30 * 86_400, "all": 0}
_PSEUDONYMS = ("actor-", "reviewer-", "notice-", "system", "verifier")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """``q``: words. ``kind``: as in ``kind:request.*``. ``span``: a key of :data:`SPANS`."""

    q: str = ""
    kind: str = ""
    span: str = "7d"
    before: int | None = None

    def link(self, **changes: Any) -> str:
        """The address of this search with ``changes``."""
        values = {"q": self.q, "kind": self.kind, "span": self.span, **changes}
        return "/console/log?" + urlencode({name: value for name, value in values.items() if value})


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """``rows``: one page of rows of ``events``, newest first. ``older``: the address' next ``before``.

    ``facets``: (family, its count, [(kind, count)]). ``bars``: dicts of ``x``, ``count``, ``height`` in
    per cent of the highest, ``start``. ``note`` says what the counts leave out, or is empty.
    """

    rows: Sequence[Any]
    older: int | None
    total: int
    facets: Sequence[tuple[str, int, Sequence[tuple[str, int]]]]
    bars: Sequence[dict[str, Any]]
    note: str
    start: int


def search(services: Services, tally: Tally, wanted: Filter, *, texts: bool) -> Found:
    """What ``wanted`` finds; ``texts`` allows to look among the people's own words."""
    now = time.time_ns() // 1_000_000
    seconds = SPANS[wanted.span]
    start = now - seconds * 1000 if seconds else 0
    kind, terms = _read(services, wanted)
    note = ""
    with reading(services.engine) as connection:
        if not terms:
            counted = tally.now().since(start)
            counted = counted.of_kind(kind) if kind else counted
            if not counted.whole:
                note = "the newest entries only"
        else:
            low = first_at(connection, start) if start else 0
            counted, note = _matches(connection, kind, terms, low, texts=texts)
        seqs = counted.newest(PAGE + 1, before=wanted.before)
        if not terms and not counted.whole and len(seqs) <= PAGE:
            seqs = _older(connection, kind, start, wanted.before)
        query = select(events).where(events.c.seq.in_(seqs[:PAGE])).order_by(events.c.seq.desc())
        rows = connection.execute(query).all() if seqs else []
    if not start:
        start = int(counted.times[0]) if len(counted.times) else now - 1000
    return Found(
        rows=rows,
        older=seqs[PAGE - 1] if len(seqs) > PAGE else None,
        total=len(counted.seqs),
        facets=_families(counted.facets()),
        bars=_bars(counted, start, now),
        note=note,
        start=start,
    )


def _read(services: Services, wanted: Filter) -> tuple[str, list[ColumnElement[bool] | str]]:
    """The kind asked for, and the other terms: conditions, or words yet to be looked for."""
    kind = wanted.kind
    terms: list[ColumnElement[bool] | str] = []
    for word in wanted.q.split()[:8]:
        name, colon, value = word.partition(":")
        if colon and name == "kind":
            kind = value[:64]
        elif colon and name == "actor":
            known = value.startswith(_PSEUDONYMS)
            terms.append(events.c.actor == (value if known else services.keys.pseudonym("actor", value)))
        elif colon and name == "seq" and value.isdecimal() and len(value) < 16:
            terms.append(events.c.seq == int(value))
        elif colon and name == "subject":
            terms.append(of_subject(value[:200]))
        else:
            terms.append(word[:200])
    return kind, terms


def _matches(
    connection: Connection,
    kind: str,
    terms: Sequence[ColumnElement[bool] | str],
    low: int,
    *,
    texts: bool,
) -> tuple[Counted, str]:
    """The newest matches, and what was not looked at."""
    conditions: list[ColumnElement[bool]] = [events.c.seq >= low]
    loose: list[str] = []
    for term in terms:
        if not isinstance(term, str):
            conditions.append(term)
        elif _is_subject(connection, term):
            conditions.append(of_subject(term))
        else:
            loose.append(term)
    if kind:
        conditions.append(of_kind(kind))
    note = ""
    if loose:
        floor = (connection.execute(select(func.max(events.c.seq))).scalar() or 0) - SCANNED
        if floor > low:
            note = f"words looked for in the newest {SCANNED:,} entries"
        inside = and_(events.c.seq > floor, *(_holds(connection, word) for word in loose))
        indexed = _indexed(connection, loose) if texts else []
        conditions.append(or_(inside, events.c.seq.in_(indexed)) if indexed else inside)
    columns = select(events.c.seq, events.c.ts, events.c.kind).where(*conditions)
    rows = connection.execute(columns.order_by(events.c.seq.desc()).limit(MOST + 1)).all()
    if len(rows) > MOST:
        note = f"the newest {MOST:,} matches"
    return _counted(rows[:MOST][::-1]), note


def _older(connection: Connection, kind: str, start: int, before: int | None) -> list[int]:
    """A page from where the tally does not reach."""
    query = select(events.c.seq).where(events.c.seq >= (first_at(connection, start) if start else 0))
    if kind:
        query = query.where(of_kind(kind))
    if before is not None:
        query = query.where(events.c.seq < before)
    return list(connection.execute(query.order_by(events.c.seq.desc()).limit(PAGE + 1)).scalars())


def _is_subject(connection: Connection, word: str) -> bool:
    query = select(events.c.seq).where(of_subject(word)).limit(1)
    return connection.execute(query).first() is not None


def _holds(connection: Connection, word: str) -> ColumnElement[bool]:
    """The condition that an entry's kind or content holds ``word``."""
    data = literal(word.encode("utf-8", "replace"), LargeBinary)
    if connection.dialect.name == "postgresql":
        inside = func.position(data.op("IN")(events.c.body)) > 0
    else:
        inside = func.instr(events.c.body, data) > 0
    return or_(inside, events.c.kind == word)


def _indexed(connection: Connection, loose: Sequence[str]) -> list[int]:
    """Positions of entries whose indexed words hold all of ``loose``."""
    try:
        found = words.find(connection, " ".join(loose), limit=MOST)
    except AuditError:
        return []  # nothing in it is a word
    return found


def _counted(rows: Sequence[Any]) -> Counted:
    names: dict[str, int] = {}
    codes = [names.setdefault(row.kind, len(names)) for row in rows]
    return Counted(
        seqs=np.array([row.seq for row in rows], np.int64),
        times=np.array([row.ts for row in rows], np.int64),
        kinds=np.array(codes, np.int16),
        names=tuple(names),
        whole=True,
    )


def _families(facets: Sequence[tuple[str, int]]) -> list[tuple[str, int, list[tuple[str, int]]]]:
    """Kinds under the word before their dot, the largest family first."""
    families: dict[str, list[tuple[str, int]]] = {}
    for name, count in facets:
        families.setdefault(name.partition(".")[0], []).append((name, count))
    found = [
        (name, sum(count for _, count in kinds), sorted(kinds, key=lambda item: -item[1]))
        for name, kinds in families.items()
    ]
    return sorted(found, key=lambda item: (-item[1], item[0]))


def _bars(counted: Counted, start: int, end: int) -> list[dict[str, Any]]:
    counts = counted.bars(start, max(start, end), BARS)
    most = int(counts.max(initial=0))
    width = (end - start) / BARS
    return [
        {
            "x": index,
            "count": int(count),
            "height": max(2, round(100 * int(count) / most)) if count else 0,
            "start": int(start + index * width),
        }
        for index, count in enumerate(counts)
    ]
