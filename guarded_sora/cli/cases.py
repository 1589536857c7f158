"""``guarded-sora cases``: the review queue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from guarded_sora.cli import cases_appeal, cases_notice
from guarded_sora.cli.exit_status import OK
from guarded_sora.cli.options import output_options, reviewer_option, state_options
from guarded_sora.cli.output import (
    Reply,
    clean,
    open_as,
    open_sora,
    print_json,
    print_table,
    progress,
    refusal,
    show_release,
)
from guarded_sora.cli.times import iso_time
from guarded_sora.errors import UsageError
from guarded_sora.settings import Settings

_reviewer = reviewer_option("Who decides or looks; it is logged.")
_STATES = ("waiting", "open", "second", "disputed", "appealed", "decided", "closed")


@click.group("cases")
def command() -> None:
    """The review queue: take, look, decide, release; notices, appeals, strikes."""


for _module in (cases_notice, cases_appeal):
    for _command in _module.COMMANDS:
        command.add_command(_command)


@command.command("list")
@click.option("--state", type=click.Choice(_STATES), default="waiting", show_default=True)
@click.option("--kind", help="film, prompt, or notice.likeness and so on.")
@click.option("--overdue", is_flag=True, help="Only notices whose clock has run out.")
@output_options
@state_options
def list_(state: str, kind: str | None, overdue: bool, reply: Reply, settings: Settings) -> int:
    """Cases, oldest first."""
    import time

    from guarded_sora.audit.notices import NoticeDesk

    with open_sora(settings) as sora:
        services = sora.services
        if overdue:
            desk = NoticeDesk(services.log, services.cases)
            found = [case for case in desk.overdue(time.time_ns() // 1_000_000) if kind in (None, case.kind)]
        else:
            found = services.cases.list(state, kind=kind)
    if reply.as_json:
        for case in found:
            print_json(case_json(case))
    else:
        print_table(
            "Cases (overdue)" if overdue else f"Cases ({state})",
            ("case", "kind", "state", "opened", "due", "rules"),
            [
                (
                    case.case_id,
                    case.kind,
                    case.state,
                    iso_time(case.opened_ts),
                    iso_time(case.due_ts) if case.due_ts else "",
                    ", ".join(map(str, case.summary.get("rules", ()))),
                )
                for case in found
            ],
        )
    return OK


@command.command("claim")
@click.argument("case_id", required=False)
@_reviewer
@click.option("--kind", help="Only cases of this kind.")
@click.option("--minutes", type=click.IntRange(1, 1440), default=30, show_default=True, help="How long.")
@output_options
@state_options
def claim(
    case_id: str | None, reviewer: str, kind: str | None, minutes: int, reply: Reply, settings: Settings
) -> int:
    """Take the oldest case that waits, or CASE_ID; nobody else gets it meanwhile. Exit status 1: none."""
    with open_as(settings, reviewer) as (services, who):
        case = services.cases.claim(who, kind=kind, case_id=case_id, lease_seconds=60 * minutes)
    if case is None:
        click.echo(
            "There is no case that you can take now: none waits, another reviewer holds it, or you decided "
            "it before; see 'guarded-sora cases list'.",
            err=True,
        )
        return 1
    reply.say(case_json(case), f"case {case.case_id} ({case.kind}) is yours for {minutes} minutes")
    return OK


@command.command("give-back")
@click.argument("case_id")
@_reviewer
@click.option("--reason", default="skipped", show_default=True, help="A reason code, one lower-case word.")
@output_options
@state_options
def give_back(case_id: str, reviewer: str, reason: str, reply: Reply, settings: Settings) -> int:
    """Return a case you took, undecided."""
    with open_as(settings, reviewer) as (services, who):
        case = services.cases.give_back(case_id, reviewer=who, reason_code=reason)
    reply.say(case_json(case), f"case {case.case_id} waits again")
    return OK


@command.command("show")
@click.argument("case_id")
@_reviewer
@output_options
@state_options
def show(case_id: str, reviewer: str, reply: Reply, settings: Settings) -> int:
    """One case with what waits in it. Looking is an event of the log."""
    import orjson

    from guarded_sora.handoff import handed_off

    with open_as(settings, reviewer) as (services, viewer):
        case = services.cases.show(case_id)
        if handed_off(services, case_id):
            raise UsageError(f"Case {case_id} was handed to an authority; nobody looks at it again.")
        data = services.cases.payload(case_id, viewer=viewer, reason="review")
        held = services.settings.held / f"{case_id}.mp4"
    document = case_json(case)
    waiting = orjson.loads(data) if data else {}
    if case.kind == "prompt":
        document["prompt"] = waiting.get("request", {}).get("prompt")
    if case.kind.startswith("notice."):
        document |= {name: waiting.get(name) for name in ("statement", "contact", "link")}
    document["film"] = str(held) if held.is_file() else None
    if reply.as_json:
        print_json(document)
    else:
        for name, value in document.items():
            click.echo(f"{name:>10}: {clean(str(value))}")
    return OK


@command.command("decide")
@click.argument("case_id")
@click.option("--action", type=click.Choice(["allow", "block"]), required=True)
@_reviewer
@click.option("--reason", required=True, help="A reason code, one lower-case word.")
@click.option("--rule", "rules", multiple=True, help="A rule that is cited; may be given several times.")
@click.option("--note", default="", help="For other reviewers; kept encrypted.")
@output_options
@state_options
def decide(
    case_id: str,
    action: str,
    reviewer: str,
    reason: str,
    rules: tuple[str, ...],
    note: str,
    reply: Reply,
    settings: Settings,
) -> int:
    """Decide a case, or the appeal against it: allow or block.

    Blocking a notice takes the film and its copies down, and keeps them down.
    """
    from guarded_sora.decisions import decide_case

    with open_as(settings, reviewer) as (services, who), progress(quiet=reply.quiet) as shown:
        done = decide_case(
            services,
            case_id,
            action,
            reviewer=who,
            reason_code=reason,
            note=note,
            rules=rules,
            progress=shown,
        )
    case = done.case
    if reply.as_json:
        print_json(
            {
                **case_json(case),
                "clips": [str(clip_id) for clip_id in done.clips],
                "moved": [str(path) for path in done.moved],
                "elsewhere": [str(path) for path in done.elsewhere],
            }
        )
        return OK
    waits = {"second": " (another reviewer must decide, too)", "disputed": " (a third reviewer must decide)"}
    outcome = f": {case.action}" if case.action else waits.get(case.state, "")
    click.echo(f"case {case.case_id} is now {case.state}{outcome}")
    for clip_id in done.clips:
        click.echo(f"  {'taken down' if case.action == 'block' else 'let back'}: {clip_id}")
    for path in done.elsewhere:
        click.echo(f"  a copy lies elsewhere; remove it yourself: {clean(str(path))}")
    return OK


@command.command("carry-out")
@click.argument("case_id")
@output_options
@state_options
def carry_out_command(case_id: str, reply: Reply, settings: Settings) -> int:
    """Do again what a decision in force asks for, where a fault or a crash cut it off."""
    from guarded_sora.decisions import carry_out

    with open_sora(settings) as sora, progress(quiet=reply.quiet) as shown:
        done = carry_out(sora.services, sora.services.cases.show(case_id), progress=shown)
    said = f"case {case_id}: {len(done.clips)} clips, {len(done.moved)} files moved"
    reply.say(case_json(done.case), said)
    return OK


@command.command("second")
@click.argument("case_id")
@_reviewer
@click.option("--reason", default="unsure", show_default=True, help="A reason code, one lower-case word.")
@output_options
@state_options
def second(case_id: str, reviewer: str, reason: str, reply: Reply, settings: Settings) -> int:
    """Ask for a second opinion: from now on two people must decide this case."""
    with open_as(settings, reviewer) as (services, who):
        case = services.cases.escalate(case_id, reviewer=who, reason_code=reason)
    reply.say(case_json(case), f"case {case.case_id} now needs two people")
    return OK


@command.command("release")
@click.argument("case_id")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Where the film goes (default: home/clips)."
)
@output_options
@state_options
def release(case_id: str, output: Path | None, reply: Reply, settings: Settings) -> int:
    """Release what was decided 'allow': the held film, or the film of a held request."""
    if not case_id:
        raise UsageError("Name the case; 'guarded-sora cases list --state decided' shows those there are.")
    with (
        open_sora(settings) as sora,
        progress(quiet=reply.quiet) as shown,
        refusal(as_json=reply.as_json),
    ):
        released = sora.release_case(case_id, output=output, progress=shown)
    show_release(released, as_json=reply.as_json)
    return OK


@command.command("rebuild")
@output_options
@state_options
def rebuild(reply: Reply, settings: Settings) -> int:
    """Make the table of cases anew from the log."""
    with open_sora(settings) as sora:
        count = sora.services.cases.rebuild()
    reply.say({"cases": count}, f"{count} cases were made anew from the log")
    return OK


def case_json(case: Any) -> dict[str, Any]:
    """A case as ``--json`` prints it."""
    return {
        "case_id": case.case_id,
        "kind": case.kind,
        "subject": case.subject,
        "state": case.state,
        "action": case.action or None,
        "critical": case.critical,
        "opened": iso_time(case.opened_ts),
        "due": iso_time(case.due_ts) if case.due_ts else None,
        "appeal": case.appeal_outcome or None,
        "rules": list(case.summary.get("rules", [])),
    }
