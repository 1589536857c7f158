"""``guarded-sora cases notice`` and what follows from one: copies, answer, reasons, hand-off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from guarded_sora.cli.exit_status import OK
from guarded_sora.cli.options import output_options, reviewer_option, state_options
from guarded_sora.cli.output import Reply, clean, open_as, open_sora, print_json, print_table, progress
from guarded_sora.cli.times import iso_time
from guarded_sora.settings import Settings

_folder = click.Path(path_type=Path, exists=True, file_okay=False)
_file = click.Path(path_type=Path, exists=True, dir_okay=False)
_reviewer = reviewer_option()
_library = click.option(
    "--library",
    "libraries",
    multiple=True,
    type=_folder,
    help="A folder in which films are searched for copies; may be given several times.",
)


@click.command("notice")
@click.option(
    "--claim",
    type=click.Choice(["intimate", "likeness", "copyright", "trademark", "illegal", "child_safety", "other"]),
    required=True,
    help="What is wrong.",
)
@click.option(
    "--by",
    type=click.Choice(["person", "rights_holder", "trusted_flagger", "authority", "anybody"]),
    default="anybody",
    show_default=True,
    help="Who complains.",
)
@click.option("--jurisdiction", default="*", help="ISO 3166 code; its clocks then run.")
@click.option("--clip", default="", help="The clip's id.")
@click.option("--link", default="", help="Where it was seen; nothing is fetched.")
@click.option("--file", "upload", type=_file, help="The film itself.")
@click.option("--statement", default="", help="The complaint in words, or @FILE; kept encrypted.")
@click.option("--contact", default="", help="Where the answer goes; kept encrypted.")
@_library
@output_options
@state_options
def notice(
    claim: str,
    by: str,
    jurisdiction: str,
    clip: str,
    link: str,
    upload: Path | None,
    statement: str,
    contact: str,
    libraries: tuple[Path, ...],
    reply: Reply,
    settings: Settings,
) -> int:
    """Take in a complaint about a clip, start its clock, and look for copies of it."""
    from guarded_sora.notices import Complaint, receive_notice

    complaint = Complaint(
        claim=claim,
        by=by,
        jurisdiction=jurisdiction.upper(),
        about=clip,
        link=link,
        upload=upload,
        statement=_text(statement),
        contact=contact,
    )
    with open_sora(settings) as sora, progress(quiet=reply.quiet) as shown:
        received = receive_notice(sora.services, complaint, folders=libraries, progress=shown)
    document = {
        "case_id": received.notice.case_id,
        "about": str(received.wanted.clip_id or received.wanted.file_sha256 or "elsewhere"),
        "clock": received.notice.clock.id,
        "source": received.notice.clock.source,
        "due": iso_time(received.notice.due_ts),
        **_found(received.found),
    }
    if reply.as_json:
        print_json(document)
        return OK
    click.echo(f"case {document['case_id']} about {clean(str(document['about']))}")
    click.echo(f"due {document['due']} ({clean(str(document['source']))})")
    _show_copies(received.found)
    return OK


@click.command("copies")
@click.argument("case_id")
@_library
@output_options
@state_options
def copies(case_id: str, libraries: tuple[Path, ...], reply: Reply, settings: Settings) -> int:
    """Look again for copies of what a notice is about."""
    from guarded_sora.notices import look_for_copies, wanted_of

    with open_sora(settings) as sora, progress(quiet=reply.quiet) as shown:
        services = sora.services
        case = services.cases.show(case_id)
        wanted = wanted_of(services, case)
        found = look_for_copies(services, case, wanted, folders=libraries, progress=shown)
    if reply.as_json:
        print_json({"case_id": case_id, **_found(found)})
    else:
        _show_copies(found)
    return OK


@click.command("answer")
@click.argument("case_id")
@_reviewer
@click.option("--text", default="", help="What the complainant is told, or @FILE (default: plain words).")
@output_options
@state_options
def answer(case_id: str, reviewer: str, text: str, reply: Reply, settings: Settings) -> int:
    """Print the answer to the complainant of a decided notice, and record it. Sending it is yours."""
    from guarded_sora.notices import answer_notice

    with open_as(settings, reviewer) as (services, who):
        words = answer_notice(services, case_id, actor=who, text=_text(text))
    reply.say({"case_id": case_id, "answer": words}, words)
    return OK


@click.command("reasons")
@click.argument("case_ids", nargs=-1, required=True)
@click.option("--territory", "territories", multiple=True, help="ISO 3166 code (default: all of the EU).")
@output_options
@state_options
def reasons(case_ids: tuple[str, ...], territories: tuple[str, ...], reply: Reply, settings: Settings) -> int:
    """Statements of reasons for decided cases, in the form of the DSA transparency database.

    Prints one body a line, of at most 100 statements, as the database takes them.
    """
    from guarded_sora.reasons import EU, batches, reasons_for

    with open_sora(settings) as sora:
        made = [
            reasons_for(sora.services, case_id, territories=tuple(map(str.upper, territories)) or EU)
            for case_id in case_ids
        ]
    for body in batches(made):
        print_json(body)
    return OK


@click.command("hand-off")
@click.argument("case_id")
@click.option(
    "--to",
    "certificates",
    multiple=True,
    required=True,
    type=_file,
    help="Certificate (PEM, RSA) of an authority; may be given several times.",
)
@click.option("--film", type=_file, help="Where the film lies when it is not in this installation.")
@_reviewer
@output_options
@state_options
def hand_off_command(
    case_id: str,
    certificates: tuple[Path, ...],
    film: Path | None,
    reviewer: str,
    reply: Reply,
    settings: Settings,
) -> int:
    """Seal a child-safety case for an authority and delete our own copies. Nobody looks at it again."""
    from guarded_sora.handoff import hand_off

    with open_as(settings, reviewer) as (services, who):
        done = hand_off(services, case_id, certificates, by=who, film=film)
    document = {
        "case_id": done.case_id,
        "path": str(done.path),
        "sha256": done.sha256,
        "parts": done.parts,
        "recipients": list(done.recipients),
        "deleted": done.deleted,
        "audit": {"seq": done.seq},
    }
    if reply.as_json:
        print_json(document)
    else:
        click.echo(f"sealed for {len(done.recipients)}: {done.path}")
        click.echo(
            f"sha256 {done.sha256}; {done.deleted} films of ours were deleted; audit record {done.seq}"
        )
        if film is not None and film.exists():
            click.echo(
                f"The film given lies outside this installation; delete it yourself: {clean(str(film))}"
            )
        click.echo("Its recipient opens it with: openssl cms -decrypt -inform DER -in FILE -inkey KEY")
    return OK


COMMANDS = (notice, copies, answer, reasons, hand_off_command)


def _text(value: str) -> str:
    """An option's text, or what the file behind an ``@`` holds."""
    from guarded_sora.errors import UsageError

    if not value.startswith("@"):
        return value
    try:
        return Path(value[1:]).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(f"{value[1:]} cannot be read ({error.strerror}); check the path.") from error


def _found(found: Any) -> dict[str, Any]:
    return {
        "copies": [
            {
                "place": copy.place,
                "by": copy.by,
                "clip_id": str(copy.clip_id) if copy.clip_id else None,
                "file_sha256": copy.file_sha256,
                "path": str(copy.path) if copy.path else None,
            }
            for copy in found.copies
        ],
        "examined": found.examined,
        "failed": [str(path) for path in found.failed],
    }


def _show_copies(found: Any) -> None:
    print_table(
        f"{len(found.copies)} {'copy' if len(found.copies) == 1 else 'copies'}; "
        f"{found.examined} films examined, {len(found.failed)} could not be read",
        ("where", "known by", "clip", "file"),
        [
            (copy.place, copy.by, copy.clip_id or "", copy.path or f"sha256 {(copy.file_sha256 or '')[:16]}")
            for copy in found.copies
        ],
    )
