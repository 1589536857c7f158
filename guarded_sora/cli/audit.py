"""``guarded-sora audit``: read, prove and verify the log."""

from __future__ import annotations

from pathlib import Path

import click

from guarded_sora.audit.publish import split_notes
from guarded_sora.cli import dossier
from guarded_sora.cli.audit_entries import show
from guarded_sora.cli.audit_export import export
from guarded_sora.cli.audit_keep import publish, sequence
from guarded_sora.cli.audit_search import kept_searches, search
from guarded_sora.cli.exit_status import OK, REFUSED
from guarded_sora.cli.options import output_options, state_options
from guarded_sora.cli.output import Reply, clean, open_sora, print_json, progress
from guarded_sora.errors import UsageError
from guarded_sora.settings import Settings


@click.group("audit")
def command() -> None:
    """Read, prove and verify the log."""


@command.command("tail")
@click.option("-n", "--count", type=click.IntRange(1, 10_000), default=10, show_default=True)
@output_options
@state_options
def tail(count: int, reply: Reply, settings: Settings) -> int:
    """The newest entries, oldest of them first."""
    with open_sora(settings) as sora:
        show(sora.services.log.tail(count), as_json=reply.as_json)
    return OK


@command.command("prove")
@click.argument("seq", type=click.IntRange(min=0))
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder for the three files.",
)
@output_options
@state_options
def prove(seq: int, out: Path, reply: Reply, settings: Settings) -> int:
    """Write a proof that entry SEQ stands in the log: entry.json, proof.tlog-proof, key.vkey."""
    with open_sora(settings) as sora:
        files = sora.services.log.prove(seq).write(out)
    document = {"seq": seq, "entry": str(files.entry), "proof": str(files.proof), "key": str(files.key)}
    reply.say(
        document,
        f"The proof that entry {seq} stands in the log lies in {out}. Anybody can check it offline:",
        f"guarded-sora audit check {files.proof} --entry {files.entry} --key {files.key}",
    )
    return OK


@command.command("check")
@click.argument("proof", type=click.Path(path_type=Path))
@click.option("--entry", type=click.Path(path_type=Path), required=True, help="The entry's bytes.")
@click.option("--key", type=click.Path(path_type=Path), required=True, help="The log's verification key.")
@output_options
def check(proof: Path, entry: Path, key: Path, reply: Reply) -> int:
    """Check a proof offline: no database, no keys of ours. Exit status: 0 it holds, 1 it does not."""
    from guarded_sora.audit.verifier import CheckFailed, check_proof

    try:
        checked = check_proof(
            _read(proof).decode("utf-8", "replace"), _read(entry), _read(key).decode("utf-8", "replace")
        )
    except CheckFailed as error:
        reply.say({"holds": False, "reason": str(error)}, f"does not hold: {clean(str(error))}")
        return REFUSED
    document = {
        "holds": True,
        "origin": checked.origin,
        "index": checked.index,
        "size": checked.size,
        "root": checked.root.hex(),
    }
    reply.say(document, f"holds: entry {checked.index} of {checked.size} in {clean(checked.origin)}")
    return OK


@command.command("verify")
@click.option(
    "--published",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A checkpoint kept outside the database; only it shows a rollback. May be given several times.",
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file that keeps the place reached: a run that was stopped goes on there.",
)
@click.option("--without-payloads", is_flag=True, help="Leave encrypted data out, as an auditor must.")
@output_options
@state_options
def verify(
    published: tuple[Path, ...], resume: Path | None, without_payloads: bool, reply: Reply, settings: Settings
) -> int:
    """Re-hash the whole log and name every row that was changed. Exit status: 0 it holds, 1 not.

    --published takes a checkpoint, or a file that 'audit publish --file' wrote: of that, every one.
    """
    notes = [note for path in published for note in split_notes(_read(path).decode("utf-8", "replace"))]
    with open_sora(settings) as sora, progress(quiet=reply.quiet) as shown:
        shown.stage("rehash")
        report = sora.services.log.verify(
            shown.step, published=notes, with_payloads=not without_payloads, resume=resume
        )
    document = {
        "holds": report.ok,
        "size": report.size,
        "root": report.root.hex(),
        "checkpoints": report.checkpoints,
        "payloads": report.payloads,
        "problems": [{"where": problem.where, "what": problem.what} for problem in report.problems],
    }
    if reply.as_json:
        print_json(document)
    else:
        click.echo(
            f"{'holds' if report.ok else 'DOES NOT HOLD'}: {report.size} entries, root {report.root.hex()}"
        )
        for problem in report.problems:
            click.echo(f"  {clean(problem.where)}: {clean(problem.what)}")
    return OK if report.ok else REFUSED


@command.command("checkpoint")
@output_options
@state_options
def checkpoint(reply: Reply, settings: Settings) -> int:
    """Sign and print the state of the log; keep it elsewhere, so that a rollback can be seen."""
    with open_sora(settings) as sora:
        signed = sora.services.log.checkpoint()
    if reply.as_json:
        print_json({"size": signed.size, "root": signed.root.hex(), "note": signed.note})
    else:
        click.echo(signed.note, nl=False)
    return OK


@command.command("erase")
@click.option("--subject", required=True, help="The actor whose personal data goes, as given to generate.")
@click.option("--reason", default="request", show_default=True, help="A reason code.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@output_options
@state_options
def erase(subject: str, reason: str, yes: bool, reply: Reply, settings: Settings) -> int:
    """Erase one actor's prompts and waiting films for ever; every proof still verifies."""
    from guarded_sora.person_erasure import erase_person

    if not yes:
        click.confirm("This cannot be undone. Erase?", abort=True, err=True)
    with open_sora(settings) as sora:
        services = sora.services
        owner = services.keys.pseudonym("actor", subject)
        gone = erase_person(services, owner, actor="operator", reason=reason)
    done = gone.erased
    document = {
        "seq": done.seq,
        "payloads": done.payloads,
        "keys": done.keys,
        "scrubbed": done.scrubbed,
        "films": gone.films,
        "cases": list(gone.cases),
    }
    reply.say(
        document,
        f"erased {done.payloads} payloads and {done.keys} keys; audit record {done.seq}",
        f"deleted {gone.films} films that waited for review, ended {len(gone.cases)} cases",
    )
    return OK


for part in (search, kept_searches, export, publish, sequence, dossier.command):
    command.add_command(part)


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > 16 << 20:
            raise UsageError(f"{path} is too large for what it should be.")
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); check the path.") from error
