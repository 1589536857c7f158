"""``guarded-sora protect``."""

from __future__ import annotations

from pathlib import Path

import click

from guarded_sora.cli.exit_status import OK
from guarded_sora.cli.options import context_options, laws, output_options, request_context, state_options
from guarded_sora.cli.output import Reply, open_sora, progress, refusal, show_release
from guarded_sora.policies.finding import AgeTier
from guarded_sora.settings import Settings


@click.command("protect")
@click.argument("film", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="The film, ending in .mp4."
)
@click.option("--prompt", required=True, help="The words the film was made from.")
@click.option("--source-type", help="What an unsigned film is declared as (short IPTC name).")
@context_options
@output_options
@state_options
def command(
    film: Path,
    output: Path,
    prompt: str,
    source_type: str | None,
    profile: str,
    actor: str,
    tenant: str,
    age_tier: AgeTier,
    region: str,
    consents: tuple[str, ...],
    reply: Reply,
    settings: Settings,
) -> int:
    """Guard FILM, which another generator made: the same checks, mark, signature and record.

    Exit status: 0 released, 1 blocked, 4 held for review.
    """
    with (
        open_sora(settings) as sora,
        progress(quiet=reply.quiet) as shown,
        refusal(as_json=reply.as_json),
    ):
        release = sora.protect(
            film,
            prompt=prompt,
            output=output,
            source_type=source_type,
            profile=laws(profile),
            context=request_context(actor, tenant, age_tier, region, consents),
            progress=shown,
        )
    show_release(release, as_json=reply.as_json, profile=laws(profile), region=region)
    return OK
