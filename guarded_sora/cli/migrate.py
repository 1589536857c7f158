"""``guarded-sora migrate``."""

from __future__ import annotations

import click

from guarded_sora.cli.exit_status import OK
from guarded_sora.cli.options import output_options, state_options
from guarded_sora.cli.output import Reply
from guarded_sora.settings import Settings


@click.command("migrate")
@output_options
@state_options
def command(reply: Reply, settings: Settings) -> int:
    """Bring the database to this version. Every command does so; this one does nothing else."""
    from guarded_sora.audit.migrate import current as log_version
    from guarded_sora.database import open_engine
    from guarded_sora.store.migrate import current as store_version

    engine = open_engine(settings.home, settings.database_url)
    try:
        with engine.connect() as connection:
            store = store_version(connection)
        document = {"audit_version": log_version(engine), "guarded_sora_version": store}
    finally:
        engine.dispose()
    reply.say(
        document, f"log schema {document['audit_version']}, store schema {document['guarded_sora_version']}"
    )
    return OK
