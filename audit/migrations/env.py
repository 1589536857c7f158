"""Runs migrations on the connection :mod:`guarded_sora.audit.migrate` hands over."""

from alembic import context

from guarded_sora.audit.tables import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
