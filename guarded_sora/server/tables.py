"""Tables of the service, in the store's schema: keys, sessions, jobs, idempotency.

No prompt and no file stands here: those wait encrypted in the log's payloads, under the
sequence numbers ``accepted_seq`` and ``input_seq``. Secrets stand only as SHA-256.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, String, Table

from guarded_sora.store.tables import metadata

Big = BigInteger().with_variant(Integer(), "sqlite")

api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", String(16), primary_key=True),
    Column("name", String(100), nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("scopes", String(200), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger),
    Column("revoked_ms", BigInteger),
    Column("used_ms", BigInteger),
)

# The one-time link of the first start; it makes the first administrator's key.
admin_links = Table(
    "admin_links",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("expires_ms", BigInteger, nullable=False),
)

console_sessions = Table(
    "console_sessions",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("key_id", String(16), nullable=False, index=True),
    Column("expires_ms", BigInteger, nullable=False),
)

video_jobs = Table(
    "video_jobs",
    metadata,
    Column("number", Big, primary_key=True, autoincrement=True),
    Column("id", String(40), nullable=False, unique=True),
    Column("key_id", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    Column("stage", String(40), nullable=False),
    Column("progress", Integer, nullable=False),
    Column("model", String(64), nullable=False),
    Column("seconds", String(8), nullable=False),
    Column("size", String(16), nullable=False),
    Column("remixed_from", String(40)),
    Column("created_ms", BigInteger, nullable=False),
    Column("completed_ms", BigInteger),
    Column("accepted_seq", BigInteger, nullable=False),
    Column("input_seq", BigInteger),
    # Of the attempt under way: a restart looks here for what became of it.
    Column("attempts", Integer, nullable=False),
    Column("intent_id", String(36)),
    Column("lease", String(32)),
    Column("lease_until_ms", BigInteger),
    Column("clip_id", String(32), index=True),
    Column("case_id", String(36), index=True),
    Column("error_code", String(64)),
    Column("error_message", String(500)),
    # Decision, checks and audit numbers as JSON; never words of the prompt.
    Column("guard", LargeBinary),
)
Index("video_jobs_queue", video_jobs.c.status, video_jobs.c.number)
Index("video_jobs_of_key", video_jobs.c.key_id, video_jobs.c.number)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("key_id", String(16), primary_key=True),
    Column("digest", LargeBinary(32), primary_key=True),
    Column("route", String(80), nullable=False),
    Column("body", LargeBinary(32), nullable=False),
    Column("video_id", String(40), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)
