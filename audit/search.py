"""Reading entries back: by position, by filter, newest first or page by page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, literal, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from guarded_sora.audit import tree, words
from guarded_sora.audit.entry import Entry, from_row, row_bytes
from guarded_sora.audit.errors import EntryInvalid, NotFound
from guarded_sora.audit.tables import events

Moment = datetime | int
"""A point in time: a datetime, or milliseconds since 1970."""

MAX_PAGE = 10_000


def milliseconds(moment: Moment) -> int:
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            raise EntryInvalid("Give times with a time zone, for example datetime.now(UTC).")
        return int(moment.timestamp() * 1000)
    return moment


def read(connection: Connection, seq: int) -> Entry:
    row = None
    if 0 <= seq < 1 << 63:
        row = connection.execute(select(events).where(events.c.seq == seq)).first()
    if row is None:
        raise NotFound(f"The log holds no event {seq}; its events count from 0.")
    return from_row(row)


def read_id(connection: Connection, identity: str) -> Entry:
    try:
        raw = bytes.fromhex(identity.replace("-", ""))
    except ValueError:
        raw = b""
    row = connection.execute(select(events).where(events.c.id == raw)).first()
    if row is None:
        raise NotFound("The log holds no event with this id.")
    return from_row(row)


def locate(connection: Connection, ids: Sequence[bytes]) -> dict[bytes, tuple[int, bytes]]:
    """``id -> (seq, leaf)`` of those of the ``ids`` (16 bytes each) that stand in the log."""
    found: dict[bytes, tuple[int, bytes]] = {}
    for at in range(0, len(ids), 500):
        for row in connection.execute(select(events).where(events.c.id.in_(ids[at : at + 500]))):
            found[bytes(row.id)] = (row.seq, tree.leaf_hash(row_bytes(row)))
    return found


def tail(connection: Connection, count: int) -> list[Entry]:
    rows = connection.execute(select(events).order_by(events.c.seq.desc()).limit(_page(count))).all()
    return [from_row(row) for row in reversed(rows)]


def find(
    connection: Connection,
    *,
    kind: str | None = None,
    actor: str | None = None,
    subject: str | None = None,
    text: str | None = None,
    since: Moment | None = None,
    until: Moment | None = None,
    after: int | None = None,
    limit: int = 100,
) -> list[Entry]:
    """Entries that match every filter, oldest first, from behind ``after`` on. ``text``: as in ``words``."""
    query = _where(connection, select(events), kind, actor, subject, since, until)
    if text is not None:
        query = query.where(events.c.seq.in_(words.matching(connection, text)))
    if after is not None:
        query = query.where(events.c.seq > after)
    rows = connection.execute(query.order_by(events.c.seq).limit(_page(limit)))
    return [from_row(row) for row in rows]


def count(
    connection: Connection,
    *,
    kind: str | None = None,
    actor: str | None = None,
    subject: str | None = None,
    since: Moment | None = None,
    until: Moment | None = None,
) -> int:
    """How many entries match every filter."""
    query = _where(connection, select(func.count()).select_from(events), kind, actor, subject, since, until)
    return int(connection.execute(query).scalar_one())


def first_at(connection: Connection, moment: int) -> int:
    """The first position whose time is ``moment`` or later (one past the end when there is none).

    Times never fall along the log, so this is a binary search over the primary key: no index.
    """
    low = 0
    high = int(connection.execute(select(func.coalesce(func.max(events.c.seq) + 1, 0))).scalar_one())
    while low < high:
        middle = (low + high) // 2
        ts = connection.execute(select(events.c.ts).where(events.c.seq == middle)).scalar()
        # A missing row was pruned, and pruning takes the oldest.
        if ts is None or ts < moment:
            low = middle + 1
        else:
            high = middle
    return low


def of_kind(kind: str) -> ColumnElement[bool]:
    """The condition for a kind, or for all below it where it ends in ``.*``."""
    if kind.endswith(".*"):
        # "/" is the character after "."; the column sorts by bytes on both databases.
        return and_(events.c.kind >= kind[:-1], events.c.kind < kind[:-2] + "/")
    return events.c.kind == kind


class _Hashed(FunctionElement[int]):
    """The hash that PostgreSQL's index of subjects holds; elsewhere a constant, for there it is no help."""

    inherit_cache = True


@compiles(_Hashed)
def _as_constant(element: _Hashed, compiler: Any, **options: Any) -> str:
    return "0"


@compiles(_Hashed, "postgresql")
def _as_hash(element: _Hashed, compiler: Any, **options: Any) -> str:
    return f"hashtext({compiler.process(element.clauses, **options)})"


def of_subject(subject: str) -> ColumnElement[bool]:
    """The condition for a subject, in the form the index answers on both databases."""
    same_hash = _Hashed(events.c.subject) == _Hashed(literal(subject))
    return and_(events.c.subject == subject, same_hash)


def _where(
    connection: Connection,
    query: Select[Any],
    kind: str | None,
    actor: str | None,
    subject: str | None,
    since: Moment | None,
    until: Moment | None,
) -> Select[Any]:
    if kind is not None:
        query = query.where(of_kind(kind))
    if actor is not None:
        query = query.where(events.c.actor == actor)
    if subject is not None:
        query = query.where(of_subject(subject))
    if since is not None:
        query = query.where(events.c.seq >= first_at(connection, milliseconds(since)))
    if until is not None:
        query = query.where(events.c.seq < first_at(connection, milliseconds(until)))
    return query


def _page(limit: int) -> int:
    if not 1 <= limit <= MAX_PAGE:
        raise EntryInvalid(f"A page holds 1 to {MAX_PAGE:,} entries; follow the cursor for more.")
    return limit
