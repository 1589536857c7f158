"""Alembic environment: runs on the connection that ``store.migrate`` hands over."""

from alembic import context

import guarded_sora.server.tables  # noqa: F401  # the service's tables live in the same schema
from guarded_sora.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table="guarded_sora_version",
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
