"""Smaller events: a leaf is kept in its tile alone. Events that wait for a sequencer, saved searches.

``events`` is made anew, since a dropped column would go on taking room in every row on PostgreSQL.
"""

from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from guarded_sora.audit.entry import canonical
from guarded_sora.audit.tree import leaf_hash

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
KIND = sa.String(64).with_variant(sa.String(64, collation="C"), "postgresql")
NAME = sa.String(200)
PAGE = 1000
CELLS = ("seq", "id", "ts", "kind", "actor", "subject", "body", "payload")
NEW_RIGHTS = {
    "open_leaves": "SELECT, INSERT, DELETE",
    "pending": "SELECT, INSERT, UPDATE, DELETE",
    "searches": "SELECT, INSERT, UPDATE, DELETE",
}


def upgrade() -> None:
    rights = _rights()
    _open_leaves()
    _replace(
        [
            sa.Column("seq", BIG, primary_key=True, autoincrement=False),
            sa.Column("ts", BIG, nullable=False),
            sa.Column("id", sa.LargeBinary(16), nullable=False),
            sa.Column("kind", KIND, nullable=False),
            sa.Column("actor", NAME, nullable=False),
            sa.Column("subject", NAME, nullable=False),
            sa.Column("body", sa.LargeBinary, nullable=False),
            sa.Column("payload", sa.LargeBinary(36), nullable=True),
        ],
        lambda row: {name: row[name] for name in CELLS},
    )
    op.create_index("events_id", "events", ["id"], unique=True)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("CREATE INDEX events_subject ON events (hashtext(subject))")
    else:
        op.create_index("events_subject", "events", ["subject"])
    op.create_index("events_kind", "events", ["kind"])
    op.create_index("events_actor", "events", ["actor"])
    _triggers()
    if op.get_bind().dialect.name == "postgresql":
        # Hashes do not get smaller: trying costs the server as much as everything else it does.
        op.execute("ALTER TABLE tiles ALTER COLUMN data SET STORAGE EXTERNAL")
        op.execute("ALTER TABLE open_leaves ALTER COLUMN leaves SET STORAGE EXTERNAL")
    op.create_table(
        "pending",
        sa.Column("n", BIG, primary_key=True, autoincrement=True),
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("ts", BIG, nullable=False),
        sa.Column("kind", KIND, nullable=False),
        sa.Column("actor", NAME, nullable=False),
        sa.Column("subject", NAME, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("payload", sa.LargeBinary(36), nullable=True),
        sa.Column("owner", NAME, nullable=True),
        sa.Column("key_id", sa.LargeBinary(16), nullable=True),
        sa.Column("ciphertext", sa.LargeBinary, nullable=True),
        sa.Column("searchable", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("refused", sa.Text, nullable=True),
    )
    op.create_index("pending_id", "pending", ["id"], unique=True)
    op.create_index("pending_owner", "pending", ["owner"])
    op.create_table(
        "searches",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("filters", sa.Text, nullable=False),
        sa.Column("ts", BIG, nullable=False),
    )
    for role, granted in rights.items():
        op.execute(f"GRANT {', '.join(sorted(granted))} ON events TO {role}")
        for table, wanted in NEW_RIGHTS.items():
            if "INSERT" in granted:
                op.execute(f"GRANT {wanted} ON {table} TO {role}")
            elif table != "pending":
                op.execute(f"GRANT SELECT ON {table} TO {role}")
        if "INSERT" in granted:
            op.execute(f"GRANT USAGE ON SEQUENCE pending_n_seq TO {role}")


def downgrade() -> None:
    rights = _rights()
    op.drop_table("searches")
    op.drop_table("pending")
    _replace(
        [
            sa.Column("seq", BIG, primary_key=True, autoincrement=False),
            sa.Column("id", sa.LargeBinary(16), nullable=False),
            sa.Column("ts", BIG, nullable=False),
            sa.Column("kind", KIND, nullable=False),
            sa.Column("actor", NAME, nullable=False),
            sa.Column("subject", NAME, nullable=False),
            sa.Column("body", sa.LargeBinary, nullable=False),
            sa.Column("payload", sa.LargeBinary(36), nullable=True),
            sa.Column("leaf", sa.LargeBinary(32), nullable=False),
        ],
        lambda row: {**{name: row[name] for name in CELLS}, "leaf": _leaf(row)},
    )
    op.create_index("events_id", "events", ["id"], unique=True)
    op.create_index("events_subject", "events", ["subject", "seq"])
    op.create_index("events_kind", "events", ["kind", "seq"])
    op.create_index("events_actor", "events", ["actor", "ts"])
    _triggers()
    op.drop_table("open_leaves")
    for role, granted in rights.items():
        op.execute(f"GRANT {', '.join(sorted(granted))} ON events TO {role}")


def _replace(columns: list[sa.Column[Any]], convert: Callable[[Any], dict[str, Any]]) -> None:
    """Put a table of these ``columns`` in the place of ``events``, its rows passed through ``convert``."""
    bind = op.get_bind()
    new = op.create_table("events_new", *columns)
    old = sa.Table("events", sa.MetaData(), autoload_with=bind)
    for page in _pages(bind, old):
        bind.execute(sa.insert(new), [convert(row) for row in page])
    op.drop_table("events")
    op.rename_table("events_new", "events")
    if bind.dialect.name == "postgresql":
        op.execute("ALTER INDEX events_new_pkey RENAME TO events_pkey")


def _pages(bind: sa.Connection, table: sa.Table) -> Iterator[list[Any]]:
    after = -1
    while True:
        query = sa.select(table).where(table.c.seq > after).order_by(table.c.seq).limit(PAGE)
        page = list(bind.execute(query).mappings())
        if not page:
            return
        yield page
        after = page[-1]["seq"]


def _leaf(row: Any) -> bytes:
    return leaf_hash(canonical(*(row[name] for name in CELLS[1:])))


def _open_leaves() -> None:
    """The leaves of the tile that is not full, out of their rows."""
    made = op.create_table(
        "open_leaves",
        sa.Column("seq", BIG, primary_key=True, autoincrement=False),
        sa.Column("leaves", sa.LargeBinary, nullable=False),
    )
    bind = op.get_bind()
    size = bind.execute(sa.text("SELECT size FROM tree_state")).scalar() or 0
    query = sa.text("SELECT leaf FROM events WHERE seq >= :low ORDER BY seq").bindparams(low=size & ~255)
    leaves = [bytes(leaf) for leaf in bind.execute(query).scalars()]
    if leaves:
        bind.execute(sa.insert(made).values(seq=size & ~255, leaves=b"".join(leaves)))


def _triggers() -> None:
    """The table is new, so it needs its guards again."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE TRIGGER events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON events "
            "FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only()"
        )
        return
    for action in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER events_no_{action.lower()} BEFORE {action} ON events "
            "BEGIN SELECT RAISE(ABORT, 'events is append-only'); END"
        )


def _rights() -> dict[str, set[str]]:
    """What other roles may do with ``events`` now: a table made anew has forgotten it."""
    bind = op.get_bind()
    if bind.dialect.name != "postgresql":
        return {}
    query = (
        "SELECT quote_ident(pg_get_userbyid(acl.grantee)) AS role, acl.privilege_type AS what "
        "FROM pg_class, aclexplode(relacl) AS acl "
        "WHERE pg_class.oid = 'events'::regclass AND acl.grantee NOT IN (relowner, 0)"
    )
    found: dict[str, set[str]] = {}
    for row in bind.execute(sa.text(query)):
        found.setdefault(row.role, set()).add(row.what)
    return found
