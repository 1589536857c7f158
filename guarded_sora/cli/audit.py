"""``guarded-sora audit``: read, prove and verify the log."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from guarded_sora.cli import dossier
from guarded_sora.cli.exit_status import OK, REFUSED
from guarded_sora.cli.options import output_options, settings_from, state_options
from guarded_sora.cli.output import clean, open_sora, print_json, print_table, progress
from guarded_sora.errors import UsageError


@click.group("audit")
def command() -> None:
    """Read, prove and verify the log."""


@command.command("tail")
@click.option("-n", "--count", type=click.IntRange(1, 10_000), default=10, show_default=True)
@output_options
@state_options
def tail(count: int, as_json: bool, quiet: bool, home: Path | None, database_url: str | None) -> int:
    """The newest entries, oldest of them first."""
    with open_sora(settings_from(home, database_url)) as sora:
        _show(sora.services.log.tail(count), as_json=as_json)
    return OK


@command.command("search")
@click.option("--kind", help="request.released, or request.* for all of a family.")
@click.option("--actor", help="The actor's name as given to generate, or a pseudonym from the log.")
@click.option("--subject", help="A clip id, an intent id, a case id or a file's SHA-256.")
@click.option("--after", type=int, help="Only entries after this sequence number.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
@output_options
@state_options
def search(
    kind: str | None,
    actor: str | None,
    subject: str | None,
    after: int | None,
    limit: int,
    as_json: bool,
    quiet: bool,
    home: Path | None,
    database_url: str | None,
) -> int:
    """Entries that match every filter, oldest first."""
    with open_sora(settings_from(home, database_url)) as sora:
        services = sora.services
        if actor is not None and not actor.startswith("actor-"):
            actor = services.keys.pseudonym("actor", actor)
        found = services.log.search(kind=kind, actor=actor, subject=subject, after=after, limit=limit)
        _show(found, as_json=as_json)
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
def prove(
    seq: int, out: Path, as_json: bool, quiet: bool, home: Path | None, database_url: str | None
) -> int:
    """Write a proof that entry SEQ stands in the log: entry.json, proof.tlog-proof, key.vkey."""
    with open_sora(settings_from(home, database_url)) as sora:
        files = sora.services.log.prove(seq).write(out)
    document = {"seq": seq, "entry": str(files.entry), "proof": str(files.proof), "key": str(files.key)}
    if as_json:
        print_json(document)
    else:
        click.echo(
            f"The proof that entry {seq} stands in the log lies in {out}. Anybody can check it offline:"
        )
        click.echo(f"guarded-sora audit check {files.proof} --entry {files.entry} --key {files.key}")
    return OK


@command.command("check")
@click.argument("proof", type=click.Path(path_type=Path))
@click.option("--entry", type=click.Path(path_type=Path), required=True, help="The entry's bytes.")
@click.option("--key", type=click.Path(path_type=Path), required=True, help="The log's verification key.")
@output_options
def check(proof: Path, entry: Path, key: Path, as_json: bool, quiet: bool) -> int:
    """Check a proof offline: no database, no keys of ours. Exit status: 0 it holds, 1 it does not."""
    from guarded_sora.audit.verifier import CheckFailed, check_proof

    try:
        checked = check_proof(
            _read(proof).decode("utf-8", "replace"), _read(entry), _read(key).decode("utf-8", "replace")
        )
    except CheckFailed as error:
        if as_json:
            print_json({"holds": False, "reason": str(error)})
        else:
            click.echo(f"does not hold: {clean(str(error))}")
        return REFUSED
    document = {
        "holds": True,
        "origin": checked.origin,
        "index": checked.index,
        "size": checked.size,
        "root": checked.root.hex(),
    }
    if as_json:
        print_json(document)
    else:
        click.echo(f"holds: entry {checked.index} of {checked.size} in {clean(checked.origin)}")
    return OK


@command.command("verify")
@click.option(
    "--published",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A checkpoint kept outside the database; only it shows a rollback. May be given several times.",
)
@output_options
@state_options
def verify(
    published: tuple[Path, ...], as_json: bool, quiet: bool, home: Path | None, database_url: str | None
) -> int:
    """Re-hash the whole log and name every row that was changed. Exit status: 0 it holds, 1 not."""
    notes = [_read(path).decode("utf-8", "replace") for path in published]
    with open_sora(settings_from(home, database_url)) as sora, progress(quiet=quiet) as shown:
        shown.stage("rehash")
        report = sora.services.log.verify(shown.step, published=notes)
    document = {
        "holds": report.ok,
        "size": report.size,
        "root": report.root.hex(),
        "checkpoints": report.checkpoints,
        "payloads": report.payloads,
        "problems": [{"where": problem.where, "what": problem.what} for problem in report.problems],
    }
    if as_json:
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
def checkpoint(as_json: bool, quiet: bool, home: Path | None, database_url: str | None) -> int:
    """Sign and print the state of the log; keep it elsewhere, so that a rollback can be seen."""
    with open_sora(settings_from(home, database_url)) as sora:
        signed = sora.services.log.checkpoint()
    if as_json:
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
def erase(
    subject: str,
    reason: str,
    yes: bool,
    as_json: bool,
    quiet: bool,
    home: Path | None,
    database_url: str | None,
) -> int:
    """Erase one actor's prompts and waiting films for ever; every proof still verifies."""
    from guarded_sora.person_erasure import erase_person

    if not yes:
        click.confirm("This cannot be undone. Erase?", abort=True, err=True)
    with open_sora(settings_from(home, database_url)) as sora:
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
    if as_json:
        print_json(document)
    else:
        click.echo(f"erased {done.payloads} payloads and {done.keys} keys; audit record {done.seq}")
        click.echo(f"deleted {gone.films} films that waited for review, ended {len(gone.cases)} cases")
    return OK


command.add_command(dossier.command)


def _show(entries: list[Any], *, as_json: bool) -> None:
    if as_json:
        for entry in entries:
            print_json(
                {
                    "seq": entry.seq,
                    "id": entry.id,
                    "time": datetime.fromtimestamp(entry.ts / 1000, UTC).isoformat(timespec="milliseconds"),
                    "kind": entry.kind,
                    "actor": entry.actor,
                    "subject": entry.subject,
                    "body": dict(entry.body),
                }
            )
        return
    print_table(
        "",
        ("seq", "time", "kind", "subject", "what"),
        [(entry.seq, _time(entry.ts), entry.kind, entry.subject, _gist(entry.body)) for entry in entries],
    )


def _gist(body: Any) -> str:
    """The few words of an entry that a reader looks for first."""
    wanted = ("action", "verdict", "reason", "stage", "clip_id", "case_id")
    return ", ".join(str(body[name]) for name in wanted if body.get(name))


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > 16 << 20:
            raise UsageError(f"{path} is too large for what it should be.")
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); check the path.") from error
