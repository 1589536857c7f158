"""Full-text search over erasable text, pruning, and cosignatures of witnesses."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("payloads", sa.Column("searchable", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("tree_state", sa.Column("pruned", BIG, nullable=False, server_default="0"))
    op.create_table(
        "cosignatures",
        sa.Column("size", BIG, primary_key=True, autoincrement=False),
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("ts", BIG, nullable=False),
        sa.Column("line", sa.Text, nullable=False),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("CREATE TABLE payload_words (seq BIGINT PRIMARY KEY, words tsvector NOT NULL)")
        op.execute("CREATE INDEX payload_words_words ON payload_words USING gin (words)")
    else:
        # Without content: the words are found, the text itself stays encrypted.
        op.execute("CREATE VIRTUAL TABLE payload_words USING fts5(words, content='', tokenize='unicode61')")


def downgrade() -> None:
    op.execute("DROP TABLE payload_words")
    op.drop_table("cosignatures")
    op.drop_column("tree_state", "pruned")
    op.drop_column("payloads", "searchable")
