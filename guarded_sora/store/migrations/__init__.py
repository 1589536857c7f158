"""Alembic tree of the store; its version table is ``guarded_sora_version``."""
