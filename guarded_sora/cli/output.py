"""What a person sees on stderr and what a program reads on stdout."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
import orjson

from guarded_sora.cli.exit_status import status_of
from guarded_sora.errors import Blocked, ReviewRequired
from guarded_sora.progress import Progress, Silent

if TYPE_CHECKING:
    from guarded_sora.api import GuardedSora
    from guarded_sora.evidence import Evidence, Verdict
    from guarded_sora.release import Release
    from guarded_sora.services import Services
    from guarded_sora.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """How a command answers: with JSON or with words, with progress or without."""

    as_json: bool
    quiet: bool

    def say(self, document: Mapping[str, Any], *lines: str) -> None:
        """``document`` as JSON, or ``lines`` for a person."""
        if self.as_json:
            print_json(document)
            return
        for line in lines:
            click.echo(line)


def print_json(value: Mapping[str, Any]) -> None:
    """One JSON object on one line of stdout."""
    click.echo(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY).decode())


def report_error(code: str, message: str, *, as_json: bool) -> None:
    """One clear sentence: on stderr, or as ``{"error": ...}`` on stdout."""
    if as_json:
        print_json({"error": {"code": code, "message": message}})
    else:
        click.echo(f"guarded-sora: {message}", err=True)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table on stdout."""
    from rich.console import Console
    from rich.table import Table

    table = Table(header_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "default", overflow="fold")
    for row in rows:
        table.add_row(*(clean(str(cell)) for cell in row))
    # Into a pipe nothing is cut off or wrapped: another program wants whole ids.
    console = Console(width=None if sys.stdout.isatty() else 10_000)
    if title:  # above the table, not in it: a table without rows would fold its title
        console.print(clean(title), style="italic", highlight=False)
    console.print(table)


def clean(text: str) -> str:
    """``text`` without rich markup, control or direction characters: a file's name is not ours."""
    from rich.markup import escape

    visible = "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )
    return escape(visible)


@contextmanager
def progress(*, quiet: bool) -> Iterator[Progress]:
    """A live progress bar on stderr when a person is looking, silence otherwise."""
    if quiet or not sys.stderr.isatty():
        yield Silent()
        return
    from guarded_sora.cli.live import live_progress

    with live_progress() as shown:
        yield shown


@contextmanager
def open_sora(settings: Settings) -> Iterator[GuardedSora]:
    """The installation these settings name, closed when the command is done."""
    from guarded_sora.api import GuardedSora
    from guarded_sora.services import open_services

    with GuardedSora(open_services(settings)) as sora:
        yield sora


@contextmanager
def open_as(settings: Settings, reviewer: str) -> Iterator[tuple[Services, str]]:
    """The installation's services, and under what pseudonym the log knows ``reviewer``."""
    with open_sora(settings) as sora:
        yield sora.services, sora.services.keys.pseudonym("reviewer", reviewer)


@contextmanager
def refusal(*, as_json: bool) -> Iterator[None]:
    """Print what a blocked or held request leaves behind before the program ends with its status."""
    from guarded_sora.records import check_json, decision_json

    try:
        yield
    except (Blocked, ReviewRequired) as answer:
        if as_json:
            document: dict[str, Any] = {
                "clip_id": None,
                "decision": decision_json(answer.decision),
                "checks": [check_json(check) for check in answer.decision.checks],
                "audit": {"seq": answer.audit_seq},
            }
            if isinstance(answer, ReviewRequired):
                document["case_id"] = answer.case_id
            print_json(document)
        else:
            click.echo(str(answer), err=True)
            for rule in answer.decision.decisive:
                click.echo(f"  {rule.id} ({rule.reason}): {clean(rule.text)}", err=True)
            click.echo(f"  audit record {answer.audit_seq}", err=True)
        raise click.exceptions.Exit(status_of(answer)) from answer


