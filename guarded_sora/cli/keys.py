"""``guarded-sora keys``: what this installation signs with."""

from __future__ import annotations

from pathlib import Path

import click

from guarded_sora.cli.exit_status import OK
from guarded_sora.cli.options import output_options, settings_from, state_options
from guarded_sora.cli.output import open_sora, print_json


@click.command("keys")
@output_options
@state_options
def command(as_json: bool, quiet: bool, home: Path | None, database_url: str | None) -> int:
    """Make the keys on first use and show their public halves: issuer, log key, certificate."""
    from cryptography import x509

    with open_sora(settings_from(home, database_url)) as sora:
        keys, vkey = sora.services.keys, sora.services.log.vkey
    leaf = x509.load_pem_x509_certificates(keys.chain_pem)[0]
    document = {
        "issuer": keys.issuer,
        "log_vkey": vkey,
        "folder": str(keys.folder),
        "mark_epoch": keys.mark_epoch,
        "certificate": {
            "subject": leaf.subject.rfc4514_string(),
            "serial": f"{leaf.serial_number:x}",
            "not_after": leaf.not_valid_after_utc.isoformat(),
        },
        "root_certificate": str(keys.folder / "c2pa-root.pem"),
    }
    if as_json:
        print_json(document)
    else:
        click.echo(f"issuer            {keys.issuer}   (the middle part of every clip id)")
        click.echo(f"log key           {vkey}")
        click.echo(
            f"certificate       {leaf.subject.rfc4514_string()}, until {leaf.not_valid_after_utc:%Y-%m-%d}"
        )
        click.echo(f"root certificate  {document['root_certificate']}")
        click.echo(f"Back up the folder {keys.folder}: without it old clips cannot be recognised.")
    return OK
