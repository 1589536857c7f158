"""``guarded-sora audit search`` and ``searches``: find entries, keep a search under a name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from guarded_sora.audit import Event, searches
from guarded_sora.audit.errors import EntryInvalid
from guarded_sora.cli.audit_entries import show
from guarded_sora.cli.exit_status import OK
from guarded_sora.cli.options import output_options, state_options
from guarded_sora.cli.output import Reply, clean, open_sora, print_json, print_table
from guarded_sora.cli.times import moment
from guarded_sora.errors import UsageError
from guarded_sora.services import Services
from guarded_sora.settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])


def filter_options(command: Command) -> Command:
    """The filters of the log's entries."""
    for option in (
        click.option("--until", help="Only entries before this time."),
        click.option("--since", help="Only entries from this time on: 2026-11-01, or 24h or 7d ago."),
        click.option("--subject", help="A clip id, an intent id, a case id or a file's SHA-256."),
        click.option("--actor", help="The actor's name as given to generate, or a pseudonym from the log."),
        click.option("--kind", help="request.released, or request.* for all of a family."),
    ):
        command = option(command)
    return command


def as_filters(services: Services, given: dict[str, str | None]) -> dict[str, Any]:
    """Filters as a person writes them, in the form the log takes."""
    found: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    for name in ("since", "until"):
        if name in found:
            found[name] = moment(found[name])
    actor = found.get("actor")
    if actor is not None and not actor.startswith("actor-"):
        found["actor"] = services.keys.pseudonym("actor", actor)
    return found


@click.command("search")
@filter_options
@click.option("--text", help='Words of stored prompts; "in quotes" they must follow each other. Logged.')
@click.option("--after", type=int, help="Only entries after this sequence number.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
@click.option("--save", metavar="NAME", help="Keep these filters under a name.")
@click.option("--saved", metavar="NAME", help="Start from filters that were kept; others given here win.")
@output_options
@state_options
def search(
    kind: str | None,
    actor: str | None,
    subject: str | None,
    since: str | None,
    until: str | None,
    text: str | None,
    after: int | None,
    limit: int,
    save: str | None,
    saved: str | None,
    reply: Reply,
    settings: Settings,
) -> int:
    """Entries that match every filter, oldest first. The last one's seq is the next page's --after."""
    given = {
        "kind": kind,
        "actor": actor,
        "subject": subject,
        "text": text,
        "since": since,
        "until": until,
    }
    with open_sora(settings) as sora:
        services, log = sora.services, sora.services.log
        if saved is not None:
            kept = searches.find(log.engine, saved)
            given = {name: kept.get(name) if value is None else value for name, value in given.items()}
        filters = as_filters(services, given)
        try:
            found = log.search(**filters, after=after, limit=limit)
            if save is not None:
                # The pseudonym is kept, not the name.
                written = {name: value for name, value in given.items() if value is not None}
                searches.keep(log.engine, save, {**written, **_pseudonym(filters)})
        except EntryInvalid as error:
            raise UsageError(str(error)) from error
        if "text" in filters:
            # Whoever searches in stored prompts has looked at them.
            body = {"found": len(found)}
            log.append([Event(kind="payload.searched", actor="operator", subject=log.origin, body=body)])
        show(found, as_json=reply.as_json)
        if "text" in filters and not found and not services.settings.index_prompts and not reply.quiet:
            click.echo(
                "Prompts are not indexed here: set GUARDED_SORA_INDEX_PROMPTS=1 to find those of films made "
                "from then on.",
                err=True,
            )
    return OK


@click.command("searches")
@click.option("--remove", metavar="NAME", help="Forget this one.")
@output_options
@state_options
def kept_searches(remove: str | None, reply: Reply, settings: Settings) -> int:
    """Searches that were kept with 'audit search --save'."""
    with open_sora(settings) as sora:
        engine = sora.services.log.engine
        if remove is not None:
            searches.drop(engine, remove)
        found = searches.kept(engine)
    if reply.as_json:
        for name, filters in found.items():
            print_json({"name": name, "filters": filters})
    else:
        rows = [
            (name, " ".join(f"--{key} {clean(value)}" for key, value in filters.items()))
            for name, filters in found.items()
        ]
        print_table("", ("name", "filters"), rows)
    return OK


def _pseudonym(filters: dict[str, Any]) -> dict[str, str]:
    return {"actor": filters["actor"]} if "actor" in filters else {}
