"""``guarded-sora generate``."""

from __future__ import annotations

from pathlib import Path

import click

from guarded_sora.cli.exit_status import OK
from guarded_sora.cli.options import (
    chosen,
    context_options,
    laws,
    output_options,
    parse_size,
    reader_options,
    request_context,
    state_options,
)
from guarded_sora.cli.output import Reply, open_sora, progress, refusal, show_release
from guarded_sora.policies.finding import AgeTier
from guarded_sora.settings import Settings


@click.command("generate")
@click.argument("prompt")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="The film, ending in .mp4."
)
@click.option("--image", type=click.Path(path_type=Path), help="A picture to start from.")
@click.option("--video", type=click.Path(path_type=Path), help="A film to continue.")
@click.option("--until", type=click.Path(path_type=Path), help="A picture or a film to end with.")
@click.option("--loop", is_flag=True, help="Come back to the first picture.")
@click.option(
    "--mask", type=click.Path(path_type=Path), help="A picture: make the film anew where it is light."
)
@click.option("--seconds", type=float, default=2.0, show_default=True, help="Length.")
@click.option("--size", help="WIDTHxHEIGHT (default: what the generator makes best).")
@click.option("--seed", type=int, help="The same seed gives the same film.")
@click.option("-n", "--n", "count", type=int, default=1, show_default=True, help="How many films.")
@click.option("--expand", default="", help="Complete a short prompt: grammar, or a language model's folder.")
@click.option("--fast/--no-fast", default=None, help="The built-in generator in a hurry, less exact.")
@click.option("--backend", help="builtin, a local checkpoint folder, or a hub id.")
@reader_options
@context_options
@output_options
@state_options
def command(
    prompt: str,
    output: Path,
    image: Path | None,
    video: Path | None,
    until: Path | None,
    loop: bool,
    mask: Path | None,
    seconds: float,
    size: str | None,
    seed: int | None,
    count: int,
    expand: str,
    fast: bool | None,
    backend: str | None,
    reader: Path | None,
    reader_model: Path | None,
    profile: str,
    actor: str,
    tenant: str,
    age_tier: AgeTier,
    region: str,
    consents: tuple[str, ...],
    reply: Reply,
    settings: Settings,
) -> int:
    """Make a film from PROMPT: checked, marked, signed and logged.

    Exit status: 0 released, 1 blocked, 4 held for review.
    """
    from guarded_sora.guard import generate
    from guarded_sora.prompts import PromptRequest

    request = PromptRequest(
        prompt=prompt,
        seconds=seconds,
        size=parse_size(size),
        seed=seed,
        image=image,
        video=video,
        until=until,
        loop=loop,
        mask=mask,
        profile=laws(profile),
        expand=expand,
    )
    context = request_context(actor, tenant, age_tier, region, consents)
    asked = chosen(settings, backend=backend, reader=reader, reader_model=reader_model, fast=fast)
    with (
        open_sora(asked) as sora,
        progress(quiet=reply.quiet) as shown,
        refusal(as_json=reply.as_json),
    ):
        releases = generate(sora.services, request, context, output=output, count=count, progress=shown)
    for release in releases:
        show_release(release, as_json=reply.as_json, profile=request.profile, region=region)
    return OK
