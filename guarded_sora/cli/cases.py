"""``guarded-sora cases``: the review queue."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from guarded_sora.cli.exit_status import OK
from guarded_sora.cli.options import output_options, settings_from, state_options
from guarded_sora.cli.output import clean, open_sora, print_json, print_table, progress, refusal, show_release
from guarded_sora.errors import UsageError


@click.group("cases")
def command() -> None:
    """The review queue: list, show, decide, release."""


@command.command("list")
@click.option(
    "--state",
    type=click.Choice(["waiting", "open", "second", "disputed", "appealed", "decided", "closed"]),
    default="waiting",
    show_default=True,
)
@output_options
@state_options
def list_(state: str, as_json: bool, quiet: bool, home: Path | None, database_url: str | None) -> int:
    """Cases, oldest first."""
    with open_sora(settings_from(home, database_url)) as sora:
        found = sora.services.cases.list(state)
    if as_json:
        for case in found:
            print_json(_case_json(case))
    else:
        print_table(
            f"Cases ({state})",
            ("case", "kind", "state", "opened", "rules"),
            [
                (case.case_id, case.kind, case.state, _time(case.opened_ts), ", ".join(case.summary["rules"]))
                for case in found
            ],
        )
    return OK


@command.command("show")
@click.argument("case_id")
@click.option(
    "--reviewer", required=True, envvar="GUARDED_SORA_REVIEWER", help="Who looks; the look is logged."
)
@output_options
@state_options
def show(
    case_id: str, reviewer: str, as_json: bool, quiet: bool, home: Path | None, database_url: str | None
) -> int:
    """One case with what waits in it. Looking is an event of the log."""
    import orjson

    with open_sora(settings_from(home, database_url)) as sora:
        services = sora.services
        case = services.cases.show(case_id)
        viewer = services.keys.pseudonym("reviewer", reviewer)
        data = services.cases.payload(case_id, viewer=viewer, reason="review")
        held = services.settings.held / f"{case_id}.mp4"
    document = _case_json(case)
    waiting = orjson.loads(data) if data else {}
    if case.kind == "prompt":
        document["prompt"] = waiting.get("request", {}).get("prompt")
    document["film"] = str(held) if held.is_file() else None
    if as_json:
        print_json(document)
    else:
        for name, value in document.items():
            click.echo(f"{name:>10}: {clean(str(value))}")
    return OK


@command.command("decide")
@click.argument("case_id")
@click.option("--action", type=click.Choice(["allow", "block"]), required=True)
@click.option("--reviewer", required=True, envvar="GUARDED_SORA_REVIEWER", help="Who decides.")
@click.option("--reason", required=True, help="A reason code, one lower-case word.")
@click.option("--note", default="", help="For other reviewers; kept encrypted.")
@output_options
@state_options
def decide(
    case_id: str,
    action: str,
    reviewer: str,
    reason: str,
    note: str,
    as_json: bool,
    quiet: bool,
    home: Path | None,
    database_url: str | None,
) -> int:
    """Decide a case: allow or block."""
    with open_sora(settings_from(home, database_url)) as sora:
        services = sora.services
        case = services.cases.decide(
            case_id,
            action,
            reviewer=services.keys.pseudonym("reviewer", reviewer),
            reason_code=reason,
            note=note,
        )
    if as_json:
        print_json(_case_json(case))
    else:
        click.echo(f"case {case.case_id} is now {case.state}" + (f": {case.action}" if case.action else ""))
    return OK


@command.command("release")
@click.argument("case_id")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Where the film goes (default: home/clips)."
)
@output_options
@state_options
def release(
    case_id: str,
    output: Path | None,
    as_json: bool,
    quiet: bool,
    home: Path | None,
    database_url: str | None,
) -> int:
    """Release what was decided 'allow': the held film, or the film of a held request."""
    if not case_id:
        raise UsageError("Name the case; 'guarded-sora cases list --state decided' shows those there are.")
    with (
        open_sora(settings_from(home, database_url)) as sora,
        progress(quiet=quiet) as shown,
        refusal(as_json=as_json),
    ):
        released = sora.release_case(case_id, output=output, progress=shown)
    show_release(released, as_json=as_json)
    return OK


def _case_json(case: Any) -> dict[str, Any]:
    return {
        "case_id": case.case_id,
        "kind": case.kind,
        "subject": case.subject,
        "state": case.state,
        "action": case.action or None,
        "opened": _time(case.opened_ts),
        "rules": list(case.summary.get("rules", [])),
    }


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")
