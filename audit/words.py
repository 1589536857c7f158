"""Full-text search over payloads. Only text that can be erased is ever indexed.

The index holds words in clear, so an event asks for it with ``searchable=True``. Erasing a person
takes their words out of the index as well: SQLite's index is told the original text once more, as
its kind of index demands, and is then rewritten so that no byte of them stays in the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from sqlalchemy import BigInteger, Connection, TextualSelect, column, select, text

from guarded_sora.audit.errors import EntryInvalid

_WORD = re.compile(r"\w+", re.UNICODE)
MAX_WORDS = 32


def plain_text(payload: bytes) -> str:
    """The text of a payload as it is indexed; bytes that are no UTF-8 count as separators."""
    return payload.decode("utf-8", "replace").replace("\x00", " ").replace("\ufffd", " ")


def index(connection: Connection, rows: Iterable[tuple[int, bytes]]) -> None:
    """Add ``(seq, payload)`` to the index."""
    found = [{"seq": seq, "words": plain_text(payload)} for seq, payload in rows]
    if not found:
        return
    if connection.dialect.name == "postgresql":
        statement = "INSERT INTO payload_words (seq, words) VALUES (:seq, to_tsvector('simple', :words))"
    else:
        statement = "INSERT INTO payload_words (rowid, words) VALUES (:seq, :words)"
    connection.execute(text(statement), found)


def forget(connection: Connection, rows: Sequence[tuple[int, bytes]]) -> None:
    """Take ``(seq, payload)`` out of the index again; ``payload`` is what was indexed."""
    if not rows:
        return
    if connection.dialect.name == "postgresql":
        statement = "DELETE FROM payload_words WHERE seq = :seq"
        connection.execute(text(statement), [{"seq": seq} for seq, _ in rows])
        return
    statement = "INSERT INTO payload_words (payload_words, rowid, words) VALUES ('delete', :seq, :words)"
    connection.execute(text(statement), [{"seq": seq, "words": plain_text(payload)} for seq, payload in rows])
    # Until the index is merged, the removed words stay in it beside their tombstones.
    connection.execute(text("INSERT INTO payload_words (payload_words) VALUES ('optimize')"))


def find(connection: Connection, query: str, *, after: int | None = None, limit: int = 100) -> list[int]:
    """Positions of events whose payload holds every word of ``query``, oldest first.

    Words in double quotes must follow each other. Everything else in ``query`` is only a separator:
    no operator of the database's own search language can be reached.
    """
    found = matching(connection, query).subquery()
    place = found.c.seq
    behind = -1 if after is None else after
    rows = connection.execute(select(place).where(place > behind).order_by(place).limit(limit))
    return [int(seq) for seq in rows.scalars()]


def matching(connection: Connection, query: str) -> TextualSelect:
    """The statement behind :func:`find`: one column ``seq``. Raises ``EntryInvalid``."""
    terms: list[list[str]] = []
    for number, part in enumerate(query.split('"')):
        words = _WORD.findall(part)
        terms += [words] if number % 2 else [[word] for word in words]
    terms = [words for words in terms if words]
    if not terms or sum(map(len, terms)) > MAX_WORDS:
        raise EntryInvalid(f"Search for 1 to {MAX_WORDS} words; put a phrase in double quotes.")
    if connection.dialect.name == "postgresql":
        parts = [f"phraseto_tsquery('simple', :p{at})" for at in range(len(terms))]
        values = {f"p{at}": " ".join(words) for at, words in enumerate(terms)}
        statement = f"SELECT seq FROM payload_words WHERE words @@ ({' && '.join(parts)})"  # noqa: S608
    else:
        values = {"query": " AND ".join('"' + " ".join(words) + '"' for words in terms)}
        statement = "SELECT rowid AS seq FROM payload_words WHERE payload_words MATCH :query"
    return text(statement).bindparams(**values).columns(column("seq", BigInteger))
