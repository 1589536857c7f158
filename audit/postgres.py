"""What only PostgreSQL has: COPY for large batches, and roles that cannot rewrite the log."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from struct import Struct
from typing import Any

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import IntegrityError, OperationalError

from guarded_sora.audit.connections import writing
from guarded_sora.audit.errors import EntryInvalid

COPY_FROM = 16
"""Batches from this size on go through COPY; below it, one statement is as fast."""

_COLUMNS = ("seq", "ts", "id", "kind", "actor", "subject", "body", "payload")
_COPY = f"COPY events ({', '.join(_COLUMNS)}) FROM STDIN (FORMAT BINARY)"

# The binary form of COPY: a header, then for every row the number of its fields and every field behind
# its length. Written here by hand: the driver's general way costs as much as all the hashing.
_HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_END = b"\xff\xff"
_NULL = b"\xff\xff\xff\xff"
_fixed = Struct(">hiqiqi16s").pack
_length = Struct(">i").pack
_LENGTHS = tuple(_length(length) for length in range(1024))


def can_copy(connection: Connection, rows: Sequence[Any]) -> bool:
    return len(rows) >= COPY_FROM and connection.dialect.driver == "psycopg"


def copy_rows(rows: Iterable[tuple[Any, ...]]) -> bytes:
    """Rows of ``events``, in the order of its columns, as COPY takes them; text as UTF-8."""
    parts = [_HEADER]
    short = _LENGTHS
    for seq, ts, identity, kind, actor, subject, body, payload in rows:
        kind, actor, subject = kind.encode(), actor.encode(), subject.encode()
        parts += (
            _fixed(8, 8, seq, 8, ts, 16, identity),
            short[len(kind)],
            kind,
            short[len(actor)],
            actor,
            short[len(subject)],
            subject,
            _length(len(body)),
            body,
            _NULL if payload is None else _length(len(payload)) + payload,
        )
    parts.append(_END)
    return b"".join(parts)


def copy_events(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert event rows with binary COPY, inside the connection's transaction.

    Raises ``IntegrityError`` and ``OperationalError`` as a plain insert would.
    """
    import psycopg

    driver = connection.connection.driver_connection
    if driver is None:
        raise OperationalError(_COPY, None, RuntimeError("the connection was lost"))
    try:
        if driver.info.encoding != "utf-8":
            driver.execute("SET LOCAL client_encoding = 'UTF8'")
        with driver.cursor() as cursor, cursor.copy(_COPY) as copy:
            copy.write(copy_rows(rows))
    except psycopg.errors.IntegrityError as error:
        raise IntegrityError(_COPY, None, error) from error
    except psycopg.Error as error:
        raise OperationalError(_COPY, None, error) from error


_ROLE = re.compile(r"[a-z_][a-z0-9_]{0,62}")

_TREE = (
    "GRANT SELECT ON events, tiles, open_leaves, checkpoints, cosignatures, tree_state, audit_version "
    "TO {role}"
)
_GRANTS = {
    "writer": (
        "GRANT SELECT, INSERT ON events, tiles, checkpoints TO {role}",
        "GRANT SELECT, UPDATE ON tree_state TO {role}",
        "GRANT SELECT, INSERT, DELETE ON open_leaves TO {role}",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON pending, searches TO {role}",
        "GRANT USAGE ON SEQUENCE pending_n_seq TO {role}",
        "GRANT SELECT, INSERT, UPDATE ON payloads, subject_keys TO {role}",
        "GRANT SELECT, INSERT, DELETE ON payload_words TO {role}",
        "GRANT SELECT, INSERT ON cosignatures TO {role}",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON holds, cases TO {role}",
        "GRANT SELECT ON audit_version TO {role}",
    ),
    "reader": (
        _TREE,
        "GRANT SELECT ON holds, cases, searches TO {role}",
        "GRANT SELECT ON payloads, subject_keys, payload_words TO {role}",
    ),
    "auditor": (_TREE,),
}


def grant(engine: Engine, role: str, what: str) -> None:
    """Give an existing database ``role`` what a ``writer``, ``reader`` or ``auditor`` needs, no more.

    A writer appends and erases payloads but cannot change or delete an event; a reader sees
    everything, payloads still encrypted; an auditor sees the tree and never the payload tables.
    Run it as the owner of the tables, and let no service connect as that owner.
    """
    if engine.dialect.name != "postgresql":
        raise EntryInvalid("Only PostgreSQL has roles; on SQLite protect the file itself.")
    if what not in _GRANTS:
        raise EntryInvalid("A role is made a writer, a reader or an auditor.")
    if not _ROLE.fullmatch(role):
        raise EntryInvalid("A role's name has lower-case letters, digits and underscores.")
    with writing(engine) as connection:
        for statement in _GRANTS[what]:
            connection.execute(text(statement.format(role=f'"{role}"')))
