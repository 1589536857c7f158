"""``guarded-sora registry hashes``: hash lists of works in the forms of ThreatExchange tools."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from guarded_sora.cli.exit_status import OK
from guarded_sora.cli.options import output_options, state_options
from guarded_sora.cli.output import Reply, clean, open_sora, progress
from guarded_sora.settings import Settings


@click.group("hashes")
def hashes() -> None:
    """PDQ hash lists: take them in, and hand ours on."""


@hashes.command("import")
@click.argument("subject_id")
@click.argument("path", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@output_options
@state_options
def import_(subject_id: str, path: Path, reply: Reply, settings: Settings) -> int:
    """Register every PDQ hash in a .csv, .json or .jsonl list as a picture of SUBJECT_ID."""
    from guarded_sora.hash_lists import import_hashes

    with open_sora(settings) as sora, progress(quiet=reply.quiet) as shown:
        done = import_hashes(sora.services, subject_id, path, progress=shown)
    reply.say(
        asdict(done),
        f"{done.added} hashes registered; left out: {done.repeated} repeated, {done.other} of other "
        f"kinds, {done.plain} too plain",
    )
    return OK


@hashes.command("export")
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
@output_options
@state_options
def export(path: Path, reply: Reply, settings: Settings) -> int:
    """Write every registered hash, without names, to a new .csv, .json or .jsonl list."""
    from guarded_sora.hash_lists import export_hashes

    with open_sora(settings) as sora, progress(quiet=reply.quiet) as shown:
        count = export_hashes(sora.services, path, progress=shown)
    reply.say({"exported": count, "path": str(path)}, f"{count} written to {clean(str(path))}")
    return OK