def show_release(
    release: Release, *, as_json: bool, profile: tuple[str, ...] = (), region: str | None = None
) -> None:
    """A release as JSON, or as a person wants to see it: where it is and how long each stage took.

    ``profile``: laws that were asked for. ``region``: of the request; "" says that it was not given.
    """
    if as_json:
        print_json(release.as_json())
        return
    click.echo(f"film           {release.path}")
    click.echo(f"contact sheet  {release.contact_sheet}")
    click.echo(f"clip id        {release.clip_id}")
    pack = release.decision.pack
    click.echo(f"decision       {release.decision.action.value} (pack {pack.id} {pack.version})")
    from guarded_sora.layers import laws_for

    labels = laws_for(release.decision, profile)
    if labels:
        why = " (an unknown region counts as the strictest)" if region == "" and not profile else ""
        click.echo(f"labels for     {', '.join(labels)}{why}")
    click.echo(f"audit record   {release.audit_seq}")
    if release.expanded:
        click.echo(f"expanded to    {clean(release.expanded)}")
    if release.in_domain is False:
        click.echo("note           the prompt lies outside what the generator learned", err=True)
    for warning in release.warnings:
        click.echo(f"note           {clean(warning)}", err=True)
    if release.stages:
        total = sum(stage.seconds for stage in release.stages)
        print_table(
            "",
            ("stage", "seconds"),
            [(stage.name.replace("_", " "), f"{stage.seconds:.3f}") for stage in release.stages]
            + [("all stages", f"{total:.3f}")],
        )


def show_verdict(verdict: Verdict) -> None:
    """A verdict as one line, then the evidence it rests on."""
    click.echo(f"{clean(str(verdict.file))}: {verdict.verdict.value} ({verdict.reason.replace('_', ' ')})")
    if verdict.clip_id:
        click.echo(f"  clip         {verdict.clip_id}")
    for item in verdict.evidence:
        click.echo(f"  {item.kind:<12} {item.state}{_detail(item.kind, item.detail)}")
    if partly := _looked_at(verdict.evidence):
        click.echo(f"  looked at    {partly}")
    for part in verdict.segments:
        owner = str(part.clip_id) if part.clip_id else "not ours"
        click.echo(f"  {part.start:6.1f}-{part.end:.1f} s  {owner} ({part.state})")
    for law, clauses in verdict.rules.items():
        for name, clause in clauses.items():
            click.echo(f"  {law:<12} {name:<12} {clause['state']:<14} {clean(str(clause['title']))}")
            if clause["state"] == "fail" and clause.get("evidence"):
                click.echo(f"  {'':<40} because: {clean(str(clause['evidence']))}")
    for notice in verdict.notices:
        click.echo(f"  notice       {notice}")
    click.echo(f"  audit record {verdict.audit.seq}")


def _looked_at(evidence: Sequence[Evidence]) -> str:
    """How much of a film was looked at, where that was not the whole; else nothing."""
    whole = next((item.detail["seconds"] for item in evidence if "seconds" in item.detail), 0.0)
    spans: Sequence[Sequence[float]] = next(
        (item.detail["looked_at"] for item in evidence if "looked_at" in item.detail), ()
    )
    seen = sum(end - start for start, end in spans)
    if not spans or seen > whole - 0.5:
        return ""
    return f"{seen:.1f} of {whole:.1f} s; --depth full looks at every second"


def _detail(kind: str, detail: Mapping[str, Any]) -> str:
    match kind:
        case "watermark" if detail.get("public") and detail.get("message"):
            agree = f"{detail['matched']} of {detail['bits']} bits"
            return f": public mark {detail['message']}, {agree}; no proof"
        case "watermark" if detail.get("payload"):
            bound = f"p = 10^{detail['log10_p']:.1f} over {detail['hypotheses']} hypotheses"
            return f": id {detail['payload']}, {bound}"
        case "fingerprint" if "matched" in detail:
            return f": {detail['matched']} of {detail['of']} seconds match"
        case "credentials" | "media" | "detector" if detail.get("reason"):
            return f": {clean(str(detail['reason']))}"
    return ""
