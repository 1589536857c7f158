"""Alembic environment: runs on the connection that ``store.migrate`` hands over."""

from alembic import context

from guarded_sora.server import tables
from guarded_sora.store.tables import metadata

assert tables.metadata is metadata  # the service's tables live in the same schema

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table="guarded_sora_version",
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
