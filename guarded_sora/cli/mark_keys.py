"""``guarded-sora keys mark``: epochs, tenants and revocations of the invisible mark."""

from __future__ import annotations

from collections.abc import Callable

import click

from guarded_sora.cli.exit_status import OK
from guarded_sora.cli.options import output_options, state_options
from guarded_sora.cli.output import Reply, open_sora, print_json
from guarded_sora.mark_keys import MarkKeys
from guarded_sora.settings import Settings

Change = Callable[[MarkKeys], MarkKeys]


@click.group("mark")
def command() -> None:
    """The keys of the invisible mark; every change is an entry of the log."""


@command.command("list")
@output_options
@state_options
def list_(reply: Reply, settings: Settings) -> int:
    """Show epochs, tenants and what was revoked; no secret."""
    with open_sora(settings) as sora:
        _show(sora.services.mark_keys, reply)
    return OK


@command.command("rotate")
@output_options
@state_options
def rotate(reply: Reply, settings: Settings) -> int:
    """Mark films with a new key from now on; films of older keys are still read."""
    return _change("keys.mark_rotated", MarkKeys.rotate, None, reply, settings)


@command.command("tenant")
@click.argument("name")
@output_options
@state_options
def tenant(name: str, reply: Reply, settings: Settings) -> int:
    """Give tenant NAME a key of its own. Programs that run already must be started again."""
    return _change("keys.mark_tenant_added", lambda keys: keys.with_tenant(name), name, reply, settings)


@command.command("revoke")
@click.argument("epoch", type=int)
@click.option("--tenant", default=None, help="Only this tenant's key; without it, all of the epoch.")
@click.option("--reason", default="", help="Why, for the log and for verdicts.")
@output_options
@state_options
def revoke(epoch: int, tenant: str | None, reason: str, reply: Reply, settings: Settings) -> int:
    """Say of every mark by the key of EPOCH, from now on, that its key was revoked."""
    return _change(
        "keys.mark_revoked",
        lambda keys: keys.revoke(epoch, tenant, reason),
        tenant,
        reply,
        settings,
        epoch=epoch,
        reason=reason,
    )


def _change(
    kind: str,
    change: Change,
    tenant: str | None,
    reply: Reply,
    settings: Settings,
    **body: object,
) -> int:
    from guarded_sora.audit.entry import Event, uuid7

    with open_sora(settings) as sora:
        services = sora.services
        changed = change(services.mark_keys)
        if changed is not services.mark_keys:
            pseudonym = None if tenant is None else services.keys.pseudonym("tenant", tenant)
            details = {"tenant": pseudonym, "epoch_in_use": changed.epoch, **body}
            services.log.append(
                [Event(kind=kind, actor="operator", subject="mark-keys", id=uuid7(), body=details)]
            )
        _show(changed, reply)
    if changed is not services.mark_keys and not reply.as_json:
        click.echo("The folder 'keys' changed: back it up again.")
    return OK


def _show(keys: MarkKeys, reply: Reply) -> None:
    document = {
        "epoch": keys.epoch,
        "epochs": sorted(keys.secrets),
        "tenants": list(keys.tenants),
        "revocations": [
            {"epoch": i.epoch, "tenant": i.tenant, "since": i.since.isoformat(), "reason": i.reason}
            for i in keys.revocations
        ],
    }
    if reply.as_json:
        print_json(document)
        return
    click.echo(f"epoch in use  {keys.epoch} of {', '.join(map(str, sorted(keys.secrets)))}")
    click.echo(f"tenants       {', '.join(keys.tenants)}")
    for item in keys.revocations:
        whose = item.tenant or "all tenants"
        click.echo(f"revoked       epoch {item.epoch}, {whose}, since {item.since:%Y-%m-%d %H:%M} UTC")
