"""The films that were given to protect, by the hash of their bytes."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "clip_sources",
        sa.Column("clip_id", sa.String(32), sa.ForeignKey("clips.clip_id"), primary_key=True),
        sa.Column("file_sha256", sa.String(64), nullable=False, index=True),
    )


def downgrade() -> None:
    op.drop_table("clip_sources")
