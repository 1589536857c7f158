"""``guarded-sora doctor``."""

from __future__ import annotations

import click

from guarded_sora.cli.exit_status import OK, REFUSED
from guarded_sora.cli.options import output_options, state_options
from guarded_sora.cli.output import Reply, open_sora, print_json, print_table, progress
from guarded_sora.settings import Settings


@click.command("doctor")
@output_options
@state_options
def command(reply: Reply, settings: Settings) -> int:
    """Try every part for real and say what is missing. Exit status: 0 nothing failed, 1 something did."""
    from guarded_sora.doctor import examine

    with open_sora(settings) as sora, progress(quiet=reply.quiet) as shown:
        shown.stage("examination")
        examined = list(examine(sora.services))
    if reply.as_json:
        print_json(
            {"parts": [{"part": item.part, "state": item.state, "detail": item.detail} for item in examined]}
        )
    else:
        print_table(
            "", ("part", "state", "detail"), [(item.part, item.state, item.detail) for item in examined]
        )
    return REFUSED if any(item.state == "failed" for item in examined) else OK
