"""``guarded-sora verify``."""

from __future__ import annotations

from pathlib import Path

import click

from guarded_sora.cli.exit_status import REFUSED, USAGE, of_verdict, worst
from guarded_sora.cli.options import laws, output_options, state_options
from guarded_sora.cli.output import Reply, open_sora, print_json, progress, report_error, show_verdict
from guarded_sora.errors import UsageError
from guarded_sora.settings import Settings


@click.command("verify")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--depth",
    type=click.Choice(["credentials", "provenance", "full"]),
    default="full",
    show_default=True,
    help="credentials reads no pixels, so our own films stay inconclusive; provenance adds mark and "
    "fingerprint, in two seconds of every ten and, where these show anything of ours, in all; full reads "
    "all of every film and adds the detector.",
)
@click.option("--rules", default="", help="Laws to check clause by clause: eu,us-ca,cn,in,kr.")
@click.option("--rubric", is_flag=True, help="Check the manifest against the conformance rubric.")
@click.option(
    "--timeline",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also draw which seconds belong to which clip: a PNG, for one file.",
)
@output_options
@state_options
def command(
    files: tuple[Path, ...],
    depth: str,
    rules: str,
    rubric: bool,
    timeline: Path | None,
    reply: Reply,
    settings: Settings,
) -> int:
    """Say of each of FILES what can be said: whose it is, whether it is whole, which seconds.

    Exit status: 0 ours_intact, signed_elsewhere, no_evidence; 1 ours_altered, tampered,
    declared_synthetic, likely_synthetic, unreadable, or a failed clause; 4 inconclusive; of several
    the worst.
    """
    from guarded_sora.rules import known_laws
    from guarded_sora.timeline import draw_timeline

    asked = known_laws(laws(rules))
    if timeline is not None and len(files) != 1:
        raise UsageError("--timeline draws one film; give one FILE.")
    statuses = []
    with open_sora(settings) as sora, progress(quiet=reply.quiet) as shown:
        for file in files:
            try:
                verdict = sora.verify(
                    file,
                    depth=depth,  # type: ignore[arg-type]
                    laws=asked,
                    rubric=rubric,
                    progress=shown,
                )
            except UsageError as error:
                # One wrong path must not hide what is said of the others.
                if reply.as_json:
                    print_json({"file": str(file), "error": {"code": error.code, "message": str(error)}})
                else:
                    report_error(error.code, str(error), as_json=False)
                statuses.append(USAGE)
                continue
            if timeline is not None:
                draw_timeline(verdict, timeline)
            if reply.as_json:
                print_json(verdict.as_json())
            else:
                show_verdict(verdict)
            status = of_verdict(verdict.verdict.value, verdict.notices)
            statuses.append(REFUSED if verdict.clause_failed else status)
    return worst(statuses)
