"""The log: events, tiles, state, checkpoints, encrypted payloads, and the case projection."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
KIND = sa.String(64).with_variant(sa.String(64, collation="C"), "postgresql")
NAME = sa.String(200)
APPEND_ONLY = ("events", "tiles", "checkpoints")


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column("seq", BIG, primary_key=True, autoincrement=False),
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("ts", BIG, nullable=False),
        sa.Column("kind", KIND, nullable=False),
        sa.Column("actor", NAME, nullable=False),
        sa.Column("subject", NAME, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("payload", sa.LargeBinary(36), nullable=True),
        sa.Column("leaf", sa.LargeBinary(32), nullable=False),
        sa.UniqueConstraint("id", name="events_id"),
    )
    op.create_index("events_subject", "events", ["subject", "seq"])
    op.create_index("events_kind", "events", ["kind", "seq"])
    op.create_index("events_actor", "events", ["actor", "ts"])
    op.create_table(
        "tiles",
        sa.Column("level", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("idx", BIG, primary_key=True, autoincrement=False),
        sa.Column("root", sa.LargeBinary(32), nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    state = op.create_table(
        "tree_state",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("size", BIG, nullable=False),
        sa.Column("ts", BIG, nullable=False),
        sa.Column("frontier", sa.LargeBinary, nullable=False),
    )
    op.bulk_insert(state, [{"id": 1, "size": 0, "ts": 0, "frontier": b""}])
    op.create_table(
        "checkpoints",
        sa.Column("size", BIG, primary_key=True, autoincrement=False),
        sa.Column("ts", BIG, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
    )
    op.create_table(
        "subject_keys",
        sa.Column("key_id", sa.LargeBinary(16), primary_key=True),
        sa.Column("owner", NAME, nullable=False),
        sa.Column("wrapped", sa.LargeBinary, nullable=True),
        sa.Column("created_at", BIG, nullable=False),
        sa.Column("erased_at", BIG, nullable=True),
    )
    op.create_index("subject_keys_owner", "subject_keys", ["owner"])
    op.create_table(
        "payloads",
        sa.Column("seq", BIG, primary_key=True, autoincrement=False),
        sa.Column("owner", NAME, nullable=False),
        sa.Column("key_id", sa.LargeBinary(16), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary, nullable=True),
        sa.Column("erased_at", BIG, nullable=True),
    )
    op.create_index("payloads_owner", "payloads", ["owner"])
    op.create_table(
        "holds",
        sa.Column("owner", NAME, primary_key=True),
        sa.Column("reason", sa.String(64), primary_key=True),
        sa.Column("until", BIG, nullable=True),
        sa.Column("seq", BIG, nullable=False),
    )
    op.create_table(
        "cases",
        sa.Column("case_id", sa.String(36), primary_key=True),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("subject", NAME, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("opened_seq", BIG, nullable=False),
        sa.Column("opened_ts", BIG, nullable=False),
        sa.Column("changed_seq", BIG, nullable=False),
        sa.Column("due_ts", BIG, nullable=True),
        sa.Column("holder", NAME, nullable=True),
        sa.Column("held_until", BIG, nullable=True),
        sa.Column("record", sa.LargeBinary, nullable=False),
    )
    op.create_index("cases_queue", "cases", ["state", "opened_seq"])
    op.create_index("cases_subject", "cases", ["subject"])
    if op.get_bind().dialect.name == "postgresql":
        _postgresql_triggers()
    else:
        _sqlite_triggers()


def _sqlite_triggers() -> None:
    for table in APPEND_ONLY:
        for action in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
    op.execute(
        "CREATE TRIGGER tree_state_no_delete BEFORE DELETE ON tree_state "
        "BEGIN SELECT RAISE(ABORT, 'tree_state is append-only'); END"
    )
    op.execute(
        "CREATE TRIGGER tree_state_only_grows BEFORE UPDATE ON tree_state WHEN NEW.size < OLD.size "
        "BEGIN SELECT RAISE(ABORT, 'tree_state is append-only'); END"
    )


def _postgresql_triggers() -> None:
    op.execute(
        "CREATE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ "
        "BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
    )
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only()"
        )
    op.execute(
        "CREATE TRIGGER tree_state_append_only BEFORE DELETE OR TRUNCATE ON tree_state "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only()"
    )
    op.execute(
        "CREATE TRIGGER tree_state_only_grows BEFORE UPDATE ON tree_state "
        "FOR EACH ROW WHEN (NEW.size < OLD.size) EXECUTE FUNCTION audit_append_only()"
    )


def downgrade() -> None:
    for table in (
        "cases",
        "holds",
        "payloads",
        "subject_keys",
        "checkpoints",
        "tree_state",
        "tiles",
        "events",
    ):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION audit_append_only()")
