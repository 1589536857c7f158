"""``guarded-sora registry``: people, characters, brands and works that are protected, and consents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from guarded_sora.cli.exit_status import OK
from guarded_sora.cli.options import output_options, state_options
from guarded_sora.cli.output import Reply, clean, open_sora, print_json, print_table, progress
from guarded_sora.cli.registry_hashes import hashes
from guarded_sora.cli.times import iso_time
from guarded_sora.settings import Settings

_KINDS = ("person", "character", "brand", "work")
_STANDINGS = ("private", "public", "minor", "deceased")
_SCOPES = ("generate", "edit", "voice")
_file = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.group("registry")
def command() -> None:
    """People, characters, brands and works that are protected here, and who may depict them."""


def _kind_group(kind: str) -> click.Group:
    group = click.Group(kind, help=f"Register a {kind}: add, list, remove.")

    @group.command("add")
    @click.argument("name")
    @click.option("--alias", "aliases", multiple=True, help="Another spelling or script.")
    @click.option("--weak", multiple=True, help="A name that is also a common word: asks for a look only.")
    @click.option("--description", "descriptions", multiple=True, help="Words that give the subject away.")
    @click.option("--standing", type=click.Choice(_STANDINGS), help="Of a person (default: private).")
    @click.option("--jurisdiction", default="", help="ISO 3166 code of the law that protects.")
    @click.option("--terms", default="", help="Licence terms, for people to read.")
    @click.option("--face", "faces", multiple=True, type=_file, help="A picture of this one person.")
    @click.option("--reference", "references", multiple=True, type=_file, help="A picture or clip of a work.")
    @click.option("--clip", "clips", multiple=True, help="The id of a clip of ours that must stay down.")
    @output_options
    @state_options
    def add(
        name: str,
        aliases: tuple[str, ...],
        weak: tuple[str, ...],
        descriptions: tuple[str, ...],
        standing: str | None,
        jurisdiction: str,
        terms: str,
        faces: tuple[Path, ...],
        references: tuple[Path, ...],
        clips: tuple[str, ...],
        reply: Reply,
        settings: Settings,
    ) -> int:
        """Register NAME with its other spellings, faces or references, and print its id."""
        from guarded_sora.enrol import add_clip_reference, add_face_pictures, add_reference, add_subject
        from guarded_sora.provenance.clip_id import ClipId
        from guarded_sora.store import Kind, Standing, SubjectName

        names = [
            SubjectName(text=name),
            *(SubjectName(text=text) for text in aliases),
            *(SubjectName(text=text, weak=True) for text in weak),
            *(SubjectName(text=text, description=True) for text in descriptions),
        ]
        with open_sora(settings) as sora, progress(quiet=reply.quiet) as shown:
            services = sora.services
            subject_id = add_subject(
                services,
                Kind(kind),
                names,
                standing=Standing(standing or ""),
                jurisdiction=jurisdiction,
                terms=terms,
            )
            shown.stage("faces")
            if faces:
                add_face_pictures(services, subject_id, faces)
            for number, path in enumerate(references, start=1):
                add_reference(services, subject_id, path)
                shown.step(number, len(references))
            for clip in clips:
                add_clip_reference(services, subject_id, ClipId.parse(clip))
        document = {
            "subject_id": subject_id,
            "kind": kind,
            "names": len(names),
            "faces": len(faces),
            "references": len(references) + len(clips),
        }
        reply.say(document, f"registered {subject_id}")
        return OK

    @group.command("list")
    @output_options
    @state_options
    def list_(reply: Reply, settings: Settings) -> int:
        """Everybody of this kind. Names are shown in clear: mind who looks over your shoulder."""
        from guarded_sora.store import Kind

        with open_sora(settings) as sora:
            found = sora.services.registry.subjects(Kind(kind))
        if reply.as_json:
            for item in found:
                print_json(_subject_json(item))
        else:
            rows = [
                (item.subject_id, item.names[0].text, item.standing, item.faces, item.references)
                for item in found
            ]
            print_table(f"Registered: {kind}", ("id", "name", "standing", "faces", "references"), rows)
        return OK

    @group.command("remove")
    @click.argument("subject_id")
    @output_options
    @state_options
    def remove(subject_id: str, reply: Reply, settings: Settings) -> int:
        """Forget SUBJECT_ID and end every consent about it."""
        from guarded_sora.enrol import remove_subject

        with open_sora(settings) as sora:
            remove_subject(sora.services, subject_id)
        reply.say({"subject_id": subject_id, "removed": True}, f"removed {subject_id}")
        return OK

    return group


for _kind in _KINDS:
    command.add_command(_kind_group(_kind))


command.add_command(hashes)


@command.group("consent")
def consent() -> None:
    """Who may depict whom: grant, token, list, revoke."""


@consent.command("grant")
@click.argument("subject_id")
@click.option("--to", "actor", required=True, help="The actor who may use it, as in --actor of generate.")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(_SCOPES), default=("generate",))
@click.option("--purpose", required=True, help="What for, in one lower-case word such as 'advert'.")
@click.option("--days", type=click.FloatRange(min=0, min_open=True), default=30.0, show_default=True)
@click.option("--uses", type=click.IntRange(min=1), help="How many films (default: any number).")
@click.option("--territory", multiple=True, help="ISO 3166 code or EU (default: everywhere).")
@output_options
@state_options
def grant(
    subject_id: str,
    actor: str,
    scopes: tuple[str, ...],
    purpose: str,
    days: float,
    uses: int | None,
    territory: tuple[str, ...],
    reply: Reply,
    settings: Settings,
) -> int:
    """Write down a consent about SUBJECT_ID and print a token for the next day."""
    from guarded_sora.consent import give_consent, issue_token
    from guarded_sora.store.grants import now_ms

    with open_sora(settings) as sora:
        services = sora.services
        given = give_consent(
            services,
            subject_id,
            actor=actor,
            scopes=scopes,
            purpose=purpose,
            territory=tuple(code.upper() for code in territory),
            max_uses=uses,
            expires_ms=now_ms() + round(days * 24 * 3600 * 1000),
        )
        token = issue_token(services.registry_keys, services.keys.issuer, given)
    reply.say(
        {**_grant_json(given), "token": token},
        f"grant  {given.grant_id} until {iso_time(given.expires_ms)}",
        f"token  {token}",
    )
    return OK


@consent.command("token")
@click.argument("grant_id")
@click.option("--hours", type=click.FloatRange(min=0.01, max=24), default=24.0, show_default=True)
@output_options
@state_options
def token(grant_id: str, hours: float, reply: Reply, settings: Settings) -> int:
    """Print a new token of a live grant."""
    from guarded_sora.consent import issue_token
    from guarded_sora.errors import UsageError

    with open_sora(settings) as sora:
        services = sora.services
        found = services.grants.grant(grant_id)
        if found is None:
            raise UsageError("No such grant; 'guarded-sora registry consent list' shows those there are.")
        made = issue_token(services.registry_keys, services.keys.issuer, found, seconds=round(hours * 3600))
    reply.say({"grant_id": grant_id, "token": made}, made)
    return OK


@consent.command("list")
@click.argument("subject_id", required=False)
@output_options
@state_options
def list_grants(subject_id: str | None, reply: Reply, settings: Settings) -> int:
    """All grants, or those about SUBJECT_ID."""
    with open_sora(settings) as sora:
        found = sora.services.grants.grants(subject_id)
    if reply.as_json:
        for item in found:
            print_json(_grant_json(item))
        return OK
    rows = [
        (
            item.grant_id,
            item.subject_id,
            ",".join(item.scopes),
            item.purpose,
            iso_time(item.expires_ms),
            item.uses,
            item.revoked_reason or "",
        )
        for item in found
    ]
    columns = ("grant", "subject", "scopes", "purpose", "until", "films", "revoked")
    print_table("Consents", columns, rows)
    return OK


@consent.command("revoke")
@click.argument("grant_id")
@click.option("--reason", default="withdrawn", show_default=True, help="One lower-case word.")
@output_options
@state_options
def revoke(grant_id: str, reason: str, reply: Reply, settings: Settings) -> int:
    """End a consent and list every clip made under it; verify says so of them from now on."""
    from guarded_sora.consent import revoke_consent

    with open_sora(settings) as sora:
        uses = revoke_consent(sora.services, grant_id, reason=reason)
        records = [sora.services.store.by_id(use.clip_id) for use in uses]
    clips = [
        {
            "clip_id": str(use.clip_id),
            "mark": f"{use.clip_id.id:010x}",
            "sha256": record.file_sha256 if record else None,
            "audit_seq": record.audit_seq if record else None,
            "made": iso_time(use.used_ms),
        }
        for use, record in zip(uses, records, strict=True)
    ]
    if reply.as_json:
        print_json({"grant_id": grant_id, "revoked": True, "reason": reason, "clips": clips})
        return OK
    print_table(
        f"Revoked; {len(clips)} clips were made under this consent",
        ("clip", "mark", "made", "audit record"),
        [(item["clip_id"], item["mark"], item["made"], item["audit_seq"]) for item in clips],
    )
    return OK


@command.command("import")
@click.argument("path", type=_file)
@output_options
@state_options
def import_(path: Path, reply: Reply, settings: Settings) -> int:
    """Register everybody in a .csv or .jsonl file; those known by name are left as they are."""
    from guarded_sora.registry_files import import_subjects

    with open_sora(settings) as sora, progress(quiet=reply.quiet) as shown:
        done = import_subjects(sora.services, path, progress=shown)
    reply.say(
        {"added": done.added, "known": done.known}, f"{done.added} registered, {done.known} known before"
    )
    return OK


@command.command("export")
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
@output_options
@state_options
def export(path: Path, reply: Reply, settings: Settings) -> int:
    """Write everybody's names, in clear, to a new .csv or .jsonl file that only you may read."""
    from guarded_sora.registry_files import export_subjects

    with open_sora(settings) as sora, progress(quiet=reply.quiet) as shown:
        count = export_subjects(sora.services, path, progress=shown)
    reply.say({"exported": count, "path": str(path)}, f"{count} written to {clean(str(path))}")
    return OK


def _subject_json(item: Any) -> dict[str, Any]:
    return {
        "subject_id": item.subject_id,
        "kind": item.kind.value,
        "standing": item.standing.value,
        "jurisdiction": item.jurisdiction,
        "names": [
            {"text": name.text, "weak": name.weak, "description": name.description} for name in item.names
        ],
        "terms": item.terms,
        "faces": item.faces,
        "references": item.references,
    }


def _grant_json(item: Any) -> dict[str, Any]:
    return {
        "grant_id": item.grant_id,
        "subject_id": item.subject_id,
        "grantee": item.grantee,
        "scopes": list(item.scopes),
        "purpose": item.purpose,
        "territory": list(item.territory),
        "not_before": iso_time(item.not_before_ms),
        "expires": iso_time(item.expires_ms),
        "max_uses": item.max_uses,
        "uses": item.uses,
        "revoked": item.revoked_reason,
    }
