"""``guarded-sora policy diff | shadow | promote``: try a pack before it bites."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from guarded_sora.cli.exit_status import OK, REFUSED
from guarded_sora.cli.options import output_options, state_options
from guarded_sora.cli.output import Reply, clean, open_sora, print_json, print_table
from guarded_sora.errors import UsageError
from guarded_sora.settings import Settings

_folder = click.Path(path_type=Path, file_okay=False)


def _load(folder: Path) -> Any:
    from guarded_sora.policies.errors import PolicyError
    from guarded_sora.policies.pack import load_pack

    try:
        return load_pack(None if str(folder) == "default" else folder)
    except PolicyError as error:
        raise UsageError(str(error)) from error


@click.command("diff")
@click.argument("before", type=_folder)
@click.argument("after", type=_folder)
@click.option("--on", "source", required=True, help='A file of {"text": ...} lines, or the word log.')
@output_options
@state_options
def diff(before: Path, after: Path, source: str, reply: Reply, settings: Settings) -> int:
    """How decisions would move from pack BEFORE to pack AFTER; 'default' names the shipped one."""
    from guarded_sora.policies.finding import RequestContext
    from guarded_sora.rollout import compare_on_file, compare_on_log

    old, new = _load(before), _load(after)
    if source == "log":
        with open_sora(settings) as sora:
            found = compare_on_log(old, new, sora.services.log)
    else:
        found = compare_on_file(old, new, Path(source), RequestContext())
    _show(found, as_json=reply.as_json)
    return OK


@click.command("shadow")
@click.argument("pack", type=_folder, required=False)
@click.option("--stop", is_flag=True, help="End the trial.")
@output_options
@state_options
def shadow(pack: Path | None, stop: bool, reply: Reply, settings: Settings) -> int:
    """Try PACK beside the one in force: both decisions are logged, only the old one counts."""
    from guarded_sora.rollout import choose_shadow

    if (pack is None) != stop:
        raise UsageError("Name the pack to try, or end the trial with --stop.")
    chosen = choose_shadow(settings.home, pack)
    document = {"shadow": None if chosen.shadow is None else chosen.shadow.digest}
    reply.say(
        document, "no pack is on trial" if stop else f"on trial: {pack} ({str(document['shadow'])[:12]})"
    )
    return OK


@click.command("promote")
@click.argument("pack", type=_folder)
@click.option(
    "--on",
    "benign",
    type=click.Path(path_type=Path),
    required=True,
    help='Benign prompts, one {"text": ...} a line, on which both packs are measured.',
)
@click.option("--sign-off", multiple=True, help="A loosened request you agree to, such as 'line 7'.")
@output_options
@state_options
def promote(pack: Path, benign: Path, sign_off: tuple[str, ...], reply: Reply, settings: Settings) -> int:
    """Let PACK decide from now on, if its golden prompts hold and it stops no more than 0.5 points more."""
    from guarded_sora.policies.finding import RequestContext
    from guarded_sora.rollout import choose_pack, may_promote

    place = settings.home
    answer = may_promote(place, _load(pack), benign, RequestContext(), sign_off)
    if answer.allowed:
        choose_pack(place, pack)
    reply.say(
        {"promoted": answer.allowed, "reasons": list(answer.reasons)},
        "promoted" if answer.allowed else "not promoted",
        *(f"  {clean(reason)}" for reason in answer.reasons),
    )
    return OK if answer.allowed else REFUSED


def _show(found: Any, *, as_json: bool) -> None:
    matrix = [(old.value, new.value, number) for (old, new), number in sorted(found.matrix.items())]
    if as_json:
        print_json(
            {
                "total": found.total,
                "tightened": found.tightened,
                "loosened": found.loosened,
                "matrix": [{"before": a, "after": b, "count": n} for a, b, n in matrix],
                "changes": [
                    {
                        "name": change.name,
                        "before": change.before.value,
                        "after": change.after.value,
                        "rules_before": list(change.rules_before),
                        "rules_after": list(change.rules_after),
                    }
                    for change in found.changes
                ],
                "changes_left_out": found.changes_left_out,
            }
        )
        return
    print_table(f"{found.total} requests", ("before", "after", "requests"), matrix)
    for change in found.changes:
        click.echo(
            f"{clean(change.name)}: {change.before.value} -> {change.after.value}  "
            f"{', '.join(change.rules_before) or '-'} -> {', '.join(change.rules_after) or '-'}"
        )
