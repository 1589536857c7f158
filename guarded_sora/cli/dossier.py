"""``guarded-sora audit dossier``."""

from __future__ import annotations

from pathlib import Path

import click

from guarded_sora.cli.exit_status import OK
from guarded_sora.cli.options import output_options, state_options
from guarded_sora.cli.output import Reply, open_as
from guarded_sora.settings import Settings


@click.command("dossier")
@click.argument("about")
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path, dir_okay=False), help="A .zip file."
)
@click.option(
    "--role",
    type=click.Choice(["regulator", "court", "complainant", "author", "public"]),
    default="regulator",
    show_default=True,
    help="Who it is for: what they may not read is left out.",
)
@click.option(
    "--viewer",
    default="operator",
    envvar="GUARDED_SORA_REVIEWER",
    help="Who makes it; every text it opens is logged as seen by them.",
)
@output_options
@state_options
def command(about: str, output: Path, role: str, viewer: str, reply: Reply, settings: Settings) -> int:
    """Everything about a clip, a case or a period in one archive that anybody can check offline.

    ABOUT is a clip's id, a case's id, or a period such as 2026-11 or 2026-11-01..2026-11-30.
    """
    from guarded_sora.dossier import make_dossier

    with open_as(settings, viewer) as (services, who):
        made = make_dossier(services, about, output, role=role, viewer=who)
    document = {
        "path": str(made.path),
        "sha256": made.sha256,
        "about": {"kind": made.about.kind, "id": made.about.id},
        "role": made.role,
        "entries": made.entries,
        "withheld": made.withheld,
        "payloads": made.payloads,
        "policies": list(made.policies),
        "audit": {"seq": made.seq},
    }
    reply.say(
        document,
        f"{made.path}: {made.entries} entries, {made.payloads} texts, for the {made.role}",
        "Anybody can check it offline, with the log's verification key:",
        f"python -m guarded_sora.audit.verifier {made.path} --key KEY",
    )
    return OK
