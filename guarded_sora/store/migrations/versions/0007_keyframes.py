"""Features of registered pictures, by which parts of them are found in other pictures."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "work_keyframes",
        sa.Column("reference_id", _BIG, sa.ForeignKey("work_references.reference_id"), primary_key=True),
        sa.Column("position", sa.Integer(), primary_key=True),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("work_keyframes")
