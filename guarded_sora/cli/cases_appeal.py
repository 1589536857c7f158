"""``guarded-sora cases``: appeals, strikes, and the report on all of it."""

from __future__ import annotations

import click

from guarded_sora.cli.exit_status import OK
from guarded_sora.cli.options import output_options, reviewer_option, state_options
from guarded_sora.cli.output import Reply, open_as, open_sora, print_json
from guarded_sora.cli.times import iso_time
from guarded_sora.settings import Settings

_DAYS_MS = 24 * 3600 * 1000
_reviewer = reviewer_option()


@click.command("appeal")
@click.argument("case_id")
@click.option("--by", required=True, help="Who appeals: an actor's name, or 'complainant'.")
@click.option("--statement", default="", help="Why, in words; kept encrypted.")
@click.option("--days", type=click.IntRange(1, 365), default=14, show_default=True, help="When it is due.")
@output_options
@state_options
def appeal(case_id: str, by: str, statement: str, days: int, reply: Reply, settings: Settings) -> int:
    """Ask for another look at a decided case, once; 'cases decide' by somebody else answers it."""
    import time

    with open_sora(settings) as sora:
        services = sora.services
        case = services.cases.show(case_id)
        who = case.owner if by == "complainant" else services.keys.pseudonym("actor", by)
        due = time.time_ns() // 1_000_000 + days * _DAYS_MS
        case = services.cases.appeal(case_id, by=who, statement=statement, due_ts=due)
    reply.say(
        {"case_id": case_id, "state": case.state, "due": iso_time(due)},
        f"case {case_id} is under appeal; an answer is due {iso_time(due)}",
    )
    return OK


@click.command("golden")
@click.argument("case_id")
@output_options
@state_options
def golden(case_id: str, reply: Reply, settings: Settings) -> int:
    """The golden test that an overturned decision offers, as YAML to add to the pack. Shows the prompt."""
    from guarded_sora.golden_offer import offer_golden

    with open_sora(settings) as sora:
        offer = offer_golden(sora.services, case_id)
    if reply.as_json:
        print_json({"case_id": case_id, "rules": dict(offer.rules), "yaml": offer.text})
        return OK
    for rule, file in offer.rules:
        click.echo(f"# {rule}: {file}")
    click.echo(offer.text, nl=False)
    return OK


@click.command("strike")
@click.argument("case_id")
@_reviewer
@click.option("--actor", default="", help="Against whom (default: whose request the case is about).")
@click.option("--reason", required=True, help="A reason code, one lower-case word.")
@output_options
@state_options
def strike(case_id: str, reviewer: str, actor: str, reason: str, reply: Reply, settings: Settings) -> int:
    """Give a strike for a decided case; the policy counts them. A won appeal takes it back."""
    from guarded_sora.strikes import author_of

    with open_as(settings, reviewer) as (services, by):
        case = services.cases.show(case_id)
        who = services.keys.pseudonym("actor", actor) if actor else author_of(services, case)
        count = services.cases.strike(case_id, who, reviewer=by, reason_code=reason)
    reply.say(
        {"case_id": case_id, "actor": who, "strikes": count}, f"{count} strikes now stand against {who}"
    )
    return OK


@click.command("strikes")
@click.argument("actor")
@output_options
@state_options
def strikes(actor: str, reply: Reply, settings: Settings) -> int:
    """What stands against an actor, and how many of their appeals were right."""
    with open_sora(settings) as sora:
        services = sora.services
        who = actor if actor.startswith("actor-") else services.keys.pseudonym("actor", actor)
        count, won = services.cases.strikes(who), services.cases.appeals_won(who)
        given = services.log.search(kind="strike.*", subject=who, limit=1000)
    if reply.as_json:
        print_json(
            {
                "actor": who,
                "strikes": count,
                "appeals_won": won,
                "history": [
                    {"time": iso_time(item.ts), "kind": item.kind, "case_id": item.body["case"]}
                    for item in given
                ],
            }
        )
        return OK
    click.echo(f"{count} strikes stand against {who}; {won} appeals were won")
    for item in given:
        click.echo(f"  {iso_time(item.ts)}  {item.kind}  case {item.body['case']}")
    return OK


@click.command("report")
@click.argument("period")
@click.option("--csv", "as_csv", is_flag=True, help="Lines of name and value instead of JSON.")
@output_options
@state_options
def report(period: str, as_csv: bool, reply: Reply, settings: Settings) -> int:
    """The transparency report of PERIOD, such as 2026-11 or 2026-11-01..2026-11-30, counted from the log."""
    from guarded_sora import transparency_report as reports
    from guarded_sora.dossier import parse_about
    from guarded_sora.errors import UsageError

    with open_sora(settings) as sora:
        about = parse_about(sora.services, period)
        if about.kind != "period":
            raise UsageError("A report is about a period, such as 2026-11 or 2026-11-01..2026-11-30.")
        document = reports.transparency_report(sora.services, about)
    if as_csv:
        click.echo(reports.as_csv(document), nl=False)
    else:
        print_json(document)
    return OK


COMMANDS = (appeal, golden, strike, strikes, report)
