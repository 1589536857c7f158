"""People, characters, brands and works; consents; notices on clips."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    state = op.create_table(
        "registry_state",
        sa.Column("id", sa.SmallInteger, primary_key=True),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(state, [{"id": 1, "revision": 0}])
    op.create_table(
        "subjects",
        sa.Column("subject_id", sa.String(32), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("standing", sa.String(16), nullable=False),
        sa.Column("jurisdiction", sa.String(8), nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("removed_ms", sa.BigInteger),
        sa.Column("sealed", sa.LargeBinary),
    )
    op.create_table(
        "subject_names",
        sa.Column("name_id", _BIG, primary_key=True, autoincrement=True),
        sa.Column("subject_id", sa.String(32), sa.ForeignKey("subjects.subject_id"), nullable=False),
        sa.Column("name_key", sa.String(64), nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "face_templates",
        sa.Column("template_id", _BIG, primary_key=True, autoincrement=True),
        sa.Column("subject_id", sa.String(32), sa.ForeignKey("subjects.subject_id"), nullable=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("key_epoch", sa.Integer, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "work_references",
        sa.Column("reference_id", _BIG, primary_key=True, autoincrement=True),
        sa.Column("subject_id", sa.String(32), sa.ForeignKey("subjects.subject_id"), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "work_hashes",
        sa.Column("reference_id", _BIG, sa.ForeignKey("work_references.reference_id"), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("second_ms", sa.Integer, nullable=False),
        sa.Column("bits", sa.LargeBinary(32), nullable=False),
        sa.Column("quality", sa.SmallInteger, nullable=False),
    )
    op.create_table(
        "work_bands",
        sa.Column("band", sa.SmallInteger, primary_key=True),
        sa.Column("value", sa.Integer, primary_key=True),
        sa.Column("reference_id", _BIG, primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("bits", sa.LargeBinary(32), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "consent_grants",
        sa.Column("grant_id", sa.String(36), primary_key=True),
        sa.Column("subject_id", sa.String(32), sa.ForeignKey("subjects.subject_id"), nullable=False),
        sa.Column("grantee", sa.String(64), nullable=False),
        sa.Column("scopes", sa.String(64), nullable=False),
        sa.Column("purpose", sa.String(64), nullable=False),
        sa.Column("territory", sa.String(200), nullable=False),
        sa.Column("not_before_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_ms", sa.BigInteger, nullable=False),
        sa.Column("max_uses", sa.Integer),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("signature", sa.LargeBinary(64), nullable=False),
        sa.Column("uses", sa.Integer, nullable=False),
        sa.Column("revoked_ms", sa.BigInteger),
        sa.Column("revoked_reason", sa.String(64)),
    )
    op.create_table(
        "consent_uses",
        sa.Column("grant_id", sa.String(36), sa.ForeignKey("consent_grants.grant_id"), primary_key=True),
        sa.Column("clip_id", sa.String(32), sa.ForeignKey("clips.clip_id"), primary_key=True),
        sa.Column("intent_id", sa.String(36), nullable=False),
        sa.Column("token_id", sa.String(36), nullable=False),
        sa.Column("used_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "clip_notices",
        sa.Column("clip_id", sa.String(32), sa.ForeignKey("clips.clip_id"), primary_key=True),
        sa.Column("code", sa.String(32), primary_key=True),
        sa.Column("cause", sa.String(64), primary_key=True),
        sa.Column("since_ms", sa.BigInteger, nullable=False),
    )
    for table in ("subject_names", "face_templates", "work_references", "consent_grants"):
        op.create_index(f"ix_{table}_subject_id", table, ["subject_id"])
    op.create_index("ix_subject_names_name_key", "subject_names", ["name_key"])


def downgrade() -> None:
    for name in (
        "clip_notices",
        "consent_uses",
        "consent_grants",
        "work_bands",
        "work_hashes",
        "work_references",
        "face_templates",
        "subject_names",
        "subjects",
        "registry_state",
    ):
        op.drop_table(name)
