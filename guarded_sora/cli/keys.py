"""``guarded-sora keys``: what this installation signs with, and whom it trusts."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import click

from guarded_sora.audit.entry import Event, uuid7
from guarded_sora.cli import mark_keys
from guarded_sora.cli.exit_status import OK
from guarded_sora.cli.options import output_options, state_options
from guarded_sora.cli.output import Reply, open_sora, print_json
from guarded_sora.errors import ProvenanceError, UsageError
from guarded_sora.provenance.credentials.trust_store import PURPOSES, HeldList, held_list, install_list
from guarded_sora.settings import Settings

_LARGEST = 4 << 20


@click.group("keys", invoke_without_command=True)
@output_options
@state_options
def command(reply: Reply, settings: Settings) -> int:
    """Make the keys on first use and show their public halves and the trust lists in force."""
    from cryptography import x509

    with open_sora(settings) as sora:
        keys, vkey, signer = sora.services.keys, sora.services.log.vkey, sora.services.signer
        mark_epoch = sora.services.mark_keys.epoch
    leaf = x509.load_pem_x509_certificates(signer.chain_pem)[0]
    today = datetime.now(UTC).date()
    lists = [held_list(settings.trust, purpose) for purpose in PURPOSES]
    document = {
        "issuer": keys.issuer,
        "log_vkey": vkey,
        "folder": str(keys.folder),
        "mark_epoch": mark_epoch,
        "certificate": {
            "subject": leaf.subject.rfc4514_string(),
            "serial": f"{leaf.serial_number:x}",
            "not_after": leaf.not_valid_after_utc.isoformat(),
        },
        "root_certificate": str(keys.root_path),
        "timestamp_authority": signer.timestamp_url,
        "trust": [{**item.as_json(), "stale": item.is_stale(today)} for item in lists],
    }
    if reply.as_json:
        print_json(document)
        return OK
    click.echo(f"issuer            {keys.issuer}   (the middle part of every clip id)")
    click.echo(f"log key           {vkey}")
    click.echo(
        f"certificate       {leaf.subject.rfc4514_string()}, until {leaf.not_valid_after_utc:%Y-%m-%d}"
    )
    click.echo(f"root certificate  {document['root_certificate']}")
    click.echo(f"timestamps        {signer.timestamp_url or 'none: set GUARDED_SORA_TIMESTAMP_URL'}")
    for item in lists:
        noun = "revoked certificates" if item.purpose == "revoked" else "authorities"
        dated = f", issued {item.issued}" if item.issued else ""
        old = ", a newer one is due" if item.is_stale(today) else ""
        click.echo(f"trust, {item.purpose:10} {item.count} {noun} from {item.source}{dated}{old}")
    click.echo(f"Back up the folder {keys.folder}: without it old clips cannot be recognised.")
    return OK


command.add_command(mark_keys.command)


@command.group("trust")
def trust() -> None:
    """The lists of those this installation trusts, one for each purpose."""


@trust.command("update")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--purpose",
    type=click.Choice(["claims", "time", "revoked"]),
    help="What the list is for (default: what a published list says of itself, claims for PEM).",
)
@click.option("--source", help="Where the list comes from, for the record (default: the file's name).")
@click.option("--issued", type=click.DateTime(["%Y-%m-%d"]), help="The list's own date, where it says none.")
@output_options
@state_options
def update(
    file: Path,
    purpose: str | None,
    source: str | None,
    issued: datetime | None,
    reply: Reply,
    settings: Settings,
) -> int:
    """Check FILE and put it in force in place of the list for its purpose.

    FILE is a PEM bundle of authorities, a list as the C2PA publishes it (JSON), or with --purpose revoked a
    JSON list of revoked serials. A list that does not hold changes nothing.
    """
    try:
        held = install_list(
            settings.trust,
            _read(file),
            source=" ".join((source or file.name).split())[:200],
            purpose=purpose,  # type: ignore[arg-type]
            issued=date(issued.year, issued.month, issued.day) if issued else None,
        )
    except ProvenanceError as error:
        raise UsageError(str(error)) from error
    # Logged afterwards: an installation whose list was damaged opens again only with the new one.
    with open_sora(settings) as sora:
        sora.services.log.append([_event(held)])
    if reply.as_json:
        print_json(held.as_json())
    else:
        left_out = f", {held.expired} expired ones left out" if held.expired else ""
        click.echo(f"{held.purpose}: {held.count} entries from {held.source} in force{left_out}.")
    return OK


def _event(held: HeldList) -> Event:
    body = {name: value for name, value in held.as_json().items() if name != "installed_on"}
    return Event(
        kind="trust.updated", actor="operator", subject=f"trust-{held.purpose}", id=uuid7(), body=body
    )


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(_LARGEST + 1)
    except OSError as error:
        raise UsageError(f"{file} cannot be read ({error.strerror}); check its rights.") from error
