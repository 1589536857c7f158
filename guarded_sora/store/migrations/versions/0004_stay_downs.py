"""Fingerprints that must stay down; the text of every policy pack that decided here."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "stay_downs",
        sa.Column("stay_down_id", _BIG, primary_key=True, autoincrement=True),
        sa.Column("case_id", sa.String(36), nullable=False, index=True),
        sa.Column("clip_id", sa.String(32), index=True),
        sa.Column("file_sha256", sa.String(64), index=True),
        sa.Column("since_ms", sa.BigInteger, nullable=False),
        sa.Column("lifted_ms", sa.BigInteger),
    )
    op.create_table(
        "stay_down_hashes",
        sa.Column("stay_down_id", _BIG, sa.ForeignKey("stay_downs.stay_down_id"), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("second_ms", sa.Integer, nullable=False),
        sa.Column("bits", sa.LargeBinary(32), nullable=False),
        sa.Column("cells", sa.LargeBinary(32), nullable=False),
        sa.Column("quality", sa.SmallInteger, nullable=False),
    )
    op.create_table(
        "policy_texts",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("pack_id", sa.String(200), nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("since_ms", sa.BigInteger, nullable=False),
        sa.Column("files", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    for name in ("policy_texts", "stay_down_hashes", "stay_downs"):
        op.drop_table(name)
