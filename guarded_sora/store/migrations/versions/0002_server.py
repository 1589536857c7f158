"""Keys, sessions, jobs and idempotency of the HTTP service."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("key_id", sa.String(16), primary_key=True),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("scopes", sa.String(200), nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_ms", sa.BigInteger),
        sa.Column("revoked_ms", sa.BigInteger),
        sa.Column("used_ms", sa.BigInteger),
    )
    op.create_table(
        "admin_links",
        sa.Column("digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("expires_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "console_sessions",
        sa.Column("digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("key_id", sa.String(16), nullable=False, index=True),
        sa.Column("expires_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "video_jobs",
        sa.Column("number", _BIG, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(40), nullable=False, unique=True),
        sa.Column("key_id", sa.String(16), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("stage", sa.String(40), nullable=False),
        sa.Column("progress", sa.Integer, nullable=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("seconds", sa.String(8), nullable=False),
        sa.Column("size", sa.String(16), nullable=False),
        sa.Column("remixed_from", sa.String(40)),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("completed_ms", sa.BigInteger),
        sa.Column("accepted_seq", sa.BigInteger, nullable=False),
        sa.Column("input_seq", sa.BigInteger),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("intent_id", sa.String(36)),
        sa.Column("lease", sa.String(32)),
        sa.Column("lease_until_ms", sa.BigInteger),
        sa.Column("clip_id", sa.String(32), index=True),
        sa.Column("case_id", sa.String(36), index=True),
        sa.Column("error_code", sa.String(64)),
        sa.Column("error_message", sa.String(500)),
        sa.Column("guard", sa.LargeBinary),
    )
    op.create_index("video_jobs_queue", "video_jobs", ["status", "number"])
    op.create_index("video_jobs_of_key", "video_jobs", ["key_id", "number"])
    op.create_table(
        "idempotency_keys",
        sa.Column("key_id", sa.String(16), primary_key=True),
        sa.Column("digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("route", sa.String(80), nullable=False),
        sa.Column("body", sa.LargeBinary(32), nullable=False),
        sa.Column("video_id", sa.String(40), nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    for name in ("idempotency_keys", "video_jobs", "console_sessions", "admin_links", "api_keys"):
        op.drop_table(name)
