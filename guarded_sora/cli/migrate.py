"""``guarded-sora migrate``."""

from __future__ import annotations

from pathlib import Path

import click

from guarded_sora.cli.exit_status import OK
from guarded_sora.cli.options import output_options, settings_from, state_options
from guarded_sora.cli.output import print_json


@click.command("migrate")
@output_options
@state_options
def command(as_json: bool, quiet: bool, home: Path | None, database_url: str | None) -> int:
    """Bring the database to this version. Every command does so; this one does nothing else."""
    from guarded_sora.audit.migrate import current as log_version
    from guarded_sora.database import open_engine
    from guarded_sora.store.migrate import current as store_version

    settings = settings_from(home, database_url)
    engine = open_engine(settings.home, settings.database_url)
    try:
        with engine.connect() as connection:
            store = store_version(connection)
        document = {"audit_version": log_version(engine), "guarded_sora_version": store}
    finally:
        engine.dispose()
    if as_json:
        print_json(document)
    else:
        click.echo(f"log schema {document['audit_version']}, store schema {document['guarded_sora_version']}")
    return OK
