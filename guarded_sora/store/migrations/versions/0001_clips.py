"""Clips, manifests, fingerprints."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "clips",
        sa.Column("clip_id", sa.String(32), primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False, unique=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("intent_id", sa.String(36), nullable=False),
        sa.Column("file_sha256", sa.String(64), index=True),
        sa.Column("manifest_label", sa.String(128)),
        sa.Column("audit_seq", sa.BigInteger),
        sa.Column("seconds_ms", sa.Integer),
        sa.Column("width", sa.Integer),
        sa.Column("height", sa.Integer),
    )
    op.create_index("clips_by_state", "clips", ["state", "created_ms"])
    op.create_table(
        "manifests",
        sa.Column("label", sa.String(128), primary_key=True),
        sa.Column("clip_id", sa.String(32), sa.ForeignKey("clips.clip_id"), nullable=False, index=True),
        sa.Column("store", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "fingerprints",
        sa.Column("clip_id", sa.String(32), sa.ForeignKey("clips.clip_id"), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("second_ms", sa.Integer, nullable=False),
        sa.Column("bits", sa.LargeBinary(32), nullable=False),
        sa.Column("cells", sa.LargeBinary(32), nullable=False),
        sa.Column("quality", sa.SmallInteger, nullable=False),
    )
    op.create_table(
        "fingerprint_bands",
        sa.Column("band", sa.SmallInteger, primary_key=True),
        sa.Column("value", sa.Integer, primary_key=True),
        sa.Column("clip_id", sa.String(32), sa.ForeignKey("clips.clip_id"), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("bits", sa.LargeBinary(32), nullable=False),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    for name in ("fingerprint_bands", "fingerprints", "manifests"):
        op.drop_table(name)
    op.drop_index("clips_by_state", table_name="clips")
    op.drop_table("clips")
