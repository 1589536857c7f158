"""The tables of the log. Statements only; no object mapper.

``events``, ``tiles`` and ``checkpoints`` are append-only (triggers refuse the rest).
An entry is not stored twice: its canonical bytes are made again from the columns of its row, so a
column cannot say anything else than the entry that was hashed.
``tree_state`` is one row: how many events there are and the right edge of the tree.
``open_leaves`` holds the leaves of the tile that is not full yet; a full tile holds its own.
``pending`` holds events that were handed in for a sequencer and are not in the log yet.
``payloads`` and ``subject_keys`` hold personal data and are the only tables erasure empties.
``holds`` and ``cases`` are projections: both can be rebuilt from ``events``. ``searches`` are settings.

On PostgreSQL the indexes are the smallest that answer: equal values share one key in a B-tree, and
of a subject, which hardly repeats, only the hash is kept. SQLite's indexes end in the row's number anyway.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    false,
)

REVISIONS = ("0001", "0002", "0003")
"""Every Alembic revision this program knows, oldest first."""

SCHEMA_REVISION = REVISIONS[-1]
"""The one it reads and writes."""

VERSION_TABLE = "audit_version"

# SQLite gives an INTEGER PRIMARY KEY for free (it is the rowid); a BIGINT one costs an index.
Big = BigInteger().with_variant(Integer(), "sqlite")

# Byte order on both databases, so that a range of kinds is a range of the index.
Kind = String(64).with_variant(String(64, collation="C"), "postgresql")

metadata = MetaData()

events = Table(
    "events",
    metadata,
    Column("seq", Big, primary_key=True, autoincrement=False),
    Column("ts", Big, nullable=False),
    Column("id", LargeBinary(16), nullable=False),
    Column("kind", Kind, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("subject", String(200), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("payload", LargeBinary(36), nullable=True),
)
Index("events_id", events.c.id, unique=True)
Index("events_subject", events.c.subject)  # on PostgreSQL over its hash: ask with search.of_subject
Index("events_kind", events.c.kind)
Index("events_actor", events.c.actor)

tiles = Table(
    "tiles",
    metadata,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("idx", Big, primary_key=True, autoincrement=False),
    Column("root", LargeBinary(32), nullable=False),
    Column("data", LargeBinary, nullable=False),
)

open_leaves = Table(
    "open_leaves",
    metadata,
    Column("seq", Big, primary_key=True, autoincrement=False),
    Column("leaves", LargeBinary, nullable=False),
)

pending = Table(
    "pending",
    metadata,
    Column("n", Big, primary_key=True, autoincrement=True),
    Column("id", LargeBinary(16), nullable=False),
    Column("ts", Big, nullable=False),
    Column("kind", Kind, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("subject", String(200), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("payload", LargeBinary(36), nullable=True),
    Column("owner", String(200), nullable=True),
    Column("key_id", LargeBinary(16), nullable=True),
    Column("ciphertext", LargeBinary, nullable=True),
    Column("searchable", Boolean, nullable=False, server_default=false()),
    Column("refused", Text, nullable=True),
)
Index("pending_id", pending.c.id, unique=True)
Index("pending_owner", pending.c.owner)

searches = Table(
    "searches",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("filters", Text, nullable=False),
    Column("ts", Big, nullable=False),
)

tree_state = Table(
    "tree_state",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("size", Big, nullable=False),
    Column("ts", Big, nullable=False),
    Column("frontier", LargeBinary, nullable=False),
    Column("pruned", Big, nullable=False, server_default="0"),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("size", Big, primary_key=True, autoincrement=False),
    Column("ts", Big, nullable=False),
    Column("note", Text, nullable=False),
)

cosignatures = Table(
    "cosignatures",
    metadata,
    Column("size", Big, primary_key=True, autoincrement=False),
    Column("name", String(200), primary_key=True),
    Column("ts", Big, nullable=False),
    Column("line", Text, nullable=False),
)

subject_keys = Table(
    "subject_keys",
    metadata,
    Column("key_id", LargeBinary(16), primary_key=True),
    Column("owner", String(200), nullable=False),
    Column("wrapped", LargeBinary, nullable=True),
    Column("created_at", Big, nullable=False),
    Column("erased_at", Big, nullable=True),
)
Index("subject_keys_owner", subject_keys.c.owner)

payloads = Table(
    "payloads",
    metadata,
    Column("seq", Big, primary_key=True, autoincrement=False),
    Column("owner", String(200), nullable=False),
    Column("key_id", LargeBinary(16), nullable=False),
    Column("ciphertext", LargeBinary, nullable=True),
    Column("erased_at", Big, nullable=True),
    Column("searchable", Boolean, nullable=False, server_default=false()),
)
Index("payloads_owner", payloads.c.owner)

holds = Table(
    "holds",
    metadata,
    Column("owner", String(200), primary_key=True),
    Column("reason", String(64), primary_key=True),
    Column("until", Big, nullable=True),
    Column("seq", Big, nullable=False),
)

cases = Table(
    "cases",
    metadata,
    Column("case_id", String(36), primary_key=True),
    Column("kind", String(64), nullable=False),
    Column("subject", String(200), nullable=False),
    Column("state", String(16), nullable=False),
    Column("opened_seq", Big, nullable=False),
    Column("opened_ts", Big, nullable=False),
    Column("changed_seq", Big, nullable=False),
    Column("due_ts", Big, nullable=True),
    Column("holder", String(200), nullable=True),
    Column("held_until", Big, nullable=True),
    Column("record", LargeBinary, nullable=False),
)
Index("cases_queue", cases.c.state, cases.c.opened_seq)
Index("cases_subject", cases.c.subject)
