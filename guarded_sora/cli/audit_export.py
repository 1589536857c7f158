"""``guarded-sora audit export``: the log as files that anybody can check."""

from __future__ import annotations

from pathlib import Path

import click

from guarded_sora.audit.errors import EntryInvalid
from guarded_sora.audit.sinks import BUILT_IN, Sink
from guarded_sora.cli.audit_search import as_filters, filter_options
from guarded_sora.cli.exit_status import OK
from guarded_sora.cli.options import output_options, state_options
from guarded_sora.cli.output import Reply, open_sora, print_json, progress
from guarded_sora.errors import UsageError
from guarded_sora.plugins import load_plugins
from guarded_sora.settings import Settings

TILES = "tiles"
VERIFIER = "verifier"


@click.command("export")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="File (tiles: folder).")
@click.option(
    "--format",
    "form",
    default="jsonl",
    show_default=True,
    help=f"{', '.join(BUILT_IN)}; {TILES}: a tree for any web server; {VERIFIER}: the stand-alone checker; "
    "or a plug-in that the setting 'sinks' names.",
)
@filter_options
@output_options
@state_options
def export(
    out: Path,
    form: str,
    kind: str | None,
    actor: str | None,
    subject: str | None,
    since: str | None,
    until: str | None,
    reply: Reply,
    settings: Settings,
) -> int:
    """Write entries with their proofs to OUT, the checkpoint and key beside it. Never payloads."""
    from guarded_sora.audit.export import export_entries, export_tiles, write_verifier

    given = {"kind": kind, "actor": actor, "subject": subject, "since": since, "until": until}
    if form == VERIFIER:
        write_verifier(out)
        reply.say({"path": str(out)}, f"The checker lies in {out}: python {out} FILE --key KEY")
        return OK
    if form == TILES and any(value is not None for value in given.values()):
        raise UsageError("A tile tree holds every entry; leave the filters out.")
    with open_sora(settings) as sora, progress(quiet=reply.quiet) as shown:
        shown.stage("export")
        log = sora.services.log
        if form == TILES:
            done = export_tiles(log, out, shown.step)
        else:
            try:
                sink = _sink(form, settings)
                done = export_entries(log, out, sink, **as_filters(sora.services, given), progress=shown.step)
            except EntryInvalid as error:
                raise UsageError(str(error)) from error
    checkpoint = done.checkpoint
    if reply.as_json:
        document = {"path": str(out), "entries": done.entries, "size": checkpoint.size}
        print_json({**document, "root": checkpoint.root.hex()})
    else:
        key = out / "key.vkey" if form == TILES else f"{out}.vkey"
        click.echo(f"{done.entries} entries of {checkpoint.size} lie in {out}.")
        if form == TILES or form in BUILT_IN:
            click.echo(f"Check them offline: python -m guarded_sora.audit.verifier {out} --key {key}")
    return OK


def _sink(form: str, settings: Settings) -> Sink:
    """The built-in sink of this name, or the plug-in's that the settings allow."""
    if form in BUILT_IN:
        return BUILT_IN[form]
    if form not in settings.sinks:
        known = ", ".join((*BUILT_IN, TILES, VERIFIER, *settings.sinks))
        raise UsageError(f"There is no format {form[:40]!r} here; there is {known}.")
    (made,) = load_plugins("sinks", [form])
    if not isinstance(made, Sink):
        raise UsageError(f"The plug-in {form!r} is no sink; it needs a name and open(file).")
    return made
