"""``guarded-sora audit publish`` and ``sequence``: what runs beside the log."""

from __future__ import annotations

import time
from pathlib import Path

import click

from guarded_sora.audit.errors import FileFailed, ProofInvalid
from guarded_sora.audit.pending import Sequencer
from guarded_sora.audit.publish import FilePublisher, HttpPublisher, ObjectStorePublisher, Publisher, Witness
from guarded_sora.cli.exit_status import OK
from guarded_sora.cli.options import output_options, state_options
from guarded_sora.cli.output import Reply, open_sora, print_json
from guarded_sora.errors import UsageError
from guarded_sora.settings import Settings


@click.command("publish")
@click.option("--file", type=click.Path(path_type=Path, dir_okay=False), help="Append to this file.")
@click.option("--url", help="POST to this address.")
@click.option("--bucket", help="Store in BUCKET/PREFIX of an S3 store, locked against deletion.")
@click.option("--lock-days", type=click.IntRange(1, 36_500), default=365, show_default=True)
@click.option("--endpoint", help="Address of an S3 store that is not Amazon's.")
@click.option("--witness", help="Ask this witness for its cosignature too.")
@click.option("--witness-key", type=click.Path(path_type=Path), help="File with the witness's key.")
@click.option("--every", type=click.FloatRange(min=1), help="Go on, once in so many seconds.")
@output_options
@state_options
def publish(
    file: Path | None,
    url: str | None,
    bucket: str | None,
    lock_days: int,
    endpoint: str | None,
    witness: str | None,
    witness_key: Path | None,
    every: float | None,
    reply: Reply,
    settings: Settings,
) -> int:
    """Take a signed checkpoint out of the database: only one kept elsewhere shows a rollback."""
    places: list[Publisher] = []
    if file is not None:
        places.append(FilePublisher(file))
    if url is not None:
        places.append(HttpPublisher(url))
    if bucket is not None:
        places.append(ObjectStorePublisher.at(bucket, days=lock_days, endpoint=endpoint))
    if not places and witness is None:
        raise UsageError("Say where to: --file, --url, --bucket or --witness.")
    if (witness is None) != (witness_key is None):
        raise UsageError("A witness needs both --witness and --witness-key.")
    with open_sora(settings) as sora:
        log = sora.services.log
        third = Witness(log, witness, _text(witness_key)) if witness and witness_key else None
        while True:
            checkpoint = log.checkpoint()
            try:
                for place in places:
                    place.publish(checkpoint)
                note = checkpoint.note if third is None else third.cosign(checkpoint)
            except (FileFailed, ProofInvalid) as error:
                if every is None:
                    raise
                # It is tried again: one failure must not end what watches over the log.
                click.echo(f"guarded-sora: {error}", err=True)
            else:
                if reply.as_json:
                    print_json({"size": checkpoint.size, "root": checkpoint.root.hex(), "note": note})
                elif not reply.quiet:
                    click.echo(f"published {checkpoint.size} entries, root {checkpoint.root.hex()}")
            if every is None:
                return OK
            time.sleep(every)


@click.command("sequence")
@click.option("--once", is_flag=True, help="Move what waits and stop.")
@output_options
@state_options
def sequence(once: bool, reply: Reply, settings: Settings) -> int:
    """Move events that were handed in into the log. Run one on every host; one of them leads."""
    with open_sora(settings) as sora:
        sequencer = Sequencer(sora.services.log)
        if not once:
            sequencer.run(moved=None if reply.quiet else lambda count: click.echo(f"moved {count}", err=True))
            return OK
        total = 0
        while count := sequencer.step():
            total += count
    reply.say({"moved": total}, f"moved {total} events into the log")
    return OK


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read as text; check the path.") from error
