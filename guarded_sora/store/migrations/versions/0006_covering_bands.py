"""On PostgreSQL the index of a band table carries the hash, so that a search reads the index alone.

SQLite keeps those tables clustered by that key already.
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_TABLES = {"work_bands": "reference_id", "fingerprint_bands": "clip_id"}


def upgrade() -> None:
    _rebuild(" INCLUDE (bits)")


def downgrade() -> None:
    _rebuild("")


def _rebuild(covered: str) -> None:
    if op.get_context().dialect.name != "postgresql":
        return
    for table, owner in _TABLES.items():
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey")
        op.execute(f"ALTER TABLE {table} ADD PRIMARY KEY (band, value, {owner}, position){covered}")
